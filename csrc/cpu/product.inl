// Purpose: forward and backward: converter, product, noise, converter, and the rounds of bound management.
// Included by: kernels.inl.
// Invariants: a vector's result depends on nothing but itself, the weights and its ordinal. A vector with an entry that
// is not finite gives NaN in every output and disturbs no other.

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Vectors that a thread takes through the array together. A block of kDepth of their inputs fits an L2 cache.
constexpr int64_t kChunk = kLanes == 8 ? 128 : 72;

struct InputRange {
  float abs_max;
  float max;
  bool finite;
};

static InputRange input_range(const float* x, int64_t n) {
  f32v abs_max = {}, max = f32v{} - __builtin_inff();
  u32v flaws = {};
  const auto take = [&](f32v v) {
    abs_max = maximum(abs_max, magnitude(v));
    max = maximum(max, v);
    flaws = flaws | not_finite(v);
  };
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) take(load(x + j));
  if (j < n) {
    const int left = static_cast<int>(n - j);
    // Lanes behind the end repeat the first entry: they can change neither maximum.
    take(select(first_lanes(left), load_part(x + j, left), f32v{} + x[0]));
  }
  return {largest_lane(abs_max), largest_lane(max), !any(not_zero(flaws))};
}

static bool all_finite(const float* x, int64_t n) {
  constexpr int64_t kPart = 1 << 14;
  for (int64_t j = 0; j < n; j += kPart) {
    if (!input_range(x + j, n - j < kPart ? n - j : kPart).finite) return false;
  }
  return true;
}

// Adds add(v, sum) over the vectors of n entries, in chains; entries behind the end count as zero.
template <class Add>
static float sum_over(const float* x, int64_t n, const Add& add) {
  f32v sums[kSumChains / kLanes] = {};
  for (int64_t j = 0; j < n; j += kSumChains) {
    for (int part = 0; part < kSumChains / kLanes; ++part) {
      const int64_t left = n - j - part * kLanes;
      if (left <= 0) break;
      const float* at = x + j + part * kLanes;
      sums[part] = add(left >= kLanes ? load(at) : load_part(at, static_cast<int>(left)), sums[part]);
    }
  }
  float chains[kSumChains];
  for (int part = 0; part < kSumChains / kLanes; ++part) store(chains + part * kLanes, sums[part]);
  return sum_of_chains(chains);
}

// Calls each(line) for the first of every four sets of lanes that share blocks of random words.
template <class Each>
RPUPY_HD void for_line_sets(int64_t from, int64_t to, const Each& each) {
  for (int64_t group = from; group < to; group += kGroup) {
    for (int64_t r = 0; r < 16; r += kLanes) {
      if (group + r >= to) break;
      each(group + r);
    }
  }
}

static void store_part_or_all(float* p, f32v v, int64_t left) {
  if (left >= kLanes) {
    store(p, v);
  } else {
    store_part(p, v, static_cast<int>(left));
  }
}

// One call, with everything that does not change from vector to vector.
struct Pass {
  const ProductArgs& args;
  IOParams io;
  OutputPlan plan;
  RoundKeys keys;
  int64_t inputs, outputs;
  int64_t input_stride, output_stride;
  float input_step;
  int rounds;
  int passes;
  int places[kFeeds];  // of the products of a pass, -1 for those that nothing asks for
  int feeds;
  bool traced;
  bool full;  // whether the text for every option is needed

  explicit Pass(const ProductArgs& a)
      : args(a),
        io(*reinterpret_cast<const IOParams*>(a.io)),
        plan(output_plan(a)),
        keys(round_keys(a.tile.key[0], a.tile.key[1])),
        inputs(a.backward ? a.tile.out_size : a.tile.in_size),
        outputs(a.backward ? a.tile.in_size : a.tile.out_size),
        input_stride(round_up(inputs, kGroup)),
        output_stride(round_up(outputs, kGroup)),
        input_step(converter_step(io.inp_res, io.inp_bound)),
        rounds(most_rounds(io, a.backward != 0)),
        passes(plan.passes),
        feeds(0),
        traced(false) {
    for (int feed = 0; feed < kFeeds; ++feed) places[feed] = needs_feed(io, args, feed) ? feeds++ : -1;
    for (const float* stage : a.stages) traced = traced || stage != nullptr;
    full = plan.full() || traced;
  }

