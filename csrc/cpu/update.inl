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
        w = clamp(fma(all_lanes<f32v>(factor), load_part(args.x + b * columns + j, n), w), low, high);
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

constexpr int64_t kWordsPerChunk = 128;     // words of trains made at a time
constexpr int64_t kColumnsPerBlock = 1024;  // columns whose words stay near while the rows pass
constexpr int64_t kPrefetchAhead = 128;     // columns: eight vectors of AVX-512
constexpr int64_t kBlockWords = 32768;      // words of x in a block of columns, at most: a part of an L2 cache

// One word of a chunk: which vector it belongs to, and which of its words it is.
struct WordRef {
  int32_t vector;
  int32_t word;
};

struct UpdatePlan {
  Region region;
  int64_t x_stride, d_stride;
  // Words of x that stand behind each other, x_stride apart: for a route, those of the columns with a positive sign and
  // those of the columns with a negative one, apart, so that a word of d meets only what it may move.
  int x_sets;
  int threads;

  explicit UpdatePlan(const UpdateArgs& args)
      : region(region_of(args.window, args.tile)),
        // Sets of lanes read on behind the last column, where words have to be empty.
        x_stride(round_up(region.columns(), 32)),
        d_stride(round_up(region.rows(), 16)),
        x_sets(args.route == kBothDirections ? 1 : 2),
        threads(worthwhile_threads(args.tile.threads, args.batch * region.rows() * region.columns())) {}
};

// Slots of a word of d with pulses in them, beside the words of x that they meet.
struct LiveWord {
  const uint32_t* x;
  Slots slots;
};

// Pulses of a set of lanes, all of them and those that went up.
template <class V>
struct Tally {
  V all, up;
};

template <class V>
static void add_tally(const UpdateArgs& args, int64_t at, int n, const Tally<V>& tally) {
  int64_t* down = args.pulse_counters + at;
  int64_t* up = down + args.tile.out_size * args.tile.in_size;
  uint32_t all[kWideLanes], upwards[kWideLanes];
  store(all, tally.all);
  store(upwards, tally.up);
  for (int l = 0; l < n; ++l) {
    down[l] += all[l] - upwards[l];
    up[l] += upwards[l];
  }
}

constexpr int kMostWaiting = 128;

// Crosspoints whose pulses wait until there are enough of them to fill the lanes of a block of draws, each with all that
// its pulses read: a list of places to gather from takes longer to work off than this to write.
struct WaitingList {
  static constexpr int kRoom = kMostWaiting + 2 * kWideLanes;

  int64_t base;  // crosspoints are numbered from here
  int count;
  uint32_t crosspoint[kRoom];
  uint32_t ordinal[kRoom];
  uint32_t queue[kRoom];
  uint32_t fill[kRoom];
  float weight[kRoom];
  float cell[kMaxCellPlanes][kRoom];
};

// What a thread needs for a row: its live words, and crosspoints that have to wait.
struct RowScratch {
  LiveWord live[2 * kWordsPerChunk];
  WaitingList list;
  uint32_t column[kColumnsPerBlock + kWideLanes];
  uint32_t before[kColumnsPerBlock];
  // For the events of the update: pulses of computed counts that wait to be added up, and all pulses of this thread.
  Tally<u32v> waiting;
  int64_t down, up;

  void start() {
    list.count = 0;
    waiting = Tally<u32v>{};
    down = up = 0;
  }
  template <class V>
  void wait(const Tally<V>& tally) {
    waiting.all = waiting.all + add_halves(tally.all);
    waiting.up = waiting.up + add_halves(tally.up);
  }
  void add_waiting() {
    for (int l = 0; l < kLanes; ++l) {
      down += waiting.all[l] - waiting.up[l];
      up += waiting.up[l];
    }
    waiting = Tally<u32v>{};
  }
};

struct UpdateScratch {
  TrainScales* scales;
  uint32_t* x_words;
  uint32_t* d_words;
  WordRef* refs;
  RowScratch* rows;

