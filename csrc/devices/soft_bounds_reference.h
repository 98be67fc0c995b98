// Purpose: the soft-bounds device with a reference: soft bounds of the weight plus a reference.
// Included by: device_list.h.
// Invariants: as reference.h; noise is never cut off.
// Source: Fusi & Abbott, Nat. Neurosci. 10:485 (2007), doi:10.1038/nn1859; Gokmen & Haensch, Front. Neurosci. 14:103
// (2020), doi:10.3389/fnins.2020.00103, for the symmetry point.
#pragma once

#include "reference.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct SoftBoundsReference {
  static constexpr const char* kName = "soft_bounds_reference";

  struct Params {
    RPUPY_FIELDS(float, mult_noise, slope_up_dtod, slope_down_dtod, reference_mean, reference_std,
                 subtract_symmetry_point)
  };

  template <class F>
  struct Own {
    RPUPY_FIELDS(F, reference)
  };

  template <class F>
  using Cell = ReferenceCell<F, Own<F>>;

  template <class F>
  RPUPY_HD static void populate(const PulsedParams&, const Params& p, const DeviceDraws<F>& draw, PulsedCell<F>& cell,
                                UpkeepCell<F>& upkeep, Own<F>& own) {
    Normals<F> spread = {};
    if (p.slope_up_dtod != 0.0f || p.slope_down_dtod != 0.0f || p.reference_std != 0.0f) {
      spread = draw.normals_from(kDrawOwn);
    }
    // The spread of a slope is that of the bound at which the step vanishes.
    const MaskOf<F> sound = surrounds_zero(cell);
    const F one = all_lanes<F>(1.0f);
    const F high = cell.max_bound / magnitude(fma(all_lanes<F>(p.slope_up_dtod), spread.z[0], one));
    const F low = cell.min_bound / magnitude(fma(all_lanes<F>(p.slope_down_dtod), spread.z[1], one));
    const F largest = all_lanes<F>(kLargest);
    cell.max_bound = select(sound, minimum(high, largest), cell.max_bound);
    cell.min_bound = select(sound, maximum(low, -largest), cell.min_bound);
    own.reference = fma(all_lanes<F>(p.reference_std), spread.z[2], all_lanes<F>(p.reference_mean));
    if (p.subtract_symmetry_point != 0.0f) {
      // Where the steps of both directions are equal.
      const F slopes = cell.dwmin_up / cell.max_bound - cell.dwmin_down / cell.min_bound;
      const MaskOf<F> exists = both(sound, negate(equal(slopes, all_lanes<F>(0.0f))));
      const F point = (cell.dwmin_up - cell.dwmin_down) / select(exists, slopes, one);
      subtract_point(select(exists, point, all_lanes<F>(0.0f)), own.reference, upkeep);
    }
  }

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params& p, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    const F zero = all_lanes<F>(0.0f);
    // A bound of 0, or beyond it, makes no slope.
    const MaskOf<F> flat_up = less(cell.max_bound, all_lanes<F>(kSmallestNormal));
    const MaskOf<F> flat_down = less(all_lanes<F>(-kSmallestNormal), cell.min_bound);
    const F one = all_lanes<F>(1.0f);
    const F inverse_up = select(flat_up, zero, one / select(flat_up, one, cell.max_bound));
    const F inverse_down = select(flat_down, zero, one / select(flat_down, one, cell.min_bound));
    const F scale = select(up, cell.dwmin_up, -cell.dwmin_down);
    const F v = w + cell.reference;
    const F step = scale * fma(-v, select(up, inverse_up, inverse_down), one);
    // Additive noise keeps the size that it has at v = 0.
    return fma(p.mult_noise != 0.0f ? step : scale, noise, step) + w;
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
