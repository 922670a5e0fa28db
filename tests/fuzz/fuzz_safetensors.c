/* Any bytes as a safetensors file: readable to the last byte of the last tensor, or an error. */
#include "tests/fuzz/fuzz.h"

#include "lucid/io/safetensors.h"

#include <string.h>

static void read_all(const lucid_safetensors *file)
{
    for (int64_t i = 0; i < lucid_safetensors_count(file); i++) {
        LUCID_SCOPE;
        if (lucid_safetensors_find(file, lucid_safetensors_name(file, i)) != i) abort();
        lucid_tensor *t = i % 2 ? lucid_safetensors_view(file, i) : lucid_safetensors_copy(file, i);
        if (!t) { /* a dtype or a rank that lucid does not have, or a bool that is none */
            lucid_clear_error();
            continue;
        }
        volatile unsigned sum = 0;
        const uint8_t *p = lucid_data(t);
        size_t bytes = (size_t)lucid_numel(t) * lucid_dtype_size(lucid_tensor_dtype(t));
        for (size_t k = 0; k < bytes; k++) sum += p[k];
        (void)sum;
    }
    for (int64_t i = 0; i < lucid_safetensors_metadata_count(file); i++)
        if (!lucid_safetensors_metadata(file, lucid_safetensors_metadata_key(file, i))) abort();
}

/* The first byte says what the others are: 255: a whole file; n: a header and n bytes of data, to
 * which the length of the header is added, so that the fuzzer need not get it right. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[1 << 16];
    if (size < 1 || size > sizeof bytes - 8) return 0;
    bool whole = data[0] == 255;
    size_t tail = data[0] < size ? data[0] : size - 1;
    uint64_t length = size - 1 - tail;
    memcpy(bytes, &length, 8);
    memcpy(bytes + (whole ? 0 : 8), data + 1, size - 1);

    char path[64];
    int fd = fuzz_open(bytes, whole ? size - 1 : size + 7, path);
    lucid_safetensors *file = lucid_safetensors_open(path);
    int failed = !file;
    if (file) read_all(file);
    lucid_safetensors_close(file);
    fuzz_close(fd, failed);
    return 0;
}
