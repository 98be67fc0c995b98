// Purpose: the pulses of one crosspoint in their order: a queue of directions, and what a block of four of them does.
// Included by: the update kernels of each backend.
// Invariants: noise is keyed by the pulse's own ordinal, four to a block, so that neither batches nor the moment at which
// a queue is worked off can change a bit. Bounds hold after every pulse.
#pragma once

#include "devices/pulsed.h"
#include "pulse.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr uint32_t kQueueRoom = 16;  // pulses that a queue of 32 takes at once

// Bit s of `queue` tells whether the pulse with ordinal (ordinal & ~3) + s goes up, and `fill` is the position behind the
// last one.
template <class F>
struct Queues {
  UIntOf<F> ordinal;
  UIntOf<F> queue;
  UIntOf<F> fill;

  RPUPY_HD MaskOf<F> pending() const { return less_near(ordinal & 3u, fill); }
  RPUPY_HD MaskOf<F> full() const { return less_near(all_lanes_of<UIntOf<F>>(3u), fill); }

  // The ordinal behind the last one.
  RPUPY_HD UIntOf<F> behind() const { return (ordinal & ~3u) + fill; }

  // The same with bit s for the pulse with ordinal (ordinal & ~1) + s.
  RPUPY_HD Queues in_pairs() const {
    const MaskOf<F> second = bit_is_set(ordinal, 1);
    return {ordinal, select(second, queue >> 2, queue), fill - (ordinal & 2u)};
  }

  // Appends pulses, upwards where the sign bit of `sign` is set; there must be room for them.
  RPUPY_HD void enqueue(UIntOf<F> pulses, UIntOf<F> sign) {
    using U = UIntOf<F>;
    const U up = shift_right_signed(sign, 31);
    const U behind = fill + pulses;
    queue = queue | (shift_left_all_ones(fill) & ~shift_left_all_ones(behind) & up);
    fill = behind;
  }
};

// What the pulses of one update have in common.
template <class Device>
struct PulseRule {
  const typename Device::Params& params;
  const RoundKeys& keys;
  float dw_min_std;
  uint32_t plane;

  // What the four pulses draw whose ordinals differ from this one in the last two bits alone.
  template <class F>
  RPUPY_HD Block<UIntOf<F>> block(UIntOf<F> crosspoint, UIntOf<F> ordinal) const {
    using U = UIntOf<F>;
    const U tag = all_lanes_of<U>(counter_tag(kStreamPulse, plane, 0));
    return philox(crosspoint, ordinal >> 2, all_lanes_of<U>(0u), tag, keys);
  }

  // Their normals, times dw_min_std.
  template <class F>
  RPUPY_HD Normals<F> noise(UIntOf<F> crosspoint, UIntOf<F> ordinal) const {
    if (dw_min_std == 0.0f) return {};
    Normals<F> z = normals<F>(block<F>(crosspoint, ordinal));
    RPUPY_UNROLL
    for (int s = 0; s < 4; ++s) z.z[s] = z.z[s] * dw_min_std;
    return z;
  }

  // Four pulses on each lane of `mask`, which all have as many and start at the beginning of a block.
  template <class F>
  RPUPY_HD void apply_whole(MaskOf<F> mask, UIntOf<F> crosspoint, Queues<F>& q, F& w,
                            const typename Device::template Cell<F>& cell) const {
    const Normals<F> z = noise<F>(crosspoint, q.ordinal);
    F moved = w;
    RPUPY_UNROLL
    for (uint32_t s = 0; s < 4; ++s) {
      const MaskOf<F> up = bit_is_set(q.queue, static_cast<int>(s));
      moved = clamp(Device::template pulse<F>(params, cell, moved, up, z.z[s]), cell.lowest(), cell.highest());
    }
    w = select(mask, moved, w);
    q.ordinal = select(mask, q.ordinal + 4u, q.ordinal);
    q.queue = select(mask, q.queue >> 4, q.queue);
    q.fill = select(mask, q.fill - 4u, q.fill);
  }

