// Purpose: the interface between the Cython module and the kernels of the CUDA backend.
// Included by: the .cu files and, through _cuda_core.pxd, the Cython modules.
// Invariants: arguments are the structs of csrc/kernel_table.h. Weights, planes, vectors and scratch are device memory;
// packed parameters, and planes of one number (stride 0), are host memory that is read before a launcher returns. All
// work of a call is one sequence of launches in its stream, without a wait.
#pragma once

#include "../csrc/kernel_table.h"
#include "buffer.h"

namespace rpupy {
namespace cuda {

// By device number, in the order of device_list.h. Planes of one number are computed here, on the host.
Status populate(const Place& place, int number, const PopulateArgs& args);

using UpkeepLauncher = Status (*)(const Place& place, const UpkeepArgs& args);
Status set_uniform(const Place& place, const UpkeepArgs& args);
Status clip(const Place& place, const UpkeepArgs& args);
Status decay(const Place& place, const UpkeepArgs& args);
Status diffuse(const Place& place, const UpkeepArgs& args);
Status reset(const Place& place, const UpkeepArgs& args);
Status drift(const Place& place, const UpkeepArgs& args);
Status redraw_apparent(const Place& place, const UpkeepArgs& args);

Status update_exact(const Place& place, const UpdateArgs& args);
// Words of the longest train that the parameters allow.
int64_t longest_train(const UpdateArgs& args);
size_t update_pulsed_scratch(const UpdateArgs& args);
// The same for any learning rate and granularity.
size_t update_pulsed_most_scratch(const UpdateArgs& args);
Status update_pulsed(const Place& place, int number, const UpdateArgs& args, void* scratch);
// The share of zeros in d of each vector from `first` on, to `shares`.
Status zero_shares(const Place& place, const UpdateArgs& args, int64_t first, float* shares);

size_t product_scratch(const ProductArgs& args);
Status product(const Place& place, const ProductArgs& args, void* scratch);

// The update of a mini-batch on a unit cell or compound. Parameters and counters of its nodes are host memory, all their
// arrays device memory. Only one thing can fail behind the first kernel: the reads of a flag that a buffered, chopped or
// dynamic compound needs whose target is no device plane.
size_t update_compound_scratch(const CompoundArgs& args);
Status update_compound(const Place& place, const CompoundArgs& args, void* scratch);
// Weights of all nodes that have others below them.
Status reduce_compound(const Place& place, const CompoundArgs& args);

// Counts into `count`, which is device memory, the numbers that are not finite.
Status count_not_finite(const Place& place, const float* data, int64_t n, uint32_t* count);

// A batch of vectors as the kernels want it, [batch, size], from one with `given` features, which stand first if
// `features_first`; what is missing behind them is 1.
struct VectorLayout {
  int64_t batch, size, given;
  int32_t features_first;
};
Status gather_vectors(const Place& place, const VectorLayout& layout, const float* from, float* to);
// The reverse: the first `given` features of each vector.
Status scatter_vectors(const Place& place, const VectorLayout& layout, const float* from, float* to);

// How scales act on a batch of vectors [batch, size], or [size, batch] if `features_first`.
enum ScaleOperation { kScaleMultiply = 0, kScaleDivide = 1, kScaleAdd = 2 };
// to = from (operation) scales; `scales` is one number or one for each feature.
Status scale_vectors(const Place& place, const VectorLayout& layout, int operation, const float* scales,
                     int64_t scale_count, const float* from, float* to);

}  // namespace cuda
}  // namespace rpupy
