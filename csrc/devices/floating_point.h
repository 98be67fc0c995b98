// Purpose: the floating-point device: an exact weight with decay, diffusion and drift.
// Included by: device_list.h.
// Invariants: no bounds, no pulses, no spread: its planes are one number each.
#pragma once

#include "../fields.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct FloatingPoint {
  static constexpr const char* kName = "floating_point";

  struct Params {
    RPUPY_FIELDS(float, diffusion, lifetime)
  };

  // The factor of one decay call; 1 where the call does nothing, which is so outside 0 < factor < 1.
  RPUPY_HD static float decay_factor(const Params& p, float alpha) {
    if (!(p.lifetime > 1.0f)) return 1.0f;
    const float factor = 1.0f - alpha / p.lifetime;
    return factor > 0.0f && factor < 1.0f ? factor : 1.0f;
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
