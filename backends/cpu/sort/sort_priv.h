/* sort_priv.h: what the files of sort, argsort and topk share.
 *
 * An element becomes an unsigned key, whose order is the wanted order: NaN comes last, -0.0 equals
 * 0.0, and all bits are complemented for descending order. Types of up to 4 bytes have keys of 32
 * bits, which share a 64-bit number with the index. Other types have a luc_wide. */
#ifndef LUC_SORT_PRIV_H
#define LUC_SORT_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"

typedef struct luc_wide {
    uint64_t key, index;
} luc_wide;

/* The loops over rows of elements, for each level. Keys are uint32_t or uint64_t, as the type
 * needs. */
typedef struct luc_sort_table {
    void (*keys[LUCID_DTYPE_COUNT])(void *keys, const void *x, int64_t n, bool flip);
    /* The elements of these keys. Which zero and which NaN it was is lost. */
    void (*values[LUCID_DTYPE_COUNT])(void *y, const void *keys, int64_t n, bool flip);
    /* The rank of each of n <= LUC_SORT_SHORT keys: how many keys come before it; equal keys keep
     * their order. 15 numbers after the last key are read, and 15 ranks are written, which mean
     * nothing. */
    void (*ranks_narrow)(uint32_t *rank, const uint32_t *keys, int n);
    void (*ranks_wide)(uint32_t *rank, const uint64_t *keys, int n);
    /* The position of the first of keys[from..n) that is below the limit, or n. */
    int64_t (*below_narrow)(const uint32_t *keys, int64_t from, int64_t n, uint32_t limit);
    int64_t (*below_wide)(const uint64_t *keys, int64_t from, int64_t n, uint64_t limit);
} luc_sort_table;
LUC_DECLARE_TABLES(luc_sort_table, luc_sort)

enum {
    LUC_SORT_SHORT = 64,   /* rows up to this length are ranked */
    LUC_SORT_CHUNK = 1024, /* elements that are turned into keys at a time */
    LUC_SORT_GROUP = 16,   /* neighbouring rows that are read together if each has gaps */
    LUC_SORT_LONG = 65536  /* rows from this length on are shared by all threads */
};

typedef struct luc_sort_plan {
    luc_loop loop;      /* over the rows of x, values and indices; strides in elements */
    int64_t rows, n, k; /* rows of n elements; the first k of the order are written */
    int64_t x_step, y_step, i_step; /* along a row, in elements */
    const char *x;
    char *values; /* NULL: not wanted */
    int64_t *indices;
    lucid_dtype type;
    size_t size; /* of an element */
    int digits;  /* bytes of a key that may differ */
    int group;   /* how many rows are read together */
    bool flip, floating;
    uint64_t zero, nan; /* the keys of floating 0 and NaN */
    const luc_sort_table *loops;
    char *workspace;
    size_t per_thread;
    int threads; /* the most threads, for which there is memory */
} luc_sort_plan;

#endif
