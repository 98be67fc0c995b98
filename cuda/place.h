// Purpose: where a tile computes: a device and a stream of its own on it.
// Included by: buffer.h and launchers.h.
// Invariants: whatever is done at a place leaves the caller's current device as it was.
#pragma once

#include "error.h"

namespace rpupy {
namespace cuda {

struct Place {
  int device = 0;
  cudaStream_t stream = nullptr;
  cudaEvent_t copied = nullptr;  // behind the last copies from memory of the host
};

// Makes a device current as long as it lives.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    status_ = RPUPY_STATUS(cudaGetDevice(&before_));
    if (!status_.failed() && before_ != device) status_ = RPUPY_STATUS(cudaSetDevice(device));
    changed_ = !status_.failed() && before_ != device;
  }
  ~OnDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  const Status& status() const { return status_; }

 private:
  Status status_;
  int before_ = 0;
  bool changed_ = false;
};

inline void close_place(const Place& place) {
  const OnDevice current(place.device);
  if (place.copied != nullptr) cudaEventDestroy(place.copied);
  // What the stream still has to do is done first, by the runtime.
  if (place.stream != nullptr) cudaStreamDestroy(place.stream);
}

inline Status open_place(int device, Place* place) {
  const OnDevice current(device);
  RPUPY_TRY(current.status());
  place->device = device;
  RPUPY_TRY(RPUPY_STATUS(cudaStreamCreateWithFlags(&place->stream, cudaStreamNonBlocking)));
  return RPUPY_STATUS(cudaEventCreateWithFlags(&place->copied, cudaEventDisableTiming));
}

inline Status wait_for(const Place& place) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  return RPUPY_STATUS(cudaStreamSynchronize(place.stream));
}

// Lets `later` wait, on its device, until what was asked of `earlier` so far is done.
inline Status follow(const Place& later, cudaStream_t earlier) {
  const OnDevice current(later.device);
  RPUPY_TRY(current.status());
  cudaEvent_t event = nullptr;
  RPUPY_TRY(RPUPY_STATUS(cudaEventCreateWithFlags(&event, cudaEventDisableTiming)));
  Status status = RPUPY_STATUS(cudaEventRecord(event, earlier));
  if (!status.failed()) status = RPUPY_STATUS(cudaStreamWaitEvent(later.stream, event, 0));
  cudaEventDestroy(event);
  return status;
}

// Copies from pinned memory go on while the host does, which may change that memory as soon as they are done. So a call
// notes the end of its copies, asks for its kernels, and waits for the copies alone.
inline Status note_copies(const Place& place) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  return RPUPY_STATUS(cudaEventRecord(place.copied, place.stream));
}
inline Status wait_for_copies(const Place& place) { return RPUPY_STATUS(cudaEventSynchronize(place.copied)); }

// Whether kernels of this device can use memory of another library, and which device it is on (-1: on none).
inline Status look_at_memory(const Place& place, const void* data, bool* usable, int* device) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  cudaPointerAttributes attributes = {};
  RPUPY_TRY(RPUPY_STATUS(cudaPointerGetAttributes(&attributes, data)));
  const bool on_device = attributes.type == cudaMemoryTypeDevice;
  *device = on_device ? attributes.device : -1;
  // Pinned and managed memory can be reached from every device.
  *usable = on_device ? attributes.device == place.device : attributes.type != cudaMemoryTypeUnregistered;
  return {};
}

// Marks in a stream, and the time between two of them, for benchmarks.
inline Status mark(const Place& place, cudaEvent_t* event) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  RPUPY_TRY(RPUPY_STATUS(cudaEventCreateWithFlags(event, cudaEventDefault)));
  return RPUPY_STATUS(cudaEventRecord(*event, place.stream));
}

inline Status milliseconds_between(cudaEvent_t from, cudaEvent_t to, float* time) {
  RPUPY_TRY(RPUPY_STATUS(cudaEventSynchronize(to)));
  return RPUPY_STATUS(cudaEventElapsedTime(time, from, to));
}

}  // namespace cuda
}  // namespace rpupy
