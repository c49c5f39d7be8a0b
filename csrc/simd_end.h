/* simd_end.h   Undoes the per-REAL names of simd.h so that it can be included for the next type. */
#undef vec
#undef ivec
#undef VL
