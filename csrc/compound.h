// Purpose: unit cells and compounds: which plane gets pulses, what is transferred when, and what products see.
// Included by: the compound kernels of each backend.
// Invariants: a compound is a tree in an array of nodes (kernel_table.h). `Compound` walks it and asks an `Array`, which
// each backend has, for what happens to crosspoints and lines; the arithmetic of those stands here, too. Nothing that
// decides the schedule depends on weights, but for whether a refresh or a step has anything to write. The vectors of a
// mini-batch act in their order; what runs for several of them together gives the bits of one after the other.
#pragma once

#include "aggregate.h"
#include "kernel_table.h"
#include "pulse.h"
#include "rng.h"
#include "upkeep.h"

namespace rpupy {
namespace RPUPY_ISA_NAME {

enum UpdatePolicy { kPolicyAll = 0, kPolicyFixed = 1, kPolicySequential = 2, kPolicyRandom = 3 };

struct VectorParams {
  RPUPY_FIELDS(float, update_policy)
};

struct OneSidedParams {
  RPUPY_FIELDS(float, refresh_every, units_in_mbatch, refresh_upper_thres, refresh_lower_thres)
};

struct TransferParams {
  RPUPY_FIELDS(float, units_in_mbatch, n_reads_per_transfer, transfer_columns, with_reset_prob, random_selection,
               fast_lr, scale_fast_lr, scale_transfer_lr, desired_bl, thres_scale, step, momentum, forget_buffer,
               in_chop_prob, in_chop_random, out_chop_prob, buffer_granularity, auto_granularity, transfer_every,
               no_buffer, auto_scale, auto_momentum, correct_gradient_magnitudes, tail_weightening, buffer_cap,
               experimental_correct_accumulation, noise_gate)
};

struct MixedParams {
  RPUPY_FIELDS(float, transfer_every, n_rows_per_transfer, random_row, granularity, transfer_lr, n_x_bins, n_d_bins,
               stoc_round_x, stoc_round_d)
};

// ---- numbers of one crosspoint or line -----------------------------------------------------------

// A number limited to [-most, most].
template <class F>
RPUPY_HD F limited(F a, float most) {
  return clamp(a, all_lanes<F>(-most), all_lanes<F>(most));
}

// Rounded towards zero and limited, as a float.
template <class F>
RPUPY_HD F whole_steps(F a, float most) {
  return signed_to_float(truncate(limited<F>(a, most)));
}

// What a step of a buffer needs; `limit` is the most pulses of a write.
struct BufferRule {
  float scale;  // of a read, on its way into the buffer, before it is divided (see scaled)
  float divisor;
  float reads;
  bool by_rate;     // divided by the rate of the fast array, too
  float threshold;  // of the buffer, in its own units
  float limit;
  float keep;  // of the buffer, where it is forgotten
  float take;  // of the steps, where they are subtracted
  float cap;   // largest magnitude after a step; 0 for none
  bool forget;
};

RPUPY_HD BufferRule scaled(BufferRule rule, const float* running) {
  if (rule.by_rate) rule.scale = rule.scale / running[2];
  // An infinite scale would make NaN of a read of 0.
  rule.scale = clamp<float>(rule.scale / rule.divisor / rule.reads, -kLargest, kLargest);
  return rule;
}

// Adds `v` to the buffer and takes the steps out of it that it has reached; returns those.
template <class F>
RPUPY_HD F buffer_step(const BufferRule& rule, F v, F& buffer) {
  const F sum = limited<F>(fma(all_lanes<F>(rule.scale), v, buffer), kLargest);
  const F steps = whole_steps<F>(sum / rule.threshold, rule.limit);
  const MaskOf<F> stepped = negate(equal(steps, all_lanes<F>(0.0f)));
  F left = rule.forget ? F(sum * rule.keep) : fma(steps * rule.threshold, all_lanes<F>(-rule.take), sum);
  left = limited<F>(left, rule.cap > 0.0f ? rule.cap : kLargest);
  buffer = select(stepped, left, sum);
  return steps;
}

// The running mean of the reads of one crosspoint, its variance, and both at the end of the last chopper period.
template <class F>
struct ReadStatistics {
  F mean, past_mean, variance, past_variance;
};

// Whether the difference of the means stands out of their standard errors.
template <class F>
RPUPY_HD MaskOf<F> stands_out(const ReadStatistics<F>& s, float rho) {
  const F difference = s.mean - s.past_mean;
  const F error = (s.variance + s.past_variance) * (rho / (2.0f * (1.0f - rho)));
  return less(error, difference * difference);
}

template <class F>
RPUPY_HD void add_read(ReadStatistics<F>& s, F v, float rho) {
  const F e = v - s.mean;
  s.mean = fma(all_lanes<F>(rho), e, s.mean);
  s.variance = fma(rho * e, e, s.variance) * (1.0f - rho);
}

// What a dynamic compound remembers of a slice's chopper.
enum SwitchState : uint8_t { kJustSwitched = 1, kEverSwitched = 2 };

// What a step of a dynamic compound needs.
struct DynamicRule {
  BufferRule buffer;
  float rho;      // of the running mean
  bool gated;     // steps pass only where the mean has moved beyond its error
  bool switched;  // the slice's chopper has just done so: what is the mean becomes the past mean
};

// A gate needs a reference: it is open until the slice has switched once.
RPUPY_HD DynamicRule dynamic_rule(const BufferRule& buffer, float rho, bool gate, uint8_t state) {
  return {buffer, rho, gate && rho < 1.0f && (state & kEverSwitched) != 0, (state & kJustSwitched) != 0};
}

// Adds a read to its statistics and, against the past mean, to the buffer; `turned` by choppers. Returns the steps.
template <class F>
RPUPY_HD F dynamic_step(const DynamicRule& rule, F v, MaskOf<F> turned, ReadStatistics<F>& r, F& buffer) {
  if (rule.switched) r.past_mean = r.mean, r.past_variance = r.variance;
  const F difference = v - r.past_mean;
  add_read<F>(r, v, rule.rho);
  F moved = buffer;
  F steps = buffer_step<F>(rule.buffer, select(turned, F(-difference), difference), moved);
  if (rule.gated) {
    const MaskOf<F> open = stands_out<F>(r, rule.rho);
    steps = select(open, steps, all_lanes<F>(0.0f));
    moved = select(open, moved, buffer);
  }
  buffer = moved;
  return steps;
}

struct RefreshRule {
  float plus_max, minus_max;  // nominal bounds of the two devices
  float upper, lower;
};

// Whether a cell is refreshed that reads `up` and `down`; those become what is to be written then.
RPUPY_HD bool refresh_cell(const RefreshRule& rule, float& up, float& down) {
  const float p = up, m = down;
  const float high = p / rule.plus_max, low = m / rule.minus_max;
  const bool hit = p > m ? high > rule.upper && low > rule.lower : high > rule.lower && low > rule.upper;
  up = hit && p > m ? p - m : 0.0f;
  down = hit && m > p ? m - p : 0.0f;
  return hit;
}

// A plane whose crosspoints are reset one by one.
struct ResetPlane {
  float* weights;
  float* shown;  // null without write noise
  const float* low;
  const float* high;
  float std, write_noise;
  uint32_t number;
  uint64_t ordinal, redraw;

