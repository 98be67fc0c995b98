// Purpose: pulsed updates: train scales, pulse words, and the pulses of a mini-batch on each crosspoint.
// Invariants: a thread keeps the weight, the planes and the queue of a crosspoint in registers while all vectors of the
// mini-batch pass in their order. A warp has one row, so all its threads see the same word of d and work off their queues
// together. Random numbers are made where they are used.
#include "launch.h"

#include "../csrc/aggregate.h"
#include "../csrc/devices/device_list.h"
#include "../csrc/pulse.h"
#include "../csrc/queue.h"
#include "launchers.h"

namespace rpupy {
namespace cuda {

constexpr int kTileRows = 8;
constexpr int kTileColumns = 32;
constexpr int kSlice = 128;  // words of each line that are staged at a time
static_assert(kSlice >= kPortionWords, "a portion is staged as a whole");

static const UpdateParams& update_params(const UpdateArgs& args) {
  return *reinterpret_cast<const UpdateParams*>(args.update);
}

int64_t longest_train(const UpdateArgs& args) {
  const DefaultFloatingPoint environment;
  // Rates of single vectors are on the device: there, only the limit of all trains is known here.
  const float lr = args.rates == nullptr ? magnitude(args.lr) : 3.0e38f;
  return longest_train(update_params(args), lr, args.granularity);
}

// The mini-batch as words: vector after vector, each with room for the longest train that its parameters allow.
struct WordLayout {
  int64_t in_size, out_size;
  int64_t per_vector;  // words of a line in each vector
  int64_t vectors;     // that one launch takes

  explicit WordLayout(const UpdateArgs& args)
      : in_size(args.tile.in_size), out_size(args.tile.out_size), per_vector(longest_train(args)) {
    const int64_t bytes = per_vector * (in_size + out_size) * static_cast<int64_t>(sizeof(uint32_t));
    const int64_t most = bytes > 0 && kMostScratch / bytes > 1 ? kMostScratch / bytes : 1;
    vectors = args.batch < most ? args.batch : most;
    if (vectors < args.batch && update_params(args).aggregates()) {
      const int64_t whole = portion_vectors(per_vector);
      vectors = vectors < whole ? whole : vectors / whole * whole;
      if (vectors > args.batch) vectors = args.batch;
    }
  }

