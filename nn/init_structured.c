/* init_structured.c: initial values with a structure: truncated normal, orthogonal, identity,
 * sparse. They are made in float64 on the CPU and written into the tensor. */
#include "autograd/autograd.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/random.h"
#include "lucid/core/tensor_priv.h"
#include "nn/init.h"
#include "nn/module_priv.h"

#include <math.h>
#include <string.h>

/* ---- writing --------------------------------------------------------------------------------- */

static bool check(const lucid_tensor *t, const char *op, int least, int most)
{
    if (!luc_check_tensor(t, op, "tensor")) return false;
    if (!lucid_dtype_is_floating(lucid_tensor_dtype(t)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "tensor: expected a floating dtype, got %s",
                         lucid_dtype_name(lucid_tensor_dtype(t)));
    int n = lucid_ndim(t);
    if (n >= least && n <= most) return true;
    if (least == most)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "tensor: expected %d dimensions, got %s", least,
                         luc_shape_text(t).s);
    return luc_raise(LUCID_ERR_ARGUMENT, op, "tensor: expected %d to %d dimensions, got %s", least,
                     most, luc_shape_text(t).s);
}

/* The values, row-major, in the tensor's dtype and on its device. */
static lucid_tensor *write(lucid_tensor *t, lucid_tensor *values)
{
    lucid_tensor *there = values ? lucid_tensor_to(values, lucid_tensor_device(t)) : NULL;
    return there ? lucid_copy_(t, there) : NULL;
}

/* Float64 on the CPU. */
static lucid_tensor *room(lucid_shape shape)
{
    return lucid_zeros_opt(shape, LUC_WITH(lucid_tensor, .dtype = LUCID_F64));
}

/* ---- truncated normal ------------------------------------------------------------------------ */

/* c[0] + c[1] x + ... + c[7] x^7 */
static double polynomial(const double c[8], double x)
{
    double sum = c[7];
    for (int i = 6; i >= 0; i--) sum = sum * x + c[i];
    return sum;
}

/* Where the normal distribution reaches p (Wichura, 1988, algorithm AS 241, to 16 digits). */
static double quantile(double p)
{
    static const double center[2][8] = {
        {3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
         1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
         3.3430575583588128105e+4, 2.5090809287301226727e+3},
        {1, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
         2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
         5.2264952788528545610e+3}};
    static const double side[2][8] = {
        {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
         3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
         2.27238449892691845833e-2, 7.74545014278341407640e-4},
        {1, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
         1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
         1.05075007164441684324e-9}};
    static const double tail[2][8] = {
        {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
         2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
         2.71155556874348757815e-5, 2.01033439929228813265e-7},
        {1, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
         7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
         2.04426310338993978564e-15}};
    double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(center[0], r) / polynomial(center[1], r);
    }
    double r = sqrt(-log(q < 0 ? p : 1 - p));
    const double(*c)[8] = r <= 5 ? side : tail;
    r -= r <= 5 ? 1.6 : 5;
    double x = polynomial(c[0], r) / polynomial(c[1], r);
    return q < 0 ? -x : x;
}

static double normal_below(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

lucid_tensor *lucid_init_trunc_normal_opt(lucid_tensor *t, const lucid_trunc_normal_options *given)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const char *op = "init_trunc_normal";
    const lucid_trunc_normal_options *o = LUC_OPTIONS(lucid_trunc_normal, given, op);
    if (!o || !check(t, op, 0, LUCID_MAX_DIMS)) return NULL;
    if (!isfinite(o->mean) || !(o->std > 0) || !isfinite(o->std))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "mean, std: expected a finite mean and std > 0, got %g and %g",
                              o->mean, o->std);
    if (!(o->a < o->b))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "a, b: expected a < b, got %g and %g", o->a,
                              o->b);
    /* In the lower half, where small probabilities keep their digits. */
    double low = (o->a - o->mean) / o->std, high = (o->b - o->mean) / o->std;
    double sign = low > 0 ? -1 : 1, from = sign < 0 ? -high : low, to = sign < 0 ? -low : high;
    double p = normal_below(from), width = normal_below(to) - p;
    lucid_tensor *values = lucid_uniform_(room(lucid_tensor_shape(t)), 0, 1);
    double *v = values ? lucid_mutable_data(values) : NULL;
    for (int64_t i = 0; v && i < lucid_numel(values); i++) {
        double at = p + v[i] * width, x = at > 0 && at < 1 ? quantile(at) : from;
        x = o->mean + o->std * sign * fmin(fmax(x, from), to);
        v[i] = fmin(fmax(x, o->a), o->b);
    }
    return write(t, values);
}

/* ---- orthogonal ------------------------------------------------------------------------------ */

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Takes the parts along rows[0..k-1], which are orthonormal, out of row k, twice because of
 * rounding, and makes it 1 long. */
static bool orthonormal_row(double *rows, int64_t k, int64_t n, const char *op)
{
    double *row = rows + k * n;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < k; j++) {
            double along = dot(rows + j * n, row, n);
            for (int64_t i = 0; i < n; i++) row[i] -= along * rows[j * n + i];
        }
    double length = sqrt(dot(row, row, n));
    if (!(length > 0))
        return luc_raise(LUCID_ERR_STATE, op, "random rows: expected independent ones, got others");
    for (int64_t i = 0; i < n; i++) row[i] /= length;
    return true;
}

/* Makes the rows of v [k,n], k <= n, orthonormal, a block at a time: the parts along earlier blocks
 * are products of matrices. */
