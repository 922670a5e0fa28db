/* softmax_tmpl.h: softmax of one dtype (see simd/template.h); it is included by level.c.
 *
 * There are three ways. ROW: the elements of the dimension are neighbours, and vectors lie along
 * it. LANES: the elements of another dimension are neighbours, and vectors lie across. ONE: any
 * strides, one element at a time. LANES and ONE share their code, with `m` columns; ONE has one
 * column. */

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
        LUC_V e = EXP(LUC_VO(sub)(LUC_LOAD_SOME(x + i, rest), max));
        sum = LUC_VO(add)(sum, LUC_VO(keep)(tail, e));
    }
    LUC_S total = LUC_VO(sum)(sum);
    LUC_V all = LUC_VO(set1)(log_ ? (LUC_S)log((double)total) : total);
    for (i = 0; i < whole; i += LUC_LANES) {
        LUC_V d = LUC_VO(sub)(LUC_LOAD(x + i), max);
        LUC_STORE(y + i, log_ ? LUC_VO(sub)(d, all) : LUC_VO(div)(EXP(d), all));
    }
    if (rest) {
        LUC_V d = LUC_VO(sub)(LUC_LOAD_SOME(x + i, rest), max);
        LUC_STORE_N(y + i, log_ ? LUC_VO(sub)(d, all) : LUC_VO(div)(EXP(d), all), rest);
    }
}

/* The computation of a vector in each of the two passes of backward. */
LUC_INLINE LUC_V LUC_F(softmax_gather)(LUC_V sum, LUC_V g, LUC_V y, bool log_)
{
    return log_ ? LUC_VO(add)(sum, g) : LUC_VO(fma)(g, y, sum);
}

LUC_INLINE LUC_V LUC_F(softmax_dx)(LUC_V g, LUC_V y, LUC_V all, bool log_)
{
    return log_ ? LUC_VO(fnma)(EXP(y), all, g) : LUC_VO(mul)(y, LUC_VO(sub)(g, all));
}

