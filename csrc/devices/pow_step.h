// Purpose: the power-step device: the step is a power of the distance to the bound.
// Included by: device_list.h and pow_step_reference.h.
// Invariants: the caller clips to the bounds after each pulse; noise is never cut off.
// Source: Fusi & Abbott, Nat. Neurosci. 10:485 (2007), doi:10.1038/nn1859, for soft bounds of any power.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct PowStep {
  static constexpr const char* kName = "pow_step";

  struct Params {
    RPUPY_FIELDS(float, pow_gamma, pow_gamma_dtod, pow_up_down, pow_up_down_dtod)
  };

  template <class F>
  struct Own {
    RPUPY_FIELDS(F, gamma_up, gamma_down)
  };

  template <class F>
  struct Cell : PulsedCell<F>, Own<F> {};

  // The exponents spread as the steps do: one gain, and an asymmetry of which the mean weakens one side only.
  template <class F>
  RPUPY_HD static void draw_exponents(const PulsedParams& common, const Params& p, const Normals<F>& spread, F& up,
                                      F& down) {
    const F gain = fma(all_lanes<F>(p.pow_gamma_dtod), spread.z[0], all_lanes<F>(1.0f));
    const F asymmetry = p.pow_up_down_dtod * spread.z[1];
    up = (gain + minimum(p.pow_up_down, 0.0f) + asymmetry) * p.pow_gamma;
    down = (gain - maximum(p.pow_up_down, 0.0f) - asymmetry) * p.pow_gamma;
    if (common.enforce_consistency != 0.0f) {
      up = magnitude(up);
      down = magnitude(down);
    }
  }

  template <class F>
  RPUPY_HD static void populate(const PulsedParams& common, const Params& p, const DeviceDraws<F>& draw, PulsedCell<F>&,
                                UpkeepCell<F>&, Own<F>& own) {
    Normals<F> spread = {};
    if (p.pow_gamma_dtod != 0.0f || p.pow_up_down_dtod != 0.0f) spread = draw.normals_from(kDrawOwn);
    draw_exponents(common, p, spread, own.gamma_up, own.gamma_down);
  }

  // A pulse of one direction from the state v moves by `largest`, at the bound behind, times `part` of it elsewhere.
  template <class F>
  struct Step {
    F part, largest;
  };

  // What depends on the direction alone is selected first: it is ready when v is.
  template <class F>
  RPUPY_HD static Step<F> step(const PulsedCell<F>& cell, F gamma_up, F gamma_down, F v, MaskOf<F> up) {
    const Range<F> range(cell);
    const F zero = all_lanes<F>(0.0f);
    const F largest =
        select(up, select(range.empty, zero, cell.dwmin_up), select(range.empty, zero, F(-cell.dwmin_down)));
    const F distance = select(up, cell.max_bound, cell.min_bound) - v;
    const F inverse = select(up, range.inverse, F(-range.inverse));
    return {power_of(F(distance * inverse), select(up, gamma_up, gamma_down)), largest};
  }

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F move(const Step<F>& step, F w, F noise) {
    return fma(step.part, fma(step.largest, noise, step.largest), w);
  }

  template <class F>
  RPUPY_HD static F pulse(const Params&, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    return move<F>(step<F>(cell, cell.gamma_up, cell.gamma_down, w, up), w, noise);
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