  // How many products of a chunk wait to be finished at the same time.
  int products() const { return full && io.is_perfect == 0.0f ? passes * feeds : 1; }

  Block<u32v> block(ProductPurpose purpose, int round, int pass, int64_t first_line, uint64_t ordinal) const {
    const uint32_t tag = counter_tag(args.stream + purpose, args.tile.plane,
                                     static_cast<uint32_t>(round) << 4 | static_cast<uint32_t>(pass));
    const uint32_t first = static_cast<uint32_t>(first_line / kGroup * (kGroup / 4) + first_line % kGroup);
    return draw_block<f32v>(lane_numbers() + first, ordinal, tag, keys);
  }
  uint64_t ordinal(int64_t v) const { return args.ordinal + static_cast<uint64_t>(v); }
  const float* input(int64_t v) const { return args.input + v * inputs; }
  float* output(int64_t v) const { return args.output + v * outputs; }

  // Shows a stage of some lines of a vector, if somebody looks at it.
  void show(int stage, int pass, int64_t v, int64_t lines, int64_t line, f32v value, int64_t left) const {
    if (args.stages[stage] == nullptr) return;
    store_part_or_all(args.stages[stage] + (pass * args.batch + v) * lines + line, value, left);
  }

  InputFacts facts(int64_t v, float average) const {
    const InputRange range = input_range(input(v), inputs);
    InputFacts facts = {range.abs_max, range.max, range.finite, 0.0f, 0.0f, average};
    if (range.finite && sums_inputs(io, args.backward != 0)) {
      facts.positive = sum_over(input(v), inputs, [](f32v x, f32v sum) { return sum + maximum(x, f32v{}); });
      facts.negative = sum_over(input(v), inputs, [](f32v x, f32v sum) { return sum + maximum(-x, f32v{}); });
    }
    return facts;
  }

  template <bool kTraced>
  void prepare(int64_t v, float factor, int round, float* prepared) const {
    const float* x = input(v);
    const IOParams params = io;  // a copy, that no store to an input can change
    const bool rounds_input = params.inp_sto_round != 0.0f && input_step > 0.0f;
    const bool noise = params.inp_noise > 0.0f;
    const auto convert = [&](int64_t j, f32v shift, f32v normal) {
      const int64_t left = inputs - j;
      const f32v value = left >= kLanes ? load(x + j) : load_part(x + j, static_cast<int>(left));
      f32v done;
      if (kTraced) {
        const auto see = [&](Stage stage, f32v now) { show(stage, 0, v, inputs, j, now, left); };
        done = prepare_input(params, input_step, value, factor, shift, normal, see);
      } else {
        done = prepare_input(params, input_step, value, factor, shift, normal, NotTraced());
      }
      store_part_or_all(prepared + j, done, left);
    };
    if (rounds_input || noise) {
      for_line_sets(0, inputs, [&](int64_t first) {
        Block<u32v> words = {};
        Normals<f32v> z = {};
        if (rounds_input) words = block(kInputRound, round, 0, first, ordinal(v));
        if (noise) z = normals<f32v>(block(kInputNoise, round, 0, first, ordinal(v)));
        for (int l = 0; l < 4; ++l) {
          const int64_t j = first + 16 * l;
          if (j >= inputs) break;
          convert(j, rounds_input ? f32v(uniform<f32v>(words.w[l]) - 0.5f) : f32v{}, z.z[l]);
        }
      });
    } else {
      for (int64_t j = 0; j < inputs; j += kLanes) convert(j, f32v{}, f32v{});
    }
    for (int64_t j = inputs; j < input_stride; ++j) prepared[j] = 0.0f;
  }

