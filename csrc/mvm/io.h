// Purpose: the parameters of a product, and the grid of a converter.
// Included by: mvm.h.
// Invariants: codes of enums are those of rpupy/rpu_base/_common.py, which binds them by name.
#pragma once

#include "../fields.h"
#include "../kernel_table.h"
#include "../rng.h"

namespace rpupy {

constexpr int64_t kGroup = 64;  // lines that share 16 blocks of random words
constexpr int kMaxRounds = 33;  // of bound management; reductions double: more than max_bm_factor can ask for
constexpr int kMaxPasses = 16;  // of one product over the array: what a draw has room for
constexpr int kSumChains = 16;  // of a sum over inputs: chain l adds the inputs l, l + 16, ...

enum NoiseManagement {
  kNoiseNone = 0,
  kNoiseAbsMax = 1,
  kNoiseMax = 2,
  kNoiseConstant = 3,
  kNoiseAbsMaxNPSum = 4,
  kNoiseAverageAbsMax = 5,
};
enum BoundManagement { kBoundNone = 0, kBoundIterative = 1, kBoundWorstCase = 2 };
enum WeightNoise { kWeightNoiseNone = 0, kWeightNoiseAdditive = 1, kWeightNoiseRead = 2 };
enum MVType { kOnePass = 0, kPosNegSeparate = 1, kPosNegDigitalSum = 2, kSplitMode = 3, kBitWise = 4 };

// The values of a vector on its way, in order: what a trace shows.
enum Stage {
  kStageScaled = 0,
  kStageInputRounded = 1,
  kStageInputClipped = 2,
  kStageInputNoise = 3,
  kStageInputAsymmetry = 4,
  kStageDriven = 5,  // what each pass drives; the last one of the inputs
  kStageProduct = 6,
  kStageIRDrop = 7,
  kStageSeries = 8,
  kStageWeightNoise = 9,
  kStageCharge = 10,
  kStageNonlinearity = 11,
  kStageOutputAsymmetry = 12,
  kStageOutputNoise = 13,
  kStageOutputRounded = 14,
  kStageOutputClipped = 15,
  kStages = kProductStages,
};

namespace RPUPY_ISA_NAME {

struct IOParams {
  RPUPY_FIELDS(float, is_perfect, inp_bound, inp_noise, inp_res, inp_sto_round, inp_asymmetry, out_bound, out_noise,
               out_res, out_sto_round, out_scale, out_asymmetry, bound_management, noise_management, nm_thres, w_noise,
               w_noise_type, max_bm_factor, max_bm_res, bm_test_negative_bound, mv_type, nm_decay, nm_assumed_wmax,
               ir_drop, ir_drop_g_ratio, r_series, v_offset_w_min, slices, half_slice, bit_shift, phases)
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

// 2^n of a small integer n.
RPUPY_HD float power_of_two(int n) { return float_of_bits(static_cast<uint32_t>(127 + n) << 23); }

// The sum of chains, added pairwise, in place.
RPUPY_HD float sum_of_chains(float* chains) {
  for (int width = kSumChains / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) chains[l] += chains[l + width];
  }
  return chains[0];
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
