/* Any bytes as an npy file, an npz file and a CSV file: tensors or an error. */
#include "tests/fuzz/fuzz.h"

#include "lucid/io/npy.h"
#include "lucid/core/scope.h"

static void read_all(const lucid_tensor *t)
{
    volatile unsigned sum = 0;
    const uint8_t *p = t ? lucid_data(t) : NULL;
    size_t bytes = t ? (size_t)lucid_numel(t) * lucid_dtype_size(lucid_tensor_dtype(t)) : 0;
    for (size_t i = 0; i < bytes; i++) sum += p[i];
    (void)sum;
}

/* An error is pending exactly where there is no result. */
static void expect(int failed)
{
    if (failed != (lucid_error_code() != LUCID_OK)) abort();
    lucid_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = fuzz_open(data, size, path);
    {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_npy_read(path, .map = size % 2);
        expect(!t);
        read_all(t);
        t = lucid_csv_read(path, .delimiter = size % 3 ? ',' : ' ', .skip_rows = size % 2);
        expect(!t);
        read_all(t);
        lucid_npz *z = lucid_npz_open(path);
        expect(!z);
        for (int64_t i = 0; i < lucid_npz_count(z); i++) {
            t = lucid_npz_get(z, lucid_npz_name(z, i));
            expect(!t);
            read_all(t);
        }
        lucid_npz_close(z);
    }
    fuzz_close(fd, 0);
    return 0;
}