  static size_t bytes(const UpdateArgs& args, const UpdatePlan& plan, int64_t words) {
    return round_up(args.batch * static_cast<int64_t>(sizeof(TrainScales)), 64) +
           words * static_cast<size_t>(plan.x_sets * plan.x_stride + plan.d_stride) * sizeof(uint32_t) +
           round_up(words * static_cast<int64_t>(sizeof(WordRef)), 64) +
           plan.threads * static_cast<size_t>(round_up(sizeof(RowScratch), 64));
  }
  UpdateScratch(void* base, const UpdateArgs& args, const UpdatePlan& plan, int64_t words) {
    char* p = static_cast<char*>(base);
    scales = reinterpret_cast<TrainScales*>(p);
    p += round_up(args.batch * static_cast<int64_t>(sizeof(TrainScales)), 64);
    x_words = reinterpret_cast<uint32_t*>(p);
    d_words = x_words + words * plan.x_sets * plan.x_stride;
    p = reinterpret_cast<char*>(d_words + words * plan.d_stride);
    refs = reinterpret_cast<WordRef*>(p);
    p += round_up(words * static_cast<int64_t>(sizeof(WordRef)), 64);
    rows = reinterpret_cast<RowScratch*>(p);
  }
  RowScratch& of(int member) const {
    return *reinterpret_cast<RowScratch*>(reinterpret_cast<char*>(rows) + member * round_up(sizeof(RowScratch), 64));
  }
};

static const UpdateParams& update_params(const UpdateArgs& args) {
  return *reinterpret_cast<const UpdateParams*>(args.update);
}

static TrainScales scales_of(const UpdateArgs& args, int64_t b) {
  const float x_max = input_range(args.x + b * args.tile.in_size, args.tile.in_size).abs_max;
  const float d_max = input_range(args.d + b * args.tile.out_size, args.tile.out_size).abs_max;
  const float lr = args.rates == nullptr ? args.lr : args.rates[b];
  return train_scales(update_params(args), magnitude(lr), args.granularity, x_max, d_max);
}

// The share of lines of d, in vector `b`, whose probability of a pulse is 0 behind its rounding; 0 for a vector without
// trains.
static float zero_share(const UpdateArgs& args, int64_t b) {
  const UpdateParams& params = update_params(args);
  const int64_t lines = args.tile.out_size;
  const float* d = args.d + b * lines;
  const float x_max = input_range(args.x + b * args.tile.in_size, args.tile.in_size).abs_max;
  const float lr = args.rates == nullptr ? args.lr : args.rates[b];
  const TrainScales s = scales_for_zeros(params, magnitude(lr), args.granularity, x_max, input_range(d, lines).abs_max);
  if (s.length == 0) return 0.0f;
  TrainSide side = train_side(params, false, args.train_plane, args.write_train != 0);
  side.scale = s.d_scale;
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  int64_t zeros = 0;
  for (int64_t i = 0; i < lines; i += kLanes) {
    const int n = static_cast<int>(lines - i < kLanes ? lines - i : kLanes);
    const f32v q = slot_probability<f32v>(load_part(d + i, n), lane_numbers() + static_cast<uint32_t>(i), side,
                                          args.ordinal + static_cast<uint64_t>(b), keys);
    zeros += count_lanes(both(equal(q, f32v{}), first_lanes(n)));
  }
  return static_cast<float>(zeros) / static_cast<float>(lines);
}

static int64_t longest_train(const UpdateArgs& args) {
  const DefaultFloatingPoint environment;
  float lr = magnitude(args.lr);
  for (int64_t b = 0; args.rates != nullptr && b < args.batch; ++b) lr = maximum(lr, magnitude(args.rates[b]));
  return longest_train(update_params(args), lr, args.granularity);
}

static int64_t chunk_words(const UpdateArgs& args) {
  const int64_t most = args.batch * longest_train(args);
  return most < kWordsPerChunk ? most : kWordsPerChunk;
}

static size_t update_pulsed_scratch(const UpdateArgs& args) {
  const DefaultFloatingPoint environment;
  return UpdateScratch::bytes(args, UpdatePlan(args), chunk_words(args));
}

