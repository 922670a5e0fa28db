/* generate.h: filling a view element by element in logical (row-major) order, by threads. */
#ifndef LUC_GENERATE_H
#define LUC_GENERATE_H

#include "lucid/backend.h"

enum { LUC_GENERATE_CHUNK = 1024 }; /* elements a call, at most; begin is a multiple of it */

/* Writes elements [begin, begin + n) to y, of the view's dtype. */
typedef void (*luc_generate_fn)(const void *ctx, int64_t begin, int64_t n, void *y);

void luc_generate(const lucid_view *out, luc_generate_fn fn, const void *ctx);

#endif