  // The input of one feed of one pass.
  void drive(const float* prepared, int pass, int feed, float power, float* fed) const {
    const float n = static_cast<float>(inputs);
    for (int64_t j = 0; j < input_stride; j += kLanes) {
      const f32v x = driven_input(io, input_step, plan.timed, pass, load(prepared + j));
      const f32v line = signed_to_float(lane_numbers() + static_cast<uint32_t>(j));
      store(fed + j, feed_of(feed, x, line, n, power));
    }
  }

  // Numbers of the input of one pass. A power of two, which changes no bit, keeps the squares of very large and very
  // small entries within range.
  PassFacts pass_facts(const float* fed) const {
    PassFacts facts = {0.0f, 0.0f, 1.0f, {0.0f, 0.0f}};
    const bool additive = has_weight_noise(io, kWeightNoiseAdditive);
    if (additive || has_weight_noise(io, kWeightNoiseRead)) {
      f32v largest = {};
      for (int64_t j = 0; j < input_stride; j += kLanes) largest = maximum(largest, magnitude(load(fed + j)));
      facts.power = power_of_two_below(largest_lane(largest));
    }
    if (additive) {
      const float factor = 1.0f / facts.power;
      const auto add = [factor](f32v x, f32v sum) { return fma(x * factor, x * factor, sum); };
      facts.norm = square_root(sum_over(fed, input_stride, add)) * facts.power;
    }
    if (io.r_series > 0.0f || plan.lines.v_offset != nullptr) {
      facts.sum = sum_over(fed, input_stride, [](f32v x, f32v sum) { return sum + x; });
    }
    return facts;
  }

  // Noise of the conductances in one pass of a vector.
  ReadNoise noise_of(const float* prepared, int p) const {
    const auto add = [&](f32v x, f32v sum) { return sum + duration_of(io, input_step, p, x); };
    return read_noise(args.lines.ladder, sum_over(prepared, inputs, add) / static_cast<float>(inputs));
  }

  // The outputs [from, to) of a vector, of an array whose conductances are noisy. `sums` has room for a set of lanes of all
  // segments; `offset` is null without time slices.
  void read_noisily(const float* fed, const ReadNoise& noise, int64_t v, int round, int p, int64_t from, int64_t to,
                    SegmentSums<f32v>* sums, float* y, float* offset) const {
    const ReadLadder& ladder = args.lines.ladder;
    const uint32_t tag = counter_tag(args.stream + kWeightNoise, args.tile.plane,
                                     static_cast<uint32_t>(round) << 4 | static_cast<uint32_t>(p));
    for (int64_t line = from; line < to; line += kLanes) {
      const float* weights = panel_of(args.packed, line / kPanel, inputs) + line % kPanel;
      const u32v lines = lane_numbers() + static_cast<uint32_t>(line);
      Normals<f32v> z = {};
      for (int64_t s = 0; s < ladder.segments; ++s) {
        const InputSpan span = inputs_of_segment(ladder, s, inputs);
        SegmentSums<f32v> sum = {};
        for (int64_t j = span.from; j < span.to; ++j) {
          f32v w = load(weights + j * kPanel);
          if (noise.any()) {
            if (j % 4 == 0)
              z = normals<f32v>(draw_block<f32v>(read_element(lines, inputs, j / 4), ordinal(v), tag, keys));
            w = noisy_weight(noise, w, z.z[j % 4]);
          }
          sum.add(w, all_lanes<f32v>(fed[j]));
        }
        sums[s] = sum;
      }
      if (ladder.timed == 0) {
        store(y + line, sums[0].source);
        continue;
      }
      // Odd lines are read at the other end.
      const Mask odd = not_zero(lines & 1u);
      LineEnd<f32v> end = {};
      for (int64_t s = 0; s < ladder.segments; ++s) {
        const SegmentSums<f32v>& near = sums[s];
        const SegmentSums<f32v>& far = sums[ladder.segments - 1 - s];
        end.add(ladder, s == 0, {select(odd, far.conductance, near.conductance), select(odd, far.source, near.source)});
      }
      store(y + line, end.current(ladder));
      if (offset != nullptr) store(offset + line, end.offset(ladder));
    }
  }

