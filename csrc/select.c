/* select.c   Which table this CPU gets. Compiled without instruction-set flags; setup.py defines HAVE_<isa> for each
 * table that it builds. */
#include <string.h>

#include "kernels.h"

extern const struct kernel_table quernel_table_generic, quernel_table_avx2, quernel_table_avx512, quernel_table_neon;

#if defined(__x86_64__)
static int runs_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

static int runs_always(void) { return 1; }

/* Best first. */
static const struct {
    const struct kernel_table *table;
    int (*runs)(void);
} built[] = {
#ifdef HAVE_avx512
    {&quernel_table_avx512, runs_avx512},
#endif
#ifdef HAVE_avx2
    {&quernel_table_avx2, runs_avx2},
#endif
#ifdef HAVE_neon
    {&quernel_table_neon, runs_always},
#endif
    {&quernel_table_generic, runs_always},
};

enum { BUILT = sizeof built / sizeof built[0] };

const struct kernel_table *quernel_table(const char *isa)
{
    for (int i = 0; i < BUILT; i++)
        if (built[i].runs() && (!isa || !strcmp(isa, built[i].table->isa))) return built[i].table;
    return NULL;
}

const char *quernel_isa_names(int supported)
{
    static char names[2][64];
    char *out = names[!!supported];
    out[0] = 0;
    for (int i = 0; i < BUILT; i++) {
        if (supported && !built[i].runs()) continue;
        if (out[0]) strcat(out, " ");
        strcat(out, built[i].table->isa);
    }
    return out;
}