  ResetPlane(const CompoundNode& node, uint64_t reset_ordinal, uint64_t redraw_ordinal)
      : weights(node.update.weights),
        shown(node.update.apparent),
        low(node.update.cell[1]),
        high(node.update.cell[0]),
        std(node.reset_std),
        write_noise(node.update.write_noise),
        number(node.number),
        ordinal(reset_ordinal),
        redraw(redraw_ordinal) {}

  RPUPY_HD void reset(int64_t at, float bias, const RoundKeys& keys) const {
    const uint32_t crosspoint = static_cast<uint32_t>(at);
    const Bounds<float> bounds = {low[at], high[at]};
    const float w = reset_with<float>(weights[at], bias, std, 1.0f, true, crosspoint, ordinal, number, bounds, keys);
    weights[at] = w;
    if (shown == nullptr) return;
    shown[at] = apparent<float>(w, write_noise, crosspoint, redraw, kStreamApparentAll, number, keys);
  }
};

// A quantiser of so many bins has a grid with `half` steps on either side of 0, as wide as the largest magnitude asks for.
RPUPY_HD float half_of_bins(float bins) { return __builtin_floorf(bins * 0.5f); }
RPUPY_HD float quantum(float largest, float half) { return largest > 0.0f && half > 0.0f ? largest / half : 1.0f; }

// Round to that grid; `shift` is 0, or a uniform draw less 1/2.
template <class F>
RPUPY_HD F quantised(F v, float width, float half, F shift) {
  const F q = round_even(v / width + shift);
  return clamp(q, all_lanes<F>(-half), all_lanes<F>(half)) * width;
}

// Takes whole steps out of chi; returns their number. Beyond the limit, a count has no fraction to cut off and a train no
// room.
template <class F>
RPUPY_HD F take_steps(float granularity, F& chi) {
  const F steps = whole_steps<F>(chi / granularity, 2147483520.0f);
  chi = fma(steps, all_lanes<F>(-granularity), chi);
  return steps;
}

// A running mean of what is there: the first value as it is, and zeros count for nothing.
RPUPY_HD float running_mean(float running, float value, float rate) {
  if (!(running > 0.0f)) return value;
  return value > 0.0f ? limited<float>(fma(rate, value, (1.0f - rate) * running), kLargest) : running;
}

// The mean of one more value than `count`.
RPUPY_HD float mean_with(float mean, float value, int64_t count) {
  return mean + (value - mean) / static_cast<float>(count + 1);
}

// Rates of vectors with these largest magnitudes of x and d, in their order, by the running maxima; the last one stays.
RPUPY_HD void auto_rates(const float* maxima, int64_t vectors, float top, float rate, float* rates, float* running) {
  for (int64_t b = 0; b < vectors; ++b) {
    running[0] = running_mean(running[0], maxima[2 * b], rate);
    running[1] = running_mean(running[1], maxima[2 * b + 1], rate);
    const bool both = running[0] > 0.0f && running[1] > 0.0f;
    // What no float holds, above or below, would make infinite buffers.
    const float rate_of_both = clamp<float>(top / (running[0] * running[1]), kSmallestNormal, kLargest);
    rates[b] = both ? rate_of_both : top;
    running[2] = rates[b];
  }
}

// ---- the tree ------------------------------------------------------------------------------------

constexpr int64_t kMostStretch = 1024;               // vectors that a compound takes together
constexpr int64_t kSliceNumbers = int64_t{1} << 22;  // of slices that are read of them, at most
constexpr int64_t kSliceGap = 64;                    // slices without pulses that are worth a call of their own

// The vectors of an update on their way to the planes.
struct PulseBatch {
  const float* x;
  const float* d;
  int64_t vectors;
  float lr;
  const float* rates;  // null: lr for all
  const float* params;
  float granularity;
  uint64_t ordinal;
  uint32_t train_plane;
  bool write;
  bool rows_apart;  // vector k reaches the k-th row of the window alone
  int32_t route;
  Window window;
  float* zeros;   // share of zeros in the last d of these trains; null: nobody asks
  int64_t first;  // vectors of the mini-batch before these
  LineSpans spans;

  RPUPY_HD PulseBatch part(int64_t from, int64_t n, int64_t in_size, int64_t out_size) const {
    PulseBatch p = *this;
    p.x += from * in_size;
    p.d += from * out_size;
    p.vectors = n;
    p.ordinal += static_cast<uint64_t>(from);
    p.first += from;
    if (rates != nullptr) p.rates += from;
    return p;
  }
};

// A choice of vectors among those of a stretch.
struct VectorSet {
  uint32_t words[kMostStretch / 32];

