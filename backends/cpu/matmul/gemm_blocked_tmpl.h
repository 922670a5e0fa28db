/* gemm_blocked_tmpl.h: the blocked product of one element type; included by gemm_blocked.c. */

/* A product, and how it is cut into items of parallel work: each has item_rows by item_cols of
   C. */
typedef struct {
    const luc_gemm_params *p;
    const LUC_JOIN(TILE, _table) * tile;
    const T *a, *b, *bias;
    T *c;
    char *scratch;        /* scratch_bytes for each thread */
    size_t scratch_bytes; /* the panels of B first, then the block of A */
    int64_t item_rows, item_cols, row_items, col_items;
    bool copy_a;
} FN(plan);

/* A column panel of B: DEPTH rows of tile->cols, zeros on the right of column n. */
static void FN(pack_b)(const FN(plan) * g, T *dst, const T *b, int64_t depth, int64_t n)
{
    const int64_t cols = g->tile->cols, ld = g->p->ldb;
    if (g->p->trans_b) {
        if (n < cols) memset(dst, 0, sizeof(T) * (size_t)(depth * cols));
        FN(transpose)(dst, cols, b, ld, n, depth);
        return;
    }
    for (int64_t k = 0; k < depth; k++, dst += cols, b += ld) {
        int64_t j = 0;
        for (; j + LANES <= n; j += LANES) OP(store)(dst + j, OP(load)(b + j));
        for (; j < cols; j += LANES) OP(store)(dst + j, OP(load_n)(b + j, n > j ? n - j : 0));
    }
}

/* Copies rows of A next to each other, so that their distance is neither large nor a multiple of a
   page. */
static int64_t FN(copy_a)(const FN(plan) * g, T *dst, const T *a, int64_t rows, int64_t depth)
{
    const bool trans = g->p->trans_a;
    const int64_t lines = trans ? depth : rows, length = trans ? rows : depth;
    const int64_t ld = trans ? BLOCK_ROWS : DEPTH + 64 / (int64_t)sizeof(T);
    for (int64_t i = 0; i < lines; i++)
        memcpy(dst + i * ld, a + i * g->p->lda, sizeof(T) * (size_t)length);
    return ld;
}

/* The flags that say what the tiles of k steps [k, k + depth) do to C. */
static int FN(flags)(const luc_gemm_params *p, int64_t k, int64_t depth, TILE *t)
{
    int flags = 0;
    t->alpha = (T)p->alpha;
    t->beta = k == 0 ? (T)p->beta : 1;
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
static void FN(run_panel)(const FN(plan) * g, TILE *t, const T *a, T *c, int64_t rows)
{
    const int64_t size = even_pieces(rows, g->tile->rows, 1);
    for (int64_t r = 0; r < rows; r += size) {
        t->m = (int)min64(size, rows - r);
        t->a0 = a + r * t->a_row;
        t->a1 = t->a0 + g->tile->half * t->a_row;
        t->c0 = c + r * t->c_row;
        t->c1 = t->c0 + g->tile->half * t->c_row;
        g->tile->run(t);
        if (t->flags & LUC_TILE_BIAS_ROW) t->bias += size;
    }
}

/* Steps [k, k + depth) of a block of C: rows [r0, r0 + rows), columns [c0, c0 + cols). */
static void FN(run_block)(const FN(plan) * g, TILE *t, const T *a, const T *packed_b, T *copy, T *c,
                          int64_t r0, int64_t rows, int64_t c0, int64_t cols)
{
    const luc_gemm_params *p = g->p;
    t->a_row = p->trans_a ? 1 : p->lda;
    t->a_step = p->trans_a ? p->lda : 1;
    if (g->copy_a) {
        int64_t ld = FN(copy_a)(g, copy, a, rows, t->depth);
        a = copy;
        t->a_row = p->trans_a ? 1 : ld;
        t->a_step = p->trans_a ? ld : 1;
    }
    for (int64_t j = 0; j < cols; j += g->tile->cols) {
        t->n = (int)min64(g->tile->cols, cols - j);
        t->b = packed_b + j * t->depth;
        if (p->bias_kind == LUC_GEMM_BIAS_COL) t->bias = g->bias + c0 + j;
        if (p->bias_kind == LUC_GEMM_BIAS_ROW) t->bias = g->bias + r0;
        FN(run_panel)(g, t, a, c + r0 * p->ldc + c0 + j, rows);
    }
}

static void FN(run_item)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const FN(plan) *g = ctx;
    const luc_gemm_params *p = g->p;
    (void)end;
    const int64_t items = g->row_items * g->col_items, batch = begin / items, item = begin % items;
    const int64_t r0 = item % g->row_items * g->item_rows, c0 = item / g->row_items * g->item_cols;
    const int64_t r1 = min64(r0 + g->item_rows, p->m), cols = min64(g->item_cols, p->n - c0);
    const T *a = g->a + batch * p->stride_a, *b = g->b + batch * p->stride_b;
    T *c = g->c + batch * p->stride_c;
    T *packed = (T *)(g->scratch + (size_t)thread * g->scratch_bytes);
    T *copy = packed + DEPTH * even_pieces(g->item_cols, g->item_cols, g->tile->cols);
    const luc_segment none = {0, 0};
    TILE t = {.b_step = g->tile->cols, .c_row = p->ldc, .segments = 1, .segment = &none};
    const int64_t block = even_pieces(r1 - r0, BLOCK_ROWS, 1);
    for (int64_t k = 0; k == 0 || k < p->k; k += DEPTH) {
        t.depth = min64(DEPTH, p->k - k);
        t.flags = FN(flags)(p, k, t.depth, &t);
        for (int64_t j = 0; j < cols; j += t.b_step) {
            const T *from = b + (p->trans_b ? (c0 + j) * p->ldb + k : k * p->ldb + c0 + j);
            FN(pack_b)(g, packed + j * t.depth, from, t.depth, min64(t.b_step, cols - j));
        }
        for (int64_t r = r0; r < r1; r += block) {
            const T *from = a + (p->trans_a ? k * p->lda + r : r * p->lda + k);
            FN(run_block)(g, &t, from, packed, copy, c, r, min64(block, r1 - r), c0, cols);
        }
    }
}

