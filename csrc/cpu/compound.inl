// Purpose: what `Compound` asks of an array, on the CPU.
// Included by: kernels.inl.
// Invariants: scratch memory is cut into parts once for each call, with sizes that the arguments alone decide.

#include "../compound.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

// By device number: update_pulsed and write_rows.
static const UpdateFunction* compound_updates();
static const UpdateFunction* compound_row_writes();

constexpr int64_t kFewVectors = 4;
constexpr int64_t kRowsTogether = 16;  // rows that a mixed precision compound writes together

class CpuArray {
 public:
  using Node = CompoundNode;

  CpuArray(const CompoundArgs& args, void* memory)
      : args_(args),
        in_size_(args.tile.in_size),
        out_size_(args.tile.out_size),
        keys_(round_keys(args.tile.key[0], args.tile.key[1])),
        cut_{static_cast<char*>(memory), 0},
        memory_(args, cut_, kRowsTogether) {
    padded_ = cut_.take<float>(round_up(memory_.lines, kPanel));
    reads_ = cut_.take<SliceRead>(memory_.reads);
    states_ = cut_.take<SliceState>(memory_.lines);
    span_firsts_ = cut_.take<uint32_t>(memory_.lines);
    span_lasts_ = cut_.take<uint32_t>(memory_.lines);
    bool reads_all = false, asymmetric = false;
    for (int i = 0; i < args.count; ++i) {
      reads_all = reads_all || needs_whole_reads(args.nodes[i]);
      asymmetric = asymmetric || args.nodes[i].read_lines.w_asymmetry != nullptr;
    }
    const int64_t panels = round_up(out_size_, kPanel) * in_size_;
    if (reads_all) packed_ = cut_.take<float>(panels);
    if (asymmetric) {
      negative_ = cut_.take<float>(out_size_ * in_size_);
      negative_packed_ = cut_.take<float>(panels);
    }
    kernel_ = cut_.take<char>(static_cast<int64_t>(kernel_bytes()));
  }

  size_t bytes() const { return cut_.used; }

  const NodeScratch& scratch(const Node& node) const { return memory_.nodes[&node - args_.nodes]; }
  SliceRead* reads() const { return reads_; }
  SliceState* slice_states() const { return states_; }
  uint32_t* span_firsts() const { return span_firsts_; }
  uint32_t* span_lasts() const { return span_lasts_; }
  const float* slices_taken() const { return memory_.slices; }
  int64_t rows_together() const { return kRowsTogether; }
  const float* row_counts() const { return memory_.counts; }
  const float* row_marks() const { return memory_.marks; }

  // ---- pulses ------------------------------------------------------------------------------------

  void pulse(const Node& node, const PulseBatch& p) {
    const UpdateArgs args = pulse_args(args_, node, p);
    const bool row_writes = p.rows_apart && writes_rows(args);
    (row_writes ? compound_row_writes() : compound_updates())[node.device](args, kernel_);
  }

  void auto_rates(const Node& node, const PulseBatch& p, float top, float rate, float* rates) {
    for (int64_t b = 0; b < p.vectors; ++b) {
      const float maxima[2] = {input_range(p.x + b * in_size_, in_size_).abs_max,
                               input_range(p.d + b * out_size_, out_size_).abs_max};
      RPUPY_ISA_NAME::auto_rates(maxima, 1, top, rate, rates + b, node.running);
    }
  }
  // Counts the zeros in d. The mean of a compound takes in those of the vector before.
  void count_zeros(const Node& node, const PulseBatch& p, float rate) {
    const UpdateArgs args = pulse_args(args_, node, p);
    // Nobody asks for the others.
    for (int64_t b = node.sparsity == nullptr ? p.vectors - 1 : 0; b < p.vectors; ++b) {
      if (node.sparsity != nullptr) *node.sparsity = running_mean(*node.sparsity, *p.zeros, rate);
      *p.zeros = zero_share(args, b);
    }
  }
  void set_rate(const Node& node, float rate) { node.running[2] = magnitude(rate); }
  void use_rate(const Node& node, const PulseBatch& p, int64_t b) {
    if (p.rates != nullptr) node.running[2] = p.rates[b];
  }

