/* optim.h */
#define OPTIM_KERNELS(K)
