// Purpose: from a mini-batch to pulses: train length, probabilities, and the words of each line.
// Included by: the update kernels of each backend.
// Invariants: scales are float32 in the documented order of operations, because decisions sit on exact ties. A word stands
// for 31 slots of its line, with its sign in bit 31; longer trains take several words. Bits 0 to 30 of a random train are
// its slots, and slot s of word w is decided by value s & 3 of the block with draw 8 w + (s >> 2). Of a counted train
// each word is the same float, and the products of both sides are counts: word w stands for the pulses 31 w to 31 w + 30.
#pragma once

#include "fields.h"
#include "kernel_table.h"
#include "rng.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr int kSlotsPerWord = 31;
constexpr int kBlocksPerWord = 8;
constexpr int kMaxWords = 8192;  // 16 bits of draw
constexpr float kMaxLength = kMaxWords * kSlotsPerWord;
constexpr uint32_t kSlotBits = 0x7fffffffu;
constexpr uint32_t kSignBit = 0x80000000u;

// How two lines make pulses: by coincidences of random slots, or by a count that is computed.
enum TrainKind : int32_t {
  kRandomTrains = 0,
  kMeanCounts = 1,
  kImplicitCounts = 2,
};

struct UpdateParams {
  RPUPY_FIELDS(float, desired_bl, fixed_bl, update_bl_management, update_management, um_grad_scale, res, sto_round,
               pulse_type, x_res_implicit, d_res_implicit, noise_aggregation)

  RPUPY_HD TrainKind kind() const { return static_cast<TrainKind>(static_cast<int32_t>(pulse_type)); }
  RPUPY_HD bool aggregates() const { return noise_aggregation != 0.0f; }
};

// The part of an array that an update touches, as numbers of its lines.
struct Region {
  int64_t row, last_row;
  int64_t column, last_column;

  RPUPY_HD int64_t rows() const { return last_row - row; }
  RPUPY_HD int64_t columns() const { return last_column - column; }
};

RPUPY_HD Region region_of(const Window& w, const TileView& tile) {
  return {w.rows > 0 ? w.first_row : 0, w.rows > 0 ? w.first_row + w.rows : tile.out_size,
          w.columns > 0 ? w.first_column : 0, w.columns > 0 ? w.first_column + w.columns : tile.in_size};
}

// Whether the slots of the trains count for the events of the plane. An update that is cut into windows and spans counts
// those of a vector where it reaches the first line.
RPUPY_HD bool counts_slots(const UpdateArgs& args, const Region& region) {
  return args.write_train != 0 || (region.row == 0 && region.column == 0);
}
RPUPY_HD bool reaches_first_line(const LineSpans& spans, int64_t vector) {
  return spans.first == nullptr || (spans.first[0] <= vector && vector < spans.last[0]);
}

// How the trains of one vector are made.
struct TrainScales {
  float d_scale;   // A: probability of a pulse on output i is |d_i| A
  float x_scale;   // B: probability of a pulse on input j is |x_j| B
  int32_t length;  // BL; 0 where the vector makes no pulse
  int32_t words;
};

RPUPY_HD float safe_ratio(float a, float b) {
  const float r = a / b;
  return r < 1.0e38f ? (r > 1.0e-38f ? r : 1.0e-38f) : 1.0e38f;
}

// `lr` is a magnitude; x_max and d_max are the largest magnitudes of this vector.
RPUPY_HD TrainScales train_scales(const UpdateParams& p, float lr, float granularity, float x_max, float d_max) {
  TrainScales s = {0.0f, 0.0f, 0, 0};
  const bool bl_management = p.update_bl_management != 0.0f;
  const bool management = p.update_management != 0.0f || bl_management;
  if (!(lr > 0.0f && x_max > 0.0f && d_max > 0.0f)) return s;

  float length = p.desired_bl;
  bool unit_scales = false;
  if (p.fixed_bl == 0.0f && !bl_management && granularity * p.desired_bl < lr) {
    const float needed = __builtin_ceilf(lr / granularity);
    length = needed > 1.0f ? needed : 1.0f;
    unit_scales = true;
  }
  float d_reach = p.um_grad_scale * d_max;
  float pulses = lr * x_max * d_reach / granularity;
  if (!(pulses < 3.0e38f)) pulses = 3.0e38f;
  if (bl_management) {
    const float needed = __builtin_ceilf(pulses);
    length = needed < p.desired_bl ? needed : p.desired_bl;
    if (!(length > 0.0f)) return s;
  }
  s.d_scale = unit_scales ? 1.0f : __builtin_sqrtf(lr / (granularity * length));
  s.x_scale = s.d_scale;
  if (management) {
    // Beyond the longest train the d side saturates, and x is still represented exactly.
    if (pulses > p.desired_bl) d_reach = d_reach * p.desired_bl / pulses;
    s.d_scale *= __builtin_sqrtf(safe_ratio(x_max, d_reach));
    s.x_scale *= __builtin_sqrtf(safe_ratio(d_reach, x_max));
  }
  // An infinite scale would make NaN of a line of 0.
  s.d_scale = minimum(s.d_scale, kLargest);
  s.x_scale = minimum(s.x_scale, kLargest);
  s.length = static_cast<int32_t>(length < kMaxLength ? length : kMaxLength);
  s.words = (s.length + kSlotsPerWord - 1) / kSlotsPerWord;
  return s;
}