  void chop(const PulseBatch& p, const uint8_t* x_chopper, const uint8_t* d_chopper, float* x, float* d) {
    chop_lines(p.x, p.vectors, in_size_, x_chopper, x);
    chop_lines(p.d, p.vectors, out_size_, d_chopper, d);
  }
  // Copies those vectors that are in the set; the others become zeros.
  void keep_vectors(const float* from, int64_t vectors, int64_t n, const VectorSet& set, float* to) {
    const size_t bytes = static_cast<size_t>(n) * sizeof(float);
    for (int64_t b = 0; b < vectors; ++b) {
      if (set.has(b)) {
        __builtin_memcpy(to + b * n, from + b * n, bytes);
      } else {
        __builtin_memset(to + b * n, 0, bytes);
      }
    }
  }
  // What drives a write: a line that is 1, and minus what is to be added to its crosspoints.
  void write_vectors(const float* values, int64_t length, int64_t line, int64_t lines, const NodeScratch& s) {
    one_hot(s.hot, lines, line);
    for (int64_t i = 0; i < length; ++i) s.other[i] = -values[i];
  }

  // ---- weights -----------------------------------------------------------------------------------

  // One chain in the order of the children. The choppers of a chopped compound turn the fast array's part over.
  void reduce(const Node& node, const Node& first) {
    const bool chops = node.kind == kChoppedTransfer || node.kind == kDynamicTransfer;
    bool columns = true;
    if (chops) columns = reinterpret_cast<const TransferParams*>(node.params)->transfer_columns != 0.0f;
    const uint8_t* x_chopper = columns ? node.in_chopper : node.out_chopper;
    const uint8_t* d_chopper = columns ? node.out_chopper : node.in_chopper;
    const int64_t size = in_size_;
    run_team(worthwhile_threads(args_.tile.threads, out_size_ * size * node.children / 4), [&](const Member& member) {
      int64_t from, to;
      member.share(out_size_, 1, from, to);
      for (int64_t i = from; i < to; ++i) {
        for (int64_t j = 0; j < size; j += kLanes) {
          const int n = static_cast<int>(size - j < kLanes ? size - j : kLanes);
          f32v sum = load_part(first.weights + i * size + j, n) * first.gamma;
          if (chops) {
            u32v turned = {};
            for (int l = 0; l < n; ++l) turned[l] = x_chopper[j + l] != d_chopper[i] ? kSignBit : 0u;
            sum = float_of_bits(bits_of(sum) ^ turned);
          }
          for (int k = 1; k < node.children; ++k) {
            const Node& part = (&first)[k];
            sum = fma(all_lanes<f32v>(part.gamma), load_part(part.weights + i * size + j, n), sum);
          }
          store_part(node.weights + i * size + j, sum, n);
        }
      }
    });
  }

  // Visible weights of a slice, as a vector.
  void take(const Node& node, bool columns, int64_t slice, float* to) const {
    if (!columns) {
      __builtin_memcpy(to, node.weights + slice * in_size_, static_cast<size_t>(in_size_) * sizeof(float));
      return;
    }
    for (int64_t i = 0; i < out_size_; ++i) to[i] = node.weights[i * in_size_ + slice];
  }
  void take_slice(const Node& node, bool columns, int64_t slice, int64_t number) {
    take(node, columns, slice, memory_.slices + number * (columns ? out_size_ : in_size_));
  }

  void read_slice(const Node& owner, const Node& node, bool columns, int64_t slice, uint64_t ordinal, float* values) {
    if (owner.reads_are_local) {
      take(node, columns, slice, padded_);
      convert(owner, node, columns, padded_, columns ? out_size_ : in_size_, ordinal, values);
      return;
    }
    const NodeScratch& s = scratch(owner);
    ProductArgs args = read_args(args_, owner, node, columns, ordinal, values);
    one_hot(s.hot, columns ? in_size_ : out_size_, slice);
    args.tile = args_.tile;
    args.tile.plane = node.number;
    args.weights = node.weights;
    args.packed = packed_;
    args.input = s.hot;
    if (args.lines.w_asymmetry != nullptr) {
      // With input noise, a read has negative inputs.
      for (int64_t at = 0; at < out_size_ * in_size_; ++at)
        negative_[at] = node.weights[at] * args.lines.w_asymmetry[at];
      args.negative_weights = negative_;
      args.negative_packed = negative_packed_;
    }
    if (columns) pack_weights(args);
    product(args, kernel_);
  }
  void convert_slice(const Node& owner, const Node& node, const float* weights, int64_t length, int64_t,
                     int64_t ordinal, float* values) {
    const bool columns = reinterpret_cast<const TransferParams*>(owner.params)->transfer_columns != 0.0f;
    __builtin_memcpy(padded_, weights, static_cast<size_t>(length) * sizeof(float));
    convert(owner, node, columns, padded_, length, static_cast<uint64_t>(ordinal), values);
  }

