#define ISA generic
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#include "all.inc.h"
