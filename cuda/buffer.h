// Purpose: device memory that frees itself.
// Included by: launchers.h and the Cython module.
// Invariants: a Buffer owns its memory alone; growing loses the contents, and one that cannot grow stays as it is.
#pragma once

#include <cstddef>

#include "place.h"

namespace rpupy {
namespace cuda {

class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { release(); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // Makes room for at least `size` bytes.
  Status reserve(int device, size_t size) {
    if (size <= size_ && data_ != nullptr) return {};
    const OnDevice current(device);
    RPUPY_TRY(current.status());
    void* data = nullptr;
    // cudaMalloc answers null for no bytes.
    RPUPY_TRY(RPUPY_STATUS(cudaMalloc(&data, size > 0 ? size : 1)));
    release();
    data_ = data;
    size_ = size;
    device_ = device;
    return {};
  }

  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void release() {
    if (data_ == nullptr) return;
    const OnDevice current(device_);
    cudaFree(data_);
    data_ = nullptr;
    size_ = 0;
  }

  void* data_ = nullptr;
  size_t size_ = 0;
  int device_ = 0;
};

inline Status copy_bytes(const Place& place, void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  if (size == 0) return {};
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  return RPUPY_STATUS(cudaMemcpyAsync(to, from, size, kind, place.stream));
}

inline Status clear_bytes(const Place& place, void* data, size_t size) {
  if (size == 0) return {};
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  return RPUPY_STATUS(cudaMemsetAsync(data, 0, size, place.stream));
}

}  // namespace cuda
}  // namespace rpupy