  void reset_column(const Node& node, int64_t column, uint64_t ordinal, uint64_t redraw) {
    const ResetPlane plane(node, ordinal, redraw);
    for (int64_t i = 0; i < out_size_; ++i) reset(node, plane, i * in_size_ + column);
  }

  // Resets the cells of both devices that are hit, and turns the reads into what is to be written.
  void refresh_column(const Node& minus, const Node& plus, int64_t column, float upper, float lower,
                      const uint64_t* resets, const uint64_t* redraws, float* up, float* down, bool* wanted) {
    const RefreshRule rule = {plus.nominal_max, minus.nominal_max, upper, lower};
    const ResetPlane minus_plane(minus, resets[0], redraws[0]), plus_plane(plus, resets[1], redraws[1]);
    for (int64_t i = 0; i < out_size_; ++i) {
      if (!refresh_cell(rule, up[i], down[i])) continue;
      reset(minus, minus_plane, i * in_size_ + column);
      reset(plus, plus_plane, i * in_size_ + column);
      wanted[1] = wanted[1] || up[i] != 0.0f;
      wanted[0] = wanted[0] || down[i] != 0.0f;
    }
  }

  // ---- buffers of transfers ----------------------------------------------------------------------

  // s.values: the slice that was read; becomes the steps to write.
  bool buffer(const Node& node, const Node& source, int64_t slice, const BufferRule& rule, const NodeScratch& s) {
    const BufferRule ready = scaled(rule, nullptr);
    return each_of_slice(node, slice, [&](int64_t at, int64_t i) {
      const float steps = buffer_step<float>(ready, s.values[i], source.buffer[at]);
      s.values[i] = steps;
      return steps != 0.0f;
    });
  }

  bool chopped_buffer(const Node& node, int64_t slice, const BufferRule& rule, bool no_buffer, const NodeScratch& s) {
    const BufferRule ready = scaled(rule, node.running);
    return each_of_slice(node, slice, [&](int64_t at, int64_t i) {
      if (no_buffer) node.buffer[at] = 0.0f;
      const float v = node.in_chopper[slice] != node.out_chopper[i] ? -s.values[i] : s.values[i];
      const float steps = buffer_step<float>(ready, v, node.buffer[at]);
      s.values[i] = steps;
      return steps != 0.0f;
    });
  }

  bool dynamic_buffer(const Node& node, int64_t slice, const BufferRule& rule, float rho, bool gate, bool writes,
                      const NodeScratch& s) {
    const uint8_t state = node.switched[slice];
    const DynamicRule ready = dynamic_rule(scaled(rule, node.running), rho, gate, state);
    node.switched[slice] = state & kEverSwitched;
    const bool any = each_of_slice(node, slice, [&](int64_t at, int64_t i) {
      ReadStatistics<float> r = {node.mean[at], node.past_mean[at], 0.0f, 0.0f};
      if (gate) r.variance = node.variance[at], r.past_variance = node.past_variance[at];
      const bool turned = node.in_chopper[slice] != node.out_chopper[i];
      const float steps = dynamic_step<float>(ready, s.values[i], turned, r, node.buffer[at]);
      node.mean[at] = r.mean;
      node.past_mean[at] = r.past_mean;
      if (gate) node.variance[at] = r.variance, node.past_variance[at] = r.past_variance;
      s.values[i] = steps;
      return steps != 0.0f;
    });
    return any && writes;
  }

  // The other side's choppers each draw a word, the element being their line.
  void move_choppers(const Node& node, int64_t slice, const ChopperMove& move, uint64_t event, uint8_t* in_chopper,
                     uint8_t* out_chopper, uint8_t* switched) {
    if (move.in_flips) {
      in_chopper[slice] ^= 1;
      if (switched != nullptr) switched[slice] = kJustSwitched | kEverSwitched;
    }
    if (!(move.out_prob > 0.0f)) return;
    const bool columns = reinterpret_cast<const TransferParams*>(node.params)->transfer_columns != 0.0f;
    const int64_t length = columns ? out_size_ : in_size_;
    const uint32_t tag = counter_tag(kStreamChopOut, node.number, 0);
    for (int64_t i = 0; i < length; ++i) {
      const uint64_t word = draw_block<float>(static_cast<uint32_t>(i), event, tag, keys_).w[0];
      if (word < threshold(move.out_prob)) out_chopper[i] ^= 1;
    }
  }
  void copy_choppers(const Node& node, int64_t slices, int64_t length, uint8_t*& in_chopper, uint8_t*& out_chopper) {
    __builtin_memcpy(memory_.in_chopper, node.in_chopper, static_cast<size_t>(slices));
    __builtin_memcpy(memory_.out_chopper, node.out_chopper, static_cast<size_t>(length));
    in_chopper = memory_.in_chopper;
    out_chopper = memory_.out_chopper;
  }