  // y[slot, from ... to) = product of the vectors in `fed` with the weights, or with their magnitudes.
  template <bool kMagnitudes>
  void multiply(int64_t slots, const float* fed, float* y, int64_t from, int64_t to, float* panel,
                bool negative) const {
    if (args.backward) {
      const float* weights = negative ? args.negative_weights : args.weights;
      multiply_rows<kMagnitudes>(slots, fed, input_stride, weights, outputs, inputs, from, to, y, output_stride, panel);
      return;
    }
    float* packed = negative ? args.negative_packed : args.packed;
    for (int64_t k = 0; k < inputs; k += kDepth) {
      const int64_t part = inputs - k < kDepth ? inputs - k : kDepth;
      multiply_panels<kMagnitudes>((to - from + kPanel - 1) / kPanel, slots, fed + k, input_stride,
                                   panel_of(packed, from / kPanel, inputs) + k * kPanel, inputs * kPanel, part,
                                   y + from, output_stride, k > 0);
    }
  }

  // Counts the vectors of a round. A team that splits the outputs does each vector together.
  void count(int64_t vectors, const Member* team) const {
    if (args.rounds == nullptr || (team != nullptr && team->number != 0)) return;
    __atomic_fetch_add(args.rounds, vectors, __ATOMIC_RELAXED);
  }

  void fill(int64_t v, int64_t from, int64_t to, float value) const {
    for (int64_t i = from; i < to; ++i) output(v)[i] = value;
  }
};

// Where a thread works: inputs and outputs of a chunk, a panel, and what it knows of each vector.
struct ProductScratch {
  float* prepared;
  float* fed;
  float* y;
  float* panel;
  SegmentSums<f32v>* segments;
  InputFacts* facts;
  VectorScale* scales;
  PassFacts* pass_facts;  // [slot, pass]
  int32_t* active;
  int64_t chunk;

  static int64_t floats(const Pass& pass, int64_t chunk) {
    const int64_t inputs = (pass.full ? 2 : 1) * pass.input_stride;
    return chunk * (inputs + pass.products() * pass.output_stride) + kCopied * kDepth * kPanel;
  }
  static size_t bytes(const Pass& pass, int64_t chunk) {
    const size_t per_vector =
        sizeof(InputFacts) + sizeof(VectorScale) + sizeof(PassFacts) * pass.passes + sizeof(int32_t);
    return round_up(
        static_cast<int64_t>(floats(pass, chunk) * sizeof(float) + segment_bytes(pass) + chunk * per_vector), 64);
  }
  static size_t segment_bytes(const Pass& pass) { return pass.args.lines.ladder.segments * sizeof(SegmentSums<f32v>); }
  ProductScratch(void* base, int member, const Pass& pass, int64_t vectors) : chunk(vectors) {
    char* p = static_cast<char*>(base) + bytes(pass, chunk) * member;
    prepared = reinterpret_cast<float*>(p);
    fed = prepared + (pass.full ? chunk * pass.input_stride : 0);
    y = fed + chunk * pass.input_stride;
    panel = y + chunk * pass.products() * pass.output_stride;
    segments = reinterpret_cast<SegmentSums<f32v>*>(panel + kCopied * kDepth * kPanel);
    facts = reinterpret_cast<InputFacts*>(reinterpret_cast<char*>(segments) + segment_bytes(pass));
    scales = reinterpret_cast<VectorScale*>(facts + chunk);
    pass_facts = reinterpret_cast<PassFacts*>(scales + chunk);
    active = reinterpret_cast<int32_t*>(pass_facts + chunk * pass.passes);
  }
};

// The lines first + 0, 16, 32, 48 ... of a vector that finish_lines finishes together.
template <bool kFull>
struct OutputLines {
  const Pass& call;
  const ProductScratch& s;
  int64_t v, slot;
  int64_t first, to;
  float factor;
  int round;
  const uint32_t* noise_words;  // of the output noise of the first pass, from line `first` on; null: not drawn yet
  bool& left_range;

