// Purpose: the ideal device: an exact weight behind an analog periphery, with decay, diffusion and reset.
// Included by: device_list.h.
// Invariants: as floating_point.h, whose decay it shares; a reset leaves reset_std times a normal.
#pragma once

#include "floating_point.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct Ideal {
  static constexpr const char* kName = "ideal";

  struct Params {
    RPUPY_FIELDS(float, diffusion, lifetime, reset_std)
  };

  RPUPY_HD static float decay_factor(const Params& p, float alpha) {
    return FloatingPoint::decay_factor({p.diffusion, p.lifetime}, alpha);
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
