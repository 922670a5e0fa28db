/* tile_tmpl.h: the tiles of one element type; it is included by tile.c for float and
 * double. */

/* Stores one vector of results from column j on, of which n are wanted; r: the residual's row. */
LUC_INLINE LUC_V LUC_F(finish_vector)(const LUC_F(luc_tile) * t, LUC_V x, const LUC_T *c,
                                      const LUC_T *r, int64_t j, LUC_T row_bias, int64_t n)
{
    if (t->flags & LUC_TILE_ADD) x = LUC_VO(add)(LUC_VO(load_n)(c, n), x);
    if (t->flags & LUC_TILE_SCALE) {
        x = LUC_VO(mul)(LUC_VO(set1)(t->alpha), x);
        if (t->beta != 0) x = LUC_VO(fma)(LUC_VO(set1)(t->beta), LUC_VO(load_n)(c, n), x);
    }
    if (t->flags & LUC_TILE_SCALE_COL) {
        const LUC_V bias =
            t->flags & LUC_TILE_BIAS_COL ? LUC_VO(load_n)(t->bias + j, n) : LUC_VO(set1)(-0.0);
        x = LUC_VO(fma)(x, LUC_VO(load_n)(t->scale + j, n), bias);
    } else if (t->flags & LUC_TILE_BIAS_COL) {
        x = LUC_VO(add)(x, LUC_VO(load_n)(t->bias + j, n));
    }
    if (t->flags & LUC_TILE_BIAS_ROW) x = LUC_VO(add)(x, LUC_VO(set1)(row_bias));
    if (t->flags & LUC_TILE_RESIDUAL) x = LUC_VO(add)(x, LUC_VO(load_n)(r, n));
    if (t->flags & LUC_TILE_RELU) x = LUC_VO(max)(LUC_VO(zero)(), x); /* a NaN stays */
    return x;
}

/* Does from a buffer of full rows what is not done in registers. */
static void LUC_F(finish)(const LUC_F(luc_tile) * t, const LUC_T *acc, int stride)
{
    for (int r = 0; r < t->m; r++, acc += stride) {
        const int64_t at = (r < HALF ? r : r - HALF) * t->c_row;
        LUC_T *c = (r < HALF ? t->c0 : t->c1) + at;
        const LUC_T *residual = c;
        if (t->flags & LUC_TILE_RESIDUAL) residual = (r < HALF ? t->r0 : t->r1) + at;
        LUC_T row_bias = t->flags & LUC_TILE_BIAS_ROW ? t->bias[r] : 0;
        for (int64_t j = 0; j < t->n; j += LUC_LANES) {
            int64_t n = t->n - j < LUC_LANES ? t->n - j : LUC_LANES;
            LUC_V x =
                LUC_F(finish_vector)(t, LUC_VO(load)(acc + j), c + j, residual + j, j, row_bias, n);
            LUC_VO(store_n)(c + j, x, n);
        }
    }
}

#if LUC_HAS_VECTORS

enum {
    LUC_F(IN_REGISTERS) = LUC_TILE_ADD | LUC_TILE_BIAS_COL | LUC_TILE_RELU | LUC_TILE_SCALE_COL |
                          LUC_TILE_RESIDUAL | LUC_TILE_STREAM
};

/* Finishes one whole vector of a row and stores it in C. */
LUC_INLINE void LUC_F(store_finished)(const int flags, LUC_T *c, const LUC_T *r, LUC_V x,
                                      LUC_V scale, LUC_V bias)
{
    if (flags & LUC_TILE_ADD) x = LUC_VO(add)(LUC_VO(load)(c), x);
    x = LUC_VO(fma)(x, scale, bias);
    if (flags & LUC_TILE_RESIDUAL) x = LUC_VO(add)(x, LUC_VO(load)(r));
    if (flags & LUC_TILE_RELU) x = LUC_VO(max)(LUC_VO(zero)(), x);
    if (flags & LUC_TILE_STREAM)
        LUC_VO(stream)(c, x);
    else
        LUC_VO(store)(c, x);
}

