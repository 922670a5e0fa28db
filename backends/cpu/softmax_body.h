/* softmax_body.h: softmax of one dtype (see typed.h); included by softmax_kernel.c.
 *
 * Three ways: ROW, where the dimension's elements are neighbours, in vectors along it; LANES, where
 * the other dimension's are, in vectors across it; ONE for any strides, a lane at a time. LANES and
 * ONE are the same code with `m` columns, of which ONE has a single one. */

#define EXP LUC_F(softmax_exp)

/* ---- along the dimension --------------------------------------------------------------------- */

static void LUC_F(softmax_row)(LUC_T *y, const LUC_T *x, int64_t n, bool log_)
{
    LUC_V most = LUC_VO(set1)(-(LUC_S)INFINITY), sum = LUC_VO(zero)();
    int64_t i = 0, whole = n - n % LUC_LANES, rest = n - whole;
    LUC_M tail = LUC_FIRST(rest);
    for (i = 0; i < whole; i += LUC_LANES) most = LUC_VO(max)(LUC_LOAD(x + i), most);
    if (rest) most = LUC_VO(max)(LUC_VO(select)(tail, LUC_LOAD_N(x + i, rest), most), most);
    LUC_V max = LUC_VO(set1)(LUC_VO(hmax)(most));
    for (i = 0; i < whole; i += LUC_LANES)
        sum = LUC_VO(add)(sum, EXP(LUC_VO(sub)(LUC_LOAD(x + i), max)));
    if (rest) {
        LUC_V e = EXP(LUC_VO(sub)(LUC_LOAD_N(x + i, rest), max));
        sum = LUC_VO(add)(sum, LUC_VO(keep)(tail, e));
    }
    LUC_S total = LUC_VO(sum)(sum);
    LUC_V all = LUC_VO(set1)(log_ ? (LUC_S)log((double)total) : total);
    for (i = 0; i < n; i += LUC_LANES) {
        int64_t m = n - i < LUC_LANES ? n - i : LUC_LANES;
        LUC_V d = LUC_VO(sub)(LUC_LOAD_N(x + i, m), max);
        LUC_STORE_N(y + i, log_ ? LUC_VO(sub)(d, all) : LUC_VO(div)(EXP(d), all), m);
    }
}

static void LUC_F(softmax_backward_row)(LUC_T *dx, const LUC_T *g, const LUC_T *y, int64_t n,
                                        bool log_)
{
    LUC_V sum = LUC_VO(zero)();
    for (int64_t i = 0; i < n; i += LUC_LANES) {
        int64_t m = n - i < LUC_LANES ? n - i : LUC_LANES;
        LUC_V vg = LUC_LOAD_N(g + i, m);
        sum = log_ ? LUC_VO(add)(sum, vg) : LUC_VO(fma)(vg, LUC_LOAD_N(y + i, m), sum);
    }
    LUC_V all = LUC_VO(set1)(LUC_VO(sum)(sum));
    for (int64_t i = 0; i < n; i += LUC_LANES) {
        int64_t m = n - i < LUC_LANES ? n - i : LUC_LANES;
        LUC_V vg = LUC_LOAD_N(g + i, m), vy = LUC_LOAD_N(y + i, m);
        LUC_V d = log_ ? LUC_VO(fnma)(EXP(vy), all, vg) : LUC_VO(mul)(vy, LUC_VO(sub)(vg, all));
        LUC_STORE_N(dx + i, d, m);
    }
}

/* ---- across it: m columns side by side ------------------------------------------------------- */

LUC_INLINE LUC_V LUC_F(softmax_log)(LUC_V v)
{
    LUC_S lane[LUC_LANES];
    LUC_VO(store)(lane, v);
    for (int k = 0; k < LUC_LANES; k++) lane[k] = (LUC_S)log((double)lane[k]);
    return LUC_VO(load)(lane);
}

