/* pickle_build.c: the names that a pickle may have, and what they make. */
#include "lucid/io/pickle_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <string.h>

/* ---- names ----------------------------------------------------------------------------------- */

static const luc_pickle_dtype dtypes[] = {
    {"float32", "FloatStorage", 4, LUCID_F32},
    {"float64", "DoubleStorage", 8, LUCID_F64},
    {"float16", "HalfStorage", 2, LUCID_F16},
    {"bfloat16", "BFloat16Storage", 2, LUCID_BF16},
    {"int64", "LongStorage", 8, LUCID_I64},
    {"int32", "IntStorage", 4, LUCID_I32},
    {"uint8", "ByteStorage", 1, LUCID_U8},
    {"bool", "BoolStorage", 1, LUCID_BOOL},
    {"int8", "CharStorage", 1, LUCID_DTYPE_COUNT},
    {"int16", "ShortStorage", 2, LUCID_DTYPE_COUNT},
    {"uint16", NULL, 2, LUCID_DTYPE_COUNT},
    {"uint32", NULL, 4, LUCID_DTYPE_COUNT},
    {"uint64", NULL, 8, LUCID_DTYPE_COUNT},
    {"complex32", "ComplexHalfStorage", 4, LUCID_DTYPE_COUNT},
    {"complex64", "ComplexFloatStorage", 8, LUCID_DTYPE_COUNT},
    {"complex128", "ComplexDoubleStorage", 16, LUCID_DTYPE_COUNT},
    {"float8_e4m3fn", NULL, 1, LUCID_DTYPE_COUNT},
    {"float8_e5m2", NULL, 1, LUCID_DTYPE_COUNT},
    {"quint8", "QUInt8Storage", 1, LUCID_DTYPE_COUNT},
    {"qint8", "QInt8Storage", 1, LUCID_DTYPE_COUNT},
    {"qint32", "QInt32Storage", 4, LUCID_DTYPE_COUNT},
};

