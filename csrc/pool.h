/* pool.h */
#define POOL_KERNELS(K)
