/* gemm_blocked_tmpl.h: the blocked product of one element type; included by gemm_blocked.c. */

/* A product, and how it is cut into items of parallel work: each has item_rows by item_cols of
   C. */
typedef struct {
    const luc_gemm_params *p;
    const LUC_JOIN(LUC_F(luc_tile), _table) * tile;
    const LUC_T *a, *b, *bias;
    LUC_T *c;
    char *scratch;        /* scratch_bytes for each thread */
    size_t scratch_bytes; /* the panels of B first, then the block of A */
    int64_t item_rows, item_cols, row_items, col_items;
    bool copy_a;
} LUC_F(plan);

/* A column panel of B: DEPTH rows of tile->cols, zeros on the right of column n. */
static void LUC_F(pack_b)(const LUC_F(plan) * g, LUC_T *dst, const LUC_T *b, int64_t depth,
                          int64_t n)
{
    const int64_t cols = g->tile->cols, ld = g->p->ldb;
    if (g->p->trans_b) {
        if (n < cols) memset(dst, 0, sizeof(LUC_T) * (size_t)(depth * cols));
        LUC_F(transpose)(dst, cols, b, ld, n, depth);
        return;
    }
    for (int64_t k = 0; k < depth; k++, dst += cols, b += ld) {
        int64_t j = 0;
        for (; j + LUC_LANES <= n; j += LUC_LANES) LUC_VO(store)(dst + j, LUC_VO(load)(b + j));
        for (; j < cols; j += LUC_LANES)
            LUC_VO(store)(dst + j, LUC_VO(load_n)(b + j, n > j ? n - j : 0));
    }
}

/* Copies rows of A next to each other, so that their distance is neither large nor a multiple of a
   page. */
static int64_t LUC_F(copy_a)(const LUC_F(plan) * g, LUC_T *dst, const LUC_T *a, int64_t rows,
                             int64_t depth)
{
    const bool trans = g->p->trans_a;
    const int64_t lines = trans ? depth : rows, length = trans ? rows : depth;
    const int64_t ld = trans ? BLOCK_ROWS : DEPTH + 64 / (int64_t)sizeof(LUC_T);
    for (int64_t i = 0; i < lines; i++)
        memcpy(dst + i * ld, a + i * g->p->lda, sizeof(LUC_T) * (size_t)length);
    return ld;
}

/* The flags that say what the tiles of k steps [k, k + depth) do to C. */
static int LUC_F(flags)(const luc_gemm_params *p, int64_t k, int64_t depth, LUC_F(luc_tile) * t)
{
    int flags = 0;
    t->alpha = (LUC_T)p->alpha;
    t->beta = k == 0 ? (LUC_T)p->beta : 1;
    if (p->alpha == 1 && t->beta == 1)
        flags = LUC_TILE_ADD;
    else if (p->alpha != 1 || t->beta != 0)
        flags = LUC_TILE_SCALE;
    if (k + depth < p->k) return flags;
    if (p->bias_kind == LUC_GEMM_BIAS_COL) flags |= LUC_TILE_BIAS_COL;
    if (p->bias_kind == LUC_GEMM_BIAS_ROW) flags |= LUC_TILE_BIAS_ROW;
    if (p->relu) flags |= LUC_TILE_RELU;
    return flags;
}

/* Rows [0, rows) of one panel: t has everything but rows and addresses of A and C. */
static void LUC_F(run_panel)(const LUC_F(plan) * g, LUC_F(luc_tile) * t, const LUC_T *a, LUC_T *c,
                             int64_t rows)
{
    const int64_t size = even_pieces(rows, g->tile->rows, 1);
    for (int64_t r = 0; r < rows; r += size) {
        t->m = (int)luc_min64(size, rows - r);
        t->a0 = a + r * t->a_row;
        t->a1 = t->a0 + g->tile->half * t->a_row;
        t->c0 = c + r * t->c_row;
        t->c1 = t->c0 + g->tile->half * t->c_row;
        g->tile->run(t);
        if (t->flags & LUC_TILE_BIAS_ROW) t->bias += size;
    }
}

/* Steps [k, k + depth) of a block of C: rows [r0, r0 + rows), columns [c0, c0 + cols). */
static void LUC_F(run_block)(const LUC_F(plan) * g, LUC_F(luc_tile) * t, const LUC_T *a,
                             const LUC_T *packed_b, LUC_T *copy, LUC_T *c, int64_t r0, int64_t rows,
                             int64_t c0, int64_t cols)
{
    const luc_gemm_params *p = g->p;
    t->a_row = p->trans_a ? 1 : p->lda;
    t->a_step = p->trans_a ? p->lda : 1;
    if (g->copy_a) {
        int64_t ld = LUC_F(copy_a)(g, copy, a, rows, t->depth);
        a = copy;
        t->a_row = p->trans_a ? 1 : ld;
        t->a_step = p->trans_a ? ld : 1;
    }
    for (int64_t j = 0; j < cols; j += g->tile->cols) {
        t->n = (int)luc_min64(g->tile->cols, cols - j);
        t->b = packed_b + j * t->depth;
        if (p->bias_kind == LUC_GEMM_BIAS_COL) t->bias = g->bias + c0 + j;
        if (p->bias_kind == LUC_GEMM_BIAS_ROW) t->bias = g->bias + r0;
        LUC_F(run_panel)(g, t, a, c + r0 * p->ldc + c0 + j, rows);
    }
}

