// Purpose: updates of unit cells and compounds: what `Compound` (csrc/compound.h) asks of an array, on the device.
// Invariants: the walk of the tree runs on the host, where the schedule is decided, and asks for launches in the tile's
// stream. It looks at one number of the device only, and only where a compound is the target of steps. Memory is cut into
// parts once for each call.
#include "launch.h"

#include <memory>
#include <new>

#include "../csrc/compound.h"
#include "../csrc/mvm/io.h"
#include "launchers.h"
#include "plane.h"

namespace rpupy {
namespace cuda {

constexpr int64_t kRowsTogether = 64;  // rows that a mixed precision compound writes together
constexpr int kPartsTogether = 8;      // planes that one launch adds up
constexpr int kSpansTogether = 256;    // spans that one launch brings to the device

// ---- lines ---------------------------------------------------------------------------------------

// A line of numbers made of another one, of zeros, or of zeros and a one.
struct LineJob {
  const float* from;  // null: zeros
  int64_t stride;     // of `from`
  int64_t hot;        // number of the one, -1 for none
  float* to;
  int64_t n;
};

RPUPY_KERNEL(kBlockThreads)
line_kernel(LineJob job) {
  for_grid(job.n, [&](int64_t i) {
    const float value = job.from != nullptr ? job.from[i * job.stride] : 0.0f;
    job.to[i] = i == job.hot ? 1.0f : value;
  });
}

struct WriteJob {
  const float* values;
  int64_t length, line, lines;
  float* hot;
  float* other;
};

RPUPY_KERNEL(kBlockThreads)
write_vectors_kernel(WriteJob job) {
  for_grid(job.length + job.lines, [&](int64_t n) {
    if (n < job.length) {
      job.other[n] = -job.values[n];
    } else {
      job.hot[n - job.length] = n - job.length == job.line ? 1.0f : 0.0f;
    }
  });
}

struct ChopJob {
  const float* x;
  const float* d;
  int64_t vectors, in_size, out_size;
  const uint8_t* x_chopper;
  const uint8_t* d_chopper;
  float* chopped_x;
  float* chopped_d;
};

RPUPY_KERNEL(kBlockThreads)
chop_kernel(ChopJob job) {
  const int64_t of_x = job.vectors * job.in_size;
  for_grid(of_x + job.vectors * job.out_size, [&](int64_t n) {
    if (n < of_x) {
      const float v = job.x[n];
      job.chopped_x[n] = job.x_chopper[n % job.in_size] != 0 ? -v : v;
    } else {
      const float v = job.d[n - of_x];
      job.chopped_d[n - of_x] = job.d_chopper[(n - of_x) % job.out_size] != 0 ? -v : v;
    }
  });
}

RPUPY_KERNEL(kBlockThreads)
keep_kernel(const float* from, int64_t vectors, int64_t size, VectorSet set, float* to) {
  for_grid(vectors * size, [&](int64_t n) { to[n] = set.has(n / size) ? from[n] : 0.0f; });
}

// Spans of some lines, on their way to the device: the parameters of a launch are copied when it is asked for, and the
// host, which makes the spans, need not wait.
struct SpansJob {
  uint16_t from[kSpansTogether], to[kSpansTogether];
  int64_t line, lines;
  uint32_t* firsts;
  uint32_t* lasts;
};
static_assert(kMostStretch <= UINT16_MAX, "spans count vectors of a stretch");

RPUPY_KERNEL(kBlockThreads)
spans_kernel(const SpansJob job) {
  for_grid(job.lines, [&](int64_t i) {
    job.firsts[job.line + i] = job.from[i];
    job.lasts[job.line + i] = job.to[i];
  });
}

struct ChopperJob {
  ChopperMove move;
  uint64_t event;
  uint32_t plane;
  int64_t slice, length;
  uint8_t* in_chopper;
  uint8_t* out_chopper;
  uint8_t* switched;  // null: not remembered
  RoundKeys keys;
};

RPUPY_KERNEL(kBlockThreads)
move_choppers_kernel(ChopperJob job) {
  for_grid(job.length, [&](int64_t i) {
    if (i == 0) {
      if (job.move.in_flips) job.in_chopper[job.slice] ^= 1;
      if (job.switched != nullptr) {
        uint8_t& state = job.switched[job.slice];
        state = job.move.in_flips ? kJustSwitched | kEverSwitched : state & kEverSwitched;
      }
    }
    if (!(job.move.out_prob > 0.0f)) return;
    const uint32_t tag = counter_tag(kStreamChopOut, job.plane, 0);
    const uint64_t word = draw_block<float>(static_cast<uint32_t>(i), job.event, tag, job.keys).w[0];
    if (word < threshold(job.move.out_prob)) job.out_chopper[i] ^= 1;
  });
}

RPUPY_KERNEL(kBlockThreads)
copy_choppers_kernel(const uint8_t* in_chopper, int64_t slices, const uint8_t* out_chopper, int64_t length,
                     uint8_t* in_copy, uint8_t* out_copy) {
  for_grid(slices + length, [&](int64_t n) {
    if (n < slices) {
      in_copy[n] = in_chopper[n];
    } else {
      out_copy[n - slices] = out_chopper[n - slices];
    }
  });
}

// ---- rates ---------------------------------------------------------------------------------------

// The largest magnitudes of x and d of each vector, side by side.
RPUPY_KERNEL(kBlockThreads)
maxima_kernel(const float* x, int64_t in_size, const float* d, int64_t out_size, int64_t vectors, float* maxima) {
  RPUPY_SHARED(float, x_max, kBlockThreads);
  RPUPY_SHARED(float, d_max, kBlockThreads);
  for (int64_t b = blockIdx.x; b < vectors; b += gridDim.x) {
    largest_magnitude(x + b * in_size, in_size, x_max);
    largest_magnitude(d + b * out_size, out_size, d_max);
    phase([&] {
      if (threadIdx.x != 0) return;
      maxima[2 * b] = x_max[0];
      maxima[2 * b + 1] = d_max[0];
    });
  }
}

RPUPY_KERNEL(1)
rates_kernel(const float* maxima, int64_t vectors, float top, float momentum, float* rates, float* running) {
  threads([&] { auto_rates(maxima, vectors, top, momentum, rates, running); });
}

RPUPY_KERNEL(1)
rate_kernel(float rate, float* running) {
  threads([&] { running[2] = rate; });
}

// The mean takes in the share of zeros of the vector before each; that of the last one stays.
RPUPY_KERNEL(1)
sparsity_kernel(const float* shares, int64_t vectors, float rate, float* sparsity, float* last) {
  threads([&] {
    for (int64_t b = 0; b < vectors; ++b) {
      *sparsity = running_mean(*sparsity, *last, rate);
      *last = shares[b];
    }
  });
}

// ---- weights -------------------------------------------------------------------------------------

struct ReduceJob {
  const float* parts[kPartsTogether];
  float gammas[kPartsTogether];
  int count;
  bool goes_on;  // from the sum of the parts before
  const uint8_t* x_chopper;
  const uint8_t* d_chopper;  // null: nothing turns the first part over
  int64_t crosspoints, in_size;
  float* weights;
};

RPUPY_KERNEL(kBlockThreads)
reduce_kernel(ReduceJob job) {
  for_grid(job.crosspoints, [&](int64_t at) {
    float sum = 0.0f;
    int k = 0;
    if (job.goes_on) {
      sum = job.weights[at];
    } else {
      sum = job.parts[k][at] * job.gammas[k];
      ++k;
      if (job.d_chopper != nullptr && job.x_chopper[at % job.in_size] != job.d_chopper[at / job.in_size]) sum = -sum;
    }
    for (; k < job.count; ++k) sum = fma(job.gammas[k], job.parts[k][at], sum);
    job.weights[at] = sum;
  });
}

struct ResetJob {
  ResetPlane plane;
  PlaneOrNumber bias;

