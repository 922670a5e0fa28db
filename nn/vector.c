/* vector.c: all parameters of a module as one vector. */
#include "nn/vector.h"
#include "autograd/autograd.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

/* The parameters flattened and joined. */
static lucid_tensor *join(lucid_tensor **params, size_t n)
{
    const char *op = "parameters_to_vector";
    if (n == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "module: expected one with parameters, got one without");
    for (size_t i = 0; i < n; i++) {
        if (lucid_tensor_dtype(params[i]) != lucid_tensor_dtype(params[0]))
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "parameter %zu: expected the dtype of parameter 0, %s, got %s", i,
                                  lucid_dtype_name(lucid_tensor_dtype(params[0])),
                                  lucid_dtype_name(lucid_tensor_dtype(params[i])));
        params[i] = lucid_reshape_opt(params[i], LUCID_SHAPE(-1));
        if (!params[i]) return NULL;
    }
    return lucid_cat_list(params, n, 0);
}

lucid_tensor *lucid_parameters_to_vector(lucid_module *m)
{
    if (!luc_check_module(m, "parameters_to_vector")) return NULL;
    size_t n;
    lucid_tensor **params = luc_module_tensors(m, true, false, &n);
    if (!params) return NULL;
    lucid_tensor *vector = join(params, n);
    luc_free(params);
    return vector;
}

static bool split(lucid_tensor **params, size_t n, lucid_tensor *vector)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    int64_t at = 0, total = 0;
    for (size_t i = 0; i < n; i++) total += lucid_numel(params[i]);
    if (lucid_ndim(vector) != 1 || lucid_numel(vector) != total)
        return luc_raise(LUCID_ERR_ARGUMENT, "vector_to_parameters",
                         "vector: expected [%lld], got %s", (long long)total,
                         luc_shape_text(vector).s);
    for (size_t i = 0; i < n; i++) {
        int64_t count = lucid_numel(params[i]);
        lucid_tensor *part = lucid_narrow(vector, 0, at, count);
        part = part ? lucid_reshape_opt(part, lucid_tensor_shape(params[i])) : NULL;
        part = part ? lucid_tensor_to(part, lucid_tensor_device(params[i])) : NULL;
        if (!part || !lucid_copy_(lucid_detach(params[i]), part)) return false;
        at += count;
    }
    return true;
}

bool lucid_vector_to_parameters(lucid_module *m, lucid_tensor *vector)
{
    const char *op = "vector_to_parameters";
    if (!luc_check_module(m, op) || !luc_check_tensor(vector, op, "vector")) return false;
    size_t n;
    lucid_tensor **params = luc_module_tensors(m, true, false, &n);
    bool ok = params && split(params, n, vector);
    luc_free(params);
    return ok;
}
