/* reduce.h */
#define REDUCE_KERNELS(K)
