/* cases.c   The cases, once for each real type. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "check.h"

enum how { PACKED, TRANSPOSED, IN_PLACE, BY_BLOCK }; /* B of a product */
enum way { TILES, GATHERED, DOTS };                  /* a convolution's inputs */

#define CEIL_DIV(a, b) (((a) + (b) - 1) / (b))
#define COUNT(array) ((ptrdiff_t)(sizeof(array) / sizeof(array)[0]))

/* Round the widths of vectors of 2, 4, 8 and 16 lanes, and of two of them. */
static const ptrdiff_t WIDTHS[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 37, 65};

#define REAL float
#define THIS F32
#define FN(name) name##_f32
#include "cases.inc.h"
#undef REAL
#undef THIS
#undef FN

#define REAL double
#define THIS F64
#define FN(name) name##_f64
#include "cases.inc.h"
