// Purpose: the rank-one updates of a mini-batch: exact, or by pulse trains.
// Included by: kernels.inl.
// Invariants: rows outside, the whole mini-batch inside, so that each plane is read once; the vectors of a mini-batch act
// on a crosspoint in their order, whatever the split into calls, chunks, threads or lanes.

namespace rpupy {
namespace RPUPY_ISA_NAME {

// ---- exact ---------------------------------------------------------------------------------------

constexpr int64_t kExactChunk = 256;  // vectors whose d is transposed at a time

// w = fma(-(lr d_b), x_b, w), vector after vector: a product whose chains start at the present weights.
static void update_exact_rows(const UpdateArgs& args, int64_t from, int64_t to, float* scratch) {
  const int64_t columns = args.tile.in_size;
  float* factors = scratch;
  float* panel = factors + kMaxRows * kExactChunk;
  float* tail = panel + kExactChunk * kPanel;
  for (int64_t b = 0; b < args.batch; b += kExactChunk) {
    const int64_t depth = args.batch - b < kExactChunk ? args.batch - b : kExactChunk;
    const float* x = args.x + b * columns;
    for (int64_t column = 0; column < columns; column += kPanel) {
      const int64_t width = columns - column < kPanel ? columns - column : kPanel;
      copy_panel(x + column, columns, width, depth, panel);
      for (int64_t i = from; i < to; i += kMaxRows) {
        const int64_t rows = to - i < kMaxRows ? to - i : kMaxRows;
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t k = 0; k < depth; ++k) {
            factors[r * kExactChunk + k] = -(args.lr * args.d[(b + k) * args.tile.out_size + i + r]);
          }
        }
        float* w = args.weights + i * columns + column;
        if (width == kPanel) {
          multiply_panel(rows, factors, kExactChunk, panel, kPanel, depth, w, columns, true);
          continue;
        }
        copy_panel(w, columns, width, rows, tail);
        multiply_panel(rows, factors, kExactChunk, panel, kPanel, depth, tail, kPanel, true);
        for (int64_t r = 0; r < rows; ++r) __builtin_memcpy(w + r * columns, tail + r * kPanel, width * sizeof(float));
      }
    }
  }
}

// The same, held within the bounds of each crosspoint after each vector.
static void update_exact_bounded(const UpdateArgs& args, int64_t from, int64_t to) {
  const int64_t columns = args.tile.in_size;
  for (int64_t i = from; i < to; ++i) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int n = static_cast<int>(columns - j < kLanes ? columns - j : kLanes);
      const int64_t at = i * columns + j;
      const f32v low = load_part(args.low + at, n);
      const f32v high = load_part(args.high + at, n);
      f32v w = load_part(args.weights + at, n);
      for (int64_t b = 0; b < args.batch; ++b) {
        const float factor = -(args.lr * args.d[b * args.tile.out_size + i]);
        w = clamp(fma(f32v{} + factor, load_part(args.x + b * columns + j, n), w), low, high);
      }
      store_part(args.weights + at, w, n);
    }
  }
}

constexpr size_t kExactScratch = (kMaxRows * kExactChunk + kExactChunk * kPanel + kMaxRows * kPanel) * sizeof(float);

static int update_exact_threads(const UpdateArgs& args) {
  return worthwhile_threads(args.tile.threads, args.batch * args.tile.out_size * args.tile.in_size / 16);
}

static size_t update_exact_scratch(const UpdateArgs& args) { return kExactScratch * update_exact_threads(args); }

static void update_exact(const UpdateArgs& args, void* scratch) {
  run_team(update_exact_threads(args), [&](const Member& member) {
    int64_t from, to;
    member.share(args.tile.out_size, kMaxRows, from, to);
    if (args.low != nullptr) {
      update_exact_bounded(args, from, to);
    } else {
      update_exact_rows(args, from, to,
                        reinterpret_cast<float*>(static_cast<char*>(scratch) + kExactScratch * member.number));
    }
  });
}

// ---- pulsed --------------------------------------------------------------------------------------

constexpr int64_t kWordsPerChunk = 128;    // words of trains made at a time
constexpr int64_t kColumnsPerBlock = 1024; // columns whose words stay near while the rows pass
constexpr int64_t kBlockWords = 32768;     // words of x in a block of columns, at most
constexpr uint32_t kQueueRoom = 16;        // pulses that a queue of 32 takes at once

