// Purpose: logarithm, exponential and power from +, *, fma and integer operations, so that every backend gives the same bits.
// Included by: rng.h and the device headers.
// Invariants: errors as stated at each function, tested in tests/test_csrc/test_elementary.py. The coefficients are
// minimax fits (Remez) of the functions named beside them.
#pragma once

#include "number.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// ln(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1], as f + f^2 Q(f).
template <class F>
RPUPY_HD F log_one_plus(F f) {
  F q = all_lanes<F>(-0.07644994556903839f);
  q = fma(q, f, all_lanes<F>(0.12921948730945587f));
  q = fma(q, f, all_lanes<F>(-0.1324271857738495f));
  q = fma(q, f, all_lanes<F>(0.14179255068302155f));
  q = fma(q, f, all_lanes<F>(-0.16608795523643494f));
  q = fma(q, f, all_lanes<F>(0.20002087950706482f));
  q = fma(q, f, all_lanes<F>(-0.2500159740447998f));
  q = fma(q, f, all_lanes<F>(0.33333325386047363f));
  q = fma(q, f, all_lanes<F>(-0.49999988079071045f));
  return fma(f * f, q, f);
}

// a = 2^exponent * (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); a is positive and normal.
template <class F>
RPUPY_HD void split_exponent(F a, F& exponent, F& f) {
  constexpr uint32_t kSqrtHalf = 0x3f3504f3u;
  const UIntOf<F> shifted = bits_of(a) - kSqrtHalf;
  exponent = signed_to_float(shift_right_signed(shifted, 23));
  f = float_of_bits((shifted & 0x007fffffu) + kSqrtHalf) - 1.0f;
}

// Natural logarithm of a positive normal number; error below 1.5 ulp.
template <class F>
RPUPY_HD F logarithm(F a) {
  F exponent, f;
  split_exponent(a, exponent, f);
  // ln 2 in two parts: the first has 9 trailing zero bits, so its product with an exponent is exact.
  const F low = fma(exponent, all_lanes<F>(-2.12194440e-4f), log_one_plus(f));
  return fma(exponent, all_lanes<F>(0.693359375f), low);
}

// a = n ln 2 + r with a whole n and |r| <= ln 2 / 2, for |a| < 100.
template <class F>
RPUPY_HD F whole_part_of_log2(F a, F& r) {
  const F n = round_even(a * 1.44269504f);
  r = fma(n, all_lanes<F>(-0.693359375f), a);
  r = fma(n, all_lanes<F>(2.12194440e-4f), r);
  return n;
}

// 2^n e^r of what whole_part_of_log2 gives.
template <class F>
RPUPY_HD F scaled_exponential(F n, F r) {
  F q = all_lanes<F>(0.001381459878757596f);
  q = fma(q, r, all_lanes<F>(0.008368716575205326f));
  q = fma(q, r, all_lanes<F>(0.04166838899254799f));
  q = fma(q, r, all_lanes<F>(0.1666652113199234f));
  q = fma(q, r, all_lanes<F>(0.4999999403953552f));
  const F y = fma(r * r, q, r) + 1.0f;
  // n is a small integer: adding 1.5 * 2^23 leaves it in the low bits.
  const UIntOf<F> shift = bits_of(n + 12582912.0f) << 23;
  return float_of_bits(bits_of(y) + shift);
}

// e^a, with a limited to [-87, 88] so that the result stays normal and finite; error below 1.5 ulp.
template <class F>
RPUPY_HD F exponential(F a) {
  F r;
  const F n = whole_part_of_log2(clamp(a, all_lanes<F>(-87.0f), all_lanes<F>(88.0f)), r);
  return scaled_exponential(n, r);
}

// Natural logarithm of a positive normal number as high + low; error below 4e-9 + 2e-10 |result|.
template <class F>
RPUPY_HD void logarithm_in_two(F a, F& high, F& low) {
  F exponent, f;
  split_exponent(a, exponent, f);
  // ln(1 + f) = f - f^2 / 2 + f^3 R(f), of which only the last term is rounded to one float.
  F r = all_lanes<F>(-0.0763544961810112f);
  r = fma(r, f, all_lanes<F>(0.12854623794555664f));
  r = fma(r, f, all_lanes<F>(-0.13205814361572266f));
  r = fma(r, f, all_lanes<F>(0.14189869165420532f));
  r = fma(r, f, all_lanes<F>(-0.16616764664649963f));
  r = fma(r, f, all_lanes<F>(0.20001636445522308f));
  r = fma(r, f, all_lanes<F>(-0.25001052021980286f));
  r = fma(r, f, all_lanes<F>(0.333333283662796f));
  const F square = f * f;
  const F half = square * 0.5f;
  low = fma(square * f, r, fma(f, f, -square) * -0.5f);
  low = fma(exponent, all_lanes<F>(-2.12194440e-4f), low);
  // The sum of the large terms, each time with what rounding took from it.
  const F whole = exponent * 0.693359375f;
  const F first = whole + f;
  const F second = first - half;
  low = low + ((whole - first) + f) + ((first - second) - half);
  high = second + low;
  low = low + (second - high);
}

// base^power, limited to [e^-87, e^88]; a base below the smallest normal number counts as 0. Error below
// 1.3 + |power| / 16 ulp.
template <class F>
RPUPY_HD F power_of(F base, F power) {
  const F smallest = all_lanes<F>(kSmallestNormal);
  F high, low;
  logarithm_in_two(maximum(base, smallest), high, low);
  high = select(less(base, smallest), all_lanes<F>(-1e30f), high);
  const F product = power * high;
  // Beyond the limits the rest is anything, NaN too; within them it is far below this.
  const F rest = clamp(fma(power, low, fma(power, high, -product)), all_lanes<F>(-1e-4f), all_lanes<F>(1e-4f));
  F r;
  const F n = whole_part_of_log2(clamp(product, all_lanes<F>(-87.0f), all_lanes<F>(88.0f)), r);
  return scaled_exponential(n, r + rest);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
