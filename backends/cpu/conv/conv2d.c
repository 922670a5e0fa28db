/* conv2d.c: conv2d, alone, with the operators that follow it in a network and with its statistics,
 * and its two gradients, over conv/conv.h. Images whose channels are not adjacent in memory are
 * converted to channels_last memory first, and results are converted back, unless the engine takes
 * them as they are. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/keep.h"

#include <math.h>
#include <string.h>

/* x or y, or its gradient, in [N,C,H,W]. */
typedef struct {
    const lucid_view *view;
    bool convert;
    char *dense; /* in channels_last memory, if `convert` */
} image;

typedef struct {
    luc_conv2d_params p;
    luc_conv_type type;
    luc_conv_pass pass;
    luc_conv2d_plan plan;
    size_t size;
    image x, y;
    const lucid_view *w;
    /* of conv2d_batch_norm, and conv2d's bias; NULL if not given */
    const lucid_view *bias, *norm_weight, *norm_bias, *mean, *var;
    double eps;
    bool relu;
    image residual;      /* converted to y's strides */
    char *scale, *shift; /* [o] of float, or double for double; NULL: 1, 0 */
    char *workspace;
    double *out_mean, *out_var; /* of conv2d_statistics; [o] */
} job;

static luc_conv_type conv_type(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return LUC_CONV_F32;
    case LUCID_F64:
        return LUC_CONV_F64;
    case LUCID_F16:
        return LUC_CONV_F16;
    default:
        return LUC_CONV_BF16;
    }
}

static void *reserve(char *workspace, size_t *used, size_t bytes)
{
    char *at = workspace ? workspace + *used : NULL;
    *used += (bytes + 63) & ~(size_t)63;
    return at;
}

static void channels_last(const int64_t dims[4], int64_t stride[4])
{
    stride[1] = 1;
    stride[3] = dims[1];
    stride[2] = dims[3] * stride[3];
    stride[0] = dims[2] * stride[2];
}

static bool same_strides(const lucid_view *v, const int64_t stride[4])
{
    for (int i = 0; i < 4; i++)
        if (v->dims[i] > 1 && v->strides[i] != stride[i]) return false;
    return true;
}

/* If the image has to be converted, the engine gets the strides of channels_last memory. */
static void use_channels_last(image *m, int64_t stride[4])
{
    m->convert = m->view->dims[1] > 1 && stride[1] != 1;
    if (m->convert) channels_last(m->view->dims, stride);
}

/* Chooses the algorithm for the images as they are. Where that cannot read planes, images of planes
 * are converted, and NULL is returned: the choice is another one then. */
static const luc_conv_algorithm *choose(job *j)
{
    luc_conv2d_params *p = &j->p;
    p->convertible = true;
    const luc_conv_algorithm *chosen = luc_conv_choose(p, j->type, j->pass);
    p->convertible = false;
    if (luc_conv_takes_planes(chosen)) return chosen;
    use_channels_last(&j->x, p->x_stride);
    use_channels_last(&j->y, p->y_stride);
    return j->x.convert || j->y.convert ? NULL : chosen;
}

static void set_params(job *j, const lucid_conv2d_attrs *a)
{
    luc_conv2d_params *p = &j->p;
    const int64_t *x = j->x.view->dims, *y = j->y.view->dims, *w = j->w->dims;
    p->n = x[0], p->c = x[1], p->h = x[2], p->w = x[3];
    p->o = w[0], p->kh = w[2], p->kw = w[3];
    p->oh = y[2], p->ow = y[3];
    p->stride_h = a->stride[0], p->stride_w = a->stride[1];
    p->pad_h = a->padding[0], p->pad_w = a->padding[1];
    p->dilation_h = a->dilation[0], p->dilation_w = a->dilation[1];
    p->groups = a->groups;
    memcpy(p->x_stride, j->x.view->strides, sizeof p->x_stride);
    memcpy(p->y_stride, j->y.view->strides, sizeof p->y_stride);
    memcpy(p->w_stride, j->w->strides, sizeof p->w_stride);
}

/* The attributes and inputs that conv2d_batch_norm has and conv2d has not. False: y's strides are
 * others now. */
static bool set_norm(job *j, const lucid_kernel_args *args)
{
    const lucid_conv2d_batch_norm_attrs *a = args->attrs;
    j->norm_weight = args->in[3], j->norm_bias = args->in[4];
    j->mean = args->in[5], j->var = args->in[6];
    j->eps = a->eps, j->relu = a->relu;
    j->residual.view = args->in[7];
    if (!j->residual.view) return true;
    /* The engine reads the residual with y's strides; a converted one is dense in channels_last
     * memory. */
    j->residual.convert = !same_strides(j->residual.view, j->p.y_stride);
    if (!j->residual.convert) return true;
    channels_last(j->y.view->dims, j->p.y_stride);
    j->y.convert = !same_strides(j->y.view, j->p.y_stride);
    return false;
}