// One word of a chunk: which vector it belongs to, and which of its words it is.
struct WordRef {
  int32_t vector;
  int32_t word;
};

struct UpdatePlan {
  int64_t x_stride, d_stride;
  int threads;

  explicit UpdatePlan(const UpdateArgs& args)
      : x_stride(round_up(args.tile.in_size, 16)),
        d_stride(round_up(args.tile.out_size, 16)),
        threads(worthwhile_threads(args.tile.threads, args.batch * args.tile.out_size * args.tile.in_size)) {}
};

// What a thread needs for a row: its live words, and the pulse queues of a block of columns.
struct RowScratch {
  uint32_t live_word[kWordsPerChunk];
  int32_t live_index[kWordsPerChunk];
  uint32_t queue[kColumnsPerBlock];
  uint32_t fill[kColumnsPerBlock];
  uint32_t before[kColumnsPerBlock];
  uint32_t pending[2][kColumnsPerBlock + 16];
};

struct UpdateScratch {
  TrainScales* scales;
  uint32_t* x_words;
  uint32_t* d_words;
  WordRef* refs;
  RowScratch* rows;

  static size_t bytes(const UpdateArgs& args, const UpdatePlan& plan, int64_t words) {
    return round_up(args.batch * static_cast<int64_t>(sizeof(TrainScales)), 64) +
           words * static_cast<size_t>(plan.x_stride + plan.d_stride) * sizeof(uint32_t) +
           round_up(words * static_cast<int64_t>(sizeof(WordRef)), 64) +
           plan.threads * static_cast<size_t>(round_up(sizeof(RowScratch), 64));
  }
  UpdateScratch(void* base, const UpdateArgs& args, const UpdatePlan& plan, int64_t words) {
    char* p = static_cast<char*>(base);
    scales = reinterpret_cast<TrainScales*>(p);
    p += round_up(args.batch * static_cast<int64_t>(sizeof(TrainScales)), 64);
    x_words = reinterpret_cast<uint32_t*>(p);
    d_words = x_words + words * plan.x_stride;
    p = reinterpret_cast<char*>(d_words + words * plan.d_stride);
    refs = reinterpret_cast<WordRef*>(p);
    p += round_up(words * static_cast<int64_t>(sizeof(WordRef)), 64);
    rows = reinterpret_cast<RowScratch*>(p);
  }
  RowScratch& of(int member) const {
    return *reinterpret_cast<RowScratch*>(reinterpret_cast<char*>(rows) + member * round_up(sizeof(RowScratch), 64));
  }
};

static TrainScales scales_of(const UpdateArgs& args, int64_t b) {
  const UpdateParams& p = *reinterpret_cast<const UpdateParams*>(args.update);
  const float x_max = input_range(args.x + b * args.tile.in_size, args.tile.in_size).abs_max;
  const float d_max = input_range(args.d + b * args.tile.out_size, args.tile.out_size).abs_max;
  return train_scales(p, magnitude(args.lr), args.granularity, x_max, d_max);
}

// An upper limit of the words of any vector, from the parameters alone.
static int64_t longest_train(const UpdateArgs& args) {
  const UpdateParams& p = *reinterpret_cast<const UpdateParams*>(args.update);
  float length = p.desired_bl;
  if (p.fixed_bl == 0.0f && p.update_bl_management == 0.0f) {
    const float needed = __builtin_ceilf(magnitude(args.lr) / args.granularity);
    if (needed > length) length = needed;
  }
  if (!(length < 1.0e9f)) length = 1.0e9f;
  return (static_cast<int64_t>(length) + kSlotsPerWord - 1) / kSlotsPerWord;
}

static int64_t chunk_words(const UpdateArgs& args) {
  const int64_t most = args.batch * longest_train(args);
  return most < kWordsPerChunk ? most : kWordsPerChunk;
}

static size_t update_pulsed_scratch(const UpdateArgs& args) {
  return UpdateScratch::bytes(args, UpdatePlan(args), chunk_words(args));
}

