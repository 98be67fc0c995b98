// Purpose: the device-to-device draws of a new tile.
// Invariants: each crosspoint is drawn alone, by the functions of csrc/devices; a plane without spread is one number and
// stays on the host.
#include "launch.h"

#include "../csrc/devices/device_list.h"
#include "launchers.h"

namespace rpupy {
namespace cuda {

template <class Device>
struct PopulateJob {
  PulsedParams common;
  typename Device::Params params;
  RoundKeys keys;
  uint32_t plane;
  int64_t crosspoints, in_size;
  float* cell[kMaxCellPlanes];
  float* upkeep[kUpkeepPlanes];  // null for a plane of one number
};

template <class Device>
struct DrawnDevice {
  static constexpr int kBase = field_count<PulsedCell<float>, float>();
  static constexpr int kOwn = field_count<typename Device::template Own<float>, float>();

  PulsedCell<float> cell;
  UpkeepCell<float> upkeep;
  typename Device::template Own<float> own;
};

template <class Device>
RPUPY_HD DrawnDevice<Device> draw_device(const PopulateJob<Device>& job, int64_t at) {
  DrawnDevice<Device> drawn;
  const DeviceDraws<float> draws = {static_cast<uint32_t>(at), job.plane, job.keys};
  const bool last_column = at % job.in_size == job.in_size - 1;
  populate_pulsed<float>(job.common, draws, last_column, drawn.cell, drawn.upkeep);
  Device::template populate<float>(job.common, job.params, draws, drawn.cell, drawn.upkeep, drawn.own);
  return drawn;
}

template <class Device>
RPUPY_KERNEL(kBlockThreads)
populate_kernel(PopulateJob<Device> job) {
  using Drawn = DrawnDevice<Device>;
  for_grid(job.crosspoints, [&](int64_t at) {
    const Drawn drawn = draw_device(job, at);
    const float* fields = reinterpret_cast<const float*>(&drawn.cell);
    RPUPY_UNROLL
    for (int plane = 0; plane < Drawn::kBase; ++plane) job.cell[plane][at] = fields[plane];
    fields = reinterpret_cast<const float*>(&drawn.own);
    RPUPY_UNROLL
    for (int plane = 0; plane < Drawn::kOwn; ++plane) job.cell[Drawn::kBase + plane][at] = fields[plane];
    fields = reinterpret_cast<const float*>(&drawn.upkeep);
    RPUPY_UNROLL
    for (int plane = 0; plane < kUpkeepPlanes; ++plane) {
      if (job.upkeep[plane] != nullptr) job.upkeep[plane][at] = fields[plane];
    }
  });
}

template <class Device>
static Status populate_device(const Place& place, const PopulateArgs& args) {
  const OnDevice current(place.device);
  RPUPY_TRY(current.status());
  const DefaultFloatingPoint environment;  // numbers are computed here, too
  PopulateJob<Device> job = {*reinterpret_cast<const PulsedParams*>(args.pulsed),
                             *reinterpret_cast<const typename Device::Params*>(args.own),
                             round_keys(args.tile.key[0], args.tile.key[1]),
                             args.tile.plane,
                             args.tile.out_size * args.tile.in_size,
                             args.tile.in_size,
                             {},
                             {}};
  for (int plane = 0; plane < kMaxCellPlanes; ++plane) job.cell[plane] = args.cell[plane];
  const DrawnDevice<Device> first = draw_device(job, 0);
  const float* numbers = reinterpret_cast<const float*>(&first.upkeep);
  for (int plane = 0; plane < kUpkeepPlanes; ++plane) {
    if (args.upkeep_stride[plane] != 0) {
      job.upkeep[plane] = args.upkeep[plane];
    } else {
      *args.upkeep[plane] = numbers[plane];
    }
  }
  return RPUPY_LAUNCH(populate_kernel<Device>, blocks_of_threads(job.crosspoints), kBlockThreads, place, job);
}

Status populate(const Place& place, int number, const PopulateArgs& args) {
  using Function = Status (*)(const Place&, const PopulateArgs&);
#define RPUPY_ENTRY(Device) populate_device<Device>,
  static constexpr Function kFunctions[] = {RPUPY_PULSED_DEVICES(RPUPY_ENTRY)};
#undef RPUPY_ENTRY
  return kFunctions[number](place, args);
}

}  // namespace cuda
}  // namespace rpupy