  // Up to four pulses on each lane of `mask`: those of its present block of ordinals.
  template <class F>
  RPUPY_HD void apply(MaskOf<F> mask, UIntOf<F> crosspoint, Queues<F>& q, F& w,
                      const typename Device::template Cell<F>& cell) const {
    using U = UIntOf<F>;
    const Normals<F> z = noise<F>(crosspoint, q.ordinal);
    const U start = q.ordinal & 3u;
    RPUPY_UNROLL
    for (uint32_t s = 0; s < 4; ++s) {
      const U position = all_lanes_of<U>(s);
      const MaskOf<F> active = both(mask, both(less_near(start, position + 1u), less_near(position, q.fill)));
      const MaskOf<F> up = bit_is_set(q.queue, static_cast<int>(s));
      const F moved = Device::template pulse<F>(params, cell, w, up, z.z[s]);
      w = select(active, clamp(moved, cell.lowest(), cell.highest()), w);
    }
    const U four = all_lanes_of<U>(4u);
    const U done = select(less_near(four, q.fill), four, q.fill);
    q.ordinal = select(mask, q.ordinal + (done - start), q.ordinal);
    q.queue = select(mask, q.queue >> 4, q.queue);
    q.fill = select(mask, q.fill - done, q.fill);
  }

  // Up to two pulses on every lane, whose queues are in pairs: those of one pair of normals. Where pulses are few, that is
  // most of them, for half of the work of four normals.
  template <class F>
  RPUPY_HD void apply_pair(UIntOf<F> crosspoint, Queues<F>& q, F& w,
                           const typename Device::template Cell<F>& cell) const {
    using U = UIntOf<F>;
    F z[2] = {};
    if (dw_min_std != 0.0f) {
      const Block<U> words = block<F>(crosspoint, q.ordinal);
      const MaskOf<F> second = bit_is_set(q.ordinal, 1);
      normal_pair<F>(select(second, words.w[2], words.w[0]), select(second, words.w[3], words.w[1]), z[0], z[1]);
    }
    const U start = q.ordinal & 1u;
    RPUPY_UNROLL
    for (uint32_t s = 0; s < 2; ++s) {
      const U position = all_lanes_of<U>(s);
      const MaskOf<F> active = both(less_near(start, position + 1u), less_near(position, q.fill));
      const MaskOf<F> up = bit_is_set(q.queue, static_cast<int>(s));
      const F moved = Device::template pulse<F>(params, cell, w, up, z[s] * dw_min_std);
      w = select(active, clamp(moved, cell.lowest(), cell.highest()), w);
    }
    const U two = all_lanes_of<U>(2u);
    const U done = select(less_near(two, q.fill), two, q.fill);
    q.ordinal = q.ordinal + (done - start);
    q.queue = q.queue >> 2;
    q.fill = q.fill - done;
  }
};

// What forward sees of a weight with write noise, drawn anew behind the pulse before `ordinal`.
template <class F>
RPUPY_HD F apparent_after_pulses(F w, float noise, UIntOf<F> crosspoint, UIntOf<F> ordinal, uint32_t plane,
                                 const RoundKeys& keys) {
  using U = UIntOf<F>;
  const U tag = all_lanes_of<U>(counter_tag(kStreamApparent, plane, 0));
  const F z = one_normal<F>(philox(crosspoint, ordinal, all_lanes_of<U>(0u), tag, keys));
  return fma(all_lanes<F>(noise), z, w);
}

// The halves of the slots of a word, each with no more pulses than a queue has room for: calls each(half) for those that
// are not empty. Most words have one.
template <class Each>
RPUPY_HD void for_halves(const Slots& slots, const Each& each) {
  constexpr int32_t kRoom = kQueueRoom;
  if (slots.most <= kRoom) {
    if (slots.most > 0) each(slots);
    return;
  }
  if (slots.bits != 0) {
    const uint32_t low = slots.bits & 0xffffu;
    const uint32_t high = slots.bits & ~0xffffu;
    if (low != 0) each(Slots{slots.d, low, 0.0f, static_cast<int32_t>(count_bits(low))});
    each(Slots{slots.d, high, 0.0f, static_cast<int32_t>(count_bits(high))});
  } else {
    each(Slots{slots.d, 0u, slots.first, kRoom});
    each(Slots{slots.d, 0u, slots.first + kQueueRoom, slots.most - kRoom});
  }
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
