// Purpose: the floating-point environment of a kernel, and the threads that run it.
// Included by: the ISA units and dispatch.cpp.
// Invariants: a kernel computes with the default environment (round to nearest, no flush to zero) whatever the caller
// or another library has set, in each of its threads, and puts the caller's back.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace rpupy {
namespace RPUPY_ISA_NAME {

// The word that holds rounding mode and flushing, its default, and how it is set.
#if defined(__x86_64__)
constexpr uint64_t kDefaultEnvironment = 0x1f80;
inline uint64_t environment_word() { return _mm_getcsr(); }
inline void set_environment_word(uint64_t word) { _mm_setcsr(static_cast<unsigned>(word)); }
#elif defined(__aarch64__)
constexpr uint64_t kDefaultEnvironment = 0;
inline uint64_t environment_word() {
  uint64_t word;
  asm volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}
inline void set_environment_word(uint64_t word) { asm volatile("msr fpcr, %0" : : "r"(word)); }
#else
constexpr uint64_t kDefaultEnvironment = 0;
inline uint64_t environment_word() { return 0; }
inline void set_environment_word(uint64_t) {}
#endif

class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint() : saved_(environment_word()) {
    if (saved_ != kDefaultEnvironment) set_environment_word(kDefaultEnvironment);
  }
  ~DefaultFloatingPoint() {
    if (saved_ != kDefaultEnvironment) set_environment_word(saved_);
  }
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

 private:
  uint64_t saved_;
};

// A member of a team and its share of a range.
struct Member {
  int number;
  int team;

  // Bounds of this member's part of 0 ... n, in multiples of `unit`.
  void share(int64_t n, int64_t unit, int64_t& from, int64_t& to) const {
    const int64_t units = (n + unit - 1) / unit;
    from = units * number / team * unit;
    to = units * (number + 1) / team * unit;
    if (from > n) from = n;
    if (to > n) to = n;
  }
};

// Waits for the whole team; every member must come by.
inline void meet(const Member& member) {
#if defined(_OPENMP)
  if (member.team > 1) {
#pragma omp barrier
  }
#else
  (void)member;
#endif
}

// Runs work(member) on a team. One thread never enters an OpenMP region: small calls stay cheap, and a forked child,
// in which a region would hang, can compute.
template <class Work>
inline void run_team(int threads, const Work& work) {
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    {
      const DefaultFloatingPoint environment;
      work(Member{omp_get_thread_num(), omp_get_num_threads()});
    }
    return;
  }
#else
  (void)threads;
#endif
  const DefaultFloatingPoint environment;
  work(Member{0, 1});
}

// Tests for races lower it, so that every call has a team.
#if !defined(RPUPY_STEPS_PER_THREAD)
#define RPUPY_STEPS_PER_THREAD 40000
#endif

// How many threads `work` elementary steps (about a nanosecond each) are worth.
inline int worthwhile_threads(int threads, int64_t work) {
  constexpr int64_t kStepsPerThread = RPUPY_STEPS_PER_THREAD;
  const int64_t most = work / kStepsPerThread;
  return most < 2 ? 1 : static_cast<int>(most < threads ? most : threads);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
