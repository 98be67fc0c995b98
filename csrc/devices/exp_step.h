// Purpose: the exponential-step device: the step falls exponentially to zero on the way to a bound.
// Included by: device_list.h.
// Invariants: the caller clips to the bounds after each pulse; noise is never cut off. A step that would turn round is 0.
// Source: Gong et al., Nat. Commun. 9:2102 (2018), doi:10.1038/s41467-018-04485-1, a fit of measured ReRAM.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct ExpStep {
  static constexpr const char* kName = "exp_step";

  struct Params {
    RPUPY_FIELDS(float, A_up, A_down, gamma_up, gamma_down, a, b, dw_min_std_add, dw_min_std_slope)
  };

  template <class F>
  struct Own : NoFields {};

  template <class F>
  struct Cell : PulsedCell<F>, Own<F> {};

  template <class F>
  RPUPY_HD static void populate(const PulsedParams&, const Params&, const DeviceDraws<F>&, PulsedCell<F>&,
                                UpkeepCell<F>&, Own<F>&) {}

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params& p, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    const Range<F> range(cell);
    const F z = fma(range.inverse * (2.0f * p.a), w, all_lanes<F>(p.b));
    const F factor = select(up, all_lanes<F>(-p.A_up), all_lanes<F>(-p.A_down));
    const F gamma = select(up, all_lanes<F>(p.gamma_up), all_lanes<F>(-p.gamma_down));
    const F part = maximum(fma(factor, exponential(gamma * z), all_lanes<F>(1.0f)), all_lanes<F>(0.0f));
    const F step = part * select(up, cell.dwmin_up, -cell.dwmin_down);
    F spread = step;
    if (p.dw_min_std_add != 0.0f || p.dw_min_std_slope != 0.0f) {
      spread = magnitude(step) + fma(all_lanes<F>(p.dw_min_std_slope), magnitude(w), all_lanes<F>(p.dw_min_std_add));
    }
    return select(range.empty, w, fma(spread, noise, step) + w);
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