  RPUPY_HD void add(int64_t b) { words[b / 32] |= 1u << (b % 32); }
  RPUPY_HD bool has(int64_t b) const { return (words[b / 32] >> (b % 32) & 1u) != 0; }
};

// The arguments of a kernel for pulses on a device plane.
inline UpdateArgs pulse_args(const CompoundArgs& compound, const CompoundNode& node, const PulseBatch& p) {
  UpdateArgs args = node.update;
  args.tile = compound.tile;
  args.tile.plane = node.number;
  args.x = p.x;
  args.d = p.d;
  args.batch = p.vectors;
  args.lr = p.lr;
  args.rates = p.rates;
  args.first_vector = p.first;
  args.spans = p.spans;
  args.ordinal = p.ordinal;
  args.granularity = p.granularity;
  args.update = p.params;
  args.train_plane = p.train_plane;
  args.write_train = p.write ? 1 : 0;
  args.route = p.route;
  args.window = p.window;
  return args;
}

// Those of a product that reads a slice of `node`, but for what is multiplied.
inline ProductArgs read_args(const CompoundArgs& compound, const CompoundNode& owner, const CompoundNode& node,
                             bool columns, uint64_t ordinal, float* values) {
  ProductArgs args = {};
  args.tile = compound.tile;
  args.tile.threads = 1;
  args.tile.plane = node.number;
  args.output = values;
  args.batch = 1;
  args.backward = columns ? 0 : 1;
  args.io = owner.read_io;
  args.lines = owner.read_lines;
  args.ordinal = ordinal;
  args.stream = kStreamProduct + 5 * kPassRead;
  if (node.update.tally != nullptr) args.rounds = node.update.tally + kReadRounds;
  return args;
}

// How many vectors a transfer compound takes together, where each event reads `reads` slices.
inline int64_t most_together(int64_t reads, int64_t in_size, int64_t out_size) {
  const int64_t room = kSliceNumbers / (in_size > out_size ? in_size : out_size) / reads;
  return room < 1 ? 1 : (room < kMostStretch ? room : kMostStretch);
}

// A slice that was read, or will be, in the order of time.
struct SliceRead {
  int64_t vector;  // after which
  int64_t slice;
  int64_t next;  // read of the same slice; -1 for none
  bool reset;
  uint64_t reset_ordinal, redraw_ordinal;
};

// How far a slice of the fast array is: its next vector, and its next read (-1 for none).
struct SliceState {
  int64_t vector, read;
};

// How choppers move behind a read.
struct ChopperMove {
  bool in_flips;
  float out_prob;  // for each line of the other side; 0 where it is not their turn
};

// Where a node works while it is busy; it owns these for the time of a call.
struct NodeScratch {
  float* x;       // [stretch, in_size]
  float* d;       // [stretch, out_size]
  float* rates;   // [stretch]
  float* hot;     // one line is 1
  float* values;  // of a slice
  float* other;   // of a slice
};

// Cuts memory into aligned parts; without memory it only adds up.
struct Cutter {
  char* base;
  size_t used;

  template <class T>
  T* take(int64_t n) {
    T* part = base == nullptr ? nullptr : reinterpret_cast<T*>(base + used);
    used += (static_cast<size_t>(n) * sizeof(T) + 63) / 64 * 64;
    return part;
  }
};

constexpr int kMostNodes = 256;

// Where a walk of the tree works. Sizes follow from the arguments alone.
struct WalkMemory {
  NodeScratch nodes[kMostNodes];
  int64_t stretch;       // vectors that are taken together, at most
  int64_t most_vectors;  // the same, of any node
  int64_t lines;
  int64_t reads;  // slices that can be kept
  float* slices;  // [reads, lines]
  uint8_t* in_chopper;
  uint8_t* out_chopper;
  float* counts;  // [rows_together, in_size], of a mixed precision compound
  float* marks;   // [rows_together, out_size]

  WalkMemory(const CompoundArgs& args, Cutter& cut, int64_t rows_together) : nodes() {
    const int64_t in_size = args.tile.in_size, out_size = args.tile.out_size;
    lines = in_size > out_size ? in_size : out_size;
    stretch = args.batch < kMostStretch ? args.batch : kMostStretch;
    most_vectors = stretch > rows_together ? stretch : rows_together;
    for (int i = 0; i < args.count; ++i) {
      if (args.nodes[i].kind == kDevicePlane) continue;
      // A compound that another writes to gets one vector at a time, a mixed precision one's device several.
      const int64_t n = i == 0 ? stretch : most_vectors;
      NodeScratch& s = nodes[i];
      s.x = cut.take<float>(n * in_size);
      s.d = cut.take<float>(n * out_size);
      s.rates = cut.take<float>(n);
      s.hot = cut.take<float>(lines);
      s.values = cut.take<float>(2 * lines);
      s.other = cut.take<float>(lines);
    }
    in_chopper = cut.take<uint8_t>(lines);
    out_chopper = cut.take<uint8_t>(lines);
    const CompoundNode& root = args.nodes[0];
    const bool transfers = root.kind >= kTransfer && root.kind <= kDynamicTransfer;
    reads = transfers ? kept_slices(*reinterpret_cast<const TransferParams*>(root.params), args) : 0;
    slices = cut.take<float>(reads * lines);
    const int64_t rows = root.kind == kMixedPrecision ? rows_together : 0;
    counts = cut.take<float>(rows * in_size);
    marks = cut.take<float>(rows * out_size);
  }

 private:
  int64_t kept_slices(const TransferParams& t, const CompoundArgs& args) const {
    const int64_t slices_of_array = t.transfer_columns != 0.0f ? args.tile.in_size : args.tile.out_size;
    int64_t at_once = static_cast<int64_t>(t.n_reads_per_transfer < 1.0f ? 1.0f : t.n_reads_per_transfer);
    if (at_once > slices_of_array) at_once = slices_of_array;
    const int64_t together = most_together(at_once, args.tile.in_size, args.tile.out_size);
    return (together < stretch ? together : stretch) * at_once;
  }
};

// Walks the tree. `Array` has the functions that are called on `array`.
template <class Array>
class Compound {
 public:
  Compound(const CompoundArgs& args, Array& array)
      : args_(args), array_(array), in_size_(args.tile.in_size), out_size_(args.tile.out_size) {}

  void update() {
    const CompoundNode& root = args_.nodes[0];
    if (root.kind == kMixedPrecision) {
      mixed_update(root);
    } else {
      PulseBatch p = {};
      p.x = args_.x;
      p.d = args_.d;
      p.vectors = args_.batch;
      p.lr = args_.lr;
      p.params = args_.update;
      p.zeros = args_.zeros;
      p.ordinal = args_.ordinal;
      pulse(root, p, args_.batch);
    }
    reduce(root);
  }

  // The weights of a node and of those below it.
  void reduce(const CompoundNode& node) {
    for (int k = 0; k < node.children; ++k) reduce(child(node, k));
    if (node.kind != kDevicePlane && !node.hides_nothing) array_.reduce(node, child(node, 0));
  }

 private:
  using Node = CompoundNode;

  const Node& child(const Node& node, int k) const { return args_.nodes[node.first_child + k]; }
  static const TransferParams& transfer_params(const Node& node) {
    return *reinterpret_cast<const TransferParams*>(node.params);
  }
  static bool is_transfer(const Node& node) { return node.kind >= kTransfer && node.kind <= kDynamicTransfer; }
  static bool has_choppers(const Node& node) { return node.kind >= kChoppedTransfer && node.kind <= kDynamicTransfer; }
  static void count(const Node& node, NodeEvent event) {
    if (node.events != nullptr) ++node.events[event];
  }
  bool by_columns(const Node& node) const { return transfer_params(node).transfer_columns != 0.0f; }
  int64_t slices(const Node& node) const { return by_columns(node) ? in_size_ : out_size_; }
  int64_t slice_length(const Node& node) const { return by_columns(node) ? out_size_ : in_size_; }