  int64_t scale_bytes(int64_t batch) const {
    return (batch * static_cast<int64_t>(sizeof(TrainScales)) + 63) / 64 * 64;
  }
  int64_t words() const { return vectors * per_vector; }
};

size_t update_pulsed_scratch(const UpdateArgs& args) {
  const WordLayout layout(args);
  return static_cast<size_t>(layout.scale_bytes(args.batch)) +
         static_cast<size_t>(layout.words() * (layout.in_size + layout.out_size)) * sizeof(uint32_t);
}

size_t update_pulsed_most_scratch(const UpdateArgs& args) {
  const DefaultFloatingPoint environment;
  const WordLayout layout(args);
  const int64_t longest = longest_train(update_params(args), 3.0e38f, 1.0f);
  const int64_t line_bytes = (layout.in_size + layout.out_size) * static_cast<int64_t>(sizeof(uint32_t));
  // Shorter trains leave room for more vectors, up to the limit of a launch or the least that it takes.
  const int64_t least = (longest > kPortionWords ? longest : kPortionWords) * line_bytes;
  const int64_t limit = least > kMostScratch ? least : kMostScratch;
  const int64_t all = args.batch * longest * line_bytes;
  return static_cast<size_t>(layout.scale_bytes(args.batch) + (all < limit ? all : limit));
}

// ---- train scales --------------------------------------------------------------------------------

struct ScalesJob {
  UpdateParams params;
  float lr, granularity;
  const float* rates;
  const float* x;
  const float* d;
  int64_t batch, in_size, out_size;
  TrainScales* scales;
  LineSpans spans;
  int64_t* tally;  // slots and trains of writes are added to it; null: nobody counts
  bool write;
};

RPUPY_KERNEL(kBlockThreads)
scales_kernel(ScalesJob job) {
  RPUPY_SHARED(float, x_max, kBlockThreads);
  RPUPY_SHARED(float, d_max, kBlockThreads);
  for (int64_t b = blockIdx.x; b < job.batch; b += gridDim.x) {
    largest_magnitude(job.x + b * job.in_size, job.in_size, x_max);
    largest_magnitude(job.d + b * job.out_size, job.out_size, d_max);
    phase([&] {
      if (threadIdx.x == 0) {
        const float lr = job.rates == nullptr ? job.lr : magnitude(job.rates[b]);
        job.scales[b] = train_scales(job.params, lr, job.granularity, x_max[0], d_max[0]);
        if (job.tally == nullptr || job.scales[b].length == 0) return;
        if (reaches_first_line(job.spans, b)) add_events(job.tally + kTrainSlots, job.scales[b].length);
        if (job.write) add_events(job.tally + kTrainsWritten, 1);
      }
    });
  }
}

// ---- zeros ---------------------------------------------------------------------------------------

struct ZerosJob {
  UpdateParams params;
  float lr, granularity;
  const float* rates;
  const float* x;
  const float* d;
  int64_t first, batch, in_size, out_size;
  TrainSide side;
  uint64_t ordinal;
  RoundKeys keys;
  float* shares;  // of the vectors from `first` on
};

RPUPY_KERNEL(kBlockThreads)
zeros_kernel(ZerosJob job) {
  RPUPY_SHARED(float, x_max, kBlockThreads);
  RPUPY_SHARED(float, d_max, kBlockThreads);
  RPUPY_SHARED(uint32_t, zeros, 1);
  for (int64_t b = job.first + blockIdx.x; b < job.batch; b += gridDim.x) {
    const float* d = job.d + b * job.out_size;
    largest_magnitude(job.x + b * job.in_size, job.in_size, x_max);
    largest_magnitude(d, job.out_size, d_max);
    phase([&] {
      if (threadIdx.x == 0) zeros[0] = 0;
    });
    const float lr = job.rates == nullptr ? job.lr : magnitude(job.rates[b]);
    const TrainScales s = scales_for_zeros(job.params, lr, job.granularity, x_max[0], d_max[0]);
    TrainSide side = job.side;
    side.scale = s.d_scale;
    phase([&] {
      uint32_t mine = 0;
      for_block(s.length == 0 ? 0 : job.out_size, [&](int64_t i) {
        const float q = slot_probability<float>(d[i], static_cast<uint32_t>(i), side,
                                                job.ordinal + static_cast<uint64_t>(b), job.keys);
        if (q == 0.0f) ++mine;
      });
      if (mine != 0) atomicAdd(zeros, mine);
    });
    phase([&] {
      if (threadIdx.x != 0) return;
      job.shares[b - job.first] = static_cast<float>(zeros[0]) / static_cast<float>(job.out_size);
    });
  }
}

Status zero_shares(const Place& place, const UpdateArgs& args, int64_t first, float* shares) {
  const UpdateParams& params = update_params(args);
  const ZerosJob job = {params,
                        magnitude(args.lr),
                        args.granularity,
                        args.rates,
                        args.x,
                        args.d,
                        first,
                        args.batch,
                        args.tile.in_size,
                        args.tile.out_size,
                        train_side(params, false, args.train_plane, args.write_train != 0),
                        args.ordinal,
                        round_keys(args.tile.key[0], args.tile.key[1]),
                        shares};
  return RPUPY_LAUNCH(zeros_kernel, blocks_for(args.batch - first), kBlockThreads, place, job);
}

// ---- words ---------------------------------------------------------------------------------------

struct WordsJob {
  TrainSide side;
  bool x_side;
  uint32_t sign;  // turns every word over: ascent is descent with the sign of d changed
  const float* values;
  const uint32_t* from;  // the first vector that reaches each line, and that behind the last; null for all vectors
  const uint32_t* to;
  const TrainScales* scales;
  int64_t first, words, per_vector, lines;
  uint64_t ordinal;
  uint32_t* out;  // [words, lines]
  RoundKeys keys;
};

RPUPY_KERNEL(kBlockThreads)
words_kernel(WordsJob job) {
  for_grid(job.words * job.lines, [&](int64_t at) {
    const int64_t vector = job.first + at / job.lines / job.per_vector;
    const int32_t word = static_cast<int32_t>(at / job.lines % job.per_vector);
    const TrainScales& s = job.scales[vector];
    const int64_t line = at % job.lines;
    const bool reached = job.from == nullptr || (job.from[line] <= vector && vector < job.to[line]);
    TrainSide side = job.side;
    side.scale = job.x_side ? s.x_scale : s.d_scale;
    job.out[at] = reached && word < s.words
                      ? train_word<float>(job.values[vector * job.lines + line], static_cast<uint32_t>(line), side,
                                          s.length, word, job.ordinal + static_cast<uint64_t>(vector), job.keys) ^
                            job.sign
                      : 0u;
  });
}

// ---- pulses --------------------------------------------------------------------------------------

template <class Device>
struct PulseJob {
  typename Device::Params params;
  RoundKeys keys;
  float dw_min_std, write_noise;
  uint32_t plane;
  int32_t route;
  Region region;
  int64_t out_size, in_size, words;
  const uint32_t* x_words;  // [words, in_size]
  const uint32_t* d_words;  // [words, out_size]
  TrainKind kind;
  const TrainScales* scales;  // of the first vector of these words
  int64_t per_vector;
  int64_t words_before;  // in the mini-batch
  float* weights;
  float* apparent;
  uint32_t* pulse_ordinals;
  int64_t* pulse_counters;
  int64_t* tally;  // pulses down and up are added to it; null: nobody counts
  const float* cell[kMaxCellPlanes];