  ResetJob(const CompoundNode& node, uint64_t ordinal, uint64_t redraw)
      : plane(node, ordinal, redraw), bias(node.reset_bias, node.reset_stride) {}

  RPUPY_BLOCK void reset(int64_t at, const RoundKeys& keys) const { plane.reset(at, bias.at(at), keys); }
};

RPUPY_KERNEL(kBlockThreads)
reset_column_kernel(ResetJob job, int64_t column, int64_t out_size, int64_t in_size, RoundKeys keys) {
  for_grid(out_size, [&](int64_t i) { job.reset(i * in_size + column, keys); });
}

RPUPY_KERNEL(kBlockThreads)
refresh_kernel(ResetJob minus, ResetJob plus, RefreshRule rule, int64_t column, int64_t out_size, int64_t in_size,
               RoundKeys keys, float* up, float* down) {
  for_grid(out_size, [&](int64_t i) {
    if (!refresh_cell(rule, up[i], down[i])) return;
    minus.reset(i * in_size + column, keys);
    plus.reset(i * in_size + column, keys);
  });
}

// ---- buffers of transfers ------------------------------------------------------------------------

// A slice of the array, and what its reads meet.
struct SliceJob {
  int64_t first, stride, length;  // crosspoint i of the slice is first + i * stride
  int64_t slice;
  const float* running;
  const uint8_t* in_chopper;  // null: nothing is turned over
  const uint8_t* out_chopper;
  float* values;   // the reads; become the steps to write
  float* stepped;  // becomes 1 where there are any; null: nobody asks
  float* buffer;