static bool LUC_F(is_aligned)(const LUC_F(luc_tile) * t)
{
    const uintptr_t mask = LUC_LANES * sizeof(LUC_T) - 1;
    return (((uintptr_t)t->c0 | (uintptr_t)t->c1 | (uintptr_t)t->c_row * sizeof(LUC_T)) & mask) ==
           0;
}

/* m and vectors are constants wherever this is inlined, so unused parts vanish and the accumulators
   are registers. They have names, because compilers leave arrays in memory. */
LUC_INLINE void LUC_F(tile)(const LUC_F(luc_tile) * t, const int m, const int vectors)
{
#define ZERO(r) LUC_V x##r = LUC_VO(zero)(), y##r = LUC_VO(zero)();
    ROWS(ZERO)
#undef ZERO
    const int64_t row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    for (int64_t s = 0; s < t->segments; s++) {
        const LUC_T *p = t->a0 + t->segment[s].a, *q = m > HALF ? t->a1 + t->segment[s].a : p;
        const LUC_T *b = t->b + t->segment[s].b;
        for (int64_t k = t->depth; k > 0; k--) {
            LUC_V u = LUC_VO(load)(b), v = vectors > 1 ? LUC_VO(load)(b + LUC_LANES) : u;
#define STEP(r, from, at)                                \
    if (m > r) {                                         \
        LUC_V a = LUC_VO(set1)(from[(at)*row]);          \
        x##r = LUC_VO(fma)(a, u, x##r);                  \
        if (vectors > 1) y##r = LUC_VO(fma)(a, v, y##r); \
    }
#define STEP_LO(r) STEP(r, p, r)
#define STEP_HI(r) STEP(r, q, r - HALF)
            ROWS_LO(STEP_LO)
            ROWS_HI(STEP_HI)
#undef STEP_LO
#undef STEP_HI
#undef STEP
            p += a_step;
            q += a_step;
            b += b_step;
        }
    }
#define ROW_C(r) (r < HALF ? t->c0 + r * t->c_row : t->c1 + (r - HALF) * t->c_row)
    int plain = t->n == vectors * LUC_LANES && !(t->flags & ~LUC_F(IN_REGISTERS)) ? t->flags : -1;
    if (plain > 0 && plain & LUC_TILE_STREAM && !LUC_F(is_aligned)(t)) plain &= ~LUC_TILE_STREAM;
    if (plain == 0) {
#define STORE(r)                                             \
    if (m > r) {                                             \
        LUC_T *c = ROW_C(r);                                 \
        LUC_VO(store)(c, x##r);                              \
        if (vectors > 1) LUC_VO(store)(c + LUC_LANES, y##r); \
    }
        ROWS(STORE)
#undef STORE
    } else if (plain == LUC_TILE_ADD) {
#define ADD(r)                                                                            \
    if (m > r) {                                                                          \
        LUC_T *c = ROW_C(r);                                                              \
        LUC_VO(store)(c, LUC_VO(add)(LUC_VO(load)(c), x##r));                             \
        if (vectors > 1)                                                                  \
            LUC_VO(store)(c + LUC_LANES, LUC_VO(add)(LUC_VO(load)(c + LUC_LANES), y##r)); \
    }
        ROWS(ADD)
#undef ADD
    } else if (plain > 0) {
        const LUC_V one = LUC_VO(set1)(1),
                    none = LUC_VO(set1)((LUC_T)-0.0); /* x * 1 + -0 is x, whatever it is */
        const bool scales = plain & LUC_TILE_SCALE_COL, adds = plain & LUC_TILE_BIAS_COL;
        const LUC_V s0 = scales ? LUC_VO(load)(t->scale) : one,
                    b0 = adds ? LUC_VO(load)(t->bias) : none;
        const LUC_V s1 = scales && vectors > 1 ? LUC_VO(load)(t->scale + LUC_LANES) : one;
        const LUC_V b1 = adds && vectors > 1 ? LUC_VO(load)(t->bias + LUC_LANES) : none;
        const LUC_T *r0 = plain & LUC_TILE_RESIDUAL ? t->r0 : t->c0;
        const LUC_T *r1 = plain & LUC_TILE_RESIDUAL ? t->r1 : t->c1;
#define PUT(r)                                                                           \
    if (m > r) {                                                                         \
        const int64_t at = (r < HALF ? r : r - HALF) * t->c_row;                         \
        LUC_T *c = ROW_C(r);                                                             \
        const LUC_T *from = (r < HALF ? r0 : r1) + at;                                   \
        LUC_F(store_finished)(plain, c, from, x##r, s0, b0);                             \
        if (vectors > 1)                                                                 \
            LUC_F(store_finished)(plain, c + LUC_LANES, from + LUC_LANES, y##r, s1, b1); \
    }
        ROWS(PUT)
#undef PUT
    } else {
        LUC_T buffer[2 * HALF * 2 * LUC_LANES];
#define KEEP(r)                                                                       \
    if (m > r) {                                                                      \
        LUC_VO(store)(buffer + r * vectors * LUC_LANES, x##r);                        \
        if (vectors > 1) LUC_VO(store)(buffer + (r * vectors + 1) * LUC_LANES, y##r); \
    }
        ROWS(KEEP)
#undef KEEP
        LUC_F(finish)(t, buffer, vectors * LUC_LANES);
    }
#undef ROW_C
}

#define DEFINE(r)                                              \
    static void LUC_F(tile_##r##_1)(const LUC_F(luc_tile) * t) \
    {                                                          \
        LUC_F(tile)(t, r + 1, 1);                              \
    }                                                          \
    static void LUC_F(tile_##r##_2)(const LUC_F(luc_tile) * t) \
    {                                                          \
        LUC_F(tile)(t, r + 1, 2);                              \
    }
ROWS(DEFINE)
#undef DEFINE

static void LUC_F(run)(const LUC_F(luc_tile) * t)
{
    static void (*const tiles[2 * HALF][2])(const LUC_F(luc_tile) *) = {
#define ENTRY(r) {LUC_F(tile_##r##_1), LUC_F(tile_##r##_2)},
        ROWS(ENTRY)
#undef ENTRY
    };
    tiles[t->m - 1][t->n > LUC_LANES](t);
}

enum { LUC_F(COLS) = 2 * LUC_LANES, LUC_F(WIDTH) = LUC_LANES };

#else

/* The reference: one element after another. */
static void LUC_F(run)(const LUC_F(luc_tile) * t)
{
    enum { COLS = 4 };
    LUC_T acc[2 * HALF * COLS];
    for (int r = 0; r < t->m; r++) {
        const LUC_T *row = r < HALF ? t->a0 + r * t->a_row : t->a1 + (r - HALF) * t->a_row;
        for (int j = 0; j < t->n; j++) {
            LUC_T sum = 0;
            for (int64_t s = 0; s < t->segments; s++)
                for (int64_t k = 0; k < t->depth; k++)
                    sum += row[t->segment[s].a + k * t->a_step] *
                           t->b[t->segment[s].b + k * t->b_step + j];
            acc[r * COLS + j] = sum;
        }
    }
    LUC_F(finish)(t, acc, COLS);
}

enum { LUC_F(COLS) = 4, LUC_F(WIDTH) = 4 };

#endif

#define LUC_TABLE_(type, tile) LUC_LEVEL_TABLE(type, tile)
LUC_TABLE_(LUC_JOIN(LUC_F(luc_tile), _table), LUC_F(luc_tile)) = {
    .rows = 2 * HALF,
    .half = HALF,
    .cols = LUC_F(COLS),
    .lanes = LUC_F(WIDTH),
    .run = LUC_F(run),
};
#undef LUC_TABLE_
