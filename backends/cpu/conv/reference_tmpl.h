/* reference_tmpl.h: the plain loops of one dtype (see simd/template.h), with sums in double; it is
 * included by reference.c. */

typedef struct {
    const luc_conv2d_params *p;
    const LUC_T *x, *w, *dy;
    LUC_T *out, *out_bias;
    const luc_conv_epilogue *then;
} LUC_F(call);

static double LUC_F(forward_at)(const LUC_F(call) * a, int64_t n, int64_t o, int64_t i, int64_t j)
{
    const luc_conv2d_params *p = a->p;
    const int64_t cg = p->c / p->groups, first = o / (p->o / p->groups) * cg;
    double sum = 0;
    for (int64_t c = 0; c < cg; c++)
        for (int64_t r = 0; r < p->kh; r++)
            for (int64_t s = 0; s < p->kw; s++) {
                int64_t h = i * p->stride_h - p->pad_h + r * p->dilation_h;
                int64_t w = j * p->stride_w - p->pad_w + s * p->dilation_w;
                if (h < 0 || h >= p->h || w < 0 || w >= p->w) continue;
                sum += (double)a->x[X_AT(n, first + c, h, w)] * (double)a->w[W_AT(o, c, r, s)];
            }
    const luc_conv_epilogue *then = a->then;
    if (!then) return sum;
    if (then->scale) sum *= ((const LUC_T *)then->scale)[o];
    if (then->shift) sum += ((const LUC_T *)then->shift)[o];
    if (then->residual) sum += ((const LUC_T *)then->residual)[Y_AT(n, o, i, j)];
    return then->relu && sum < 0 ? 0 : sum;
}

/* Blocks of [n, o] planes. */
static void LUC_F(forward_planes)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const LUC_F(call) *a = ctx;
    const luc_conv2d_params *p = a->p;
    (void)thread;
    for (int64_t k = begin; k < end; k++)
        for (int64_t i = 0; i < p->oh; i++)
            for (int64_t j = 0; j < p->ow; j++)
                a->out[Y_AT(k / p->o, k % p->o, i, j)] =
                    (LUC_T)LUC_F(forward_at)(a, k / p->o, k % p->o, i, j);
}

/* The output whose tap r reads position h, or -1. */
static int64_t LUC_F(output_of)(int64_t h, int64_t pad, int64_t r, int64_t dilation, int64_t stride,
                                int64_t count)
{
    int64_t at = h + pad - r * dilation;
    return at >= 0 && at % stride == 0 && at / stride < count ? at / stride : -1;
}

static double LUC_F(grad_input_at)(const LUC_F(call) * a, int64_t n, int64_t c, int64_t h,
                                   int64_t w)
{
    const luc_conv2d_params *p = a->p;
    const int64_t cg = p->c / p->groups, og = p->o / p->groups, first = c / cg * og;
    double sum = 0;
    for (int64_t o = first; o < first + og; o++)
        for (int64_t r = 0; r < p->kh; r++)
            for (int64_t s = 0; s < p->kw; s++) {
                int64_t i = LUC_F(output_of)(h, p->pad_h, r, p->dilation_h, p->stride_h, p->oh);
                int64_t j = LUC_F(output_of)(w, p->pad_w, s, p->dilation_w, p->stride_w, p->ow);
                if (i < 0 || j < 0) continue;
                sum += (double)a->dy[Y_AT(n, o, i, j)] * (double)a->w[W_AT(o, c % cg, r, s)];
            }
    return sum;
}

static void LUC_F(grad_input_planes)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const LUC_F(call) *a = ctx;
    const luc_conv2d_params *p = a->p;
    (void)thread;
    for (int64_t k = begin; k < end; k++)
        for (int64_t h = 0; h < p->h; h++)
            for (int64_t w = 0; w < p->w; w++)
                a->out[X_AT(k / p->c, k % p->c, h, w)] =
                    (LUC_T)LUC_F(grad_input_at)(a, k / p->c, k % p->c, h, w);
}

static double LUC_F(grad_weight_at)(const LUC_F(call) * a, int64_t o, int64_t c, int64_t r,
                                    int64_t s)
{
    const luc_conv2d_params *p = a->p;
    const int64_t in = o / (p->o / p->groups) * (p->c / p->groups) + c;
    double sum = 0;
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t i = 0; i < p->oh; i++)
            for (int64_t j = 0; j < p->ow; j++) {
                int64_t h = i * p->stride_h - p->pad_h + r * p->dilation_h;
                int64_t w = j * p->stride_w - p->pad_w + s * p->dilation_w;
                if (h < 0 || h >= p->h || w < 0 || w >= p->w) continue;
                sum += (double)a->x[X_AT(n, in, h, w)] * (double)a->dy[Y_AT(n, o, i, j)];
            }
    return sum;
}

/* Blocks of output channels. */
static void LUC_F(grad_weight_filters)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const LUC_F(call) *a = ctx;
    const luc_conv2d_params *p = a->p;
    (void)thread;
    for (int64_t o = begin; o < end; o++) {
        for (int64_t c = 0; c < p->c / p->groups; c++)
            for (int64_t r = 0; r < p->kh; r++)
                for (int64_t s = 0; s < p->kw; s++)
                    a->out[W_AT(o, c, r, s)] = (LUC_T)LUC_F(grad_weight_at)(a, o, c, r, s);
        if (!a->out_bias) continue;
        double sum = 0;
        for (int64_t n = 0; n < p->n; n++)
            for (int64_t i = 0; i < p->oh; i++)
                for (int64_t j = 0; j < p->ow; j++) sum += (double)a->dy[Y_AT(n, o, i, j)];
        a->out_bias[o] = (LUC_T)sum;
    }
}

void LUC_F(luc_conv_ref_forward)(const luc_conv2d_params *p, const LUC_T *x, const LUC_T *w,
                                 const luc_conv_epilogue *then, LUC_T *y)
{
    LUC_F(call) a = {.p = p, .x = x, .w = w, .then = then, .out = y};
    luc_parallel_for(p->n * p->o, 1, LUC_F(forward_planes), &a);
}

void LUC_F(luc_conv_ref_grad_input)(const luc_conv2d_params *p, const LUC_T *dy, const LUC_T *w,
                                    LUC_T *dx)
{
    LUC_F(call) a = {.p = p, .w = w, .dy = dy, .out = dx};
    luc_parallel_for(p->n * p->c, 1, LUC_F(grad_input_planes), &a);
}

void LUC_F(luc_conv_ref_grad_weight)(const luc_conv2d_params *p, const LUC_T *x, const LUC_T *dy,
                                     LUC_T *dw, LUC_T *dbias)
{
    LUC_F(call) a = {.p = p, .x = x, .dy = dy, .out = dw, .out_bias = dbias};
    luc_parallel_for(p->o, 1, LUC_F(grad_weight_filters), &a);
}