  // ---- pulses ------------------------------------------------------------------------------------

  // A pulsed update of a node: `p` with everything but the granularity and the rates.
  void pulse(const Node& node, PulseBatch p, int64_t m_batch) {
    // Without a rate nothing happens, and nothing counts: a write of steps of 0 moves no schedule of its target.
    if (p.lr == 0.0f) return;
    p.granularity = node.granularity;
    const float lr = p.lr;
    const bool whole = p.window.rows == 0 && p.window.columns == 0;
    const bool together = whole && transfers_together(node) && !args_.stepwise;
    int64_t limit = args_.stepwise ? 1 : kMostStretch;
    if (together) limit = most_together(reads_of_event(node), in_size_, out_size_);
    const int64_t portion = portion_of(node, p, lr);
    for (int64_t b = 0; b < p.vectors;) {
      int64_t most = p.vectors - b;
      if (most > limit) most = whole_portions(b, limit, portion);
      const int64_t n = together ? most : stretch(node, most, m_batch);
      PulseBatch part = p.part(b, n, in_size_, out_size_);
      part.lr = fast_rate(node, lr);
      part.rates = begin(node, part, lr, m_batch);
      if (part.zeros != nullptr) array_.count_zeros(node, part, mean_rate(node, m_batch));
      if (together) {
        pulse_and_transfer(node, part, lr, m_batch);
      } else {
        apply(node, part);
        finish(node, n, lr, m_batch);
      }
      b += n;
    }
  }

  // Vectors of a portion that shares a draw of noise; 1 where each pulse has its own.
  int64_t portion_of(const Node& node, const PulseBatch& p, float lr) const {
    const UpdateParams& params = *reinterpret_cast<const UpdateParams*>(p.params);
    if (!params.aggregates()) return 1;
    UpdateArgs args = {};
    args.lr = fast_rate(node, lr);
    args.rates = finds_rates(node) ? &args.lr : nullptr;
    args.granularity = p.granularity;
    return portion_vectors(portion_stride(params, args));
  }
  // At most `most` vectors behind the first `from` ones, which cut no portion unless a portion is longer than that.
  static int64_t whole_portions(int64_t from, int64_t most, int64_t portion) {
    const int64_t whole = (from + most) / portion * portion - from;
    return whole > 0 ? whole : most;
  }

  // Vectors, of at most `most`, up to and with the next one behind which something happens.
  int64_t stretch(const Node& node, int64_t most, int64_t m_batch) const {
    if (node.kind == kVectorCell) {
      const bool single = policy(node) != kPolicyAll;
      for (int k = 0; k < node.children; ++k) {
        if (single && child(node, k).kind != kDevicePlane) return 1;
        most = stretch(child(node, k), most, m_batch);
      }
    } else if (node.kind == kOneSidedCell) {
      most = until(node.counters[kUpdates], refresh_period(node, m_batch), most);
    } else if (is_transfer(node)) {
      most = stretch(child(node, 0), most, m_batch);
      for (int k = 0; k < node.children; ++k) most = until(node.counters[kUpdates], period(node, k, m_batch), most);
    }
    return most;
  }
  static int64_t until(int64_t count, int64_t period, int64_t most) {
    if (period <= 0) return most;
    const int64_t left = period - count % period;
    return left < most ? left : most;
  }

  // What vectors change before their pulses. Returns the rates of the vectors, or null.
  const float* begin(const Node& node, const PulseBatch& p, float lr, int64_t m_batch) {
    if (!is_transfer(node)) return nullptr;
    if (finds_rates(node)) {
      const TransferParams& t = transfer_params(node);
      const UpdateParams& up = *reinterpret_cast<const UpdateParams*>(p.params);
      float top = t.fast_lr * up.desired_bl * child(node, 0).granularity;
      if (t.scale_fast_lr != 0.0f) top *= magnitude(lr);
      top = limited<float>(top, kLargest);
      const float rate = mean_rate(node, m_batch);
      float* rates = array_.scratch(node).rates;
      array_.auto_rates(node, p, top, rate, rates);
      return rates;
    }
    if (has_choppers(node)) array_.set_rate(node, p.lr);
    return nullptr;
  }
  // Rate of the running means of a chopped compound.
  static float mean_rate(const Node& node, int64_t m_batch) {
    return has_choppers(node) ? (1.0f - transfer_params(node).auto_momentum) / static_cast<float>(m_batch) : 0.0f;
  }
  // Whether the fast array has a rate of its own for each vector.
  static bool finds_rates(const Node& node) {
    return has_choppers(node) && transfer_params(node).auto_scale != 0.0f && transfer_params(node).fast_lr > 0.0f;
  }
  // The rate of the fast array; its sign holds where rates of single vectors take its place.
  static float fast_rate(const Node& node, float lr) {
    if (!is_transfer(node)) return lr;
    const TransferParams& t = transfer_params(node);
    if (!(t.fast_lr > 0.0f)) return lr;
    return limited<float>(t.scale_fast_lr != 0.0f ? t.fast_lr * lr : t.fast_lr, kLargest);
  }

  void apply(const Node& node, const PulseBatch& p) {
    switch (node.kind) {
      case kDevicePlane:
        array_.pulse(node, p);
        break;
      case kVectorCell:
        apply_to_vector(node, p);
        break;
      case kOneSidedCell: {
        PulseBatch half = p;
        half.route = kUpOnly;
        apply(child(node, 1), half);
        half.route = kDownTurnedUp;
        apply(child(node, 0), half);
        break;
      }
      default:
        apply(child(node, 0), has_choppers(node) ? chopped(node, p) : p);
    }
  }

  // The vectors with the signs that the present choppers give them.
  PulseBatch chopped(const Node& node, const PulseBatch& p) {
    const NodeScratch& s = array_.scratch(node);
    const bool columns = by_columns(node);
    array_.chop(p, columns ? node.in_chopper : node.out_chopper, columns ? node.out_chopper : node.in_chopper, s.x,
                s.d);
    PulseBatch c = p;
    c.x = s.x;
    c.d = s.d;
    return c;
  }

  static int policy(const Node& node) {
    return static_cast<int>(reinterpret_cast<const VectorParams*>(node.params)->update_policy);
  }
  // Device of a vector cell for its vector number `vector`, whose predecessor had `present`.
  int64_t chosen(const Node& node, int64_t present, int64_t vector) const {
    const int64_t n = node.children;
    if (policy(node) == kPolicySequential) return (present + 1) % n;
    if (policy(node) == kPolicyRandom) {
      return static_cast<int64_t>(drawn(kStreamSelect, node.number, 0, static_cast<uint64_t>(vector), 0, n));
    }
    return present;
  }

