/* fill.c: the same numbers in lucid and in PyTorch, without a file between them. */
#include "row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

lucid_device row_device;
lucid_dtype row_dtype;

static const double golden = 0.61803398874989484820;

/* Even over [0, 1), and the same in float64 everywhere. The second step breaks up the first one's
 * regular distances, whose sums over a window would all but cancel. */
static double scattered(int64_t i)
{
    return fmod(fmod((double)(i + 1) * golden, 1.0) * 7919.173, 1.0);
}

static double *doubles(int64_t n)
{
    double *values = malloc((size_t)(n ? n : 1) * sizeof *values);
    if (!values) abort();
    return values;
}

void row_fill(lucid_tensor *t, double scale, double offset)
{
    int64_t n = lucid_numel(t);
    double *values = doubles(n);
    for (int64_t i = 0; i < n; i++) values[i] = offset + scale * (2 * scattered(i) - 1);
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_copy_(t, lucid_from_doubles_opt(lucid_tensor_shape(t), values, (size_t)n, NULL));
    free(values);
}

void row_fill_module(lucid_module *net)
{
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(net, &n);
    for (size_t i = 0; i < n; i++) {
        const char *dot = strrchr(p[i].name, '.');
        if (lucid_ndim(p[i].tensor) < 2) {
            if (strstr(dot ? dot + 1 : p[i].name, "bias")) row_fill(p[i].tensor, 0.1, 0);
            continue;
        }
        int64_t fan_in = lucid_numel(p[i].tensor) / lucid_size(p[i].tensor, 0);
        row_fill(p[i].tensor, 1 / sqrt((double)fan_in), 0);
    }
    lucid_to(net, row_device);
}

double row_check(lucid_tensor *const *tensors, int n_tensors)
{
    double total = 0;
    for (int k = 0; k < n_tensors; k++) {
        int64_t n = lucid_numel(tensors[k]);
        double *values = doubles(n), sum = 0;
        if (!lucid_to_doubles(tensors[k], values, (size_t)n)) sum = NAN;
        for (int64_t i = 0; i < n; i++) {
            double weight = 1 + fmod((double)(i + 1) * golden, 1.0);
            sum += weight * (1.5 * fabs(values[i]) + 0.5 * values[i]);
        }
        total += sum / (double)n;
        free(values);
    }
    return total;
}