static void LUC_F(run_item)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const LUC_F(plan) *g = ctx;
    const luc_gemm_params *p = g->p;
    (void)end;
    const int64_t items = g->row_items * g->col_items, batch = begin / items, item = begin % items;
    const int64_t r0 = item % g->row_items * g->item_rows, c0 = item / g->row_items * g->item_cols;
    const int64_t r1 = luc_min64(r0 + g->item_rows, p->m),
                  cols = luc_min64(g->item_cols, p->n - c0);
    const LUC_T *a = g->a + batch * p->stride_a, *b = g->b + batch * p->stride_b;
    LUC_T *c = g->c + batch * p->stride_c;
    LUC_T *packed = (LUC_T *)(g->scratch + (size_t)thread * g->scratch_bytes);
    LUC_T *copy = packed + DEPTH * even_pieces(g->item_cols, g->item_cols, g->tile->cols);
    const luc_segment none = {0, 0};
    LUC_F(luc_tile) t = {.b_step = g->tile->cols, .c_row = p->ldc, .segments = 1, .segment = &none};
    const int64_t block = even_pieces(r1 - r0, BLOCK_ROWS, 1);
    for (int64_t k = 0; k == 0 || k < p->k; k += DEPTH) {
        t.depth = luc_min64(DEPTH, p->k - k);
        t.flags = LUC_F(flags)(p, k, t.depth, &t);
        for (int64_t j = 0; j < cols; j += t.b_step) {
            const LUC_T *from = b + (p->trans_b ? (c0 + j) * p->ldb + k : k * p->ldb + c0 + j);
            LUC_F(pack_b)(g, packed + j * t.depth, from, t.depth, luc_min64(t.b_step, cols - j));
        }
        for (int64_t r = r0; r < r1; r += block) {
            const LUC_T *from = a + (p->trans_a ? k * p->lda + r : r * p->lda + k);
            LUC_F(run_block)(g, &t, from, packed, copy, c, r, luc_min64(block, r1 - r), c0, cols);
        }
    }
}

/* Cuts C into items. Large items share copies best, but there must be enough to keep threads
   busy. */
static void LUC_F(cut)(LUC_F(plan) * g, int threads)
{
    const luc_gemm_params *p = g->p;
    const int64_t cols = g->tile->cols, rows = g->tile->rows;
    g->item_rows = even_pieces(p->m, ITEM_ROWS, 1);
    g->item_cols = even_pieces(p->n, ITEM_COLS, cols);
    for (;;) {
        g->row_items = luc_ceil_div(p->m, g->item_rows);
        g->col_items = luc_ceil_div(p->n, g->item_cols);
        int64_t items = g->row_items * g->col_items * p->batch;
        if (threads == 1 || items >= 4 * threads) break;
        if (g->item_cols > cols && 2 * g->item_cols > g->item_rows)
            g->item_cols = even_pieces(p->n, g->item_cols / 2 / cols * cols, cols);
        else if (g->item_rows > 4 * rows)
            g->item_rows = even_pieces(p->m, g->item_rows / 2, rows);
        else if (items >= threads || g->item_rows <= rows)
            break;
        else
            g->item_rows = even_pieces(p->m, g->item_rows / 2, rows);
    }
    /* Copying pays if a row is read for several panels, or if all rows of a tile would need the
       same lines of the cache. */
    const size_t distance = (size_t)p->lda * sizeof(LUC_T);
    g->copy_a = g->item_cols >= 4 * cols || (g->item_cols >= 2 * cols && distance % 4096 == 0);
}

/* The largest scratch memory that any cut may need, so that it does not depend on the number of
   threads. */
static size_t LUC_F(scratch)(const luc_gemm_params *p)
{
    const int64_t cols = LUC_JOIN(LUC_F(luc_tile), _get)()->cols;
    const size_t b = (size_t)(DEPTH * even_pieces(luc_min64(p->n, ITEM_COLS), ITEM_COLS, cols));
    const size_t a = (size_t)(BLOCK_ROWS + 1) * (DEPTH + 64 / sizeof(LUC_T));
    return luc_round64((a + b) * sizeof(LUC_T));
}

/* Few vectors times many rows that are contiguous along k: C(r, j) = row r . vector j, by dot
   products. */
