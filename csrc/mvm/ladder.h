// Purpose: reads of an array whose conductances are noisy anew in each pass: the noise, and the ladder of a line.
// Included by: mvm.h.
// Invariants: weights are the unit of conductances, and a voltage of a row that is on is 1. What a device conducts and
// what it is driven with is added up within a segment in ascending order of inputs, whatever end the line is read at.
// Four neighbouring inputs of a line share a block of random words; the draw is that of weight noise.
#pragma once

#include "../elementary.h"
#include "io.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// The standard deviation of a weight w is slope |w| + floor.
struct ReadNoise {
  float slope, floor;

  RPUPY_HD bool any() const { return slope != 0.0f || floor != 0.0f; }
};

RPUPY_HD float quartic(float l, float c4, float c3, float c2, float c1, float c0) {
  return fma(fma(fma(fma(c4, l, c3), l, c2), l, c1), l, c0);
}

// Read noise of phase-change memory where inputs are on for `duration` time steps on average; none without inputs.
RPUPY_HD ReadNoise read_noise(const ReadLadder& ladder, float duration) {
  if (!(duration > 0.0f)) return {0.0f, 0.0f};
  const float l = logarithm(maximum(duration, kSmallestNormal)) * 0.4342944819f;
  const float slope = quartic(l, 2.1926e-4f, -1.87352e-3f, 6.55714e-3f, -0.0146159f, 0.02578764f);
  // In uS.
  const float floor = quartic(l, 1.11906167e-3f, -9.08576764e-3f, 3.07015063e-2f, -6.77079241e-2f, 0.117763144f);
  return {slope * ladder.noise, floor * ladder.noise * ladder.per_microsiemens};
}

// A weight of 0 is a pair of devices that conduct nothing.
template <class F>
RPUPY_HD F noisy_weight(const ReadNoise& noise, F w, F normal) {
  const F spread = fma(all_lanes<F>(noise.slope), magnitude(w), all_lanes<F>(noise.floor));
  return select(equal(w, all_lanes<F>(0.0f)), w, fma(spread, normal, w));
}

// Element of the block of random words for inputs 4 q to 4 q + 3 of a line.
template <class U>
RPUPY_HD U read_element(U line, int64_t inputs, int64_t q) {
  return line * static_cast<uint32_t>((inputs + 3) / 4) + static_cast<uint32_t>(q);
}

// What has been added up of one segment of a line.
template <class F>
struct SegmentSums {
  F conductance, source;

  RPUPY_HD void add(F w, F x) {
    conductance = conductance + magnitude(w);
    source = fma(w, x, source);
  }
};

// The inputs of a segment, in the order of inputs.
struct InputSpan {
  int64_t from, to;
};
RPUPY_HD InputSpan inputs_of_segment(const ReadLadder& ladder, int64_t segment, int64_t inputs) {
  const int64_t from = segment * ladder.per_segment - ladder.front, to = from + ladder.per_segment;
  return {from < 0 ? 0 : (from < inputs ? from : inputs), to < 0 ? 0 : (to < inputs ? to : inputs)};
}

// A line from its far end on, as a source and a resistance (Thevenin's theorem).
template <class F>
struct LineEnd {
  F voltage, resistance;

  // The segment at the far end is `first`.
  RPUPY_HD void add(const ReadLadder& ladder, bool first, const SegmentSums<F>& sums) {
    const F conductance = sums.conductance + ladder.leak;
    if (first) {
      resistance = 1.0f / conductance;
      voltage = sums.source * resistance;
      return;
    }
    const F behind = resistance + ladder.wire;
    resistance = behind / fma(behind, conductance, all_lanes<F>(1.0f));
    voltage = (voltage / behind + sums.source) * resistance;
  }
  // What inputs cause at the near end.
  RPUPY_HD F current(const ReadLadder& ladder) const { return voltage / (resistance + ladder.wire * 0.5f); }
  // What a slice causes there without inputs.
  RPUPY_HD F offset(const ReadLadder& ladder) const { return ladder.offset / (resistance + ladder.wire * 0.5f); }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
