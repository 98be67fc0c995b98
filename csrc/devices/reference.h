// Purpose: what devices with a reference have in common: their state is the weight plus the reference.
// Included by: soft_bounds_reference.h, pow_step_reference.h.
// Invariants: pulses keep the state within the bounds; all other operations keep the weight within them, and a symmetry
// point that is subtracted moves the reset value with it. Both are choices of the reference library that results depend
// on (docs/semantics.md), and they stand here alone.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// `Own` has a field `reference`.
template <class F, class Own>
struct ReferenceCell : PulsedCell<F>, Own {
  RPUPY_HD F lowest() const { return this->min_bound - this->reference; }
  RPUPY_HD F highest() const { return this->max_bound - this->reference; }
};

// Devices whose bounds lie on both sides of 0, which alone have a symmetry point.
template <class F>
RPUPY_HD MaskOf<F> surrounds_zero(const PulsedCell<F>& cell) {
  const F zero = all_lanes<F>(0.0f);
  return both(less(zero, cell.max_bound), less(cell.min_bound, zero));
}

template <class F>
RPUPY_HD void subtract_point(F symmetry_point, F& reference, UpkeepCell<F>& upkeep) {
  reference = reference + symmetry_point;
  upkeep.reset_bias = upkeep.reset_bias + symmetry_point;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
