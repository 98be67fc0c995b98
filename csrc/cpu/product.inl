// Purpose: forward and backward: converter, product, noise, converter, and the rounds of bound management.
// Included by: kernels.inl.
// Invariants: a vector's result depends on nothing but itself, the weights and its ordinal. A vector with an entry that
// is not finite gives NaN in every output and disturbs no other.

namespace rpupy {
namespace RPUPY_ISA_NAME {

constexpr int64_t kChunk = 72;  // vectors that a thread takes through the array together: they fit an L2 cache

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

// Calls each(line, l) for the sets of lanes of a vector, l telling which value of the block `begin(first)` they take.
template <class Begin, class Each>
RPUPY_HD void for_line_groups(int64_t from, int64_t to, const Begin& begin, const Each& each) {
  for (int64_t group = from; group < to; group += kGroup) {
    for (int64_t r = 0; r < 16; r += kLanes) {
      if (group + r >= to) break;
      begin(static_cast<uint32_t>(group / 4 + r));
      for (int l = 0; l < 4; ++l) {
        if (group + 16 * l + r < to) each(group + 16 * l + r, l);
      }
    }
  }
}

// One pass of a product, with everything that does not change from vector to vector.
struct Pass {
  const ProductArgs& args;
  IOParams io;
  RoundKeys keys;
  int64_t inputs, outputs;
  int64_t input_stride, output_stride;
  float input_step, output_step;
  int rounds;

  explicit Pass(const ProductArgs& a)
      : args(a),
        io(*reinterpret_cast<const IOParams*>(a.io)),
        keys(round_keys(a.tile.key[0], a.tile.key[1])),
        inputs(a.backward ? a.tile.out_size : a.tile.in_size),
        outputs(a.backward ? a.tile.in_size : a.tile.out_size),
        input_stride(round_up(inputs, kGroup)),
        output_stride(round_up(outputs, kGroup)),
        input_step(converter_step(io.inp_res, io.inp_bound)),
        output_step(converter_step(io.out_res, io.out_bound)),
        rounds(most_rounds(io, a.backward != 0)) {}

  uint32_t tag(ProductPurpose purpose, int round) const {
    return counter_tag(args.stream + purpose, args.tile.plane, static_cast<uint32_t>(round) << 4);
  }
  const float* input(int64_t v) const { return args.input + v * inputs; }
  float* output(int64_t v) const { return args.output + v * outputs; }

  VectorScale scale(const InputRange& range, float reduction) const {
    return vector_scale(io, range.abs_max, range.max, reduction, !args.backward && io.inp_noise > 0.0f);
  }

  void prepare(int64_t v, float factor, int round, float* prepared) const {
    const float* x = input(v);
    const uint64_t ordinal = args.ordinal + static_cast<uint64_t>(v);
    const bool rounds = io.inp_sto_round != 0.0f && input_step > 0.0f;
    const bool noise = io.inp_noise > 0.0f;
    Block<u32v> round_words = {};
    Normals<f32v> z = {};
    for_line_groups(
        0, inputs,
        [&](uint32_t first) {
          const u32v element = lane_numbers() + first;
          if (rounds) round_words = draw_block<f32v>(element, ordinal, tag(kInputRound, round), keys);
          if (noise) z = normals<f32v>(draw_block<f32v>(element, ordinal, tag(kInputNoise, round), keys));
        },
        [&](int64_t j, int l) {
          const int64_t left = inputs - j;
          const f32v value = left >= kLanes ? load(x + j) : load_part(x + j, static_cast<int>(left));
          const f32v shift = rounds ? f32v(uniform<f32v>(round_words.w[l]) - 0.5f) : f32v{};
          const f32v done = prepare_input(io, input_step, value, factor, shift, z.z[l]);
          store_part_or_all(prepared + j, done, left);
        });
  }

