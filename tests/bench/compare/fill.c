/* fill.c: the same numbers in lucid and in PyTorch, without a file between them. */
#include "row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* x -> frac(x * golden ratio): even over [0, 1), and the same in float64 everywhere. */
void row_fill(lucid_tensor *t, double scale, double offset)
{
    int64_t n = lucid_numel(t);
    double *values = malloc((size_t)(n ? n : 1) * sizeof *values);
    if (!values) abort();
    for (int64_t i = 0; i < n; i++) {
        double x = fmod((double)(i + 1) * 0.61803398874989484820, 1.0);
        values[i] = offset + scale * (2 * x - 1);
    }
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
        size_t length = strlen(p[i].name);
        if (length >= 4 && strcmp(p[i].name + length - 4, "bias") == 0) row_fill(p[i].tensor, 0, 0);
        if (lucid_ndim(p[i].tensor) < 2) continue;
        int64_t fan_in = lucid_numel(p[i].tensor) / lucid_size(p[i].tensor, 0);
        row_fill(p[i].tensor, 1 / sqrt((double)fan_in), 0);
    }
}
