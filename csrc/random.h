/* random.h */
#define RANDOM_KERNELS(K)
