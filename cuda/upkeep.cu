// Purpose: maintenance of all crosspoints of a plane.
// Invariants: each crosspoint is treated alone, by the functions of csrc/upkeep.h; its number in the plane is the element
// of its draws.
#include "launch.h"

#include "../csrc/upkeep.h"
#include "launchers.h"
#include "plane.h"

namespace rpupy {
namespace cuda {

// UpkeepArgs as a kernel takes them: everything that is host memory there is a value here.
struct UpkeepJob {
  int64_t crosspoints;
  uint32_t in_size, plane;
  float* weights;
  PlaneOrNumber low, high, value[2];
  float number[2];
  uint64_t ordinal;
  uint32_t first_column, columns;
  float* target;
  DriftParams drift;
  float now;
  float* start;
  float* since;
  float* previous;
  RoundKeys keys;

  explicit UpkeepJob(const UpkeepArgs& args)
      : crosspoints(args.tile.out_size * args.tile.in_size),
        in_size(static_cast<uint32_t>(args.tile.in_size)),
        plane(args.tile.plane),
        weights(args.weights),
        low(args.low, args.bound_stride),
        high(args.high, args.bound_stride),
        value{{args.value[0], args.value_stride[0]}, {args.value[1], args.value_stride[1]}},
        number{args.number[0], args.number[1]},
        ordinal(args.ordinal),
        first_column(static_cast<uint32_t>(args.first_column)),
        columns(static_cast<uint32_t>(args.columns)),
        target(args.target),
        drift(args.drift != nullptr ? *reinterpret_cast<const DriftParams*>(args.drift) : DriftParams{}),
        now(args.now),
        start(args.start),
        since(args.since),
        previous(args.previous),
        keys(round_keys(args.tile.key[0], args.tile.key[1])) {}

  RPUPY_BLOCK Bounds<float> bounds(int64_t at) const { return {low.at(at), high.at(at)}; }
};

struct SetUniform {
  static RPUPY_BLOCK float next(const UpkeepJob& job, float, int64_t at) {
    return drawn_uniformly<float>(job.number[0], job.number[1], static_cast<uint32_t>(at), job.ordinal, job.plane,
                                  job.bounds(at), job.keys);
  }
};

struct Clip {
  static RPUPY_BLOCK float next(const UpkeepJob& job, float w, int64_t at) {
    return clipped_to(w, job.number[0], job.bounds(at));
  }
};

struct Decay {
  static RPUPY_BLOCK float next(const UpkeepJob& job, float w, int64_t at) {
    return decayed(w, job.value[0].at(at), job.value[1].at(at), job.number[0], job.bounds(at));
  }
};

struct Diffuse {
  static RPUPY_BLOCK float next(const UpkeepJob& job, float w, int64_t at) {
    return diffused(w, job.value[0].at(at), static_cast<uint32_t>(at), job.ordinal, job.plane, job.bounds(at),
                    job.keys);
  }
};

struct Reset {
  static RPUPY_BLOCK float next(const UpkeepJob& job, float w, int64_t at) {
    const uint32_t column = static_cast<uint32_t>(at % job.in_size);
    const bool chosen = in_columns<float>(column, job.first_column, job.columns, job.in_size);
    return reset_with(w, job.value[0].at(at), job.number[0], job.number[1], chosen, static_cast<uint32_t>(at),
                      job.ordinal, job.plane, job.bounds(at), job.keys);
  }
};

struct Drift {
  static RPUPY_BLOCK float next(const UpkeepJob& job, float w, int64_t at) {
    DriftState<float> state = {job.start[at], job.since[at], job.previous[at]};
    w = drifted(w, job.value[0].at(at), job.now, state, job.drift, static_cast<uint32_t>(at), job.ordinal, job.plane,
                job.bounds(at), job.keys);
    job.start[at] = state.start;
    job.since[at] = state.since;
    job.previous[at] = state.previous;
    return w;
  }
};

// Replaces every weight by Operation::next.
template <class Operation>
RPUPY_KERNEL(kBlockThreads)
upkeep_kernel(UpkeepJob job) {
  for_grid(job.crosspoints, [&](int64_t at) { job.weights[at] = Operation::next(job, job.weights[at], at); });
}

RPUPY_KERNEL(kBlockThreads)
apparent_kernel(UpkeepJob job) {
  for_grid(job.crosspoints, [&](int64_t at) {
    job.target[at] = apparent(job.weights[at], job.number[0], static_cast<uint32_t>(at), job.ordinal,
                              kStreamApparentAll, job.plane, job.keys);
  });
}

template <class Operation>
static Status run_upkeep(const Place& place, const UpkeepArgs& args) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const UpkeepJob job(args);
  return RPUPY_LAUNCH(upkeep_kernel<Operation>, blocks_of_threads(job.crosspoints), kBlockThreads, place, job);
}

Status set_uniform(const Place& place, const UpkeepArgs& args) { return run_upkeep<SetUniform>(place, args); }
Status clip(const Place& place, const UpkeepArgs& args) { return run_upkeep<Clip>(place, args); }
Status decay(const Place& place, const UpkeepArgs& args) { return run_upkeep<Decay>(place, args); }
Status diffuse(const Place& place, const UpkeepArgs& args) { return run_upkeep<Diffuse>(place, args); }
Status reset(const Place& place, const UpkeepArgs& args) { return run_upkeep<Reset>(place, args); }
Status drift(const Place& place, const UpkeepArgs& args) { return run_upkeep<Drift>(place, args); }

Status redraw_apparent(const Place& place, const UpkeepArgs& args) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const UpkeepJob job(args);
  return RPUPY_LAUNCH(apparent_kernel, blocks_of_threads(job.crosspoints), kBlockThreads, place, job);
}

}  // namespace cuda
}  // namespace rpupy
