/* npy.h: NumPy's files: arrays (.npy), several arrays by name (.npz), and numbers as text (CSV).
 *
 *     lucid_tensor *x = lucid_npy_read("features.npy");       // np.save("features.npy", x)
 *     lucid_npz *file = lucid_npz_open("data.npz");           // np.savez("data.npz", x=..., y=...)
 *     lucid_tensor *y = lucid_npz_get(file, "y");
 *     lucid_npz_close(file);
 *     lucid_tensor *t = lucid_csv_read("iris.csv", .skip_rows = 1);
 *
 * Element types: float16, float32, float64, int32, int64, uint8 and bool stay; int8, int16 and
 * uint16 become int32, uint32 int64; either byte order. Others (uint64, complex, objects, text) are
 * LUCID_ERR_UNSUPPORTED: nothing in a file is ever executed. Results belong to the current
 * scope. */
#ifndef LUCID_IO_NPY_H
#define LUCID_IO_NPY_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- .npy ------------------------------------------------------------------------------------ */

typedef struct lucid_npy_read_options {
    LUCID_OPTIONS_SIZE(lucid_npy_read_options);
    /* Use the file's own memory: nothing is read before it is used, and a change to the tensor
     * never reaches the file. The file may be replaced, by rename, but must not be cut short
     * meanwhile. An array that needs a change (type, byte order, Fortran's order, alignment) is
     * copied all the same. false: always copied. */
    bool map LUCID_DEFAULT(true);
} lucid_npy_read_options;
LUCID_DEFAULTS(lucid_npy_read, .map = true);

/* Reads an array, versions 1 to 3 of the format, in C's or Fortran's order, as a contiguous CPU
 * tensor of the array's shape. options may be NULL. NULL after an error: LUCID_ERR_IO,
 * LUCID_ERR_FORMAT (no npy file, cut off, longer than its header says), LUCID_ERR_UNSUPPORTED (its
 * type, or more than LUCID_MAX_DIMS dimensions). */
LUCID_API lucid_tensor *lucid_npy_read_opt(const char *path, const lucid_npy_read_options *options);
/* lucid_npy_read("x.npy", .map = false) */
#define lucid_npy_read(...) LUCID_CALL1(lucid_npy_read_opt, lucid_npy_read, LUCID_ASIS, __VA_ARGS__)

/* Writes a tensor of any strides and device, beside `path` first and then in its place. bfloat16 is
 * LUCID_ERR_UNSUPPORTED: NumPy does not have it. False after an error. */
LUCID_API bool lucid_npy_write(const lucid_tensor *tensor, const char *path);

/* ---- .npz ------------------------------------------------------------------------------------ */

/* An open file is constant: any number of threads may read from it. */
typedef struct lucid_npz lucid_npz;

/* Opens a file of np.savez or np.savez_compressed and checks its list of contents. It must not be
 * cut short while it is open. NULL after an error: LUCID_ERR_IO, LUCID_ERR_FORMAT,
 * LUCID_ERR_MEMORY. */
LUCID_API lucid_npz *lucid_npz_open(const char *path);
/* NULL does nothing. Tensors that were read stay valid. */
LUCID_API void lucid_npz_close(lucid_npz *file);
/* The number of arrays; 0 for NULL. */
LUCID_API int64_t lucid_npz_count(const lucid_npz *file);
/* The name of array i, without ".npy", until the file is closed. NULL, with an error, for no such
 * i. */
LUCID_API const char *lucid_npz_name(const lucid_npz *file, int64_t i);
/* Reads an array by name, a copy; its checksum is checked. NULL after an error: also for a name
 * that the file does not have. */
LUCID_API lucid_tensor *lucid_npz_get(const lucid_npz *file, const char *name);

/* ---- CSV ------------------------------------------------------------------------------------- */

typedef struct lucid_csv_options {
    LUCID_OPTIONS_SIZE(lucid_csv_options);
    char delimiter LUCID_DEFAULT(',');          /* ' ': any run of blanks and tabs */
    int64_t skip_rows LUCID_DEFAULT(0);         /* lines at the begin that are not read: a header */
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32); /* LUCID_F32 or LUCID_F64 */
    /* A text that is longer is refused: a compressed file may hold a thousand times its size. */
    int64_t max_bytes LUCID_DEFAULT(1 << 30);
} lucid_csv_options;
LUCID_DEFAULTS(lucid_csv, .delimiter = ',', .skip_rows = 0, .dtype = LUCID_F32,
               .max_bytes = 1 << 30);

/* Reads rows of numbers as [rows, columns]. Each line has the same number of fields; empty lines
 * are left out. A number is written as in C, whatever the locale; "nan" and "inf" are numbers, an
 * empty field and text are errors, which name line and column. The file may be gzip-compressed.
 * options may be NULL. NULL after an error: LUCID_ERR_IO, LUCID_ERR_FORMAT. */
LUCID_API lucid_tensor *lucid_csv_read_opt(const char *path, const lucid_csv_options *options);
/* lucid_csv_read("iris.csv", .skip_rows = 1, .delimiter = ';') */
#define lucid_csv_read(...) LUCID_CALL1(lucid_csv_read_opt, lucid_csv, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
