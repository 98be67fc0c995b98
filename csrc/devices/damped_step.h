// Purpose: the damped-step device: the step falls exponentially with the distance from the bound behind.
// Included by: device_list.h.
// Invariants: the caller clips to the bounds after each pulse; noise is never cut off.
// Source: Querlioz et al., IEEE Trans. Nanotechnol. 12:288 (2013), doi:10.1109/TNANO.2013.2250995.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct DampedStep {
  static constexpr const char* kName = "damped_step";

  // One number each for the whole tile. The names are those of the fields in Python.
  struct Params {
    RPUPY_FIELDS(float, beta_up, beta_down, beta_up_dtod, beta_down_dtod)
  };

  // One number for each crosspoint, drawn once. The names are those of the hidden parameters.
  template <class F>
  struct Own {
    RPUPY_FIELDS(F, damping_up, damping_down)
  };

  // All that a pulse reads: the planes of every pulsed device, and the own ones.
  template <class F>
  struct Cell : PulsedCell<F>, Own<F> {};

  template <class F>
  RPUPY_HD static void populate(const PulsedParams&, const Params& p, const DeviceDraws<F>& draw, PulsedCell<F>&,
                                UpkeepCell<F>&, Own<F>& own) {
    Normals<F> spread = {};
    if (p.beta_up_dtod != 0.0f || p.beta_down_dtod != 0.0f) spread = draw.normals_from(kDrawOwn);
    const F one = all_lanes<F>(1.0f);
    own.damping_up = p.beta_up * fma(all_lanes<F>(p.beta_up_dtod), spread.z[0], one);
    own.damping_down = p.beta_down * fma(all_lanes<F>(p.beta_down_dtod), spread.z[1], one);
  }

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params&, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    const Range<F> range(cell);
    const F distance = select(up, w - cell.min_bound, cell.max_bound - w);
    const F damping = select(up, cell.damping_up, cell.damping_down);
    const F scale = select(up, cell.dwmin_up, -cell.dwmin_down);
    const F step = scale * exponential(-(damping * (distance * range.inverse)));
    return fma(step, noise, step) + w;
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
