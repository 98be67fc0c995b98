// Purpose: the only interface between Python and the kernels: plain argument structs and a table of functions per
// instruction set.
// Included by: the ISA units, dispatch.cpp and, through _core.pxd, the Cython modules.
// Invariants: plain data and pointers, nothing that depends on an instruction set; kernels keep no pointer after the
// call, do not throw, and assume arguments that Python has checked. Matrices are C order; crosspoint = i * in_size + j.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rpupy {

constexpr int kMaxCellPlanes = 12;
constexpr int kUpkeepPlanes = 4;

struct TileView {
  int64_t out_size;
  int64_t in_size;
  uint32_t key[2];
  uint32_t plane;
  int32_t threads;
};

// Device-to-device draws. Cell planes are full; an upkeep plane with stride 0 gets one number.
struct PopulateArgs {
  TileView tile;
  const float* pulsed;
  const float* own;
  float* cell[kMaxCellPlanes];
  float* upkeep[kUpkeepPlanes];
  int64_t upkeep_stride[kUpkeepPlanes];
};

// The crosspoints that an update touches; `rows` or `columns` 0: all of them.
struct Window {
  int64_t first_row, rows;
  int64_t first_column, columns;
};

// The vectors of an update that reach each line of one side: from `first` up to before `last`. Null: all of them.
struct LineSpans {
  const uint32_t* first;
  const uint32_t* last;
  int32_t of_rows;  // lines of d, not of x
};

// Which pulses reach a plane, and in which direction they move it.
enum PulseRoute : int32_t {
  kBothDirections = 0,
  kUpOnly = 1,        // pulses down pass by
  kDownTurnedUp = 2,  // pulses up pass by, those down move the plane up
};

// What is counted for users of a plane, and for what stands above planes; no random number depends on it.
enum NodeEvent : int32_t {
  kPulsesDown = 0,
  kPulsesUp = 1,
  kTrainSlots = 2,
  kTrainsWritten = 3,  // trains of writes
  kReadRounds = 4,     // of slices
  kTransfersDone = 5,  // out of this node
  kRefreshesDone = 6,
  kNodeEvents = 7,
};

struct UpdateArgs {
  TileView tile;
  const float* x;  // [batch, in_size]
  const float* d;  // [batch, out_size]
  int64_t batch;
  float lr;
  uint64_t ordinal;  // of the first vector
  float* weights;    // the persistent ones where there are two
  // Pulsed updates only.
  float* apparent;  // null without write noise
  float write_noise;
  float dw_min_std;
  float granularity;
  uint32_t* pulse_ordinals;
  int64_t* pulse_counters;  // [2, out_size, in_size]: pulses down, pulses up; null for none
  const float* update;
  const float* own;
  float* cell[kMaxCellPlanes];
  // Bounds to clip to after each vector of an exact update; null for none.
  const float* low;
  const float* high;
  // What the planes of a compound need beyond that; all zero for a single device.
  const float* rates;    // learning rate of each vector in place of `lr`, whose sign holds; null: `lr` for all
  int64_t first_vector;  // vectors of the mini-batch before these, for what counts its vectors in groups
  LineSpans spans;
  uint32_t train_plane;  // plane in the counters of the trains
  int32_t write_train;   // trains of a write, in streams of their own
  int32_t route;         // PulseRoute
  Window window;
  int64_t* tally;  // added to: the first of NodeEvent; null: nobody counts
  float* zeros;    // where the share of zeros in the last d goes; null: nobody asks
};

// An array whose conductances are noisy anew in each read (csrc/mvm/ladder.h). `segments` 0: no noise; without wires
// there is one segment. The unit of conductances is that of weights.
struct ReadLadder {
  int64_t segments, per_segment;  // of a line, and rows of each
  int64_t front;                  // rows before the first input
  int32_t timed;                  // wires count, and the array is read in time slices
  float wire;                     // resistance of it between two segments
  float leak;                     // what every segment conducts at least
  float offset;                   // what an output gets in each slice, times the resistance of its line
  float noise;                    // scale of the noise
  float per_microsiemens;         // a conductance of 1 uS
};