  RPUPY_BLOCK PulseRule<Device> rule() const { return {params, keys, dw_min_std, plane}; }

  // The slots of word `k` of the launch, which is `d_word` in some row.
  RPUPY_BLOCK Slots slots(uint32_t d_word, int64_t k) const {
    if (kind == kRandomTrains) return slots_of(kind, d_word, 0, 0);
    return slots_of(kind, d_word, scales[k / per_vector].length, static_cast<int32_t>(k % per_vector));
  }
};

// What a route lets pass of the slots of a word of d, for the crosspoints of one word of x.
RPUPY_BLOCK Slots routed(int32_t route, uint32_t x_word, Slots slots) {
  if (route == kBothDirections) return slots;
  const bool up = ((x_word ^ slots.d) & kSignBit) != 0;
  if (up != (route == kUpOnly)) slots.most = 0;
  if (!up) slots.d ^= kSignBit;
  return slots;
}

// What a thread keeps of its crosspoint.
template <class Device>
struct Crosspoint {
  using Cell = typename Device::template Cell<float>;
  static constexpr int kPlanes =
      field_count<PulsedCell<float>, float>() + field_count<typename Device::template Own<float>, float>();

  Cell cell;
  float w;
  Queues<float> queue;
  uint32_t before;  // pulse ordinal at the start
  uint32_t up;      // pulses that went up
  int32_t reach;    // no queue of the row is filled beyond this

  RPUPY_BLOCK void load(const PulseJob<Device>& job, int64_t at) {
    float* fields = reinterpret_cast<float*>(&cell);
    RPUPY_UNROLL
    for (int plane = 0; plane < kPlanes; ++plane) fields[plane] = job.cell[plane][at];
    w = job.weights[at];
    before = job.pulse_ordinals[at];
    queue = {before, 0u, before & 3u};
    up = 0;
    reach = 3;
  }

  // Works off all whole blocks of four ordinals.
  RPUPY_BLOCK void drain(const PulseRule<Device>& rule, uint32_t crosspoint) {
    while (queue.full()) rule.template apply<float>(true, crosspoint, queue, w, cell);
  }