  // ---- mixed precision ---------------------------------------------------------------------------

  void quantise(const float* from, int64_t vectors, int64_t lines, float bins, bool random, uint32_t stream,
                uint32_t plane, uint64_t ordinal, float* to) {
    const float half = half_of_bins(bins);
    const uint32_t tag = counter_tag(stream, plane, 0);
    for (int64_t b = 0; b < vectors; ++b) {
      const float width = quantum(input_range(from + b * lines, lines).abs_max, half);
      for (int64_t j = 0; j < lines; j += kLanes) {
        const int n = static_cast<int>(lines - j < kLanes ? lines - j : kLanes);
        f32v shift = {};
        if (random) {
          const u32v line = lane_numbers() + static_cast<uint32_t>(j);
          shift = uniform<f32v>(draw_block<f32v>(line, ordinal + static_cast<uint64_t>(b), tag, keys_).w[0]) - 0.5f;
        }
        const f32v v = load_part(from + b * lines + j, n);
        store_part(to + b * lines + j, quantised<f32v>(v, width, half, shift), n);
      }
    }
  }

  // Takes the share of products that are zero on both sides into their mean.
  void average_zeros(const Node& node, const float* x, const float* d, int64_t vectors) {
    for (int64_t b = 0; b < vectors; ++b) {
      const float share = zeros_in(x + b * in_size_, in_size_) * zeros_in(d + b * out_size_, out_size_);
      *node.sparsity = mean_with(*node.sparsity, share, node.counters[kUpdates] + b);
    }
  }

  void add_products(const Node& node, const float* x, const float* d, int64_t vectors) {
    if (vectors <= kFewVectors) {
      add_few_products(node, x, d, vectors);
      return;
    }
    UpdateArgs args = {};
    args.tile = args_.tile;
    args.x = x;
    args.d = d;
    args.batch = vectors;
    args.lr = -args_.lr;
    args.weights = node.buffer;
    update_exact(args, kernel_);
  }

  // The same where packing the vectors would cost more than all the rest.
  void add_few_products(const Node& node, const float* x, const float* d, int64_t vectors) {
    run_team(worthwhile_threads(args_.tile.threads, out_size_ * in_size_ / 4), [&](const Member& member) {
      int64_t from, to;
      member.share(out_size_, 1, from, to);
      for (int64_t i = from; i < to; ++i) {
        float* chi = node.buffer + i * in_size_;
        for (int64_t j = 0; j < in_size_; j += kLanes) {
          const int n = static_cast<int>(in_size_ - j < kLanes ? in_size_ - j : kLanes);
          f32v sum = load_part(chi + j, n);
          for (int64_t b = 0; b < vectors; ++b) {
            sum = fma(all_lanes<f32v>(args_.lr * d[b * out_size_ + i]), load_part(x + b * in_size_ + j, n), sum);
          }
          store_part(chi + j, sum, n);
        }
      }
    });
  }

  // Takes whole steps out of some rows of chi, as vectors for a write.
  void take_rows(const Node& node, int64_t row, int64_t rows, float granularity) {
    __builtin_memset(memory_.marks, 0, static_cast<size_t>(rows * out_size_) * sizeof(float));
    for (int64_t r = 0; r < rows; ++r) {
      memory_.marks[r * out_size_ + row + r] = 1.0f;
      float* chi = node.buffer + (row + r) * in_size_;
      for (int64_t j = 0; j < in_size_; j += kLanes) {
        const int n = static_cast<int>(in_size_ - j < kLanes ? in_size_ - j : kLanes);
        f32v left = load_part(chi + j, n);
        const f32v steps = take_steps<f32v>(granularity, left);
        store_part(chi + j, left, n);
        store_part(memory_.counts + r * in_size_ + j, steps, n);
      }
    }
  }

 private:
  static float zeros_in(const float* values, int64_t n) {
    int64_t zeros = 0;
    for (int64_t j = 0; j < n; ++j) zeros += values[j] == 0.0f ? 1 : 0;
    return static_cast<float>(zeros) / static_cast<float>(n);
  }
  static void chop_lines(const float* from, int64_t vectors, int64_t lines, const uint8_t* chopper, float* to) {
    for (int64_t b = 0; b < vectors; ++b) {
      for (int64_t j = 0; j < lines; ++j) {
        const float v = from[b * lines + j];
        to[b * lines + j] = chopper[j] != 0 ? -v : v;
      }
    }
  }
  static void one_hot(float* to, int64_t n, int64_t line) {
    __builtin_memset(to, 0, static_cast<size_t>(n) * sizeof(float));
    to[line] = 1.0f;
  }