  RPUPY_BLOCK int64_t at(int64_t i) const { return first + i * stride; }
  RPUPY_BLOCK bool turned(int64_t i) const { return in_chopper != nullptr && in_chopper[slice] != out_chopper[i]; }
  RPUPY_BLOCK void put(int64_t i, float steps) const {
    values[i] = steps;
    // Whoever comes by writes the same.
    if (stepped != nullptr && steps != 0.0f) *stepped = 1.0f;
  }
};

RPUPY_KERNEL(kBlockThreads)
buffer_kernel(SliceJob job, BufferRule rule, bool no_buffer) {
  for_grid(job.length, [&](int64_t i) {
    const float v = job.turned(i) ? -job.values[i] : job.values[i];
    float kept = no_buffer ? 0.0f : job.buffer[job.at(i)];
    const float steps = buffer_step<float>(scaled(rule, job.running), v, kept);
    job.buffer[job.at(i)] = kept;
    job.put(i, steps);
  });
}

struct StatisticsJob {
  float* mean;
  float* past_mean;
  float* variance;  // null without a gate
  float* past_variance;
  const uint8_t* switched;
};

RPUPY_KERNEL(kBlockThreads)
dynamic_kernel(SliceJob job, BufferRule rule, float rho, StatisticsJob statistics) {
  for_grid(job.length, [&](int64_t i) {
    const int64_t at = job.at(i);
    const uint8_t state = statistics.switched[job.slice];
    const bool gate = statistics.variance != nullptr;
    ReadStatistics<float> r = {statistics.mean[at], statistics.past_mean[at], 0.0f, 0.0f};
    if (gate) r.variance = statistics.variance[at], r.past_variance = statistics.past_variance[at];
    const DynamicRule ready = dynamic_rule(scaled(rule, job.running), rho, gate, state);
    const float steps = dynamic_step<float>(ready, job.values[i], job.turned(i), r, job.buffer[at]);
    statistics.mean[at] = r.mean;
    statistics.past_mean[at] = r.past_mean;
    if (gate) statistics.variance[at] = r.variance, statistics.past_variance[at] = r.past_variance;
    job.put(i, steps);
  });
}

// ---- mixed precision -----------------------------------------------------------------------------

struct QuantiseJob {
  const float* from;
  int64_t vectors, lines;
  float half;
  bool random;
  uint32_t tag;
  uint64_t ordinal;
  RoundKeys keys;
  float* to;
};

RPUPY_KERNEL(kBlockThreads)
quantise_kernel(QuantiseJob job) {
  RPUPY_SHARED(float, largest, kBlockThreads);
  for (int64_t b = blockIdx.x; b < job.vectors; b += gridDim.x) {
    const float* from = job.from + b * job.lines;
    largest_magnitude(from, job.lines, largest);
    phase([&] {
      const float width = quantum(largest[0], job.half);
      for_block(job.lines, [&](int64_t j) {
        float shift = 0.0f;
        if (job.random) {
          const uint64_t ordinal = job.ordinal + static_cast<uint64_t>(b);
          shift = uniform<float>(draw_block<float>(static_cast<uint32_t>(j), ordinal, job.tag, job.keys).w[0]) - 0.5f;
        }
        job.to[b * job.lines + j] = quantised<float>(from[j], width, job.half, shift);
      });
    });
  }
}

// The share of zeros in a vector, by the whole block, to shared[0]; all counts are exact.
RPUPY_BLOCK void zeros_in(const float* values, int64_t n, uint32_t* shared) {
  phase([&] {
    if (threadIdx.x == 0) shared[0] = 0;
  });
  phase([&] {
    uint32_t mine = 0;
    for_block(n, [&](int64_t j) {
      if (values[j] == 0.0f) ++mine;
    });
    if (mine != 0) atomicAdd(shared, mine);
  });
}

RPUPY_KERNEL(kBlockThreads)
zero_products_kernel(const float* x, int64_t in_size, const float* d, int64_t out_size, int64_t vectors,
                     float* shares) {
  RPUPY_SHARED(uint32_t, of_x, 1);
  RPUPY_SHARED(uint32_t, of_d, 1);
  for (int64_t b = blockIdx.x; b < vectors; b += gridDim.x) {
    zeros_in(x + b * in_size, in_size, of_x);
    zeros_in(d + b * out_size, out_size, of_d);
    phase([&] {
      if (threadIdx.x != 0) return;
      shares[b] = static_cast<float>(of_x[0]) / static_cast<float>(in_size) *
                  (static_cast<float>(of_d[0]) / static_cast<float>(out_size));
    });
  }
}

RPUPY_KERNEL(1)
average_zeros_kernel(const float* shares, int64_t vectors, int64_t before, float* mean) {
  threads([&] {
    for (int64_t b = 0; b < vectors; ++b) *mean = mean_with(*mean, shares[b], before + b);
  });
}

struct RowsJob {
  float* chi;  // of the first row
  int64_t row, rows, in_size, out_size;
  float granularity;
  float* counts;
  float* marks;
};

RPUPY_KERNEL(kBlockThreads)
take_rows_kernel(RowsJob job) {
  for_grid(job.rows * job.in_size, [&](int64_t n) { job.counts[n] = take_steps<float>(job.granularity, job.chi[n]); });
  for_grid(job.rows * job.out_size,
           [&](int64_t n) { job.marks[n] = n % job.out_size == job.row + n / job.out_size ? 1.0f : 0.0f; });
}

// ---- the array -----------------------------------------------------------------------------------

class CudaArray {
 public:
  using Node = CompoundNode;