static bool orthonormal_rows(lucid_tensor *v, const char *op)
{
    enum { BLOCK = 32 };
    int64_t k = lucid_size(v, 0), n = lucid_size(v, 1);
    for (int64_t at = 0; at < k; at += BLOCK) {
        LUCID_SCOPE;
        int64_t count = k - at < BLOCK ? k - at : BLOCK;
        lucid_tensor *block = lucid_narrow(v, 0, at, count);
        lucid_tensor *before = at ? lucid_narrow(v, 0, 0, at) : NULL;
        for (int pass = 0; before && pass < 2; pass++) {
            lucid_tensor *along = lucid_matmul(block, lucid_transpose(before, 0, 1));
            if (!lucid_sub_(block, lucid_matmul(along, before))) return false;
        }
        double *rows = lucid_mutable_data(v);
        if (!block || !rows) return false;
        for (int64_t i = 0; i < count; i++)
            if (!orthonormal_row(rows + at * n, i, n, op)) return false;
    }
    return true;
}

lucid_tensor *lucid_init_orthogonal_opt(lucid_tensor *t, const lucid_orthogonal_options *given)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const char *op = "init_orthogonal";
    const lucid_orthogonal_options *o = LUC_OPTIONS(lucid_orthogonal, given, op);
    if (!o || !check(t, op, 2, LUCID_MAX_DIMS)) return NULL;
    if (!isfinite(o->gain))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "gain: expected a finite number, got %g",
                              o->gain);
    int64_t rows = lucid_size(t, 0), columns = rows ? lucid_numel(t) / rows : 0;
    if (rows == 0 || columns == 0) return t;
    int64_t k = rows < columns ? rows : columns, n = rows < columns ? columns : rows;
    lucid_tensor *v = lucid_normal_(room(LUCID_SHAPE(k, n)), 0, 1);
    if (!v || !orthonormal_rows(v, op)) return NULL;
    v = lucid_mul_scalar(rows <= columns ? v : lucid_transpose(v, 0, 1), o->gain);
    return write(t, v ? lucid_reshape_opt(v, lucid_tensor_shape(t)) : NULL);
}

/* ---- identity -------------------------------------------------------------------------------- */

lucid_tensor *lucid_init_eye(lucid_tensor *t)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!check(t, "init_eye", 2, 2)) return NULL;
    return write(t, lucid_eye_opt(lucid_size(t, 0), lucid_size(t, 1),
                                  LUC_WITH(lucid_tensor, .dtype = LUCID_F64)));
}

lucid_tensor *lucid_init_dirac_opt(lucid_tensor *t, const lucid_dirac_options *given)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const char *op = "init_dirac";
    const lucid_dirac_options *o = LUC_OPTIONS(lucid_dirac, given, op);
    if (!o || !check(t, op, 3, 5)) return NULL;
    int64_t out = lucid_size(t, 0), in = lucid_size(t, 1), window = 1, center = 0;
    if (o->groups < 1 || out % o->groups != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "groups: expected a divisor of %lld channels, got %lld",
                              (long long)out, (long long)o->groups);
    for (int d = 2; d < lucid_ndim(t); d++) {
        center = center * lucid_size(t, d) + lucid_size(t, d) / 2;
        window *= lucid_size(t, d);
    }
    lucid_tensor *values = room(lucid_tensor_shape(t));
    double *v = values ? lucid_mutable_data(values) : NULL;
    int64_t of_group = out / o->groups, same = of_group < in ? of_group : in;
    for (int64_t g = 0; v && window && g < o->groups; g++)
        for (int64_t c = 0; c < same; c++) v[((g * of_group + c) * in + c) * window + center] = 1;
    return write(t, values);
}

/* ---- sparse ---------------------------------------------------------------------------------- */

/* Chooses `count` of n rows of a column and zeroes them: a shuffle that stops early. */
static void zero_some(double *v, int64_t n, int64_t stride, int64_t count, int64_t *order)
{
    lucid_generator g = lucid_get_rng_state();
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = 0; i < count; i++) {
        int64_t j = i + (int64_t)lucid_random_below(&g, (uint64_t)(n - i)), chosen = order[j];
        order[j] = order[i];
        order[i] = chosen;
        v[chosen * stride] = 0;
    }
    lucid_set_rng_state(g);
}

lucid_tensor *lucid_init_sparse_opt(lucid_tensor *t, double sparsity,
                                    const lucid_init_sparse_options *given)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const char *op = "init_sparse";
    const lucid_init_sparse_options *o = LUC_OPTIONS(lucid_init_sparse, given, op);
    if (!o || !check(t, op, 2, 2)) return NULL;
    if (!(sparsity >= 0 && sparsity <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "sparsity: expected [0, 1], got %g",
                              sparsity);
    if (!(o->std >= 0) || !isfinite(o->std))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "std: expected a number >= 0, got %g",
                              o->std);
    int64_t rows = lucid_size(t, 0), columns = lucid_size(t, 1);
    lucid_tensor *values = lucid_normal_(room(LUCID_SHAPE(rows, columns)), 0, o->std);
    double *v = values ? lucid_mutable_data(values) : NULL;
    int64_t *order = v ? luc_calloc((size_t)rows, sizeof *order, op) : NULL;
    if (!order) return NULL;
    int64_t zeros = (int64_t)ceil(sparsity * (double)rows);
    for (int64_t c = 0; c < columns; c++) zero_some(v + c, rows, columns, zeros, order);
    luc_free(order);
    return write(t, values);
}
