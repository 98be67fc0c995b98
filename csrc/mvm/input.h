// Purpose: the input converter, and what each pass over the array drives.
// Included by: mvm.h.
// Invariants: inputs behind the last are zero and stay so.
#pragma once

#include "io.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Shows nobody what happens on the way.
struct NotTraced {
  template <class F>
  RPUPY_HD void operator()(Stage, F) const {}
};

template <class F, class See>
RPUPY_HD F prepare_input(const IOParams& io, float step, F value, float scale, F shift, F normal, const See& see) {
  F v = value * scale;
  see(kStageScaled, v);
  if (step > 0.0f) v = to_grid(v, step, shift);
  see(kStageInputRounded, v);
  if (io.inp_bound > 0.0f) v = clamp(v, all_lanes<F>(-io.inp_bound), all_lanes<F>(io.inp_bound));
  see(kStageInputClipped, v);
  if (io.inp_noise > 0.0f) v = fma(all_lanes<F>(io.inp_noise), normal, v);
  see(kStageInputNoise, v);
  if (io.inp_asymmetry != 0.0f) v = select(less(v, all_lanes<F>(0.0f)), v * (1.0f - io.inp_asymmetry), v);
  see(kStageInputAsymmetry, v);
  return v;
}

// ---- passes --------------------------------------------------------------------------------------

// How many times a vector is driven in one round, in parts.
RPUPY_HD int passes_of(const IOParams& io) {
  const int type = static_cast<int>(io.mv_type);
  if (type == kPosNegSeparate || type == kPosNegDigitalSum) return 2;
  return io.phases > 1.0f ? static_cast<int>(io.phases) : 1;
}

// Whether each pass has an output conversion of its own and results are added as numbers.
RPUPY_HD bool adds_digitally(const IOParams& io) {
  const int type = static_cast<int>(io.mv_type);
  return type == kPosNegDigitalSum || type == kSplitMode || type == kBitWise;
}

// Significance of the result of a pass.
RPUPY_HD float weight_of_pass(const IOParams& io, int pass) {
  const int type = static_cast<int>(io.mv_type);
  if (type == kBitWise) return power_of_two(pass);
  return type == kSplitMode && pass > 0 ? power_of_two(static_cast<int>(io.bit_shift)) : 1.0f;
}

// Time slices of a pass, for arrays that are read in slices.
RPUPY_HD float slices_of_pass(const IOParams& io, int pass) {
  const int type = static_cast<int>(io.mv_type);
  if (type == kBitWise) return 2.0f;
  if (type != kSplitMode) return io.slices;
  // Largest level 2^(b - 1) - 1: the high part has b - 1 - bit_shift bits.
  const float low = power_of_two(static_cast<int>(io.bit_shift));
  return pass == 0 ? low : io.slices / low;
}

// Largest integer that is not above v >= 0.
template <class F>
RPUPY_HD F floor_of(F v) {
  const F nearest = round_even(v);
  return select(less(v, nearest), nearest - 1.0f, nearest);
}

// The number of time slices in which an input of magnitude |x| is on, or with `timed` unset just its digits in this
// pass, in units of the input step and with the sign of x.
template <class F>
RPUPY_HD F digits_of(const IOParams& io, float step, bool timed, int pass, F x) {
  const F zero = all_lanes<F>(0.0f);
  const int type = static_cast<int>(io.mv_type);
  // An input is on while it exceeds the time of the slice. What exceeds a level by rounding alone is that level.
  constexpr float kTie = 1e-3f;
  const F size = type == kOnePass ? magnitude(x) * (io.slices - 1.0f) : magnitude(x) / step;
  const F below = floor_of(maximum(size - kTie, zero));
  F level = select(less(all_lanes<F>(kTie), size), below + 1.0f, zero);
  if (type == kSplitMode) {
    const float unit = power_of_two(static_cast<int>(io.bit_shift));
    const F high = floor_of(level * (1.0f / unit));
    level = pass == 0 ? level - high * unit : high;
  } else if (type == kBitWise) {
    const F rest = floor_of(level * power_of_two(-pass));
    level = rest - floor_of(rest * 0.5f) * 2.0f;
  }
  if (timed) {
    const float slices = slices_of_pass(io, pass);
    // The trapezoidal rule counts the first slice half again, and the last one half.
    const F first = select(less(zero, level), all_lanes<F>(io.half_slice), zero);
    const F last = select(less(all_lanes<F>(slices - 1.0f), level), all_lanes<F>(io.half_slice), zero);
    level = minimum(level, all_lanes<F>(slices)) + first - last;
  }
  return select(less(x, zero), -level, level);
}

// For how many time steps a prepared input is on in a pass.
template <class F>
RPUPY_HD F duration_of(const IOParams& io, float step, int pass, F x) {
  if (static_cast<int>(io.mv_type) == kOnePass) return magnitude(x) / step;
  return magnitude(digits_of(io, step, false, pass, x));
}

// What a pass drives of a prepared input. `timed`: the array is read in time slices.
template <class F>
RPUPY_HD F driven_input(const IOParams& io, float step, bool timed, int pass, F x) {
  const int type = static_cast<int>(io.mv_type);
  if (type == kPosNegSeparate || type == kPosNegDigitalSum) {
    const F zero = all_lanes<F>(0.0f);
    return pass == 0 ? maximum(x, zero) : minimum(x, zero);
  }
  if (type == kOnePass && !timed) return x;
  return digits_of(io, step, timed, pass, x) * step;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
