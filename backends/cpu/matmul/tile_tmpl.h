/* tile_tmpl.h: the tiles of one element type; it is included by tile.c for float and
 * double. */

/* Stores one vector of results from column j on, of which n are wanted; r: the residual's row. */
LUC_INLINE V FN(finish_vector)(const TILE *t, V x, const T *c, const T *r, int64_t j, T row_bias,
                               int64_t n)
{
    if (t->flags & LUC_TILE_ADD) x = OP(add)(OP(load_n)(c, n), x);
    if (t->flags & LUC_TILE_SCALE) {
        x = OP(mul)(OP(set1)(t->alpha), x);
        if (t->beta != 0) x = OP(fma)(OP(set1)(t->beta), OP(load_n)(c, n), x);
    }
    if (t->flags & LUC_TILE_SCALE_COL) {
        const V bias = t->flags & LUC_TILE_BIAS_COL ? OP(load_n)(t->bias + j, n) : OP(set1)(-0.0);
        x = OP(fma)(x, OP(load_n)(t->scale + j, n), bias);
    } else if (t->flags & LUC_TILE_BIAS_COL) {
        x = OP(add)(x, OP(load_n)(t->bias + j, n));
    }
    if (t->flags & LUC_TILE_BIAS_ROW) x = OP(add)(x, OP(set1)(row_bias));
    if (t->flags & LUC_TILE_RESIDUAL) x = OP(add)(x, OP(load_n)(r, n));
    if (t->flags & LUC_TILE_RELU) x = OP(max)(OP(zero)(), x); /* a NaN stays */
    return x;
}

/* Does from a buffer of full rows what is not done in registers. */
static void FN(finish)(const TILE *t, const T *acc, int stride)
{
    for (int r = 0; r < t->m; r++, acc += stride) {
        const int64_t at = (r < HALF ? r : r - HALF) * t->c_row;
        T *c = (r < HALF ? t->c0 : t->c1) + at;
        const T *residual = c;
        if (t->flags & LUC_TILE_RESIDUAL) residual = (r < HALF ? t->r0 : t->r1) + at;
        T row_bias = t->flags & LUC_TILE_BIAS_ROW ? t->bias[r] : 0;
        for (int64_t j = 0; j < t->n; j += LANES) {
            int64_t n = t->n - j < LANES ? t->n - j : LANES;
            V x = FN(finish_vector)(t, OP(load)(acc + j), c + j, residual + j, j, row_bias, n);
            OP(store_n)(c + j, x, n);
        }
    }
}

#if LUC_HAS_VECTORS

enum {
    FN(IN_REGISTERS) = LUC_TILE_ADD | LUC_TILE_BIAS_COL | LUC_TILE_RELU | LUC_TILE_SCALE_COL |
                       LUC_TILE_RESIDUAL | LUC_TILE_STREAM
};

/* Finishes one whole vector of a row and stores it in C. */
LUC_INLINE void FN(store_finished)(const int flags, T *c, const T *r, V x, V scale, V bias)
{
    if (flags & LUC_TILE_ADD) x = OP(add)(OP(load)(c), x);
    x = OP(fma)(x, scale, bias);
    if (flags & LUC_TILE_RESIDUAL) x = OP(add)(x, OP(load)(r));
    if (flags & LUC_TILE_RELU) x = OP(max)(OP(zero)(), x);
    if (flags & LUC_TILE_STREAM)
        OP(stream)(c, x);
    else
        OP(store)(c, x);
}

static bool FN(is_aligned)(const TILE *t)
{
    const uintptr_t mask = LANES * sizeof(T) - 1;
    return (((uintptr_t)t->c0 | (uintptr_t)t->c1 | (uintptr_t)t->c_row * sizeof(T)) & mask) == 0;
}

/* m and vectors are constants wherever this is inlined, so unused parts vanish and the accumulators
   are registers. They have names, because compilers leave arrays in memory. */
