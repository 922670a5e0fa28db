/* matmul, linear and conv2d: views of every kind against plain loops. The engines beneath have
 * tests of their own; here it is about strides, broadcasting and conversion. */
#include "backends/cpu/matmul/openblas.h"
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>

/* Every level with our own kernels alone, and with OpenBLAS for all that it can compute. */
#define FOR_ALL_LEVELS_AND_OPENBLAS \
    for (int blas_ = 0; blas_ < 2; blas_++, luc_openblas_prefer(blas_ == 1)) FOR_ALL_LEVELS

static double *numbers(int64_t n)
{
    double *p = calloc((size_t)n + 1, sizeof *p);
    if (!p || array_count == 4096) abort();
    array_blocks[array_count++] = (char *)p;
    return p;
}

static double step_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64   ? 1e-13
           : dtype == LUCID_F32 ? 2e-6
           : dtype == LUCID_F16 ? 2e-3
                                : 1.6e-2;
}

/* a [A,M,K] x b [B,K,N], where A and B are 1 or the batch. */
static void check_matmul(lucid_dtype dtype, const int64_t *size, int64_t na, int64_t nb,
                         const array_layout *layout)
{
    int64_t m = size[0], k = size[1], n = size[2], batch = na > nb ? na : nb;
    int64_t da[] = {na, m, k}, db[] = {nb, k, n}, dc[] = {batch, m, n};
    array a = array_normal(dtype, 3, da, layout[0], 0, 1),
          b = array_normal(dtype, 3, db, layout[1], 0, 1);
    array c = array_new(dtype, 3, dc, layout[2]);
    double *truth = numbers(batch * m * n);
    for (int64_t i = 0; i < batch * m * n; i++)
        for (int64_t j = 0; j < k; j++)
            truth[i] += array_get(&a, (na > 1 ? i / (m * n) * m * k : 0) + i / n % m * k + j) *
                        array_get(&b, (nb > 1 ? i / (m * n) * k * n : 0) + j * n + i % n);
    cr_assert(
        kernel_call(LUCID_OP_matmul, dtype, NULL, (array *[]){&a, &b}, 2, (array *[]){&c}, 1));
    double e = step_of(dtype) * (2 + sqrt((double)k));
    cr_expect_leq(array_distance(&c, truth, e, e), 1,
                  "dtype %d [%d,%d,%d] x %d,%d layouts %d %d %d", (int)dtype, (int)m, (int)k,
                  (int)n, (int)na, (int)nb, (int)layout[0], (int)layout[1], (int)layout[2]);
    array_free_all();
}

Test(matmul, every_layout_and_broadcast)
{
    static const int64_t sizes[][3] = {{3, 4, 5}, {1, 7, 9}, {6, 1, 4},   {5, 8, 1},
                                       {1, 1, 1}, {4, 0, 3}, {17, 33, 20}};
    FOR_ALL_LEVELS_AND_OPENBLAS
    for (int s = 0; s < 7; s++)
        for (int l = 0; l < 125; l++)
            for (int kind = 0; kind < 4; kind++) {
                array_layout layout[] = {(array_layout)(l % 5), (array_layout)(l / 5 % 5),
                                         (array_layout)(l / 25)};
                check_matmul(LUCID_F32, sizes[s], kind & 1 ? 3 : 1, kind & 2 ? 3 : 1, layout);
            }
}

Test(matmul, every_dtype)
{
    static const int64_t size[] = {5, 6, 7};
    static const array_layout layouts[][3] = {{DENSE, DENSE, DENSE}, {REVERSED, PADDED, DENSE}};
    static const lucid_dtype dtypes[] = {LUCID_F64, LUCID_F16, LUCID_BF16};
    FOR_ALL_LEVELS_AND_OPENBLAS
    for (int t = 0; t < 3; t++)
        for (int l = 0; l < 2; l++) check_matmul(dtypes[t], size, 2, 2, layouts[l]);
}