/* Divides the workspace, and returns its size. */
static size_t place(job *j, char *workspace)
{
    size_t used = 0;
    image *images[] = {&j->x, &j->y, &j->residual};
    for (int i = 0; i < 3; i++)
        if (images[i]->convert)
            images[i]->dense =
                reserve(workspace, &used, (size_t)luc_view_numel(images[i]->view) * j->size);
    const size_t wide = j->type == LUC_CONV_F64 ? sizeof(double) : sizeof(float);
    if (j->mean) j->scale = reserve(workspace, &used, (size_t)j->p.o * wide);
    if (j->mean || j->bias) j->shift = reserve(workspace, &used, (size_t)j->p.o * wide);
    j->workspace = reserve(workspace, &used, j->plan.workspace);
    return used;
}

static void make_job(job *j, const lucid_kernel_args *args)
{
    *j = (job){.pass = LUC_CONV_FORWARD};
    const lucid_view *first = args->in[0], *second = args->in[1], *out = args->out[0];
    j->type = conv_type(first->dtype);
    j->size = luc_elem_size(first->dtype);
    if (args->op == LUCID_OP_conv2d_backward_input) {
        j->pass = LUC_CONV_GRAD_INPUT;
        j->y.view = first, j->w = second, j->x.view = out;
    } else if (args->op == LUCID_OP_conv2d_backward_weight) {
        j->pass = LUC_CONV_GRAD_WEIGHT;
        j->y.view = first, j->x.view = second, j->w = out;
    } else {
        j->x.view = first, j->w = second, j->y.view = out;
        j->bias = args->n_in > 2 ? args->in[2] : NULL;
    }
    set_params(j, args->attrs); /* conv2d_batch_norm's begin with conv2d's */
    const luc_conv_algorithm *chosen = choose(j);
    if (args->op == LUCID_OP_conv2d) j->relu = ((const lucid_conv2d_attrs *)args->attrs)->relu;
    if (args->op == LUCID_OP_conv2d_batch_norm && !set_norm(j, args)) chosen = NULL;
    if (args->op == LUCID_OP_conv2d_statistics) {
        j->p.statistics = true;
        j->out_mean = args->out[1]->data, j->out_var = args->out[2]->data;
    }
    j->p.packed = j->pass == LUC_CONV_FORWARD && args->keep;
    j->plan = luc_conv2d_make_plan(&j->p, j->type, j->pass, chosen);
}

/* ---- conversion ------------------------------------------------------------------------------ */

typedef struct {
    const job *j;
    const image *m;
    bool back; /* from channels_last to the view */
} conversion;

#define CONVERT_ROW(T)                                                                    \
    do {                                                                                  \
        T *dense = (T *)(void *)m->dense + row * dims[3] * dims[1];                       \
        T *strided = (T *)v->data + row / dims[2] * s[0] + row % dims[2] * s[2];          \
        for (int64_t x = 0; x < dims[3]; x++)                                             \
            for (int64_t c = 0; c < dims[1]; c++) {                                       \
                T *one = dense + x * dims[1] + c, *other = strided + x * s[3] + c * s[1]; \
                if (k->back)                                                              \
                    *other = *one;                                                        \
                else                                                                      \
                    *one = *other;                                                        \
            }                                                                             \
    } while (0)

static void convert_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const conversion *k = ctx;
    const image *m = k->m;
    const lucid_view *v = m->view;
    const int64_t *dims = v->dims, *s = v->strides;
    for (int64_t row = begin; row < end; row++) {
        if (k->j->size == 8)
            CONVERT_ROW(uint64_t);
        else if (k->j->size == 4)
            CONVERT_ROW(uint32_t);
        else
            CONVERT_ROW(uint16_t);
    }
}

static void convert(const job *j, const image *m, bool back)
{
    const lucid_view *v = m->view;
    const int64_t *dims = v->dims, pixels = dims[2] * dims[3];
    if (luc_view_is_contiguous(v)) {
        if (back)
            luc_transpose(v->data, m->dense, dims[0], pixels, dims[1], j->size);
        else
            luc_transpose(m->dense, v->data, dims[0], dims[1], pixels, j->size);
        return;
    }
    conversion k = {.j = j, .m = m, .back = back};
    luc_parallel_for(dims[0] * dims[2], (1 << 13) / (dims[1] * dims[3] + 1) + 1, convert_rows, &k);
}

/* The image's data as the engine reads it, converted if necessary. */
static void *engine_input(const job *j, const image *m)
{
    if (!m->convert) return m->view->data;
    convert(j, m, false);
    return m->dense;
}

/* Where the engine writes the image. */
static void *engine_output(const image *m)
{
    return m->convert ? m->dense : m->view->data;
}

