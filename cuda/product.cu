// Purpose: forward and backward: converter, product, noise, converter, and the rounds of bound management.
// Invariants: a vector's result depends on nothing but itself, the weights and its ordinal. Every round that the
// parameters allow is launched; on the device, each does only the vectors that clipped in the one before.
#include "chains.h"

#include "../csrc/mvm.h"
#include "launchers.h"

namespace rpupy {
namespace cuda {

// What the kernels know of one vector.
struct VectorState {
  InputFacts facts;
  float factor;        // after the output converter
  int32_t active;      // whether this round does anything for it
  int32_t clipped[2];  // whether an output left the converter's range, for odd and even rounds
};

struct ProductJob {
  IOParams io;
  OutputPlan plan;
  RoundKeys keys;
  const float* weights;
  const float* input;     // [batch, inputs]
  float* output;          // [batch, outputs]
  float* prepared;        // [batch, inputs]
  VectorState* states;    // [batch]
  PassFacts* pass_facts;  // [batch, passes]
  float* products;        // [passes, feeds, batch, outputs], if the text for every option is needed
  int places[kFeeds];     // of the products of a pass, -1 for those that nothing asks for
  int feeds;
  float* stages[kStages];  // where a trace shows them
  int64_t batch, inputs, outputs;
  uint64_t ordinal;
  uint32_t stream, plane;
  int32_t round;
  float input_step;
  bool backward, averaged;
  int64_t* rounds;  // added to; null: nobody counts

  RPUPY_HD Block<uint32_t> block(ProductPurpose purpose, int pass, int64_t first, int64_t v) const {
    const uint32_t draw = static_cast<uint32_t>(round) << 4 | static_cast<uint32_t>(pass);
    // Four lines (first + 0, 16, 32, 48) take the block of the first: element 16 q + r of lines 64 q + 16 l + r.
    const uint32_t element = static_cast<uint32_t>(first / kGroup * (kGroup / 4) + first % kGroup);
    return draw_block<float>(element, ordinal + static_cast<uint64_t>(v), counter_tag(stream + purpose, plane, draw),
                             keys);
  }
  // Shows a stage of a line, if somebody looks at it.
  RPUPY_HD void show(int stage, int pass, int64_t v, int64_t lines, int64_t line, float value) const {
    if (stages[stage] != nullptr) stages[stage][(pass * batch + v) * lines + line] = value;
  }
  RPUPY_HD float driven(int64_t v, int pass, int64_t j) const {
    return driven_input(io, input_step, plan.timed, pass, prepared[v * inputs + j]);
  }
};

// ---- inputs --------------------------------------------------------------------------------------

// A float for each thread; the range of a vector comes to stand in the first ones.
struct RangeRoom {
  float* abs_max;
  float* max;
  float* flawed;  // above 0 where an entry is not finite
};

RPUPY_BLOCK void find_range(const float* x, int64_t n, const RangeRoom& room) {
  phase([&] {
    float abs_max = 0.0f, max = -__builtin_inff(), flawed = 0.0f;
    for_block(n, [&](int64_t j) {
      abs_max = maximum(abs_max, magnitude(x[j]));
      max = maximum(max, x[j]);
      if (not_zero(not_finite(x[j]))) flawed = 1.0f;
    });
    room.abs_max[threadIdx.x] = abs_max;
    room.max[threadIdx.x] = max;
    room.flawed[threadIdx.x] = flawed;
  });
  block_maximum(room.abs_max);
  block_maximum(room.max);
  block_maximum(room.flawed);
}

// The sum of term(j) over the j below n, in chains; `shared` has a float for each thread, the result stands in shared[0].
template <class Term>
RPUPY_BLOCK void find_sum(int64_t n, const Term& term, float* shared) {
  phase([&] {
    if (threadIdx.x >= kSumChains) return;
    float sum = 0.0f;
    for (int64_t j = threadIdx.x; j < n; j += kSumChains) sum = term(j, sum);
    shared[threadIdx.x] = sum;
  });
  phase([&] {
    if (threadIdx.x == 0) sum_of_chains(shared);
  });
}

// What noise management goes by, but for the running mean; the rooms hold a float for each thread.
RPUPY_BLOCK void find_facts(const ProductJob& job, int64_t v, const RangeRoom& room) {
  const float* x = job.input + v * job.inputs;
  InputFacts& facts = job.states[v].facts;
  find_range(x, job.inputs, room);
  phase([&] {
    if (threadIdx.x != 0) return;
    facts = {room.abs_max[0], room.max[0], !(room.flawed[0] > 0.0f), 0.0f, 0.0f, 0.0f};
  });
  if (!sums_inputs(job.io, job.backward)) return;
  const auto positive = [=](int64_t j, float sum) { return sum + maximum(x[j], 0.0f); };
  const auto negative = [=](int64_t j, float sum) { return sum + maximum(-x[j], 0.0f); };
  find_sum(job.inputs, positive, room.abs_max);
  find_sum(job.inputs, negative, room.max);
  phase([&] {
    if (threadIdx.x != 0) return;
    facts.positive = room.abs_max[0];
    facts.negative = room.max[0];
  });
}

struct InputTrace {
  const ProductJob& job;
  int64_t v, line;