  RPUPY_BLOCK void take(const PulseRule<Device>& rule, int32_t route, bool random, uint32_t crosspoint, uint32_t x_word,
                        const Slots& slots) {
    for_halves(routed(route, x_word, slots), [&](const Slots& half) {
      if (reach + half.most > 32) {
        drain(rule, crosspoint);
        reach = 3;
      }
      reach += half.most;
      const uint32_t pulses = random ? pulses_of<float, true>(x_word, half) : pulses_of<float, false>(x_word, half);
      const uint32_t sign = x_word ^ half.d;
      queue.enqueue(pulses, sign);
      if (sign & kSignBit) up += pulses;
    });
  }

  // The pulses of a portion with one draw of noise, or one by one where aggregate.h calls that unsafe.
  template <class Words>
  RPUPY_BLOCK void take_portion(const PulseJob<Device>& job, int64_t at, int part, const Words& words) {
    const uint32_t crosspoint = static_cast<uint32_t>(at);
    const bool random = job.kind == kRandomTrains;
    Aggregate<Device, float> sum;
    sum.start(w);
    for (int k = 0; k < part; ++k) {
      const uint32_t x_word = words.x(k);
      const Slots slots = routed(job.route, x_word, words.slots(k));
      if (slots.most == 0) continue;
      const uint32_t pulses = random ? pulses_of<float, true>(x_word, slots) : pulses_of<float, false>(x_word, slots);
      sum.take(job.params, cell, pulses, x_word ^ slots.d);
    }
    if (sum.all == 0) return;
    const Outcome<float> outcome = sum.outcome(cell, w);
    if (outcome.unsafe(cell, job.dw_min_std)) {
      for (int k = 0; k < part; ++k) take(job.rule(), job.route, random, crosspoint, words.x(k), words.slots(k));
      drain(job.rule(), crosspoint);
      if (queue.pending()) job.rule().template apply<float>(true, crosspoint, queue, w, cell);
    } else {
      const float noise = aggregated_noise<float>(crosspoint, queue.ordinal, job.dw_min_std, job.plane, job.keys);
      w = clamp(outcome.weight(noise), cell.lowest(), cell.highest());
      queue.ordinal += sum.all;
      up += sum.up;
    }
    queue.fill = queue.ordinal & 3u;
    reach = 3;
  }

  // `down_up`: sums of the block.
  RPUPY_BLOCK void finish(const PulseJob<Device>& job, int64_t at, unsigned long long* down_up) {
    const uint32_t crosspoint = static_cast<uint32_t>(at);
    drain(job.rule(), crosspoint);
    if (queue.pending()) job.rule().template apply<float>(true, crosspoint, queue, w, cell);
    // A chunk without a pulse here leaves everything as it is, the write noise too.
    if (queue.ordinal == before) return;
    job.weights[at] = w;
    job.pulse_ordinals[at] = queue.ordinal;
    const uint32_t down = queue.ordinal - before - up;
    if (job.pulse_counters != nullptr) {
      job.pulse_counters[at] += down;
      job.pulse_counters[job.out_size * job.in_size + at] += up;
    }
    if (down != 0) atomicAdd(down_up + kPulsesDown, static_cast<unsigned long long>(down));
    if (up != 0) atomicAdd(down_up + kPulsesUp, static_cast<unsigned long long>(up));
    if (job.apparent != nullptr) {
      job.apparent[at] = apparent_after_pulses(w, job.write_noise, crosspoint, queue.ordinal, job.plane, job.keys);
    }
  }
};

// The words of one crosspoint among those that are staged.
template <class Device>
struct StagedWords {
  const PulseJob<Device>& job;
  const uint32_t* x_words;
  const uint32_t* d_words;
  int64_t from;