  void apply_to_vector(const Node& node, const PulseBatch& p) {
    if (policy(node) == kPolicyAll) {
      for (int k = 0; k < node.children; ++k) apply(child(node, k), p);
      return;
    }
    if (p.vectors == 1 || policy(node) == kPolicyFixed) {
      const int64_t present = chosen(node, node.counters[kCurrent], node.counters[kChoices]);
      node.counters[kCurrent] = present;
      apply(child(node, static_cast<int>(present)), p);
      return;
    }
    // Each device gets the mini-batch with zeros in place of what goes to others.
    const NodeScratch& s = array_.scratch(node);
    const int64_t before = node.counters[kCurrent];
    for (int k = 0; k < node.children; ++k) {
      int64_t present = before;
      VectorSet chosen_ones = {};
      for (int64_t b = 0; b < p.vectors; ++b) {
        present = chosen(node, present, node.counters[kChoices] + b);
        if (present == k) chosen_ones.add(b);
      }
      array_.keep_vectors(p.d, p.vectors, out_size_, chosen_ones, s.d);
      node.counters[kCurrent] = present;
      PulseBatch mine = p;
      mine.d = s.d;
      apply(child(node, k), mine);
    }
  }

  // What happens behind `n` vectors, of which only the last can cause something.
  void finish(const Node& node, int64_t n, float lr, int64_t m_batch) {
    if (node.kind == kDevicePlane) return;
    if (node.kind == kVectorCell) {
      for (int k = 0; k < node.children; ++k) {
        if (policy(node) == kPolicyAll || node.counters[kCurrent] == k) finish(child(node, k), n, lr, m_batch);
      }
      node.counters[kChoices] += n;
    } else if (is_transfer(node)) {
      finish(child(node, 0), n, lr, m_batch);
    }
    node.counters[kUpdates] += n;
    if (node.kind == kOneSidedCell) {
      const int64_t every = refresh_period(node, m_batch);
      if (every > 0 && node.counters[kUpdates] % every == 0) refresh(node);
    } else if (is_transfer(node)) {
      for (int k = 0; k < node.children; ++k) {
        const int64_t every = period(node, k, m_batch);
        if (every > 0 && node.counters[kUpdates] % every == 0) transfer(node, k, lr, nullptr);
      }
    }
  }

  // ---- schedule ----------------------------------------------------------------------------------

  // Period of a source in vectors, 0 for never.
  int64_t period(const Node& node, int k, int64_t m_batch) const {
    const TransferParams& t = transfer_params(node);
    float every = child(node, k).every;
    if (has_choppers(node) && every < 0.0f && k == 0) {
      every = child(node, 0).states / static_cast<float>(slices(node)) * -every;
      const float whole = __builtin_floorf(every + 0.5f);
      return whole < 1.0f ? 1 : as_count(whole);
    }
    if (t.units_in_mbatch != 0.0f) return as_count(__builtin_ceilf(every * static_cast<float>(m_batch)));
    return as_count(__builtin_floorf(every + 0.5f));
  }
  static int64_t as_count(float a) { return a > 0.0f ? static_cast<int64_t>(a < 9.0e18f ? a : 9.0e18f) : 0; }

  static int64_t refresh_period(const Node& node, int64_t m_batch) {
    const OneSidedParams& o = *reinterpret_cast<const OneSidedParams*>(node.params);
    if (!(o.refresh_every > 0.0f)) return 0;
    return as_count(o.refresh_every) * (o.units_in_mbatch != 0.0f ? m_batch : 1);
  }

  // A uniform whole number below n.
  uint64_t drawn(uint32_t stream, uint32_t plane, uint32_t element, uint64_t ordinal, uint32_t draw, int64_t n) const {
    return (word(stream, plane, element, ordinal, draw) * static_cast<uint64_t>(n)) >> 32;
  }
  bool happens(float p, uint32_t stream, uint32_t plane, uint32_t element, uint64_t ordinal, uint32_t draw) const {
    return word(stream, plane, element, ordinal, draw) < threshold(p);
  }
  uint64_t word(uint32_t stream, uint32_t plane, uint32_t element, uint64_t ordinal, uint32_t draw) const {
    const RoundKeys keys = round_keys(args_.tile.key[0], args_.tile.key[1]);
    return draw_block<float>(element, ordinal, counter_tag(stream, plane, draw), keys).w[0];
  }

  int64_t reads_of_event(const Node& node) const {
    const int64_t reads = as_count(transfer_params(node).n_reads_per_transfer);
    const int64_t most = slices(node);
    return reads < 1 ? 1 : (reads < most ? reads : most);
  }
  // The first slice of a transfer.
  int64_t first_slice(const Node& node, const Node& source) const {
    if (transfer_params(node).random_selection == 0.0f) return source.counters[kPosition];
    const uint64_t event = static_cast<uint64_t>(source.counters[kEvents]);
    return static_cast<int64_t>(drawn(kStreamSelect, source.number, 0, event, 1, slices(node)));
  }
  bool resets(const Node& node, const Node& source, int64_t slice, uint64_t event) const {
    const TransferParams& t = transfer_params(node);
    return by_columns(node) && t.with_reset_prob > 0.0f &&
           happens(t.with_reset_prob, kStreamSelect, source.number, static_cast<uint32_t>(slice), event, 2);
  }

  // Rate of a transfer out of child k; 0 where it does nothing.
  float transfer_rate(const Node& node, int k, float lr) const {
    const int target = k + 1 < node.children ? k + 1 : node.children - 1;
    if (target == k) return 0.0f;
    const TransferParams& t = transfer_params(node);
    float eta = child(node, k).rate;
    if (t.scale_transfer_lr != 0.0f) eta *= lr;
    const float from = child(node, k).gamma, to = child(node, target).gamma;
    if (node.kind != kTransfer && from > 0.0f && to > 0.0f) eta *= from / to;
    return eta;
  }

  // ---- transfer ----------------------------------------------------------------------------------

  // Moves slices from child k to the next one. `taken` has slices of child k as they were when their time had come; null:
  // read the array as it is.
  void transfer(const Node& node, int k, float lr, const float** taken) {
    const Node& source = child(node, k);
    const float eta = transfer_rate(node, k, lr);
    const int64_t first = first_slice(node, source);
    const int64_t reads = reads_of_event(node);
    const uint64_t event = static_cast<uint64_t>(source.counters[kEvents]++);
    if (eta != 0.0f) count(source, kTransfersDone);
    for (int64_t r = 0; r < reads && eta != 0.0f; ++r) {
      const int64_t slice = (first + r) % slices(node);
      move_slice(node, k, slice, event, eta, taken);
    }
    source.counters[kPosition] = (first + reads) % slices(node);
  }

