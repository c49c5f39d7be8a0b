/* elementwise.h */
#define ELEMENTWISE_KERNELS(K)
