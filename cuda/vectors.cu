// Purpose: batches of vectors outside of physics: their order in memory, digital scales, and whether they are finite.
// Invariants: one multiplication, division or addition for each number, rounded as NumPy rounds it.
#include "launch.h"

#include "../csrc/number.h"
#include "launchers.h"

namespace rpupy {
namespace cuda {

RPUPY_KERNEL(kBlockThreads)
finite_kernel(const float* data, int64_t n, uint32_t* count) {
  for_grid(n, [&](int64_t i) {
    if (not_zero(not_finite(data[i]))) atomicAdd(count, 1u);
  });
}

Status count_not_finite(const Place& place, const float* data, int64_t n, uint32_t* count) {
  RPUPY_TRY(clear_bytes(place, count, sizeof *count));
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  return RPUPY_LAUNCH(finite_kernel, blocks_of_threads(n), kBlockThreads, place, data, n, count);
}

// Where feature j of vector v stands in an array of `features` features.
RPUPY_BLOCK int64_t place_of(const VectorLayout& layout, int64_t features, int64_t v, int64_t j) {
  return layout.features_first ? j * layout.batch + v : v * features + j;
}

RPUPY_KERNEL(kBlockThreads)
gather_kernel(VectorLayout layout, const float* from, float* to) {
  for_grid(layout.batch * layout.size, [&](int64_t n) {
    const int64_t v = n / layout.size, j = n % layout.size;
    to[n] = j < layout.given ? from[place_of(layout, layout.given, v, j)] : 1.0f;
  });
}

Status gather_vectors(const Place& place, const VectorLayout& layout, const float* from, float* to) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const unsigned blocks = blocks_of_threads(layout.batch * layout.size);
  return RPUPY_LAUNCH(gather_kernel, blocks, kBlockThreads, place, layout, from, to);
}

RPUPY_KERNEL(kBlockThreads)
scatter_kernel(VectorLayout layout, const float* from, float* to) {
  for_grid(layout.batch * layout.given, [&](int64_t n) {
    const int64_t v = n / layout.given, j = n % layout.given;
    to[place_of(layout, layout.given, v, j)] = from[v * layout.size + j];
  });
}

Status scatter_vectors(const Place& place, const VectorLayout& layout, const float* from, float* to) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const unsigned blocks = blocks_of_threads(layout.batch * layout.given);
  return RPUPY_LAUNCH(scatter_kernel, blocks, kBlockThreads, place, layout, from, to);
}

RPUPY_KERNEL(kBlockThreads)
scale_kernel(VectorLayout layout, int operation, const float* scales, int64_t scale_count, const float* from,
             float* to) {
  for_grid(layout.batch * layout.size, [&](int64_t n) {
    const int64_t j = layout.features_first ? n / layout.batch : n % layout.size;
    const float scale = scales[scale_count == 1 ? 0 : j];
    const float value = from[n];
    to[n] = operation == kScaleAdd ? value + scale : (operation == kScaleDivide ? value / scale : value * scale);
  });
}

Status scale_vectors(const Place& place, const VectorLayout& layout, int operation, const float* scales,
                     int64_t scale_count, const float* from, float* to) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const unsigned blocks = blocks_of_threads(layout.batch * layout.size);
  return RPUPY_LAUNCH(scale_kernel, blocks, kBlockThreads, place, layout, operation, scales, scale_count, from, to);
}

}  // namespace cuda
}  // namespace rpupy