  // Without memory, only its size is computed.
  CudaArray(const Place& place, const CompoundArgs& args, void* memory)
      : place_(place),
        args_(args),
        in_size_(args.tile.in_size),
        out_size_(args.tile.out_size),
        keys_(round_keys(args.tile.key[0], args.tile.key[1])),
        cut_{static_cast<char*>(memory), 0},
        memory_(args, cut_, kRowsTogether) {
    line_ = cut_.take<float>(memory_.lines);
    maxima_ = cut_.take<float>(2 * memory_.stretch);
    shares_ = cut_.take<float>(memory_.most_vectors);
    one_ = cut_.take<float>(1);
    stepped_ = cut_.take<float>(1);
    span_firsts_ = cut_.take<uint32_t>(memory_.lines);
    span_lasts_ = cut_.take<uint32_t>(memory_.lines);
    kernel_ = cut_.take<char>(static_cast<int64_t>(kernel_bytes()));
  }

  size_t bytes() const { return cut_.used; }
  const Status& status() const { return status_; }

  // Before an update: room for the schedule, and the line that drives reads of single slices.
  void prepare() {
    Cutter cut = {nullptr, 0};
    cut_schedule(cut);
    schedule_.reset(new (std::nothrow) char[cut.used]);
    if (schedule_ == nullptr) {
      status_ = {cudaErrorMemoryAllocation, "new char[]", __FILE__, __LINE__};
      return;
    }
    cut = {schedule_.get(), 0};
    cut_schedule(cut);
    make_line({nullptr, 0, 0, one_, 1});
  }