static void check_linear(lucid_dtype dtype, int ndim, const int64_t *dims, int64_t out, bool bias,
                         const array_layout *layout)
{
    int64_t in = dims[ndim - 1], rows = 1, dw[] = {out, in}, dy[4];
    for (int d = 0; d < ndim - 1; d++) rows *= dy[d] = dims[d];
    dy[ndim - 1] = out;
    array x = array_normal(dtype, ndim, dims, layout[0], 0, 1),
          w = array_normal(dtype, 2, dw, layout[1], 0, 1);
    array b = array_normal(dtype, 1, &out, layout[2], 0, 1),
          y = array_new(dtype, ndim, dy, layout[2]);
    double *truth = numbers(rows * out);
    for (int64_t i = 0; i < rows * out; i++) {
        truth[i] = bias ? array_get(&b, i % out) : 0;
        for (int64_t j = 0; j < in; j++)
            truth[i] += array_get(&x, i / out * in + j) * array_get(&w, i % out * in + j);
    }
    cr_assert(kernel_call(LUCID_OP_linear, dtype, NULL, (array *[]){&x, &w, bias ? &b : NULL}, 3,
                          (array *[]){&y}, 1));
    double e = step_of(dtype) * (2 + sqrt((double)in));
    cr_expect_leq(array_distance(&y, truth, e, e), 1, "dtype %d rank %d layouts %d %d %d",
                  (int)dtype, ndim, (int)layout[0], (int)layout[1], (int)layout[2]);
    array_free_all();
}

Test(linear, ranks_layouts_and_dtypes)
{
    static const int64_t shapes[][4] = {{9}, {6, 17}, {2, 5, 8}, {2, 3, 4, 5}};
    static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    FOR_ALL_LEVELS_AND_OPENBLAS
    for (int ndim = 1; ndim <= 4; ndim++)
        for (int l = 0; l < 125; l++)
            for (int t = 0; t < 4; t++) {
                array_layout layout[] = {(array_layout)(l % 5), (array_layout)(l / 5 % 5),
                                         (array_layout)(l / 25)};
                check_linear(floating[t], ndim, shapes[ndim - 1], 11, l & 1, layout);
            }
}

/* ---- convolution ----------------------------------------------------------------------------- */

typedef struct {
    lucid_conv2d_attrs attrs;
    int64_t x[4], w[4], y[4];
} conv_case;

/* Calls with every product: y[i] += x[j] * w[k]. */
static void products(const conv_case *k, const array *x, const array *w, const array *g, double *y,
                     double *dx, double *dw)
{
    const lucid_conv2d_attrs *a = &k->attrs;
    int64_t group_in = k->w[1], group_out = k->w[0] / a->groups;
    for (int64_t i = 0; i < k->y[0] * k->y[1] * k->y[2] * k->y[3]; i++) {
        int64_t col = i % k->y[3], row = i / k->y[3] % k->y[2],
                o = i / (k->y[3] * k->y[2]) % k->y[1];
        int64_t n = i / (k->y[3] * k->y[2] * k->y[1]);
        for (int64_t t = 0; t < k->w[1] * k->w[2] * k->w[3]; t++) {
            int64_t c = t / (k->w[2] * k->w[3]);
            int64_t h = row * a->stride[0] - a->padding[0] + t / k->w[3] % k->w[2] * a->dilation[0];
            int64_t v = col * a->stride[1] - a->padding[1] + t % k->w[3] * a->dilation[1];
            if (h < 0 || h >= k->x[2] || v < 0 || v >= k->x[3]) continue;
            int64_t j = ((n * k->x[1] + o / group_out * group_in + c) * k->x[2] + h) * k->x[3] + v;
            int64_t wi = o * k->w[1] * k->w[2] * k->w[3] + t;
            y[i] += array_get(x, j) * array_get(w, wi);
            dx[j] += array_get(g, i) * array_get(w, wi);
            dw[wi] += array_get(g, i) * array_get(x, j);
        }
    }
}

