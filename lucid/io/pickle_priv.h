/* pickle_priv.h: a reader of pickles that executes nothing: what torch.save writes of tensors,
 * numbers, texts and containers becomes values; any other name in the pickle is an error. */
#ifndef LUCID_IO_PICKLE_PRIV_H
#define LUCID_IO_PICKLE_PRIV_H

#include "lucid/core/dtype.h"
#include "lucid/core/error.h"
#include "lucid/core/shape.h"

typedef enum luc_pickle_kind {
    LUC_PICKLE_NONE,
    LUC_PICKLE_BOOL,
    LUC_PICKLE_INTEGER,
    LUC_PICKLE_LONG, /* an integer of more than 64 bits */
    LUC_PICKLE_FLOAT,
    LUC_PICKLE_TEXT,
    LUC_PICKLE_LIST,
    LUC_PICKLE_TUPLE,
    LUC_PICKLE_DICT, /* OrderedDict and Counter too */
    LUC_PICKLE_NAME, /* a function, a type, a dtype */
    LUC_PICKLE_STORAGE,
    LUC_PICKLE_TENSOR
} luc_pickle_kind;

/* What an element of a storage is. */
typedef struct luc_pickle_dtype {
    const char *name;    /* "float32" */
    const char *storage; /* "FloatStorage"; NULL: there is none */
    int bytes;           /* of an element */
    lucid_dtype dtype;   /* LUCID_DTYPE_COUNT: lucid does not have it */
} luc_pickle_dtype;

typedef struct luc_pickle_value luc_pickle_value;
struct luc_pickle_value {
    luc_pickle_kind kind;
    union {
        int64_t integer; /* a bool too */
        double number;
        struct {
            const char *s; /* not terminated */
            size_t length;
        } text;
        struct {
            luc_pickle_value **items; /* of a dict: keys and values in turn */
            size_t n, capacity;
            luc_pickle_value *attributes; /* of an OrderedDict: a dict, or NULL */
        } list;
        struct {
            int function;
            const luc_pickle_dtype *dtype; /* of a dtype or a type of storage */
        } name;
        struct {
            const luc_pickle_value *key;   /* a text */
            const luc_pickle_dtype *dtype; /* NULL: bytes of no type */
            int64_t numel;                 /* of the storage in the file */
            int64_t offset;                /* of this view of it: old files */
            size_t index;                  /* for the caller of luc_pickle_read */
        } storage;
        struct {
            luc_pickle_value *storage;
            const luc_pickle_dtype *dtype;
            int64_t offset;
            int ndim; /* more than LUCID_MAX_DIMS: only those are in dims */
            int64_t dims[LUCID_MAX_DIMS], strides[LUCID_MAX_DIMS];
        } * tensor;
    };
};

/* Memory that is freed all at once. */
typedef struct luc_arena {
    struct luc_arena_block *blocks;
    const char *op;
} luc_arena;
void *luc_arena_alloc(luc_arena *a, size_t size);
void luc_arena_free(luc_arena *a);

typedef struct luc_pickle {
    const char *op, *path;
    luc_arena *arena;            /* has the values; texts stay where the pickle is */
    luc_pickle_value **storages; /* every storage that it names, in an array of the arena */
    size_t n_storages, room;
} luc_pickle;

/* Reads one pickle from the begin of the bytes. *used is its length. Returns its value, which
 * takes memory of a small multiple of that length, or NULL after an error: LUCID_ERR_FORMAT,
 * LUCID_ERR_UNSUPPORTED (what is no tensor, number, text or container; the message names it). */
luc_pickle_value *luc_pickle_read(luc_pickle *p, const unsigned char *bytes, size_t size,
                                  size_t *used);

/* ---- for the parts of the reader ------------------------------------------------------------- */

/* Functions and types that a pickle may name. */
enum {
    LUC_PICKLE_ORDERED_DICT,
    LUC_PICKLE_COUNTER,
    LUC_PICKLE_REBUILD_TENSOR,
    LUC_PICKLE_REBUILD_TENSOR_V2,
    LUC_PICKLE_REBUILD_TENSOR_V3,
    LUC_PICKLE_REBUILD_PARAMETER,
    LUC_PICKLE_REBUILD_PARAMETER_WITH_STATE,
    LUC_PICKLE_REBUILD_FROM_TYPE,
    LUC_PICKLE_SIZE,
    LUC_PICKLE_DEVICE,
    LUC_PICKLE_TYPE, /* torch.Tensor, torch.nn.parameter.Parameter */
    LUC_PICKLE_STORAGE_TYPE,
    LUC_PICKLE_DTYPE
};

luc_pickle_value *luc_pickle_new(luc_pickle *p, luc_pickle_kind kind);
bool luc_pickle_append(luc_pickle *p, luc_pickle_value *list, luc_pickle_value *item);
/* Raises LUCID_ERR_FORMAT. Returns NULL. */
luc_pickle_value *luc_pickle_damaged(const luc_pickle *p, const char *what);
bool luc_pickle_is_text(const luc_pickle_value *v, const char *text);
/* The value of a key that is a text, or NULL. */
luc_pickle_value *luc_pickle_get(const luc_pickle_value *dict, const char *key);

/* The value of a name such as "torch._utils" "_rebuild_tensor_v2"; the texts are not terminated. */
luc_pickle_value *luc_pickle_find_name(luc_pickle *p, const char *module, size_t module_length,
                                       const char *name, size_t length);
/* What a function makes of its arguments. */
luc_pickle_value *luc_pickle_call(luc_pickle *p, const luc_pickle_value *function,
                                  const luc_pickle_value *arguments);
/* A storage, as ('storage', type, key, location, numel) says. */
luc_pickle_value *luc_pickle_storage(luc_pickle *p, const luc_pickle_value *id);
/* Sets attributes of a value. */
bool luc_pickle_build(luc_pickle *p, luc_pickle_value *v, luc_pickle_value *state);

#endif
