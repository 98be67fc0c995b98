// Purpose: structs of floats that know the names of their fields, and the parameters that every device shares.
// Included by: the device headers and kernel_table.h.
// Invariants: a struct made by RPUPY_FIELDS is an array of its type in the order of its names; Python binds to it by
// name, never by position.
#pragma once

#include "number.h"

// Declares the fields and names() -> "first, second, ...". A field may be a vector, written with a literal number of
// values, as in RPUPY_FIELDS(float, nodes_size, nodes[128], slope): Python then packs a list of at most so many values,
// with zeros behind them, and their count into the field `nodes_size`, if there is one.
#define RPUPY_FIELDS(Type, ...) \
  Type __VA_ARGS__;             \
  static constexpr const char* names() { return #__VA_ARGS__; }

namespace rpupy {
namespace RPUPY_ISA_NAME {

// How many numbers the fields of these names are.
constexpr int count_names(const char* names) {
  if (*names == '\0') return 0;
  int n = 1;
  for (; *names != '\0'; ++names) {
    n += *names == ',';
    if (*names == '[') {
      int values = 0;
      for (++names; *names != ']'; ++names) values = 10 * values + (*names - '0');
      n += values - 1;
    }
  }
  return n;
}

// What a device without parameters or planes of its own uses in their place.
struct NoFields {
  static constexpr const char* names() { return ""; }
};

// Number of values, checked against the size of the struct.
template <class Fields, class Type>
constexpr int field_count() {
  constexpr int n = count_names(Fields::names());
  static_assert(n == 0 || sizeof(Fields) == n * sizeof(Type), "a struct of RPUPY_FIELDS holds nothing else");
  return n;
}

// One value for every crosspoint (stride 1), or one for all of them (stride 0).
struct Plane {
  const float* data;
  int64_t stride;
};

// Drift of a conductance with time, as a power law (Le Gallo et al. 2018, doi:10.1002/aelm.201700627).
struct DriftParams {
  RPUPY_FIELDS(float, drift_nu, drift_nu_dtod, drift_nu_std, drift_t_0, drift_reset_tol, drift_wg_ratio, drift_g_offset,
               drift_w_offset, drift_nu_k, drift_log_g0, drift_w_noise_std)
};

// The parameters that every pulsed device has.
struct PulsedParams {
  RPUPY_FIELDS(float, dw_min, dw_min_dtod, dw_min_dtod_log_normal, dw_min_std, up_down, up_down_dtod, w_min, w_max,
               w_min_dtod, w_max_dtod, enforce_consistency, perfect_bias, corrupt_devices_prob, corrupt_devices_range,
               diffusion, diffusion_dtod, lifetime, lifetime_dtod, reset, reset_dtod, reset_std, drift_nu,
               drift_nu_dtod)
};

// The planes that a pulse reads: one value for each crosspoint, always. Devices derive theirs from it.
template <class F>
struct PulsedCell {
  RPUPY_FIELDS(F, max_bound, min_bound, dwmin_up, dwmin_down)

  // The range that a weight has after a pulse. The cell of a device for which it differs from the bounds hides these.
  RPUPY_HD F lowest() const { return min_bound; }
  RPUPY_HD F highest() const { return max_bound; }
};

// The planes that only maintenance calls read. Without spread they are one number each.
template <class F>
struct UpkeepCell {
  RPUPY_FIELDS(F, decay_scales, diffusion_rates, reset_bias, drift_nu)
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