// The words of one side of a chunk, spread over the team; those of the lines of the region alone.
static void make_words(const UpdateArgs& args, const UpdatePlan& plan, const TrainScales* scales, const WordRef* refs,
                       int64_t words, bool x_side, uint32_t* out, const RoundKeys& keys, const Member& member) {
  const int64_t size = x_side ? args.tile.in_size : args.tile.out_size;
  const int64_t first = x_side ? plan.region.column : plan.region.row;
  const int64_t lines = x_side ? plan.region.columns() : plan.region.rows();
  const int64_t stride = x_side ? plan.x_stride : plan.d_stride;
  const int sets = x_side ? plan.x_sets : 1;
  const float* values = x_side ? args.x : args.d;
  const bool spans = args.spans.first != nullptr && x_side == (args.spans.of_rows == 0);
  TrainSide side = train_side(update_params(args), x_side, args.train_plane, args.write_train != 0);
  int64_t from, to;
  member.share(words, 1, from, to);
  for (int64_t k = from; k < to; ++k) {
    const WordRef ref = refs[k];
    const TrainScales& s = scales[ref.vector];
    side.scale = x_side ? s.x_scale : s.d_scale;
    const float* v = values + ref.vector * size + first;
    for (int64_t line = 0; line < stride; line += kLanes) {
      const int64_t left = lines - line;
      Mask reached = first_lanes(kLanes);
      if (spans) {
        const int n = static_cast<int>(left < 0 ? 0 : (left < kLanes ? left : kLanes));
        const u32v vector = u32v{} + static_cast<uint32_t>(ref.vector);
        reached = both(negate(less(vector, load_part(args.spans.first + first + line, n))),
                       less(vector, load_part(args.spans.last + first + line, n)));
      }
      if (!any(reached)) {
        for (int set = 0; set < sets; ++set) store(out + (sets * k + set) * stride + line, u32v{});
        continue;
      }
      const f32v value =
          left >= kLanes ? load(v + line) : (left > 0 ? load_part(v + line, static_cast<int>(left)) : f32v{});
      u32v word = train_word<f32v>(value, lane_numbers() + static_cast<uint32_t>(first + line), side, s.length,
                                   ref.word, args.ordinal + static_cast<uint64_t>(ref.vector), keys);
      if (spans) word = select(reached, word, u32v{});
      // Ascent is descent with the sign of d changed.
      if (!x_side && args.lr < 0.0f) word = word ^ kSignBit;
      if (sets == 1) {
        store(out + k * stride + line, word);
      } else {
        const Mask negative = not_zero(word & kSignBit);
        store(out + 2 * k * stride + line, select(negative, u32v{}, word));
        store(out + (2 * k + 1) * stride + line, select(negative, word, u32v{}));
      }
    }
  }
}

// The pulses of one device on the crosspoints of one row.
template <class Device>
struct PulseRow {
  template <class F>
  using CellOf = typename Device::template Cell<F>;
  static constexpr int kPlanes =
      field_count<PulsedCell<f32w>, f32w>() + field_count<typename Device::template Own<f32w>, f32w>();
  static_assert(kPlanes <= kMaxCellPlanes && sizeof(CellOf<f32w>) == kPlanes * sizeof(f32w), "raise kMaxCellPlanes");
  static constexpr int kCrowd = kWideLanes * 3 / 4;  // lanes that make a block of draws worth its price

  const UpdateArgs& args;
  PulseRule<Device> rule;
  int64_t row;  // first crosspoint

  // Reads one value for each plane by `read(plane)`; the fields of a Cell lie in the order of their names.
  template <class F, class Read>
  RPUPY_HD static CellOf<F> read_cell(const Read& read) {
    CellOf<F> cell;
    F* field = reinterpret_cast<F*>(&cell);
#pragma GCC unroll 12
    for (int plane = 0; plane < kPlanes; ++plane) field[plane] = read(plane);
    return cell;
  }

