/* Any bytes as a file of torch.save: tensors or one clear error, and no memory that is left. */
#include "tests/fuzz/fuzz.h"

#include "lucid/core/scope.h"
#include "lucid/io/pth.h"

/* Reads every element, in the tensor's own strides; one that is expanded without end is left. */
static void read_all(const lucid_tensor *t)
{
    volatile unsigned sum = 0;
    const uint8_t *p = t ? lucid_data(t) : NULL;
    const size_t width = t ? lucid_dtype_size(lucid_tensor_dtype(t)) : 0;
    if (!p || lucid_numel(t) > 100000) return;
    for (int64_t i = 0; i < lucid_numel(t); i++) {
        int64_t at = 0, rest = i;
        for (int d = lucid_ndim(t) - 1; d >= 0; d--) {
            at += rest % lucid_size(t, d) * lucid_stride(t, d);
            rest /= lucid_size(t, d);
        }
        for (size_t b = 0; b < width; b++) sum += p[(size_t)at * width + b];
    }
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = fuzz_open(data, size, path), failed;
    {
        LUCID_SCOPE;
        lucid_pth *f = lucid_pth_open(path);
        failed = !f;
        for (int64_t i = 0; i < lucid_pth_count(f); i++) {
            if (lucid_pth_find(f, lucid_pth_name(f, i)) != i) abort();
            lucid_tensor *t = lucid_pth_view(f, i);
            if (!t == (lucid_error_code() == LUCID_OK)) abort();
            lucid_clear_error();
            read_all(t);
        }
        for (int64_t i = 0; i < lucid_pth_note_count(f); i++)
            if (!lucid_pth_note(f, lucid_pth_note_key(f, i))) abort();
        lucid_pth_close(f);
    }
    fuzz_close(fd, failed);
    return 0;
}
