/* rows_tmpl.h: interpolation of one dtype (see simd/template.h), row by row. It is included by
 * level.c.
 *
 * A row that is summed is first made ready: read into numbers that are computed with, and, where
 * columns come first, interpolated along the columns. Rows that are ready are kept, because
 * neighbouring targets share them. */

/* What one block of rows works with. */
typedef struct LUC_F(bench) {
    const luc_resample_plan *p;
    int64_t plane;
    LUC_S *slots, *sums, *result;
    int64_t *kept; /* which row a slot holds; -1: none */
} LUC_F(bench);

/* sums[0, n) of rows, which lie at `rows + source * step`. */
static void LUC_F(resample_sum)(const LUC_S *rows, int64_t step, const int32_t *source,
                                const LUC_S *weight, int64_t taps, LUC_S *sums, int64_t n)
{
    for (int64_t i = 0; i < n; i += 2 * LUC_LANES) {
        const int64_t m = n - i;
        LUC_V a = LUC_VO(zero)(), b = LUC_VO(zero)();
        for (int64_t k = 0; k < taps; k++) {
            const LUC_S *x = rows + source[k] * step + i;
            const LUC_V w = LUC_VO(set1)(weight[k]);
            if (m >= 2 * LUC_LANES) {
                a = LUC_VO(fma)(w, LUC_VO(load)(x), a);
                b = LUC_VO(fma)(w, LUC_VO(load)(x + LUC_LANES), b);
            } else {
                a = LUC_VO(fma)(w, LUC_VO(load_n)(x, m < LUC_LANES ? m : LUC_LANES), a);
                if (m > LUC_LANES)
                    b = LUC_VO(fma)(w, LUC_VO(load_n)(x + LUC_LANES, m - LUC_LANES), b);
            }
        }
        if (m >= 2 * LUC_LANES) {
            LUC_VO(store)(sums + i, a);
            LUC_VO(store)(sums + i + LUC_LANES, b);
        } else {
            LUC_VO(store_n)(sums + i, a, m < LUC_LANES ? m : LUC_LANES);
            if (m > LUC_LANES) LUC_VO(store_n)(sums + i + LUC_LANES, b, m - LUC_LANES);
        }
    }
}

/* y[t] of a row x, of one lane a pixel, with K taps each (0: as many as the list says). */
LUC_INLINE void LUC_F(resample_pixels)(const luc_taps *t, int K, const LUC_S *x, LUC_S *y)
{
    const LUC_S *w = t->weight;
    const int32_t *source = t->source;
    for (int64_t o = 0; o < t->targets; o++) {
        const int64_t taps = K ? K : t->start[o + 1] - t->start[o];
        LUC_S sum = 0;
        for (int64_t k = 0; k < taps; k++) sum += w[k] * x[source[k]];
        y[o] = sum;
        w += taps;
        source += taps;
    }
}

/* A row along its columns. */
static void LUC_F(resample_columns)(const luc_resample_plan *p, const LUC_S *x, LUC_S *y)
{
    const luc_taps *t = &p->cols;
    const int64_t inner = p->inner;
    if (inner == 1 && t->count == 1) {
        LUC_F(resample_pixels)(t, 1, x, y);
    } else if (inner == 1 && t->count == 2) {
        LUC_F(resample_pixels)(t, 2, x, y);
    } else if (inner == 1 && t->count == 4) {
        LUC_F(resample_pixels)(t, 4, x, y);
    } else if (inner == 1) {
        LUC_F(resample_pixels)(t, 0, x, y);
    } else {
        for (int64_t o = 0; o < t->targets; o++) {
            const int64_t first = t->start[o], taps = t->start[o + 1] - first;
            LUC_F(resample_sum)
            (x, inner, t->source + first, (const LUC_S *)t->weight + first, taps, y + o * inner,
             inner);
        }
    }
}

/* Row `r` of the input as numbers that are computed with, where it lies or in `to`. */
static const LUC_S *LUC_F(resample_read)(const LUC_F(bench) * b, int64_t r, LUC_S *to)
{
    const luc_resample_plan *p = b->p;
    const luc_rows *from = &p->from;
    const LUC_T *x =
        (const LUC_T *)(const void *)from->data + plane_offset(p, from, b->plane) + r * from->row;
    const int64_t pixels = p->cols.sources, n = pixels * p->inner;
    if (from->dense && sizeof(LUC_T) == sizeof(LUC_S)) return (const LUC_S *)(const void *)x;
    if (from->dense) {
        int64_t i = 0;
        for (; i + LUC_LANES <= n; i += LUC_LANES) LUC_VO(store)(to + i, LUC_LOAD(x + i));
        for (; i < n; i++) to[i] = LUC_GET(x + i);
        return to;
    }
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < p->inner; c++)
            to[i * p->inner + c] = LUC_GET(x + i * from->pixel + c * from->lane);
    return to;
}

/* Makes row `r` ready, in `to` or where it lies. */
static const LUC_S *LUC_F(resample_ready)(const LUC_F(bench) * b, int64_t r, LUC_S *to)
{
    const luc_resample_plan *p = b->p;
    if (p->rows_first || p->cols.identity) return LUC_F(resample_read)(b, r, to);
    const LUC_S *x = LUC_F(resample_read)(b, r, b->result);
    LUC_F(resample_columns)(p, x, to);
    return to;
}

/* Whether rows are summed where they lie. */
static bool LUC_F(resample_in_place)(const luc_resample_plan *p)
{
    return (p->rows_first || p->cols.identity) && p->from.dense && sizeof(LUC_T) == sizeof(LUC_S);
}

