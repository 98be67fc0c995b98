// Purpose: the kernels for the instruction set avx512, compiled with its flags (setup.py).
#define RPUPY_ISA_NAME avx512
#include "kernels.inl"