  int64_t line(int l) const { return first + 16 * l; }
  bool has(int l) const { return line(l) < to; }
  const PassFacts& facts(int pass) const { return s.pass_facts[slot * call.passes + pass]; }
  f32v product(int pass, int feed, int l) const {
    const int64_t place = kFull ? pass * call.feeds + call.places[feed] : 0;
    return load(s.y + (place * s.chunk + slot) * call.output_stride + line(l));
  }
  f32v of(const float* plane, int l) const {
    const int64_t left = call.outputs - line(l);
    return left >= kLanes ? load(plane + line(l)) : load_part(plane + line(l), static_cast<int>(left));
  }
  Block<u32v> block(ProductPurpose purpose, int pass) const {
    if (purpose == kOutputNoise && pass == 0 && noise_words != nullptr) {
      Block<u32v> words;
      for (int l = 0; l < 4; ++l) words.w[l] = load(noise_words + 16 * l);
      return words;
    }
    return call.block(purpose, round, pass, first, call.ordinal(v));
  }
  void see(Stage stage, int pass, int l, f32v value) const {
    if (kFull && call.traced) call.show(stage, pass, v, call.outputs, line(l), value, to - line(l));
  }
  void clip(Mask clipped, int l) const {
    const int64_t left = to - line(l);
    if (left < kLanes) clipped = both(clipped, first_lanes(static_cast<int>(left)));
    left_range |= any(clipped);
  }
  void put(int l, f32v value) const { store_part_or_all(call.output(v) + line(l), value * factor, to - line(l)); }
};

// Lines whose words are drawn before the first of them is used: of two short loops the processor has more rounds at work
// at a time than of a long one.
constexpr int64_t kDrawnLines = 1024;

// Finishes the outputs [from, to) of a vector and tells whether one left the converter's range.
template <bool kFull>
static bool finish(const Pass& pass, const ProductScratch& s, int64_t v, int64_t slot, int round, int64_t from,
                   int64_t to) {
  bool left_range = false;
  const OutputPlan plan = pass.plan;  // a copy, that no store to an output can change
  const bool noise = plan.io.out_noise > 0.0f || plan.lines.out_noise_values != nullptr;
  uint32_t* words = reinterpret_cast<uint32_t*>(s.panel);  // which has done its service
  for (int64_t part = from; part < to; part += kDrawnLines) {
    const int64_t end = to - part < kDrawnLines ? to : part + kDrawnLines;
    if (noise) {
      for_line_sets(part, end, [&](int64_t first) {
        const Block<u32v> drawn = pass.block(kOutputNoise, round, 0, first, pass.ordinal(v));
        for (int l = 0; l < 4; ++l) store(words + (first - part) + 16 * l, drawn.w[l]);
      });
    }
    for_line_sets(part, end, [&](int64_t first) {
      const uint32_t* drawn = noise ? words + (first - part) : nullptr;
      OutputLines<kFull> lines = {pass, s, v, slot, first, end, s.scales[slot].output, round, drawn, left_range};
      finish_lines<f32v, kFull>(plan, lines);
    });
  }
  return left_range;
}

// The plan of a call: how many threads, and whether they split the vectors or, if those are too few, the outputs.
struct ProductPlan {
  int threads;
  bool split_outputs;
  int64_t chunk;

  explicit ProductPlan(const Pass& pass) {
    const ProductArgs& args = pass.args;
    // A random number costs as much as many products.
    const int64_t price = args.lines.ladder.segments > 0 ? 16 : 1;
    const int64_t work = args.batch * args.tile.out_size * args.tile.in_size / 16 * pass.products() * price;
    // A trace is for looking: every member of a team would write all of its inputs.
    threads = pass.traced ? 1 : worthwhile_threads(args.tile.threads, work);
    split_outputs = args.batch < threads;
    const int64_t share = split_outputs ? args.batch : (args.batch + threads - 1) / threads;
    // Several products of a chunk share the cache that one would have.
    const int64_t most = pass.products() > 4 ? kChunk / 2 : kChunk;
    const int64_t chunks = (share + most - 1) / most;
    chunk = chunks > 0 ? (share + chunks - 1) / chunks : 1;
  }
};