  // Too many planes alternate, in rows that are too short, for the processor to foresee them.
  RPUPY_HD void prefetch(int64_t at, int lanes) const {
    constexpr int kLine = 16;  // values of a line of the cache
#pragma GCC unroll 2
    for (int64_t line = at; line < at + lanes; line += kLine) {
      __builtin_prefetch(args.weights + line);
      __builtin_prefetch(args.pulse_ordinals + line);
#pragma GCC unroll 12
      for (int plane = 0; plane < kPlanes; ++plane) __builtin_prefetch(args.cell[plane] + line);
    }
  }

  template <class F = f32w>
  RPUPY_HD CellOf<F> load_cell(int64_t at, int n) const {
    return read_cell<F>([&](int plane) { return load_wide_part<F>(args.cell[plane] + at, n); });
  }

  // Full blocks, as long as the lanes are crowded or a queue holds more than `most` pulses. Out of line: the counting loop
  // keeps its queues in registers that way.
  __attribute__((noinline)) void drain(int64_t at, int n, uint32_t most, Queues<f32w>& queues) const {
    const u32w crosspoint = wide_lane_numbers() + static_cast<uint32_t>(at);
    const CellOf<f32w> cell = load_cell(at, n);
    f32w w = load_wide_part<f32w>(args.weights + at, n);
    Queues<f32w> q = {queues.ordinal, queues.queue, queues.fill};
    for (;;) {
      const MaskOf<f32w> full = q.full();
      if (count_lanes(full) < kCrowd && !any(less_near(u32w{} + most, q.fill))) break;
      if (any(both(full, not_zero(q.ordinal & 3u)))) {
        rule.template apply<f32w>(full, crosspoint, q, w, cell);
      } else {
        rule.template apply_whole<f32w>(full, crosspoint, q, w, cell);
      }
    }
    store_part(args.weights + at, w, n);
    queues.ordinal = q.ordinal;
    queues.queue = q.queue;
    queues.fill = q.fill;
  }

  // The pulses of all live words on one set of lanes, of which some may still be queued at the end.
  template <bool kRandom, bool kTally>
  RPUPY_HD void count(int64_t j, int n, int64_t live, const RowScratch& s, Queues<f32w>& queues,
                      Tally<u32w>& tally) const {
    u32w all = {}, up = {};
    Queues<f32w> q = {queues.ordinal, queues.queue, queues.fill};
    // No fill exceeds `reach`, which grows by the pulses of each word of d: most words need no look at the lanes.
    int reach = 3;
    for (int64_t k = 0; k < live; ++k) {
      const LiveWord& word = s.live[k];
      if (reach + word.slots.most > 32) {
        reach = 32 - word.slots.most;
        if (any(less_near(u32w{} + static_cast<uint32_t>(reach), q.fill))) {
          Queues<f32w> spilled = {q.ordinal, q.queue, q.fill};
          drain(row + j, n, static_cast<uint32_t>(reach), spilled);
          q.ordinal = spilled.ordinal;
          q.queue = spilled.queue;
          q.fill = spilled.fill;
        }
      }
      reach += word.slots.most;
      const u32w x = load_wide<u32w>(word.x + j);
      const u32w pulses = pulses_of<f32w, kRandom>(x, word.slots);
      q.enqueue(pulses, x ^ word.slots.d);
      if (kTally) {
        all = all + pulses;
        up = up + (pulses & shift_right_signed(x ^ word.slots.d, 31));
      }
    }
    if (kTally) {
      tally.all = all;
      tally.up = up;
    }
    queues.ordinal = q.ordinal;
    queues.queue = q.queue;
    queues.fill = q.fill;
  }

