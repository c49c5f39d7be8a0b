#define ISA avx512
#define VECTOR_BYTES 64
#define TILE_ROWS 14
#include "all.inc.h"
