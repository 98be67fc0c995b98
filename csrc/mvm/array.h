// Purpose: what the array itself does to a product: voltage loss along wires, series resistance and offsets, noise.
// Included by: mvm.h.
// Invariants: whatever needs a sum over inputs for each output is a matrix product of its own, whose input is a feed;
// the functions of outputs below take those products.
#pragma once

#include "io.h"
#include "ladder.h"

namespace rpupy {

// The products that one pass needs. The first two multiply the weights, the next two their magnitudes; the last come
// with the product of inputs, of an array whose conductances are noisy.
enum Feed {
  kFeedInput = 0,    // x
  kFeedSlope = 1,    // x_j (1 - (1 - j/n)^2): IR drop
  kFeedCurrent = 2,  // |x|: IR drop
  kFeedSquare = 3,   // (x / power)^2: read noise
  kFeedOffset = 4,   // what outputs get in each slice
  kFeedQuiet = 5,    // for traces: the product of inputs without noise
  kFeeds = 6,
};

namespace RPUPY_ISA_NAME {

// Numbers of the input of one pass, as far as something asks for them.
struct PassFacts {
  float norm;  // Euclidean
  float sum;
  float power;  // of two, by which entries are divided before they are squared
  ReadNoise noise;
};

RPUPY_HD bool has_weight_noise(const IOParams& io, WeightNoise type) {
  return static_cast<int>(io.w_noise_type) == type && io.w_noise > 0.0f;
}

// Whether a trace shows what comes before the noise of conductances.
RPUPY_HD bool shows_quiet_product(const ProductArgs& args) {
  return args.lines.ladder.segments > 0 && args.stages[kStageProduct] != nullptr;
}

RPUPY_HD bool needs_feed(const IOParams& io, const ProductArgs& args, int feed) {
  if (feed == kFeedInput) return true;
  if (feed == kFeedOffset) return args.lines.ladder.timed != 0;
  if (feed == kFeedQuiet) return shows_quiet_product(args);
  return feed == kFeedSquare ? has_weight_noise(io, kWeightNoiseRead) : io.ir_drop > 0.0f;
}

RPUPY_HD bool feeds_magnitudes(int feed) { return feed == kFeedCurrent || feed == kFeedSquare; }

// The input of a feed from that of its pass: entry `line` of n.
template <class F>
RPUPY_HD F feed_of(int feed, F x, F line, float n, float power) {
  if (feed == kFeedSlope) {
    const F rest = 1.0f - line / n;
    return x * (1.0f - rest * rest);
  }
  if (feed == kFeedCurrent) return magnitude(x);
  if (feed == kFeedSquare) return (x / power) * (x / power);
  return x;
}

// Voltage loss along the wires: `current` and `slope` are the products of those feeds.
template <class F>
RPUPY_HD F drop_along_wires(const IOParams& io, float n, F y, F current, F slope) {
  const F a = current * (n / io.ir_drop_g_ratio);
  const F c = a * fma(a, fma(a, all_lanes<F>(0.05f), all_lanes<F>(-0.2f)), all_lanes<F>(0.5f));
  const F dropped = fma(c * -io.ir_drop, slope, y);
  // Far beyond what the polynomial describes; but finite inputs have finite outputs.
  const F largest = all_lanes<F>(3.40282347e38f);
  return clamp(dropped, -largest, largest);
}

// Voltage offset v of the output and series resistance; `sum` is that of the inputs.
template <class F>
RPUPY_HD F drive_through_resistance(const IOParams& io, F y, F v, float sum) {
  const float r = io.r_series;
  const float w_min = io.v_offset_w_min;
  const F kept = 1.0f - v;
  if (w_min == 0.0f) return r > 0.0f ? kept * y / fma(all_lanes<F>(r), magnitude(y), all_lanes<F>(1.0f)) : kept * y;
  const float reference = -w_min * sum;
  if (!(r > 0.0f)) return kept * y - v * (2.0f * reference);
  const F whole = y + reference;
  const float loss = fma(r, magnitude(reference), 1.0f);
  return kept * whole / fma(all_lanes<F>(r), magnitude(whole), all_lanes<F>(1.0f)) - (v + 1.0f) * (reference / loss);
}

// Charge of an output in whole pulses of its converter.
template <class F>
RPUPY_HD F count_charge(F y, float unit) {
  const F size = magnitude(y) / unit;
  const F nearest = round_even(size);
  const F whole = select(less(size, nearest), nearest - 1.0f, nearest) * unit;
  return select(less(y, all_lanes<F>(0.0f)), -whole, whole);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
