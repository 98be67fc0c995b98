// Purpose: what a call of the CUDA runtime answered, and where it was made.
// Included by: buffer.h, launch.h and launchers.h.
// Invariants: nothing is thrown; a function that calls the runtime returns a Status, and the first that is not success
// ends it. Python makes an exception of it (rpupy.errors.CudaError).
#pragma once

#include "runtime.h"

namespace rpupy {
namespace cuda {

struct Status {
  cudaError_t error = cudaSuccess;
  const char* call = "";
  const char* file = "";
  int line = 0;

  bool failed() const { return error != cudaSuccess; }
};

}  // namespace cuda
}  // namespace rpupy

// The status of a call, with its text and place.
#define RPUPY_STATUS(call) \
  ::rpupy::cuda::Status { (call), #call, __FILE__, __LINE__ }

// Leaves the function with the status of a call that fails. The call answers a Status; it may have commas in it.
#define RPUPY_TRY(...)                                        \
  do {                                                        \
    const ::rpupy::cuda::Status rpupy_status = (__VA_ARGS__); \
    if (rpupy_status.failed()) return rpupy_status;           \
  } while (false)
