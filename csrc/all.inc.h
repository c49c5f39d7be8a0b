/* all.inc.h   Every kernel for float, then for double, and the table of one instruction set.
 * The including file defines ISA (a word) and VECTOR_BYTES. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define STRING_(a) #a
#define STRING(a) STRING_(a)

#define REAL float
#define REAL_IS_DOUBLE 0
#define INT int32_t
#define FN(name) name##_f32
#include "stems.inc.h"
#undef REAL
#undef REAL_IS_DOUBLE
#undef INT
#undef FN

#define REAL double
#define REAL_IS_DOUBLE 1
#define INT int64_t
#define FN(name) name##_f64
#include "stems.inc.h"
#undef REAL
#undef REAL_IS_DOUBLE
#undef INT
#undef FN

#define ENTRY_F32(name) [K_##name] = name##_f32,
#define ENTRY_F64(name) [K_##name] = name##_f64,

extern const struct kernel_table JOIN(quernel_table_, ISA);
const struct kernel_table JOIN(quernel_table_, ISA) = {
    .isa = STRING(ISA),
    .lanes = {VECTOR_BYTES / 4, VECTOR_BYTES / 8},
    .tile_rows = {TILE_ROWS, TILE_ROWS},
    .tile_cols = {TILE_VECTORS * VECTOR_BYTES / 4, TILE_VECTORS * VECTOR_BYTES / 8},
    .fn = {{ALL_KERNELS(ENTRY_F32)}, {ALL_KERNELS(ENTRY_F64)}},
};
