// Purpose: every kernel of one instruction set, and its table.
// Included by: kernels_baseline.cpp, kernels_avx2.cpp, kernels_avx512.cpp, which name the set.
// Invariants: no STL containers and no shared inline functions here (see host_device.h); only the table is exported.

#define RPUPY_CPU_UNIT

#include "../kernel_table.h"

#include "../aggregate.h"
#include "../devices/device_list.h"
#include "../mvm.h"
#include "../pulse.h"
#include "../queue.h"
#include "../upkeep.h"
#include "environment.h"

#include "multiply.inl"

#include "product.inl"

#include "tally.inl"

#include "update.inl"

#include "aggregate.inl"

#include "write_rows.inl"

#include "pulse_counts.inl"

#include "upkeep.inl"

#include "compound.inl"

namespace rpupy {
namespace RPUPY_ISA_NAME {

static void draw_words(const uint32_t* counters, const uint32_t* key, uint32_t* words, int64_t n) {
  const RoundKeys keys = round_keys(key[0], key[1]);
  for (int64_t at = 0; at < n; at += kLanes) {
    const int part = static_cast<int>(n - at < kLanes ? n - at : kLanes);
    u32v c[4] = {};
    for (int l = 0; l < part; ++l) {
      for (int w = 0; w < 4; ++w) c[w][l] = counters[4 * (at + l) + w];
    }
    const Block<u32v> block = philox(c[0], c[1], c[2], c[3], keys);
    for (int l = 0; l < part; ++l) {
      for (int w = 0; w < 4; ++w) words[4 * (at + l) + w] = block.w[w][l];
    }
  }
}

static void words_to_normals(const uint32_t* words, float* z, int64_t blocks) {
  const DefaultFloatingPoint environment;
  for (int64_t at = 0; at < blocks; at += kLanes) {
    const int part = static_cast<int>(blocks - at < kLanes ? blocks - at : kLanes);
    Block<u32v> block = {};
    for (int l = 0; l < part; ++l) {
      for (int w = 0; w < 4; ++w) block.w[w][l] = words[4 * (at + l) + w];
    }
    const Normals<f32v> n = normals<f32v>(block);
    for (int l = 0; l < part; ++l) {
      for (int w = 0; w < 4; ++w) z[4 * (at + l) + w] = n.z[w][l];
    }
  }
}

static void evaluate(int32_t function, const float* a, const float* b, float* y, int64_t n) {
  const DefaultFloatingPoint environment;
  for (int64_t at = 0; at < n; at += kLanes) {
    const int part = static_cast<int>(n - at < kLanes ? n - at : kLanes);
    // Lanes behind the end hold 1, which every function takes.
    const f32v ones = f32v{} + 1.0f;
    const f32v va = select(first_lanes(part), load_part(a + at, part), ones);
    const f32v vb = select(first_lanes(part), load_part(b + at, part), ones);
    const f32v v = function == 0 ? logarithm(va) : (function == 1 ? exponential(va) : power_of(va, vb));
    store_part(y + at, v, part);
  }
}

#define RPUPY_POPULATE(Device) populate<Device>,
#define RPUPY_UPDATE(Device) update_pulsed<Device>,
#define RPUPY_WRITE_ROWS(Device) write_rows<Device>,
#define RPUPY_NONE(Device) nullptr,
static const PopulateFunction populate_table[] = {RPUPY_PULSED_DEVICES(RPUPY_POPULATE) RPUPY_EXACT_DEVICES(RPUPY_NONE)};
static const UpdateFunction update_table[] = {RPUPY_PULSED_DEVICES(RPUPY_UPDATE) RPUPY_EXACT_DEVICES(RPUPY_NONE)};
static const UpdateFunction write_rows_table[] = {RPUPY_PULSED_DEVICES(RPUPY_WRITE_ROWS)};
static const UpdateFunction* compound_updates() { return update_table; }
static const UpdateFunction* compound_row_writes() { return write_rows_table; }
#undef RPUPY_POPULATE
#undef RPUPY_UPDATE
#undef RPUPY_WRITE_ROWS
#undef RPUPY_NONE

#define RPUPY_QUOTE_(name) #name
#define RPUPY_QUOTE(name) RPUPY_QUOTE_(name)
extern const KernelTable table;
const KernelTable table = {
    RPUPY_QUOTE(RPUPY_ISA_NAME),
    pack_weights,
    product,
    product_scratch,
    update_exact,
    update_exact_scratch,
    update_pulsed_scratch,
    longest_train,
    all_finite,
    set_uniform,
    clip,
    decay,
    diffuse,
    reset,
    drift,
    redraw_apparent,
    update_compound,
    update_compound_scratch,
    reduce_compound,
    populate_table,
    update_table,
    draw_words,
    words_to_normals,
    evaluate,
    count_pulses,
    pulse_normals,
    show_pulses,
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
