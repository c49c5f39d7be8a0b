/* kernels.h   The contract between the C kernels and the code that drives them.
 *
 * A kernel is arithmetic on memory it is handed: single-threaded, allocating nothing, knowing nothing of Python.
 * All kernels have one type. `args` points to the kernel's own struct, declared in its stem's header: outputs, inputs,
 * sizes, in that order. The kernel works on units [lo, hi); its stem says what a unit is (a row, an image, a chunk).
 *
 * Two rules make results independent of the number of threads:
 *   - what a unit computes does not depend on how units are grouped into ranges;
 *   - a sum over units is written as one partial per unit, and partials are added in index order by a second kernel.
 *
 * Data pointers are void * because one struct serves float and double; sizes and strides count elements, not bytes,
 * unless named `bytes`. `scratch` is private to the calling thread, 64-byte aligned, and holds garbage on entry.
 *
 * Letters:  N batch  H, W image rows and columns  C channels in  K channels out (conv) or the summed index (gemm)
 *           KH, KW window  OH, OW output rows and columns  T time steps  U units of a recurrent layer  R rows
 *           VL lanes of a vector
 */
#ifndef QUERNEL_KERNELS_H
#define QUERNEL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef void kernel_fn(const void *args, ptrdiff_t lo, ptrdiff_t hi, void *scratch);

enum { F32, F64, REAL_COUNT };

/* Outputs from this size on are written past the caches (simd.h, `stream`). Batch normalisation forward and backward on
 * a Zen 4 server with 32 MiB of L3: 12 MiB 2.0 ms against 2.7, 24 MiB 5.1 against 7.1; 6 MiB even; 3 MiB 5 % slower. */
enum { STREAM_BYTES = 8 << 20 };

/* Activations by the numbers every stem uses (kernels/kinds.pyx has their names). */
enum activation_kind {
    ACT_LINEAR,
    ACT_RELU,
    ACT_LEAKY_RELU,
    ACT_SIGMOID,
    ACT_TANH,
    ACT_SILU,
    ACT_GELU,
    ACT_GELU_TANH,
    ACT_SOFTPLUS,
    ACT_ELU
};

#include "activation.h"
#include "conv.h"
#include "elementwise.h"
#include "gemm.h"
#include "indexing.h"
#include "norm.h"
#include "optim.h"
#include "pool.h"
#include "random.h"
#include "recurrent.h"
#include "reduce.h"
#include "softmax.h"
#include "winograd.h"

#define ALL_KERNELS(K)                                                                                                 \
    ACTIVATION_KERNELS(K)                                                                                              \
    CONV_KERNELS(K)                                                                                                    \
    ELEMENTWISE_KERNELS(K)                                                                                             \
    GEMM_KERNELS(K)                                                                                                    \
    INDEXING_KERNELS(K)                                                                                                \
    NORM_KERNELS(K)                                                                                                    \
    OPTIM_KERNELS(K)                                                                                                   \
    POOL_KERNELS(K)                                                                                                    \
    RANDOM_KERNELS(K)                                                                                                  \
    RECURRENT_KERNELS(K)                                                                                               \
    REDUCE_KERNELS(K)                                                                                                  \
    SOFTMAX_KERNELS(K)                                                                                                 \
    WINOGRAD_KERNELS(K)

#define KERNEL_ID(name) K_##name,
enum { ALL_KERNELS(KERNEL_ID) KERNEL_COUNT };

/* One table per instruction set. */
struct kernel_table {
    const char *isa;
    int lanes[REAL_COUNT];     /* VL */
    int tile_rows[REAL_COUNT]; /* tallest matrix tile */
    int tile_cols[REAL_COUNT]; /* widest matrix tile, in elements */
    kernel_fn *fn[REAL_COUNT][KERNEL_COUNT];
};

/* select.c */
const struct kernel_table *quernel_table(const char *isa); /* NULL: not built in, or the CPU lacks it */
const char *quernel_isa_names(int supported);              /* space-separated; all built or those this CPU runs */

/* process.c */
unsigned quernel_flush_denormals(void); /* this thread; returns the state to restore */
void quernel_restore_denormals(unsigned state);

/* threads.c */
enum { MAX_THREADS = 1024 };
/* RUN_ROUSE: sleeping helpers are woken. RUN_LAST_FIRST: each thread begins with the last of its ranges. */
enum { RUN_ROUSE = 1, RUN_LAST_FIRST = 2 };
/* kernel(args, lo, hi, scratch) over [0, units) in ranges of `length`, on up to `threads` threads; scratch[i] is for
 * thread i, scratch is NULL where the kernel takes none. */
void quernel_run(kernel_fn *kernel, const void *args, ptrdiff_t units, ptrdiff_t length, int threads, int flags,
                 void *const *scratch);
void quernel_set_threads(int n); /* how many threads compute at once, launching threads included */
int quernel_threads(void);
int quernel_watch_fork(void); /* call once; 0 on success */

#endif