  void move_slice(const Node& node, int k, int64_t slice, uint64_t event, float eta, const float** taken) {
    const Node& source = child(node, k);
    const Node& target = child(node, k + 1);
    const NodeScratch& s = array_.scratch(node);
    const int64_t length = slice_length(node);
    if (taken != nullptr) {
      array_.convert_slice(node, source, *taken, length, slice, source.counters[kReads]++, s.values);
      *taken += length;
    } else {
      read(node, source, slice, s.values);
      if (resets(node, source, slice, event)) {
        const uint64_t ordinal = static_cast<uint64_t>(source.counters[kResets]++);
        reset_slice(source, slice, ordinal, static_cast<uint64_t>(source.counters[kRedraws]++));
      }
    }
    if (node.kind == kTransfer) {
      write(node, target, slice, s.values, eta);
      return;
    }
    const bool any_step = node.kind == kBufferedTransfer
                              ? array_.buffer(node, source, slice, buffer_rule(node, target, eta), s)
                              : chopped_step(node, slice, event, eta, s);
    const float lr = transfer_params(node).step * target.granularity;
    if (any_step) {
      write(node, target, slice, s.values, lr);
    } else {
      ++target.counters[kWrites];
    }
  }

  BufferRule buffer_rule(const Node& node, const Node& target, float eta) const {
    const TransferParams& t = transfer_params(node);
    const float momentum = t.momentum < 0.0f ? 0.0f : (t.momentum > 1.0f ? 1.0f : t.momentum);
    return {magnitude(eta),
            1.0f,
            1.0f,
            false,
            t.thres_scale * target.granularity,
            t.desired_bl,
            t.momentum,
            1.0f - momentum,
            0.0f,
            t.forget_buffer != 0.0f};
  }

  static int64_t chopper_period(const TransferParams& t) {
    const float n = t.in_chop_prob > 0.0f ? __builtin_ceilf(1.0f / t.in_chop_prob) : 2.0f;
    return n < 2.0f ? 2 : as_count(n);
  }

  bool chopped_step(const Node& node, int64_t slice, uint64_t event, float eta, const NodeScratch& s) {
    const TransferParams& t = transfer_params(node);
    const Node& fast = child(node, 0);
    const Node& slow = child(node, 1);
    const int64_t n = chopper_period(t);
    const int64_t sweeps = node.counters[kSweeps];
    float granularity = (t.buffer_granularity > 0.0f ? t.buffer_granularity : 1.0f) * fast.granularity;
    if (t.auto_granularity > 0.0f) {
      granularity *= t.auto_granularity / (static_cast<float>(slices(node)) * magnitude(t.transfer_every));
    }
    const float momentum = t.momentum < 0.0f ? 0.0f : (t.momentum > 1.0f ? 1.0f : t.momentum);
    const float ratio =
        t.correct_gradient_magnitudes != 0.0f ? granularity * (slow.granularity / fast.granularity) : granularity;
    BufferRule rule = {magnitude(eta), ratio,
                       1.0f,           t.correct_gradient_magnitudes != 0.0f,
                       1.0f,           t.desired_bl,
                       t.momentum,     1.0f - momentum,
                       0.0f,           t.forget_buffer != 0.0f};
    bool any_step;
    if (node.kind == kChoppedTransfer) {
      any_step = array_.chopped_buffer(node, slice, rule, t.no_buffer != 0.0f, s);
    } else {
      rule.take = 1.0f - t.momentum;
      if (t.buffer_cap > 0.0f && t.forget_buffer == 0.0f) rule.cap = t.desired_bl * t.buffer_cap;
      if (t.experimental_correct_accumulation != 0.0f) {
        const float reads = static_cast<float>(sweeps % n + 1);
        const float most = 1.0f / fast.granularity;
        rule.reads = reads < most ? reads : most;
      }
      const float rho = t.tail_weightening / static_cast<float>(n);
      any_step = array_.dynamic_buffer(node, slice, rule, rho < 1.0f ? rho : 1.0f, t.noise_gate != 0.0f, sweeps > n, s);
    }
    array_.move_choppers(node, slice, chopper_move(node, slice, event, sweeps), event, node.in_chopper,
                         node.out_chopper, node.switched);
    if (slice == slices(node) - 1) ++node.counters[kSweeps];
    return any_step;
  }

  ChopperMove chopper_move(const Node& node, int64_t slice, uint64_t event, int64_t sweeps) const {
    const TransferParams& t = transfer_params(node);
    ChopperMove move = {false, slice == slices(node) - 1 ? t.out_chop_prob : 0.0f};
    if (t.in_chop_prob > 0.0f) {
      const int64_t n = chopper_period(t);
      move.in_flips = t.in_chop_random != 0.0f
                          ? happens(t.in_chop_prob, kStreamChopIn, node.number, static_cast<uint32_t>(slice), event, 0)
                          : sweeps % n + 1 == n;
    }
    return move;
  }

  // ---- reads, writes, resets ---------------------------------------------------------------------

  void read(const Node& owner, const Node& node, int64_t slice, float* values) {
    const bool columns = owner.kind == kOneSidedCell || by_columns(owner);
    if (node.kind != kDevicePlane) reduce(node);
    array_.read_slice(owner, node, columns, slice, static_cast<uint64_t>(node.counters[kReads]++), values);
  }

  // W[slice] += lr * values, in expectation.
  void write(const Node& owner, const Node& target, int64_t slice, const float* values, float lr) {
    const bool columns = owner.kind == kOneSidedCell || by_columns(owner);
    const NodeScratch& s = array_.scratch(owner);
    PulseBatch p = {};
    array_.write_vectors(values, columns ? out_size_ : in_size_, slice, columns ? in_size_ : out_size_, s);
    p.x = columns ? s.hot : s.other;
    p.d = columns ? s.other : s.hot;
    p.vectors = 1;
    p.lr = lr;
    p.params = owner.write_update;
    p.zeros = owner.zeros;
    p.ordinal = static_cast<uint64_t>(target.counters[kWrites]++);
    p.train_plane = target.number;
    p.write = true;
    if (columns) {
      p.window.first_column = slice;
      p.window.columns = 1;
    } else {
      p.window.first_row = slice;
      p.window.rows = 1;
    }
    if (target.kind == kDevicePlane) {
      p.granularity = target.granularity;
      array_.pulse(target, p);
    } else {
      pulse(target, p, is_transfer(owner) ? reads_of_event(owner) : 1);
    }
  }