/* The weighted sum of the rows of target t. */
static void LUC_F(resample_rows)(const LUC_F(bench) * b, int64_t t, int64_t n, LUC_S *sums)
{
    const luc_resample_plan *p = b->p;
    const int64_t first = p->rows.start[t], taps = p->rows.start[t + 1] - first;
    const int32_t *source = p->rows.source + first;
    const LUC_S *weight = (const LUC_S *)p->rows.weight + first;
    if (LUC_F(resample_in_place)(p)) {
        const LUC_S *x = LUC_F(resample_read)(b, 0, NULL);
        LUC_F(resample_sum)(x, p->from.row, source, weight, taps, sums, n);
        return;
    }
    if (taps == 0 || p->rows.span > p->slots) { /* more rows than are kept: one after the other */
        for (int64_t i = 0; i < n; i++) sums[i] = 0;
        for (int64_t k = 0; k < taps; k++) {
            const LUC_S *x = LUC_F(resample_ready)(b, source[k], b->slots);
            for (int64_t i = 0; i < n; i++) sums[i] += weight[k] * x[i];
        }
        return;
    }
    int32_t slot[64];
    for (int64_t from = 0; from < taps; from += 64) {
        const int64_t some = taps - from < 64 ? taps - from : 64;
        for (int64_t k = 0; k < some; k++) {
            const int64_t r = source[from + k], s = r % p->slots;
            LUC_S *to = b->slots + s * p->row_room;
            if (b->kept[s] != r) {
                const LUC_S *x = LUC_F(resample_ready)(b, r, to);
                if (x != to) memcpy(to, x, (size_t)n * sizeof *to);
                b->kept[s] = r;
            }
            slot[k] = (int32_t)s;
        }
        /* A second part is rare: only a target that has a source several times has more taps than
         * there are slots. */
        if (from == 0) {
            LUC_F(resample_sum)(b->slots, p->row_room, slot, weight, some, sums, n);
            continue;
        }
        for (int64_t k = 0; k < some; k++)
            for (int64_t i = 0; i < n; i++)
                sums[i] += weight[from + k] * b->slots[slot[k] * p->row_room + i];
    }
}

static void LUC_F(resample_write)(const LUC_F(bench) * b, const LUC_S *row, LUC_T *y)
{
    const luc_resample_plan *p = b->p;
    const int64_t pixels = p->cols.targets, n = pixels * p->inner;
    if (p->to.dense) {
        for (int64_t i = 0; i < n; i += LUC_LANES) {
            const int64_t m = n - i < LUC_LANES ? n - i : LUC_LANES;
            LUC_STORE_N(y + i, LUC_VO(load_n)(row + i, m), m);
        }
        return;
    }
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < p->inner; c++)
            LUC_PUT(y + i * p->to.pixel + c * p->to.lane, row[i * p->inner + c]);
}

/* Target row t of a plane. */
static void LUC_F(resample_row)(const LUC_F(bench) * b, int64_t t)
{
    const luc_resample_plan *p = b->p;
    const luc_rows *to = &p->to;
    LUC_T *y = (LUC_T *)(void *)to->data + plane_offset(p, to, b->plane) + t * to->row;
    const bool direct = to->dense && sizeof(LUC_T) == sizeof(LUC_S);
    LUC_S *result = direct ? (LUC_S *)(void *)y : b->result;
    const int64_t before = p->cols.sources * p->inner, after = p->cols.targets * p->inner;
    if (p->rows.identity) {
        const LUC_S *x = LUC_F(resample_read)(b, t, b->sums);
        if (!p->cols.identity)
            LUC_F(resample_columns)(p, x, result);
        else
            memcpy(result, x, (size_t)after * sizeof *x);
    } else if (p->rows_first && !p->cols.identity) {
        LUC_F(resample_rows)(b, t, before, b->sums);
        LUC_F(resample_columns)(p, b->sums, result);
    } else {
        LUC_F(resample_rows)(b, t, after, direct ? result : b->sums);
        if (!direct) result = b->sums;
    }
    if (!direct) LUC_F(resample_write)(b, result, y);
}

/* Unit i is a block of rows of a plane. */
static void LUC_F(resample_units)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const luc_resample_plan *p = ctx;
    const int64_t blocks = (p->rows.targets - 1) / p->block + 1;
    LUC_F(bench) b = {.p = p};
    char *scratch = p->scratch + (size_t)thread * p->scratch_bytes;
    b.slots = (LUC_S *)(void *)scratch;
    b.sums = b.slots + p->slots * p->row_room;
    b.result = b.sums + p->row_room;
    b.kept = (int64_t *)(void *)(b.result + p->row_room);
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % blocks * p->block, rest = p->rows.targets - first;
        b.plane = i / blocks;
        for (int64_t s = 0; s < p->slots; s++) b.kept[s] = -1;
        for (int64_t t = first; t < first + (rest < p->block ? rest : p->block); t++)
            LUC_F(resample_row)(&b, t);
    }
}

static void LUC_F(resample)(const luc_resample_plan *p)
{
    const int64_t blocks = (p->rows.targets - 1) / p->block + 1, units = p->n * p->c * blocks;
    const int64_t rows = p->block < p->rows.targets ? p->block : p->rows.targets;
    const int64_t work = rows * (p->cols.targets + p->cols.sources) * p->inner;
    luc_parallel_for(units, RESAMPLE_GRAIN / (work + 1) + 1, LUC_F(resample_units), (void *)p);
}