  // One set of lanes.
  template <bool kRandom>
  void run_lanes(int64_t j, int n, int64_t j0, int64_t live, RowScratch& s) const {
    const int64_t at = row + j;
    prefetch(at + kPrefetchAhead, kWideLanes);
    const u32w before = load_wide_part<u32w>(args.pulse_ordinals + at, n);
    // Not in one brace: GCC would clear the queues in memory first.
    Queues<f32w> q;
    q.ordinal = before;
    q.queue = u32w{};
    q.fill = before & 3u;
    if (args.apparent != nullptr) store(s.before + (j - j0), before);
    Tally<u32w> tally = {};
    if (kRandom && args.pulse_counters == nullptr) {
      count<kRandom, false>(j, n, live, s, q, tally);
    } else {
      count<kRandom, true>(j, n, live, s, q, tally);
      if (args.pulse_counters != nullptr) add_tally(args, at, n, tally);
      if (!kRandom) s.wait(tally);
    }
    // A store makes memory travel back, too: with few pulses most sets of lanes have none.
    const u32w behind = q.behind();
    if (any(negate(equal(before, behind)))) store_part(args.pulse_ordinals + at, behind, n);
    if (count_lanes(q.full()) >= kCrowd) drain(at, n, 32, q);
    MaskOf<f32w> pending = both(q.pending(), first_wide_lanes(n));
    if (count_lanes(pending) >= kCrowd) {
      const CellOf<f32w> cell = load_cell(at, n);
      f32w w = load_wide_part<f32w>(args.weights + at, n);
      rule.template apply<f32w>(pending, wide_lane_numbers() + static_cast<uint32_t>(at), q, w, cell);
      store_part(args.weights + at, w, n);
      pending = both(pending, not_zero(q.fill));
    }
    if (!any(pending)) return;
    put<f32w>(
        pending, wide_lane_numbers() + static_cast<uint32_t>(at - s.list.base), q.in_pairs(),
        load_wide_part<f32w>(args.weights + at, n),
        [&](int plane) { return load_wide_part<f32w>(args.cell[plane] + at, n); }, s.list);
    make_room(s.list);
  }

  // The pulses of some slots of d on columns of a list, with the words of x that they have there.
  template <bool kRandom>
  void run_columns(const uint32_t* columns, const uint32_t* words, int64_t listed, const Slots& slots,
                   WaitingList& list) const {
    float* weights = args.weights + row;
    uint32_t* ordinals = args.pulse_ordinals + row;
    for (int64_t at = 0; at < listed; at += kWideLanes) {
      const int n = static_cast<int>(listed - at < kWideLanes ? listed - at : kWideLanes);
      const MaskOf<f32w> inside = first_wide_lanes(n);
      // Lanes behind the end stand on the first column; no mask lets them move it.
      const u32w column = select(inside, load_wide<u32w>(columns + at), u32w{} + columns[0]);
      const u32w word = load_wide<u32w>(words + at);
      const u32w pulses = pulses_of<f32w, kRandom>(word, slots);
      MaskOf<f32w> hit = both(inside, not_zero(pulses));
      if (!any(hit)) continue;
      Queues<f32w> q;
      q.ordinal = gather(ordinals, column);
      q.queue = u32w{};
      q.fill = q.ordinal & 3u;
      q.enqueue(pulses, word ^ slots.d);
      const u32w behind = q.behind();
      q = q.in_pairs();
      f32w w = gather(weights, column);
      const CellOf<f32w> cell = read_cell<f32w>([&](int plane) { return gather(args.cell[plane] + row, column); });
      scatter(ordinals, column, behind, hit);
      if (count_lanes(hit) >= kCrowd) {
        rule.template apply_pair<f32w>(column + static_cast<uint32_t>(row), q, w, cell);
        const MaskOf<f32w> more = both(hit, not_zero(q.fill));
        scatter(weights, column, w, both(hit, negate(more)));
        if (!any(more)) continue;
        hit = more;
      }
      const f32w* field = reinterpret_cast<const f32w*>(&cell);
      put<f32w>(
          hit, column + static_cast<uint32_t>(row - list.base), q, w, [&](int plane) { return field[plane]; }, list);
      make_room(list);
    }
  }

  // Crosspoints of this row can be listed.
  void start_list(WaitingList& list) const {
    if (list.count > 0 && row + args.tile.in_size - list.base <= INT32_MAX) return;
    work_off(list, true);
    list.base = row;
  }

