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
  float abs_max, max;
  float factor;        // after the output converter
  float norm;          // of the prepared input, for the weight noise; 0 without
  int32_t active;      // whether this round does anything for it
  int32_t clipped[2];  // whether an output left the converter's range, for odd and even rounds
};

struct ProductJob {
  IOParams io;
  RoundKeys keys;
  const float* weights;
  const float* input;  // [batch, inputs]
  float* output;       // [batch, outputs]
  float* prepared;     // [batch, inputs]
  VectorState* states;
  int64_t batch, inputs, outputs;
  uint64_t ordinal;
  uint32_t stream, plane;
  int32_t round;
  float reduction;
  bool backward;

  RPUPY_BLOCK uint32_t tag(ProductPurpose purpose) const {
    return counter_tag(stream + purpose, plane, static_cast<uint32_t>(round) << 4);
  }
  RPUPY_BLOCK Block<uint32_t> block(ProductPurpose purpose, uint32_t element, int64_t v) const {
    return draw_block<float>(element, ordinal + static_cast<uint64_t>(v), tag(purpose), keys);
  }
};

// The draws that four lines share: those of four converters and four noises.
struct LineDraws {
  float shift[4];
  Normals<float> noise;
};

// Four lines (first + 0, 16, 32, 48) take the block of the first: element 16 q + r of lines 64 q + 16 l + r.
RPUPY_BLOCK uint32_t block_of_line(int64_t first) {
  return static_cast<uint32_t>(first / kGroup * (kGroup / 4) + first % kGroup);
}

RPUPY_BLOCK LineDraws draw_lines(const ProductJob& job, int64_t first, int64_t v, bool rounds, ProductPurpose round,
                                 bool noise, ProductPurpose purpose) {
  LineDraws draws = {};
  const uint32_t element = block_of_line(first);
  if (rounds) {
    const Block<uint32_t> words = job.block(round, element, v);
    for (int l = 0; l < 4; ++l) draws.shift[l] = uniform<float>(words.w[l]) - 0.5f;
  }
  if (noise) draws.noise = normals<float>(job.block(purpose, element, v));
  return draws;
}

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

// One vector after the input converter, four lines that share their draws at a time.
RPUPY_BLOCK void prepare_lines(const ProductJob& job, int64_t v, float factor) {
  const float step = converter_step(job.io.inp_res, job.io.inp_bound);
  const bool rounds = job.io.inp_sto_round != 0.0f && step > 0.0f;
  const float* x = job.input + v * job.inputs;
  float* prepared = job.prepared + v * job.inputs;
  for_block((job.inputs + kGroup - 1) / kGroup * (kGroup / 4), [&](int64_t n) {
    const int64_t first = n / (kGroup / 4) * kGroup + n % (kGroup / 4);
    if (first >= job.inputs) return;
    const LineDraws draws = draw_lines(job, first, v, rounds, kInputRound, job.io.inp_noise > 0.0f, kInputNoise);
    for (int l = 0; l < 4; ++l) {
      const int64_t j = first + l * (kGroup / 4);
      if (j < job.inputs) prepared[j] = prepare_input(job.io, step, x[j], factor, draws.shift[l], draws.noise.z[l]);
    }
  });
}

// The Euclidean norm of a prepared input; `shared` has a float for each thread, the result stands in shared[0].
RPUPY_BLOCK void find_norm(const float* prepared, int64_t n, float* shared, float* chains) {
  phase([&] {
    float largest = 0.0f;
    for_block(n, [&](int64_t j) { largest = maximum(largest, magnitude(prepared[j])); });
    shared[threadIdx.x] = largest;
  });
  block_maximum(shared);
  phase([&] {
    if (threadIdx.x >= kNormChains) return;
    const float factor = 1.0f / power_of_two_below(shared[0]);
    float sum = 0.0f;
    for (int64_t j = threadIdx.x; j < n; j += kNormChains) {
      const float value = prepared[j] * factor;
      sum = fma(value, value, sum);
    }
    chains[threadIdx.x] = sum;
  });
  phase([&] {
    if (threadIdx.x == 0) shared[0] = norm_of_chains(chains, power_of_two_below(shared[0]));
  });
}

