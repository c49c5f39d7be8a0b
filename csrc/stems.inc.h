/* stems.inc.h   What is written once over REAL: first the vocabulary, then the stems. */
#include "simd.h"

#include "activate.inc.h"
#include "map.inc.h"
#include "tile.inc.h"
#include "wide.inc.h"

#include "activation.inc.h"
#include "conv.inc.h"
#include "elementwise.inc.h"
#include "gemm.inc.h"
#include "indexing.inc.h"
#include "norm.inc.h"
#include "optim.inc.h"
#include "pool.inc.h"
#include "pool_backward.inc.h"
#include "random.inc.h"
#include "recurrent.inc.h"
#include "reduce.inc.h"
#include "softmax.inc.h"
#include "winograd.inc.h"

#include "simd_end.h"