  const NodeScratch& scratch(const Node& node) const { return memory_.nodes[&node - args_.nodes]; }
  SliceRead* reads() const { return reads_; }
  SliceState* slice_states() const { return states_; }
  uint32_t* span_firsts() const { return host_firsts_; }
  uint32_t* span_lasts() const { return host_lasts_; }
  const float* slices_taken() const { return memory_.slices; }
  int64_t rows_together() const { return kRowsTogether; }
  const float* row_counts() const { return memory_.counts; }
  const float* row_marks() const { return memory_.marks; }

  // ---- pulses ------------------------------------------------------------------------------------

  void pulse(const Node& node, const PulseBatch& p) {
    UpdateArgs args = pulse_args(args_, node, p);
    if (p.spans.first != nullptr) {
      send_spans(p);
      args.spans.first = span_firsts_;
      args.spans.last = span_lasts_;
    }
    if (!failed()) status_ = update_pulsed(place_, node.device, args, kernel_);
  }

  void auto_rates(const Node& node, const PulseBatch& p, float top, float rate, float* rates) {
    launch(maxima_kernel, blocks_for(p.vectors), kBlockThreads, p.x, in_size_, p.d, out_size_, p.vectors, maxima_);
    launch(rates_kernel, 1, 1, maxima_, p.vectors, top, rate, rates, node.running);
  }
  // Counts the zeros in d. The mean of a compound takes in those of the vector before.
  void count_zeros(const Node& node, const PulseBatch& p, float rate) {
    const UpdateArgs args = pulse_args(args_, node, p);
    const bool all = node.sparsity != nullptr;
    if (!failed()) status_ = zero_shares(place_, args, all ? 0 : p.vectors - 1, all ? shares_ : p.zeros);
    if (all) launch(sparsity_kernel, 1, 1, shares_, p.vectors, rate, node.sparsity, p.zeros);
  }
  void set_rate(const Node& node, float rate) { launch(rate_kernel, 1, 1, magnitude(rate), node.running); }
  void use_rate(const Node& node, const PulseBatch& p, int64_t b) {
    if (p.rates != nullptr) make_line({p.rates + b, 1, -1, node.running + 2, 1});
  }

  void chop(const PulseBatch& p, const uint8_t* x_chopper, const uint8_t* d_chopper, float* x, float* d) {
    const ChopJob job = {p.x, p.d, p.vectors, in_size_, out_size_, x_chopper, d_chopper, x, d};
    launch_for(chop_kernel, p.vectors * (in_size_ + out_size_), job);
  }
  void keep_vectors(const float* from, int64_t vectors, int64_t n, const VectorSet& set, float* to) {
    launch_for(keep_kernel, vectors * n, from, vectors, n, set, to);
  }
  void write_vectors(const float* values, int64_t length, int64_t line, int64_t lines, const NodeScratch& s) {
    const WriteJob job = {values, length, line, lines, s.hot, s.other};
    launch_for(write_vectors_kernel, length + lines, job);
  }

  // ---- weights -----------------------------------------------------------------------------------

  void reduce(const Node& node, const Node& first) {
    ReduceJob job = {};
    if (node.kind == kChoppedTransfer || node.kind == kDynamicTransfer) {
      job.x_chopper = by_columns(node) ? node.in_chopper : node.out_chopper;
      job.d_chopper = by_columns(node) ? node.out_chopper : node.in_chopper;
    }
    job.crosspoints = out_size_ * in_size_;
    job.in_size = in_size_;
    job.weights = node.weights;
    for (int k = 0; k < node.children; k += job.count) {
      job.goes_on = k > 0;
      job.count = node.children - k < kPartsTogether ? node.children - k : kPartsTogether;
      for (int i = 0; i < job.count; ++i) {
        job.parts[i] = (&first)[k + i].weights;
        job.gammas[i] = (&first)[k + i].gamma;
      }
      launch_for(reduce_kernel, job.crosspoints, job);
    }
  }

  void take_slice(const Node& node, bool columns, int64_t slice, int64_t number) {
    take(node, columns, slice, memory_.slices + number * (columns ? out_size_ : in_size_));
  }