  // Puts the lanes of `mask` on the list. `read(plane)` is what they have there.
  template <class F, class Read>
  RPUPY_HD static void put(MaskOf<F> mask, UIntOf<F> crosspoint, const Queues<F>& pairs, F w, const Read& read,
                           WaitingList& list) {
    const auto order = order_of(mask);
    const int at = list.count;
    append(list.crosspoint + at, crosspoint, order);
    append(list.ordinal + at, pairs.ordinal, order);
    append(list.queue + at, pairs.queue, order);
    append(list.fill + at, pairs.fill, order);
    append(list.weight + at, w, order);
#pragma GCC unroll 12
    for (int plane = 0; plane < kPlanes; ++plane) append(list.cell[plane] + at, read(plane), order);
    list.count = at + count_of(order);
  }

  // One block of draws for `n` crosspoints of the list, from `at` on; those with further pulses go back to its end.
  template <class F>
  RPUPY_HD void work_off_block(int at, int n, WaitingList& list) const {
    using U = UIntOf<F>;
    const MaskOf<F> mask = first_lanes_of<U>(n);
    const U crosspoint = load_wide<U>(list.crosspoint + at);
    Queues<F> q = {load_wide<U>(list.ordinal + at), load_wide<U>(list.queue + at), load_wide<U>(list.fill + at)};
    const CellOf<F> cell = read_cell<F>([&](int plane) { return load_wide<F>(list.cell[plane] + at); });
    F w = load_wide<F>(list.weight + at);
    rule.template apply_pair<F>(crosspoint + static_cast<uint32_t>(list.base), q, w, cell);
    const MaskOf<F> more = both(mask, not_zero(q.fill));
    scatter(args.weights + list.base, crosspoint, w, both(mask, negate(more)));
    const F* field = reinterpret_cast<const F*>(&cell);
    if (any(more)) put<F>(more, crosspoint, q, w, [&](int plane) { return field[plane]; }, list);
  }

  // Blocks that fill the lanes; with `all` the others, too, until the list is empty. The list grows from its beginning
  // again while it is read, over what has been read of it.
  __attribute__((noinline)) void work_off(WaitingList& list, bool all) const {
    do {
      const int listed = list.count;
      list.count = 0;
      int at = 0;
      for (; at + kWideLanes <= listed; at += kWideLanes) work_off_block<f32w>(at, kWideLanes, list);
      const int left = listed - at;
      if (!all) {
        move(at, left, list);
      } else if (left > kLanes) {
        work_off_block<f32w>(at, left, list);
      } else if (left > 0) {
        work_off_block<f32v>(at, left, list);
      }
    } while (all && list.count > 0);
  }

  // Crosspoints with many pulses come back to the list again and again.
  RPUPY_HD void make_room(WaitingList& list) const {
    while (list.count >= kMostWaiting) work_off(list, false);
  }

  // Less than a set of lanes of the list from `at` on becomes its end.
  static void move(int at, int n, WaitingList& list) {
    const auto take = [&](auto* values) { store(values + list.count, load_wide<u32w>(values + at)); };
    take(list.crosspoint);
    take(list.ordinal);
    take(list.queue);
    take(list.fill);
    const auto take_floats = [&](float* values) { take(reinterpret_cast<uint32_t*>(values)); };
    take_floats(list.weight);
    for (int plane = 0; plane < kPlanes; ++plane) take_floats(list.cell[plane]);
    list.count += n;
  }

  // Fresh apparent weights for the crosspoints that had a pulse.
  void show(int64_t j0, int64_t j1, const RowScratch& s) const {
    for (int64_t j = j0; j < j1; j += kWideLanes) {
      const int n = static_cast<int>(j1 - j < kWideLanes ? j1 - j : kWideLanes);
      const int64_t at = row + j;
      const u32w ordinal = load_wide_part<u32w>(args.pulse_ordinals + at, n);
      const MaskOf<f32w> touched =
          both(negate(equal(ordinal, load_wide<u32w>(s.before + (j - j0)))), first_wide_lanes(n));
      if (!any(touched)) continue;
      const f32w shown =
          apparent_after_pulses(load_wide_part<f32w>(args.weights + at, n), args.write_noise,
                                wide_lane_numbers() + static_cast<uint32_t>(at), ordinal, args.tile.plane, rule.keys);
      store_part(args.apparent + at, select(touched, shown, load_wide_part<f32w>(args.apparent + at, n)), n);
    }
  }

