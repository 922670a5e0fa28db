/* Any bytes as an image, PNG or JPEG, in every mode: a tensor or an error. */
#include "tests/fuzz/fuzz.h"

#include "lucid/io/image.h"
#include "lucid/core/scope.h"

/* The first inputs: small files of both formats, written into the corpus, the last argument. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const names[] = {
        "gray.png", "gray_alpha.png", "rgb.png", "rgba.png", "gray.jpg", NULL, "rgb.jpg"};
    char path[4096];
    LUCID_SCOPE;
    for (int i = 0; i < 7; i++) {
        if (!names[i] || (i >= 4 && !lucid_image_has_jpeg())) continue;
        lucid_tensor *t = lucid_empty((i % 4 + 1, 9, 11), .dtype = LUCID_U8);
        uint8_t *p = lucid_mutable_data(t);
        for (int64_t k = 0; k < lucid_numel(t); k++) p[k] = (uint8_t)(3 * k);
        snprintf(path, sizeof path, "%s/%s", (*argv)[*argc - 1], names[i]);
        if (access((*argv)[*argc - 1], W_OK) == 0 && access(path, F_OK) != 0)
            lucid_set_error_mode(LUCID_ERRORS_RETURN), lucid_image_write(t, path);
        lucid_clear_error();
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    if (!size) return 0;
    LUCID_SCOPE;
    /* The options follow from the length, so that a file is an input as it is. */
    lucid_tensor *t =
        lucid_image_decode(data, size, .mode = (lucid_image_mode)(size % 5), .orient = size % 2,
                           .wide = size % 3 == 0, .max_pixels = 1 << 22);
    if (!t != (lucid_error_code() != LUCID_OK)) abort();
    volatile unsigned sum = 0;
    const uint8_t *p = t ? lucid_data(t) : NULL;
    size_t bytes = t ? (size_t)lucid_numel(t) * lucid_dtype_size(lucid_tensor_dtype(t)) : 0;
    for (size_t i = 0; i < bytes; i++) sum += p[i];
    (void)sum;
    lucid_clear_error();
    lucid_live_counts live = lucid_live();
    if (live.tensors > 1 || live.storages > 1 || live.other) abort();
    return 0;
}
