// Purpose: the constant-step device: every pulse moves the weight by the same step, up to hard bounds.
// Included by: device_list.h.
// Invariants: the caller clips to the bounds after each pulse; noise is never cut off.
// Source: Gokmen & Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct ConstantStep {
  static constexpr const char* kName = "constant_step";

  using Params = NoFields;

  template <class F>
  struct Own : NoFields {};

  template <class F>
  struct Cell : PulsedCell<F>, Own<F> {};

  template <class F>
  RPUPY_HD static void populate(const PulsedParams&, const Params&, const DeviceDraws<F>&, PulsedCell<F>&,
                                UpkeepCell<F>&, Own<F>&) {}

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params&, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    const F step = select(up, cell.dwmin_up, -cell.dwmin_down);
    return fma(step, noise, step) + w;
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
