// Purpose: what all pulsed devices draw at construction (bounds, step sizes, decay, reset, drift).
// Included by: the headers of the pulsed devices.
// Invariants: the number of a draw is part of the counter layout: numbers are only ever appended.
#pragma once

#include "../fields.h"
#include "../rng.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Numbers of the device-to-device draws. Number p is value p & 3 of the block with draw p >> 2.
enum DeviceDraw : uint32_t {
  kDrawMaxBound = 0,
  kDrawMinBound = 1,
  kDrawGain = 2,
  kDrawUpDown = 3,
  kDrawDiffusion = 4,
  kDrawReset = 5,
  kDrawLifetime = 6,
  kDrawDriftNu = 7,
  kDrawCorruptChoice = 8,
  kDrawCorruptValue = 9,
  kDrawOwn = 12,  // the first number for the device itself
};

// The draws of the crosspoints in one set of lanes.
template <class F>
struct DeviceDraws {
  UIntOf<F> crosspoint;
  uint32_t plane;
  const RoundKeys& keys;

  RPUPY_HD Block<UIntOf<F>> block(uint32_t number) const {
    return draw_block<F>(crosspoint, 0, counter_tag(kStreamDevice, plane, number >> 2), keys);
  }
  // The four normals of the block that starts at `number`.
  RPUPY_HD Normals<F> normals_from(uint32_t number) const { return normals<F>(block(number)); }
};

// The width of a crosspoint's range, for devices whose steps depend on the position in it.
template <class F>
struct Range {
  MaskOf<F> empty;  // the only weight is the bound
  F inverse;        // of the width; 1 where there is none

  RPUPY_HD explicit Range(const PulsedCell<F>& cell) {
    const F width = cell.max_bound - cell.min_bound;
    empty = less(width, all_lanes<F>(kSmallestNormal));
    inverse = 1.0f / select(empty, all_lanes<F>(1.0f), width);
  }
};

// `last_column` marks the crosspoints that perfect_bias keeps ideal.
template <class F>
RPUPY_HD void populate_pulsed(const PulsedParams& p, const DeviceDraws<F>& draw, MaskOf<F> last_column,
                              PulsedCell<F>& cell, UpkeepCell<F>& upkeep) {
  const Normals<F> spread = draw.normals_from(kDrawMaxBound);
  F high = p.w_max * fma(all_lanes<F>(p.w_max_dtod), spread.z[0], all_lanes<F>(1.0f));
  F low = p.w_min * fma(all_lanes<F>(p.w_min_dtod), spread.z[1], all_lanes<F>(1.0f));
  const F gain = p.dw_min_dtod_log_normal != 0.0f ? exponential(p.dw_min_dtod * spread.z[2])
                                                  : fma(all_lanes<F>(p.dw_min_dtod), spread.z[2], all_lanes<F>(1.0f));
  // One-sided on purpose: a positive up_down weakens the down step only, a negative one the up step only.
  const float up_bias = p.up_down < 0.0f ? p.up_down : 0.0f;
  const float down_bias = p.up_down > 0.0f ? -p.up_down : 0.0f;
  const F asymmetry = p.up_down_dtod * spread.z[3];
  F up = (gain + up_bias + asymmetry) * p.dw_min;
  F down = (gain + down_bias - asymmetry) * p.dw_min;

  const MaskOf<F> crossed = less(high, low);
  if (p.enforce_consistency != 0.0f) {
    up = magnitude(up);
    down = magnitude(down);
    const F swapped = select(crossed, low, high);
    low = -magnitude(select(crossed, high, low));
    high = magnitude(swapped);
  } else {
    const F middle = (high + low) * 0.5f;
    high = select(crossed, middle, high);
    low = select(crossed, middle, low);
  }

  if (p.corrupt_devices_prob > 0.0f) {
    const Block<UIntOf<F>> words = draw.block(kDrawCorruptChoice);
    const uint64_t bar = threshold(p.corrupt_devices_prob);
    const MaskOf<F> certain = less(all_lanes_of<UIntOf<F>>(0u), all_lanes_of<UIntOf<F>>(bar >> 32 ? 1u : 0u));
    const MaskOf<F> corrupt = either(certain, less(words.w[0], all_lanes_of<UIntOf<F>>(static_cast<uint32_t>(bar))));
    const float range = magnitude(p.corrupt_devices_range);
    const F from = maximum(minimum(low, high), all_lanes<F>(-range));
    const F to = minimum(maximum(low, high), all_lanes<F>(range));
    const F stuck = fma(to - from, uniform<F>(words.w[1]), from);
    high = select(corrupt, stuck, high);
    low = select(corrupt, stuck, low);
    up = select(corrupt, all_lanes<F>(0.0f), up);
    down = select(corrupt, all_lanes<F>(0.0f), down);
  }

  if (p.perfect_bias != 0.0f) {
    high = select(last_column, all_lanes<F>(100.0f * p.w_max), high);
    low = select(last_column, all_lanes<F>(100.0f * p.w_min), low);
    up = select(last_column, all_lanes<F>(p.dw_min), up);
    down = select(last_column, all_lanes<F>(p.dw_min), down);
  }
  cell.max_bound = high;
  cell.min_bound = low;
  cell.dwmin_up = up;
  cell.dwmin_down = down;

  // Most devices have none of these spreads; the kernel then stores one number and skips the block.
  Normals<F> more = {};
  if (p.diffusion_dtod != 0.0f || p.reset_dtod != 0.0f || p.lifetime_dtod != 0.0f || p.drift_nu_dtod != 0.0f) {
    more = draw.normals_from(kDrawDiffusion);
  }
  const F one = all_lanes<F>(1.0f);
  upkeep.diffusion_rates = magnitude(p.diffusion * fma(all_lanes<F>(p.diffusion_dtod), more.z[0], one));
  upkeep.reset_bias = fma(all_lanes<F>(p.reset_dtod), more.z[1], all_lanes<F>(p.reset));
  const F lifetime = p.lifetime * fma(all_lanes<F>(p.lifetime_dtod), more.z[2], one);
  // A lifetime of at most one call means full decay; no lifetime at all means none.
  upkeep.decay_scales =
      p.lifetime == 0.0f ? one : select(less(one, lifetime), one - one / lifetime, all_lanes<F>(0.0f));
  upkeep.drift_nu =
      p.drift_nu > 0.0f ? F(p.drift_nu * fma(all_lanes<F>(p.drift_nu_dtod), more.z[3], one)) : all_lanes<F>(0.0f);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