// Before a round: which vectors it does, their scales and their prepared inputs. A block has a vector; what it decides by
// is the same for all its threads.
RPUPY_KERNEL(kBlockThreads)
prepare_kernel(ProductJob job) {
  RPUPY_SHARED(float, first_room, kBlockThreads);
  RPUPY_SHARED(float, second_room, kBlockThreads);
  RPUPY_SHARED(float, third_room, kBlockThreads);
  RPUPY_SHARED(float, chains, kNormChains);
  const RangeRoom room = {first_room, second_room, third_room};
  const bool perfect = job.io.is_perfect != 0.0f;
  for (int64_t v = blockIdx.x; v < job.batch; v += gridDim.x) {
    VectorState& state = job.states[v];
    // Ends the work on this vector.
    const auto settle = [&](bool active, float factor, float norm) {
      phase([&] {
        if (threadIdx.x != 0) return;
        state.active = active;
        state.clipped[job.round & 1] = 0;
        state.factor = factor;
        state.norm = norm;
      });
    };
    const auto settle_with = [&](float value) {
      phase([&] { for_block(job.outputs, [&](int64_t i) { job.output[v * job.outputs + i] = value; }); });
      settle(false, 0.0f, 0.0f);
    };
    if (job.round > 0 && state.clipped[(job.round - 1) & 1] == 0) {
      settle(false, 0.0f, 0.0f);
      continue;
    }
    if (job.round == 0) {
      find_range(job.input + v * job.inputs, job.inputs, room);
      phase([&] {
        if (threadIdx.x != 0) return;
        state.abs_max = room.abs_max[0];
        state.max = room.max[0];
      });
      if (room.flawed[0] > 0.0f) {
        settle_with(__builtin_nanf(""));
        continue;
      }
    }
    if (perfect) {
      settle(true, job.io.out_scale, 0.0f);
      continue;
    }
    const bool keep_zero = !job.backward && job.io.inp_noise > 0.0f;
    const VectorScale scale = vector_scale(job.io, state.abs_max, state.max, job.reduction, keep_zero);
    if (scale.zero) {
      settle_with(0.0f);
      continue;
    }
    phase([&] { prepare_lines(job, v, scale.input); });
    float norm = 0.0f;
    if (has_weight_noise(job.io)) {
      find_norm(job.prepared + v * job.inputs, job.inputs, room.max, chains);
      norm = room.max[0];
    }
    settle(true, scale.output, norm);
  }
}

// ---- chains and outputs --------------------------------------------------------------------------

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
  RPUPY_BLOCK float right(int64_t k, int64_t i) const {
    return kBackward ? weights[k * outputs + i] : weights[i * inputs + k];
  }
  RPUPY_BLOCK float start(int64_t, int64_t, Kept&) const { return 0.0f; }
  RPUPY_BLOCK float term(float a, float b, float sum, const Kept&) const { return fma(a, b, sum); }

  template <class Mine>
  RPUPY_BLOCK void finish(const Mine& mine, int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    RPUPY_UNROLL
    for (int r = 0; r < Mine::kRowsEach; ++r) {
      if (mine.row(r) >= rows || mine.column(0) >= columns) continue;
      const int64_t v = row + mine.row(r);
      if (states[v].active == 0) continue;
      finish_lines(mine.sum[r], v, column + mine.column(0));
    }
  }

  // The outputs first, first + 16, + 32 and + 48 of a vector: noise and output converter.
  RPUPY_BLOCK void finish_lines(const float* sums, int64_t v, int64_t first) const {
    static_assert(ManyRows::kColumns == kGroup && FewRows::kColumns == kGroup, "a tile is a group of outputs");
    VectorState& state = states[v];
    float* out = output + v * outputs;
    if (io.is_perfect != 0.0f) {
      for_lines(first, [&](int64_t i, int l) { out[i] = sums[l] * io.out_scale; });
      return;
    }
    const float step = converter_step(io.out_res, io.out_bound);
    const bool rounds = io.out_sto_round != 0.0f && step > 0.0f;
    const LineDraws draws = draw_lines(*this, first, v, rounds, kOutputRound, io.out_noise > 0.0f, kOutputNoise);
    Normals<float> weight_noise = {};
    if (state.norm > 0.0f) weight_noise = normals<float>(block(kWeightNoise, block_of_line(first), v));
    bool left_range = false;
    for_lines(first, [&](int64_t i, int l) {
      float value = sums[l];
      if (state.norm > 0.0f) value = fma(io.w_noise * state.norm, weight_noise.z[l], value);
      bool clipped = false;
      out[i] = finish_output(io, step, value, draws.shift[l], draws.noise.z[l], clipped) * state.factor;
      left_range = left_range || clipped;
    });
    // Whoever comes by writes the same.
    if (left_range) state.clipped[round & 1] = 1;
  }

  template <class Each>
  RPUPY_BLOCK void for_lines(int64_t first, const Each& each) const {
    RPUPY_UNROLL
    for (int l = 0; l < 4; ++l) {
      if (first + l * (kGroup / 4) < outputs) each(first + l * (kGroup / 4), l);
    }
  }
};