// An upper limit of the words of any vector, from the parameters alone. `lr` is a magnitude.
RPUPY_HD int64_t longest_train(const UpdateParams& p, float lr, float granularity) {
  float length = p.desired_bl;
  if (p.fixed_bl == 0.0f && p.update_bl_management == 0.0f) {
    const float needed = __builtin_ceilf(lr / granularity);
    if (needed > length) length = needed;
  }
  // One word above the limit tells Python that the rate asks for too much.
  constexpr float kTooLong = kMaxLength + kSlotsPerWord;
  if (!(length < kTooLong)) length = kTooLong;
  return (static_cast<int64_t>(length) + kSlotsPerWord - 1) / kSlotsPerWord;
}

// A resolution given as a number of steps is inverted; a negative one is none.
RPUPY_HD float resolution(float res) { return res > 1.0f ? 1.0f / res : (res > 0.0f ? res : 0.0f); }

// floor(q 2^32) of q in [0, 1), by two halves that are exact: not every instruction set converts float to uint32.
template <class F>
RPUPY_HD UIntOf<F> slot_threshold(F q) {
  const F scaled = q * 65536.0f;
  const UIntOf<F> high = truncate(scaled);
  return high << 16 | truncate((scaled - signed_to_float(high)) * 65536.0f);
}

// One side of a crossbar while it makes trains.
struct TrainSide {
  float scale;
  float res;
  bool sto_round;
  bool x_side;
  TrainKind kind;
  uint32_t stream;
  uint32_t round_stream;
  uint32_t plane;
};

// `write` tells whether these are the trains of a write (of a compound), whose events are counted apart.
RPUPY_HD TrainSide train_side(const UpdateParams& p, bool x_side, uint32_t plane, bool write) {
  const float res = p.kind() == kImplicitCounts ? (x_side ? p.x_res_implicit : p.d_res_implicit) : p.res;
  TrainSide side = {0.0f, resolution(res), p.sto_round != 0.0f, x_side, p.kind(), 0u, 0u, plane};
  if (write) {
    side.stream = x_side ? kStreamWriteTrainX : kStreamWriteTrainD;
    side.round_stream = x_side ? kStreamWriteRoundX : kStreamWriteRoundD;
  } else {
    side.stream = x_side ? kStreamTrainX : kStreamTrainD;
    side.round_stream = x_side ? kStreamRoundX : kStreamRoundD;
  }
  return side;
}

// The probability that a slot of a line fires; it may exceed 1.
template <class F>
RPUPY_HD F slot_probability(F value, UIntOf<F> line, const TrainSide& side, uint64_t ordinal, const RoundKeys& keys) {
  const F q = magnitude(value) * side.scale;
  if (!(side.res > 0.0f)) return q;
  F shift = all_lanes<F>(0.0f);
  if (side.sto_round) {
    shift = uniform<F>(draw_block<F>(line, ordinal, counter_tag(side.round_stream, side.plane, 0), keys).w[0]) - 0.5f;
  }
  return round_even(q / side.res + shift) * side.res;
}

// Scales of the trains of d, for counting its zeros: none where a management sees that there is nothing to do; without
// management, a vector has trains whatever is in it.
RPUPY_HD TrainScales scales_for_zeros(const UpdateParams& p, float lr, float granularity, float x_max, float d_max) {
  const bool managed = p.update_management != 0.0f || p.update_bl_management != 0.0f;
  return train_scales(p, lr, granularity, managed ? x_max : 1.0f, managed ? d_max : 1.0f);
}