  // Adds the noise and converts; writes the outputs [from, to) and tells whether one left the converter's range.
  bool finish(int64_t v, float factor, float input_norm, int round, const float* y, int64_t from, int64_t to) const {
    float* out = output(v);
    const uint64_t ordinal = args.ordinal + static_cast<uint64_t>(v);
    const bool rounds = io.out_sto_round != 0.0f && output_step > 0.0f;
    const bool noise = io.out_noise > 0.0f;
    const bool weight_noise = input_norm > 0.0f;
    Block<u32v> round_words = {};
    Normals<f32v> z = {}, zw = {};
    bool left_range = false;
    for_line_groups(
        from, to,
        [&](uint32_t first) {
          const u32v element = lane_numbers() + first;
          if (rounds) round_words = draw_block<f32v>(element, ordinal, tag(kOutputRound, round), keys);
          if (noise) z = normals<f32v>(draw_block<f32v>(element, ordinal, tag(kOutputNoise, round), keys));
          if (weight_noise) zw = normals<f32v>(draw_block<f32v>(element, ordinal, tag(kWeightNoise, round), keys));
        },
        [&](int64_t i, int l) {
          const int64_t left = to - i;
          f32v value = load(y + i);
          if (weight_noise) value = fma(f32v{} + io.w_noise * input_norm, zw.z[l], value);
          const f32v shift = rounds ? f32v(uniform<f32v>(round_words.w[l]) - 0.5f) : f32v{};
          Mask clipped = less(f32v{}, f32v{});
          value = finish_output(io, output_step, value, shift, z.z[l], clipped) * factor;
          if (left < kLanes) clipped = both(clipped, first_lanes(static_cast<int>(left)));
          left_range |= any(clipped);
          store_part_or_all(out + i, value, left);
        });
    return left_range;
  }

  static void store_part_or_all(float* p, f32v v, int64_t left) {
    if (left >= kLanes) {
      store(p, v);
    } else {
      store_part(p, v, static_cast<int>(left));
    }
  }

  // Euclidean norm of a prepared input, as kNormChains chains. A power of two, which changes no bit, keeps
  // the squares of very large and very small inputs within range.
  float norm(const float* prepared) const {
    f32v largest = {};
    for (int64_t j = 0; j < input_stride; j += kLanes) largest = maximum(largest, magnitude(load(prepared + j)));
    const float power = power_of_two_below(largest_lane(largest));
    const float factor = 1.0f / power;
    f32v sums[kNormChains / kLanes] = {};
    for (int64_t j = 0; j < input_stride; j += kNormChains) {
      for (int part = 0; part < kNormChains / kLanes; ++part) {
        const f32v v = load(prepared + j + part * kLanes) * factor;
        sums[part] = fma(v, v, sums[part]);
      }
    }
    float chains[kNormChains];
    for (int part = 0; part < kNormChains / kLanes; ++part) store(chains + part * kLanes, sums[part]);
    return norm_of_chains(chains, power);
  }

  // y[slot, from ... to) = product of the prepared vectors.
  void multiply(int64_t slots, const float* prepared, float* y, int64_t from, int64_t to, float* panel) const {
    if (args.backward) {
      multiply_rows(slots, prepared, input_stride, args.weights, outputs, inputs, from, to, y, output_stride, panel);
      return;
    }
    for (int64_t k = 0; k < inputs; k += kDepth) {
      const int64_t part = inputs - k < kDepth ? inputs - k : kDepth;
      for (int64_t i = from; i < to; i += kPanel) {
        multiply_panel(slots, prepared + k, input_stride, panel_of(args.packed, i / kPanel, inputs) + k * kPanel,
                       kPanel, part, y + i, output_stride, k > 0);
      }
    }
  }

  void fill(int64_t v, int64_t from, int64_t to, float value) const {
    for (int64_t i = from; i < to; ++i) output(v)[i] = value;
  }
};

// Where a thread works: inputs and outputs of a chunk, a panel, and what it knows of each vector.
struct ProductScratch {
  float* prepared;
  float* y;
  float* panel;
  InputRange* ranges;
  VectorScale* scales;
  float* norms;
  int32_t* active;

  static size_t bytes(const Pass& pass, int64_t chunk) {
    const int64_t floats = chunk * (pass.input_stride + pass.output_stride) + kDepth * kPanel;
    const size_t per_vector = sizeof(InputRange) + sizeof(VectorScale) + sizeof(float) + sizeof(int32_t);
    return round_up(static_cast<int64_t>(floats * sizeof(float) + chunk * per_vector), 64);
  }
  ProductScratch(void* base, int member, const Pass& pass, int64_t chunk) {
    char* p = static_cast<char*>(base) + bytes(pass, chunk) * member;
    prepared = reinterpret_cast<float*>(p);
    y = prepared + chunk * pass.input_stride;
    panel = y + chunk * pass.output_stride;
    ranges = reinterpret_cast<InputRange*>(panel + kDepth * kPanel);
    scales = reinterpret_cast<VectorScale*>(ranges + chunk);
    norms = reinterpret_cast<float*>(scales + chunk);
    active = reinterpret_cast<int32_t*>(norms + chunk);
  }
};

// The plan of a call: how many threads, and whether they split the vectors or, if those are too few, the outputs.
struct ProductPlan {
  int threads;
  bool split_outputs;
  int64_t chunk;