  void read_slice(const Node& owner, const Node& node, bool columns, int64_t slice, uint64_t ordinal, float* values) {
    if (owner.reads_are_local) {
      take(node, columns, slice, line_);
      convert(owner, node, columns, line_, columns ? out_size_ : in_size_, ordinal, values);
      return;
    }
    const NodeScratch& s = scratch(owner);
    make_line({nullptr, 0, slice, s.hot, columns ? in_size_ : out_size_});
    ProductArgs args = read_args(args_, owner, node, columns, ordinal, values);
    args.weights = node.weights;
    args.input = s.hot;
    multiply(args);
  }
  void convert_slice(const Node& owner, const Node& node, const float* weights, int64_t length, int64_t,
                     int64_t ordinal, float* values) {
    convert(owner, node, by_columns(owner), weights, length, static_cast<uint64_t>(ordinal), values);
  }

  void reset_column(const Node& node, int64_t column, uint64_t ordinal, uint64_t redraw) {
    const ResetJob job(node, ordinal, redraw);
    launch_for(reset_column_kernel, out_size_, job, column, out_size_, in_size_, keys_);
  }

  // Both devices are written to in any case: a write of zeros has no pulse.
  void refresh_column(const Node& minus, const Node& plus, int64_t column, float upper, float lower,
                      const uint64_t* resets, const uint64_t* redraws, float* up, float* down, bool* wanted) {
    const RefreshRule rule = {plus.nominal_max, minus.nominal_max, upper, lower};
    const ResetJob minus_job(minus, resets[0], redraws[0]), plus_job(plus, resets[1], redraws[1]);
    launch_for(refresh_kernel, out_size_, minus_job, plus_job, rule, column, out_size_, in_size_, keys_, up, down);
    wanted[0] = wanted[1] = true;
  }

  // ---- buffers of transfers ----------------------------------------------------------------------

  bool buffer(const Node& node, const Node& source, int64_t slice, const BufferRule& rule, const NodeScratch& s) {
    const Node& target = (&source)[1];
    SliceJob job = slice_job(node, target, slice, s);
    job.buffer = source.buffer;
    return steps(target, job, buffer_kernel, job, rule, false);
  }

  bool chopped_buffer(const Node& node, int64_t slice, const BufferRule& rule, bool no_buffer, const NodeScratch& s) {
    const Node& target = args_.nodes[node.first_child + 1];
    const SliceJob job = chopped_job(node, target, slice, s);
    return steps(target, job, buffer_kernel, job, rule, no_buffer);
  }

  bool dynamic_buffer(const Node& node, int64_t slice, const BufferRule& rule, float rho, bool gate, bool writes,
                      const NodeScratch& s) {
    const Node& target = args_.nodes[node.first_child + 1];
    const SliceJob job = chopped_job(node, target, slice, s);
    // What has switched is brought up to date where the choppers move, behind this.
    const StatisticsJob statistics = {node.mean, node.past_mean, gate ? node.variance : nullptr,
                                      gate ? node.past_variance : nullptr, node.switched};
    return steps(target, job, dynamic_kernel, job, rule, rho, statistics) && writes;
  }

  void move_choppers(const Node& node, int64_t slice, const ChopperMove& move, uint64_t event, uint8_t* in_chopper,
                     uint8_t* out_chopper, uint8_t* switched) {
    if (!move.in_flips && !(move.out_prob > 0.0f) && switched == nullptr) return;
    const int64_t length = move.out_prob > 0.0f ? (by_columns(node) ? out_size_ : in_size_) : 1;
    const ChopperJob job = {move, event, node.number, slice, length, in_chopper, out_chopper, switched, keys_};
    launch_for(move_choppers_kernel, length, job);
  }
  void copy_choppers(const Node& node, int64_t slices, int64_t length, uint8_t*& in_chopper, uint8_t*& out_chopper) {
    in_chopper = memory_.in_chopper;
    out_chopper = memory_.out_chopper;
    launch_for(copy_choppers_kernel, slices + length, node.in_chopper, slices, node.out_chopper, length, in_chopper,
               out_chopper);
  }

  // ---- mixed precision ---------------------------------------------------------------------------

