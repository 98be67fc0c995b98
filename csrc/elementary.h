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

// 2^a for a in [-126, 127]; error below 3 ulp.
template <class F>
RPUPY_HD F two_to_the(F a) {
  const F r = a - round_even(a);
  const F square = r * r;
  // Terms by twos: as a chain, each would wait for the one before.
  const F low = fma(all_lanes<F>(0.6931470036506653f), r, all_lanes<F>(1.0f));
  const F middle = fma(all_lanes<F>(0.0555071085691452f), r, all_lanes<F>(0.24022246897220612f));
  const F high = fma(all_lanes<F>(0.0013269521296024323f), r, all_lanes<F>(0.009671291336417198f));
  const F y = fma(fma(high, square, middle), square, low);
  // Adding 1.5 * 2^23 leaves the whole part in the low bits.
  const UIntOf<F> shift = bits_of(a + 12582912.0f) << 23;
  return float_of_bits(bits_of(y) + shift);
}

// base^power, limited to [2^-126, 2^127]; a base below the smallest normal number counts as 0. Error below
// 3 + |power| + 1.5 |log2 of the result| ulp: results down to 2^-64 are good to 1e-5.
template <class F>
RPUPY_HD F power_of(F base, F power) {
  F exponent, f;
  split_exponent(base, exponent, f);
  exponent = select(less(base, all_lanes<F>(kSmallestNormal)), all_lanes<F>(-1e30f), exponent);
  // log2(1 + f) / f to 5e-8 / |f|, by twos as above.
  const F square = f * f;
  const F p01 = fma(all_lanes<F>(-0.7213571071624756f), f, all_lanes<F>(1.4426947832107544f));
  const F p23 = fma(all_lanes<F>(-0.3600882589817047f), f, all_lanes<F>(0.4809388816356659f));
  const F p45 = fma(all_lanes<F>(-0.2500668168067932f), f, all_lanes<F>(0.28671693801879883f));
  const F p67 = fma(all_lanes<F>(-0.14569605886936188f), f, all_lanes<F>(0.23683783411979675f));
  const F ratio = fma(fma(p67, square, p45), square * square, fma(p23, square, p01));
  const F product = fma(power * f, ratio, power * exponent);
  return two_to_the(clamp(product, all_lanes<F>(-126.0f), all_lanes<F>(127.0f)));
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
