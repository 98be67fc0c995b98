// Purpose: the few calls of the CUDA runtime that rpupy makes, from the runtime itself or from its host stand-in.
// Included by: launch.h and launchers.h.
// Invariants: nothing else of CUDA is called, so that the same text compiles with nvcc and with a C++ compiler.
#pragma once

#if !defined(RPUPY_CUDA_ON_HOST)
#include <cuda_runtime.h>
#else
#include "host/runtime.h"
#endif