static const struct {
    const char *module, *name;
    int function;
} functions[] = {
    {"collections", "OrderedDict", LUC_PICKLE_ORDERED_DICT},
    {"collections", "Counter", LUC_PICKLE_COUNTER},
    {"torch._utils", "_rebuild_tensor", LUC_PICKLE_REBUILD_TENSOR},
    {"torch._utils", "_rebuild_tensor_v2", LUC_PICKLE_REBUILD_TENSOR_V2},
    {"torch._utils", "_rebuild_tensor_v3", LUC_PICKLE_REBUILD_TENSOR_V3},
    {"torch._utils", "_rebuild_parameter", LUC_PICKLE_REBUILD_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", LUC_PICKLE_REBUILD_PARAMETER_WITH_STATE},
    {"torch._tensor", "_rebuild_from_type_v2", LUC_PICKLE_REBUILD_FROM_TYPE},
    {"torch", "Size", LUC_PICKLE_SIZE},
    {"torch", "device", LUC_PICKLE_DEVICE},
    {"torch", "Tensor", LUC_PICKLE_TYPE},
    {"torch.nn.parameter", "Parameter", LUC_PICKLE_TYPE},
    {"torch.nn.parameter", "Buffer", LUC_PICKLE_TYPE},
    {"torch.storage", "UntypedStorage", LUC_PICKLE_STORAGE_TYPE},
    {"torch", "UntypedStorage", LUC_PICKLE_STORAGE_TYPE},
};

static bool is(const char *text, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(text, wanted, length) == 0;
}

static luc_pickle_value *name_value(luc_pickle *p, int function, const luc_pickle_dtype *dtype)
{
    luc_pickle_value *v = luc_pickle_new(p, LUC_PICKLE_NAME);
    if (!v) return NULL;
    v->name.function = function;
    v->name.dtype = dtype;
    return v;
}

/* A text for a message: what is no plain character becomes a question mark. */
static void printable(char *to, size_t room, const char *text, size_t length)
{
    size_t n = 0;
    for (; n < length && n + 1 < room; n++) to[n] = text[n] >= ' ' && text[n] < 127 ? text[n] : '?';
    to[n] = 0;
}

luc_pickle_value *luc_pickle_find_name(luc_pickle *p, const char *module, size_t module_length,
                                       const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (is(module, module_length, functions[i].module) && is(name, length, functions[i].name))
            return name_value(p, functions[i].function, NULL);
    if (is(module, module_length, "torch"))
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
            if (is(name, length, dtypes[i].name))
                return name_value(p, LUC_PICKLE_DTYPE, &dtypes[i]);
            if (dtypes[i].storage && is(name, length, dtypes[i].storage))
                return name_value(p, LUC_PICKLE_STORAGE_TYPE, &dtypes[i]);
        }
    char a[80], b[80];
    printable(a, sizeof a, module, module_length);
    printable(b, sizeof b, name, length);
    return luc_raise_null(LUCID_ERR_UNSUPPORTED, p->op,
                          "%s: its pickle holds %s.%s, which is no tensor, number, text, list or "
                          "dict; nothing of it was executed. Save model.state_dict() alone",
                          p->path, a, b);
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* One of a tuple's items if it is of a kind; NULL otherwise (nothing raised). */
static luc_pickle_value *item(const luc_pickle_value *tuple, size_t i, luc_pickle_kind kind)
{
    if (i >= tuple->list.n || tuple->list.items[i]->kind != kind) return NULL;
    return tuple->list.items[i];
}

/* Reads sizes or strides, which are all >= 0. */
static bool read_sizes(const luc_pickle_value *tuple, int64_t *sizes)
{
    for (size_t i = 0; i < tuple->list.n; i++) {
        const luc_pickle_value *v = item(tuple, i, LUC_PICKLE_INTEGER);
        if (!v || v->integer < 0) return false;
        if (i < LUCID_MAX_DIMS) sizes[i] = v->integer;
    }
    return true;
}

luc_pickle_value *luc_pickle_storage(luc_pickle *p, const luc_pickle_value *id)
{
    static const char wrong[] = "a storage is not described as torch.save does";
    if (id->kind != LUC_PICKLE_TUPLE || id->list.n < 5) return luc_pickle_damaged(p, wrong);
    const luc_pickle_value *type = item(id, 1, LUC_PICKLE_NAME),
                           *key = item(id, 2, LUC_PICKLE_TEXT);
    const luc_pickle_value *numel = item(id, 4, LUC_PICKLE_INTEGER);
    if (!luc_pickle_is_text(id->list.items[0], "storage") || !type || !key || !numel ||
        type->name.function != LUC_PICKLE_STORAGE_TYPE || numel->integer < 0)
        return luc_pickle_damaged(p, wrong);
    luc_pickle_value *v = luc_pickle_new(p, LUC_PICKLE_STORAGE);
    if (!v) return NULL;
    v->storage.key = key;
    v->storage.dtype = type->name.dtype;
    v->storage.numel = numel->integer;
    /* Old files have views of storages: (key, offset, size). */
    if (id->list.n == 5 || id->list.items[5]->kind == LUC_PICKLE_NONE) return v;
    const luc_pickle_value *view = item(id, 5, LUC_PICKLE_TUPLE);
    const luc_pickle_value *offset = view ? item(view, 1, LUC_PICKLE_INTEGER) : NULL;
    if (!offset || offset->integer < 0) return luc_pickle_damaged(p, wrong);
    v->storage.offset = offset->integer;
    return v;
}

/* Makes a tensor from (storage, offset, sizes, strides, ...). */
static luc_pickle_value *make_tensor(luc_pickle *p, const luc_pickle_value *arguments,
                                     const luc_pickle_dtype *dtype)
{
    luc_pickle_value *storage = item(arguments, 0, LUC_PICKLE_STORAGE);
    const luc_pickle_value *offset = item(arguments, 1, LUC_PICKLE_INTEGER);
    const luc_pickle_value *sizes = item(arguments, 2, LUC_PICKLE_TUPLE);
    const luc_pickle_value *strides = item(arguments, 3, LUC_PICKLE_TUPLE);
    luc_pickle_value *v = luc_pickle_new(p, LUC_PICKLE_TENSOR);
    if (!v) return NULL;
    v->tensor = luc_arena_alloc(p->arena, sizeof *v->tensor);
    if (!v->tensor) return NULL;
    memset(v->tensor, 0, sizeof *v->tensor);
    v->tensor->storage = storage;
    v->tensor->dtype = dtype || !storage ? dtype : storage->storage.dtype;
    if (!storage || !v->tensor->dtype || !offset || offset->integer < 0 || !sizes || !strides ||
        sizes->list.n != strides->list.n || sizes->list.n > 64 ||
        !read_sizes(sizes, v->tensor->dims) || !read_sizes(strides, v->tensor->strides))
        return luc_pickle_damaged(p, "a tensor is not described as torch.save does");
    v->tensor->ndim = (int)sizes->list.n;
    if (__builtin_add_overflow(offset->integer, storage->storage.offset, &v->tensor->offset))
        return luc_pickle_damaged(p, "a tensor's offset is too large");
    return v;
}

static luc_pickle_value *make_tensor_v3(luc_pickle *p, const luc_pickle_value *arguments)
{
    const luc_pickle_value *dtype = item(arguments, 6, LUC_PICKLE_NAME);
    if (!dtype || dtype->name.function != LUC_PICKLE_DTYPE)
        return luc_pickle_damaged(p, "a tensor has no dtype");
    return make_tensor(p, arguments, dtype->name.dtype);
}

/* ---- containers ------------------------------------------------------------------------------ */

/* OrderedDict(), and OrderedDict([[key, value], ...]) of Python 2. */
static luc_pickle_value *make_ordered_dict(luc_pickle *p, const luc_pickle_value *arguments)
{
    luc_pickle_value *v = luc_pickle_new(p, LUC_PICKLE_DICT);
    if (!v || arguments->list.n == 0) return v;
    const luc_pickle_value *pairs = item(arguments, 0, LUC_PICKLE_LIST);
    for (size_t i = 0; pairs && i < pairs->list.n; i++) {
        const luc_pickle_value *pair = pairs->list.items[i];
        if ((pair->kind != LUC_PICKLE_LIST && pair->kind != LUC_PICKLE_TUPLE) || pair->list.n != 2)
            return luc_pickle_damaged(p, "a dict is made of something else than pairs");
        if (!luc_pickle_append(p, v, pair->list.items[0]) ||
            !luc_pickle_append(p, v, pair->list.items[1]))
            return NULL;
    }
    return pairs ? v : luc_pickle_damaged(p, "a dict is made of something else than pairs");
}

/* What a function returns that gets something inside and returns it, as parameters do. */
static luc_pickle_value *inner(luc_pickle *p, const luc_pickle_value *arguments,
                               luc_pickle_kind kind)
{
    luc_pickle_value *v = item(arguments, 0, kind);
    return v ? v : luc_pickle_damaged(p, "a function has other arguments than torch.save gives");
}

/* (function, type, arguments, state): a tensor with attributes of its own, which are left out. */
static luc_pickle_value *rebuild_from_type(luc_pickle *p, const luc_pickle_value *arguments)
{
    const luc_pickle_value *function = item(arguments, 0, LUC_PICKLE_NAME);
    const luc_pickle_value *type = item(arguments, 1, LUC_PICKLE_NAME);
    const luc_pickle_value *inside = item(arguments, 2, LUC_PICKLE_TUPLE);
    if (!function || !type || !inside || type->name.function != LUC_PICKLE_TYPE ||
        function->name.function == LUC_PICKLE_REBUILD_FROM_TYPE)
        return luc_pickle_damaged(p, "a function has other arguments than torch.save gives");
    return luc_pickle_call(p, function, inside);
}

luc_pickle_value *luc_pickle_call(luc_pickle *p, const luc_pickle_value *function,
                                  const luc_pickle_value *arguments)
{
    if (arguments->kind != LUC_PICKLE_TUPLE || function->kind != LUC_PICKLE_NAME)
        return luc_pickle_damaged(p, "it calls what is no function");
    switch (function->name.function) {
    case LUC_PICKLE_ORDERED_DICT:
        return make_ordered_dict(p, arguments);
    case LUC_PICKLE_COUNTER:
        return inner(p, arguments, LUC_PICKLE_DICT);
    case LUC_PICKLE_REBUILD_TENSOR:
    case LUC_PICKLE_REBUILD_TENSOR_V2:
        return make_tensor(p, arguments, NULL);
    case LUC_PICKLE_REBUILD_TENSOR_V3:
        return make_tensor_v3(p, arguments);
    case LUC_PICKLE_REBUILD_PARAMETER:
    case LUC_PICKLE_REBUILD_PARAMETER_WITH_STATE:
        return inner(p, arguments, LUC_PICKLE_TENSOR);
    case LUC_PICKLE_REBUILD_FROM_TYPE:
        return rebuild_from_type(p, arguments);
    case LUC_PICKLE_SIZE:
        return inner(p, arguments, LUC_PICKLE_TUPLE);
    case LUC_PICKLE_DEVICE:
        return inner(p, arguments, LUC_PICKLE_TEXT);
    default:
        return luc_pickle_damaged(p, "it calls what is no function");
    }
}

bool luc_pickle_build(luc_pickle *p, luc_pickle_value *v, luc_pickle_value *state)
{
    if (v->kind != LUC_PICKLE_DICT || state->kind != LUC_PICKLE_DICT)
        return luc_pickle_damaged(p, "it sets attributes of what is no dict") != NULL;
    v->list.attributes = state;
    return true;
}