static void check_conv(conv_case k, lucid_dtype dtype, const array_layout *layout)
{
    for (int i = 0; i < 2; i++)
        k.y[2 + i] =
            (k.x[2 + i] + 2 * k.attrs.padding[i] - k.attrs.dilation[i] * (k.w[2 + i] - 1) - 1) /
                k.attrs.stride[i] +
            1;
    k.y[0] = k.x[0];
    k.y[1] = k.w[0];
    array x = array_normal(dtype, 4, k.x, layout[0], 0, 1),
          w = array_normal(dtype, 4, k.w, layout[1], 0, 1);
    array y = array_new(dtype, 4, k.y, layout[2]), g = array_normal(dtype, 4, k.y, layout[2], 0, 1);
    array dx = array_new(dtype, 4, k.x, layout[0]), dw = array_new(dtype, 4, k.w, layout[1]);
    array b = array_normal(dtype, 1, &k.y[1], layout[0], 0, 1);
    int64_t pixels = k.y[2] * k.y[3];
    double *ty = numbers(array_numel(&y)), *tx = numbers(array_numel(&x)),
           *tw = numbers(array_numel(&w));
    for (int64_t i = 0; i < array_numel(&y); i++) ty[i] = array_get(&b, i / pixels % k.y[1]);
    products(&k, &x, &w, &g, ty, tx, tw);
    double e = step_of(dtype) * 8, many = e * (1 + sqrt((double)(k.y[0] * pixels)));
    cr_assert(kernel_call(LUCID_OP_conv2d, dtype, &k.attrs, (array *[]){&x, &w, &b}, 3,
                          (array *[]){&y}, 1));
    cr_expect_leq(array_distance(&y, ty, e, e), 1, "y: dtype %d layouts %d %d %d", (int)dtype,
                  (int)layout[0], (int)layout[1], (int)layout[2]);
    memcpy(k.attrs.size, k.x, sizeof k.x);
    cr_assert(kernel_call(LUCID_OP_conv2d_backward_input, dtype, &k.attrs, (array *[]){&g, &w}, 2,
                          (array *[]){&dx}, 1));
    cr_expect_leq(array_distance(&dx, tx, e, e), 1, "dx: dtype %d layouts %d %d %d", (int)dtype,
                  (int)layout[0], (int)layout[1], (int)layout[2]);
    memcpy(k.attrs.size, k.w, sizeof k.w);
    cr_assert(kernel_call(LUCID_OP_conv2d_backward_weight, dtype, &k.attrs, (array *[]){&g, &x}, 2,
                          (array *[]){&dw}, 1));
    cr_expect_leq(array_distance(&dw, tw, many, e), 1, "dw: dtype %d layouts %d %d %d", (int)dtype,
                  (int)layout[0], (int)layout[1], (int)layout[2]);
    array_free_all();
}

Test(conv2d, every_layout_of_every_argument)
{
    static const conv_case cases[] = {
        {{.stride = {1, 1}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 1},
         {2, 3, 6, 7},
         {5, 3, 3, 3},
         {0}},
        {{.stride = {2, 1}, .padding = {0, 1}, .dilation = {1, 2}, .groups = 1},
         {2, 1, 7, 8},
         {4, 1, 3, 2},
         {0}},
        {{.stride = {1, 1}, .dilation = {1, 1}, .groups = 1}, {2, 6, 4, 5}, {7, 6, 1, 1}, {0}},
        {{.stride = {1, 1}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 2},
         {2, 4, 5, 5},
         {6, 2, 3, 3},
         {0}},
        {{.stride = {1, 1}, .padding = {1, 1}, .dilation = {1, 1}, .groups = 3},
         {2, 3, 5, 5},
         {3, 1, 3, 3},
         {0}},
    };
    static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
    FOR_ALL_LEVELS
    for (int i = 0; i < 5; i++)
        for (int l = 0; l < 125; l++) {
            array_layout layout[] = {(array_layout)(l % 5), (array_layout)(l / 5 % 5),
                                     (array_layout)(l / 25)};
            check_conv(cases[i], floating[l % 7 ? 0 : l / 7 % 4], layout);
        }
}
