/* Networks by name: names and sizes of their parameters and logits as torchvision's, for weights
 * that a formula gives. LUCID_ALL_MODELS=1 runs those too that take long. */
#include "tests/reference/vectors.h"
#include "tests/testing.h"

#include <lucid/lucid.h>
#include <stdio.h>
#include <zlib.h>

static void begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}

TestSuite(models, .init = begin);

/* ---- the formula (tests/reference/make_models.py) -------------------------------------------- */

static double noise(uint32_t hash, uint64_t i)
{
    uint32_t x = (uint32_t)((i + hash) * 2654435761u);
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return x / 2147483648.0 - 1;
}

static bool ends_in(const char *name, const char *ending)
{
    const char *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, ending) == 0;
}

static void fill(const char *name, lucid_tensor *t, double gain)
{
    double scale = 0.5, shift = 0;
    if (ends_in(name, "num_batches_tracked")) return;
    if (ends_in(name, "running_var")) {
        shift = 1;
    } else if (ends_in(name, "running_mean") || ends_in(name, "bias") ||
               ends_in(name, "in_proj_bias")) {
        scale = 0.1;
    } else if (ends_in(name, "image")) {
        scale = 8;
    } else if (ends_in(name, "weight") || ends_in(name, "in_proj_weight")) {
        const bool vector = lucid_ndim(t) == 1;
        scale = vector ? 0.25 : gain * sqrt(6.0 / (double)(lucid_numel(t) / lucid_size(t, 0)));
        shift = vector ? 0.75 : 0;
    }
    const uint32_t hash = (uint32_t)crc32_z(0, (const unsigned char *)name, strlen(name));
    float *p = lucid_mutable_data(t);
    for (int64_t i = 0; i < lucid_numel(t); i++)
        p[i] = (float)(shift + scale * noise(hash, (uint64_t)i));
}

/* ---- the networks ---------------------------------------------------------------------------- */

/* Checks the list of names and sizes, and fills the tensors. */
static void check_state(lucid_module *net, const vectors_case *c)
{
    lucid_state_dict *s = lucid_module_state_dict(net);
    cr_assert(s, "%s", lucid_error());
    cr_expect_eq((int64_t)lucid_state_dict_size(s), vectors_int(c, "entries", 0), "%s: %zu",
                 vectors_name(c), lucid_state_dict_size(s));
    uLong crc = 0;
    for (size_t i = 0; i < lucid_state_dict_size(s); i++) {
        char text[512];
        const lucid_named_tensor e = lucid_state_dict_at(s, i);
        int n = snprintf(text, sizeof text, "%s ", e.name);
        for (int d = 0; d < lucid_ndim(e.tensor); d++)
            n += snprintf(text + n, sizeof text - (size_t)n, d ? ",%lld" : "%lld",
                          (long long)lucid_size(e.tensor, d));
        n += snprintf(text + n, sizeof text - (size_t)n, "\n");
        crc = crc32_z(crc, (const unsigned char *)text, (size_t)n);
        if (getenv("LUCID_LIST_MODELS")) fputs(text, stderr);
        fill(e.name, e.tensor, vectors_double(c, "gain", 1));
    }
    cr_expect_eq((int64_t)crc, vectors_int(c, "crc", 0), "%s: other names or sizes",
                 vectors_name(c));
    lucid_state_dict_free(s);
}

static void check_logits(lucid_module *net, const vectors_case *c, int64_t channels)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const int64_t size = vectors_int(c, "size", 0);
    lucid_tensor *x = lucid_zeros((2, channels, size, size));
    fill("input.image", x, 1);
    lucid_eval(net);
    lucid_tensor *y = lucid_forward(net, x);
    cr_assert(y, "%s: %s", vectors_name(c), lucid_error());
    EXPECT_SHAPE(y, 2, 5);
    const float *got = lucid_data(y);
    double want[10], most = 0, worst = 0;
    char *at = (char *)(uintptr_t)vectors_get(c, "logits");
    for (int i = 0; i < 10; i++, at++) {
        want[i] = strtod(at, &at);
        most = fmax(most, fabs(want[i]));
    }
    for (int i = 0; i < 10; i++) worst = fmax(worst, fabs(got[i] - want[i]) / most);
    cr_expect(worst < 1e-4, "%s: logits differ by %g of the largest", vectors_name(c), worst);
}

static lucid_module *build(const vectors_case *c, int64_t channels)
{
    const char *name = vectors_name(c);
    const int64_t size = strncmp(name, "vit_", 4) == 0 ? vectors_int(c, "size", 28) : 0;
    return nn_Model(name, .num_classes = 5, .in_channels = channels, .image_size = size);
}

Test(models, names_sizes_and_logits_are_torchvisions, .timeout = 600)
{
    const bool all = getenv("LUCID_ALL_MODELS") != NULL;
    const char *only = getenv("LUCID_MODEL");
    vectors *v = vectors_open("models");
    int n = 0;
    for (const vectors_case *c; (c = vectors_next(v)); n++) {
        if (only ? strcmp(only, vectors_name(c)) != 0 : !all && !vectors_bool(c, "quick", false))
            continue;
        const int64_t channels = strcmp(vectors_name(c), "lenet5") == 0 ? 1 : 3;
        lucid_module *net = build(c, channels);
        cr_assert(net, "%s: %s", vectors_name(c), lucid_error());
        cr_expect_eq(lucid_parameter_count(net, false), vectors_int(c, "numbers", 0), "%s",
                     vectors_name(c));
        check_state(net, c);
        if (vectors_get(c, "logits")) check_logits(net, c, channels);
        lucid_module_free(net);
    }
    cr_expect_eq(n, lucid_model_count());
    vectors_close(v);
}
