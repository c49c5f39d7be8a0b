#define ISA avx2
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#include "all.inc.h"
