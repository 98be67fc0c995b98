// Purpose: counter-based random numbers. A number is a function of (key, counter) alone: no state, any thread, any lane.
// Included by: everything that draws.
// Invariants: the counter layout below is part of the file format of a tile and of the promise of equal bits; a change
// of it needs an entry in CHANGELOG.md. No counter is used twice under one key (tests/test_random/test_counters.py).
//
// Philox4x32-10 (Salmon et al., SC 2011, doi:10.1145/2063384.2063405). Counter words:
//   c0  element: crosspoint i * x_size + j, or a line (input j, output i), or a group of four lines
//   c1  ordinal, low word
//   c2  ordinal, high word
//   c3  stream << 24 | plane << 16 | draw
// Key: two words of the tile's SeedSequence (of construction_seed for DEVICE draws, if that is not zero).
#pragma once

#include "elementary.h"
#include "number.h"

namespace rpupy {

// Numbers are only ever appended. The product has five purposes in each of five passes: kProduct + 5 * pass + purpose.
enum Stream : uint32_t {
  kStreamDevice = 0,
  kStreamIODevice = 1,
  kStreamInit = 2,
  kStreamTrainX = 3,
  kStreamTrainD = 4,
  kStreamRoundX = 5,
  kStreamRoundD = 6,
  kStreamWriteTrainX = 7,
  kStreamWriteTrainD = 8,
  kStreamPulse = 9,
  kStreamAggregate = 10,
  kStreamApparent = 11,
  kStreamApparentAll = 12,
  kStreamDiffuse = 13,
  kStreamReset = 14,
  kStreamDrift = 15,
  kStreamChopIn = 16,
  kStreamChopOut = 17,
  kStreamSelect = 18,
  kStreamQuantiseX = 19,
  kStreamQuantiseD = 20,
  kStreamWriteRoundX = 21,
  kStreamWriteRoundD = 22,
  kStreamProduct = 32,
};

enum ProductPass : uint32_t {
  kPassForward = 0,
  kPassForwardEval = 1,
  kPassBackward = 2,
  kPassBackwardEval = 3,
  kPassRead = 4,
};

enum ProductPurpose : uint32_t {
  kInputRound = 0,
  kInputNoise = 1,
  kWeightNoise = 2,
  kOutputNoise = 3,
  kOutputRound = 4,
};

namespace RPUPY_ISA_NAME {

constexpr int kPhiloxRounds = 10;

// The key of every round, made once per kernel call.
struct RoundKeys {
  uint32_t k0[kPhiloxRounds];
  uint32_t k1[kPhiloxRounds];
};

RPUPY_HD RoundKeys round_keys(uint32_t key0, uint32_t key1) {
  RoundKeys keys;
  for (int r = 0; r < kPhiloxRounds; ++r) {
    keys.k0[r] = key0 + static_cast<uint32_t>(r) * 0x9E3779B9u;
    keys.k1[r] = key1 + static_cast<uint32_t>(r) * 0xBB67AE85u;
  }
  return keys;
}

RPUPY_HD uint32_t counter_tag(uint32_t stream, uint32_t plane, uint32_t draw) {
  return stream << 24 | plane << 16 | draw;
}

template <class U>
struct Block {
  U w[4];
};

RPUPY_HD Block<uint32_t> philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, const RoundKeys& keys) {
  for (int r = 0; r < kPhiloxRounds; ++r) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ keys.k0[r];
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ keys.k1[r];
    c3 = static_cast<uint32_t>(p0);
  }
  return {{c0, c1, c2, c3}};
}

#if defined(RPUPY_CPU_UNIT)
// Even and odd lanes run in 64-bit lanes of their own, the form in which a 32 x 32 -> 64 bit product is one
// instruction. Only the low halves count; what stands in the high ones is never read.
template <int kSets>
RPUPY_HD void philox_sets(const u32v (&c0)[kSets], const u32v (&c1)[kSets], const u32v (&c2)[kSets],
                          const u32v (&c3)[kSets], const RoundKeys& keys, Block<u32v> (&out)[kSets]) {
  const u64v m0 = u64v{} + 0xD2511F53u;
  const u64v m1 = u64v{} + 0xCD9E8D57u;
  u64v s[4][2 * kSets];
#pragma GCC unroll 2
  for (int k = 0; k < kSets; ++k) {
    const u32v* start[4] = {&c0[k], &c1[k], &c2[k], &c3[k]};
#pragma GCC unroll 4
    for (int n = 0; n < 4; ++n) {
      s[n][2 * k] = (u64v)*start[n];
      s[n][2 * k + 1] = s[n][2 * k] >> 32;
    }
  }
#pragma GCC unroll 10
  for (int r = 0; r < kPhiloxRounds; ++r) {
    const u64v k0 = (u64v)(u32v{} + keys.k0[r]);
    const u64v k1 = (u64v)(u32v{} + keys.k1[r]);
#pragma GCC unroll 4
    for (int k = 0; k < 2 * kSets; ++k) {
      const u64v p0 = multiply_even(s[0][k], m0), p1 = multiply_even(s[2][k], m1);
      s[0][k] = (p1 >> 32) ^ (s[1][k] ^ k0);
      s[1][k] = p1;
      s[2][k] = (p0 >> 32) ^ (s[3][k] ^ k1);
      s[3][k] = p0;
    }
  }
#pragma GCC unroll 2
  for (int k = 0; k < kSets; ++k) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; ++n) out[k].w[n] = join_even_odd(s[n][2 * k], s[n][2 * k + 1]);
  }
}

