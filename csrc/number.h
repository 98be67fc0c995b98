// Purpose: the operations that are the same for every F, on top of those of one lane and of a vector.
// Included by: every header with physics in it, and through them the launchers in cuda/.
// Invariants: as host_device.h. The operations of vectors have to be known before the first template that uses them,
// since argument-dependent lookup does not search for operations on compiler vector types.
#pragma once

#include "host_device.h"
#if defined(RPUPY_CPU_UNIT)
#include "lanes.h"
#endif

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr float kSmallestNormal = 1.17549435e-38f;
constexpr float kLargest = 3.40282347e38f;

template <class F>
RPUPY_HD F all_lanes(float a) {
  return a - F{};  // unlike a sum with 0, this keeps the sign of a zero
}
template <>
RPUPY_HD float all_lanes<float>(float a) {
  return a;
}
template <class U>
RPUPY_HD U all_lanes_of(uint32_t a) {
  return U{} + a;
}
template <>
RPUPY_HD uint32_t all_lanes_of<uint32_t>(uint32_t a) {
  return a;
}

template <class F>
RPUPY_HD F magnitude(F a) {
  return float_of_bits(bits_of(a) & 0x7fffffffu);
}

// Not zero, in the sign bit, where a is NaN or infinite.
template <class F>
RPUPY_HD UIntOf<F> not_finite(F a) {
  return ((bits_of(a) & 0x7fffffffu) + 0x00800000u) & 0x80000000u;
}

// lo wins over hi where the interval is empty, as "w = min(w, hi), then w = max(w, lo)" says.
template <class F>
RPUPY_HD F clamp(F a, F lo, F hi) {
  return maximum(minimum(a, hi), lo);
}

// The nearest float of a uint32: both halves are exact, so only the fma rounds.
template <class F>
RPUPY_HD F to_float(UIntOf<F> u) {
  return fma(signed_to_float(u >> 16), all_lanes<F>(65536.0f), signed_to_float(u & 0xffffu));
}
#if defined(RPUPY_CPU_UNIT) && defined(__AVX512F__)
template <>
RPUPY_HD f32v to_float<f32v>(u32v u) {
  return (f32v)_mm512_cvtepu32_ps((__m512i)u);
}
#endif

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
