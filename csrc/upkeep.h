// Purpose: what happens to a weight outside of pulses: decay, diffusion, reset, drift, clipping, write noise.
// Included by: the upkeep kernels of each backend.
// Invariants: every function works on one crosspoint and leaves its weight within its bounds.
#pragma once

#include "fields.h"
#include "rng.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

template <class F>
struct Bounds {
  F low, high;
};

template <class F>
RPUPY_HD F within(F w, const Bounds<F>& b) {
  return clamp(w, b.low, b.high);
}

// Uniform in [low, high).
template <class F>
RPUPY_HD F drawn_uniformly(float low, float high, UIntOf<F> crosspoint, uint64_t ordinal, uint32_t plane,
                           const Bounds<F>& b, const RoundKeys& keys) {
  const F u = uniform<F>(draw_block<F>(crosspoint, ordinal, counter_tag(kStreamInit, plane, 0), keys).w[0]);
  return within(fma(all_lanes<F>(high - low), u, all_lanes<F>(low)), b);
}

// Whether a column is one of `columns` from `first` on, counted around an array of `size`.
template <class F>
RPUPY_HD MaskOf<F> in_columns(UIntOf<F> column, uint32_t first, uint32_t columns, uint32_t size) {
  using U = UIntOf<F>;
  const U distance = select(less(column, all_lanes_of<U>(first)), column + (size - first), column - first);
  return less(distance, all_lanes_of<U>(columns));
}

// Towards the reset bias by the fraction alpha (1 - decay_scales).
template <class F>
RPUPY_HD F decayed(F w, F scale, F bias, float alpha, const Bounds<F>& b) {
  const F s = fma(all_lanes<F>(alpha), scale - 1.0f, all_lanes<F>(1.0f));
  return within(F((w - bias) * s + bias), b);
}

template <class F>
RPUPY_HD F diffused(F w, F rate, UIntOf<F> crosspoint, uint64_t ordinal, uint32_t plane, const Bounds<F>& b,
                    const RoundKeys& keys) {
  const F z = one_normal<F>(draw_block<F>(crosspoint, ordinal, counter_tag(kStreamDiffuse, plane, 0), keys));
  return within(fma(rate, z, w), b);
}

// Word 0 of the block decides whether, words 2 and 3 to which value.
template <class F>
RPUPY_HD F reset_with(F w, F bias, float std, float prob, MaskOf<F> chosen, UIntOf<F> crosspoint, uint64_t ordinal,
                      uint32_t plane, const Bounds<F>& b, const RoundKeys& keys) {
  using U = UIntOf<F>;
  const Block<U> words = draw_block<F>(crosspoint, ordinal, counter_tag(kStreamReset, plane, 0), keys);
  if (prob < 1.0f) chosen = both(chosen, less(words.w[0], all_lanes_of<U>(static_cast<uint32_t>(threshold(prob)))));
  F z, other;
  normal_pair<F>(words.w[2], words.w[3], z, other);
  return select(chosen, within(fma(all_lanes<F>(std), z, bias), b), w);
}

// What drift remembers of a crosspoint.
template <class F>
struct DriftState {
  F start;     // weight when its clock started
  F since;     // time of that start
  F previous;  // weight after the last call
};

// `now` counts in units of t_0. Value 0 of the block is the exponent's draw, value 2 the additive one.
template <class F>
RPUPY_HD F drifted(F w, F nu, float now, DriftState<F>& state, const DriftParams& p, UIntOf<F> crosspoint,
                   uint64_t ordinal, uint32_t plane, const Bounds<F>& b, const RoundKeys& keys) {
  Normals<F> draws = {};
  if (p.drift_nu_std > 0.0f || p.drift_w_noise_std > 0.0f) {
    draws = normals<F>(draw_block<F>(crosspoint, ordinal, counter_tag(kStreamDrift, plane, 0), keys));
  }
  const MaskOf<F> touched = less(all_lanes<F>(p.drift_reset_tol), magnitude(F(state.previous - w)));
  if (p.drift_nu_std > 0.0f) nu = nu * fma(all_lanes<F>(p.drift_nu_std), draws.z[0], all_lanes<F>(1.0f));
  if (p.drift_nu_k != 0.0f) {
    // A conductance of zero or below has no logarithm; the smallest normal number stands in for it.
    const F g = maximum(F((w - p.drift_w_offset) / p.drift_wg_ratio + p.drift_g_offset), all_lanes<F>(kSmallestNormal));
    nu = nu - p.drift_nu_k * (logarithm(g) - p.drift_log_g0);
  }
  const F age = maximum(F(now - state.since), all_lanes<F>(1.0f));
  const F q = power_of(age, -nu);
  const float offset = fma(p.drift_g_offset, p.drift_wg_ratio, p.drift_w_offset);
  const float anchor = magnitude(offset) < p.drift_reset_tol ? 0.0f : offset;
  const F aged = fma(state.start, q, anchor * (q - 1.0f));
  state.since = select(touched, all_lanes<F>(now), state.since);
  state.start = select(touched, w, state.start);
  w = select(touched, w, aged);
  if (p.drift_w_noise_std > 0.0f) w = fma(all_lanes<F>(p.drift_w_noise_std), draws.z[2], w);
  state.previous = within(w, b);
  return state.previous;
}

// The symmetric limit `limit` within the crosspoint's own bounds, which win where the two do not meet.
template <class F>
RPUPY_HD F clipped_to(F w, float limit, const Bounds<F>& b) {
  if (limit < 0.0f) return within(w, b);
  // 0 - 0 is +0: a limit of 0 leaves no negative zeros.
  return clamp(w, maximum(b.low, all_lanes<F>(0.0f - limit)), minimum(b.high, all_lanes<F>(limit)));
}

// What forward sees of a weight with write noise.
template <class F>
RPUPY_HD F apparent(F w, float noise, UIntOf<F> crosspoint, uint64_t ordinal, uint32_t stream, uint32_t plane,
                    const RoundKeys& keys) {
  return fma(all_lanes<F>(noise),
             one_normal<F>(draw_block<F>(crosspoint, ordinal, counter_tag(stream, plane, 0), keys)), w);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
