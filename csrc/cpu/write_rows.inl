// Purpose: writes of whole rows, each by a vector of its own with one line of d, where most crosspoints get no pulse.
// Included by: kernels.inl, behind aggregate.inl.
// Invariants: the bits are those of update_pulsed, which is asked where this form has no way. What makes no pulse leaves
// the lists as early as it can: inputs of zero before trains are made, and words without a pulse before planes are read.

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Lines and crosspoints of a row that are not done with yet.
struct RowEvents {
  RowScratch rows;
  uint32_t column[kColumnsPerBlock + kWideLanes];
  uint32_t value[kColumnsPerBlock + kWideLanes];  // of x, and then the word that it makes
  uint32_t word[kColumnsPerBlock + kWideLanes];   // of each column, where most sets of lanes have pulses
};

constexpr int64_t kFewColumns = 8;  // one of so many columns with pulses is few

static int write_rows_threads(const UpdateArgs& args) {
  return worthwhile_threads(args.tile.threads, args.window.rows * args.tile.in_size * 4);
}
static size_t write_rows_scratch(const UpdateArgs& args) {
  return write_rows_threads(args) * static_cast<size_t>(round_up(sizeof(RowEvents), 64));
}

// Whether trains are one word, and nothing wants to know of all crosspoints.
static bool writes_rows(const UpdateArgs& args) {
  return args.apparent == nullptr && args.pulse_counters == nullptr && args.rates == nullptr &&
         args.route == kBothDirections && args.window.columns == 0 && args.window.rows == args.batch &&
         longest_train(args) <= 1;
}

template <class Device>
struct WrittenRow {
  using Row = PulseRow<Device>;

  const UpdateArgs& args;
  PulseRule<Device> rule;
  int64_t vector, line;

  int64_t first() const { return line * args.tile.in_size; }
  const UpdateParams& params() const { return update_params(args); }

  // Columns [j0, j1) whose input is not zero; returns how many.
  int64_t list_inputs(int64_t j0, int64_t j1, RowEvents& e) const {
    const float* x = args.x + vector * args.tile.in_size;
    int64_t listed = 0;
    for (int64_t j = j0; j < j1; j += kLanes) {
      const int n = static_cast<int>(j1 - j < kLanes ? j1 - j : kLanes);
      const f32v value = load_part(x + j, n);
      const Mask some = not_zero(bits_of(magnitude(value)));
      if (!any(some)) continue;
      // Most inputs make a pulse, and making the words takes the time that memory needs.
      Row{args, rule, first()}.prefetch(first() + j, kLanes);
      const Order order = order_of(some);
      append(e.column + listed, lane_numbers() + static_cast<uint32_t>(j), order);
      append(e.value + listed, bits_of(value), order);
      listed += order.count;
    }
    return listed;
  }

  // Turns inputs into words, and keeps those that make a pulse with `slots`.
  template <bool kRandom>
  int64_t list_words(int64_t listed, const TrainScales& scales, const Slots& slots, RowEvents& e) const {
    TrainSide side = train_side(params(), true, args.train_plane, args.write_train != 0);
    side.scale = scales.x_scale;
    int64_t left = 0;
    for (int64_t at = 0; at < listed; at += kLanes) {
      const int n = static_cast<int>(listed - at < kLanes ? listed - at : kLanes);
      const u32v column = load_part(e.column + at, n);
      const f32v value = load_part(reinterpret_cast<const float*>(e.value) + at, n);
      const u32v word = train_word<f32v>(value, column, side, scales.length, 0,
                                         args.ordinal + static_cast<uint64_t>(vector), rule.keys);
      const u32v pulses = pulses_of<f32v, kRandom>(word, slots);
      const Mask hit = both(not_zero(pulses), first_lanes(n));
      if (!any(hit)) continue;
      const u32v received = select(hit, pulses, u32v{});
      e.rows.waiting.all = e.rows.waiting.all + received;
      e.rows.waiting.up = e.rows.waiting.up + (received & shift_right_signed(word ^ slots.d, 31));
      const Order order = order_of(hit);
      append(e.column + left, column, order);
      append(e.value + left, word, order);
      left += order.count;
    }
    return left;
  }

  // Pulse by pulse. Some may be left on the list of waiting crosspoints.
  template <bool kRandom>
  void run_pulses(int64_t j0, int64_t j1, int64_t listed, const Slots& slots, RowEvents& e) const {
    const Row row = {args, rule, first()};
    // Whole lines of memory cost less than a place here and a place there. (A row counts the pulses of computed counts,
    // which are counted already.)
    if (kRandom && listed * kFewColumns > j1 - j0) {
      __builtin_memset(e.word, 0, sizeof e.word);
      for (int64_t k = 0; k < listed; ++k) e.word[e.column[k] - j0] = e.value[k];
      int64_t live = 0;
      for_halves(slots, [&](const Slots& half) { e.rows.live[live++] = {e.word - j0, half}; });
      row.run(j0, j1, live, e.rows);
      return;
    }
    row.start_list(e.rows.list);
    bool again = false;
    for_halves(slots, [&](const Slots& half) {
      if (again) row.work_off(e.rows.list, true);
      row.template run_columns<kRandom>(e.column, e.value, listed, half, e.rows.list);
      again = true;
    });
  }