  // Pulses may be left on the list of `s`.
  void run(int64_t j0, int64_t j1, int64_t live, RowScratch& s) const {
    const bool random = update_params(args).kind() == kRandomTrains;
    start_list(s.list);
    for (int64_t j = j0; j < j1; j += kWideLanes) {
      const int n = static_cast<int>(j1 - j < kWideLanes ? j1 - j : kWideLanes);
      if (random) {
        run_lanes<true>(j, n, j0, live, s);
      } else {
        run_lanes<false>(j, n, j0, live, s);
      }
    }
    if (!random) s.add_waiting();
    if (args.apparent == nullptr) return;
    work_off(s.list, true);
    show(j0, j1, s);
  }
};

// Lists the words of a row in which d has pulses. A word with more than a queue takes at once makes two, if `halves`.
static int64_t live_words(const UpdateArgs& args, const UpdateScratch& scratch, const UpdatePlan& plan, TrainKind kind,
                          bool halves, int64_t words, int64_t row, RowScratch& rows) {
  int64_t live = 0;
  for (int64_t k = 0; k < words; ++k) {
    const WordRef ref = scratch.refs[k];
    uint32_t d = scratch.d_words[k * plan.d_stride + row - plan.region.row];
    int64_t set = k * plan.x_sets;
    if (args.route != kBothDirections) {
      // A pulse goes up where the signs differ.
      const bool negative = (d & kSignBit) != 0;
      set += negative == (args.route == kDownTurnedUp) ? 1 : 0;
      if (args.route == kDownTurnedUp) d ^= kSignBit;
    }
    // Words are addressed by the number of their column.
    const uint32_t* x = scratch.x_words + set * plan.x_stride - plan.region.column;
    const Slots slots = slots_of(kind, d, scratch.scales[ref.vector].length, ref.word);
    if (halves) {
      for_halves(slots, [&](const Slots& half) { rows.live[live++] = {x, half}; });
    } else if (slots.most > 0) {
      rows.live[live++] = {x, slots};
    }
  }
  return live;
}

// Counts the pulses of the words of a chunk that this member made, if they are random; the rows count the others.
static void tally_words(const UpdateArgs& args, const UpdateScratch& scratch, const UpdatePlan& plan, int64_t words,
                        RowScratch& rows, const Member& member) {
  if (args.tally == nullptr || update_params(args).kind() != kRandomTrains) return;
  SlotCounts x, d;
  int64_t from, to;
  member.share(words, 1, from, to);
  const int64_t x_words = plan.x_sets * plan.x_stride;
  WordGroup group;
  for (int64_t k = from; k < to; k += group.count) {
    group.count = 0;
    for (int32_t used = 0; k + group.count < to;) {
      const WordRef ref = scratch.refs[k + group.count];
      const int32_t left = scratch.scales[ref.vector].length - ref.word * kSlotsPerWord;
      if (!group.take(left < kSlotsPerWord ? left : kSlotsPerWord, used)) break;
    }
    count_slots(scratch.x_words + k * x_words, x_words, group, x_words, x);
    count_slots(scratch.d_words + k * plan.d_stride, plan.d_stride, group, plan.d_stride, d);
    const Coincidences found = coincidences(x, d);
    if (args.route == kBothDirections) rows.down += found.equal;
    rows.up += args.route == kDownTurnedUp ? found.equal : found.different;
  }
}