LUC_INLINE void FN(tile)(const TILE *t, const int m, const int vectors)
{
#define ZERO(r) V x##r = OP(zero)(), y##r = OP(zero)();
    ROWS(ZERO)
#undef ZERO
    const int64_t row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    for (int64_t s = 0; s < t->segments; s++) {
        const T *p = t->a0 + t->segment[s].a, *q = m > HALF ? t->a1 + t->segment[s].a : p;
        const T *b = t->b + t->segment[s].b;
        for (int64_t k = t->depth; k > 0; k--) {
            V u = OP(load)(b), v = vectors > 1 ? OP(load)(b + LANES) : u;
#define STEP(r, from, at)                            \
    if (m > r) {                                     \
        V a = OP(set1)(from[(at)*row]);              \
        x##r = OP(fma)(a, u, x##r);                  \
        if (vectors > 1) y##r = OP(fma)(a, v, y##r); \
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
    int plain = t->n == vectors * LANES && !(t->flags & ~FN(IN_REGISTERS)) ? t->flags : -1;
    if (plain > 0 && plain & LUC_TILE_STREAM && !FN(is_aligned)(t)) plain &= ~LUC_TILE_STREAM;
    if (plain == 0) {
#define STORE(r)                                     \
    if (m > r) {                                     \
        T *c = ROW_C(r);                             \
        OP(store)(c, x##r);                          \
        if (vectors > 1) OP(store)(c + LANES, y##r); \
    }
        ROWS(STORE)
#undef STORE
    } else if (plain == LUC_TILE_ADD) {
#define ADD(r)                                                                     \
    if (m > r) {                                                                   \
        T *c = ROW_C(r);                                                           \
        OP(store)(c, OP(add)(OP(load)(c), x##r));                                  \
        if (vectors > 1) OP(store)(c + LANES, OP(add)(OP(load)(c + LANES), y##r)); \
    }
        ROWS(ADD)
#undef ADD
    } else if (plain > 0) {
        const V one = OP(set1)(1), none = OP(set1)((T)-0.0); /* x * 1 + -0 is x, whatever it is */
        const bool scales = plain & LUC_TILE_SCALE_COL, adds = plain & LUC_TILE_BIAS_COL;
        const V s0 = scales ? OP(load)(t->scale) : one, b0 = adds ? OP(load)(t->bias) : none;
        const V s1 = scales && vectors > 1 ? OP(load)(t->scale + LANES) : one;
        const V b1 = adds && vectors > 1 ? OP(load)(t->bias + LANES) : none;
        const T *r0 = plain & LUC_TILE_RESIDUAL ? t->r0 : t->c0;
        const T *r1 = plain & LUC_TILE_RESIDUAL ? t->r1 : t->c1;
#define PUT(r)                                                                             \
    if (m > r) {                                                                           \
        const int64_t at = (r < HALF ? r : r - HALF) * t->c_row;                           \
        T *c = ROW_C(r);                                                                   \
        const T *from = (r < HALF ? r0 : r1) + at;                                         \
        FN(store_finished)(plain, c, from, x##r, s0, b0);                                  \
        if (vectors > 1) FN(store_finished)(plain, c + LANES, from + LANES, y##r, s1, b1); \
    }
        ROWS(PUT)
#undef PUT
    } else {
        T buffer[2 * HALF * 2 * LANES];
#define KEEP(r)                                                               \
    if (m > r) {                                                              \
        OP(store)(buffer + r * vectors * LANES, x##r);                        \
        if (vectors > 1) OP(store)(buffer + (r * vectors + 1) * LANES, y##r); \
    }
        ROWS(KEEP)
#undef KEEP
        FN(finish)(t, buffer, vectors * LANES);
    }
#undef ROW_C
}

#define DEFINE(r)                               \
    static void FN(tile_##r##_1)(const TILE *t) \
    {                                           \
        FN(tile)(t, r + 1, 1);                  \
    }                                           \
    static void FN(tile_##r##_2)(const TILE *t) \
    {                                           \
        FN(tile)(t, r + 1, 2);                  \
    }
ROWS(DEFINE)
#undef DEFINE

static void FN(run)(const TILE *t)
{
    static void (*const tiles[2 * HALF][2])(const TILE *) = {
#define ENTRY(r) {FN(tile_##r##_1), FN(tile_##r##_2)},
        ROWS(ENTRY)
#undef ENTRY
    };
    tiles[t->m - 1][t->n > LANES](t);
}

enum { FN(COLS) = 2 * LANES, FN(WIDTH) = LANES };

#else

/* The reference: one element after another. */
static void FN(run)(const TILE *t)
{
    enum { COLS = 4 };
    T acc[2 * HALF * COLS];
    for (int r = 0; r < t->m; r++) {
        const T *row = r < HALF ? t->a0 + r * t->a_row : t->a1 + (r - HALF) * t->a_row;
        for (int j = 0; j < t->n; j++) {
            T sum = 0;
            for (int64_t s = 0; s < t->segments; s++)
                for (int64_t k = 0; k < t->depth; k++)
                    sum += row[t->segment[s].a + k * t->a_step] *
                           t->b[t->segment[s].b + k * t->b_step + j];
            acc[r * COLS + j] = sum;
        }
    }
    FN(finish)(t, acc, COLS);
}

enum { FN(COLS) = 4, FN(WIDTH) = 4 };

#endif

#define LUC_TABLE_(type, tile) LUC_LEVEL_TABLE(type, tile)
LUC_TABLE_(LUC_JOIN(TILE, _table), TILE) = {
    .rows = 2 * HALF,
    .half = HALF,
    .cols = FN(COLS),
    .lanes = FN(WIDTH),
    .run = FN(run),
};
#undef LUC_TABLE_