  RPUPY_BLOCK uint32_t x(int k) const { return x_words[k * kTileColumns]; }
  RPUPY_BLOCK Slots slots(int k) const { return job.slots(d_words[k * kTileRows], from + k); }
};

template <class Device, bool kAggregates>
RPUPY_KERNEL(kTileRows* kTileColumns)
pulse_kernel(PulseJob<Device> job) {
  RPUPY_SHARED(uint32_t, x_words, kSlice* kTileColumns);
  RPUPY_SHARED(uint32_t, d_words, kSlice* kTileRows);
  RPUPY_SHARED(unsigned long long, down_up, 2);
  PerThread<Crosspoint<Device>> crosspoints;
  const Region& region = job.region;
  const int64_t column_tiles = (region.columns() + kTileColumns - 1) / kTileColumns;
  const int64_t row_tiles = (region.rows() + kTileRows - 1) / kTileRows;
  phase([&] {
    if (threadIdx.x < 2) down_up[threadIdx.x] = 0;
  });
  for (int64_t tile = blockIdx.x; tile < row_tiles * column_tiles; tile += gridDim.x) {
    const int64_t first_row = region.row + tile / column_tiles * kTileRows;
    const int64_t first_column = region.column + tile % column_tiles * kTileColumns;
    // Calls each(crosspoint, row of the tile, column of the tile) in the threads that have one.
    const auto for_crosspoint = [&](const auto& each) {
      const int row = static_cast<int>(threadIdx.x) / kTileColumns;
      const int column = static_cast<int>(threadIdx.x) % kTileColumns;
      if (first_row + row < region.last_row && first_column + column < region.last_column) {
        each((first_row + row) * job.in_size + first_column + column, row, column);
      }
    };
    threads([&] { for_crosspoint([&](int64_t at, int, int) { crosspoints.mine().load(job, at); }); });
    for (int64_t from = 0, to; from < job.words; from = to) {
      to = from + kSlice;
      if (kAggregates) to = portion_end(job.words_before + from, job.per_vector) - job.words_before;
      if (to > job.words) to = job.words;
      const int part = static_cast<int>(to - from);
      phase([&] {
        for_block(part * kTileColumns, [&](int64_t n) {
          const int64_t column = first_column + n % kTileColumns;
          if (column < region.last_column) x_words[n] = job.x_words[(from + n / kTileColumns) * job.in_size + column];
        });
        for_block(part * kTileRows, [&](int64_t n) {
          const int64_t row = first_row + n % kTileRows;
          if (row < region.last_row) d_words[n] = job.d_words[(from + n / kTileRows) * job.out_size + row];
        });
      });
      phase([&] {
        for_crosspoint([&](int64_t at, int row, int column) {
          Crosspoint<Device>& mine = crosspoints.mine();
          const StagedWords<Device> words = {job, x_words + column, d_words + row, from};
          if constexpr (kAggregates) {
            mine.take_portion(job, at, part, words);
          } else {
            const bool random = job.kind == kRandomTrains;
            for (int k = 0; k < part; ++k) {
              mine.take(job.rule(), job.route, random, static_cast<uint32_t>(at), words.x(k), words.slots(k));
            }
          }
        });
      });
    }
    threads([&] { for_crosspoint([&](int64_t at, int, int) { crosspoints.mine().finish(job, at, down_up); }); });
  }
  if (job.tally == nullptr) return;
  phase([] {});
  threads([&] {
    if (threadIdx.x < 2) add_events(job.tally + threadIdx.x, static_cast<int64_t>(down_up[threadIdx.x]));
  });
}

// ---- launches ------------------------------------------------------------------------------------

static Status make_words(const Place& place, const UpdateArgs& args, const WordLayout& layout,
                         const TrainScales* scales, int64_t first, int64_t words, bool x_side, uint32_t* out) {
  const UpdateParams& params = update_params(args);
  const int64_t lines = x_side ? layout.in_size : layout.out_size;
  const bool spans = x_side == (args.spans.of_rows == 0);
  const WordsJob job = {train_side(params, x_side, args.train_plane, args.write_train != 0),
                        x_side,
                        !x_side && args.lr < 0.0f ? kSignBit : 0u,
                        x_side ? args.x : args.d,
                        spans ? args.spans.first : nullptr,
                        spans ? args.spans.last : nullptr,
                        scales,
                        first,
                        words,
                        layout.per_vector,
                        lines,
                        args.ordinal,
                        out,
                        round_keys(args.tile.key[0], args.tile.key[1])};
  return RPUPY_LAUNCH(words_kernel, blocks_of_threads(words * lines), kBlockThreads, place, job);
}

template <class Device>
static Status launch_pulses(const Place& place, int64_t tiles, bool aggregates, const PulseJob<Device>& job) {
  constexpr int kThreads = kTileRows * kTileColumns;
  if constexpr (aggregation_of<Device>(0) != kPulseByPulse) {
    if (aggregates) return RPUPY_LAUNCH((pulse_kernel<Device, true>), blocks_for(tiles), kThreads, place, job);
  }
  return RPUPY_LAUNCH((pulse_kernel<Device, false>), blocks_for(tiles), kThreads, place, job);
}

template <class Device>
static Status update_device(const Place& place, const UpdateArgs& args, void* scratch) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const WordLayout layout(args);
  const Region region = region_of(args.window, args.tile);
  const UpdateParams& params = update_params(args);
  TrainScales* scales = static_cast<TrainScales*>(scratch);
  uint32_t* x_words = reinterpret_cast<uint32_t*>(static_cast<char*>(scratch) + layout.scale_bytes(args.batch));
  uint32_t* d_words = x_words + layout.words() * layout.in_size;