  void reset_slice(const Node& node, int64_t slice, uint64_t ordinal, uint64_t redraw) {
    if (node.kind == kDevicePlane) {
      array_.reset_column(node, slice, ordinal, redraw);
      return;
    }
    for (int k = 0; k < node.children; ++k) {
      const Node& part = child(node, k);
      const uint64_t own = static_cast<uint64_t>(part.counters[kResets]++);
      reset_slice(part, slice, own, static_cast<uint64_t>(part.counters[kRedraws]++));
      // Of a transfer compound, only the fast array is reset.
      if (is_transfer(node)) break;
    }
  }

  void refresh(const Node& node) {
    const OneSidedParams& o = *reinterpret_cast<const OneSidedParams*>(node.params);
    const Node& minus = child(node, 0);
    const Node& plus = child(node, 1);
    const NodeScratch& s = array_.scratch(node);
    count(node, kRefreshesDone);
    const uint64_t resets[2] = {static_cast<uint64_t>(minus.counters[kResets]++),
                                static_cast<uint64_t>(plus.counters[kResets]++)};
    const uint64_t redraws[2] = {static_cast<uint64_t>(minus.counters[kRedraws]++),
                                 static_cast<uint64_t>(plus.counters[kRedraws]++)};
    for (int64_t j = 0; j < in_size_; ++j) {
      float* up = s.values;
      float* down = s.values + out_size_;
      read(node, plus, j, up);
      read(node, minus, j, down);
      bool wanted[2] = {false, false};
      array_.refresh_column(minus, plus, j, o.refresh_upper_thres, o.refresh_lower_thres, resets, redraws, up, down,
                            wanted);
      if (wanted[1]) {
        write(node, plus, j, up, 1.0f);
      } else {
        ++plus.counters[kWrites];
      }
      if (wanted[0]) {
        write(node, minus, j, down, 1.0f);
      } else {
        ++minus.counters[kWrites];
      }
    }
  }

  // ---- a mini-batch of a transfer compound, together ---------------------------------------------

  // Whether the planes are devices, and a read needs nothing of the fast array but the slice itself.
  bool transfers_together(const Node& node) const {
    if (!is_transfer(node) || !node.reads_are_local) return false;
    for (int k = 0; k < node.children; ++k) {
      if (child(node, k).kind != kDevicePlane) return false;
    }
    return true;
  }

  // The slices of the fast array that are read behind vectors of this part need its pulses up to then, and nothing else of
  // it. So the fast array gets the pulses of all vectors, each slice up to its next read; what was read is kept. Then the
  // transfers have their turn in the order of time.
  void pulse_and_transfer(const Node& node, const PulseBatch& p, float lr, int64_t m_batch) {
    const Node& fast = child(node, 0);
    const int64_t every = period(node, 0, m_batch);
    const bool moves = transfer_rate(node, 0, lr) != 0.0f;
    SliceRead* reads = array_.reads();
    SliceState* states = array_.slice_states();
    PulseBatch pulses = p;
    if (has_choppers(node)) {
      const NodeScratch& s = array_.scratch(node);
      pulses.x = s.x;
      pulses.d = s.d;
    }
    plan(node, p, every, moves, reads, states);
    run_fast_array(node, fast, pulses, reads, states);
    const float* taken = array_.slices_taken();
    for (int64_t b = 0; b < p.vectors; ++b) {
      ++node.counters[kUpdates];
      for (int k = 0; k < node.children; ++k) {
        const int64_t own = period(node, k, m_batch);
        if (own > 0 && node.counters[kUpdates] % own == 0) {
          array_.use_rate(node, p, b);
          transfer(node, k, lr, k == 0 ? &taken : nullptr);
        }
      }
    }
    array_.use_rate(node, p, p.vectors - 1);
  }

  // Lists the reads of the fast array, and makes the vectors that it sees while the choppers move.
  void plan(const Node& node, const PulseBatch& p, int64_t every, bool moves, SliceRead* reads, SliceState* states) {
    const Node& fast = child(node, 0);
    const bool chops = has_choppers(node);
    const NodeScratch& s = array_.scratch(node);
    uint8_t* in_chopper = nullptr;
    uint8_t* out_chopper = nullptr;
    if (chops) array_.copy_choppers(node, slices(node), slice_length(node), in_chopper, out_chopper);
    const int64_t events = fast.counters[kEvents], position = fast.counters[kPosition];
    int64_t sweeps = node.counters[kSweeps];
    int64_t n = 0, chopped_to = 0;
    // For now, the latest read of each slice.
    for (int64_t slice = 0; slice < slices(node); ++slice) states[slice] = {0, -1};
    const auto chop_to = [&](int64_t to) {
      if (!chops || to == chopped_to) return;
      const bool columns = by_columns(node);
      array_.chop(p.part(chopped_to, to - chopped_to, in_size_, out_size_), columns ? in_chopper : out_chopper,
                  columns ? out_chopper : in_chopper, s.x + chopped_to * in_size_, s.d + chopped_to * out_size_);
      chopped_to = to;
    };
    for (int64_t b = 0; b < p.vectors && every > 0; ++b) {
      if ((node.counters[kUpdates] + b + 1) % every != 0) continue;
      const int64_t first = first_slice(node, fast);
      const uint64_t event = static_cast<uint64_t>(fast.counters[kEvents]++);
      const int64_t count = reads_of_event(node);
      for (int64_t r = 0; r < count && moves; ++r) {
        const int64_t slice = (first + r) % slices(node);
        SliceRead read = {b, slice, states[slice].read, resets(node, fast, slice, event), 0, 0};
        if (read.reset) {
          read.reset_ordinal = static_cast<uint64_t>(fast.counters[kResets]++);
          read.redraw_ordinal = static_cast<uint64_t>(fast.counters[kRedraws]++);
        }
        states[slice].read = n;
        reads[n++] = read;
        if (chops) {
          chop_to(b + 1);
          array_.move_choppers(node, slice, chopper_move(node, slice, event, sweeps), event, in_chopper, out_chopper,
                               nullptr);
          if (slice == slices(node) - 1) ++sweeps;
        }
      }
      fast.counters[kPosition] = (first + count) % slices(node);
    }
    chop_to(p.vectors);
    // The transfers themselves count again.
    fast.counters[kEvents] = events;
    fast.counters[kPosition] = position;
    // From the latest read of each slice back to its first.
    for (int64_t slice = 0; slice < slices(node); ++slice) {
      int64_t next = -1;
      for (int64_t at = states[slice].read; at >= 0;) {
        const int64_t before = reads[at].next;
        reads[at].next = next;
        next = at;
        at = before;
      }
      states[slice].read = next;
    }
  }