template <class Shape, bool kBackward>
RPUPY_KERNEL(Shape::kThreads)
chains_kernel(ProductChains<kBackward> job) {
  run_chains<Shape>(job, job.batch, job.outputs, job.inputs);
}

// ---- launches ------------------------------------------------------------------------------------

static int64_t state_bytes(int64_t batch) { return (batch * static_cast<int64_t>(sizeof(VectorState)) + 63) / 64 * 64; }

size_t product_scratch(const ProductArgs& args) {
  const IOParams& io = *reinterpret_cast<const IOParams*>(args.io);
  const int64_t inputs = args.backward ? args.tile.out_size : args.tile.in_size;
  const int64_t prepared = io.is_perfect != 0.0f ? 0 : args.batch * inputs * static_cast<int64_t>(sizeof(float));
  return static_cast<size_t>(state_bytes(args.batch) + prepared);
}

template <class Shape, bool kBackward>
static Status run_product(const Place& place, const ProductJob& job) {
  const unsigned blocks = chain_blocks<Shape>(job.batch, job.outputs);
  const ProductChains<kBackward> chains(job);
  return RPUPY_LAUNCH((chains_kernel<Shape, kBackward>), blocks, Shape::kThreads, place, chains);
}

Status product(const Place& place, const ProductArgs& args, void* scratch) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const DefaultFloatingPoint environment;  // numbers are computed here, too
  const bool backward = args.backward != 0;
  ProductJob job = {};
  job.io = *reinterpret_cast<const IOParams*>(args.io);
  job.keys = round_keys(args.tile.key[0], args.tile.key[1]);
  job.weights = args.weights;
  job.input = args.input;
  job.output = args.output;
  job.states = static_cast<VectorState*>(scratch);
  job.prepared = reinterpret_cast<float*>(static_cast<char*>(scratch) + state_bytes(args.batch));
  job.batch = args.batch;
  job.inputs = backward ? args.tile.out_size : args.tile.in_size;
  job.outputs = backward ? args.tile.in_size : args.tile.out_size;
  job.ordinal = args.ordinal;
  job.stream = args.stream;
  job.plane = args.tile.plane;
  job.backward = backward;
  job.reduction = 1.0f;
  const int rounds = job.io.is_perfect != 0.0f ? 1 : most_rounds(job.io, backward);
  const bool few = args.batch <= kFewRows;
  for (int32_t round = 0; round < rounds; ++round, job.reduction *= 2.0f) {
    job.round = round;
    RPUPY_TRY(RPUPY_LAUNCH(prepare_kernel, blocks_for(args.batch), kBlockThreads, place, job));
    if (backward) {
      RPUPY_TRY(few ? run_product<FewRows, true>(place, job) : run_product<ManyRows, true>(place, job));
    } else {
      RPUPY_TRY(few ? run_product<FewRows, false>(place, job) : run_product<ManyRows, false>(place, job));
    }
  }
  return {};
}

}  // namespace cuda
}  // namespace rpupy
