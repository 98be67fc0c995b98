// Purpose: the words that let one text compile for a CPU lane, a whole CPU vector and a CUDA thread.
// Included by: number.h and lanes.h.
// Invariants: `F` is float or a vector of floats, `UIntOf<F>` the same number of uint32, `MaskOf<F>` of booleans;
// every operation below rounds once, so all three give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define RPUPY_HD __host__ __device__ __forceinline__
#define RPUPY_UNROLL _Pragma("unroll")
#else
#define RPUPY_HD inline __attribute__((always_inline))
#define RPUPY_UNROLL _Pragma("GCC unroll 16")
#endif

// Code seen by an ISA unit lives in a namespace of that ISA: otherwise the linker may keep the
// AVX-512 copy of an inline function for everyone.
#if !defined(RPUPY_ISA_NAME)
#error "define RPUPY_ISA_NAME before including headers of csrc/"
#endif

namespace rpupy {
namespace RPUPY_ISA_NAME {

template <class F>
struct LaneTypes;

template <>
struct LaneTypes<float> {
  using UInt = uint32_t;
  using Mask = bool;
  static constexpr int kLanes = 1;
};

template <class F>
using UIntOf = typename LaneTypes<F>::UInt;
template <class F>
using MaskOf = typename LaneTypes<F>::Mask;

// ---- one lane ------------------------------------------------------------------------------------

RPUPY_HD float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
RPUPY_HD float square_root(float a) { return __builtin_sqrtf(a); }
RPUPY_HD float round_even(float a) { return __builtin_rintf(a); }
RPUPY_HD float minimum(float a, float b) { return a < b ? a : b; }
RPUPY_HD float maximum(float a, float b) { return a > b ? a : b; }
RPUPY_HD bool less(float a, float b) { return a < b; }
RPUPY_HD bool less(uint32_t a, uint32_t b) { return a < b; }
RPUPY_HD bool equal(float a, float b) { return a == b; }
RPUPY_HD bool equal(uint32_t a, uint32_t b) { return a == b; }
RPUPY_HD bool not_zero(uint32_t a) { return a != 0; }
RPUPY_HD bool bit_is_set(uint32_t a, int bit) { return (a >> bit & 1u) != 0; }
// a < b of numbers whose difference is below 2^31.
RPUPY_HD bool less_near(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }
RPUPY_HD bool both(bool a, bool b) { return a && b; }
RPUPY_HD bool either(bool a, bool b) { return a || b; }
RPUPY_HD bool negate(bool a) { return !a; }
RPUPY_HD bool any(bool a) { return a; }
RPUPY_HD float select(bool m, float a, float b) { return m ? a : b; }
RPUPY_HD uint32_t select(bool m, uint32_t a, uint32_t b) { return m ? a : b; }

RPUPY_HD uint32_t bits_of(float a) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(a);
#else
  uint32_t u;
  __builtin_memcpy(&u, &a, sizeof u);
  return u;
#endif
}
RPUPY_HD float float_of_bits(uint32_t u) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(u);
#else
  float a;
  __builtin_memcpy(&a, &u, sizeof a);
  return a;
#endif
}
RPUPY_HD float signed_to_float(uint32_t u) { return static_cast<float>(static_cast<int32_t>(u)); }
RPUPY_HD uint32_t shift_right_signed(uint32_t u, int n) { return static_cast<uint32_t>(static_cast<int32_t>(u) >> n); }
RPUPY_HD uint32_t truncate(float a) { return static_cast<uint32_t>(static_cast<int32_t>(a)); }
RPUPY_HD uint32_t count_bits(uint32_t u) {
#if defined(__CUDA_ARCH__)
  return __popc(u);
#else
  return static_cast<uint32_t>(__builtin_popcount(u));
#endif
}
RPUPY_HD float gather(const float* p, uint32_t at) { return p[at]; }
// The same of a table of 8, which fits into a register.
RPUPY_HD float gather_of_eight(const float* p, uint32_t at) { return p[at]; }
// ~0 << n, which is 0 from n = 32 on.
RPUPY_HD uint32_t shift_left_all_ones(uint32_t n) { return n < 32 ? 0xffffffffu << n : 0u; }

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
