#define ISA neon
#define VECTOR_BYTES 16
#define TILE_ROWS 12
#include "all.inc.h"
