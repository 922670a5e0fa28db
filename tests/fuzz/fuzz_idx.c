/* Any bytes as an idx file, plain or gzip: a tensor or an error. */
#include "tests/fuzz/fuzz.h"

#include "lucid/io/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = fuzz_open(data, size, path), failed;
    {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_idx_read(path);
        failed = !t;
        volatile unsigned sum = 0;
        const uint8_t *p = t ? lucid_data(t) : NULL;
        size_t bytes = t ? (size_t)lucid_numel(t) * lucid_dtype_size(lucid_tensor_dtype(t)) : 0;
        for (size_t i = 0; i < bytes; i++) sum += p[i];
        (void)sum;
    }
    fuzz_close(fd, failed);
    return 0;
}