  RPUPY_HD void operator()(Stage stage, float value) const { job.show(stage, 0, v, job.inputs, line, value); }
};

// One vector after the input converter, four lines that share their draws at a time.
RPUPY_BLOCK void prepare_lines(const ProductJob& job, int64_t v, float factor) {
  const bool rounds = job.io.inp_sto_round != 0.0f && job.input_step > 0.0f;
  const bool noise = job.io.inp_noise > 0.0f;
  const float* x = job.input + v * job.inputs;
  float* prepared = job.prepared + v * job.inputs;
  for_block((job.inputs + kGroup - 1) / kGroup * (kGroup / 4), [&](int64_t n) {
    const int64_t first = n / (kGroup / 4) * kGroup + n % (kGroup / 4);
    if (first >= job.inputs) return;
    Block<uint32_t> words = {};
    Normals<float> z = {};
    if (rounds) words = job.block(kInputRound, 0, first, v);
    if (noise) z = normals<float>(job.block(kInputNoise, 0, first, v));
    for (int l = 0; l < 4; ++l) {
      const int64_t j = first + l * (kGroup / 4);
      if (j >= job.inputs) break;
      const float shift = rounds ? uniform<float>(words.w[l]) - 0.5f : 0.0f;
      prepared[j] = prepare_input(job.io, job.input_step, x[j], factor, shift, z.z[l], InputTrace{job, v, j});
    }
  });
}

// Numbers of the input of one pass; the rooms hold a float for each thread.
RPUPY_BLOCK void find_pass_facts(const ProductJob& job, int64_t v, int pass, const RangeRoom& room) {
  const bool additive = has_weight_noise(job.io, kWeightNoiseAdditive);
  const bool squares = additive || has_weight_noise(job.io, kWeightNoiseRead);
  const bool sums = job.io.r_series > 0.0f || job.plan.lines.v_offset != nullptr;
  const bool noisy = job.plan.lines.ladder.segments > 0;  // which excludes the others
  if (job.stages[kStageDriven] != nullptr) {
    phase([&] {
      for_block(job.inputs, [&](int64_t j) { job.show(kStageDriven, pass, v, job.inputs, j, job.driven(v, pass, j)); });
    });
  }
  if (squares) {
    phase([&] {
      float largest = 0.0f;
      for_block(job.inputs, [&](int64_t j) { largest = maximum(largest, magnitude(job.driven(v, pass, j))); });
      room.abs_max[threadIdx.x] = largest;
    });
    block_maximum(room.abs_max);
  }
  if (additive) {
    const auto square = [&](int64_t j, float sum) {
      const float value = job.driven(v, pass, j) * (1.0f / power_of_two_below(room.abs_max[0]));
      return fma(value, value, sum);
    };
    find_sum(job.inputs, square, room.max);
  }
  if (sums) {
    const auto add = [&](int64_t j, float sum) { return sum + job.driven(v, pass, j); };
    find_sum(job.inputs, add, room.flawed);
  }
  if (noisy) {
    const auto add = [&](int64_t j, float sum) {
      return sum + duration_of(job.io, job.input_step, pass, job.prepared[v * job.inputs + j]);
    };
    find_sum(job.inputs, add, room.flawed);
  }
  phase([&] {
    if (threadIdx.x != 0) return;
    PassFacts& facts = job.pass_facts[v * job.plan.passes + pass];
    facts.power = squares ? power_of_two_below(room.abs_max[0]) : 1.0f;
    facts.norm = additive ? square_root(room.max[0]) * facts.power : 0.0f;
    facts.sum = sums ? room.flawed[0] : 0.0f;
    facts.noise = {0.0f, 0.0f};
    if (noisy) facts.noise = read_noise(job.plan.lines.ladder, room.flawed[0] / static_cast<float>(job.inputs));
  });
}

// Before the first round, where noise management has a running mean: it needs all vectors in their order.
RPUPY_KERNEL(kBlockThreads)
facts_kernel(ProductJob job) {
  RPUPY_SHARED(float, first_room, kBlockThreads);
  RPUPY_SHARED(float, second_room, kBlockThreads);
  RPUPY_SHARED(float, third_room, kBlockThreads);
  const RangeRoom room = {first_room, second_room, third_room};
  for (int64_t v = blockIdx.x; v < job.batch; v += gridDim.x) find_facts(job, v, room);
}

RPUPY_KERNEL(1)
average_kernel(ProductJob job, float* average) {
  phase([&] {
    float now = *average;
    for (int64_t v = 0; v < job.batch; ++v) {
      InputFacts& facts = job.states[v].facts;
      if (facts.finite) now = next_average(job.io, now, facts.abs_max);
      facts.average = now;
    }
    *average = now;
  });
}

// Before a round: which vectors it does, their scales and their prepared inputs. A block has a vector; what it decides by
// is the same for all its threads.
RPUPY_KERNEL(kBlockThreads)
prepare_kernel(ProductJob job) {
  RPUPY_SHARED(float, first_room, kBlockThreads);
  RPUPY_SHARED(float, second_room, kBlockThreads);
  RPUPY_SHARED(float, third_room, kBlockThreads);
  const RangeRoom room = {first_room, second_room, third_room};
  const bool perfect = job.io.is_perfect != 0.0f;
  for (int64_t v = blockIdx.x; v < job.batch; v += gridDim.x) {
    VectorState& state = job.states[v];
    // Ends the work on this vector.
    const auto settle = [&](bool active, float factor) {
      phase([&] {
        if (threadIdx.x != 0) return;
        state.active = active;
        if (active) add_events(job.rounds, 1);
        state.clipped[job.round & 1] = 0;
        state.factor = factor;
      });
    };
    const auto settle_with = [&](float value) {
      phase([&] { for_block(job.outputs, [&](int64_t i) { job.output[v * job.outputs + i] = value; }); });
      settle(false, 0.0f);
    };
    if (job.round > 0 && state.clipped[(job.round - 1) & 1] == 0) {
      settle(false, 0.0f);
      continue;
    }
    if (job.round == 0) {
      if (!job.averaged) find_facts(job, v, room);
      if (!state.facts.finite) {
        settle_with(__builtin_nanf(""));
        continue;
      }
    }
    if (perfect) {
      settle(true, job.io.out_scale);
      continue;
    }
    const VectorScale scale = vector_scale(job.io, state.facts, job.backward, job.round);
    if (scale.zero) {
      settle_with(0.0f);
      continue;
    }
    phase([&] { prepare_lines(job, v, scale.input); });
    for (int pass = 0; pass < job.plan.passes; ++pass) find_pass_facts(job, v, pass, room);
    settle(true, scale.output);
  }
}

// ---- chains and outputs --------------------------------------------------------------------------

// The lines first, first + 16, + 32 and + 48 of a vector that finish_lines finishes together.
template <bool kFull>
struct OutputLines {
  const ProductJob& job;
  const float* sums;  // of these lines, if there is one product
  int64_t v, first;