// The words of one side of a chunk, spread over the team.
static void make_words(const UpdateArgs& args, const TrainScales* scales, const WordRef* refs, int64_t words, bool x_side,
                       int64_t stride, uint32_t* out, const RoundKeys& keys, const Member& member) {
  const UpdateParams& p = *reinterpret_cast<const UpdateParams*>(args.update);
  const int64_t lines = x_side ? args.tile.in_size : args.tile.out_size;
  const float* values = x_side ? args.x : args.d;
  TrainSide side = {0.0f,
                    resolution(p.res),
                    p.sto_round != 0.0f,
                    static_cast<uint32_t>(x_side ? kStreamTrainX : kStreamTrainD),
                    static_cast<uint32_t>(x_side ? kStreamRoundX : kStreamRoundD),
                    args.tile.plane};
  int64_t from, to;
  member.share(words, 1, from, to);
  for (int64_t k = from; k < to; ++k) {
    const WordRef ref = refs[k];
    const TrainScales& s = scales[ref.vector];
    side.scale = x_side ? s.x_scale : s.d_scale;
    const float* v = values + ref.vector * lines;
    for (int64_t line = 0; line < stride; line += kLanes) {
      const int64_t left = lines - line;
      const f32v value = left >= kLanes ? load(v + line) : (left > 0 ? load_part(v + line, static_cast<int>(left)) : f32v{});
      u32v word = train_word<f32v>(value, lane_numbers() + static_cast<uint32_t>(line), side, s.length, ref.word,
                                   args.ordinal + static_cast<uint64_t>(ref.vector), keys);
      // Ascent is descent with the sign of d changed.
      if (!x_side && args.lr < 0.0f) word = word ^ kSignBit;
      store(out + k * stride + line, word);
    }
  }
}

// The pulses of one device on the crosspoints of one row.
template <class Device>
struct PulseRow {
  using Cell = typename Device::template Cell<f32v>;
  static constexpr int kOwn = field_count<typename Device::template Own<f32v>, f32v>();
  static constexpr int kPlanes = field_count<PulsedCell<f32v>, f32v>() + kOwn;

  const UpdateArgs& args;
  const typename Device::Params& params;
  const RoundKeys& keys;
  int64_t row;  // first crosspoint

  // Reads one value for each plane by `read(plane)`; the fields of a Cell lie in the order of their names.
  template <class Read>
  RPUPY_HD static Cell read_cell(const Read& read) {
    Cell cell;
    f32v* field = reinterpret_cast<f32v*>(&cell);
#pragma GCC unroll 12
    for (int plane = 0; plane < kPlanes; ++plane) field[plane] = read(plane);
    return cell;
  }

  // Applies to the lanes of `mask` the queued pulses that belong to their present block of four: queue positions
  // (ordinal & 3) ... min(fill, 4). Afterwards the ordinal stands behind them and the queue is shifted.
  RPUPY_HD void apply(Mask mask, u32v crosspoint, u32v& ordinal, u32v& queue, u32v& fill, f32v& w,
                      const Cell& cell) const {
    Normals<f32v> z = {};
    if (args.dw_min_std != 0.0f) {
      const u32v tag = u32v{} + counter_tag(kStreamPulse, args.tile.plane, 0);
      z = normals<f32v>(philox(crosspoint, ordinal >> 2, u32v{}, tag, keys));
    }
    const u32v start = ordinal & 3u;
#pragma GCC unroll 4
    for (uint32_t s = 0; s < 4; ++s) {
      const u32v position = u32v{} + s;
      const Mask active = both(mask, both(less(start, position + 1u), less(position, fill)));
      const Mask up = not_zero(queue & (1u << s));
      const f32v moved = Device::template pulse<f32v>(params, cell, w, up, args.dw_min_std * z.z[s]);
      w = select(active, clamp(moved, cell.min_bound, cell.max_bound), w);
    }
    const Mask more = less(u32v{} + 4u, fill);
    const u32v done = select(more, u32v{} + 4u, fill);
    ordinal = select(mask, ordinal + (done - start), ordinal);
    queue = select(mask, queue >> 4, queue);
    fill = select(mask, fill - done, fill);
  }

  // Blocks of four pulses for every lane that has a full one.
  void drain(int64_t j, int n, u32v& ordinal, u32v& queue, u32v& fill) const {
    const int64_t at = row + j;
    const Cell cell = read_cell([&](int plane) { return load_part(args.cell[plane] + at, n); });
    f32v w = load_part(args.weights + at, n);
    const u32v crosspoint = lane_numbers() + static_cast<uint32_t>(at);
    do {
      apply(less(u32v{} + 3u, fill), crosspoint, ordinal, queue, fill, w, cell);
    } while (any(less(u32v{} + kQueueRoom, fill)));
    store_part(args.weights + at, w, n);
  }

