/* api_values.h: arguments for fuzz_api.c, by type: valid ones, and those that nobody should pass.
 *
 * What is valid comes from small pools that live as long as the process; nothing else is freed. */
#ifndef TESTS_FUZZ_API_VALUES_H
#define TESTS_FUZZ_API_VALUES_H

#include <lucid/core/keep.h>
#include <lucid/extend.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAY = 64, MOST_COUNT = 40, POOL = 24, BUFFER = 1 << 16, MOST_KEPT = 4096 };

static uint64_t random_state;

static uint32_t dice(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

static bool chance(uint32_t n)
{
    return dice(n) == 0;
}

/* The parameter that is NULL in this call, from 1; 0: none, or any by chance. */
static int null_at;
static bool hostile; /* false: valid arguments, except the one at null_at */
#define P(i, value) ((i) == null_at || (hostile && chance(12)) ? NULL : (value))
#define PICK(list)  ((list)[dice(sizeof(list) / sizeof *(list))])

/* ---- numbers ---- */

static int64_t A_int64_t(const char *name)
{
    static const int64_t odd[] = {
        0,         -1,        INT64_MAX,     INT64_MIN,     (int64_t)1 << 62, (int64_t)1 << 32,
        INT32_MAX, INT32_MIN, INT64_MAX / 2, INT64_MIN + 1, (int64_t)1 << 20, 65536,
        33};
    (void)name;
    return hostile && chance(3) ? PICK(odd) : (int64_t)dice(6);
}
static int A_int(const char *name)
{
    static const int odd[] = {0, -1, INT32_MAX, INT32_MIN, 9, 64, 1 << 20, -2};
    (void)name;
    return hostile && chance(3) ? PICK(odd) : (int)dice(4);
}
static double A_double(const char *name)
{
    static const double odd[] = {0, -0.0, 1e308, -1e308, 5e-324, 1e19, -1, 0.3, 3.7, 1e9, DBL_MIN};
    static const double none[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    (void)name;
    if (hostile && chance(4)) return PICK(none);
    return hostile && chance(2) ? PICK(odd) : 0.25 * dice(5);
}
#define NUMBER(type)                       \
    static type A_##type(const char *name) \
    {                                      \
        return (type)A_int64_t(name);      \
    }
NUMBER(uint64_t)
NUMBER(uint32_t)
NUMBER(uint16_t)
NUMBER(size_t)
NUMBER(char)
static float A_float(const char *name)
{
    return (float)(fabs(A_double(name)) < 1e30 ? A_double(name) * 1e-3 : 0);
}
static bool A_bool(const char *name)
{
    (void)name;
    return chance(2);
}
/* A number of elements of an array that came before. */
static int A_count(void)
{
    return hostile ? (int)dice(MOST_COUNT + 1) : 1;
}

/* Enums: their values, and those beside them. */
#define ENUM(type, values)                                                     \
    static type A_##type(const char *name)                                     \
    {                                                                          \
        (void)name;                                                            \
        int value = hostile && chance(8) ? A_int("") : (int)dice(values);      \
        type e;                                                                \
        memcpy(&e, &value, sizeof e); /* any value may come from a C caller */ \
        return e;                                                              \
    }
ENUM(lucid_dtype, LUCID_DTYPE_COUNT)
ENUM(lucid_device_type, 2)
ENUM(lucid_code, LUCID_ERR_INTERNAL + 1)
ENUM(lucid_memory_format, LUCID_CHANNELS_LAST + 1)
ENUM(lucid_image_mode, LUCID_IMAGE_RGBA + 1)
ENUM(lucid_border, LUCID_BORDER_SYMMETRIC + 1)
ENUM(lucid_resample, LUCID_RESAMPLE_BICUBIC + 1)
ENUM(lucid_split, 2)
ENUM(lucid_scatter_how, LUCID_SCATTER_AMIN + 1)
ENUM(lucid_matrix_norm_kind, LUCID_NORM_NEG_TWO + 1)
ENUM(lucid_quantile_kind, LUCID_QUANTILE_MIDPOINT + 1)
ENUM(lucid_nonlinearity, 6)
ENUM(lucid_pad_mode, LUCID_PAD_CIRCULAR + 1)
ENUM(lucid_activation, LUCID_ACTIVATION_GELU + 1)
ENUM(lucid_box_format, LUCID_BOX_CXCYWH + 1)
ENUM(lucid_transformer_activation, LUCID_TRANSFORMER_GELU + 1)
ENUM(lucid_bag_mode, LUCID_BAG_MAX + 1)
ENUM(lucid_interpolate_mode, LUCID_INTERPOLATE_AREA + 1)
ENUM(lucid_grid_padding, LUCID_GRID_REFLECTION + 1)
ENUM(lucid_muon_adjust, 3)
ENUM(lucid_cycle_mode, 3)
ENUM(lucid_run_best, 3)
ENUM(lucid_measure, 5)

static lucid_device A_lucid_device(const char *name)
{
    lucid_device d = {LUCID_CPU, 0};
    (void)name;
    if (hostile && chance(8)) d = (lucid_device){A_lucid_device_type(""), A_int("")};
    return d;
}
static lucid_generator A_lucid_generator(const char *name)
{
    return (lucid_generator){A_uint64_t(name), A_uint64_t(name)};
}
static lucid_shape A_lucid_shape(const char *name)
{
    lucid_shape s = {.ndim = (int)dice(5)};
    (void)name;
    for (int d = 0; d < LUCID_MAX_DIMS; d++) s.dims[d] = A_int64_t("");
    if (hostile && chance(10)) s.ndim = A_int("");
    return s;
}

/* ---- text and memory ---- */

static char long_text[301];
static const char *A_const_char_p(const char *name)
{
    static const char *const texts[] = {
        "x",   "",     "0.weight", "weight",   "%s%n%d",      "cpu",      "cuda:7",
        "SGD", "adam", "a.b..c",   "\xff\xfe", "/dev/null/x", "saved.st", "."};
    (void)name;
    return chance(20) ? long_text : PICK(texts);
}
static const char *const *A_const_char_p_const_p(const char *name)
{
    static const char *list[MOST_KEPT];
    for (int i = 0; i < MOST_KEPT; i++)
        list[i] = hostile && chance(50) ? NULL : A_const_char_p(name);
    return list;
}
static void *A_void_p(const char *name)
{
    static int64_t buffer[BUFFER / 8];
    (void)name;
    for (int i = 0; i < ARRAY; i++) buffer[i] = A_int64_t("");
    return buffer;
}
#define MEMORY(type)                            \
    static type *A_##type##_p(const char *name) \
    {                                           \
        return (type *)A_void_p(name);          \
    }
MEMORY(char)
MEMORY(size_t)
MEMORY(int64_t)
MEMORY(uint32_t)
MEMORY(uint8_t)
static bool *A_bool_p(const char *name)
{
    static bool b;
    b = A_bool(name);
    return &b;
}
static double *A_double_p(const char *name)
{
    double *d = A_void_p(name);
    for (int i = 0; i < ARRAY; i++) d[i] = A_double(name);
    return d;
}
static FILE *A_FILE_p(const char *name)
{
    static FILE *file;
    (void)name;
    if (!file) file = fopen("/dev/null", "w");
    return file;
}

/* ---- tensors ---- */

static lucid_tensor *pool[POOL];

static bool is_small(const lucid_tensor *t)
{
    return lucid_numel(t) <= MOST_KEPT;
}

/* What a call returned may be an argument of the next ones. */
static void keep_tensor(lucid_tensor *t)
{
    if (!t || !is_small(t) || !hostile) return;
    lucid_tensor **place = &pool[dice(POOL)], *old = *place;
    *place = lucid_retain(t); /* first: it may be the old one */
    lucid_release(old);
}
static lucid_tensor *new_tensor(void)
{
    static const lucid_shape shapes[] = {{0, {0}},
                                         {1, {3}},
                                         {2, {2, 3}},
                                         {2, {3, 3}},
                                         {4, {2, 2, 4, 4}},
                                         {4, {2, 2, 3, 3}},
                                         {3, {2, 3, 4}},
                                         {2, {0, 3}},
                                         {5, {1, 2, 2, 2, 2}},
                                         {8, {1, 1, 2, 1, 1, 1, 1, 2}}};
    lucid_tensor_options o = lucid_tensor_defaults;
    if (chance(2)) o.dtype = (lucid_dtype)dice(LUCID_DTYPE_COUNT);
    o.requires_grad = chance(2) && lucid_dtype_is_floating(o.dtype);
    lucid_tensor *t = lucid_full_opt(PICK(shapes), dice(3), &o);
    lucid_clear_error();
    return t;
}
static lucid_tensor *A_lucid_tensor_p(const char *name)
{
    (void)name;
    return pool[dice(POOL)];
}
/* Between calls: nothing is freed while a call has it. */
static void renew_tensors(void)
{
    for (int i = 0; i < POOL; i++) {
        if (pool[i] && !chance(40)) continue;
        lucid_release(pool[i]);
        pool[i] = lucid_retain(new_tensor());
    }
}
static lucid_tensor *const *A_lucid_tensor_p_const_p(const char *name)
{
    static lucid_tensor *list[ARRAY];
    for (int i = 0; i < ARRAY; i++)
        list[i] = i && chance(2) ? list[0] : hostile && chance(30) ? NULL : A_lucid_tensor_p(name);
    return list;
}
static lucid_tensor **A_lucid_tensor_p_p(const char *name)
{
    (void)name;
    return calloc(ARRAY, sizeof(lucid_tensor *)); /* a module may keep the address */
}
static lucid_extent A_lucid_extent(const char *name)
{
    return chance(2) ? A_int64_t(name) : lucid_pair(A_int64_t(name), A_int64_t(name));
}
static lucid_shape *A_lucid_shape_p(const char *name)
{
    static lucid_shape shapes[3];
    lucid_shape *s = &shapes[dice(3)];
    *s = A_lucid_shape(name);
    return s;
}

/* ---- operators ---- */

static const lucid_op *A_lucid_op_p(const char *name)
{
    static size_t n;
    (void)name;
    while (lucid_op_at(n)) n++;
    return lucid_op_at(dice((uint32_t)n));
}
static lucid_call *A_lucid_call_p(const char *name)
{
    static lucid_call call;
    call.op = A_lucid_op_p(name);
    call.in = A_lucid_tensor_p_const_p(name);
    call.n_in = 2;
    call.n_out = 1;
    call.out[0].ndim = A_int(name);
    return &call;
}
/* Only the engine has one of these. */
#define NOBODYS(type)                           \
    static type *A_##type##_p(const char *name) \
    {                                           \
        (void)name;                             \
        return NULL;                            \
    }
NOBODYS(lucid_vjp)
NOBODYS(lucid_keep)
NOBODYS(lucid_kept)
NOBODYS(lucid_graph)

/* ---- callbacks ---- */

static lucid_tensor *hook(lucid_tensor *grad, void *user)
{
    (void)user;
    return chance(2) ? NULL : grad;
}
static bool check(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    (void)user;
    *n_out = 1;
    out[0] = n ? lucid_square(in[0]) : NULL;
    return out[0] != NULL;
}
static bool step(void *user)
{
    (void)user;
    return chance(2);
}
static lucid_tensor *pre_hook(lucid_module *m, lucid_tensor *x, void *user)
{
    (void)m, (void)user;
    return x;
}
static lucid_tensor *after_hook(lucid_module *m, lucid_tensor *x, lucid_tensor *y, void *user)
{
    (void)m, (void)user, (void)x;
    return y;
}
static bool pre_hook_many(lucid_module *m, lucid_tensor **in, int n_in, void *user)
{
    (void)m, (void)in, (void)n_in, (void)user;
    return !chance(8);
}
static bool after_hook_many(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                            int n_out, void *user)
{
    (void)m, (void)in, (void)n_in, (void)out, (void)n_out, (void)user;
    return !chance(8);
}
static bool backward_hook_many(lucid_module *m, lucid_tensor **in, int n_in,
                               lucid_tensor *const *out, int n_out, void *user)
{
    (void)m, (void)in, (void)n_in, (void)out, (void)n_out, (void)user;
    return !chance(8);
}
#define CALLBACK(type, fn)                                \
    static type A_##type(const char *name)                \
    {                                                     \
        (void)name;                                       \
        return hostile && chance(10) ? (type)NULL : (fn); \
    }
CALLBACK(lucid_tensor_hook, hook)
CALLBACK(lucid_check_fn, check)
CALLBACK(lucid_step_fn, step)
CALLBACK(lucid_forward_pre_hook, pre_hook)
CALLBACK(lucid_forward_hook, after_hook)
CALLBACK(lucid_backward_hook, after_hook)
CALLBACK(lucid_forward_pre_hook_many, pre_hook_many)
CALLBACK(lucid_forward_hook_many, after_hook_many)
CALLBACK(lucid_backward_hook_many, backward_hook_many)
static double lr_lambda(int64_t step_number, size_t group, void *user)
{
    (void)step_number, (void)group, (void)user;
    return A_double("");
}
static lucid_tensor *closure(void *user)
{
    (void)user;
    return chance(8) ? NULL : A_lucid_tensor_p("");
}
CALLBACK(lucid_lr_lambda, lr_lambda)
CALLBACK(lucid_closure, closure)

/* ---- modules and what works on them ---- */

static lucid_module *A_lucid_module_p(const char *name)
{
    (void)name;
    switch (dice(8)) {
    case 0:
        return lucid_nn_linear(3, 2, NULL);
    case 1:
        return lucid_nn_conv2d(2, 3, 3, NULL);
    case 2:
        return lucid_nn_batch_norm2d(2, NULL);
    case 3:
        return lucid_nn_relu(NULL);
    case 4:
        return lucid_nn_dropout(NULL);
    case 5:
        return lucid_nn_max_pool2d(2, NULL);
    case 6:
        return lucid_nn_flatten(NULL);
    default: {
        lucid_module *two[] = {lucid_nn_linear(3, 3, NULL), lucid_nn_relu(NULL)};
        return lucid_nn_sequential(two, 2);
    }
    }
}
static lucid_module *const *A_lucid_module_p_const_p(const char *name)
{
    static lucid_module *list[ARRAY];
    for (int i = 0; i < ARRAY; i++)
        list[i] = hostile && (i > 4 || chance(30)) ? NULL : A_lucid_module_p(name);
    return list;
}
static const lucid_named_module *A_lucid_named_module_p(const char *name)
{
    static lucid_named_module list[ARRAY];
    static char names[ARRAY][8];
    for (int i = 0; i < ARRAY; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        list[i].name = hostile && chance(30) ? NULL : names[i];
        list[i].module = hostile && (i > 4 || chance(30)) ? NULL : A_lucid_module_p(name);
    }
    return list;
}
static lucid_module **A_lucid_module_p_p(const char *name)
{
    (void)name;
    return calloc(1, sizeof(lucid_module *));
}
static const lucid_module_class *A_lucid_module_class_p(const char *name)
{
    static const lucid_module_class none;
    const lucid_module_class *list[] = {&lucid_nn_relu_class, &lucid_nn_linear_class,
                                        &lucid_nn_batch_norm2d_class, &lucid_module_class_base,
                                        &none};
    (void)name;
    return list[dice(hostile ? 5 : 4)];
}
static lucid_optimizer *A_lucid_optimizer_p(const char *name)
{
    static lucid_optimizer *list[6];
    lucid_optimizer **o = &list[dice(6)];
    static const char *const kinds[] = {"SGD",     "Adam",  "AdamW", "Adadelta",
                                        "RMSprop", "NAdam", "ASGD",  "LBFGS"};
    if (!*o)
        *o = chance(2) ? lucid_optim_new(PICK(kinds), NULL)
                       : lucid_optim_sgd(A_lucid_module_p(name), NULL);
    return *o;
}
static lucid_scheduler *A_lucid_scheduler_p(const char *name)
{
    static lucid_scheduler *list[3];
    lucid_scheduler **s = &list[dice(3)];
    if (!*s) *s = lucid_optim_step_lr(A_lucid_optimizer_p(name), 2, NULL);
    return *s;
}
static lucid_milestones A_lucid_milestones(const char *name)
{
    lucid_milestones m = {.count = dice(4)};
    for (int i = 0; i < LUCID_MAX_MILESTONES; i++) m.at[i] = 3 * i + (int64_t)dice(3);
    if (hostile && chance(8)) m.count = A_size_t(name);
    if (hostile && chance(8)) m.at[1] = A_int64_t(name);
    return m;
}
/* New ones, for they go to the function. */
static lucid_schedulers A_lucid_schedulers(const char *name)
{
    lucid_schedulers s = {.count = dice(3)};
    for (size_t i = 0; i < s.count; i++)
        s.of[i] = lucid_optim_step_lr(A_lucid_optimizer_p(name), 2, NULL);
    if (hostile && chance(8)) s.count = A_size_t(name);
    return s;
}
static lucid_averaged *A_lucid_averaged_p(const char *name)
{
    static lucid_averaged *list[3];
    lucid_averaged **a = &list[dice(3)];
    if (!*a) *a = lucid_averaged_ema(A_lucid_module_p(name), NULL);
    return *a;
}
static lucid_confusion *A_lucid_confusion_p(const char *name)
{
    static lucid_confusion *list[3];
    lucid_confusion **c = &list[dice(3)];
    (void)name;
    if (!*c) *c = lucid_confusion_new_opt(4, NULL);
    return *c;
}
static lucid_tensorboard *A_lucid_tensorboard_p(const char *name)
{
    static lucid_tensorboard *list[2];
    lucid_tensorboard **b = &list[dice(2)];
    (void)name;
    if (!*b) *b = lucid_tensorboard_open("board");
    return *b;
}
static lucid_report *A_lucid_report_p(const char *name)
{
    static lucid_report *list[2];
    lucid_report **r = &list[dice(2)];
    (void)name;
    if (!*r) *r = lucid_report_new("a run");
    return *r;
}
static lucid_scales A_lucid_scales(const char *name)
{
    return (lucid_scales){(int)dice(6) - 1, {A_double(name), A_double(name), A_double(name)}};
}
static lucid_grad_scaler *A_lucid_grad_scaler_p(const char *name)
{
    static lucid_grad_scaler *list[3];
    lucid_grad_scaler **s = &list[dice(3)];
    (void)name;
    if (!*s) *s = lucid_grad_scaler_new(NULL);
    return *s;
}
static lucid_state_dict *A_lucid_state_dict_p(const char *name)
{
    return chance(2) ? lucid_module_state_dict(A_lucid_module_p(name)) : lucid_state_dict_new();
}

/* ---- data and pictures ---- */

static lucid_dataset *A_lucid_dataset_p(const char *name)
{
    (void)name;
    return lucid_data_tensors(lucid_ones_opt((lucid_shape){2, {6, 2}}, NULL),
                              lucid_ones_opt((lucid_shape){1, {6}}, NULL));
}
static lucid_dataset *const *A_lucid_dataset_p_const_p(const char *name)
{
    static lucid_dataset *list[ARRAY];
    for (int i = 0; i < ARRAY; i++)
        list[i] = hostile && (i > 4 || chance(30)) ? NULL : A_lucid_dataset_p(name);
    return list;
}
static lucid_dataset **A_lucid_dataset_p_p(const char *name)
{
    static lucid_dataset *list[ARRAY];
    (void)name;
    return list;
}
static lucid_transform *A_lucid_transform_p(const char *name)
{
    (void)name;
    switch (dice(5)) {
    case 0:
        return lucid_data_to_float();
    case 1:
        return lucid_data_resize(2, NULL);
    case 2:
        return lucid_data_gaussian_blur(3, NULL);
    case 3:
        return lucid_data_random_rotation((lucid_range){-9, 9}, NULL);
    default:
        return lucid_data_color_jitter(NULL);
    }
}
static lucid_transform *const *A_lucid_transform_p_const_p(const char *name)
{
    static lucid_transform *list[ARRAY];
    for (int i = 0; i < ARRAY; i++)
        list[i] = hostile && (i > 4 || chance(30)) ? NULL : A_lucid_transform_p(name);
    return list;
}
static lucid_tensor *transform_fn(lucid_tensor *image, lucid_generator *rng, void *user)
{
    (void)rng, (void)user;
    return chance(8) ? NULL : image;
}
CALLBACK(lucid_transform_fn, transform_fn)
static lucid_tensor *distance_fn(lucid_tensor *a, lucid_tensor *b, void *user)
{
    (void)user;
    return lucid_sub(a, b);
}
CALLBACK(lucid_distance_fn, distance_fn)
static lucid_range A_lucid_range(const char *name)
{
    return (lucid_range){A_double(name), A_double(name)};
}
static lucid_sampler *A_lucid_sampler_p(const char *name)
{
    (void)name;
    return lucid_data_random_sampler(NULL);
}
static lucid_loader *A_lucid_loader_p(const char *name)
{
    static lucid_loader *list[3];
    lucid_loader **l = &list[dice(3)];
    if (!*l) *l = lucid_loader_new(A_lucid_dataset_p(name), NULL);
    return *l;
}
static lucid_npz *A_lucid_npz_p(const char *name)
{
    static lucid_npz *file;
    (void)name;
    if (!file) file = lucid_npz_open("given.npz"); /* fuzz_api.c writes it */
    return file;
}
static lucid_pth *A_lucid_pth_p(const char *name)
{
    static lucid_pth *file;
    (void)name;
    if (!file) file = lucid_pth_open("given.pth"); /* fuzz_api.c writes it */
    return file;
}
static lucid_loader_position A_lucid_loader_position(const char *name)
{
    return (lucid_loader_position){A_uint64_t(name), A_int64_t(name), A_int64_t(name)};
}
static lucid_safetensors *A_lucid_safetensors_p(const char *name)
{
    static lucid_safetensors *file;
    (void)name;
    if (!file) file = lucid_safetensors_open("given.st"); /* fuzz_api.c writes it */
    return file;
}
static lucid_image *A_lucid_image_p(const char *name)
{
    static lucid_image *image;
    (void)name;
    if (!image) image = lucid_image_new(40, 30, 0);
    return image;
}
static lucid_panel *A_lucid_panel_p(const char *name)
{
    static lucid_panel panels[ARRAY];
    static lucid_series series[2];
    for (int i = 0; i < 2; i++)
        series[i] = (lucid_series){A_const_char_p(name), NULL,           A_double_p(name),
                                   dice(ARRAY),          A_double(name), chance(2)};
    for (int i = 0; i < ARRAY; i++)
        panels[i] =
            (lucid_panel){.title = A_const_char_p(name), .series = series, .count = dice(3)};
    return panels;
}
#define PLACE(type)                             \
    static type *A_##type##_p(const char *name) \
    {                                           \
        static type place;                      \
        (void)name;                             \
        return &place;                          \
    }
PLACE(lucid_batch)
PLACE(lucid_device)
PLACE(lucid_generator)
PLACE(lucid_profile_entry)
PLACE(lucid_backend)
PLACE(lucid_module_totals)

#endif
