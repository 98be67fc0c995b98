// Purpose: the pulses of a portion of a mini-batch on the crosspoints of one row, with one draw of noise for all of them.
// Included by: kernels.inl, behind update.inl.
// Invariants: crosspoints that aggregate.h calls unsafe get their pulses one by one, from the list of their columns.

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Mean, variance and their bounds fill the registers with one vector; a count leaves room for two.
template <bool kFollowsWeight>
struct VectorsOf {
  using F = f32w;
};
template <>
struct VectorsOf<true> {
  using F = f32v;
};

template <class Device>
struct AggregatedRow {
  using Row = PulseRow<Device>;
  static constexpr bool kReadsCell = Aggregate<Device, f32v>::kReadsCell;
  using F = typename VectorsOf<kReadsCell>::F;
  using U = UIntOf<F>;

  const UpdateArgs& args;
  PulseRule<Device> rule;
  int64_t row;  // first crosspoint

  // One set of lanes. Columns of unsafe crosspoints go to the list in `s`; returns its new length.
  template <bool kRandom>
  int64_t run_lanes(int64_t j, int n, int64_t j0, int64_t live, RowScratch& s, int64_t listed) const {
    const Row exact = {args, rule, row};
    const int64_t at = row + j;
    exact.prefetch(at + kPrefetchAhead, LaneTypes<F>::kLanes);
    const U ordinal = load_wide_part<U>(args.pulse_ordinals + at, n);
    if (args.apparent != nullptr) store(s.before + (j - j0), ordinal);
    F w = load_wide_part<F>(args.weights + at, n);
    Aggregate<Device, F> sum;
    typename Device::template Cell<F> cell;
    if constexpr (kReadsCell) cell = exact.template load_cell<F>(at, n);
    sum.start(w);
    for (int64_t k = 0; k < live; ++k) {
      const LiveWord& word = s.live[k];
      const U x = load_wide<U>(word.x + j);
      sum.take(rule.params, cell, pulses_of<F, kRandom>(x, word.slots), x ^ word.slots.d);
    }
    const MaskOf<F> touched = both(not_zero(sum.all), first_lanes_of<U>(n));
    if (!any(touched)) return listed;
    if (args.pulse_counters != nullptr) add_tally<U>(args, at, n, {sum.all, sum.up});
    if (!kRandom) s.wait<U>({sum.all, sum.up});
    if constexpr (!kReadsCell) cell = exact.template load_cell<F>(at, n);
    const Outcome<F> outcome = sum.outcome(cell, w);
    const MaskOf<F> unsafe = both(touched, outcome.unsafe(cell, args.dw_min_std));
    const MaskOf<F> safe = both(touched, negate(unsafe));
    if (any(safe)) {
      const U crosspoint = lane_numbers_of<U>() + static_cast<uint32_t>(at);
      const F noise = aggregated_noise<F>(crosspoint, ordinal, args.dw_min_std, args.tile.plane, rule.keys);
      const F moved = clamp(outcome.weight(noise), cell.lowest(), cell.highest());
      store_part(args.weights + at, select(safe, moved, w), n);
      store_part(args.pulse_ordinals + at, select(safe, ordinal + sum.all, ordinal), n);
    }
    if (!any(unsafe)) return listed;
    return listed + append(s.column + listed, lane_numbers_of<U>() + static_cast<uint32_t>(j), unsafe);
  }

  // The crosspoints of the list, pulse by pulse.
  template <bool kRandom>
  void run_list(int64_t listed, int64_t live, RowScratch& s, int64_t j0) const {
    float* weights = args.weights + row;
    uint32_t* ordinals = args.pulse_ordinals + row;
    for (int64_t at = 0; at < listed; at += kWideLanes) {
      const int n = static_cast<int>(listed - at < kWideLanes ? listed - at : kWideLanes);
      const MaskOf<f32w> mask = first_wide_lanes(n);
      // Lanes behind the end of the list stand on a column of this block; the mask keeps them from moving it.
      const u32w column = select(mask, load_wide<u32w>(s.column + at), u32w{} + static_cast<uint32_t>(j0));
      const u32w crosspoint = column + static_cast<uint32_t>(row);
      Queues<f32w> q = {gather(ordinals, column), u32w{}, u32w{}};
      q.fill = q.ordinal & 3u;
      const typename Row::Cell cell = Row::read_cell([&](int plane) { return gather(args.cell[plane] + row, column); });
      f32w w = gather(weights, column);
      for (int64_t k = 0; k < live; ++k) {
        const u32w x = gather(s.live[k].x, column);
        for_halves(s.live[k].slots, [&](const Slots& half) {
          while (any(less_near(u32w{} + kQueueRoom, q.fill))) {
            rule.template apply<f32w>(q.full(), crosspoint, q, w, cell);
          }
          q.enqueue(pulses_of<f32w, kRandom>(x, half), x ^ half.d);
        });
      }
      for (MaskOf<f32w> left = q.pending(); any(left); left = q.pending()) {
        rule.template apply<f32w>(left, crosspoint, q, w, cell);
      }
      scatter(weights, column, w, mask);
      scatter(ordinals, column, q.ordinal, mask);
    }
  }

  template <bool kRandom>
  void run_block(int64_t j0, int64_t j1, int64_t live, RowScratch& s) const {
    int64_t listed = 0;
    constexpr int kStep = LaneTypes<F>::kLanes;
    for (int64_t j = j0; j < j1; j += kStep) {
      const int n = static_cast<int>(j1 - j < kStep ? j1 - j : kStep);
      listed = run_lanes<kRandom>(j, n, j0, live, s, listed);
    }
    run_list<kRandom>(listed, live, s, j0);
  }

  void run(int64_t j0, int64_t j1, int64_t live, RowScratch& s) const {
    if (update_params(args).kind() == kRandomTrains) {
      run_block<true>(j0, j1, live, s);
    } else {
      run_block<false>(j0, j1, live, s);
      s.add_waiting();
    }
    if (args.apparent != nullptr) Row{args, rule, row}.show(j0, j1, s);
  }
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