// What the lines of one direction have of their own; null where the parameters ask for none.
struct LineParams {
  const float* out_noise_values;
  const float* out_nonlinearity;
  const float* v_offset;
  float out_nonlinearity_factor;
  const float* w_asymmetry;  // factors on the weights that negative inputs see
  // Arrays that are read in time slices: what an output gets in each slice, and its value of one pulse of charge.
  const float* slice_offset;
  float charge_unit;
  ReadLadder ladder;  // in place of what an output gets in each slice
};

constexpr int kProductStages = 16;

struct ProductArgs {
  TileView tile;
  const float* weights;
  float* packed;  // forward: panels of the weights, see pack_weights
  // The weights times lines.w_asymmetry, and their panels; the CUDA kernels multiply on the way.
  const float* negative_weights;
  float* negative_packed;
  const float* input;
  float* output;
  int64_t batch;
  int32_t backward;  // contract over outputs
  const float* io;
  uint64_t ordinal;  // of the first vector
  uint32_t stream;   // of the first purpose of this pass
  LineParams lines;
  float* average;  // running mean of noise management, where it has one
  // Where a trace shows the stages of csrc/mvm/io.h, as [passes, batch, lines]; null for those that nobody looks at.
  float* stages[kProductStages];
  int64_t* rounds;  // added to: rounds of bound management over all vectors; null: nobody counts
};

// One maintenance call. Planes that an operation does not use may be null.
struct UpkeepArgs {
  TileView tile;
  float* weights;
  const float* low;
  const float* high;
  int64_t bound_stride;
  const float* value[2];  // decay: scales, bias; diffusion: rates; reset: bias; drift: exponents
  int64_t value_stride[2];
  float number[2];  // decay: alpha; reset: std, probability; clip: limit; uniform: low, high; apparent: noise
  uint64_t ordinal;
  int64_t first_column, columns;  // reset
  float* target;                  // apparent: where it goes
  const float* drift;
  float now;
  float* start;
  float* since;
  float* previous;
};

// What a node of a compound is. A device plane is a leaf; every other kind has nodes below it.
enum NodeKind : int32_t {
  kDevicePlane = 0,
  kVectorCell = 1,
  kOneSidedCell = 2,
  kTransfer = 3,
  kBufferedTransfer = 4,
  kChoppedTransfer = 5,
  kDynamicTransfer = 6,
  kMixedPrecision = 7,
};

// Counters of a node: ordinals of random numbers, and where its schedule is.
enum NodeCounter : int32_t {
  kReads = 0,
  kWrites = 1,
  kEvents = 2,  // transfers out of this node, also those that do nothing
  kResets = 3,
  kRedraws = 4,
  kUpdates = 5,   // vectors
  kPosition = 6,  // next slice to read, or next row to write
  kSweeps = 7,    // passes over all slices
  kCurrent = 8,   // present device of a vector cell
  kChoices = 9,   // vectors for which a vector cell chose a device; a new weight takes none back
  kNodeCounters = 10,
};

// One node of a compound. Pointers that its kind does not use are null.
struct CompoundNode {
  int32_t kind;
  int32_t first_child, children;  // children stand side by side
  uint32_t number;                // plane in the counters of random numbers
  float* weights;                 // what a product with this node sees
  float granularity;              // g, for pulse trains
  float states;                   // number of states
  int64_t* counters;              // [kNodeCounters]
  // As a part of the node above: factor in its weight, period of its transfers, rate of them.
  float gamma, every, rate;
  // Of a leaf.
  int32_t device;
  UpdateArgs update;
  const float* reset_bias;
  int64_t reset_stride;
  float reset_std;
  float nominal_max;
  // Of all others.
  const float* params;
  const float* read_io;
  LineParams read_lines;    // what the lines of its reads have of their own
  int32_t reads_are_local;  // a slice of the array is all that a read of it depends on
  const float* write_update;
  int32_t hides_nothing;  // the last child is what products see
  // State: of the source of a transfer, its buffer; of a mixed precision compound, chi.
  float* buffer;
  // State of a chopped or dynamic compound.
  float* mean;
  float* past_mean;
  float* variance;
  float* past_variance;
  float* running;  // largest |x|, largest |d|, rate of the fast array
  // Mean of the share of zeros, in d or, of a mixed precision compound, in the products; null: nobody asks.
  float* sparsity;
  uint8_t* in_chopper;
  uint8_t* out_chopper;
  uint8_t* switched;
  float* zeros;  // share of zeros in the last d that this node wrote with; null: nobody asks
  // [kNodeEvents], of what is counted between kernels; those count in `update.tally`, of any node. Null: nobody counts.
  int64_t* events;
};