  RPUPY_HD int64_t line(int l) const { return first + l * (kGroup / 4); }
  RPUPY_HD bool has(int l) const { return line(l) < job.outputs; }
  RPUPY_HD const PassFacts& facts(int pass) const { return job.pass_facts[v * job.plan.passes + pass]; }
  RPUPY_HD float product(int pass, int feed, int l) const {
    if (!kFull) return sums[l];
    const int64_t place = pass * job.feeds + job.places[feed];
    return job.products[(place * job.batch + v) * job.outputs + line(l)];
  }
  RPUPY_HD float of(const float* plane, int l) const { return plane[line(l)]; }
  RPUPY_HD Block<uint32_t> block(ProductPurpose purpose, int pass) const { return job.block(purpose, pass, first, v); }
  RPUPY_HD void see(Stage stage, int pass, int l, float value) const {
    if (kFull) job.show(stage, pass, v, job.outputs, line(l), value);
  }
  RPUPY_HD void clip(bool clipped, int) const {
    // Whoever comes by writes the same.
    if (clipped) job.states[v].clipped[job.round & 1] = 1;
  }
  RPUPY_HD void put(int l, float value) const { job.output[v * job.outputs + line(l)] = value * job.states[v].factor; }
};

template <bool kBackward>
struct ProductChains : ProductJob {
  using Kept = NothingKept;
  static constexpr bool kLeftRunsOverDepth = true;
  static constexpr bool kRightRunsOverColumns = kBackward;

