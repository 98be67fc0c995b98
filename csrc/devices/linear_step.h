// Purpose: the linear-step device: the step is a linear function of the weight, up to hard bounds.
// Included by: device_list.h and soft_bounds.h.
// Invariants: the caller clips to the bounds after each pulse; noise is never cut off.
// Source: phenomenological; Gokmen & Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct LinearStep {
  static constexpr const char* kName = "linear_step";

  struct Params {
    RPUPY_FIELDS(float, gamma_up, gamma_down, gamma_up_dtod, gamma_down_dtod, allow_increasing, mean_bound_reference,
                 mult_noise, reverse_up, reverse_down, reverse_offset)
  };

  template <class F>
  struct Own {
    RPUPY_FIELDS(F, slope_up, slope_down)
  };

  template <class F>
  struct Cell : PulsedCell<F>, Own<F> {};

  // The slope that lowers a step from `scale` at 0 to (1 - gamma) * scale at `reference`.
  template <class F>
  RPUPY_HD static F slope(F gamma, F scale, F reference) {
    const MaskOf<F> none = equal(reference, all_lanes<F>(0.0f));
    const F safe = select(none, all_lanes<F>(1.0f), reference);
    return select(none, all_lanes<F>(0.0f), -(gamma * scale / safe));
  }

  template <class F>
  RPUPY_HD static void populate(const PulsedParams& common, const Params& p, const DeviceDraws<F>& draw,
                                PulsedCell<F>& cell, UpkeepCell<F>&, Own<F>& own) {
    Normals<F> spread = {};
    if (p.gamma_up_dtod != 0.0f || p.gamma_down_dtod != 0.0f) spread = draw.normals_from(kDrawOwn);
    F up = fma(all_lanes<F>(p.gamma_up_dtod), spread.z[0], all_lanes<F>(p.gamma_up));
    F down = fma(all_lanes<F>(p.gamma_down_dtod), spread.z[1], all_lanes<F>(p.gamma_down));
    if (p.allow_increasing == 0.0f) {
      up = magnitude(up);
      down = magnitude(down);
    }
    const bool mean = p.mean_bound_reference != 0.0f;
    const F high = mean ? all_lanes<F>(common.w_max) : cell.max_bound;
    const F low = mean ? all_lanes<F>(common.w_min) : cell.min_bound;
    // A reversed step vanishes near the opposite bound and grows towards its own.
    own.slope_up = slope(up, cell.dwmin_up, p.reverse_up != 0.0f ? F(low - p.reverse_offset) : high);
    own.slope_down = slope(down, cell.dwmin_down, p.reverse_down != 0.0f ? F(high + p.reverse_offset) : low);
  }

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params& p, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    const F scale = select(up, cell.dwmin_up, -cell.dwmin_down);
    const F slope = select(up, cell.slope_up, -cell.slope_down);
    const F step = fma(slope, w, scale);
    // Additive noise keeps the size that it has at w = 0.
    return fma(p.mult_noise != 0.0f ? step : scale, noise, step) + w;
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
