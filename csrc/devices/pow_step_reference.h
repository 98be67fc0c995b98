// Purpose: the power-step device with a reference: power steps of the weight plus a reference.
// Included by: device_list.h.
// Invariants: as reference.h; noise is never cut off. A state outside of the bounds, which only operations other than
// pulses make, is first brought back to them.
// Source: as pow_step.h and soft_bounds_reference.h.
#pragma once

#include "pow_step.h"
#include "reference.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct PowStepReference {
  static constexpr const char* kName = "pow_step_reference";

  struct Params {
    RPUPY_FIELDS(float, pow_gamma, pow_gamma_dtod, pow_up_down, pow_up_down_dtod, reference_mean, reference_std,
                 subtract_symmetry_point, n_estimation_steps)
  };

  template <class F>
  struct Own {
    RPUPY_FIELDS(F, gamma_up, gamma_down, reference)
  };

  template <class F>
  using Cell = ReferenceCell<F, Own<F>>;

  template <class F>
  RPUPY_HD static void populate(const PulsedParams& common, const Params& p, const DeviceDraws<F>& draw,
                                PulsedCell<F>& cell, UpkeepCell<F>& upkeep, Own<F>& own) {
    Normals<F> spread = {};
    if (p.pow_gamma_dtod != 0.0f || p.pow_up_down_dtod != 0.0f || p.reference_std != 0.0f) {
      spread = draw.normals_from(kDrawOwn);
    }
    const PowStep::Params exponents = {p.pow_gamma, p.pow_gamma_dtod, p.pow_up_down, p.pow_up_down_dtod};
    PowStep::draw_exponents(common, exponents, spread, own.gamma_up, own.gamma_down);
    own.reference = fma(all_lanes<F>(p.reference_std), spread.z[2], all_lanes<F>(p.reference_mean));
    if (p.subtract_symmetry_point != 0.0f) {
      const F point = p.n_estimation_steps > 0.0f ? walk(p.n_estimation_steps, cell, own) : root(cell, own);
      subtract_point(select(surrounds_zero(cell), point, all_lanes<F>(0.0f)), own.reference, upkeep);
    }
  }

  // What a pulse up and a pulse down move together, both from the state v.
  template <class F>
  RPUPY_HD static F pair(const PulsedCell<F>& cell, const Own<F>& own, F v) {
    const MaskOf<F> up = equal(v, v);
    const PowStep::Step<F> rise = PowStep::step<F>(cell, own.gamma_up, own.gamma_down, v, up);
    const PowStep::Step<F> fall = PowStep::step<F>(cell, own.gamma_up, own.gamma_down, v, negate(up));
    return rise.part * rise.largest + fall.part * fall.largest;
  }

  // Where so many pairs of pulses lead from 0.
  template <class F>
  RPUPY_HD static F walk(float pairs, const PulsedCell<F>& cell, const Own<F>& own) {
    F v = all_lanes<F>(0.0f);
    for (float n = 0.0f; n < pairs; n += 1.0f) {
      v = clamp(F(v + pair(cell, own, v)), cell.min_bound, cell.max_bound);
    }
    return v;
  }

  // Where pairs of pulses would lead in the end: the state in which both steps are equal, by bisection. A device for
  // which they are equal nowhere has its symmetry point at 0.
  template <class F>
  RPUPY_HD static F root(const PulsedCell<F>& cell, const Own<F>& own) {
    constexpr int kHalvings = 32;
    const F zero = all_lanes<F>(0.0f);
    F low = cell.min_bound;
    F high = cell.max_bound;
    const MaskOf<F> exists = both(less(zero, pair(cell, own, low)), less(pair(cell, own, high), zero));
    F middle = zero;
    for (int n = 0; n < kHalvings; ++n) {
      middle = (low + high) * 0.5f;
      const MaskOf<F> below = less(zero, pair(cell, own, middle));
      low = select(below, middle, low);
      high = select(below, high, middle);
    }
    return select(exists, middle, zero);
  }

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params&, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    w = clamp(w, cell.lowest(), cell.highest());
    const F v = w + cell.reference;
    return PowStep::move<F>(PowStep::step<F>(cell, cell.gamma_up, cell.gamma_down, v, up), w, noise);
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
