/* conv.h */
#define CONV_KERNELS(K)
