/* gemm.c: matrix products of bfloat16 by blocks of bf16.h. Both operands are packed once a call;
 * a left operand whose rows can be read as they lie is not. Of a product whose right operand could
 * be read like that (the weights of a linear layer), and is the larger one, the transposed result
 * is computed: (A B)^T = B^T A^T. */
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/matmul/gemm_priv.h"
#include "backends/cpu/simd/simd.h"
#include "backends/cpu/threads/parallel.h"

enum {
    ITEM_BLOCKS = 4, /* blocks of rows and panels that one item of parallel work covers: */
    ITEM_PANELS = 8, /* with 2000 steps, 1.5 MB of the L2 */
    PACK_WORK = 1 << 14,
    FEW_PANELS = 4, /* a row that so few panels are multiplied with is not worth a copy */
};

const luc_bf16_table *luc_bf16_kernels(void)
{
    int level = (int)luc_cpu_current();
    const luc_bf16_table *table = luc_bf16_get();
    while (!table->is_permitted() && level > 0)
        table = luc_level_table(&luc_bf16_tables, (luc_cpu_level)--level);
    return table;
}

bool luc_bf16_pays(void)
{
    return luc_bf16_kernels()->pays();
}

typedef struct {
    luc_gemm_params p; /* if `flipped`: of the transposed result */
    bool flipped;
    const luc_bf16_table *table;
    int64_t steps, blocks, panels;
    int64_t a_batches, b_batches, a_blocks; /* packed: of a's blocks the last ones */
    size_t a_bytes, b_bytes, bias_bytes;
    int64_t block_groups, panel_groups;
    /* one run */
    const uint16_t *a, *b;
    uint16_t *c, *packed_a, *packed_b;
    const float *bias;
} product;

bool luc_bf16_gemm_fits(const luc_gemm_params *p)
{
    const double bytes =
        4 * ((double)p->batch + 1) * ((double)p->k + 64) * ((double)p->m + (double)p->n + 64);
    return p->alpha == 1 && p->beta == 0 && bytes < 0x1p62;
}

/* Whether blocks read a's rows where they lie. Rows that are a multiple of 2 KB apart would all
   need the same lines of the first-level cache. */
static bool reads_rows(const luc_gemm_params *p)
{
    return !p->trans_a && p->k % LUC_BF16_BLOCK == 0 &&
           (p->lda % 1024 != 0 || p->n <= FEW_PANELS * LUC_BF16_BLOCK);
}

static void flip(luc_gemm_params *p)
{
    const luc_gemm_params q = *p;
    p->m = q.n, p->lda = q.ldb, p->stride_a = q.stride_b;
    p->n = q.m, p->ldb = q.lda, p->stride_b = q.stride_a;
    p->bias_kind = q.bias_kind == LUC_GEMM_BIAS_COL   ? LUC_GEMM_BIAS_ROW
                   : q.bias_kind == LUC_GEMM_BIAS_ROW ? LUC_GEMM_BIAS_COL
                                                      : q.bias_kind;
}

static product plan(const luc_gemm_params *given)
{
    product g = {.p = *given, .table = luc_bf16_kernels()};
    const luc_gemm_params *p = &g.p;
    g.flipped = !p->trans_a && p->trans_b && p->m < p->n;
    if (g.flipped) flip(&g.p);
    g.steps = luc_bf16_blocks(p->k);
    g.blocks = luc_bf16_blocks(p->m), g.panels = luc_bf16_blocks(p->n);
    g.a_batches = p->stride_a ? p->batch : 1, g.b_batches = p->stride_b ? p->batch : 1;
    /* A last block that is not full would be read beyond its end. */
    g.a_blocks = !reads_rows(p) ? g.blocks : p->m % LUC_BF16_TILE ? 1 : 0;
    const size_t step = sizeof(uint16_t) * LUC_BF16_PACKED * (size_t)g.steps;
    g.a_bytes = (size_t)(g.a_batches * g.a_blocks) * step;
    g.b_bytes = (size_t)(g.b_batches * g.panels) * step;
    const int64_t bias = p->bias_kind == LUC_GEMM_BIAS_COL ? p->n : p->m;
    g.bias_bytes = p->bias_kind ? luc_round64((size_t)bias * sizeof(float)) : 0;
    g.block_groups = luc_ceil_div(g.blocks, ITEM_BLOCKS);
    g.panel_groups = luc_ceil_div(g.panels, ITEM_PANELS);
    return g;
}

