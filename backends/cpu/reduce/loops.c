/* loops.c: the inner loops of reductions; compiled for each level. Floats are summed in
 * double: the sum of any number of floats that fits into memory is right to a unit in the last
 * place. */
#include "backends/cpu/reduce/reduce_priv.h"
#include "backends/cpu/simd/simd.h"

enum {
    CHUNK = 1024, /* a partial sum for each chunk keeps the error of long double sums small */
    AHEAD = 4096, /* in bytes: the hardware's own prefetching ends with a page */
};

/* -- rows of floats -- */
/* LOAD gives LUC_VD doubles of the row. */
#define SUM_ROW(T, v, LOAD, LOAD_N)                                                               \
    LUC_INLINE double sum_chunk_##v(const T *x, int64_t n, bool fetch)                            \
    {                                                                                             \
        const int64_t L = LUC_VD;                                                                 \
        vd s0 = vd_zero(), s1 = s0, s2 = s0, s3 = s0;                                             \
        int64_t i = 0;                                                                            \
        for (; i + 4 * L <= n; i += 4 * L) {                                                      \
            for (int64_t k = 0; fetch && k < 4 * L; k += 64 / (int64_t)sizeof(T))                 \
                luc_prefetch(x + i + k + AHEAD / sizeof(T));                                      \
            s0 = vd_add(s0, LOAD(x + i));                                                         \
            s1 = vd_add(s1, LOAD(x + i + L));                                                     \
            s2 = vd_add(s2, LOAD(x + i + 2 * L));                                                 \
            s3 = vd_add(s3, LOAD(x + i + 3 * L));                                                 \
        }                                                                                         \
        for (; i + L <= n; i += L) s0 = vd_add(s0, LOAD(x + i));                                  \
        if (i < n) s1 = vd_add(s1, LOAD_N(x + i, n - i));                                         \
        return vd_sum(vd_add(vd_add(s0, s1), vd_add(s2, s3)));                                    \
    }                                                                                             \
    LUC_INLINE double sum_all_##v(const T *x, int64_t n, bool fetch)                              \
    {                                                                                             \
        double sum = 0;                                                                           \
        for (int64_t i = 0; i < n; i += CHUNK)                                                    \
            sum += sum_chunk_##v(x + i, n - i < CHUNK ? n - i : CHUNK, fetch);                    \
        return sum;                                                                               \
    }                                                                                             \
    static void sum_row_##v(luc_acc *acc, const void *x, int64_t n, double centre)                \
    {                                                                                             \
        (void)centre;                                                                             \
        acc->d += sum_all_##v(x, n, true);                                                        \
    }                                                                                             \
    static void sum_rows_##v(luc_acc *acc, const void *x_, int64_t ld, int64_t rows, int64_t n)   \
    {                                                                                             \
        const T *x = x_;                                                                          \
        for (int64_t r = 0; r < rows; r++)                                                        \
            acc[r].d =                                                                            \
                n > CHUNK ? sum_all_##v(x + r * ld, n, true) : sum_all_##v(x + r * ld, n, false); \
    }
SUM_ROW(float, vf, vd_load_f32, vd_load_f32_n)
SUM_ROW(double, vd, vd_load, vd_load_n)

#define SQUARES_ROW(T, name, LOAD, LOAD_N)                                                 \
    static double squares_chunk_##name(const T *x, int64_t n, double centre)               \
    {                                                                                      \
        const vd c = vd_set1(centre);                                                      \
        vd s0 = vd_zero(), s1 = s0;                                                        \
        int64_t i = 0;                                                                     \
        for (; i + 2 * LUC_VD <= n; i += 2 * LUC_VD) {                                     \
            vd a = vd_sub(LOAD(x + i), c), b = vd_sub(LOAD(x + i + LUC_VD), c);            \
            s0 = vd_fma(a, a, s0);                                                         \
            s1 = vd_fma(b, b, s1);                                                         \
        }                                                                                  \
        for (; i + LUC_VD <= n; i += LUC_VD) {                                             \
            vd a = vd_sub(LOAD(x + i), c);                                                 \
            s0 = vd_fma(a, a, s0);                                                         \
        }                                                                                  \
        double sum = vd_sum(vd_add(s0, s1));                                               \
        for (; i < n; i++) sum += ((double)x[i] - centre) * ((double)x[i] - centre);       \
        return sum;                                                                        \
    }                                                                                      \
    static void squares_row_##name(luc_acc *acc, const void *x_, int64_t n, double centre) \
    {                                                                                      \
        const T *x = x_;                                                                   \
        double sum = 0;                                                                    \
        for (int64_t i = 0; i < n; i += CHUNK)                                             \
            sum += squares_chunk_##name(x + i, n - i < CHUNK ? n - i : CHUNK, centre);     \
        acc->d += sum;                                                                     \
    }