LUC_INLINE void LUC_F(softmax_columns)(const luc_softmax_plan *p, LUC_T *y, const LUC_T *x,
                                       int64_t m)
{
    int64_t sx = p->step[0], sy = p->step[1];
    LUC_V max = LUC_VO(set1)(-(LUC_S)INFINITY), sum = LUC_VO(zero)();
    for (int64_t i = 0; i < p->size; i++) max = LUC_VO(max)(LUC_LOAD_N(x + i * sx, m), max);
    for (int64_t i = 0; i < p->size; i++)
        sum = LUC_VO(add)(sum, EXP(LUC_VO(sub)(LUC_LOAD_N(x + i * sx, m), max)));
    if (p->log) sum = LUC_F(softmax_log)(sum);
    for (int64_t i = 0; i < p->size; i++) {
        LUC_V d = LUC_VO(sub)(LUC_LOAD_N(x + i * sx, m), max);
        LUC_STORE_N(y + i * sy, p->log ? LUC_VO(sub)(d, sum) : LUC_VO(div)(EXP(d), sum), m);
    }
}

LUC_INLINE void LUC_F(softmax_backward_columns)(const luc_softmax_plan *p, LUC_T *dx,
                                                const LUC_T *g, const LUC_T *y, int64_t m)
{
    int64_t sg = p->step[0], sy = p->step[1], sd = p->step[2];
    LUC_V sum = LUC_VO(zero)();
    for (int64_t i = 0; i < p->size; i++) {
        LUC_V vg = LUC_LOAD_N(g + i * sg, m);
        sum = p->log ? LUC_VO(add)(sum, vg) : LUC_VO(fma)(vg, LUC_LOAD_N(y + i * sy, m), sum);
    }
    for (int64_t i = 0; i < p->size; i++) {
        LUC_V vg = LUC_LOAD_N(g + i * sg, m), vy = LUC_LOAD_N(y + i * sy, m);
        LUC_V d = p->log ? LUC_VO(fnma)(EXP(vy), sum, vg) : LUC_VO(mul)(vy, LUC_VO(sub)(vg, sum));
        LUC_STORE_N(dx + i * sd, d, m);
    }
}

/* ---- the loop over the other dimensions ------------------------------------------------------ */

/* Columns [first, first + n) of a run that begins at `at`. */
LUC_INLINE void LUC_F(softmax_some)(const luc_softmax_plan *p, const int64_t *at, int64_t first,
                                    int64_t n)
{
    int last = p->loop.ndim - 1, operands = p->loop.operands;
    bool rows = p->size > 1, lanes = true;
    for (int k = 0; k < operands; k++) {
        if (p->step[k] != 1) rows = false;
        if (p->loop.strides[k][last] != 1) lanes = false;
    }
    int64_t width = lanes && !rows ? LUC_LANES : 1;
    for (int64_t j = first; j < first + n; j += width) {
        int64_t m = first + n - j < width ? first + n - j : width;
        LUC_T *a[3] = {0};
        for (int k = 0; k < operands; k++)
            a[k] = (LUC_T *)p->data[k] + at[k] + j * p->loop.strides[k][last];
        if (operands == 2) {
            if (rows)
                LUC_F(softmax_row)(a[1], a[0], p->size, p->log);
            else
                LUC_F(softmax_columns)(p, a[1], a[0], m);
        } else {
            if (rows)
                LUC_F(softmax_backward_row)(a[2], a[0], a[1], p->size, p->log);
            else
                LUC_F(softmax_backward_columns)(p, a[2], a[0], a[1], m);
        }
    }
}

/* Columns are numbered through all runs; blocks end where they will. */
static void LUC_F(softmax_block)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_softmax_plan *p = ctx;
    int64_t inner = p->loop.dims[p->loop.ndim - 1];
    while (begin < end) {
        int64_t at[LUC_MAX_OPERANDS], first = begin % inner;
        int64_t n = inner - first < end - begin ? inner - first : end - begin;
        luc_loop_offsets(&p->loop, begin / inner, at);
        LUC_F(softmax_some)(p, at, first, n);
        begin += n;
    }
}

static void LUC_F(softmax)(const luc_softmax_plan *plan)
{
    luc_softmax_plan p = *plan;
    int64_t columns = luc_loop_runs(&p.loop) * p.loop.dims[p.loop.ndim - 1];
    int64_t grain = (1 << 13) / (p.size + 1) / 16 * 16 + 16;
    if (p.size > 0) luc_parallel_for(columns, grain, LUC_F(softmax_block), &p);
}

static void LUC_F(softmax_backward)(const luc_softmax_plan *plan)
{
    LUC_F(softmax)(plan);
}

#undef EXP