typedef struct {
    const luc_gemm_params *p;
    const LUC_T *rows, *vectors, *bias;
    LUC_T *c;
    int64_t ld_rows, ld_vectors, c_row, c_vector;
    int count;
    bool bias_by_row;
} LUC_F(dots);

static void LUC_F(store_dot)(const LUC_F(dots) * d, int64_t r, int64_t j, LUC_T sum)
{
    const luc_gemm_params *p = d->p;
    LUC_T *c = d->c + r * d->c_row + j * d->c_vector;
    LUC_T x = (LUC_T)p->alpha * sum;
    if (p->beta != 0) x += (LUC_T)p->beta * *c;
    if (p->bias_kind) x += d->bias[d->bias_by_row ? r : j];
    if (p->relu) x = x < 0 ? 0 : x;
    *c = x;
}

static void LUC_F(run_dots)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const LUC_F(dots) *d = ctx;
    const int64_t depth = d->p->k;
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const LUC_T *x = d->rows + r * d->ld_rows;
        for (int j = 0; j < d->count; j++) {
            const LUC_T *y = d->vectors + j * d->ld_vectors;
            LUC_V s0 = LUC_VO(zero)(), s1 = s0, s2 = s0, s3 = s0;
            int64_t k = 0;
            for (; k + 4 * LUC_LANES <= depth; k += 4 * LUC_LANES) {
                s0 = LUC_VO(fma)(LUC_VO(load)(x + k), LUC_VO(load)(y + k), s0);
                s1 = LUC_VO(fma)(LUC_VO(load)(x + k + LUC_LANES), LUC_VO(load)(y + k + LUC_LANES),
                                 s1);
                s2 = LUC_VO(fma)(LUC_VO(load)(x + k + 2 * LUC_LANES),
                                 LUC_VO(load)(y + k + 2 * LUC_LANES), s2);
                s3 = LUC_VO(fma)(LUC_VO(load)(x + k + 3 * LUC_LANES),
                                 LUC_VO(load)(y + k + 3 * LUC_LANES), s3);
            }
            for (; k < depth; k += LUC_LANES) {
                int64_t n = luc_min64(LUC_LANES, depth - k);
                s0 = LUC_VO(fma)(LUC_VO(load_n)(x + k, n), LUC_VO(load_n)(y + k, n), s0);
            }
            LUC_F(store_dot)
            (d, r, j, LUC_VO(sum)(LUC_VO(add)(LUC_VO(add)(s0, s1), LUC_VO(add)(s2, s3))));
        }
    }
}

/* Product number `batch` as dot products, if one operand is a few contiguous vectors. */
static bool LUC_F(try_dots)(const luc_gemm_params *p, const LUC_T *a, const LUC_T *b, LUC_T *c,
                            const LUC_T *bias)
{
    LUC_F(dots) d = {.p = p, .bias = bias, .c = c};
    int64_t rows;
    if (p->m <= FEW && p->trans_b && (!p->trans_a || (p->m == 1 && p->lda == 1))) {
        rows = p->n;
        d.rows = b, d.ld_rows = p->ldb, d.c_row = 1;
        d.vectors = a, d.ld_vectors = p->lda, d.c_vector = p->ldc, d.count = (int)p->m;
        d.bias_by_row = p->bias_kind == LUC_GEMM_BIAS_COL;
    } else if (p->n <= FEW && !p->trans_a && (p->trans_b || (p->n == 1 && p->ldb == 1))) {
        rows = p->m;
        d.rows = a, d.ld_rows = p->lda, d.c_row = p->ldc;
        d.vectors = b, d.ld_vectors = p->ldb, d.c_vector = 1, d.count = (int)p->n;
        d.bias_by_row = p->bias_kind == LUC_GEMM_BIAS_ROW;
    } else {
        return false;
    }
    luc_parallel_for(rows, 1 + (1 << 16) / (1 + p->k * d.count), LUC_F(run_dots), &d);
    return true;
}

static void LUC_F(gemm)(const luc_gemm_params *p, const LUC_T *a, const LUC_T *b, LUC_T *c,
                        const LUC_T *bias, void *workspace, size_t bytes)
{
    if (p->m <= 0 || p->n <= 0 || p->batch <= 0) return;
    if (p->batch == 1 && LUC_F(try_dots)(p, a, b, c, bias)) return;
    LUC_F(plan)
    g = {.p = p, .tile = LUC_JOIN(LUC_F(luc_tile), _get)(), .a = a, .b = b, .c = c, .bias = bias};
    g.scratch = workspace;
    g.scratch_bytes = LUC_F(scratch)(p);
    int threads = luc_num_threads();
    if ((size_t)threads > bytes / g.scratch_bytes) threads = (int)(bytes / g.scratch_bytes);
    const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batch;
    if (operations < SMALL_WORK || threads < 1) threads = 1;
    LUC_F(cut)(&g, threads);
    luc_parallel_for_max(g.row_items * g.col_items * p->batch, 1, threads, LUC_F(run_item), &g);
}