SQUARES_ROW(float, vf, vd_load_f32, vd_load_f32_n)
SQUARES_ROW(double, vd, vd_load, vd_load_n)

/* The extreme without NaNs, and whether there is a NaN. BEST(x, m) gives m for a NaN x. */
#define EXTREME_ROW(T, v, M, L, name, better, BEST, FOLD, worst)                       \
    static void name##_row_##v(luc_acc *acc, const void *x_, int64_t n, double centre) \
    {                                                                                  \
        const T *x = x_;                                                               \
        T best = worst;                                                                \
        bool nan = false;                                                              \
        int64_t i = 0;                                                                 \
        (void)centre;                                                                  \
        if (n >= 2 * L) {                                                              \
            v m0 = v##_set1(worst), m1 = m0, s = v##_zero();                           \
            for (; i + 2 * L <= n; i += 2 * L) {                                       \
                v a = v##_load(x + i), b = v##_load(x + i + L);                        \
                m0 = BEST(a, m0);                                                      \
                m1 = BEST(b, m1);                                                      \
                s = v##_select(M##_or(v##_isnan(a), v##_isnan(b)), v##_set1(1), s);    \
            }                                                                          \
            best = FOLD(BEST(m0, m1));                                                 \
            nan = v##_sum(s) > 0;                                                      \
        }                                                                              \
        for (; i < n; i++) {                                                           \
            if (x[i] better best) best = x[i];                                         \
            nan = nan || x[i] != x[i];                                                 \
        }                                                                              \
        if (nan)                                                                       \
            acc->d = NAN;                                                              \
        else if ((double)best better acc->d)                                           \
            acc->d = (double)best;                                                     \
    }
EXTREME_ROW(float, vf, vm, LUC_VF, max, >, vf_max, vf_hmax, -INFINITY)
EXTREME_ROW(float, vf, vm, LUC_VF, min, <, vf_min, vf_hmin, INFINITY)
EXTREME_ROW(double, vd, vmd, LUC_VD, max, >, vd_max, vd_hmax, -INFINITY)
EXTREME_ROW(double, vd, vmd, LUC_VD, min, <, vd_min, vd_hmin, INFINITY)

/* -- columns of floats: a strip of four vectors at a time stays in registers -- */
#define STRIP (4 * LUC_VD)

#define COLS(T, name, LOAD, STEP, step)                                                    \
    static void name(luc_acc *acc_, const void *x_, int64_t ld, int64_t rows, int64_t n,   \
                     const double *centre)                                                 \
    {                                                                                      \
        double *acc = &acc_->d;                                                            \
        int64_t c = 0;                                                                     \
        for (; c + STRIP <= n; c += STRIP) {                                               \
            vd s[4], m[4];                                                                 \
            for (int k = 0; k < 4; k++) {                                                  \
                s[k] = vd_load(acc + c + k * LUC_VD);                                      \
                m[k] = centre ? vd_load(centre + c + k * LUC_VD) : vd_zero();              \
            }                                                                              \
            const T *x = (const T *)x_ + c;                                                \
            for (int64_t r = 0; r < rows; r++, x += ld)                                    \
                for (int k = 0; k < 4; k++) s[k] = STEP(s[k], LOAD(x + k * LUC_VD), m[k]); \
            for (int k = 0; k < 4; k++) vd_store(acc + c + k * LUC_VD, s[k]);              \
        }                                                                                  \
        for (; c + LUC_VD <= n; c += LUC_VD) {                                             \
            vd s = vd_load(acc + c), m = centre ? vd_load(centre + c) : vd_zero();         \
            const T *x = (const T *)x_ + c;                                                \
            for (int64_t r = 0; r < rows; r++, x += ld) s = STEP(s, LOAD(x), m);           \
            vd_store(acc + c, s);                                                          \
        }                                                                                  \
        for (; c < n; c++) {                                                               \
            double s = acc[c];                                                             \
            const double m = centre ? centre[c] : 0;                                       \
            const T *x = (const T *)x_ + c;                                                \
            for (int64_t r = 0; r < rows; r++, x += ld) s = step(s, (double)*x, m);        \
            acc[c] = s;                                                                    \
        }                                                                                  \
    }