// Word `word` of the random trains of a set of lines, for a train of `length` slots.
template <class F>
RPUPY_HD UIntOf<F> random_word(F value, UIntOf<F> line, const TrainSide& side, int32_t length, int32_t word,
                               uint64_t ordinal, const RoundKeys& keys) {
  using U = UIntOf<F>;
  const F zero = all_lanes<F>(0.0f);
  const F q = slot_probability<F>(value, line, side, ordinal, keys);
  const MaskOf<F> fires = less(zero, q);
  const MaskOf<F> certain = both(fires, negate(less(q, all_lanes<F>(1.0f))));
  const MaskOf<F> chance = both(fires, negate(certain));
  const int32_t left = length - word * kSlotsPerWord;
  const int32_t slots = left < kSlotsPerWord ? left : kSlotsPerWord;
  U bits = select(certain, all_lanes_of<U>((1u << slots) - 1u), all_lanes_of<U>(0u));
  if (any(chance)) {
    const U bar = slot_threshold(select(chance, q, zero));
    U drawn = all_lanes_of<U>(0u);
    for (int32_t block = 0; block * 4 < slots; ++block) {
      const uint32_t draw = static_cast<uint32_t>(word * kBlocksPerWord + block);
      const Block<U> words = draw_block<F>(line, ordinal, counter_tag(side.stream, side.plane, draw), keys);
      for (int32_t s = 0; s < 4 && block * 4 + s < slots; ++s) {
        drawn = drawn | select(less(words.w[s], bar), all_lanes_of<U>(1u << (block * 4 + s)), all_lanes_of<U>(0u));
      }
    }
    bits = select(chance, drawn, bits);
  }
  return bits | (bits_of(value) & kSignBit);
}

// What lines multiply to counts of pulses. Mean counts: the expected pulses n of the line itself, as n on the x side and
// n / BL on the d side. Implicit counts: the probability q, as q and q BL.
template <class F>
RPUPY_HD UIntOf<F> counted_word(F value, UIntOf<F> line, const TrainSide& side, int32_t length, uint64_t ordinal,
                                const RoundKeys& keys) {
  const F slots = all_lanes<F>(static_cast<float>(length));
  F q = slot_probability<F>(value, line, side, ordinal, keys);
  if (side.kind == kMeanCounts) {
    q = minimum(round_even(slots * q), slots);
    if (!side.x_side) q = q / slots;
  } else {
    q = minimum(q, all_lanes<F>(1.0f));
    if (!side.x_side) q = q * slots;
  }
  return bits_of(magnitude(q)) | (bits_of(value) & kSignBit);
}

// Word `word` of a set of lines.
template <class F>
RPUPY_HD UIntOf<F> train_word(F value, UIntOf<F> line, const TrainSide& side, int32_t length, int32_t word,
                              uint64_t ordinal, const RoundKeys& keys) {
  if (side.kind == kRandomTrains) return random_word<F>(value, line, side, length, word, ordinal, keys);
  return counted_word<F>(value, line, side, length, ordinal, keys);
}

// Some slots of a word of d, beside which a word of x makes pulses.
struct Slots {
  uint32_t d;     // the word, for its sign and, of a counted train, its value
  uint32_t bits;  // of a random train: the slots
  float first;    // of a counted train: the pulses before those of these slots
  int32_t most;   // pulses that they can give a crosspoint; 0 for none
};

// The pulses that slots give each crosspoint. They go up where the sign bit of `x ^ slots.d` is set.
template <class F, bool kRandom>
RPUPY_HD UIntOf<F> pulses_of(UIntOf<F> x, const Slots& slots) {
  if (kRandom) return count_bits(x & slots.bits);
  const F product = magnitude(float_of_bits(x)) * magnitude(float_of_bits(slots.d));
  const F most = all_lanes<F>(static_cast<float>(slots.most));
  return truncate(clamp(round_even(product) - slots.first, all_lanes<F>(0.0f), most));
}

// All slots of a word of d. `length` is that of its train, `word` its number there.
RPUPY_HD Slots slots_of(TrainKind kind, uint32_t d, int32_t length, int32_t word) {
  if (kind == kRandomTrains) return {d, d & kSlotBits, 0.0f, static_cast<int32_t>(count_bits(d & kSlotBits))};
  // No line of x has more than this, so the row has no more pulses than the rounded product.
  const float x_limit = kind == kMeanCounts ? static_cast<float>(length) : 1.0f;
  const float first = static_cast<float>(word * kSlotsPerWord);
  const float most = round_even(magnitude(float_of_bits(d)) * x_limit) - first;
  return {d, 0u, first, most > 0.0f ? static_cast<int32_t>(minimum(most, static_cast<float>(kSlotsPerWord))) : 0};
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
