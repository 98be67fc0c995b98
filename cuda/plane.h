// Purpose: a value for each crosspoint, as kernels take it.
// Included by: the .cu files whose operations have constant planes.
// Invariants: a plane is device memory; one number (stride 0) is host memory that is read at once.
#pragma once

#include "launch.h"

namespace rpupy {
namespace cuda {

// A plane on the device, or one number for all crosspoints.
struct PlaneOrNumber {
  const float* data;
  float number;

  PlaneOrNumber() = default;
  PlaneOrNumber(const float* plane, int64_t stride)
      : data(stride != 0 ? plane : nullptr), number(stride == 0 && plane != nullptr ? *plane : 0.0f) {}

  RPUPY_BLOCK float at(int64_t crosspoint) const { return data != nullptr ? data[crosspoint] : number; }
};

}  // namespace cuda
}  // namespace rpupy
