/* generate.h: fills a view element by element in logical (row-major) order, with several
 * threads. */
#ifndef LUC_GENERATE_H
#define LUC_GENERATE_H

#include "lucid/core/backend.h"

enum { LUC_GENERATE_CHUNK = 1024 }; /* the most elements of a call; begin is a multiple of it */

/* Writes elements [begin, begin + n) to y, of the view's dtype. */
typedef void (*luc_generate_fn)(const void *ctx, int64_t begin, int64_t n, void *y);

void luc_generate(const lucid_view *out, luc_generate_fn fn, const void *ctx);

#endif
