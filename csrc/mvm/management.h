// Purpose: noise management and bound management: by what a vector is divided before the input converter.
// Included by: mvm.h.
// Invariants: a vector's scale depends on its own entries and the number of the round alone, but for the running mean,
// which depends on the vectors before.
#pragma once

#include "io.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// What noise management goes by.
struct InputFacts {
  float abs_max;
  float max;
  bool finite;
  float positive, negative;  // sums of the positive and of the negated negative entries, where they are asked for
  float average;             // running mean of abs_max, where it is asked for
};

// How one vector enters and leaves the array.
struct VectorScale {
  float input;   // c: factor before the converter
  float output;  // factor after it
  bool zero;     // the result is exactly zero
};

RPUPY_HD bool averages_inputs(const IOParams& io) {
  return io.is_perfect == 0.0f && static_cast<int>(io.noise_management) == kNoiseAverageAbsMax;
}

// The running mean after a vector; below 0 before the first.
RPUPY_HD float next_average(const IOParams& io, float average, float abs_max) {
  return average < 0.0f ? abs_max : abs_max * io.nm_decay + average * (1.0f - io.nm_decay);
}

// Whether later rounds start from a scale for the worst case.
RPUPY_HD bool second_round_is_worst_case(const IOParams& io, bool backward) {
  return !backward && static_cast<int>(io.bound_management) == kBoundWorstCase &&
         static_cast<int>(io.noise_management) != kNoiseAbsMaxNPSum;
}

RPUPY_HD bool sums_inputs(const IOParams& io, bool backward) {
  return static_cast<int>(io.noise_management) == kNoiseAbsMaxNPSum || second_round_is_worst_case(io, backward);
}

RPUPY_HD float capped(const IOParams& io, float s) { return io.nm_thres > 0.0f && s > io.nm_thres ? io.nm_thres : s; }

// At least the output that the positive or the negative inputs alone could cause, as far as the input converter has
// steps for it.
RPUPY_HD float worst_case_scale(const IOParams& io, const InputFacts& facts) {
  const float s = capped(io, facts.abs_max);
  const float bound = io.out_bound > 0.0f ? io.out_bound : 1.0f;
  float worst = maximum(facts.positive, facts.negative) * io.nm_assumed_wmax / bound;
  const float step = converter_step(io.inp_res, io.inp_bound);
  if (step > 0.0f) worst = minimum(worst, s * io.max_bm_res / step);
  return maximum(s, worst);
}

RPUPY_HD float managed_scale(const IOParams& io, const InputFacts& facts) {
  const int management = static_cast<int>(io.noise_management);
  if (management == kNoiseConstant) return io.nm_thres > 0.0f ? io.nm_thres : 1.0f;
  if (management == kNoiseAbsMaxNPSum) return worst_case_scale(io, facts);
  if (management == kNoiseAverageAbsMax) return facts.average;
  return capped(io, management == kNoiseMax ? facts.max : facts.abs_max);
}

// By how much bound management reduces the input in a round.
RPUPY_HD float reduction_of(const IOParams& io, bool backward, int round) {
  // The second round with the scale for the worst case starts anew.
  const int halvings = second_round_is_worst_case(io, backward) && round > 0 ? round - 1 : round;
  return power_of_two(halvings);
}

// Whether bound management gives up after a round with this reduction.
RPUPY_HD bool last_round(const IOParams& io, float reduction) {
  const float step = converter_step(io.inp_res, io.inp_bound);
  return reduction >= io.max_bm_factor + 1.0f || (step > 0.0f && reduction > io.max_bm_res / step);
}

// How often an input is multiplied at most.
RPUPY_HD int most_rounds(const IOParams& io, bool backward) {
  if (backward || static_cast<int>(io.bound_management) == kBoundNone) return 1;
  int rounds = 1;
  while (rounds < kMaxRounds && !last_round(io, reduction_of(io, backward, rounds - 1))) ++rounds;
  return rounds;
}

// The factors of a vector in a round of bound management.
RPUPY_HD VectorScale vector_scale(const IOParams& io, const InputFacts& facts, bool backward, int round) {
  constexpr float kSmallestNormal = 1.17549435e-38f;
  VectorScale v = {1.0f, 1.0f, false};
  if (static_cast<int>(io.noise_management) != kNoiseNone) {
    const bool worst_case = round > 0 && second_round_is_worst_case(io, backward);
    const float s = worst_case ? worst_case_scale(io, facts) : managed_scale(io, facts);
    if (s >= kSmallestNormal) {
      v.input = 1.0f / s;
    } else {
      // Input noise makes even a zero vector worth a product.
      v.zero = round == 0 && (backward || !(io.inp_noise > 0.0f));
    }
  }
  v.input /= reduction_of(io, backward, round);
  v.output = io.out_scale / v.input;
  return v;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