  void quantise(const float* from, int64_t vectors, int64_t lines, float bins, bool random, uint32_t stream,
                uint32_t plane, uint64_t ordinal, float* to) {
    const QuantiseJob job = {from,    vectors, lines, half_of_bins(bins), random, counter_tag(stream, plane, 0),
                             ordinal, keys_,   to};
    launch(quantise_kernel, blocks_for(vectors), kBlockThreads, job);
  }

  // Takes the share of products that are zero on both sides into their mean.
  void average_zeros(const Node& node, const float* x, const float* d, int64_t vectors) {
    launch(zero_products_kernel, blocks_for(vectors), kBlockThreads, x, in_size_, d, out_size_, vectors, shares_);
    launch(average_zeros_kernel, 1, 1, shares_, vectors, node.counters[kUpdates], node.sparsity);
  }
  void add_products(const Node& node, const float* x, const float* d, int64_t vectors) {
    if (failed()) return;
    UpdateArgs args = {};
    args.tile = args_.tile;
    args.x = x;
    args.d = d;
    args.batch = vectors;
    args.lr = -args_.lr;
    args.weights = node.buffer;
    status_ = update_exact(place_, args);
  }

  void take_rows(const Node& node, int64_t row, int64_t rows, float granularity) {
    const RowsJob job = {
        node.buffer + row * in_size_, row, rows, in_size_, out_size_, granularity, memory_.counts, memory_.marks};
    launch_for(take_rows_kernel, rows * memory_.lines, job);
  }

 private:
  static bool by_columns(const Node& node) {
    return reinterpret_cast<const TransferParams*>(node.params)->transfer_columns != 0.0f;
  }
  bool failed() const { return status_.failed(); }

  // What the host keeps of the schedule.
  void cut_schedule(Cutter& cut) {
    reads_ = cut.take<SliceRead>(memory_.reads);
    states_ = cut.take<SliceState>(memory_.lines);
    host_firsts_ = cut.take<uint32_t>(memory_.lines);
    host_lasts_ = cut.take<uint32_t>(memory_.lines);
  }

  template <class Kernel, class... Arguments>
  void launch(Kernel kernel, unsigned grid, unsigned block, const Arguments&... arguments) {
    if (!failed()) status_ = RPUPY_LAUNCH(kernel, grid, block, place_, arguments...);
  }
  // With a thread for each of n numbers.
  template <class Kernel, class... Arguments>
  void launch_for(Kernel kernel, int64_t n, const Arguments&... arguments) {
    launch(kernel, blocks_of_threads(n), kBlockThreads, arguments...);
  }
  void make_line(const LineJob& job) { launch_for(line_kernel, job.n, job); }

  // Copies the spans of the lines in the window.
  void send_spans(const PulseBatch& p) {
    const Region region = region_of(p.window, args_.tile);
    const int64_t from = p.spans.of_rows != 0 ? region.row : region.column;
    const int64_t to = p.spans.of_rows != 0 ? region.last_row : region.last_column;
    SpansJob job = {};
    job.firsts = span_firsts_;
    job.lasts = span_lasts_;
    for (job.line = from; job.line < to; job.line += job.lines) {
      job.lines = to - job.line < kSpansTogether ? to - job.line : kSpansTogether;
      for (int64_t i = 0; i < job.lines; ++i) {
        job.from[i] = static_cast<uint16_t>(p.spans.first[job.line + i]);
        job.to[i] = static_cast<uint16_t>(p.spans.last[job.line + i]);
      }
      launch_for(spans_kernel, job.lines, job);
    }
  }

  void take(const Node& node, bool columns, int64_t slice, float* to) {
    const float* first = node.weights + (columns ? slice : slice * in_size_);
    make_line({first, columns ? in_size_ : 1, -1, to, columns ? out_size_ : in_size_});
  }

  // The product of a slice alone with a line that is 1: what the whole product gives where reads are local.
  void convert(const Node& owner, const Node& node, bool columns, const float* weights, int64_t length,
               uint64_t ordinal, float* values) {
    ProductArgs args = read_args(args_, owner, node, columns, ordinal, values);
    args.tile.out_size = columns ? length : 1;
    args.tile.in_size = columns ? 1 : length;
    args.weights = weights;
    args.input = one_;
    multiply(args);
  }
  void multiply(const ProductArgs& args) {
    if (!failed()) status_ = product(place_, args, kernel_);
  }