  // With one draw of noise. Keeps those that are unsafe, and returns how many.
  template <bool kRandom>
  int64_t run_together(int64_t j0, int64_t listed, const Slots& slots, RowEvents& e) const {
    float* weights = args.weights + first();
    uint32_t* ordinals = args.pulse_ordinals + first();
    int64_t left = 0;
    for (int64_t at = 0; at < listed; at += kLanes) {
      const int n = static_cast<int>(listed - at < kLanes ? listed - at : kLanes);
      const Mask mask = first_lanes(n);
      const u32v column = select(mask, load(e.column + at), u32v{} + static_cast<uint32_t>(j0));
      const u32v word = load_part(e.value + at, n);
      const auto cell =
          Row::template read_cell<f32v>([&](int plane) { return gather(args.cell[plane] + first(), column); });
      const f32v w = gather(weights, column);
      const u32v ordinal = gather(ordinals, column);
      Aggregate<Device, f32v> sum;
      sum.start(w);
      sum.take(rule.params, cell, pulses_of<f32v, kRandom>(word, slots), word ^ slots.d);
      const Outcome<f32v> outcome = sum.outcome(cell, w);
      const Mask unsafe = both(mask, outcome.unsafe(cell, args.dw_min_std));
      const Mask safe = both(mask, negate(unsafe));
      const u32v crosspoint = column + static_cast<uint32_t>(first());
      const f32v noise = aggregated_noise<f32v>(crosspoint, ordinal, args.dw_min_std, args.tile.plane, rule.keys);
      scatter(weights, column, clamp(outcome.weight(noise), cell.lowest(), cell.highest()), safe);
      scatter(ordinals, column, ordinal + sum.all, safe);
      if (!any(unsafe)) continue;
      const Order order = order_of(unsafe);
      append(e.column + left, column, order);
      append(e.value + left, word, order);
      left += order.count;
    }
    return left;
  }

  template <bool kRandom>
  void run(bool aggregates, RowEvents& e) const {
    const TrainScales scales = scales_of(args, vector);
    if (scales.words == 0) return;
    if (args.tally != nullptr) {
      __atomic_fetch_add(args.tally + kTrainSlots, int64_t{scales.length}, __ATOMIC_RELAXED);
      __atomic_fetch_add(args.tally + kTrainsWritten, int64_t{1}, __ATOMIC_RELAXED);
    }
    TrainSide side = train_side(params(), false, args.train_plane, args.write_train != 0);
    side.scale = scales.d_scale;
    uint32_t d = train_word<float>(args.d[vector * args.tile.out_size + line], static_cast<uint32_t>(line), side,
                                   scales.length, 0, args.ordinal + static_cast<uint64_t>(vector), rule.keys);
    if (args.lr < 0.0f) d ^= kSignBit;
    const Slots slots = slots_of(params().kind(), d, scales.length, 0);
    if (slots.most <= 0) return;
    for (int64_t j0 = 0; j0 < args.tile.in_size; j0 += kColumnsPerBlock) {
      const int64_t j1 = args.tile.in_size - j0 < kColumnsPerBlock ? args.tile.in_size : j0 + kColumnsPerBlock;
      int64_t listed = list_words<kRandom>(list_inputs(j0, j1, e), scales, slots, e);
      if constexpr (aggregation_of<Device>(0) != kPulseByPulse) {
        if (aggregates) listed = run_together<kRandom>(j0, listed, slots, e);
      }
      run_pulses<kRandom>(j0, j1, listed, slots, e);
    }
    e.rows.add_waiting();
  }
};

// Vector k is the write of row `first_row + k`.
template <class Device>
static void write_rows(const UpdateArgs& args, void* scratch) {
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const PulseRule<Device> rule = {*reinterpret_cast<const typename Device::Params*>(args.own), keys, args.dw_min_std,
                                  args.tile.plane};
  const UpdateParams& params = update_params(args);
  run_team(write_rows_threads(args), [&](const Member& member) {
    RowEvents& e =
        *reinterpret_cast<RowEvents*>(static_cast<char*>(scratch) + member.number * round_up(sizeof(RowEvents), 64));
    e.rows.start();
    int64_t from, to;
    member.share(args.window.rows, 1, from, to);
    for (int64_t k = from; k < to; ++k) {
      const WrittenRow<Device> row = {args, rule, k, args.window.first_row + k};
      if (params.kind() == kRandomTrains) {
        row.template run<true>(params.aggregates(), e);
      } else {
        row.template run<false>(params.aggregates(), e);
      }
    }
    PulseRow<Device>{args, rule, 0}.work_off(e.rows.list, true);
    if (args.tally != nullptr) {
      __atomic_fetch_add(args.tally + kPulsesDown, e.rows.down, __ATOMIC_RELAXED);
      __atomic_fetch_add(args.tally + kPulsesUp, e.rows.up, __ATOMIC_RELAXED);
    }
  });
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
