/* process.c   The floating-point state that kernels run in. */
#include "kernels.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/* MXCSR: bit 15 flushes denormal results to zero, bit 6 reads denormal inputs as zero (Intel SDM vol. 1, 10.2.3). */
enum { FLUSH_BITS = 0x8040 };

unsigned quernel_flush_denormals(void)
{
    const unsigned state = _mm_getcsr();
    _mm_setcsr(state | FLUSH_BITS);
    return state;
}

/* Only the flush bits go back: exception flags raised meanwhile belong to the caller as they would for its own code. */
void quernel_restore_denormals(unsigned state)
{
    _mm_setcsr((_mm_getcsr() & ~(unsigned)FLUSH_BITS) | (state & FLUSH_BITS));
}
#elif defined(__aarch64__)
/* FPCR: bit 24 (FZ) flushes denormal inputs and results to zero (Arm ARM, FPCR). */
enum { FLUSH_BITS = 1 << 24 };

unsigned quernel_flush_denormals(void)
{
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" : : "r"(state | FLUSH_BITS));
    return (unsigned)state;
}

void quernel_restore_denormals(unsigned state) { __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)state)); }
#else
unsigned quernel_flush_denormals(void) { return 0; }

void quernel_restore_denormals(unsigned state) { (void)state; }
#endif