size_t luc_bf16_gemm_workspace(const luc_gemm_params *p)
{
    const product g = plan(p);
    return g.a_bytes + g.b_bytes + g.bias_bytes;
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Sets 32 pointers to vectors that are `distance` apart; NULL from number `count` on. */
static void set_lines(const uint16_t *line[LUC_BF16_BLOCK], const uint16_t *first, int64_t distance,
                      int64_t count)
{
    for (int64_t i = 0; i < LUC_BF16_BLOCK; i++) line[i] = i < count ? first + i * distance : NULL;
}

/* Block number i of a's packed ones. */
static void pack_a(const product *g, int64_t i)
{
    const luc_gemm_params *p = &g->p;
    const int64_t batch = i / g->a_blocks;
    const int64_t row = (g->blocks - g->a_blocks + i % g->a_blocks) * LUC_BF16_BLOCK;
    const int64_t m = luc_min64(LUC_BF16_BLOCK, p->m - row);
    const uint16_t *a = g->a + batch * p->stride_a, *line[LUC_BF16_BLOCK];
    uint16_t *to = g->packed_a + i * g->steps * LUC_BF16_PACKED;
    if (!p->trans_a) {
        set_lines(line, a + row * p->lda, p->lda, m);
        g->table->rows(to, LUC_BF16_PACKED, line, m, p->k);
        return;
    }
    for (int64_t k = 0; k < p->k; k += LUC_BF16_BLOCK, to += LUC_BF16_PACKED) {
        set_lines(line, a + k * p->lda + row, p->lda, p->k - k);
        g->table->rows_across(to, line, m);
    }
}

/* Panel number i of b's. */
static void pack_b(const product *g, int64_t i)
{
    const luc_gemm_params *p = &g->p;
    const int64_t batch = i / g->panels, column = i % g->panels * LUC_BF16_BLOCK;
    const int64_t n = luc_min64(LUC_BF16_BLOCK, p->n - column);
    const uint16_t *b = g->b + batch * p->stride_b, *line[LUC_BF16_BLOCK];
    uint16_t *to = g->packed_b + i * g->steps * LUC_BF16_PACKED;
    for (int64_t k = 0; k < p->k; k += LUC_BF16_BLOCK, to += LUC_BF16_PACKED) {
        const int64_t some = luc_min64(LUC_BF16_BLOCK, p->k - k);
        if (p->trans_b) {
            set_lines(line, b + column * p->ldb + k, p->ldb, n);
            g->table->columns_across(to, line, some);
        } else {
            set_lines(line, b + k * p->ldb + column, p->ldb, some);
            g->table->columns(to, line, n);
        }
    }
}

static void pack(void *ctx, int64_t begin, int64_t end, int thread)
{
    const product *g = ctx;
    const int64_t of_a = g->a_batches * g->a_blocks;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        if (i < of_a)
            pack_a(g, i);
        else
            pack_b(g, i - of_a);
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

static void set_rows(const product *g, luc_bf16_block *k, int64_t batch, int64_t block)
{
    const luc_gemm_params *p = &g->p;
    const int64_t packed = block - (g->blocks - g->a_blocks);
    if (!p->stride_a) batch = 0;
    k->m = luc_min64(LUC_BF16_BLOCK, p->m - block * LUC_BF16_BLOCK);
    if (packed >= 0) {
        k->a = g->packed_a + (batch * g->a_blocks + packed) * g->steps * LUC_BF16_PACKED;
        k->a_row = LUC_BF16_BLOCK, k->a_step = LUC_BF16_PACKED;
    } else {
        k->a = g->a + batch * p->stride_a + block * LUC_BF16_BLOCK * p->lda;
        k->a_row = p->lda, k->a_step = LUC_BF16_BLOCK;
    }
    k->a_half = LUC_BF16_TILE * k->a_row;
}

static void run_block(const product *g, luc_bf16_block *k, int64_t batch, int64_t block,
                      int64_t panel)
{
    const luc_gemm_params *p = &g->p;
    const int64_t row = block * LUC_BF16_BLOCK, column = panel * LUC_BF16_BLOCK;
    set_rows(g, k, batch, block);
    g->table->block(k);
    const float *of_rows = p->bias_kind == LUC_GEMM_BIAS_ROW ? g->bias + row : NULL;
    const float *of_columns = p->bias_kind == LUC_GEMM_BIAS_COL ? g->bias + column : NULL;
    uint16_t *c = g->c + batch * p->stride_c;
    if (!g->flipped) {
        const luc_bf16_then then = {.relu = p->relu, .shift = of_columns, .row_shift = of_rows};
        g->table->finish(&then, k->c, k->m, k->n, c + row * p->ldc + column, p->ldc, NULL);
        return;
    }
    const luc_bf16_then then = {.relu = p->relu, .shift = of_rows, .row_shift = of_columns};
    float across[LUC_BF16_BLOCK * LUC_BF16_BLOCK];
    luc_gemm_get()->transpose_32(across, LUC_BF16_BLOCK, k->c, LUC_BF16_BLOCK, k->m, k->n);
    g->table->finish(&then, across, k->n, k->m, c + column * p->ldc + row, p->ldc, NULL);
}

static void run_items(void *ctx, int64_t begin, int64_t end, int thread)
{
    const product *g = ctx;
    _Alignas(64) float sums[LUC_BF16_BLOCK * LUC_BF16_BLOCK];
    luc_bf16_block k = luc_bf16_plain_block(0, 0, g->steps);
    k.c = sums;
    (void)thread;
    g->table->begin();
    for (int64_t item = begin; item < end; item++) {
        const int64_t groups = g->block_groups * g->panel_groups, batch = item / groups;
        const int64_t block = item % groups / g->panel_groups * ITEM_BLOCKS;
        const int64_t panel = item % g->panel_groups * ITEM_PANELS;
        const int64_t last_block = luc_min64(block + ITEM_BLOCKS, g->blocks);
        const int64_t last_panel = luc_min64(panel + ITEM_PANELS, g->panels);
        const uint16_t *b =
            g->packed_b + (g->p.stride_b ? batch : 0) * g->panels * g->steps * LUC_BF16_PACKED;
        for (int64_t j = panel; j < last_panel; j++) {
            k.b = b + j * g->steps * LUC_BF16_PACKED;
            k.n = luc_min64(LUC_BF16_BLOCK, g->p.n - j * LUC_BF16_BLOCK);
            for (int64_t i = block; i < last_block; i++) run_block(g, &k, batch, i, j);
        }
    }
    g->table->end();
}

void luc_bf16_gemm(const luc_gemm_params *p, const uint16_t *a, const uint16_t *b, uint16_t *c,
                   const uint16_t *bias, void *workspace)
{
    if (p->m <= 0 || p->n <= 0 || p->batch <= 0) return;
    product g = plan(p);
    g.a = g.flipped ? b : a, g.b = g.flipped ? a : b, g.c = c;
    p = &g.p;
    char *at = workspace;
    float *wide = (float *)(void *)at;
    at += g.bias_bytes;
    g.bias = wide;
    g.packed_a = (uint16_t *)(void *)at;
    g.packed_b = (uint16_t *)(void *)(at + g.a_bytes);
    const int64_t biases = p->bias_kind == LUC_GEMM_BIAS_COL   ? p->n
                           : p->bias_kind == LUC_GEMM_BIAS_ROW ? p->m
                                                               : 0;
    for (int64_t i = 0; i < biases; i++) wide[i] = luc_bf16_to_f32(bias[i]);
    luc_parallel_for(g.a_batches * g.a_blocks + g.b_batches * g.panels,
                     1 + PACK_WORK / (g.steps * LUC_BF16_PACKED + 1), pack, &g);
    const int64_t work =
        g.steps * luc_min64(g.blocks, ITEM_BLOCKS) * luc_min64(g.panels, ITEM_PANELS);
    luc_parallel_for(p->batch * g.block_groups * g.panel_groups, 1 + 64 / (work + 1), run_items,
                     &g);
}