RPUPY_HD Block<u32v> philox(u32v c0, u32v c1, u32v c2, u32v c3, const RoundKeys& keys) {
  Block<u32v> out[1];
  philox_sets<1>({c0}, {c1}, {c2}, {c3}, keys, out);
  return out[0];
}

#if defined(RPUPY_PAIRS)
RPUPY_HD Block<u32w> philox(u32w c0, u32w c1, u32w c2, u32w c3, const RoundKeys& keys) {
  Block<u32v> out[2];
  philox_sets<2>({c0.a, c0.b}, {c1.a, c1.b}, {c2.a, c2.b}, {c3.a, c3.b}, keys, out);
  Block<u32w> both_sets;
#pragma GCC unroll 4
  for (int n = 0; n < 4; ++n) both_sets.w[n] = {out[0].w[n], out[1].w[n]};
  return both_sets;
}
#endif
#endif

// Uniform in [0, 1) on a grid of 2^-24.
template <class F>
RPUPY_HD F uniform(UIntOf<F> word) {
  return signed_to_float(word >> 8) * 5.9604644775390625e-8f;
}

// Whether an event of probability p happens: exact to 2^-32, and certain where p >= 1.
RPUPY_HD uint64_t threshold(float p) {
  if (!(p > 0.0f)) return 0;
  if (p >= 1.0f) return uint64_t{1} << 32;
  return static_cast<uint64_t>(p * 4294967296.0f);
}

// -ln u of u = (word + 1/2) / 2^32. Near u = 1 it starts from 1 - u, which keeps all 32 bits there too.
template <class F>
RPUPY_HD F minus_log_uniform(UIntOf<F> word) {
  constexpr uint32_t kSqrtHalf = 0xB504F334u;  // 2^32 sqrt(1/2)
  const MaskOf<F> near_one = less(all_lanes_of<UIntOf<F>>(kSqrtHalf - 1u), word);
  const F scaled = to_float<F>(select(near_one, ~word, word)) + 0.5f;
  F exponent, f;
  split_exponent(scaled, exponent, f);
  f = select(near_one, scaled * -2.3283064365386963e-10f, f);
  // One constant for ln 2 is enough: the exponent is at most 32, where its error is far below the rounding of the sum.
  exponent = select(near_one, all_lanes<F>(0.0f), exponent - 32.0f);
  return -fma(exponent, all_lanes<F>(0.693147182464599609375f), log_one_plus(f));
}

// Two independent standard normals of two words (Box & Muller 1958): 32 bits of radius, 32 bits of angle.
template <class F>
RPUPY_HD void normal_pair(UIntOf<F> radius_word, UIntOf<F> angle_word, F& z0, F& z1) {
  using U = UIntOf<F>;
  const F radius = square_root(minus_log_uniform<F>(radius_word) * 2.0f);
  // The two high bits are a quadrant, the others an angle t pi/4 beside its middle, t in [-1, 1).
  const F t = signed_to_float(angle_word << 2) * 4.656612873077393e-10f;
  const F v = t * t;
  F s = all_lanes<F>(-3.59504520019982e-05f);
  s = fma(s, v, all_lanes<F>(0.00249000103212893f));
  s = fma(s, v, all_lanes<F>(-0.08074543625116348f));
  s = fma(s, v, all_lanes<F>(0.7853981852531433f)) * t;
  F c = all_lanes<F>(3.52876168108196e-06f);
  c = fma(c, v, all_lanes<F>(-0.0003259365039411932f));
  c = fma(c, v, all_lanes<F>(0.015854323282837868f));
  c = fma(c, v, all_lanes<F>(-0.3084251284599304f));
  c = fma(c, v, all_lanes<F>(1.0f));
  const MaskOf<F> odd = bit_is_set(angle_word, 30);
  const U cos_sign = (angle_word + 0x40000000u) & 0x80000000u;
  const U sin_sign = angle_word & 0x80000000u;
  z0 = radius * float_of_bits(bits_of(select(odd, s, c)) ^ cos_sign);
  z1 = radius * float_of_bits(bits_of(select(odd, c, s)) ^ sin_sign);
}

template <class F>
struct Normals {
  F z[4];
};

template <class F>
RPUPY_HD Normals<F> normals(const Block<UIntOf<F>>& block) {
  Normals<F> n;
  normal_pair<F>(block.w[0], block.w[1], n.z[0], n.z[1]);
  normal_pair<F>(block.w[2], block.w[3], n.z[2], n.z[3]);
  return n;
}

// The block of an element: `element` may differ between lanes, the rest is common.
template <class F>
RPUPY_HD Block<UIntOf<F>> draw_block(UIntOf<F> element, uint64_t ordinal, uint32_t tag, const RoundKeys& keys) {
  using U = UIntOf<F>;
  return philox(element, all_lanes_of<U>(static_cast<uint32_t>(ordinal)),
                all_lanes_of<U>(static_cast<uint32_t>(ordinal >> 32)), all_lanes_of<U>(tag), keys);
}

// The first normal of a block, where only one is wanted.
template <class F>
RPUPY_HD F one_normal(const Block<UIntOf<F>>& block) {
  F z0, z1;
  normal_pair<F>(block.w[0], block.w[1], z0, z1);
  return z0;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
