/* norm.h */
#define NORM_KERNELS(K)