  // Queues the pulses of the live words for the columns of one set of lanes.
  void count(int64_t j, int n, const RowScratch& s, int64_t live, const uint32_t* x_words, int64_t x_stride,
             u32v& ordinal, u32v& queue, u32v& fill) const {
    for (int64_t k = 0; k < live; ++k) {
      const u32v word = load(x_words + s.live_index[k] * x_stride + j);
      const uint32_t d = s.live_word[k];
      const u32v up = (u32v)((i32v)(word ^ d) >> 31);
      // At most kQueueRoom slots at a time, so that a queue of 32 cannot overflow.
      for (uint32_t part = d & kSlotBits, low = 0xffffu; part != 0; part &= ~low, low = ~low) {
        const uint32_t slots = part & low;
        if (slots == 0) continue;
        const u32v pulses = count_bits(word & slots);
        const u32v ones = ~((u32v{} + 0xffffffffu) << pulses);
        queue = queue | ((ones << fill) & up);
        fill = fill + pulses;
        if (any(less(u32v{} + kQueueRoom, fill))) drain(j, n, ordinal, queue, fill);
      }
    }
  }

  // The queues that are left, block of four after block of four; lists keep the lanes busy where few crosspoints are left.
  void finish(int64_t j0, int64_t j1, RowScratch& s) const {
    uint32_t* ordinals = args.pulse_ordinals + row;
    int64_t left = 0;
    uint32_t* list = s.pending[0];
    uint32_t* next = s.pending[1];
    for (int64_t j = j0; j < j1; j += kLanes) {
      const int n = static_cast<int>(j1 - j < kLanes ? j1 - j : kLanes);
      const u32v fill = load(s.fill + (j - j0));
      const Mask pending = both(less(load_part(ordinals + j, n) & 3u, fill), first_lanes(n));
      left += append(list + left, lane_numbers() + static_cast<uint32_t>(j - j0), pending);
    }
    while (left > 0) {
      int64_t still = 0;
      if (left * 4 > (j1 - j0) * 3) {
        for (int64_t j = j0; j < j1; j += kLanes) {
          const int n = static_cast<int>(j1 - j < kLanes ? j1 - j : kLanes);
          const int64_t at = row + j;
          u32v ordinal = load_part(ordinals + j, n);
          u32v queue = load(s.queue + (j - j0));
          u32v fill = load(s.fill + (j - j0));
          const Mask mask = both(less(ordinal & 3u, fill), first_lanes(n));
          if (!any(mask)) continue;
          const Cell cell = read_cell([&](int plane) { return load_part(args.cell[plane] + at, n); });
          f32v w = load_part(args.weights + at, n);
          apply(mask, lane_numbers() + static_cast<uint32_t>(at), ordinal, queue, fill, w, cell);
          store_part(args.weights + at, w, n);
          store_part(ordinals + j, ordinal, n);
          store(s.queue + (j - j0), queue);
          store(s.fill + (j - j0), fill);
          const Mask pending = both(mask, not_zero(fill));
          still += append(next + still, lane_numbers() + static_cast<uint32_t>(j - j0), pending);
        }
      } else {
        for (int64_t at = 0; at < left; at += kLanes) {
          const int n = static_cast<int>(left - at < kLanes ? left - at : kLanes);
          const Mask mask = first_lanes(n);
          // Lanes behind the end of the list stand on its first column; the mask keeps them from moving it.
          const u32v column = select(mask, load_part(list + at, n), u32v{} + list[0]);
          const int64_t base = row + j0;
          u32v ordinal = gather(ordinals + j0, column);
          u32v queue = gather(s.queue, column);
          u32v fill = gather(s.fill, column);
          const Cell cell = read_cell([&](int plane) { return gather(args.cell[plane] + base, column); });
          f32v w = gather(args.weights + base, column);
          apply(mask, column + static_cast<uint32_t>(base), ordinal, queue, fill, w, cell);
          scatter(args.weights + base, column, w, mask);
          scatter(ordinals + j0, column, ordinal, mask);
          scatter(s.queue, column, queue, mask);
          scatter(s.fill, column, fill, mask);
          still += append(next + still, column, both(mask, not_zero(fill)));
        }
      }
      uint32_t* spent = list;
      list = next;
      next = spent;
      left = still;
    }
  }