  explicit ProductChains(const ProductJob& job) : ProductJob(job) {}

  RPUPY_BLOCK bool skip(int64_t row, int64_t rows) const {
    for (int64_t v = row; v < row + rows; ++v) {
      if (states[v].active != 0) return false;
    }
    return true;
  }
  RPUPY_BLOCK float left(int64_t v, int64_t k) const {
    return (io.is_perfect != 0.0f ? input : prepared)[v * inputs + k];
  }
  RPUPY_BLOCK int64_t crosspoint(int64_t k, int64_t i) const { return kBackward ? k * outputs + i : i * inputs + k; }
  RPUPY_BLOCK float right(int64_t k, int64_t i) const { return weights[crosspoint(k, i)]; }
  RPUPY_BLOCK float start(int64_t, int64_t, Kept&) const { return 0.0f; }
  RPUPY_BLOCK float term(float a, float b, float sum, const Kept&) const { return fma(a, b, sum); }

  // Calls each(v, sums, first) for the sets of four outputs that this thread has.
  template <class Mine, class Each>
  RPUPY_BLOCK void for_sets(const Mine& mine, int64_t row, int64_t column, int64_t rows, int64_t columns,
                            const Each& each) const {
    static_assert(ManyRows::kColumns == kGroup && FewRows::kColumns == kGroup, "a tile is a group of outputs");
    RPUPY_UNROLL
    for (int r = 0; r < Mine::kRowsEach; ++r) {
      if (mine.row(r) >= rows || mine.column(0) >= columns) continue;
      const int64_t v = row + mine.row(r);
      if (states[v].active != 0) each(v, mine.sum[r], column + mine.column(0));
    }
  }

  template <class Mine>
  RPUPY_BLOCK void finish(const Mine& mine, int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    for_sets(mine, row, column, rows, columns, [&](int64_t v, const float* sums, int64_t first) {
      OutputLines<false> lines = {*this, sums, v, first};
      if (io.is_perfect == 0.0f) {
        finish_lines<float, false>(plan, lines);
        return;
      }
      for (int l = 0; l < 4; ++l) {
        if (!lines.has(l)) continue;
        show(kStageProduct, 0, v, outputs, lines.line(l), sums[l]);
        output[v * outputs + lines.line(l)] = sums[l] * io.out_scale;
      }
    });
  }
};

// One of several products, which wait to be finished.
template <bool kBackward>
struct FeedChains : ProductChains<kBackward> {
  int pass, feed;

  FeedChains(const ProductJob& job, int p, int f) : ProductChains<kBackward>(job), pass(p), feed(f) {}

  RPUPY_BLOCK float left(int64_t v, int64_t k) const {
    const float power = this->pass_facts[v * this->plan.passes + pass].power;
    // Vectors that have nothing to do are read, too.
    return this->states[v].active == 0 ? 0.0f
                                       : feed_of(feed, this->driven(v, pass, k), static_cast<float>(k),
                                                 static_cast<float>(this->inputs), power);
  }
  RPUPY_BLOCK float right(int64_t k, int64_t i) const {
    const int64_t at = this->crosspoint(k, i);
    float w = this->weights[at];
    if (pass > 0 && this->plan.lines.w_asymmetry != nullptr) w = w * this->plan.lines.w_asymmetry[at];
    return feeds_magnitudes(feed) ? magnitude(w) : w;
  }

  template <class Mine>
  RPUPY_BLOCK void finish(const Mine& mine, int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    const int64_t place = pass * this->feeds + this->places[feed];
    this->for_sets(mine, row, column, rows, columns, [&](int64_t v, const float* sums, int64_t first) {
      for (int l = 0; l < 4; ++l) {
        const int64_t i = first + l * (kGroup / 4);
        if (i < this->outputs) this->products[(place * this->batch + v) * this->outputs + i] = sums[l];
      }
    });
  }
};

template <class Shape, class Job>
RPUPY_KERNEL(Shape::kThreads)
chains_kernel(Job job) {
  run_chains<Shape>(job, job.batch, job.outputs, job.inputs);
}

// One output of a vector, of an array whose conductances are noisy; a thread has the whole line.
struct NoisyLine {
  const ProductJob& job;
  int64_t v, line;
  int pass;

