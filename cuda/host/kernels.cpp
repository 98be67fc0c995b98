// Purpose: every kernel of the CUDA backend, compiled for the host.
// Invariants: the .cu files are included as they are; only runtime.h and launch.h know that this is no GPU.
#if !defined(RPUPY_CUDA_ON_HOST)
#define RPUPY_CUDA_ON_HOST
#endif

#include "../compound.cu"
#include "../populate.cu"
#include "../product.cu"
#include "../update_exact.cu"
#include "../update_pulsed.cu"
#include "../upkeep.cu"
#include "../vectors.cu"
