/* recurrent.h */
#define RECURRENT_KERNELS(K)