  RPUPY_HD LineEnd<float> read(const ReadNoise& noise, float& source) const {
    const ReadLadder& ladder = job.plan.lines.ladder;
    const uint32_t draw = static_cast<uint32_t>(job.round) << 4 | static_cast<uint32_t>(pass);
    const uint32_t tag = counter_tag(job.stream + kWeightNoise, job.plane, draw);
    const uint64_t ordinal = job.ordinal + static_cast<uint64_t>(v);
    const float* weights = job.weights + line * job.inputs;
    LineEnd<float> end = {};
    for (int64_t s = 0; s < ladder.segments; ++s) {
      // Odd lines are read at the other end.
      const int64_t segment = line % 2 == 0 ? s : ladder.segments - 1 - s;
      const InputSpan span = inputs_of_segment(ladder, segment, job.inputs);
      SegmentSums<float> sums = {};
      Normals<float> z = {};
      for (int64_t j = span.from; j < span.to; ++j) {
        float w = weights[j];
        if (noise.any()) {
          if (j % 4 == 0 || j == span.from) {
            const uint32_t element = read_element(static_cast<uint32_t>(line), job.inputs, j / 4);
            z = normals<float>(draw_block<float>(element, ordinal, tag, job.keys));
          }
          w = noisy_weight(noise, w, z.z[j % 4]);
        }
        sums.add(w, job.driven(v, pass, j));
      }
      source = sums.source;
      end.add(ladder, s == 0, sums);
    }
    return end;
  }
};

RPUPY_KERNEL(kBlockThreads)
noisy_kernel(ProductJob job, int pass) {
  const ReadLadder& ladder = job.plan.lines.ladder;
  for_grid(job.batch * job.outputs, [&](int64_t n) {
    const int64_t v = n / job.outputs;
    if (job.states[v].active == 0) return;
    const NoisyLine line = {job, v, n % job.outputs, pass};
    const auto at = [&](int feed) -> float& {
      return job.products[(pass * job.feeds + job.places[feed]) * job.batch * job.outputs + n];
    };
    float source = 0.0f;
    const LineEnd<float> end = line.read(job.pass_facts[v * job.plan.passes + pass].noise, source);
    at(kFeedInput) = ladder.timed != 0 ? end.current(ladder) : source;
    if (ladder.timed != 0) at(kFeedOffset) = end.offset(ladder);
    if (job.plan.quiet) {
      const LineEnd<float> quiet = line.read({0.0f, 0.0f}, source);
      at(kFeedQuiet) = ladder.timed != 0 ? quiet.current(ladder) : source;
    }
  });
}

// After several products: everything that happens to outputs.
RPUPY_KERNEL(kBlockThreads)
finish_kernel(ProductJob job) {
  const int64_t sets = (job.outputs + kGroup - 1) / kGroup * (kGroup / 4);
  for_grid(job.batch * sets, [&](int64_t n) {
    const int64_t v = n / sets, set = n % sets;
    const int64_t first = set / (kGroup / 4) * kGroup + set % (kGroup / 4);
    if (job.states[v].active == 0 || first >= job.outputs) return;
    OutputLines<true> lines = {job, nullptr, v, first};
    finish_lines<float, true>(job.plan, lines);
  });
}

// ---- launches ------------------------------------------------------------------------------------

static int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Rooms of the scratch memory.
struct ProductRooms {
  int64_t states, pass_facts, prepared, products;

