/* Files that other programs write: tensors that lucid cannot hold, and tied weights written
 * once. */
#include "tests/lucid/io/files.h"

#include "lucid/lucid.h"

TestSuite(foreign, .init = files_begin, .fini = files_end);

#define WEIGHT "\"weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define BIAS   "\"bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}"

/* Writes a file with this header and this number of bytes of data (1, 1, ...). */
static const char *make(const char *header, size_t data)
{
    char bytes[2048];
    uint64_t length = strlen(header);
    cr_assert(8 + length + data <= sizeof bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 1, data);
    return files_write("f", bytes, 8 + length + data);
}

/* A tensor "q" of 4 bytes that lucid cannot hold, beside the weights. */
static const struct {
    const char *member, *why;
    lucid_code code;
} unknown[] = {
    {"\"dtype\":\"I8\",\"shape\":[4]", "tensor \"q\": lucid has no dtype I8",
     LUCID_ERR_UNSUPPORTED},
    {"\"dtype\":\"F8_E4M3\",\"shape\":[4]", "lucid has no dtype F8_E4M3", LUCID_ERR_UNSUPPORTED},
    {"\"dtype\":\"F4\",\"shape\":[8]", "lucid has no dtype F4", LUCID_ERR_UNSUPPORTED},
    {"\"dtype\":\"Q5_NEW\",\"shape\":[3]", "lucid has no dtype Q5_NEW", LUCID_ERR_UNSUPPORTED},
    {"\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1]", "at most 8 dimensions, got 9",
     LUCID_ERR_UNSUPPORTED},
};

Test(foreign, a_tensor_that_nobody_asks_for_blocks_nothing)
{
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        LUCID_SCOPE;
        char header[1024];
        snprintf(header, sizeof header, "{%s,%s,\"q\":{%s,\"data_offsets\":[32,36]}}", WEIGHT, BIAS,
                 unknown[i].member);
        const char *path = make(header, 36);
        lucid_module *m = nn_Linear(3, 2);
        EXPECT_ERROR(lucid_load(m, path), LUCID_ERR_FORMAT, "unexpected: q");
        cr_expect(lucid_load(m, path, .strict = false), "%s: %s", unknown[i].member, lucid_error());
        cr_expect_eq(*(const int32_t *)lucid_data(lucid_get_parameter(m, "weight")), 0x01010101);
        lucid_state_dict *s = lucid_state_dict_load(path);
        cr_assert(s, "%s", lucid_error());
        cr_expect_eq(lucid_state_dict_size(s), 2);
        cr_expect(lucid_state_dict_get(s, "weight") && !lucid_state_dict_get(s, "absent"));
        cr_expect_eq(lucid_error_code(), LUCID_OK);
        EXPECT_ERROR(lucid_state_dict_get(s, "q"), unknown[i].code, unknown[i].why);
        /* Losing it is always an error. */
        EXPECT_ERROR(lucid_state_dict_save(s, files_path("g")), unknown[i].code, unknown[i].why);
        lucid_state_dict *copy = lucid_state_dict_shallow_copy(s);
        EXPECT_ERROR(lucid_state_dict_get(copy, "q"), unknown[i].code, unknown[i].why);
        lucid_state_dict_free(copy);
        cr_expect(lucid_state_dict_remove(s, "q") && !lucid_state_dict_remove(s, "q"));
        cr_expect(lucid_state_dict_save(s, files_path("g")), "%s", lucid_error());
        cr_expect(lucid_load(m, files_path("g")), "%s", lucid_error());
        lucid_state_dict_free(s);
        lucid_module_free(m);
    }
}

Test(foreign, a_tensor_that_is_asked_for_is_an_error_and_changes_nothing)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(3, 2);
    lucid_tensor *before = lucid_clone(lucid_get_parameter(m, "weight"), LUCID_PRESERVE);
    const char *path = make("{" WEIGHT ",\"bias\":{\"dtype\":\"U16\",\"shape\":[2],"
                            "\"data_offsets\":[24,28]}}",
                            28);
    EXPECT_ERROR(lucid_load(m, path), LUCID_ERR_UNSUPPORTED,
                 "tensor \"bias\": lucid has no dtype U16");
    EXPECT_ERROR(lucid_load(m, path, .strict = false), LUCID_ERR_UNSUPPORTED, "no dtype U16");
    cr_expect(lucid_equal(lucid_get_parameter(m, "weight"), before));
    lucid_module_free(m);
}