// All products of the prepared vectors of a chunk that the outputs ask for.
static void multiply_feeds(const Pass& pass, int64_t first, int64_t slots, int round, int64_t from, int64_t to,
                           ProductScratch& s) {
  const bool noisy = pass.args.lines.ladder.segments > 0;
  for (int p = 0; p < pass.passes; ++p) {
    const bool negative = p > 0 && pass.args.negative_weights != nullptr;
    const auto place = [&](int feed) {
      return s.y + (p * pass.feeds + pass.places[feed]) * s.chunk * pass.output_stride;
    };
    for (int feed = 0; feed < kFeeds; ++feed) {
      if (pass.places[feed] < 0 || feed >= kFeedOffset) continue;
      for (int64_t slot = 0; slot < slots; ++slot) {
        const float* prepared = s.prepared + slot * pass.input_stride;
        float* fed = s.fed + slot * pass.input_stride;
        PassFacts& facts = s.pass_facts[slot * pass.passes + p];
        pass.drive(prepared, p, feed, feed == kFeedInput ? 1.0f : facts.power, fed);
        if (feed != kFeedInput) continue;
        facts = pass.pass_facts(fed);
        if (noisy) facts.noise = pass.noise_of(prepared, p);
        if (pass.traced) {
          const int64_t v = first + s.active[slot];
          for (int64_t j = 0; j < pass.inputs; j += kLanes) {
            pass.show(kStageDriven, p, v, pass.inputs, j, load(fed + j), pass.inputs - j);
          }
        }
      }
      float* y = place(feed);
      if (noisy) {
        for (int64_t slot = 0; slot < slots; ++slot) {
          const float* fed = s.fed + slot * pass.input_stride;
          const int64_t v = first + s.active[slot], at = slot * pass.output_stride;
          float* offset = pass.places[kFeedOffset] < 0 ? nullptr : place(kFeedOffset) + at;
          const ReadNoise& noise = s.pass_facts[slot * pass.passes + p].noise;
          pass.read_noisily(fed, noise, v, round, p, from, to, s.segments, y + at, offset);
          if (pass.plan.quiet) {
            pass.read_noisily(fed, {0.0f, 0.0f}, v, round, p, from, to, s.segments, place(kFeedQuiet) + at, nullptr);
          }
        }
      } else if (feeds_magnitudes(feed)) {
        pass.multiply<true>(slots, s.fed, y, from, to, s.panel, negative);
      } else {
        pass.multiply<false>(slots, s.fed, y, from, to, s.panel, negative);
      }
    }
  }
}

// A chunk of vectors, by one thread. `votes` is a team's vote whether a vector left the range, with outputs split.
static void run_chunk(const Pass& pass, int64_t first, int64_t count, int64_t from, int64_t to, ProductScratch& s,
                      const float* averages, const Member* team, int32_t* votes) {
  const IOParams& io = pass.io;
  int64_t active = 0;
  for (int64_t v = 0; v < count; ++v) {
    s.facts[v] = pass.facts(first + v, averages == nullptr ? 0.0f : averages[first + v]);
    if (s.facts[v].finite) {
      s.active[active++] = static_cast<int32_t>(v);
    } else {
      pass.fill(first + v, from, to, __builtin_nanf(""));
    }
  }
  if (io.is_perfect != 0.0f) {
    for (int64_t a = 0; a < active; ++a) {
      float* prepared = s.prepared + a * pass.input_stride;
      __builtin_memcpy(prepared, pass.input(first + s.active[a]), pass.inputs * sizeof(float));
    }
    pass.multiply<false>(active, s.prepared, s.y, from, to, s.panel, false);
    pass.count(active, team);
    for (int64_t a = 0; a < active; ++a) {
      const int64_t v = first + s.active[a];
      for (int64_t i = from; i < to; ++i) {
        const float y = s.y[a * pass.output_stride + i];
        if (pass.args.stages[kStageProduct] != nullptr) pass.args.stages[kStageProduct][v * pass.outputs + i] = y;
        pass.output(v)[i] = y * io.out_scale;
      }
    }
    return;
  }
  for (int round = 0; active > 0; ++round) {
    int64_t slots = 0;
    for (int64_t a = 0; a < active; ++a) {
      const int32_t v = s.active[a];
      const VectorScale scale = vector_scale(io, s.facts[v], pass.args.backward != 0, round);
      if (scale.zero) {
        pass.fill(first + v, from, to, 0.0f);
        continue;
      }
      float* prepared = s.prepared + slots * pass.input_stride;
      if (pass.traced) {
        pass.prepare<true>(first + v, scale.input, round, prepared);
      } else {
        pass.prepare<false>(first + v, scale.input, round, prepared);
      }
      s.scales[slots] = scale;
      s.active[slots++] = v;
    }
    pass.count(slots, team);
    if (pass.full) {
      multiply_feeds(pass, first, slots, round, from, to, s);
    } else {
      for (int64_t slot = 0; slot < slots; ++slot) {
        s.pass_facts[slot] = pass.pass_facts(s.prepared + slot * pass.input_stride);
      }
      pass.multiply<false>(slots, s.prepared, s.y, from, to, s.panel, false);
    }
    const bool last = round + 1 == pass.rounds;
    active = 0;
    for (int64_t slot = 0; slot < slots; ++slot) {
      const int32_t v = s.active[slot];
      bool again = pass.full ? finish<true>(pass, s, first + v, slot, round, from, to)
                             : finish<false>(pass, s, first + v, slot, round, from, to);
      if (team != nullptr && !last) {
        // Nobody may vote on the next vector before all have counted the votes on this one: hence the second barrier.
        votes[team->number] = again ? 1 : 0;
        meet(*team);
        for (int t = 0; t < team->team; ++t) again = again || votes[t] != 0;
        meet(*team);
      }
      if (again && !last) s.active[active++] = v;
    }
  }
}

