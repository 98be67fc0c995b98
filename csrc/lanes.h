// Purpose: the vector of floats of each CPU instruction set, with the operations of host_device.h.
// Included by: the ISA units in cpu/ only.
// Invariants: 16, 8 or 4 lanes; an operation gives in each lane the bits of its one-lane counterpart. Arithmetic comes
// from the compiler's vector types, and intrinsics appear only where those have no word for an instruction.
#pragma once

#include "host_device.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rpupy {
namespace RPUPY_ISA_NAME {

#if defined(__AVX512F__)
#define RPUPY_LANES 16
#elif defined(__AVX2__)
#define RPUPY_LANES 8
#else
#define RPUPY_LANES 4
#endif

constexpr int kLanes = RPUPY_LANES;

typedef float f32v __attribute__((vector_size(4 * RPUPY_LANES)));
typedef uint32_t u32v __attribute__((vector_size(4 * RPUPY_LANES)));
typedef int32_t i32v __attribute__((vector_size(4 * RPUPY_LANES)));
typedef uint64_t u64v __attribute__((vector_size(4 * RPUPY_LANES)));

#if defined(__AVX512F__)
struct Mask {
  __mmask16 m;
};
#else
struct Mask {
  i32v m;  // the sign bit of every lane counts; without AVX2, where selecting is arithmetic, all its bits are the same
};
#endif

template <>
struct LaneTypes<f32v> {
  using UInt = u32v;
  using Mask = rpupy::RPUPY_ISA_NAME::Mask;
  static constexpr int kLanes = RPUPY_LANES;
};

RPUPY_HD u32v bits_of(f32v a) { return (u32v)a; }
RPUPY_HD f32v float_of_bits(u32v u) { return (f32v)u; }
RPUPY_HD f32v signed_to_float(u32v u) { return __builtin_convertvector((i32v)u, f32v); }
RPUPY_HD u32v shift_right_signed(u32v u, int n) { return (u32v)((i32v)u >> n); }
RPUPY_HD u32v truncate(f32v a) { return (u32v) __builtin_convertvector(a, i32v); }

// ---- what differs between instruction sets -------------------------------------------------------

#if defined(__AVX512F__)

RPUPY_HD f32v fma(f32v a, f32v b, f32v c) { return (f32v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
RPUPY_HD f32v square_root(f32v a) { return (f32v)_mm512_sqrt_ps((__m512)a); }
RPUPY_HD f32v round_even(f32v a) {
  return (f32v)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
RPUPY_HD f32v minimum(f32v a, f32v b) { return (f32v)_mm512_min_ps((__m512)a, (__m512)b); }
RPUPY_HD f32v maximum(f32v a, f32v b) { return (f32v)_mm512_max_ps((__m512)a, (__m512)b); }
RPUPY_HD Mask less(f32v a, f32v b) { return {_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ)}; }
RPUPY_HD Mask less(u32v a, u32v b) { return {_mm512_cmplt_epu32_mask((__m512i)a, (__m512i)b)}; }
RPUPY_HD Mask equal(f32v a, f32v b) { return {_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ)}; }
RPUPY_HD Mask equal(u32v a, u32v b) { return {_mm512_cmpeq_epu32_mask((__m512i)a, (__m512i)b)}; }
RPUPY_HD Mask not_zero(u32v a) { return {_mm512_test_epi32_mask((__m512i)a, (__m512i)a)}; }
RPUPY_HD Mask bit_is_set(u32v a, int bit) {
  return {_mm512_test_epi32_mask((__m512i)a, (__m512i)(u32v{} + (1u << bit)))};
}
RPUPY_HD Mask less_near(u32v a, u32v b) { return {_mm512_cmplt_epi32_mask((__m512i)(a - b), (__m512i)u32v{})}; }
RPUPY_HD Mask both(Mask a, Mask b) { return {(__mmask16)(a.m & b.m)}; }
RPUPY_HD Mask either(Mask a, Mask b) { return {(__mmask16)(a.m | b.m)}; }
RPUPY_HD Mask negate(Mask a) { return {(__mmask16)~a.m}; }
RPUPY_HD bool any(Mask a) { return a.m != 0; }
RPUPY_HD uint32_t lane_bits(Mask a) { return a.m; }
RPUPY_HD f32v select(Mask m, f32v a, f32v b) { return (f32v)_mm512_mask_blend_ps(m.m, (__m512)b, (__m512)a); }
RPUPY_HD u32v select(Mask m, u32v a, u32v b) { return (u32v)_mm512_mask_blend_epi32(m.m, (__m512i)b, (__m512i)a); }
RPUPY_HD u64v multiply_even(u64v a, u64v b) { return (u64v)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
RPUPY_HD u32v join_even_odd(u64v even, u64v odd) {
  return (u32v)_mm512_mask_blend_epi32(0xAAAA, (__m512i)even, (__m512i)(odd << 32));
}
RPUPY_HD u32v count_bits(u32v a) { return (u32v)_mm512_popcnt_epi32((__m512i)a); }
// ~0 << n, which is 0 from n = 32 on.
RPUPY_HD u32v shift_left_all_ones(u32v n) { return (u32v)_mm512_sllv_epi32(_mm512_set1_epi32(-1), (__m512i)n); }
RPUPY_HD f32v load_part(const float* p, int n) { return (f32v)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p); }
RPUPY_HD void store_part(float* p, f32v v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v); }
RPUPY_HD f32v gather(const float* p, u32v at) { return (f32v)_mm512_i32gather_ps((__m512i)at, p, 4); }
RPUPY_HD f32v gather_of_eight(const float* p, u32v at) {
  return (f32v)_mm512_permutexvar_ps((__m512i)at, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
RPUPY_HD u32v gather(const uint32_t* p, u32v at) { return (u32v)_mm512_i32gather_epi32((__m512i)at, p, 4); }
RPUPY_HD void scatter(float* p, u32v at, f32v v, Mask m) {
  _mm512_mask_i32scatter_ps(p, m.m, (__m512i)at, (__m512)v, 4);
}
RPUPY_HD void scatter(uint32_t* p, u32v at, u32v v, Mask m) {
  _mm512_mask_i32scatter_epi32(p, m.m, (__m512i)at, (__m512i)v, 4);
}
// Appends the lanes of v that m names to the list at p; returns how many. Up to kLanes entries behind them may be overwritten.
RPUPY_HD int append(uint32_t* p, u32v v, Mask m) {
  _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(m.m, (__m512i)v));
  return __builtin_popcount(m.m);
}

#else  // vectors of 8 or 4 lanes: comparisons give whole-lane masks

RPUPY_HD Mask less(f32v a, f32v b) { return {a < b}; }
RPUPY_HD Mask less(u32v a, u32v b) { return {(i32v)(a ^ 0x80000000u) < (i32v)(b ^ 0x80000000u)}; }
RPUPY_HD Mask equal(f32v a, f32v b) { return {a == b}; }
RPUPY_HD Mask equal(u32v a, u32v b) { return {(i32v)(a == b)}; }
RPUPY_HD Mask not_zero(u32v a) { return {(i32v)(a != 0)}; }
RPUPY_HD Mask both(Mask a, Mask b) { return {a.m & b.m}; }
RPUPY_HD Mask either(Mask a, Mask b) { return {a.m | b.m}; }
RPUPY_HD Mask negate(Mask a) { return {~a.m}; }

#if defined(__AVX2__)

RPUPY_HD Mask bit_is_set(u32v a, int bit) { return {(i32v)(a << (31 - bit))}; }
RPUPY_HD Mask less_near(u32v a, u32v b) { return {(i32v)(a - b)}; }
RPUPY_HD f32v fma(f32v a, f32v b, f32v c) { return (f32v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
RPUPY_HD f32v square_root(f32v a) { return (f32v)_mm256_sqrt_ps((__m256)a); }
RPUPY_HD f32v round_even(f32v a) {
  return (f32v)_mm256_round_ps((__m256)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
RPUPY_HD f32v minimum(f32v a, f32v b) { return (f32v)_mm256_min_ps((__m256)a, (__m256)b); }
RPUPY_HD f32v maximum(f32v a, f32v b) { return (f32v)_mm256_max_ps((__m256)a, (__m256)b); }
RPUPY_HD uint32_t lane_bits(Mask a) { return (uint32_t)_mm256_movemask_ps((__m256)a.m); }
RPUPY_HD f32v select(Mask m, f32v a, f32v b) { return (f32v)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m.m); }
RPUPY_HD u64v multiply_even(u64v a, u64v b) { return (u64v)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
RPUPY_HD u32v join_even_odd(u64v even, u64v odd) {
  return (u32v)_mm256_blend_epi32((__m256i)even, (__m256i)(odd << 32), 0xAA);
}
RPUPY_HD u32v shift_left_all_ones(u32v n) { return (u32v)_mm256_sllv_epi32(_mm256_set1_epi32(-1), (__m256i)n); }
RPUPY_HD f32v gather(const float* p, u32v at) { return (f32v)_mm256_i32gather_ps(p, (__m256i)at, 4); }
RPUPY_HD f32v gather_of_eight(const float* p, u32v at) {
  return (f32v)_mm256_permutevar8x32_ps(_mm256_loadu_ps(p), (__m256i)at);
}
RPUPY_HD u32v gather(const uint32_t* p, u32v at) { return (u32v)_mm256_i32gather_epi32((const int*)p, (__m256i)at, 4); }
// A table lookup of the set bits in every nibble, added up within each 32-bit lane.
RPUPY_HD u32v count_bits(u32v a) {
  const __m256i table =
      _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(0x0f);
  const __m256i n = _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256((__m256i)a, low)),
                                    _mm256_shuffle_epi8(table, _mm256_and_si256((__m256i)(a >> 4), low)));
  return (u32v)_mm256_madd_epi16(_mm256_maddubs_epi16(n, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
}

#else  // baseline: no fused multiply-add (or only one lane of it), so one lane after another

RPUPY_HD Mask bit_is_set(u32v a, int bit) { return {(i32v)(a << (31 - bit)) >> 31}; }
RPUPY_HD Mask less_near(u32v a, u32v b) { return {(i32v)(a - b) >> 31}; }
template <class Op>
RPUPY_HD f32v each_lane(Op op) {
  f32v r;
  for (int l = 0; l < kLanes; ++l) r[l] = op(l);
  return r;
}
RPUPY_HD f32v fma(f32v a, f32v b, f32v c) {
  return each_lane([&](int l) { return __builtin_fmaf(a[l], b[l], c[l]); });
}
#if defined(__x86_64__)
RPUPY_HD f32v square_root(f32v a) { return (f32v)_mm_sqrt_ps((__m128)a); }
RPUPY_HD u64v multiply_even(u64v a, u64v b) { return (u64v)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#else
RPUPY_HD f32v square_root(f32v a) {
  return each_lane([&](int l) { return __builtin_sqrtf(a[l]); });
}
RPUPY_HD u64v multiply_even(u64v a, u64v b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }
#endif
RPUPY_HD f32v select(Mask m, f32v a, f32v b) { return (f32v)(((i32v)a & m.m) | ((i32v)b & ~m.m)); }
// Adding and taking away 1.5 * 2^23 rounds to an integer, half to even; larger magnitudes are integers already.
RPUPY_HD f32v round_even(f32v a) {
  const f32v magic = float_of_bits((bits_of(a) & 0x80000000u) | 0x4b000000u);
  const f32v r = (a + magic) - magic;
  const f32v with_sign = float_of_bits(bits_of(r) | (bits_of(a) & 0x80000000u));
  const f32v big = f32v{} + 8388608.0f;
  return select(Mask{float_of_bits(bits_of(a) & 0x7fffffffu) < big}, with_sign, a);
}
RPUPY_HD f32v minimum(f32v a, f32v b) { return select(less(a, b), a, b); }
RPUPY_HD f32v maximum(f32v a, f32v b) { return select(less(b, a), a, b); }
RPUPY_HD uint32_t lane_bits(Mask a) {
  uint32_t r = 0;
  for (int l = 0; l < kLanes; ++l) r |= (a.m[l] ? 1u : 0u) << l;
  return r;
}
RPUPY_HD u32v join_even_odd(u64v even, u64v odd) { return (u32v)((even & 0xffffffffu) | (odd << 32)); }
RPUPY_HD u32v shift_left_all_ones(u32v n) {
  u32v r;
  for (int l = 0; l < kLanes; ++l) r[l] = n[l] < 32 ? 0xffffffffu << n[l] : 0u;
  return r;
}
RPUPY_HD f32v gather(const float* p, u32v at) {
  return each_lane([&](int l) { return p[at[l]]; });
}
RPUPY_HD u32v gather(const uint32_t* p, u32v at) {
  u32v r;
  for (int l = 0; l < kLanes; ++l) r[l] = p[at[l]];
  return r;
}
RPUPY_HD f32v gather_of_eight(const float* p, u32v at) { return gather(p, at); }
RPUPY_HD u32v count_bits(u32v a) {
  a = a - ((a >> 1) & 0x55555555u);
  a = (a & 0x33333333u) + ((a >> 2) & 0x33333333u);
  a = (a + (a >> 4)) & 0x0f0f0f0fu;
  a = a + (a >> 8);
  return (a + (a >> 16)) & 0x3fu;
}

#endif

RPUPY_HD u32v select(Mask m, u32v a, u32v b) { return (u32v)select(m, (f32v)a, (f32v)b); }
RPUPY_HD bool any(Mask a) { return lane_bits(a) != 0; }
// Whole vectors are by far the most frequent, and a copy of a known size is one instruction.
RPUPY_HD f32v load_part(const float* p, int n) {
  f32v v = {};
  if (n == kLanes) {
    __builtin_memcpy(&v, p, sizeof v);
  } else {
    __builtin_memcpy(&v, p, 4 * static_cast<size_t>(n));
  }
  return v;
}
RPUPY_HD void store_part(float* p, f32v v, int n) {
  if (n == kLanes) {
    __builtin_memcpy(p, &v, sizeof v);
  } else {
    __builtin_memcpy(p, &v, 4 * static_cast<size_t>(n));
  }
}
template <class T, class V>
RPUPY_HD void scatter(T* p, u32v at, V v, Mask m) {
  for (uint32_t left = lane_bits(m); left; left &= left - 1) {
    const int l = __builtin_ctz(left);
    p[at[l]] = v[l];
  }
}
#if defined(__AVX2__)
// For each set of lanes, the numbers of its members in their order, a byte each.
struct LaneOrders {
  uint64_t of[256];

  constexpr LaneOrders() : of() {
    for (int bits = 0; bits < 256; ++bits) {
      int n = 0;
      for (int l = 0; l < 8; ++l) {
        if (bits >> l & 1) of[bits] |= static_cast<uint64_t>(l) << 8 * n++;
      }
    }
  }
};
static constexpr LaneOrders kLaneOrders;

RPUPY_HD int append(uint32_t* p, u32v v, Mask m) {
  const uint32_t bits = lane_bits(m);
  const __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kLaneOrders.of[bits])));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32((__m256i)v, order));
  return __builtin_popcount(bits);
}
#else
RPUPY_HD int append(uint32_t* p, u32v v, Mask m) {
  int n = 0;
  for (uint32_t left = lane_bits(m); left; left &= left - 1) p[n++] = v[__builtin_ctz(left)];
  return n;
}
#endif

#endif

// ---- the same for every instruction set ----------------------------------------------------------

RPUPY_HD f32v load(const float* p) {
  f32v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
RPUPY_HD u32v load(const uint32_t* p) {
  u32v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
RPUPY_HD void store(float* p, f32v v) { __builtin_memcpy(p, &v, sizeof v); }
RPUPY_HD void store(uint32_t* p, u32v v) { __builtin_memcpy(p, &v, sizeof v); }
RPUPY_HD u32v load_part(const uint32_t* p, int n) { return (u32v)load_part(reinterpret_cast<const float*>(p), n); }
RPUPY_HD void store_part(uint32_t* p, u32v v, int n) { store_part(reinterpret_cast<float*>(p), (f32v)v, n); }

RPUPY_HD int count_lanes(Mask m) { return __builtin_popcount(lane_bits(m)); }

RPUPY_HD u32v lane_numbers() {
  u32v v;
  for (int l = 0; l < kLanes; ++l) v[l] = static_cast<uint32_t>(l);
  return v;
}
RPUPY_HD Mask first_lanes(int n) { return less(lane_numbers(), u32v{} + static_cast<uint32_t>(n)); }

// ---- two vectors side by side ---------------------------------------------------------------------

// A chain of dependent operations leaves most of the units idle; two of them, step by step, fill more. The baseline calls a
// function for each fma anyway.
#if defined(__AVX2__)
#define RPUPY_PAIRS 1
#endif

#if !defined(RPUPY_PAIRS)
using f32w = f32v;
using u32w = u32v;
#else
template <class V>
struct Two {
  V a, b;
};
using f32w = Two<f32v>;
using u32w = Two<u32v>;
using MaskW = Two<Mask>;

template <>
struct LaneTypes<f32w> {
  using UInt = u32w;
  using Mask = MaskW;
  static constexpr int kLanes = 2 * RPUPY_LANES;
};

#define RPUPY_OPERATOR(op, V, S)                                        \
  RPUPY_HD V operator op(V x, V y) { return {x.a op y.a, x.b op y.b}; } \
  RPUPY_HD V operator op(V x, S y) { return {x.a op y, x.b op y}; }     \
  RPUPY_HD V operator op(S x, V y) { return {x op y.a, x op y.b}; }
RPUPY_OPERATOR(+, f32w, float)
RPUPY_OPERATOR(-, f32w, float)
RPUPY_OPERATOR(*, f32w, float)
RPUPY_OPERATOR(/, f32w, float)
RPUPY_OPERATOR(+, u32w, uint32_t)
RPUPY_OPERATOR(-, u32w, uint32_t)
RPUPY_OPERATOR(&, u32w, uint32_t)
RPUPY_OPERATOR(|, u32w, uint32_t)
RPUPY_OPERATOR(^, u32w, uint32_t)
#undef RPUPY_OPERATOR
RPUPY_HD f32w operator-(f32w x) { return {-x.a, -x.b}; }
RPUPY_HD u32w operator~(u32w x) { return {~x.a, ~x.b}; }
RPUPY_HD u32w operator<<(u32w x, int n) { return {x.a << n, x.b << n}; }
RPUPY_HD u32w operator>>(u32w x, int n) { return {x.a >> n, x.b >> n}; }

#define RPUPY_UNARY(f, R, V) \
  RPUPY_HD R f(V x) { return {f(x.a), f(x.b)}; }
#define RPUPY_BINARY(f, R, V) \
  RPUPY_HD R f(V x, V y) { return {f(x.a, y.a), f(x.b, y.b)}; }
RPUPY_UNARY(bits_of, u32w, f32w)
RPUPY_UNARY(float_of_bits, f32w, u32w)
RPUPY_UNARY(signed_to_float, f32w, u32w)
RPUPY_UNARY(truncate, u32w, f32w)
RPUPY_UNARY(square_root, f32w, f32w)
RPUPY_UNARY(round_even, f32w, f32w)
RPUPY_UNARY(count_bits, u32w, u32w)
RPUPY_UNARY(shift_left_all_ones, u32w, u32w)
RPUPY_UNARY(not_zero, MaskW, u32w)
RPUPY_UNARY(negate, MaskW, MaskW)
RPUPY_BINARY(minimum, f32w, f32w)
RPUPY_BINARY(maximum, f32w, f32w)
RPUPY_BINARY(less, MaskW, f32w)
RPUPY_BINARY(less, MaskW, u32w)
RPUPY_BINARY(less_near, MaskW, u32w)
RPUPY_BINARY(equal, MaskW, f32w)
RPUPY_BINARY(equal, MaskW, u32w)
RPUPY_BINARY(both, MaskW, MaskW)
RPUPY_BINARY(either, MaskW, MaskW)
#undef RPUPY_UNARY
#undef RPUPY_BINARY
RPUPY_HD f32w fma(f32w x, f32w y, f32w z) { return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)}; }
RPUPY_HD f32w select(MaskW m, f32w x, f32w y) { return {select(m.a, x.a, y.a), select(m.b, x.b, y.b)}; }
RPUPY_HD u32w select(MaskW m, u32w x, u32w y) { return {select(m.a, x.a, y.a), select(m.b, x.b, y.b)}; }
RPUPY_HD u32w shift_right_signed(u32w u, int n) { return {shift_right_signed(u.a, n), shift_right_signed(u.b, n)}; }
RPUPY_HD MaskW bit_is_set(u32w u, int bit) { return {bit_is_set(u.a, bit), bit_is_set(u.b, bit)}; }
RPUPY_HD bool any(MaskW m) { return any(either(m.a, m.b)); }
RPUPY_HD int count_lanes(MaskW m) { return count_lanes(m.a) + count_lanes(m.b); }
RPUPY_HD f32w gather(const float* p, u32w at) { return {gather(p, at.a), gather(p, at.b)}; }
RPUPY_HD u32w gather(const uint32_t* p, u32w at) { return {gather(p, at.a), gather(p, at.b)}; }
RPUPY_HD f32w gather_of_eight(const float* p, u32w at) { return {gather_of_eight(p, at.a), gather_of_eight(p, at.b)}; }
template <class T, class V>
RPUPY_HD void scatter(T* p, u32w at, Two<V> v, MaskW m) {
  scatter(p, at.a, v.a, m.a);
  scatter(p, at.b, v.b, m.b);
}
RPUPY_HD int append(uint32_t* p, u32w v, MaskW m) {
  const int n = append(p, v.a, m.a);
  return n + append(p + n, v.b, m.b);
}
template <class V, class T>
RPUPY_HD void store(T* p, Two<V> v) {
  store(p, v.a);
  store(p + kLanes, v.b);
}
template <class V, class T>
RPUPY_HD void store_part(T* p, Two<V> v, int n) {
  if (n > kLanes) {
    store(p, v.a);
    store_part(p + kLanes, v.b, n - kLanes);
  } else {
    store_part(p, v.a, n);
  }
}
#endif

constexpr int kWideLanes = LaneTypes<f32w>::kLanes;

// One vector or two: V says which.
template <class V>
constexpr bool kIsPair = sizeof(V) > sizeof(f32v);

template <class U>
RPUPY_HD U lane_numbers_of() {
  if constexpr (kIsPair<U>) {
    return {lane_numbers(), lane_numbers() + static_cast<uint32_t>(kLanes)};
  } else {
    return lane_numbers();
  }
}
template <class U>
RPUPY_HD auto first_lanes_of(int n) {
  return less(lane_numbers_of<U>(), U{} + static_cast<uint32_t>(n));
}
RPUPY_HD u32w wide_lane_numbers() { return lane_numbers_of<u32w>(); }
RPUPY_HD auto first_wide_lanes(int n) { return first_lanes_of<u32w>(n); }

// What one vector holds of both of them.
template <class U>
RPUPY_HD u32v add_halves(U v) {
  if constexpr (kIsPair<U>) {
    return v.a + v.b;
  } else {
    return v;
  }
}

template <class V, class T>
RPUPY_HD V load_wide(const T* p) {
  if constexpr (kIsPair<V>) {
    return {load(p), load(p + kLanes)};
  } else {
    return load(p);
  }
}
template <class V, class T>
RPUPY_HD V load_wide_part(const T* p, int n) {
  if constexpr (kIsPair<V>) {
    if (n == kWideLanes) return load_wide<V>(p);
    return {load_part(p, n < kLanes ? n : kLanes), load_part(p + kLanes, n > kLanes ? n - kLanes : 0)};
  } else {
    return load_part(p, n);
  }
}

// Maximum over lanes; the order does not matter to a maximum.
RPUPY_HD float largest_lane(f32v v) {
  float r = v[0];
  for (int l = 1; l < kLanes; ++l) r = v[l] > r ? v[l] : r;
  return r;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
