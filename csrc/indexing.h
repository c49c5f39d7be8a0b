/* indexing.h */
#define INDEXING_KERNELS(K)
