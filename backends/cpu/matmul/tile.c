/* tile.c: register tiles of float and double; compiled for each level. */
#include "backends/cpu/simd/template.h"
#include "backends/cpu/matmul/tile_priv.h"

#if LUC_REGISTERS == 32
enum { HALF = 7 };
#define ROWS_LO(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
#define ROWS_HI(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#elif LUC_REGISTERS == 16
enum { HALF = 3 };
#define ROWS_LO(X) X(0) X(1) X(2)
#define ROWS_HI(X) X(3) X(4) X(5)
#else
enum { HALF = 2 };
#define ROWS_LO(X) X(0) X(1)
#define ROWS_HI(X) X(2) X(3)
#endif
#define ROWS(X) ROWS_LO(X) ROWS_HI(X)

#define LUC_DT f32
#include "backends/cpu/matmul/tile_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/matmul/tile_tmpl.h"
#undef LUC_DT
