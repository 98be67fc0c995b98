// Purpose: pulses as numbers, for devices whose law is written in Python: how many each crosspoint gets from each vector,
// and the normals that belong to them.
// Included by: kernels.inl, behind update.inl, whose trains these are.
// Invariants: trains and normals are those of update_pulsed, under the same keys and ordinals. Pulses go both ways:
// `route` is kBothDirections.

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Adds the pulses of slots of d with a row of words of x; pulses down count below zero.
template <bool kRandom>
static void add_counts(const uint32_t* x_words, const Slots& slots, int64_t columns, int32_t* counts) {
  if (slots.most == 0) return;
  uint32_t* sums = reinterpret_cast<uint32_t*>(counts);
  for (int64_t j = 0; j < columns; j += kLanes) {
    const int n = static_cast<int>(columns - j < kLanes ? columns - j : kLanes);
    const u32v x = load(x_words + j);
    const u32v pulses = pulses_of<f32v, kRandom>(x, slots);
    const u32v down = ~shift_right_signed(x ^ slots.d, 31);
    store_part(sums + j, load_part(sums + j, n) + ((pulses ^ down) - down), n);
  }
}

// The pulses of all vectors on the crosspoints of the window, as [batch, rows, columns].
static void count_pulses(const UpdateArgs& args, int32_t* counts, void* scratch_base) {
  const DefaultFloatingPoint environment;
  const UpdatePlan plan(args);
  const int64_t room = chunk_words(args);
  const UpdateScratch scratch(scratch_base, args, plan, room);
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const TrainKind kind = update_params(args).kind();
  const int64_t rows = plan.region.rows(), columns = plan.region.columns();

  run_team(plan.threads, [&](const Member& member) {
    int64_t from, to;
    member.share(args.batch, 1, from, to);
    for (int64_t b = from; b < to; ++b) scratch.scales[b] = scales_of(args, b);
    meet(member);

    member.share(rows, 1, from, to);
    for (int64_t b = 0; b < args.batch; ++b) {
      const TrainScales& scales = scratch.scales[b];
      int32_t* of_vector = counts + b * rows * columns;
      __builtin_memset(of_vector + from * columns, 0, static_cast<size_t>((to - from) * columns) * sizeof(int32_t));
      for (int64_t word = 0; word < scales.words; word += room) {
        const int64_t words = scales.words - word < room ? scales.words - word : room;
        if (member.number == 0) {
          for (int64_t k = 0; k < words; ++k) {
            scratch.refs[k] = {static_cast<int32_t>(b), static_cast<int32_t>(word + k)};
          }
        }
        meet(member);
        make_words(args, plan, scratch.scales, scratch.refs, words, true, scratch.x_words, keys, member);
        make_words(args, plan, scratch.scales, scratch.refs, words, false, scratch.d_words, keys, member);
        meet(member);
        for (int64_t i = from; i < to; ++i) {
          for (int64_t k = 0; k < words; ++k) {
            const Slots slots =
                slots_of(kind, scratch.d_words[k * plan.d_stride + i], scales.length, static_cast<int32_t>(word + k));
            const auto add = kind == kRandomTrains ? add_counts<true> : add_counts<false>;
            add(scratch.x_words + k * plan.x_stride, slots, columns, of_vector + i * columns);
          }
        }
        meet(member);
      }
    }
    if (args.tally != nullptr && member.number == 0) {
      for (int64_t b = 0; b < args.batch; ++b) args.tally[kTrainSlots] += scratch.scales[b].length;
    }
  });
  if (args.zeros != nullptr) *args.zeros = zero_share(args, args.batch - 1);
}

// The normal of the pulse with ordinal `ordinals[k]` at `crosspoints[k]`.
static void pulse_normals(const TileView& tile, const uint32_t* crosspoints, const uint32_t* ordinals, float* z,
                          int64_t n) {
  const RoundKeys keys = round_keys(tile.key[0], tile.key[1]);
  const u32v tag = u32v{} + counter_tag(kStreamPulse, tile.plane, 0);
  run_team(worthwhile_threads(tile.threads, n * 4), [&](const Member& member) {
    int64_t from, to;
    member.share(n, kLanes, from, to);
    for (int64_t at = from; at < to; at += kLanes) {
      const int part = static_cast<int>(to - at < kLanes ? to - at : kLanes);
      const u32v ordinal = load_part(ordinals + at, part);
      const Normals<f32v> four =
          normals<f32v>(philox(load_part(crosspoints + at, part), ordinal >> 2, u32v{}, tag, keys));
      f32v chosen = four.z[0];
      for (uint32_t s = 1; s < 4; ++s) chosen = select(equal(ordinal & 3u, u32v{} + s), four.z[s], chosen);
      store_part(z + at, chosen, part);
    }
  });
}

// Fresh apparent weights for some crosspoints, whose last pulse stands before their ordinal.
static void show_pulses(const UpdateArgs& args, const uint32_t* crosspoints, int64_t n) {
  const DefaultFloatingPoint environment;
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  for (int64_t k = 0; k < n; ++k) {
    const uint32_t at = crosspoints[k];
    args.apparent[at] = apparent_after_pulses<float>(args.weights[at], args.write_noise, at, args.pulse_ordinals[at],
                                                     args.tile.plane, keys);
  }
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
