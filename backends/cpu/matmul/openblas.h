/* openblas.h: large matrix products by OpenBLAS, where it is at least as fast as our own tiles.
 *
 * The library is looked for (dlopen) when the first product comes that it would compute, so a
 * program that has none starts as fast as before, and runs without OpenBLAS at all. A product is
 * cut into blocks that depend on its shape alone, and each block is one call that uses one thread,
 * so that the bits do not depend on the number of threads.
 *
 * OpenBLAS computes if all of this holds, and our own kernels otherwise:
 * - lucid was built with it (-Dopenblas=true) and it is installed, with threads and 32-bit sizes;
 * - the kernels that it chose for this CPU are of the level in use (LUCID_CPU, levels_priv.h);
 * - the shape is one of those that gain. */
#ifndef LUC_OPENBLAS_H
#define LUC_OPENBLAS_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"

/* Computes the product if OpenBLAS should, and returns whether it did. `type` is F32 or F64, and
   the arguments are those of luc_gemm. It may be called by several threads at once, and from inside
   a block of parallel work. */
bool luc_openblas_gemm(const luc_gemm_params *p, luc_gemm_type type, const void *a, const void *b,
                       void *c, const void *bias);

/* For calls of its other functions, LAPACK's: the library, as dlsym wants it, or NULL if there is
   none. After it one thread computes at a time in each call, until luc_openblas_end. The level in
   use does not matter. */
void *luc_openblas_begin(void);
void luc_openblas_end(void);

/* For tests and benchmarks: whether OpenBLAS may be used, and whether it is for every shape that it
   can compute, also where our own kernels are faster. Both return the old value. */
bool luc_openblas_allow(bool allowed);
bool luc_openblas_prefer(bool preferred);

/* The kernels that OpenBLAS chose ("Haswell", "SkylakeX" ...), or NULL where it is not used at the
   level in use. Loads it. */
const char *luc_openblas_core(void);

/* The level whose instructions a set of OpenBLAS's kernels, as openblas_get_corename names it, is
   written in; generic also for a name that is not known. */
luc_cpu_level luc_openblas_level(const char *core);

#endif