LUC_INLINE vd add_step(vd s, vd x, vd m)
{
    (void)m;
    return vd_add(s, x);
}
LUC_INLINE double add_one(double s, double x, double m)
{
    (void)m;
    return s + x;
}
LUC_INLINE vd squares_step(vd s, vd x, vd m)
{
    vd d = vd_sub(x, m);
    return vd_fma(d, d, s);
}
LUC_INLINE double squares_one(double s, double x, double m)
{
    return fma(x - m, x - m, s);
}
/* A NaN in s or x stays: max(x, s) gives s if either is a NaN. */
LUC_INLINE vd max_step(vd s, vd x, vd m)
{
    (void)m;
    return vd_select(vd_isnan(x), x, vd_max(x, s));
}
LUC_INLINE double max_one(double s, double x, double m)
{
    (void)m;
    return x > s || x != x ? x : s;
}
LUC_INLINE vd min_step(vd s, vd x, vd m)
{
    (void)m;
    return vd_select(vd_isnan(x), x, vd_min(x, s));
}
LUC_INLINE double min_one(double s, double x, double m)
{
    (void)m;
    return x < s || x != x ? x : s;
}

COLS(float, sum_cols_vf, vd_load_f32, add_step, add_one)
COLS(double, sum_cols_vd, vd_load, add_step, add_one)
COLS(float, squares_cols_vf, vd_load_f32, squares_step, squares_one)
COLS(double, squares_cols_vd, vd_load, squares_step, squares_one)
COLS(float, max_cols_vf, vd_load_f32, max_step, max_one)
COLS(double, max_cols_vd, vd_load, max_step, max_one)
COLS(float, min_cols_vf, vd_load_f32, min_step, min_one)
COLS(double, min_cols_vd, vd_load, min_step, min_one)

/* -- integers: plain C; sums wrap around -- */
#define INTEGER(T, name, kind, step)                                                        \
    static void kind##_row_##name(luc_acc *acc, const void *x_, int64_t n, double centre)   \
    {                                                                                       \
        const T *x = x_;                                                                    \
        int64_t s = acc->i;                                                                 \
        (void)centre;                                                                       \
        for (int64_t i = 0; i < n; i++) s = step(s, (int64_t)x[i]);                         \
        acc->i = s;                                                                         \
    }                                                                                       \
    static void kind##_cols_##name(luc_acc *acc_, const void *x_, int64_t ld, int64_t rows, \
                                   int64_t n, const double *centre)                         \
    {                                                                                       \
        int64_t *acc = &acc_->i;                                                            \
        const T *x = x_;                                                                    \
        (void)centre;                                                                       \
        for (int64_t r = 0; r < rows; r++, x += ld)                                         \
            for (int64_t c = 0; c < n; c++) acc[c] = step(acc[c], (int64_t)x[c]);           \
    }
#define ADD_I(s, x) ((int64_t)((uint64_t)(s) + (uint64_t)(x)))
#define MAX_I(s, x) ((x) > (s) ? (x) : (s))
#define MIN_I(s, x) ((x) < (s) ? (x) : (s))
#define INTEGERS(T, name)        \
    INTEGER(T, name, sum, ADD_I) \
    INTEGER(T, name, max, MAX_I) \
    INTEGER(T, name, min, MIN_I)
INTEGERS(int64_t, i64)
INTEGERS(int32_t, i32)
INTEGERS(uint8_t, u8)

#define ALL(kind, form)                                                                   \
    {                                                                                     \
        kind##_##form##_vf, kind##_##form##_vd, kind##_##form##_i64, kind##_##form##_i32, \
            kind##_##form##_u8                                                            \
    }
LUC_LEVEL_TABLE(luc_reduce_table, luc_reduce) = {
    .sum_rows = {sum_rows_vf, sum_rows_vd},
    .row = {ALL(sum, row), {squares_row_vf, squares_row_vd}, ALL(max, row), ALL(min, row)},
    .cols = {ALL(sum, cols), {squares_cols_vf, squares_cols_vd}, ALL(max, cols), ALL(min, cols)},
};
