// Purpose: the tensors of DLPack 0.x (github.com/dmlc/dlpack), by which array libraries hand memory to each other.
// Included by: the Cython module.
// Invariants: the layout is fixed by the protocol; names here are our own.
#pragma once

#include <cstdint>

namespace rpupy {
namespace cuda {

struct TensorDevice {
  int32_t type;
  int32_t id;
};

struct TensorType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  TensorDevice device;
  int32_t ndim;
  TensorType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

}  // namespace cuda
}  // namespace rpupy
