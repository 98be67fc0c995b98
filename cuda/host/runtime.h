// Purpose: a stand-in for the CUDA runtime: memory is the host's, one device, a stream finishes each call at once.
// Included by: runtime.h in the host-compiled backend.
// Invariants: names and meaning are those of the CUDA runtime. What a test has to see going wrong can be set: a limit of
// memory, and the order in which the threads of a block run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;

struct Index {
  unsigned x;
};
inline thread_local Index threadIdx, blockIdx, blockDim, gridDim;

namespace rpupy {
namespace host {

inline size_t memory_limit = SIZE_MAX;
inline size_t memory_used = 0;
// Whether the threads of a block run from the last to the first: a missing barrier then changes results.
inline bool threads_backwards = false;

// A block of memory knows its size; 64 bytes keep what follows aligned.
constexpr size_t kHead = 64;

}  // namespace host
}  // namespace rpupy

inline cudaError_t cudaMalloc(void** p, size_t size) {
  using namespace rpupy::host;
  if (size > memory_limit || memory_used > memory_limit - size) return cudaErrorMemoryAllocation;
  char* block = static_cast<char*>(std::aligned_alloc(kHead, (size + 2 * kHead - 1) / kHead * kHead));
  if (block == nullptr) return cudaErrorMemoryAllocation;
  std::memcpy(block, &size, sizeof size);
  memory_used += size;
  // Nothing may rest on what new memory holds; 0xff bytes are NaN.
  std::memset(block + kHead, 0xff, size);
  *p = block + kHead;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* p) {
  using namespace rpupy::host;
  if (p == nullptr) return cudaSuccess;
  char* block = static_cast<char*>(p) - kHead;
  size_t size;
  std::memcpy(&size, block, sizeof size);
  memory_used -= size;
  std::free(block);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t) {
  std::memmove(to, from, size);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* p, int value, size_t size, cudaStream_t) {
  std::memset(p, value, size);
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* n) { return *n = 1, cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = nullptr, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float* time, cudaEvent_t, cudaEvent_t) { return *time = 0.0f, cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    default:
      return "cudaErrorInvalidValue";
  }
}
inline const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    default:
      return "invalid argument";
  }
}