  int64_t* tally = counts_slots(args, region) ? args.tally : nullptr;
  const ScalesJob scales_job = {params,
                                magnitude(args.lr),
                                args.granularity,
                                args.rates,
                                args.x,
                                args.d,
                                args.batch,
                                layout.in_size,
                                layout.out_size,
                                scales,
                                args.spans,
                                tally,
                                args.write_train != 0};
  RPUPY_TRY(RPUPY_LAUNCH(scales_kernel, blocks_for(args.batch), kBlockThreads, place, scales_job));

  PulseJob<Device> pulse_job = {*reinterpret_cast<const typename Device::Params*>(args.own),
                                round_keys(args.tile.key[0], args.tile.key[1]),
                                args.dw_min_std,
                                args.write_noise,
                                args.tile.plane,
                                args.route,
                                region,
                                layout.out_size,
                                layout.in_size,
                                0,
                                x_words,
                                d_words,
                                params.kind(),
                                scales,
                                layout.per_vector,
                                0,
                                args.weights,
                                args.apparent,
                                args.pulse_ordinals,
                                args.pulse_counters,
                                args.tally,
                                {}};
  for (int plane = 0; plane < kMaxCellPlanes; ++plane) pulse_job.cell[plane] = args.cell[plane];
  const int64_t tiles =
      (region.rows() + kTileRows - 1) / kTileRows * ((region.columns() + kTileColumns - 1) / kTileColumns);

  for (int64_t first = 0, vectors = 0; first < args.batch; first += vectors) {
    vectors = layout.vectors;
    // Portions that share a draw of noise are not cut.
    if (vectors < args.batch && params.aggregates()) {
      vectors -= (args.first_vector + first) % portion_vectors(layout.per_vector);
    }
    if (vectors > args.batch - first) vectors = args.batch - first;
    const int64_t words = vectors * layout.per_vector;
    RPUPY_TRY(make_words(place, args, layout, scales, first, words, true, x_words));
    RPUPY_TRY(make_words(place, args, layout, scales, first, words, false, d_words));
    pulse_job.words = words;
    pulse_job.words_before = (args.first_vector + first) * layout.per_vector;
    pulse_job.scales = scales + first;
    RPUPY_TRY(launch_pulses(place, tiles, params.aggregates(), pulse_job));
  }
  return {};
}

Status update_pulsed(const Place& place, int number, const UpdateArgs& args, void* scratch) {
  using Function = Status (*)(const Place&, const UpdateArgs&, void*);
#define RPUPY_ENTRY(Device) update_device<Device>,
  static constexpr Function kFunctions[] = {RPUPY_PULSED_DEVICES(RPUPY_ENTRY)};
#undef RPUPY_ENTRY
  RPUPY_TRY(kFunctions[number](place, args, scratch));
  return args.zeros == nullptr ? Status{} : zero_shares(place, args, args.batch - 1, args.zeros);
}

}  // namespace cuda
}  // namespace rpupy