  explicit ProductPlan(const ProductArgs& args) {
    const int64_t work = args.batch * args.tile.out_size * args.tile.in_size / 16;
    threads = worthwhile_threads(args.tile.threads, work);
    split_outputs = args.batch < threads;
    const int64_t share = split_outputs ? args.batch : (args.batch + threads - 1) / threads;
    const int64_t chunks = (share + kChunk - 1) / kChunk;
    chunk = chunks > 0 ? (share + chunks - 1) / chunks : 1;
  }
};

// A chunk of vectors, by one thread. `shared` is a team's vote whether a vector left the range, with outputs split.
static void run_chunk(const Pass& pass, int64_t first, int64_t count, int64_t from, int64_t to, ProductScratch& s,
                      const Member* team, int32_t* votes) {
  const IOParams& io = pass.io;
  int64_t active = 0;
  for (int64_t v = 0; v < count; ++v) {
    s.ranges[v] = input_range(pass.input(first + v), pass.inputs);
    if (s.ranges[v].finite) {
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
    pass.multiply(active, s.prepared, s.y, from, to, s.panel);
    for (int64_t a = 0; a < active; ++a) {
      float* out = pass.output(first + s.active[a]);
      for (int64_t i = from; i < to; ++i) out[i] = s.y[a * pass.output_stride + i] * io.out_scale;
    }
    return;
  }
  const bool weight_noise = has_weight_noise(io);
  float reduction = 1.0f;
  for (int round = 0; active > 0; ++round, reduction *= 2.0f) {
    int64_t slots = 0;
    for (int64_t a = 0; a < active; ++a) {
      const int32_t v = s.active[a];
      const VectorScale scale = pass.scale(s.ranges[v], reduction);
      if (scale.zero) {
        pass.fill(first + v, from, to, 0.0f);
        continue;
      }
      float* prepared = s.prepared + slots * pass.input_stride;
      pass.prepare(first + v, scale.input, round, prepared);
      for (int64_t j = pass.inputs; j < pass.input_stride; ++j) prepared[j] = 0.0f;
      s.norms[slots] = weight_noise ? pass.norm(prepared) : 0.0f;
      s.scales[slots] = scale;
      s.active[slots++] = v;
    }
    pass.multiply(slots, s.prepared, s.y, from, to, s.panel);
    const bool last = round + 1 == pass.rounds;
    active = 0;
    for (int64_t slot = 0; slot < slots; ++slot) {
      const int32_t v = s.active[slot];
      bool again = pass.finish(first + v, s.scales[slot].output, s.norms[slot], round, s.y + slot * pass.output_stride,
                               from, to);
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

static void product(const ProductArgs& args, void* scratch) {
  const DefaultFloatingPoint environment;
  const Pass pass(args);
  const ProductPlan plan(args);
  const size_t vote_bytes = round_up(static_cast<int64_t>(plan.threads * sizeof(int32_t)), 64);
  int32_t* votes = static_cast<int32_t*>(scratch);
  char* base = static_cast<char*>(scratch) + vote_bytes;
  run_team(plan.threads, [&](const Member& member) {
    ProductScratch s(base, member.number, pass, plan.chunk);
    int64_t from = 0, to = args.batch;
    if (!plan.split_outputs) {
      member.share(args.batch, 1, from, to);
      for (int64_t v = from; v < to; v += plan.chunk) {
        run_chunk(pass, v, to - v < plan.chunk ? to - v : plan.chunk, 0, pass.outputs, s, nullptr, nullptr);
      }
    } else {
      member.share(pass.outputs, kGroup, from, to);
      for (int64_t v = 0; v < args.batch; v += plan.chunk) {
        run_chunk(pass, v, args.batch - v < plan.chunk ? args.batch - v : plan.chunk, from, to, s, &member, votes);
      }
    }
  });
}

static size_t product_scratch(const ProductArgs& args) {
  const DefaultFloatingPoint environment;
  const Pass pass(args);
  const ProductPlan plan(args);
  return round_up(static_cast<int64_t>(plan.threads * sizeof(int32_t)), 64) +
         ProductScratch::bytes(pass, plan.chunk) * plan.threads;
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