// An update of a compound; node 0 is the root.
struct CompoundArgs {
  TileView tile;
  const CompoundNode* nodes;
  int32_t count;
  const float* x;
  const float* d;
  int64_t batch;
  float lr;
  uint64_t ordinal;
  const float* update;
  float* zeros;      // share of zeros in the last d; null: nobody asks
  int32_t stepwise;  // vector by vector, as the definition says: for tests
};

using PopulateFunction = void (*)(const PopulateArgs&);
using UpdateFunction = void (*)(const UpdateArgs&, void* scratch);
using UpkeepFunction = void (*)(const UpkeepArgs&);

struct KernelTable {
  const char* isa;
  void (*pack_weights)(const ProductArgs&);
  void (*product)(const ProductArgs&, void* scratch);
  size_t (*product_scratch)(const ProductArgs&);
  UpdateFunction update_exact;
  size_t (*update_exact_scratch)(const UpdateArgs&);
  size_t (*update_pulsed_scratch)(const UpdateArgs&);
  // The longest train that a pulsed update would make, in words; 0 where none makes a pulse.
  int64_t (*longest_train)(const UpdateArgs&);
  bool (*all_finite)(const float*, int64_t n);
  UpkeepFunction set_uniform;
  UpkeepFunction clip;
  UpkeepFunction decay;
  UpkeepFunction diffuse;
  UpkeepFunction reset;
  UpkeepFunction drift;
  UpkeepFunction apparent;
  void (*update_compound)(const CompoundArgs&, void* scratch);
  size_t (*update_compound_scratch)(const CompoundArgs&);
  // Weights of all nodes that have others below them.
  void (*reduce_compound)(const CompoundArgs&);
  // By device number, in the order of device_list.h.
  const PopulateFunction* populate;
  const UpdateFunction* update_pulsed;
  // Bare numbers for tests: a block of words, its normals, and functions of elementary.h.
  void (*draw_words)(const uint32_t* counters, const uint32_t* key, uint32_t* words, int64_t n);
  void (*words_to_normals)(const uint32_t* words, float* z, int64_t blocks);
  void (*evaluate)(int32_t function, const float* a, const float* b, float* y, int64_t n);
  // For devices whose law is in Python. Scratch of count_pulses: update_pulsed_scratch.
  void (*count_pulses)(const UpdateArgs&, int32_t* counts, void* scratch);
  void (*pulse_normals)(const TileView&, const uint32_t* crosspoints, const uint32_t* ordinals, float* z, int64_t n);
  void (*show_pulses)(const UpdateArgs&, const uint32_t* crosspoints, int64_t n);
};

struct DeviceInfo {
  const char* name;
  const char* params;  // own parameters, "first, second"
  const char* cell;    // own planes
  bool pulsed;
  bool aggregates;  // whether the pulses of a mini-batch can share one draw of noise
};

// Names that Python binds to, the same for every instruction set.
struct Names {
  const char* pulsed;
  const char* pulsed_cell;
  const char* upkeep;
  const char* drift;
  const char* update;
  const char* io;
  const char* vector;
  const char* one_sided;
  const char* transfer;
  const char* mixed;
};

const DeviceInfo* device_info(int number);  // null behind the last
const Names& names();
float exact_decay_factor(int number, const float* own, float alpha);

// The table of an instruction set by name, null where this machine or this build lacks it.
const KernelTable* kernel_table(const char* isa);
// Names of the instruction sets that can run here, best first; null behind the last.
const char* available_isa(int number);

int max_threads();

// The default floating-point environment for what happens outside of kernels; returns what restore_environment takes.
uint64_t enter_default_environment();
void restore_environment(uint64_t saved);
float to_float32(double value);

}  // namespace rpupy
