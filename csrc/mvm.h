// Purpose: the digital-to-analog and analog-to-digital ends of a product: scale, round, clip, disturb.
// Included by: the product kernels of each backend.
// Invariants: 64 lines share 16 blocks: lines 64 q + 16 l + r, l = 0..3, take value l of block 16 q + r, so that a set of
// 16 lanes needs no transposition. Draw: round of bound management << 4 | pass.
#pragma once

#include "fields.h"
#include "rng.h"

namespace rpupy {

constexpr int64_t kGroup = 64;   // lines that share 16 blocks of random words
constexpr int kMaxRounds = 32;   // of bound management; reductions double: more than max_bm_factor can ask for
constexpr int kNormChains = 16;  // of a norm: chain l adds the squares of the inputs l, l + 16, ...

// Codes of the enums that kernels switch on; Python binds them by name (rpupy/rpu_base/_common.py).
enum NoiseManagement { kNoiseNone = 0, kNoiseAbsMax = 1, kNoiseMax = 2, kNoiseConstant = 3 };
enum BoundManagement { kBoundNone = 0, kBoundIterative = 1 };
enum WeightNoise { kWeightNoiseNone = 0, kWeightNoiseAdditive = 1 };

namespace RPUPY_ISA_NAME {

struct IOParams {
  RPUPY_FIELDS(float, is_perfect, inp_bound, inp_noise, inp_res, inp_sto_round, inp_asymmetry, out_bound, out_noise,
               out_res, out_sto_round, out_scale, out_asymmetry, bound_management, noise_management, nm_thres, w_noise,
               w_noise_type, max_bm_factor, max_bm_res, bm_test_negative_bound)
};

// Absolute step of a converter: a resolution above 1 is a number of steps, an unbounded converter does not round.
RPUPY_HD float converter_step(float res, float bound) {
  const float r = res > 1.0f ? 1.0f / res : res;
  return r > 0.0f && bound > 0.0f ? r * 2.0f * bound : 0.0f;
}

// To the grid of a converter; `shift` is 0, or a uniform draw less 1/2 for stochastic rounding.
template <class F>
RPUPY_HD F to_grid(F value, float step, F shift) {
  return round_even(value / step + shift) * step;
}

// The largest power of two that is not above a, within 2^-126 ... 2^126: both it and its inverse are normal numbers.
RPUPY_HD float power_of_two_below(float a) {
  const uint32_t exponent = bits_of(a) & 0x7f800000u;
  return float_of_bits(exponent < 0x00800000u ? 0x00800000u : (exponent > 0x7e800000u ? 0x7e800000u : exponent));
}

// How one vector enters and leaves the array.
struct VectorScale {
  float input;   // c: factor before the converter
  float output;  // factor after it
  bool zero;     // the result is exactly zero
};

// The factor of the input of a vector with largest magnitude `abs_max` and largest entry `max`. `keep_zero` is set where
// input noise makes even a zero vector worth a product.
RPUPY_HD VectorScale vector_scale(const IOParams& io, float abs_max, float max, float reduction, bool keep_zero) {
  constexpr float kSmallestNormal = 1.17549435e-38f;
  VectorScale v = {1.0f, 1.0f, false};
  float s = 0.0f;
  const int management = static_cast<int>(io.noise_management);
  if (management == kNoiseConstant) {
    s = io.nm_thres > 0.0f ? io.nm_thres : 1.0f;
  } else if (management != kNoiseNone) {
    s = management == kNoiseMax ? max : abs_max;
    if (io.nm_thres > 0.0f && s > io.nm_thres) s = io.nm_thres;
  }
  if (management != kNoiseNone) {
    if (s >= kSmallestNormal) {
      v.input = 1.0f / s;
    } else if (!keep_zero) {
      v.zero = true;
    }
  }
  v.input /= reduction;
  v.output = io.out_scale / v.input;
  return v;
}

// Whether bound management gives up after a round with this reduction.
RPUPY_HD bool last_round(const IOParams& io, float reduction) {
  const float step = converter_step(io.inp_res, io.inp_bound);
  return reduction >= io.max_bm_factor + 1.0f || (step > 0.0f && reduction > io.max_bm_res / step);
}

// How often an input is multiplied at most.
RPUPY_HD int most_rounds(const IOParams& io, bool backward) {
  if (backward || static_cast<int>(io.bound_management) != kBoundIterative) return 1;
  float reduction = 1.0f;
  int rounds = 1;
  for (; rounds < kMaxRounds && !last_round(io, reduction); ++rounds) reduction *= 2.0f;
  return rounds;
}

RPUPY_HD bool has_weight_noise(const IOParams& io) {
  return static_cast<int>(io.w_noise_type) == kWeightNoiseAdditive && io.w_noise > 0.0f;
}

// Euclidean norm from its chains, whose inputs were divided by `power`; they are added pairwise, in place.
RPUPY_HD float norm_of_chains(float* chains, float power) {
  for (int width = kNormChains / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) chains[l] += chains[l + width];
  }
  return square_root(chains[0]) * power;
}

template <class F>
RPUPY_HD F prepare_input(const IOParams& io, float step, F value, float scale, F shift, F normal) {
  F v = value * scale;
  if (step > 0.0f) v = to_grid(v, step, shift);
  if (io.inp_bound > 0.0f) v = clamp(v, all_lanes<F>(-io.inp_bound), all_lanes<F>(io.inp_bound));
  if (io.inp_noise > 0.0f) v = fma(all_lanes<F>(io.inp_noise), normal, v);
  if (io.inp_asymmetry != 0.0f) v = select(less(v, all_lanes<F>(0.0f)), v * (1.0f - io.inp_asymmetry), v);
  return v;
}

// `clipped` collects whether an output left the range of the converter.
template <class F>
RPUPY_HD F finish_output(const IOParams& io, float step, F value, F shift, F normal, MaskOf<F>& clipped) {
  F v = value;
  if (io.out_asymmetry > 0.0f) v = select(less(v, all_lanes<F>(0.0f)), v * (1.0f - io.out_asymmetry), v);
  if (io.out_noise > 0.0f) v = fma(all_lanes<F>(io.out_noise), normal, v);
  if (step > 0.0f) v = to_grid(v, step, shift);
  if (io.out_bound > 0.0f) {
    const F bound = all_lanes<F>(io.out_bound);
    clipped = less(bound, v);
    if (io.bm_test_negative_bound != 0.0f) clipped = either(clipped, less(v, -bound));
    v = clamp(v, -bound, bound);
  }
  return v;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
