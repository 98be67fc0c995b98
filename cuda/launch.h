// Purpose: kernels, their launch, and the threads of a block, on a GPU and on the host.
// Included by: every .cu file.
// Invariants: a kernel is one text for a block. What its threads do stands in calls of `threads` and `phase`; behind a
// phase, every thread sees what all have written to shared memory. A value that a thread keeps from one to the next is a
// PerThread. On the host the threads of a block take turns within each call, so indices, tails and orders are the GPU's.
#pragma once

#define RPUPY_ISA_NAME cuda

#include "../csrc/cpu/environment.h"
#include "../csrc/number.h"
#include "place.h"

namespace rpupy {
namespace cuda {

constexpr int kBlockThreads = 256;  // of kernels that care only for the number of crosspoints or lines
constexpr int64_t kMostBlocks = 4096;

inline unsigned blocks_for(int64_t blocks) {
  return static_cast<unsigned>(blocks < 1 ? 1 : (blocks < kMostBlocks ? blocks : kMostBlocks));
}
inline unsigned blocks_of_threads(int64_t n) { return blocks_for((n + kBlockThreads - 1) / kBlockThreads); }

#if !defined(RPUPY_CUDA_ON_HOST)

// Bytes of words that one launch of an update takes, unless a single vector has more.
constexpr int64_t kMostScratch = 256LL << 20;

#define RPUPY_KERNEL(threads) __global__ void __launch_bounds__(threads)
#define RPUPY_BLOCK __device__ __forceinline__
#define RPUPY_SHARED(Type, name, n) __shared__ Type name[n]

// Answers the status of the launch; errors of the run appear when something waits for the stream.
// clang-format off
#define RPUPY_LAUNCH(kernel, grid, block, place, ...) \
  ((kernel)<<<(grid), (block), 0, (place).stream>>>(__VA_ARGS__), RPUPY_STATUS(cudaGetLastError()))
// clang-format on

template <class Each>
RPUPY_BLOCK void threads(const Each& each) {
  each();
}

template <class Each>
RPUPY_BLOCK void phase(const Each& each) {
  each();
  __syncthreads();
}

template <class T>
class PerThread {
 public:
  RPUPY_BLOCK T& mine() { return value_; }

 private:
  T value_;
};

#else

#define RPUPY_KERNEL(threads) void
#define RPUPY_BLOCK inline
#define RPUPY_SHARED(Type, name, n) Type name[n]

constexpr int kMostThreads = 256;
// Little, so that the tests see updates of several launches.
constexpr int64_t kMostScratch = 32LL << 10;

// Runs the blocks one after the other; `kernel` runs all threads of a block.
template <class Kernel, class... Arguments>
inline Status run_blocks(Kernel kernel, unsigned grid, unsigned block, const Arguments&... arguments) {
  const DefaultFloatingPoint environment;
  gridDim.x = grid;
  blockDim.x = block;
  for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) kernel(arguments...);
  return {};
}

#define RPUPY_LAUNCH(kernel, grid, block, place, ...) \
  ((void)(place), ::rpupy::cuda::run_blocks((kernel), (grid), (block), __VA_ARGS__))

template <class Each>
inline void threads(const Each& each) {
  for (unsigned turn = 0; turn < blockDim.x; ++turn) {
    threadIdx.x = host::threads_backwards ? blockDim.x - 1 - turn : turn;
    each();
  }
}

template <class Each>
inline void phase(const Each& each) {
  threads(each);
}

inline void atomicAdd(uint32_t* p, uint32_t n) { *p += n; }
inline void atomicAdd(unsigned long long* p, unsigned long long n) { *p += n; }

template <class T>
class PerThread {
 public:
  T& mine() { return values_[threadIdx.x]; }

 private:
  T values_[kMostThreads];
};

#endif

// Adds to a counter of events, which the threads of the grid share; null: nobody counts. No sum depends on the order.
RPUPY_BLOCK void add_events(int64_t* counter, int64_t n) {
  if (counter != nullptr) atomicAdd(reinterpret_cast<unsigned long long*>(counter), static_cast<unsigned long long>(n));
}

// Calls each(i) for the i below n, spread over all threads of the grid.
template <class Each>
RPUPY_BLOCK void for_grid(int64_t n, const Each& each) {
  threads([&] {
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) each(i);
  });
}

// Calls each(i) for the i below n, spread over the threads of the block; to be used within `threads` or `phase`.
template <class Each>
RPUPY_BLOCK void for_block(int64_t n, const Each& each) {
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) each(i);
}

// The largest of the values of all threads of a block, which `shared` (a float for each thread) holds; the result comes
// to stand in shared[0]. The order does not matter to a maximum.
RPUPY_BLOCK void block_maximum(float* shared) {
  for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
    phase([&] {
      if (threadIdx.x < width) shared[threadIdx.x] = maximum(shared[threadIdx.x], shared[threadIdx.x + width]);
    });
  }
}

// The largest magnitude of one vector, by the whole block; the result stands in shared[0].
RPUPY_BLOCK void largest_magnitude(const float* vector, int64_t n, float* shared) {
  phase([&] {
    float largest = 0.0f;
    for_block(n, [&](int64_t j) { largest = maximum(largest, magnitude(vector[j])); });
    shared[threadIdx.x] = largest;
  });
  block_maximum(shared);
}

}  // namespace cuda
}  // namespace rpupy
