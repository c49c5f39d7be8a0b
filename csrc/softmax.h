/* softmax.h */
#define SOFTMAX_KERNELS(K)
