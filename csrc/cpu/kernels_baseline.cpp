// Purpose: the kernels for the instruction set baseline, compiled with its flags (setup.py).
#define RPUPY_ISA_NAME baseline
#include "kernels.inl"