  explicit ProductRooms(const ProductJob& job, bool full) {
    constexpr int64_t kFloat = sizeof(float);
    const bool perfect = job.io.is_perfect != 0.0f;
    states = padded(job.batch * static_cast<int64_t>(sizeof(VectorState)));
    pass_facts = perfect ? 0 : padded(job.batch * job.plan.passes * static_cast<int64_t>(sizeof(PassFacts)));
    prepared = perfect ? 0 : padded(job.batch * job.inputs * kFloat);
    products = full ? padded(job.plan.passes * job.feeds * job.batch * job.outputs * kFloat) : 0;
  }
  int64_t bytes() const { return states + pass_facts + prepared + products; }
};

static ProductJob product_job(const ProductArgs& args, bool& full) {
  ProductJob job = {};
  job.io = *reinterpret_cast<const IOParams*>(args.io);
  job.plan = output_plan(args);
  job.keys = round_keys(args.tile.key[0], args.tile.key[1]);
  job.weights = args.weights;
  job.input = args.input;
  job.output = args.output;
  job.backward = args.backward != 0;
  job.batch = args.batch;
  job.inputs = job.backward ? args.tile.out_size : args.tile.in_size;
  job.outputs = job.backward ? args.tile.in_size : args.tile.out_size;
  job.ordinal = args.ordinal;
  job.stream = args.stream;
  job.plane = args.tile.plane;
  job.input_step = converter_step(job.io.inp_res, job.io.inp_bound);
  job.averaged = averages_inputs(job.io);
  job.rounds = args.rounds;
  for (int feed = 0; feed < kFeeds; ++feed) job.places[feed] = needs_feed(job.io, args, feed) ? job.feeds++ : -1;
  full = job.plan.full();
  for (int stage = 0; stage < kStages; ++stage) {
    job.stages[stage] = args.stages[stage];
    full = full || args.stages[stage] != nullptr;
  }
  full = full && job.io.is_perfect == 0.0f;
  return job;
}

size_t product_scratch(const ProductArgs& args) {
  const DefaultFloatingPoint environment;
  bool full = false;
  const ProductJob job = product_job(args, full);
  return static_cast<size_t>(ProductRooms(job, full).bytes());
}

template <class Shape, class Job>
static Status run_product(const Place& place, const Job& job) {
  const unsigned blocks = chain_blocks<Shape>(job.batch, job.outputs);
  return RPUPY_LAUNCH((chains_kernel<Shape, Job>), blocks, Shape::kThreads, place, job);
}

template <class Job>
static Status run_product(const Place& place, const Job& job) {
  return job.batch <= kFewRows ? run_product<FewRows>(place, job) : run_product<ManyRows>(place, job);
}

// All products that the outputs ask for, then the outputs.
static Status run_feeds(const Place& place, const ProductJob& job) {
  for (int pass = 0; pass < job.plan.passes; ++pass) {
    if (job.plan.lines.ladder.segments > 0) {
      const unsigned blocks = blocks_of_threads(job.batch * job.outputs);
      RPUPY_TRY(RPUPY_LAUNCH(noisy_kernel, blocks, kBlockThreads, place, job, pass));
      continue;
    }
    for (int feed = 0; feed < kFeeds; ++feed) {
      if (job.places[feed] < 0) continue;
      if (job.backward) {
        RPUPY_TRY(run_product(place, FeedChains<true>(job, pass, feed)));
      } else {
        RPUPY_TRY(run_product(place, FeedChains<false>(job, pass, feed)));
      }
    }
  }
  const int64_t sets = (job.outputs + kGroup - 1) / kGroup * (kGroup / 4);
  return RPUPY_LAUNCH(finish_kernel, blocks_of_threads(job.batch * sets), kBlockThreads, place, job);
}

Status product(const Place& place, const ProductArgs& args, void* scratch) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const DefaultFloatingPoint environment;  // numbers are computed here, too
  bool full = false;
  ProductJob job = product_job(args, full);
  const ProductRooms rooms(job, full);
  char* room = static_cast<char*>(scratch);
  job.states = reinterpret_cast<VectorState*>(room);
  job.pass_facts = reinterpret_cast<PassFacts*>(room += rooms.states);
  job.prepared = reinterpret_cast<float*>(room += rooms.pass_facts);
  job.products = reinterpret_cast<float*>(room += rooms.prepared);
  if (job.averaged) {
    RPUPY_TRY(RPUPY_LAUNCH(facts_kernel, blocks_for(args.batch), kBlockThreads, place, job));
    RPUPY_TRY(RPUPY_LAUNCH(average_kernel, 1, 1, place, job, args.average));
  }
  const int rounds = job.io.is_perfect != 0.0f ? 1 : most_rounds(job.io, job.backward);
  for (int32_t round = 0; round < rounds; ++round) {
    job.round = round;
    RPUPY_TRY(RPUPY_LAUNCH(prepare_kernel, blocks_for(args.batch), kBlockThreads, place, job));
    if (full) {
      RPUPY_TRY(run_feeds(place, job));
    } else if (job.backward) {
      RPUPY_TRY(run_product(place, ProductChains<true>(job)));
    } else {
      RPUPY_TRY(run_product(place, ProductChains<false>(job)));
    }
  }
  return {};
}

}  // namespace cuda
}  // namespace rpupy