static void LUC_F(softmax_backward_row)(LUC_T *dx, const LUC_T *g, const LUC_T *y, int64_t n,
                                        bool log_)
{
    LUC_V sum = LUC_VO(zero)(), other = sum;
    int64_t i = 0, whole = n - n % LUC_LANES, rest = n - whole;
    for (; i + 2 * LUC_LANES <= n; i += 2 * LUC_LANES) {
        const LUC_T *gi = g + i, *yi = y + i;
        sum = LUC_F(softmax_gather)(sum, LUC_LOAD(gi), LUC_LOAD(yi), log_);
        other =
            LUC_F(softmax_gather)(other, LUC_LOAD(gi + LUC_LANES), LUC_LOAD(yi + LUC_LANES), log_);
    }
    if (i < whole) sum = LUC_F(softmax_gather)(sum, LUC_LOAD(g + i), LUC_LOAD(y + i), log_);
    g += whole;
    y += whole;
    dx += whole;
    if (rest) other = LUC_F(softmax_gather)(other, LUC_LOAD_N(g, rest), LUC_LOAD_N(y, rest), log_);
    LUC_V all = LUC_VO(set1)(LUC_VO(sum)(LUC_VO(add)(sum, other)));
    for (i = -whole; i < 0; i += LUC_LANES)
        LUC_STORE(dx + i, LUC_F(softmax_dx)(LUC_LOAD(g + i), LUC_LOAD(y + i), all, log_));
    if (rest) {
        LUC_V v = LUC_F(softmax_dx)(LUC_LOAD_SOME(g, rest), LUC_LOAD_SOME(y, rest), all, log_);
        LUC_STORE_N(dx, v, rest);
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

/* The k-th vector of m columns at p: a whole vector, or the columns that are left. */
LUC_INLINE LUC_V LUC_F(softmax_at)(const LUC_T *p, int k, int64_t m)
{
    int64_t left = m - k * LUC_LANES;
    if (left >= LUC_LANES) return LUC_LOAD(p + k * LUC_LANES);
    return LUC_LOAD_N(p + k * LUC_LANES, left);
}

LUC_INLINE void LUC_F(softmax_to)(LUC_T *p, int k, LUC_V v, int64_t m)
{
    int64_t left = m - k * LUC_LANES;
    if (left >= LUC_LANES)
        LUC_STORE(p + k * LUC_LANES, v);
    else
        LUC_STORE_N(p + k * LUC_LANES, v, left);
}

/* `vectors` vectors, m columns in all: as many as make it worth reading a line of each row. */
LUC_INLINE void LUC_F(softmax_columns)(const luc_softmax_plan *p, LUC_T *y, const LUC_T *x,
                                       int64_t m, int vectors)
{
    int64_t sx = p->step[0], sy = p->step[1];
    LUC_V max[SOFTMAX_VECTORS], sum[SOFTMAX_VECTORS];
    for (int k = 0; k < vectors; k++) {
        max[k] = LUC_VO(set1)(-(LUC_S)INFINITY);
        sum[k] = LUC_VO(zero)();
    }
    for (int64_t i = 0; i < p->size; i++)
        for (int k = 0; k < vectors; k++)
            max[k] = LUC_VO(max)(LUC_F(softmax_at)(x + i * sx, k, m), max[k]);
    for (int64_t i = 0; i < p->size; i++)
        for (int k = 0; k < vectors; k++) {
            LUC_V d = LUC_VO(sub)(LUC_F(softmax_at)(x + i * sx, k, m), max[k]);
            sum[k] = LUC_VO(add)(sum[k], EXP(d));
        }
    if (p->log)
        for (int k = 0; k < vectors; k++) sum[k] = LUC_F(softmax_log)(sum[k]);
    for (int64_t i = 0; i < p->size; i++)
        for (int k = 0; k < vectors; k++) {
            LUC_V d = LUC_VO(sub)(LUC_F(softmax_at)(x + i * sx, k, m), max[k]);
            d = p->log ? LUC_VO(sub)(d, sum[k]) : LUC_VO(div)(EXP(d), sum[k]);
            LUC_F(softmax_to)(y + i * sy, k, d, m);
        }
}

LUC_INLINE void LUC_F(softmax_backward_columns)(const luc_softmax_plan *p, LUC_T *dx,
                                                const LUC_T *g, const LUC_T *y, int64_t m,
                                                int vectors)
{
    int64_t sg = p->step[0], sy = p->step[1], sd = p->step[2];
    LUC_V sum[SOFTMAX_VECTORS];
    for (int k = 0; k < vectors; k++) sum[k] = LUC_VO(zero)();
    for (int64_t i = 0; i < p->size; i++)
        for (int k = 0; k < vectors; k++) {
            LUC_V vg = LUC_F(softmax_at)(g + i * sg, k, m);
            sum[k] = p->log ? LUC_VO(add)(sum[k], vg)
                            : LUC_VO(fma)(vg, LUC_F(softmax_at)(y + i * sy, k, m), sum[k]);
        }
    for (int64_t i = 0; i < p->size; i++)
        for (int k = 0; k < vectors; k++) {
            LUC_V vg = LUC_F(softmax_at)(g + i * sg, k, m);
            LUC_V vy = LUC_F(softmax_at)(y + i * sy, k, m);
            LUC_V d = p->log ? LUC_VO(fnma)(EXP(vy), sum[k], vg)
                             : LUC_VO(mul)(vy, LUC_VO(sub)(vg, sum[k]));
            LUC_F(softmax_to)(dx + i * sd, k, d, m);
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
    int64_t wide = SOFTMAX_VECTORS * LUC_LANES, width;
    for (int64_t j = first; j < first + n; j += width) {
        int64_t left = first + n - j;
        width = !lanes || rows ? 1 : left >= wide ? wide : left < LUC_LANES ? left : LUC_LANES;
        LUC_T *a[3] = {0};
        for (int k = 0; k < operands; k++)
            a[k] = (LUC_T *)p->data[k] + at[k] + j * p->loop.strides[k][last];
        if (rows && operands == 2)
            LUC_F(softmax_row)(a[1], a[0], p->size, p->log);
        else if (rows)
            LUC_F(softmax_backward_row)(a[2], a[0], a[1], p->size, p->log);
        else if (width == wide && operands == 2)
            LUC_F(softmax_columns)(p, a[1], a[0], wide, SOFTMAX_VECTORS);
        else if (width == wide)
            LUC_F(softmax_backward_columns)(p, a[2], a[0], a[1], wide, SOFTMAX_VECTORS);
        else if (operands == 2)
            LUC_F(softmax_columns)(p, a[1], a[0], width, 1);
        else
            LUC_F(softmax_backward_columns)(p, a[2], a[0], a[1], width, 1);
    }
}

/* Columns are numbered through all runs, so a block may end within a run. */
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
    int64_t grain = (1 << 13) / (p.size + 1) / 64 * 64 + 64;
    if (p.step[0] == 1) grain = (1 << 13) / (p.size + 1) + 1;
    if (p.size > 0) luc_parallel_for(columns, grain, LUC_F(softmax_block), &p);
}

static void LUC_F(softmax_backward)(const luc_softmax_plan *plan)
{
    LUC_F(softmax)(plan);
}

#undef EXP
