// Purpose: the piecewise-step device: the step is a piecewise linear function of the weight, given by its nodes.
// Included by: device_list.h.
// Invariants: the caller clips to the bounds after each pulse; noise is never cut off. The nodes are spread evenly over
// the range of each crosspoint, from its lower to its upper bound; both directions have equally many.
// Source: phenomenological: tables of measured steps.
#pragma once

#include "pulsed.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

struct PiecewiseStep {
  static constexpr const char* kName = "piecewise_step";

  struct Params {
    RPUPY_FIELDS(float, piecewise_up_size, piecewise_up[128], piecewise_down[128])
  };
  static constexpr uint32_t kRoom = 128;  // nodes of one direction; those of the other stand so far behind

  template <class F>
  struct Own : NoFields {};

  template <class F>
  struct Cell : PulsedCell<F>, Own<F> {};

  template <class F>
  RPUPY_HD static void populate(const PulsedParams&, const Params&, const DeviceDraws<F>&, PulsedCell<F>&,
                                UpkeepCell<F>&, Own<F>&) {}

  // `noise` is dw_min_std times a standard normal.
  template <class F>
  RPUPY_HD static F pulse(const Params& p, const Cell<F>& cell, F w, MaskOf<F> up, F noise) {
    using U = UIntOf<F>;
    static_assert(sizeof(Params) == (1 + 2 * kRoom) * sizeof(float), "kRoom is the number of nodes in Params");
    const float* nodes = &p.piecewise_up_size + 1;
    F factor;
    if (p.piecewise_up_size < 2.0f) {
      factor = select(up, all_lanes<F>(nodes[0]), all_lanes<F>(nodes[kRoom]));
    } else {
      const float last = p.piecewise_up_size - 1.0f;
      const Range<F> range(cell);
      // An empty range has its only weight at node 0.
      const F inverse = select(range.empty, all_lanes<F>(0.0f), range.inverse);
      const F position = maximum(F((w - cell.min_bound) * (inverse * last)), all_lanes<F>(0.0f));
      const U node = truncate(minimum(position, all_lanes<F>(last - 1.0f)));
      const F t = minimum(F(position - signed_to_float(node)), all_lanes<F>(1.0f));
      F left, right;
      if (p.piecewise_up_size <= 8.0f) {
        left = select(up, gather_of_eight(nodes, node), gather_of_eight(nodes + kRoom, node));
        right = select(up, gather_of_eight(nodes, node + 1u), gather_of_eight(nodes + kRoom, node + 1u));
      } else {
        const U first = node + select(up, all_lanes_of<U>(0u), all_lanes_of<U>(kRoom));
        left = gather(nodes, first);
        right = gather(nodes, first + 1u);
      }
      factor = fma(t, right, fma(-t, left, left));
    }
    const F step = factor * select(up, cell.dwmin_up, -cell.dwmin_down);
    return fma(step, noise, step) + w;
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