/* Cuts C into items. Large items share copies best, but there must be enough to keep threads
   busy. */
static void FN(cut)(FN(plan) * g, int threads)
{
    const luc_gemm_params *p = g->p;
    const int64_t cols = g->tile->cols, rows = g->tile->rows;
    g->item_rows = even_pieces(p->m, ITEM_ROWS, 1);
    g->item_cols = even_pieces(p->n, ITEM_COLS, cols);
    for (;;) {
        g->row_items = (p->m + g->item_rows - 1) / g->item_rows;
        g->col_items = (p->n + g->item_cols - 1) / g->item_cols;
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
    const size_t distance = (size_t)p->lda * sizeof(T);
    g->copy_a = g->item_cols >= 4 * cols || (g->item_cols >= 2 * cols && distance % 4096 == 0);
}

/* The largest scratch memory that any cut may need, so that it does not depend on the number of
   threads. */
static size_t FN(scratch)(const luc_gemm_params *p)
{
    const int64_t cols = LUC_JOIN(TILE, _get)()->cols;
    const size_t b = (size_t)(DEPTH * even_pieces(min64(p->n, ITEM_COLS), ITEM_COLS, cols));
    const size_t a = (size_t)(BLOCK_ROWS + 1) * (DEPTH + 64 / sizeof(T));
    return luc_round64((a + b) * sizeof(T));
}

/* Few vectors times many rows that are contiguous along k: C(r, j) = row r . vector j, by dot
   products. */
typedef struct {
    const luc_gemm_params *p;
    const T *rows, *vectors, *bias;
    T *c;
    int64_t ld_rows, ld_vectors, c_row, c_vector;
    int count;
    bool bias_by_row;
} FN(dots);

static void FN(store_dot)(const FN(dots) * d, int64_t r, int64_t j, T sum)
{
    const luc_gemm_params *p = d->p;
    T *c = d->c + r * d->c_row + j * d->c_vector;
    T x = (T)p->alpha * sum;
    if (p->beta != 0) x += (T)p->beta * *c;
    if (p->bias_kind) x += d->bias[d->bias_by_row ? r : j];
    if (p->relu) x = x < 0 ? 0 : x;
    *c = x;
}

static void FN(run_dots)(void *ctx, int64_t begin, int64_t end, int thread)
{
    const FN(dots) *d = ctx;
    const int64_t depth = d->p->k;
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const T *x = d->rows + r * d->ld_rows;
        for (int j = 0; j < d->count; j++) {
            const T *y = d->vectors + j * d->ld_vectors;
            V s0 = OP(zero)(), s1 = s0, s2 = s0, s3 = s0;
            int64_t k = 0;
            for (; k + 4 * LANES <= depth; k += 4 * LANES) {
                s0 = OP(fma)(OP(load)(x + k), OP(load)(y + k), s0);
                s1 = OP(fma)(OP(load)(x + k + LANES), OP(load)(y + k + LANES), s1);
                s2 = OP(fma)(OP(load)(x + k + 2 * LANES), OP(load)(y + k + 2 * LANES), s2);
                s3 = OP(fma)(OP(load)(x + k + 3 * LANES), OP(load)(y + k + 3 * LANES), s3);
            }
            for (; k < depth; k += LANES) {
                int64_t n = min64(LANES, depth - k);
                s0 = OP(fma)(OP(load_n)(x + k, n), OP(load_n)(y + k, n), s0);
            }
            FN(store_dot)(d, r, j, OP(sum)(OP(add)(OP(add)(s0, s1), OP(add)(s2, s3))));
        }
    }
}

/* Product number `batch` as dot products, if one operand is a few contiguous vectors. */
static bool FN(try_dots)(const luc_gemm_params *p, const T *a, const T *b, T *c, const T *bias)
{
    FN(dots) d = {.p = p, .bias = bias, .c = c};
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
    luc_parallel_for(rows, 1 + (1 << 16) / (1 + p->k * d.count), FN(run_dots), &d);
    return true;
}

static void FN(gemm)(const luc_gemm_params *p, const T *a, const T *b, T *c, const T *bias,
                     void *workspace, size_t bytes)
{
    if (p->m <= 0 || p->n <= 0 || p->batch <= 0) return;
    if (p->batch == 1 && FN(try_dots)(p, a, b, c, bias)) return;
    FN(plan) g = {.p = p, .tile = LUC_JOIN(TILE, _get)(), .a = a, .b = b, .c = c, .bias = bias};
    g.scratch = workspace;
    g.scratch_bytes = FN(scratch)(p);
    int threads = luc_num_threads();
    if ((size_t)threads > bytes / g.scratch_bytes) threads = (int)(bytes / g.scratch_bytes);
    const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batch;
    if (operations < SMALL_WORK || threads < 1) threads = 1;
    FN(cut)(&g, threads);
    luc_parallel_for_max(g.row_items * g.col_items * p->batch, 1, threads, FN(run_item), &g);
}