  // Fresh apparent weights for the crosspoints that had a pulse.
  void show(int64_t j0, int64_t j1, const RowScratch& s) const {
    for (int64_t j = j0; j < j1; j += kLanes) {
      const int n = static_cast<int>(j1 - j < kLanes ? j1 - j : kLanes);
      const int64_t at = row + j;
      const u32v ordinal = load_part(args.pulse_ordinals + at, n);
      const Mask touched = both(negate(equal(ordinal, load(s.before + (j - j0)))), first_lanes(n));
      if (!any(touched)) continue;
      const u32v tag = u32v{} + counter_tag(kStreamApparent, args.tile.plane, 0);
      const f32v z = one_normal<f32v>(philox(lane_numbers() + static_cast<uint32_t>(at), ordinal, u32v{}, tag, keys));
      const f32v shown = fma(f32v{} + args.write_noise, z, load_part(args.weights + at, n));
      store_part(args.apparent + at, select(touched, shown, load_part(args.apparent + at, n)), n);
    }
  }

  void run(int64_t j0, int64_t j1, int64_t live, const uint32_t* x_words, int64_t x_stride, RowScratch& s) const {
    uint32_t* ordinals = args.pulse_ordinals + row;
    for (int64_t j = j0; j < j1; j += kLanes) {
      const int n = static_cast<int>(j1 - j < kLanes ? j1 - j : kLanes);
      u32v ordinal = load_part(ordinals + j, n);
      if (args.apparent != nullptr) store(s.before + (j - j0), ordinal);
      u32v queue = {};
      u32v fill = ordinal & 3u;
      count(j, n, s, live, x_words, x_stride, ordinal, queue, fill);
      store_part(ordinals + j, ordinal, n);
      store(s.queue + (j - j0), queue);
      store(s.fill + (j - j0), fill);
    }
    finish(j0, j1, s);
    if (args.apparent != nullptr) show(j0, j1, s);
  }
};

template <class Device>
static void update_pulsed(const UpdateArgs& args, void* scratch_base) {
  const UpdatePlan plan(args);
  const int64_t room = chunk_words(args);
  const UpdateScratch scratch(scratch_base, args, plan, room);
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const typename Device::Params& params = *reinterpret_cast<const typename Device::Params*>(args.own);
  const int64_t in_size = args.tile.in_size, out_size = args.tile.out_size;
  int64_t block = room > 0 ? kBlockWords / room / 64 * 64 : kColumnsPerBlock;
  block = block < 64 ? 64 : (block > kColumnsPerBlock ? kColumnsPerBlock : block);

  run_team(plan.threads, [&](const Member& member) {
    RowScratch& rows = scratch.of(member.number);
    int64_t from, to;
    member.share(args.batch, 1, from, to);
    for (int64_t b = from; b < to; ++b) scratch.scales[b] = scales_of(args, b);
    meet(member);

    int64_t first_row, last_row;
    member.share(out_size, 1, first_row, last_row);
    int64_t vector = 0;
    int32_t word = 0;
    for (;;) {
      // Every member walks the same list of words, so all agree on the next chunk.
      int64_t words = 0;
      const int64_t chunk_vector = vector;
      const int32_t chunk_word = word;
      while (vector < args.batch && words < room) {
        if (word < scratch.scales[vector].words) {
          ++words;
          ++word;
        } else {
          ++vector;
          word = 0;
        }
      }
      if (words == 0) break;
      if (member.number == 0) {
        int64_t v = chunk_vector;
        int32_t w = chunk_word;
        for (int64_t k = 0; k < words;) {
          if (w < scratch.scales[v].words) {
            scratch.refs[k++] = {static_cast<int32_t>(v), w++};
          } else {
            ++v;
            w = 0;
          }
        }
      }
      meet(member);
      make_words(args, scratch.scales, scratch.refs, words, true, plan.x_stride, scratch.x_words, keys, member);
      make_words(args, scratch.scales, scratch.refs, words, false, plan.d_stride, scratch.d_words, keys, member);
      meet(member);
      for (int64_t j0 = 0; j0 < in_size; j0 += block) {
        const int64_t j1 = in_size - j0 < block ? in_size : j0 + block;
        for (int64_t i = first_row; i < last_row; ++i) {
          int64_t live = 0;
          for (int64_t k = 0; k < words; ++k) {
            const uint32_t d = scratch.d_words[k * plan.d_stride + i];
            rows.live_word[live] = d;
            rows.live_index[live] = static_cast<int32_t>(k);
            live += (d & kSlotBits) != 0;
          }
          if (live > 0) {
            PulseRow<Device>{args, params, keys, i * in_size}.run(j0, j1, live, scratch.x_words, plan.x_stride, rows);
          }
        }
      }
      meet(member);
    }
  });
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
