// Purpose: what the pulses of a mini-batch do to a crosspoint when their noise is drawn once for all of them.
// Included by: the update kernels of each backend.
// Invariants: a portion of a mini-batch shares one draw, and which words it has depends on parameters alone. Crosspoints
// that a bound could touch, or whose step bends too much, are left to the pulses themselves.
#pragma once

#include "queue.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr int64_t kPortionWords = 128;
// Standard deviations between a path and a bound that it does not reach: less than once in 10^11.
constexpr float kSafeDistance = 7.0f;
// Half the largest change of a step within a word that the second order follows: to 0.3 % of its pulses.
constexpr float kMostBend = 0.0625f;

// Words that portions reckon with for each vector. Rates of single vectors are not looked at: where trains become longer
// with them, the longest is reckoned with.
RPUPY_HD int64_t portion_stride(const UpdateParams& p, const UpdateArgs& args) {
  return longest_train(p, args.rates == nullptr ? magnitude(args.lr) : 3.0e38f, args.granularity);
}

// Whole vectors of a portion; a longer vector is a multiple of portions.
RPUPY_HD int64_t portion_vectors(int64_t per_vector) {
  return per_vector < kPortionWords ? kPortionWords / per_vector : 1;
}

// The end of the portion that starts at word `from` of a mini-batch, where each vector has room for `per_vector` words: as
// many whole vectors as fit, or part of one. Portions are counted from the first vector of the mini-batch.
RPUPY_HD int64_t portion_end(int64_t from, int64_t per_vector) {
  if (per_vector <= kPortionWords) {
    const int64_t words = portion_vectors(per_vector) * per_vector;
    return (from / words + 1) * words;
  }
  const int64_t vector_end = (from / per_vector + 1) * per_vector;
  return from + kPortionWords < vector_end ? from + kPortionWords : vector_end;
}

// The weight behind a portion, before its noise.
template <class F>
struct Outcome {
  F mean;
  F variance;   // over dw_min_std squared
  F high, low;  // of the path of the mean
  F spread;     // the largest variance on that path
  F bend;

  // Where the path may touch a bound, or is not that of the pulses.
  template <class Cell>
  RPUPY_HD MaskOf<F> unsafe(const Cell& cell, float dw_min_std) const {
    const F distance = square_root(spread) * (kSafeDistance * magnitude(dw_min_std));
    const MaskOf<F> bounds = either(less(cell.highest(), high + distance), less(low - distance, cell.lowest()));
    return either(bounds, less(all_lanes<F>(kMostBend), bend));
  }

  // `noise` is dw_min_std times a standard normal.
  RPUPY_HD F weight(F noise) const { return fma(noise, square_root(variance), mean); }
};

// The pulses of a portion on a crosspoint, in the form that the steps of its device allow.
template <class Device, class F, Aggregation kForm = aggregation_of<Device>(0)>
struct Aggregate;

// Steps of one size for each direction: their sum is normal, whatever the order.
template <class Device, class F>
struct Aggregate<Device, F, kConstantSteps> {
  using U = UIntOf<F>;
  using Cell = typename Device::template Cell<F>;
  static constexpr bool kReadsCell = false;  // before `outcome`

  U all, up;

  RPUPY_HD void start(F) { all = up = all_lanes_of<U>(0u); }

  RPUPY_HD void take(const typename Device::Params&, const Cell&, U pulses, U sign) {
    all = all + pulses;
    up = up + (pulses & shift_right_signed(sign, 31));
  }

  RPUPY_HD Outcome<F> outcome(const Cell& cell, F w) const {
    const F zero = all_lanes<F>(0.0f);
    const F ups = signed_to_float(up), downs = signed_to_float(all - up);
    const F rise = ups * cell.dwmin_up, fall = downs * cell.dwmin_down;
    Outcome<F> o;
    o.mean = (w + rise) - fall;
    o.variance = fma(rise, cell.dwmin_up, fall * cell.dwmin_down);
    o.spread = o.variance;
    o.high = w + (maximum(rise, zero) - minimum(fall, zero));
    o.low = w - (maximum(fall, zero) - minimum(rise, zero));
    o.bend = zero;
    return o;
  }
};

// Steps that depend on the weight: mean and variance follow each word, with the step and its slope at the mean.
//   n pulses of slope g are N = n + g n (n - 1) / 2 steps. They multiply the variance by (1 + g N)^2 and add that of
//   their own noise, which later pulses of the word change too (2 N - n), and which changes with the weight.
template <class Device, class F>
struct Aggregate<Device, F, kTangents> {
  using U = UIntOf<F>;
  using Cell = typename Device::template Cell<F>;
  static constexpr bool kReadsCell = true;

  U all, up;
  F mean, variance, high, low, spread, bend;

  RPUPY_HD void start(F w) {
    all = up = all_lanes_of<U>(0u);
    // Adding 0 makes one zero of both, so that a word without pulses changes no bit.
    mean = high = low = w + 0.0f;
    variance = spread = bend = all_lanes<F>(0.0f);
  }

  RPUPY_HD void take(const typename Device::Params& params, const Cell& cell, U pulses, U sign) {
    const U upwards = shift_right_signed(sign, 31);
    all = all + pulses;
    up = up + (pulses & upwards);
    const Tangent<F> t = Device::template tangent<F>(params, cell, mean, not_zero(upwards));
    const F n = signed_to_float(pulses);
    const F half = (t.slope * 0.5f) * n;
    const F before = n - 1.0f;
    const F steps = fma(half, before, n);
    const F decay = fma(t.slope, steps, all_lanes<F>(1.0f));
    mean = fma(t.step, steps, mean);
    const F own = fma(t.noise_slope * t.step, n * before, t.noise * fma(all_lanes<F>(2.0f), steps, -n));
    variance = fma(t.noise, own, variance * (decay * decay));
    high = maximum(high, mean);
    low = minimum(low, mean);
    spread = maximum(spread, variance);
    bend = maximum(bend, magnitude(half));
  }

  RPUPY_HD Outcome<F> outcome(const Cell&, F) const { return {mean, variance, high, low, spread, bend}; }
};

// dw_min_std times the normal of a portion that starts at a pulse ordinal.
template <class F>
RPUPY_HD F aggregated_noise(UIntOf<F> crosspoint, UIntOf<F> ordinal, float dw_min_std, uint32_t plane,
                            const RoundKeys& keys) {
  using U = UIntOf<F>;
  if (dw_min_std == 0.0f) return all_lanes<F>(0.0f);
  const U tag = all_lanes_of<U>(counter_tag(kStreamAggregate, plane, 0));
  return one_normal<F>(philox(crosspoint, ordinal, all_lanes_of<U>(0u), tag, keys)) * dw_min_std;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
