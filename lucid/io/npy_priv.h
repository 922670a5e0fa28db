/* npy_priv.h: arrays of NumPy's form, in a file of their own or in an archive. */
#ifndef LUCID_IO_NPY_PRIV_H
#define LUCID_IO_NPY_PRIV_H

#include "lucid/io/npy.h"
#include "lucid/io/zip_priv.h"

/* What the header of an array says. */
typedef struct luc_npy {
    lucid_dtype dtype; /* of the tensor */
    char kind;         /* f, i, u or b */
    int width;         /* bytes of an element in the file */
    bool big, fortran;
    lucid_shape shape;
    size_t begin; /* where the elements are */
} luc_npy;

/* Reads the header of `size` bytes that are all of an array. False after an error; `path` is for
 * messages. */
bool luc_npy_parse(luc_npy *npy, const unsigned char *bytes, size_t size, const char *path,
                   const char *op);
/* The array as a tensor of its own memory. */
lucid_tensor *luc_npy_tensor(const luc_npy *npy, const unsigned char *bytes);

#endif
