/* check.c   See check.h. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { FRAME = 64, FRAME_BYTE = 0xA5, MOST_BLOCKS = 64, SHOWN = 20 };

struct record {
    char name[112];
    int64_t real, n; /* real < 0: int64_t */
};

const struct kernel_table *table;
static int comparing, results, failures;
static char called[REAL_COUNT][KERNEL_COUNT];
static struct {
    unsigned char *memory;
    size_t bytes;
} blocks[MOST_BLOCKS];
static int blocks_used;
static char case_name[sizeof((struct record *)0)->name];
static uint64_t state = 1;

static void fail(const char *what)
{
    if (failures++ < SHOWN) fprintf(stderr, "%s: %s\n", case_name, what);
}

static void give_up(const char *what)
{
    fprintf(stderr, "check: %s\n", what);
    exit(2);
}

void *take(size_t bytes)
{
    unsigned char *memory = aligned_alloc(FRAME, (bytes + 3 * FRAME - 1) / FRAME * FRAME);
    if (!memory || blocks_used == MOST_BLOCKS) give_up("out of memory");
    memset(memory, FRAME_BYTE, FRAME);
    memset(memory + FRAME, 0xFF, bytes);
    memset(memory + FRAME + bytes, FRAME_BYTE, FRAME);
    blocks[blocks_used].memory = memory;
    blocks[blocks_used++].bytes = bytes;
    return memory + FRAME;
}

void done(void)
{
    for (int i = 0; i < blocks_used; i++) {
        const unsigned char *before = blocks[i].memory, *after = before + FRAME + blocks[i].bytes;
        int broken = 0;
        for (int j = 0; j < FRAME; j++) broken |= before[j] != FRAME_BYTE || after[j] != FRAME_BYTE;
        if (broken) fail("something was written outside an array");
        free(blocks[i].memory);
    }
    blocks_used = 0;
}

static uint64_t next(void) /* Knuth's MMIX generator; its upper bits are good */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

double uniform(void) { return ((double)next() + 0.5) * 0x1p-30 - 1; }

int64_t below(int64_t n) { return (int64_t)(next() % (uint64_t)n); }

void run(int real, int id, const void *args, ptrdiff_t units, ptrdiff_t scratch_bytes)
{
    void *scratch = scratch_bytes ? take((size_t)scratch_bytes) : NULL;
    called[real][id] = 1;
    if (units > 1) table->fn[real][id](args, 0, units / 2, scratch);
    table->fn[real][id](args, units / 2, units, scratch);
}

static double value(const struct record *r, const void *y, ptrdiff_t i)
{
    return r->real < 0      ? (double)((const int64_t *)y)[i]
           : r->real == F64 ? ((const double *)y)[i]
                            : (double)((const float *)y)[i];
}

static void compare(const struct record *mine, const void *y, double absolute, double relative)
{
    const double eps = mine->real == F64 ? 0x1p-52 : 0x1p-23, tiny = mine->real == F64 ? 0x1p-1012 : 0x1p-116;
    const size_t bytes = (size_t)mine->n * (mine->real == F32 ? 4 : 8);
    struct record theirs;
    if (fread(&theirs, sizeof theirs, 1, stdin) != 1 || memcmp(&theirs, mine, sizeof theirs))
        give_up("the other program has other cases");
    void *expected = malloc(bytes + 1);
    if (!expected || (bytes && fread(expected, bytes, 1, stdin) != 1)) give_up("the other program's results end early");
    double worst = 0, got = 0, wanted = 0;
    for (ptrdiff_t i = 0; i < mine->n; i++) {
        const double a = value(mine, y, i), b = value(mine, expected, i);
        if (a == b || (isnan(a) && isnan(b))) continue;
        const double bound = (absolute + relative * fabs(b)) * eps + (absolute + relative > 0 ? tiny : 0);
        const double over = fabs(a - b) <= bound ? 0 : bound > 0 ? fabs(a - b) / bound : INFINITY;
        if (over > worst || isnan(over)) worst = isnan(over) ? INFINITY : over, got = a, wanted = b;
    }
    if (worst > 0) {
        char text[160];
        snprintf(text, sizeof text, "got %.17g, expected %.17g, %.3g times what is allowed", got, wanted, worst);
        fail(text);
    }
    free(expected);
}

void result(int real, const void *y, ptrdiff_t n, double absolute, double relative, const char *name, ...)
{
    struct record mine;
    va_list rest;
    memset(&mine, 0, sizeof mine);
    va_start(rest, name);
    vsnprintf(mine.name, sizeof mine.name, name, rest);
    va_end(rest);
    strcat(mine.name, real == F32 ? " float32" : real == F64 ? " float64" : " int64");
    mine.real = real;
    mine.n = n;
    strcpy(case_name, mine.name);
    results++;
    for (ptrdiff_t i = 0; i < n; i++)
        if (value(&mine, y, i) != value(&mine, y, i) && !strstr(name, "special")) {
            fail("has NaN: it was not written, or memory never written was read");
            break;
        }
    if (comparing) {
        compare(&mine, y, absolute, relative);
    } else if (fwrite(&mine, sizeof mine, 1, stdout) != 1 ||
               fwrite(y, real == F32 ? 4 : 8, (size_t)n, stdout) != (size_t)n) {
        give_up("cannot write");
    }
}

int main(int count, char **words)
{
    comparing = count > 1 && !strcmp(words[1], "compare");
    table = quernel_table(count > 2 ? words[2] : NULL);
    if (!table || (!comparing && (count < 2 || strcmp(words[1], "write"))))
        give_up("expected: write|compare [instruction set]");
    const unsigned before = quernel_flush_denormals();
    cases_f32();
    cases_f64();
    quernel_restore_denormals(before);
    static const char *const names[] = {
#define KERNEL_NAME(name) #name,
        ALL_KERNELS(KERNEL_NAME)};
    for (int id = 0; id < KERNEL_COUNT; id++) {
        snprintf(case_name, sizeof case_name, "%s", names[id]);
        if (!called[F32][id] || !called[F64][id]) fail("no case runs it");
    }
    fprintf(stderr, "%s: %d results of %d kernels in two real types, %d failures\n", table->isa, results,
            (int)KERNEL_COUNT, failures);
    return failures != 0;
}