  SliceJob slice_job(const Node& node, const Node& target, int64_t slice, const NodeScratch& s) const {
    const bool columns = by_columns(node);
    SliceJob job = {};
    job.first = columns ? slice : slice * in_size_;
    job.stride = columns ? in_size_ : 1;
    job.length = columns ? out_size_ : in_size_;
    job.slice = slice;
    job.values = s.values;
    job.stepped = target.kind == kDevicePlane ? nullptr : stepped_;
    return job;
  }
  SliceJob chopped_job(const Node& node, const Node& target, int64_t slice, const NodeScratch& s) const {
    SliceJob job = slice_job(node, target, slice, s);
    job.running = node.running;
    job.in_chopper = node.in_chopper;
    job.out_chopper = node.out_chopper;
    job.buffer = node.buffer;
    return job;
  }

  // Runs a kernel that makes steps, and tells whether they have to be written. A device plane is written to in any case: a
  // write of zeros has no pulse, and the host need not wait. A compound would count the write.
  template <class Kernel, class... Arguments>
  bool steps(const Node& target, const SliceJob& job, Kernel kernel, const Arguments&... arguments) {
    const bool asks = target.kind != kDevicePlane;
    if (asks) make_line({nullptr, 0, -1, stepped_, 1});
    launch_for(kernel, job.length, arguments...);
    if (!asks) return true;
    float stepped = 0.0f;
    if (!failed()) status_ = copy_bytes(place_, &stepped, stepped_, sizeof stepped, cudaMemcpyDeviceToHost);
    if (!failed()) status_ = wait_for(place_);
    return stepped != 0.0f;
  }

  // The most that a kernel which is called from here needs.
  size_t kernel_bytes() const {
    size_t most = 0;
    if (args_.update == nullptr) return most;  // a reduction calls none
    const auto consider = [&](size_t bytes) { most = bytes > most ? bytes : most; };
    const auto consider_pulses = [&](const float* update) {
      UpdateArgs args = {};
      args.tile = args_.tile;
      args.batch = memory_.most_vectors;
      args.granularity = 1.0f;
      args.update = update;
      consider(update_pulsed_most_scratch(args));
    };
    consider_pulses(args_.update);
    for (int i = 0; i < args_.count; ++i) {
      const Node& node = args_.nodes[i];
      if (node.write_update != nullptr) consider_pulses(node.write_update);
      if (node.read_io == nullptr) continue;
      for (const bool columns : {true, false})
        consider(product_scratch(read_args(args_, node, node, columns, 0, nullptr)));
    }
    return most;
  }

  const Place& place_;
  const CompoundArgs& args_;
  int64_t in_size_, out_size_;
  RoundKeys keys_;
  Cutter cut_;
  WalkMemory memory_;
  std::unique_ptr<char[]> schedule_;  // memory of the next four
  SliceRead* reads_ = nullptr;
  SliceState* states_ = nullptr;
  uint32_t* host_firsts_ = nullptr;
  uint32_t* host_lasts_ = nullptr;
  Status status_;
  float* line_ = nullptr;    // a slice
  float* maxima_ = nullptr;  // [stretch, 2]
  float* shares_ = nullptr;  // of zeros, of the vectors of a stretch
  float* one_ = nullptr;
  float* stepped_ = nullptr;
  uint32_t* span_firsts_ = nullptr;
  uint32_t* span_lasts_ = nullptr;
  char* kernel_ = nullptr;
};

size_t update_compound_scratch(const CompoundArgs& args) {
  const DefaultFloatingPoint environment;
  return CudaArray(Place{}, args, nullptr).bytes();
}

Status update_compound(const Place& place, const CompoundArgs& args, void* scratch) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const DefaultFloatingPoint environment;  // the schedule is computed here
  CudaArray array(place, args, scratch);
  array.prepare();
  if (!array.status().failed()) Compound<CudaArray>(args, array).update();
  return array.status();
}

Status reduce_compound(const Place& place, const CompoundArgs& args) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  CudaArray array(place, args, nullptr);
  Compound<CudaArray>(args, array).reduce(args.nodes[0]);
  return array.status();
}

}  // namespace cuda
}  // namespace rpupy