  // The reads of a slice cut its vectors into spans. Each pass has the pulses of the next span of every slice, and then
  // the reads at their ends.
  void run_fast_array(const Node& node, const Node& fast, const PulseBatch& p, const SliceRead* reads,
                      SliceState* states) {
    const bool columns = by_columns(node);
    const int64_t total = slices(node);
    for (bool more = true; more;) {
      for (int64_t from = 0, to; from < total; from = to) {
        // Slices that have vectors left, up to the next gap.
        while (from < total && states[from].vector == p.vectors) ++from;
        int64_t last = from;
        for (to = from; to < total && to - last < kSliceGap; ++to) {
          if (states[to].vector < p.vectors) last = to + 1;
        }
        pulse_spans(fast, columns, p, reads, states, from, last);
      }
      more = false;
      for (int64_t slice = 0; slice < total; ++slice) {
        SliceState& state = states[slice];
        if (state.read < 0) {
          state.vector = p.vectors;
          continue;
        }
        const SliceRead& read = reads[state.read];
        array_.take_slice(fast, columns, slice, state.read);
        if (read.reset) array_.reset_column(fast, slice, read.reset_ordinal, read.redraw_ordinal);
        state = {read.vector + 1, read.next};
        more = true;
      }
    }
  }

  // Pulses for slices [from, to), each up to its next read.
  void pulse_spans(const Node& fast, bool columns, const PulseBatch& p, const SliceRead* reads,
                   const SliceState* states, int64_t from, int64_t to) {
    const auto end = [&](const SliceState& s) { return s.read < 0 ? p.vectors : reads[s.read].vector + 1; };
    int64_t first = p.vectors, last = 0;
    for (int64_t slice = from; slice < to; ++slice) {
      if (states[slice].vector < first) first = states[slice].vector;
      if (end(states[slice]) > last) last = end(states[slice]);
    }
    if (first >= last) return;
    PulseBatch part = p.part(first, last - first, in_size_, out_size_);
    bool whole = true;
    uint32_t* firsts = array_.span_firsts();
    uint32_t* lasts = array_.span_lasts();
    for (int64_t slice = from; slice < to; ++slice) {
      firsts[slice] = static_cast<uint32_t>(states[slice].vector - first);
      lasts[slice] = static_cast<uint32_t>(end(states[slice]) - first);
      whole = whole && firsts[slice] == 0 && lasts[slice] == part.vectors;
    }
    if (!whole) part.spans = {firsts, lasts, columns ? 0 : 1};
    if (columns) {
      part.window.first_column = from;
      part.window.columns = to - from;
    } else {
      part.window.first_row = from;
      part.window.rows = to - from;
    }
    array_.pulse(fast, part);
  }

  // ---- mixed precision ---------------------------------------------------------------------------

  void mixed_update(const Node& node) {
    const MixedParams& m = *reinterpret_cast<const MixedParams*>(node.params);
    const NodeScratch& s = array_.scratch(node);
    const int64_t every = m.transfer_every > 0.0f ? as_count(m.transfer_every) * args_.batch : 0;
    for (int64_t b = 0; b < args_.batch;) {
      // The test for a transfer stands behind a vector whose number, from 0 on, is a multiple of the period.
      const int64_t count = node.counters[kUpdates];
      int64_t n = args_.batch - b < kMostStretch ? args_.batch - b : kMostStretch;
      bool due = false;
      if (every > 0) {
        const int64_t next = count == 0 ? every : (count + every - 1) / every * every;
        due = next - count < n;
        if (due) n = next - count + 1;
      }
      const uint64_t ordinal = args_.ordinal + static_cast<uint64_t>(b);
      const float* x = args_.x + b * in_size_;
      const float* d = args_.d + b * out_size_;
      if (m.n_x_bins > 0.0f) {
        array_.quantise(x, n, in_size_, m.n_x_bins, m.stoc_round_x != 0.0f, kStreamQuantiseX, node.number, ordinal,
                        s.x);
        x = s.x;
      }
      if (m.n_d_bins > 0.0f) {
        array_.quantise(d, n, out_size_, m.n_d_bins, m.stoc_round_d != 0.0f, kStreamQuantiseD, node.number, ordinal,
                        s.d);
        d = s.d;
      }
      if (node.sparsity != nullptr) array_.average_zeros(node, x, d, n);
      array_.add_products(node, x, d, n);
      if (due) mixed_transfer(node, m);
      node.counters[kUpdates] += n;
      b += n;
    }
  }

  void mixed_transfer(const Node& node, const MixedParams& m) {
    const Node& device = child(node, 0);
    int64_t rows = m.n_rows_per_transfer < 0.0f ? out_size_ : as_count(m.n_rows_per_transfer);
    if (rows > out_size_) rows = out_size_;
    if (rows <= 0 || m.transfer_lr == 0.0f) return;
    int64_t first = node.counters[kPosition];
    const uint64_t event = static_cast<uint64_t>(node.counters[kEvents]++);
    count(node, kTransfersDone);
    if (m.random_row != 0.0f && rows < out_size_)
      first = static_cast<int64_t>(drawn(kStreamSelect, node.number, 0, event, 1, out_size_));
    // Runs of rows that do not wrap; within one, chunks whose counts fit the scratch memory.
    for (int64_t done = 0; done < rows;) {
      const int64_t row = (first + done) % out_size_;
      const int64_t run = rows - done < out_size_ - row ? rows - done : out_size_ - row;
      for (int64_t r = 0; r < run;) {
        const int64_t n = run - r < array_.rows_together() ? run - r : array_.rows_together();
        array_.take_rows(node, row + r, n, m.granularity);
        PulseBatch p = {};
        p.x = array_.row_counts();
        p.d = array_.row_marks();
        p.vectors = n;
        p.lr = m.granularity * m.transfer_lr;
        p.params = node.write_update;
        p.zeros = node.zeros;
        p.ordinal = static_cast<uint64_t>(device.counters[kWrites]);
        p.train_plane = device.number;
        p.write = true;
        p.rows_apart = true;
        p.window.first_row = row + r;
        p.window.rows = n;
        device.counters[kWrites] += n;
        pulse(device, p, run);
        r += n;
      }
      done += run;
    }
    node.counters[kPosition] = (first + rows) % out_size_;
  }

  const CompoundArgs& args_;
  Array& array_;
  int64_t in_size_, out_size_;
};

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