// Adds what a member counted to the events of the plane.
static void add_events(const UpdateArgs& args, const UpdatePlan& plan, const UpdateScratch& scratch,
                       const RowScratch& rows, const Member& member) {
  if (args.tally == nullptr) return;
  __atomic_fetch_add(args.tally + kPulsesDown, rows.down, __ATOMIC_RELAXED);
  __atomic_fetch_add(args.tally + kPulsesUp, rows.up, __ATOMIC_RELAXED);
  if (member.number != 0 || !counts_slots(args, plan.region)) return;
  int64_t slots = 0, written = 0;
  for (int64_t b = 0; b < args.batch; ++b) {
    if (reaches_first_line(args.spans, b)) slots += scratch.scales[b].length;
    if (args.write_train != 0 && scratch.scales[b].length > 0) ++written;
  }
  __atomic_fetch_add(args.tally + kTrainSlots, slots, __ATOMIC_RELAXED);
  __atomic_fetch_add(args.tally + kTrainsWritten, written, __ATOMIC_RELAXED);
}

template <class Device>
struct AggregatedRow;

template <class Device>
static void update_pulsed(const UpdateArgs& args, void* scratch_base) {
  const DefaultFloatingPoint environment;
  const UpdatePlan plan(args);
  const int64_t room = chunk_words(args);
  const UpdateScratch scratch(scratch_base, args, plan, room);
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const PulseRule<Device> rule = {*reinterpret_cast<const typename Device::Params*>(args.own), keys, args.dw_min_std,
                                  args.tile.plane};
  const TrainKind kind = update_params(args).kind();
  const bool aggregates = aggregation_of<Device>(0) != kPulseByPulse && update_params(args).aggregates();
  const int64_t per_vector = portion_stride(update_params(args), args);
  const Region& region = plan.region;
  int64_t block = room > 0 ? kBlockWords / room / 64 * 64 : kColumnsPerBlock;
  block = block < 64 ? 64 : (block > kColumnsPerBlock ? kColumnsPerBlock : block);

  run_team(plan.threads, [&](const Member& member) {
    RowScratch& rows = scratch.of(member.number);
    rows.start();
    int64_t from, to;
    member.share(args.batch, 1, from, to);
    for (int64_t b = from; b < to; ++b) scratch.scales[b] = scales_of(args, b);
    meet(member);

    int64_t first_row, last_row;
    member.share(region.rows(), 1, first_row, last_row);
    int64_t vector = 0;
    int32_t word = 0;
    for (;;) {
      // Every member walks the same list of words, so all agree on the next chunk.
      int64_t words = 0;
      const int64_t chunk_vector = vector;
      const int32_t chunk_word = word;
      int64_t end = INT64_MAX;
      if (aggregates) {
        const int64_t before = args.first_vector * per_vector;
        end = portion_end(before + vector * per_vector + word, per_vector) - before;
      }
      while (vector < args.batch && words < room && vector * per_vector + word < end) {
        if (word < scratch.scales[vector].words) {
          ++words;
          ++word;
        } else {
          ++vector;
          word = 0;
        }
      }
      if (words == 0) {
        if (vector < args.batch) continue;  // vectors of zeros
        break;
      }
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
      make_words(args, plan, scratch.scales, scratch.refs, words, true, scratch.x_words, keys, member);
      make_words(args, plan, scratch.scales, scratch.refs, words, false, scratch.d_words, keys, member);
      tally_words(args, scratch, plan, words, rows, member);
      meet(member);
      for (int64_t j0 = region.column; j0 < region.last_column; j0 += block) {
        const int64_t j1 = region.last_column - j0 < block ? region.last_column : j0 + block;
        for (int64_t i = region.row + first_row; i < region.row + last_row; ++i) {
          const int64_t live = live_words(args, scratch, plan, kind, !aggregates, words, i, rows);
          if (live == 0) continue;
          if constexpr (aggregation_of<Device>(0) != kPulseByPulse) {
            if (aggregates) {
              AggregatedRow<Device>{args, rule, i * args.tile.in_size}.run(j0, j1, live, rows);
              continue;
            }
          }
          PulseRow<Device>{args, rule, i * args.tile.in_size}.run(j0, j1, live, rows);
        }
        PulseRow<Device>{args, rule, 0}.work_off(rows.list, true);
      }
      meet(member);
    }
    add_events(args, plan, scratch, rows, member);
  });
  if (args.zeros != nullptr) *args.zeros = zero_share(args, args.batch - 1);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
