// Purpose: the kernels for the instruction set avx2, compiled with its flags (setup.py).
#define RPUPY_ISA_NAME avx2
#include "kernels.inl"
