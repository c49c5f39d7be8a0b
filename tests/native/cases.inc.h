/* cases.inc.h   Every stem's cases. */
static REAL *FN(blank)(ptrdiff_t n) { return take((size_t)n * sizeof(REAL)); }

static REAL *FN(draw)(ptrdiff_t n)
{
    REAL *x = FN(blank)(n);
    for (ptrdiff_t i = 0; i < n; i++) x[i] = (REAL)uniform();
    return x;
}

static ptrdiff_t FN(scratch)(ptrdiff_t elements) { return elements * (ptrdiff_t)sizeof(REAL); }

#include "products.inc.h"
#include "convolutions.inc.h"
#include "rows.inc.h"
#include "normalisation.inc.h"
#include "maps.inc.h"
#include "steps.inc.h"

void FN(cases)(void)
{
    FN(products)();
    FN(recurrent)();
    FN(convolutions)();
    FN(winograd)();
    FN(pools)();
    FN(softmaxes)();
    FN(reductions)();
    FN(norms)();
    FN(activations)();
    FN(maps)();
    FN(moves)();
    FN(optimizers)();
    FN(randoms)();
}
