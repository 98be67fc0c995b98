// Purpose: a stand-in for the CUDA runtime: memory is the host's, a stream finishes each call at once.
// Included by: runtime.h in the host-compiled backend.
// Invariants: names and meaning are those of the CUDA runtime. What a test has to see going wrong can be set: a limit of
// memory, a call that fails, the number of devices, the order in which the threads of a block run. What it has to see
// being done is kept: whose memory is whose, copies that nobody has waited for, and what a stream was told to wait for.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorUnknown = 999,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };
enum cudaMemoryType {
  cudaMemoryTypeUnregistered = 0,
  cudaMemoryTypeHost = 1,
  cudaMemoryTypeDevice = 2,
  cudaMemoryTypeManaged = 3,
};
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
};

struct CUstream_st {
  int device;
  std::atomic<int> copies{0};  // from or to memory of the host, that nobody has waited for
};
struct CUevent_st {
  CUstream_st* stream = nullptr;  // where it was recorded; only a handle if that stream is another library's
};
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;

struct Index {
  unsigned x;
};
// Kernels ask for these all the time; the plain way to thread-local variables of a module is a call each time.
#define RPUPY_NEAR __attribute__((tls_model("initial-exec")))
inline thread_local RPUPY_NEAR Index threadIdx, blockIdx, blockDim, gridDim;
#undef RPUPY_NEAR

namespace rpupy {
namespace host {

inline size_t memory_limit = SIZE_MAX;
inline std::atomic<size_t> memory_used{0};
// Whether the threads of a block run from the last to the first: a missing barrier then changes results.
inline bool threads_backwards = false;
inline int devices = 1;
inline thread_local int current_device = 0;
inline std::atomic<int> unfinished_copies{0};  // the sum over all streams
// Calls of the runtime until one fails; none does while it is negative.
inline std::atomic<int> calls_left{-1};
// What the last wait of a stream for an event was about.
inline std::atomic<uintptr_t> waited_for{0};

// Whether this call fails.
inline bool fails() {
  if (calls_left < 0) return false;
  return calls_left-- == 0;
}

struct Block {
  size_t size;
  int device;
};
inline std::mutex lock;
inline std::map<char*, Block> blocks;

inline void finish(CUstream_st* stream) {
  if (stream != nullptr) unfinished_copies -= stream->copies.exchange(0);
}

}  // namespace host
}  // namespace rpupy

inline cudaError_t cudaMalloc(void** p, size_t size) {
  using namespace rpupy::host;
  const std::lock_guard<std::mutex> guard(lock);
  if (fails()) return cudaErrorUnknown;
  if (size > memory_limit || memory_used > memory_limit - size) return cudaErrorMemoryAllocation;
  char* block = static_cast<char*>(std::aligned_alloc(64, (size + 63) / 64 * 64));
  if (block == nullptr) return cudaErrorMemoryAllocation;
  blocks[block] = {size, current_device};
  memory_used += size;
  // Nothing may rest on what new memory holds; 0xff bytes are NaN.
  std::memset(block, 0xff, size);
  *p = block;
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* p) {
  using namespace rpupy::host;
  if (p == nullptr) return cudaSuccess;
  const std::lock_guard<std::mutex> guard(lock);
  const auto found = blocks.find(static_cast<char*>(p));
  if (found == blocks.end()) return cudaErrorInvalidValue;
  memory_used -= found->second.size;
  blocks.erase(found);
  std::free(p);
  return cudaSuccess;
}
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  using namespace rpupy::host;
  const std::lock_guard<std::mutex> guard(lock);
  if (fails()) return cudaErrorUnknown;
  *attributes = {cudaMemoryTypeUnregistered, -1};
  auto next = blocks.upper_bound(const_cast<char*>(static_cast<const char*>(p)));
  if (next == blocks.begin()) return cudaSuccess;
  const auto& [start, block] = *--next;
  if (static_cast<const char*>(p) < start + block.size) *attributes = {cudaMemoryTypeDevice, block.device};
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  using namespace rpupy::host;
  if (fails()) return cudaErrorUnknown;
  std::memmove(to, from, size);
  if (kind != cudaMemcpyDeviceToDevice) ++stream->copies, ++unfinished_copies;
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* p, int value, size_t size, cudaStream_t) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  std::memset(p, value, size);
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* n) { return *n = rpupy::host::devices, cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = rpupy::host::current_device, cudaSuccess; }
inline cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= rpupy::host::devices) return cudaErrorInvalidDevice;
  return rpupy::host::current_device = device, cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  *stream = new CUstream_st;
  (*stream)->device = rpupy::host::current_device;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  rpupy::host::finish(stream);
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  rpupy::host::finish(stream);
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t event, unsigned) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  rpupy::host::waited_for = reinterpret_cast<uintptr_t>(event->stream);
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  *event = new CUevent_st;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  event->stream = stream;
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (rpupy::host::fails()) return cudaErrorUnknown;
  rpupy::host::finish(event->stream);
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* time, cudaEvent_t, cudaEvent_t) { return *time = 0.0f, cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorUnknown:
      return "cudaErrorUnknown";
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
    case cudaErrorUnknown:
      return "unknown error";
    default:
      return "invalid argument";
  }
}
