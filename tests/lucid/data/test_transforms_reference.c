/* Transforms against torchvision.transforms.v2. */
#include "tests/reference/vectors.h"
#include "tests/testing.h"

#include "lucid/data/colour.h"
#include "lucid/data/geometry.h"
#include "lucid/data/transform_priv.h"
#include "lucid/core/scope.h"

static lucid_extent extent(const vectors_case *c, const char *key)
{
    lucid_shape list = {0};
    cr_assert(vectors_list(c, key, &list) && list.ndim >= 1);
    return list.ndim == 1 ? list.dims[0] : lucid_pair(list.dims[0], list.dims[1]);
}

/* The transform of a case. NULL: the case is tested in another way. */
static lucid_transform *transform_of(const vectors_case *c)
{
    const char *op = vectors_get(c, "op");
    if (strcmp(op, "resize") == 0)
        return data_Resize(extent(c, "size"), .resample = (lucid_resample)vectors_int(c, "mode", 1),
                           .antialias = vectors_bool(c, "antialias", true),
                           .max_size = vectors_int(c, "max_size", 0));
    if (strcmp(op, "center_crop") == 0) return data_CenterCrop(extent(c, "size"));
    if (strcmp(op, "pad") == 0)
        return data_Pad(extent(c, "padding"), .fill = vectors_double(c, "fill", 0),
                        .mode = (lucid_border)vectors_int(c, "padding_mode", 0));
    if (strcmp(op, "rotate") == 0) {
        double d = vectors_double(c, "degrees", 0);
        return data_RandomRotation(
            lucid_range(d, d), .resample = (lucid_resample)vectors_int(c, "mode", 0),
            .expand = vectors_bool(c, "expand", false), .fill = vectors_double(c, "fill", 0));
    }
    if (strcmp(op, "grayscale") == 0)
        return data_Grayscale(.channels = vectors_int(c, "channels", 1));
    if (strcmp(op, "blur") == 0) {
        double s = vectors_double(c, "sigma", 1);
        return data_GaussianBlur(extent(c, "kernel"), .sigma = lucid_range(s, s));
    }
    if (strcmp(op, "to_float") == 0) return data_ToFloat();
    if (strcmp(op, "normalize") == 0)
        return data_Compose(data_ToFloat(), data_Normalize((.4, .5, .6), (.2, .25, .3)));
    return NULL;
}

static lucid_tensor *result_of(const vectors_case *c, lucid_tensor *in)
{
    lucid_transform *t = transform_of(c);
    if (t) {
        lucid_tensor *out = lucid_transform_apply(t, in, NULL);
        lucid_transform_free(t);
        return out;
    }
    cr_assert_str_eq(vectors_get(c, "op"), "adjust");
    luc_picture p;
    cr_assert(luc_picture_of(&p, in, "test"));
    luc_adjust(lucid_mutable_data(in), p.dtype, p.c, p.h * p.w,
               (luc_colour)vectors_int(c, "what", 0), vectors_double(c, "factor", 1));
    return in;
}

/* Bytes are the same, except two in a thousand, which differ by one: there torchvision's float32
 * falls on the other side of a half. */
static void compare(const vectors_case *c, const lucid_tensor *got, const lucid_tensor *want)
{
    lucid_shape a = lucid_tensor_shape(got), b = lucid_tensor_shape(want);
    char ta[64], tb[64];
    cr_assert(lucid_shape_equal(&a, &b), "%s: expected %s, got %s", vectors_name(c),
              lucid_shape_format(&b, tb, 64), lucid_shape_format(&a, ta, 64));
    cr_assert_eq(lucid_tensor_dtype(got), lucid_tensor_dtype(want));
    const int64_t n = lucid_numel(got);
    double most = 0, different = 0;
    double *x = malloc((size_t)n * 16), *y = x + n;
    lucid_to_doubles(got, x, (size_t)n);
    lucid_to_doubles(want, y, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(x[i] - y[i]));
        different += x[i] != y[i];
    }
    free(x);
    if (lucid_tensor_dtype(got) == LUCID_F32)
        cr_expect(most <= 2e-5, "%s: differs by %g", vectors_name(c), most);
    else
        cr_expect(most <= 1 && different <= 0.002 * (double)n, "%s: differs by %g, %g of %g",
                  vectors_name(c), most, different, (double)n);
}

Test(transforms_reference, every_case)
{
    vectors *v = vectors_open("transforms");
    int n = 0;
    for (const vectors_case *c; (c = vectors_next(v)); n++) {
        LUCID_SCOPE;
        char name[128];
        snprintf(name, sizeof name, "%s/in0", vectors_name(c));
        lucid_tensor *in = vectors_tensor(v, name);
        snprintf(name, sizeof name, "%s/out", vectors_name(c));
        lucid_tensor *out = result_of(c, in);
        cr_assert(out, "%s: %s", vectors_name(c), lucid_error());
        compare(c, out, vectors_tensor(v, name));
    }
    cr_expect_gt(n, 100);
    vectors_close(v);
}
