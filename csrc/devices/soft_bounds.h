// Purpose: the soft-bounds device: the step falls linearly to zero at the crosspoint's own bound.
// Included by: device_list.h.
// Invariants: as linear_step.h, whose law it follows with slopes that refer to the crosspoint's own bounds.
// Source: Fusi & Abbott, Nat. Neurosci. 10:485 (2007), doi:10.1038/nn1859.
#pragma once

#include "linear_step.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct SoftBounds {
  static constexpr const char* kName = "soft_bounds";

  struct Params {
    RPUPY_FIELDS(float, mult_noise, reverse_up, reverse_down, reverse_offset)
  };

  template <class F>
  using Own = LinearStep::Own<F>;
  template <class F>
  using Cell = LinearStep::Cell<F>;

  RPUPY_HD static LinearStep::Params as_linear(const Params& p) {
    LinearStep::Params linear = {};
    linear.gamma_up = 1.0f;
    linear.gamma_down = 1.0f;
    linear.mult_noise = p.mult_noise;
    linear.reverse_up = p.reverse_up;
    linear.reverse_down = p.reverse_down;
    linear.reverse_offset = p.reverse_offset;
    return linear;
  }

  template <class F>
  RPUPY_HD static void populate(const PulsedParams& common, const Params& p, const DeviceDraws<F>& draw,
                                PulsedCell<F>& cell, UpkeepCell<F>& upkeep, Own<F>& own) {
    LinearStep::populate<F>(common, as_linear(p), draw, cell, upkeep, own);
  }

  template <class F>
  RPUPY_HD static F pulse(const Params& p, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    return LinearStep::pulse<F>(as_linear(p), cell, w, up, noise);
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