  static bool needs_whole_reads(const Node& node) { return node.read_io != nullptr && !node.reads_are_local; }

  // The product of a slice alone with a line that is 1: what the whole product gives where reads are local.
  void convert(const Node& owner, const Node& node, bool columns, float* weights, int64_t length, uint64_t ordinal,
               float* values) {
    const float one = 1.0f;
    ProductArgs args = read_args(args_, owner, node, columns, ordinal, values);
    args.tile.out_size = columns ? length : 1;
    args.tile.in_size = columns ? 1 : length;
    for (int64_t i = length; i < round_up(length, kPanel); ++i) weights[i] = 0.0f;
    // With one input, packed weights are the weights.
    args.weights = args.packed = weights;
    args.input = &one;
    product(args, kernel_);
  }

  void reset(const Node& node, const ResetPlane& plane, int64_t at) {
    plane.reset(at, node.reset_bias[at * node.reset_stride], keys_);
  }

  // Calls each(crosspoint, number in the slice), and tells whether any of them said yes.
  template <class Each>
  bool each_of_slice(const Node& node, int64_t slice, const Each& each) {
    const bool columns = reinterpret_cast<const TransferParams*>(node.params)->transfer_columns != 0.0f;
    const int64_t length = columns ? out_size_ : in_size_;
    bool any = false;
    for (int64_t i = 0; i < length; ++i) {
      const bool yes = each(columns ? i * in_size_ + slice : slice * in_size_ + i, i);
      any = any || yes;
    }
    return any;
  }

  // The most that a kernel which is called from here needs.
  size_t kernel_bytes() const {
    size_t most = 0;
    if (args_.update == nullptr) return most;  // a reduction calls none
    const auto consider = [&](size_t bytes) { most = bytes > most ? bytes : most; };
    for (int i = 0; i < args_.count; ++i) {
      const Node& node = args_.nodes[i];
      if (node.kind == kDevicePlane) {
        for (int write = 0; write < 2; ++write) {
          PulseBatch p = {};
          p.vectors = memory_.most_vectors;
          // The longest train that any rate can ask for.
          p.lr = 3.0e38f;
          p.granularity = 1.0f;
          p.params = args_.update;
          p.route = kUpOnly;
          consider(update_pulsed_scratch(pulse_args(args_, node, p)));
        }
        PulseBatch rows = {};
        rows.window.rows = kRowsTogether;
        consider(write_rows_scratch(pulse_args(args_, node, rows)));
        continue;
      }
      if (node.write_update != nullptr) {
        PulseBatch p = {};
        p.vectors = kRowsTogether;
        p.lr = 3.0e38f;
        p.granularity = 1.0f;
        p.params = node.write_update;
        p.route = kUpOnly;
        consider(update_pulsed_scratch(pulse_args(args_, args_.nodes[args_.count - 1], p)));
      }
      if (node.read_io != nullptr) {
        ProductArgs args = read_args(args_, node, node, true, 0, nullptr);
        args.tile.threads = args_.tile.threads;
        consider(product_scratch(args));
        args.backward = 1;
        consider(product_scratch(args));
      }
      if (node.kind == kMixedPrecision) {
        UpdateArgs args = {};
        args.tile = args_.tile;
        args.batch = memory_.stretch;
        consider(update_exact_scratch(args));
      }
    }
    return most + 64;
  }

  const CompoundArgs& args_;
  int64_t in_size_, out_size_;
  RoundKeys keys_;
  Cutter cut_;
  WalkMemory memory_;
  float* padded_ = nullptr;
  SliceRead* reads_ = nullptr;
  SliceState* states_ = nullptr;
  uint32_t* span_firsts_ = nullptr;
  uint32_t* span_lasts_ = nullptr;
  float* packed_ = nullptr;
  float* negative_ = nullptr;  // weights as negative inputs see them
  float* negative_packed_ = nullptr;
  char* kernel_ = nullptr;
};

static size_t update_compound_scratch(const CompoundArgs& args) {
  const DefaultFloatingPoint environment;
  return CpuArray(args, nullptr).bytes();
}

static void update_compound(const CompoundArgs& args, void* scratch) {
  const DefaultFloatingPoint environment;
  CpuArray array(args, scratch);
  Compound<CpuArray>(args, array).update();
}

static void reduce_compound(const CompoundArgs& args) {
  const DefaultFloatingPoint environment;
  CpuArray array(args, nullptr);
  Compound<CpuArray>(args, array).reduce(args.nodes[0]);
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
