/* activation.h */
#define ACTIVATION_KERNELS(K)