// The running mean of noise management that each vector goes by; the last one stays with the tile.
static void average_inputs(const Pass& pass, float* averages) {
  float average = *pass.args.average;
  for (int64_t v = 0; v < pass.args.batch; ++v) {
    const InputRange range = input_range(pass.input(v), pass.inputs);
    if (range.finite) average = next_average(pass.io, average, range.abs_max);
    averages[v] = average;
  }
  *pass.args.average = average;
}

// What stands before the rooms of the threads: votes, and averages.
static size_t shared_scratch(const Pass& pass, const ProductPlan& plan) {
  const int64_t averages = averages_inputs(pass.io) ? pass.args.batch : 0;
  return round_up(static_cast<int64_t>(plan.threads * sizeof(int32_t) + averages * sizeof(float)), 64);
}

static void product(const ProductArgs& args, void* scratch) {
  const DefaultFloatingPoint environment;
  const Pass pass(args);
  const ProductPlan plan(pass);
  int32_t* votes = static_cast<int32_t*>(scratch);
  char* base = static_cast<char*>(scratch) + shared_scratch(pass, plan);
  float* averages = nullptr;
  if (averages_inputs(pass.io)) {
    averages = reinterpret_cast<float*>(votes + plan.threads);
    average_inputs(pass, averages);
  }
  run_team(plan.threads, [&](const Member& member) {
    ProductScratch s(base, member.number, pass, plan.chunk);
    int64_t from = 0, to = args.batch;
    if (!plan.split_outputs) {
      member.share(args.batch, 1, from, to);
      for (int64_t v = from; v < to; v += plan.chunk) {
        const int64_t count = to - v < plan.chunk ? to - v : plan.chunk;
        run_chunk(pass, v, count, 0, pass.outputs, s, averages, nullptr, nullptr);
      }
    } else {
      member.share(pass.outputs, kGroup, from, to);
      for (int64_t v = 0; v < args.batch; v += plan.chunk) {
        const int64_t count = args.batch - v < plan.chunk ? args.batch - v : plan.chunk;
        run_chunk(pass, v, count, from, to, s, averages, &member, votes);
      }
    }
  });
}

static size_t product_scratch(const ProductArgs& args) {
  const DefaultFloatingPoint environment;
  const Pass pass(args);
  const ProductPlan plan(pass);
  return shared_scratch(pass, plan) + ProductScratch::bytes(pass, plan.chunk) * plan.threads;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