Test(foreign, an_optimizer_refuses_a_state_with_more_in_it)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(3, 2);
    lucid_optimizer *opt = optim_SGD(m, .lr = 0.1);
    const char *path = make("{\"q\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    EXPECT_ERROR(lucid_optimizer_load(opt, path), LUCID_ERR_UNSUPPORTED, "no dtype I8");
    lucid_optimizer_free(opt);
    lucid_module_free(m);
}

/* ---- tied weights ---------------------------------------------------------------------------- */

/* One layer under two names. */
typedef struct Twice {
    lucid_module base;
    lucid_module *first, *second;
} Twice;

static const lucid_module_class twice_class = {
    .name = "Twice", .size = sizeof(Twice), .super = &lucid_module_class_base};

static lucid_module *make_twice(void)
{
    lucid_module *m = lucid_module_new(&twice_class);
    Twice *t = lucid_self(m, Twice);
    lucid_module *layer = nn_Linear(3, 2);
    lucid_register_module(m, "first", &t->first, layer);
    lucid_register_module(m, "second", &t->second, layer);
    return m;
}

/* As safetensors.torch.save_model writes it: each tensor once, and a note of the other name. */
#define ONCE(name)                                                             \
    "{\"__metadata__\":{\"format\":\"pt\"},\"" name                            \
    ".bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"" name \
    ".weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]}}"

Test(foreign, tied_weights_that_are_written_once)
{
    LUCID_SCOPE;
    lucid_module *m = make_twice();
    lucid_tensor *weight = lucid_get_parameter(m, "first.weight");
    const char *const files[] = {ONCE("first"), ONCE("second")};
    for (int i = 0; i < 2; i++) {
        lucid_init_constant(weight, 0);
        cr_expect(lucid_load(m, make(files[i], 32)), "%s", lucid_error());
        cr_expect_eq(*(const int32_t *)lucid_data(weight), 0x01010101);
        cr_expect_eq(lucid_get_parameter(m, "second.weight"), weight, "they are tied as before");
    }
    /* lucid's own files hold both. */
    cr_expect(lucid_save(m, files_path("g")) && lucid_load(m, files_path("g")), "%s",
              lucid_error());
    /* A name that no tensor has is missing as before; so is one of two equal tensors that are not
     * tied. */
    EXPECT_ERROR(lucid_load(m, make(ONCE("third"), 32)), LUCID_ERR_FORMAT,
                 "missing: first.weight, first.bias, second.weight, second.bias");
    lucid_module *apart = nn_Sequential(nn_Linear(3, 2), nn_Linear(3, 2));
    EXPECT_ERROR(lucid_load(apart, make(ONCE("0"), 32)), LUCID_ERR_FORMAT,
                 "missing: 1.weight, 1.bias");
    lucid_module_free(apart);
    lucid_module_free(m);
}

/* ---- many names ------------------------------------------------------------------------------ */

/* Looking a name up does not go through all of them: a file of many tensors loads in linear
 * time. */
Test(foreign, many_names, .timeout = 60)
{
    LUCID_SCOPE;
    enum { N = 200000 };
    lucid_state_dict *s = lucid_state_dict_new();
    lucid_tensor *t = lucid_zeros((1));
    char name[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%d.weight", i);
        cr_assert(lucid_state_dict_set(s, name, t));
    }
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%d.weight", i);
        cr_assert(lucid_state_dict_get(s, name) == t);
        cr_assert_str_eq(lucid_state_dict_at(s, (size_t)i).name, name);
    }
    for (int i = 0; i < 100; i++) { /* removing keeps order and names */
        snprintf(name, sizeof name, "%d.weight", 3 * i);
        cr_assert(lucid_state_dict_remove(s, name) && !lucid_state_dict_get(s, name));
    }
    cr_expect_str_eq(lucid_state_dict_at(s, 1).name, "2.weight");
    cr_expect(lucid_state_dict_get(s, "199999.weight") && lucid_state_dict_size(s) == N - 100);
    lucid_state_dict_free(s);
}
