/* weights.c: lucid info and lucid convert. */
#include "nn/command/commands_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n >= m && !strcmp(path + n - m, end);
}

/* The tensors of a file of NumPy's. */
static lucid_state_dict *read_numpy(const char *path)
{
    lucid_state_dict *state = lucid_state_dict_new();
    if (ends_with(path, ".npy")) {
        lucid_tensor *t = lucid_npy_read(path);
        if (t) lucid_state_dict_set(state, "array", t);
    } else {
        lucid_npz *file = lucid_npz_open(path);
        for (int64_t i = 0; i < (file ? lucid_npz_count(file) : 0); i++) {
            LUCID_SCOPE;
            const char *name = lucid_npz_name(file, i);
            lucid_tensor *t = lucid_npz_get(file, name);
            if (!t || !lucid_state_dict_set(state, name, t)) break;
        }
        lucid_npz_close(file);
    }
    if (lucid_error_code() == LUCID_OK) return state;
    lucid_state_dict_free(state);
    return NULL;
}

static lucid_state_dict *read_file(const char *path)
{
    if (ends_with(path, ".npz") || ends_with(path, ".npy")) return read_numpy(path);
    return lucid_state_dict_load(path);
}

int command_info(int argc, char **argv)
{
    (void)argc;
    lucid_state_dict *state = read_file(argv[0]);
    if (!state) return 1;
    int64_t elements = 0, bytes = 0;
    const size_t n = lucid_state_dict_size(state);
    size_t widest = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t length = strlen(lucid_state_dict_at(state, i).name);
        if (length > widest) widest = length;
    }
    for (size_t i = 0; i < n; i++) {
        const lucid_named_tensor t = lucid_state_dict_at(state, i);
        const lucid_shape s = lucid_tensor_shape(t.tensor);
        const lucid_dtype dtype = lucid_tensor_dtype(t.tensor);
        printf("%-*s  %-8s  [", (int)widest, t.name, lucid_dtype_name(dtype));
        for (int d = 0; d < s.ndim; d++) printf("%s%" PRId64, d ? ", " : "", s.dims[d]);
        printf("]\n");
        elements += lucid_numel(t.tensor);
        bytes += lucid_numel(t.tensor) * (int64_t)lucid_dtype_size(dtype);
    }
    printf("%zu tensors, %" PRId64 " elements, %" PRId64 " bytes\n", n, elements, bytes);
    lucid_state_dict_free(state);
    return 0;
}

int command_convert(int argc, char **argv)
{
    (void)argc;
    const char *to = argv[1];
    const bool array = ends_with(to, ".npy");
    if (!array && !ends_with(to, ".safetensors") && !ends_with(to, ".pth") && !ends_with(to, ".pt"))
        return fprintf(stderr,
                       "lucid convert: %s: expected a name that ends in .safetensors, .pth, "
                       ".pt or .npy\n",
                       to),
               2;
    lucid_state_dict *state = read_file(argv[0]);
    if (!state) return 1;
    const size_t n = lucid_state_dict_size(state);
    int status = 0;
    if (array && n != 1) {
        fprintf(stderr, "lucid convert: %s: .npy takes one tensor, and there are %zu\n", to, n);
        status = 1;
    } else if (array)
        status = !lucid_npy_write(lucid_state_dict_at(state, 0).tensor, to);
    else
        status = !lucid_state_dict_save(state, to);
    if (!status) printf("%s: %zu tensor%s\n", to, n, n == 1 ? "" : "s");
    lucid_state_dict_free(state);
    return status;
}