/* Element i of a vector of parameters, or `otherwise` if there is none. */
static double parameter(const lucid_view *v, int64_t i, double otherwise)
{
    return v ? luc_view_get(v, i * v->strides[0]) : otherwise;
}

static void set_element(const job *j, char *vector, int64_t i, double value)
{
    if (j->type == LUC_CONV_F64)
        ((double *)(void *)vector)[i] = value;
    else
        ((float *)(void *)vector)[i] = (float)value;
}

/* Writes ((sum + bias) - mean) / sqrt(var + eps) * weight + norm_bias as sum * scale + shift. Both
   are computed in double and rounded once. */
static luc_conv_epilogue epilogue(const job *j)
{
    for (int64_t i = 0; i < j->p.o && j->shift; i++) {
        double scale = 1, shift = parameter(j->bias, i, 0);
        if (j->mean) {
            scale = parameter(j->norm_weight, i, 1) / sqrt(parameter(j->var, i, 1) + j->eps);
            shift = (shift - parameter(j->mean, i, 0)) * scale + parameter(j->norm_bias, i, 0);
            set_element(j, j->scale, i, scale);
        }
        set_element(j, j->shift, i, shift);
    }
    return (luc_conv_epilogue){
        .scale = j->scale,
        .shift = j->shift,
        .residual = j->residual.view ? engine_input(j, &j->residual) : NULL,
        .relu = j->relu,
        .mean = j->out_mean,
        .var = j->out_var,
    };
}

/* ---- the kernels ----------------------------------------------------------------------------- */

/* The packed weights: the kept ones, or new ones that are kept from now on. NULL after an error. */
static lucid_kept *keep_packed(const job *j, const lucid_kernel_args *args)
{
    const luc_conv_packing key = luc_conv2d_packing(&j->plan);
    lucid_kept *kept = lucid_keep_find(args->keep, &key, sizeof key);
    if (kept) return kept;
    kept = lucid_kept_new(args->keep, j->plan.packed_bytes, &key, sizeof key);
    if (!kept) {
        luc_raise(LUCID_ERR_MEMORY, "conv2d", "out of memory: %zu bytes for packed weights",
                  j->plan.packed_bytes);
        return NULL;
    }
    luc_conv2d_pack(&j->plan, j->w->data, lucid_kept_data(kept));
    lucid_keep_put(args->keep, kept);
    return kept;
}

_Static_assert(sizeof(job) <= LUCID_PLAN_OWN, "a plan's run reads it from there");

static bool plan_conv2d(const lucid_kernel_args *args, lucid_plan *plan)
{
    job j;
    make_job(&j, args);
    plan->workspace = place(&j, NULL);
    plan->threads = j.plan.threads;
    plan->algorithm = j.plan.algorithm;
    memcpy(plan->own, &j, sizeof j);
    return true;
}

static job planned(const lucid_kernel_args *args)
{
    job j;
    memcpy(&j, args->plan->own, sizeof j);
    place(&j, args->workspace);
    return j;
}

static bool conv2d(const lucid_kernel_args *args)
{
    const job j = planned(args);
    lucid_kept *kept = j.plan.packed_bytes ? keep_packed(&j, args) : NULL;
    if (j.plan.packed_bytes && !kept) return false;
    const luc_conv_epilogue then = epilogue(&j);
    luc_conv2d_forward(&j.plan, engine_input(&j, &j.x), kept ? lucid_kept_data(kept) : j.w->data,
                       &then, engine_output(&j.y), j.workspace);
    lucid_kept_release(kept);
    if (j.y.convert) convert(&j, &j.y, true);
    return true;
}

static bool conv2d_backward_input(const lucid_kernel_args *args)
{
    const job j = planned(args);
    luc_conv2d_grad_input(&j.plan, engine_input(&j, &j.y), j.w->data, engine_output(&j.x),
                          j.workspace);
    if (j.x.convert) convert(&j, &j.x, true);
    return true;
}

static bool conv2d_backward_weight(const lucid_kernel_args *args)
{
    const job j = planned(args);
    luc_conv2d_grad_weight(&j.plan, engine_input(&j, &j.x), engine_input(&j, &j.y), j.w->data, NULL,
                           j.workspace);
    return true;
}

void luc_cpu_register_conv2d(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_conv2d][dtype] = (lucid_kernel){plan_conv2d, conv2d};
        b->kernels[LUCID_OP_conv2d_batch_norm][dtype] = (lucid_kernel){plan_conv2d, conv2d};
        b->kernels[LUCID_OP_conv2d_backward_input][dtype] =
            (lucid_kernel){plan_conv2d, conv2d_backward_input};
        b->kernels[LUCID_OP_conv2d_backward_weight][dtype] =
            (lucid_kernel){plan_conv2d, conv2d_backward_weight};
    }
    b->kernels[LUCID_OP_conv2d_statistics][LUCID_F32] = (lucid_kernel){plan_conv2d, conv2d};
}
