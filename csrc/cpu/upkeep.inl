// Purpose: construction and maintenance of all crosspoints of a plane.
// Included by: kernels.inl.
// Invariants: each crosspoint is treated alone; its number in the plane is the element of its draws.

namespace rpupy {
namespace RPUPY_ISA_NAME {

// Calls each(crosspoint, n): n lanes from this crosspoint on.
template <class Each>
static void for_crosspoints(const TileView& tile, const Each& each) {
  const int64_t n = tile.out_size * tile.in_size;
  run_team(worthwhile_threads(tile.threads, n * 4), [&](const Member& member) {
    int64_t from, to;
    member.share(n, kLanes, from, to);
    for (int64_t at = from; at < to; at += kLanes) each(at, static_cast<int>(to - at < kLanes ? to - at : kLanes));
  });
}

RPUPY_HD f32v load_plane(const float* data, int64_t stride, int64_t at, int n) {
  return stride == 0 ? all_lanes<f32v>(data[0]) : load_part(data + at, n);
}

RPUPY_HD u32v crosspoints_from(int64_t at) { return lane_numbers() + static_cast<uint32_t>(at); }

// Column of each crosspoint, for the few calls that ask for it.
RPUPY_HD u32v columns_from(int64_t at, int64_t in_size) {
  u32v c;
  for (int l = 0; l < kLanes; ++l) c[l] = static_cast<uint32_t>((at + l) % in_size);
  return c;
}

template <class Device>
static void populate(const PopulateArgs& args) {
  using Own = typename Device::template Own<f32v>;
  const PulsedParams& common = *reinterpret_cast<const PulsedParams*>(args.pulsed);
  const typename Device::Params& params = *reinterpret_cast<const typename Device::Params*>(args.own);
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const uint32_t last = static_cast<uint32_t>(args.tile.in_size - 1);
  constexpr int kBase = field_count<PulsedCell<f32v>, f32v>();
  constexpr int kOwn = field_count<Own, f32v>();
  static_assert(kBase + kOwn <= kMaxCellPlanes && field_count<UpkeepCell<f32v>, f32v>() == kUpkeepPlanes,
                "kernel_table.h has too few planes");
  for_crosspoints(args.tile, [&](int64_t at, int n) {
    PulsedCell<f32v> cell;
    UpkeepCell<f32v> upkeep;
    Own own;
    const DeviceDraws<f32v> draws = {crosspoints_from(at), args.tile.plane, keys};
    Mask last_column = less(u32v{}, u32v{});
    if (common.perfect_bias != 0.0f) last_column = equal(columns_from(at, args.tile.in_size), u32v{} + last);
    populate_pulsed<f32v>(common, draws, last_column, cell, upkeep);
    Device::template populate<f32v>(common, params, draws, cell, upkeep, own);
    const f32v* fields = reinterpret_cast<const f32v*>(&cell);
    for (int plane = 0; plane < kBase; ++plane) store_part(args.cell[plane] + at, fields[plane], n);
    fields = reinterpret_cast<const f32v*>(&own);
    for (int plane = 0; plane < kOwn; ++plane) store_part(args.cell[kBase + plane] + at, fields[plane], n);
    fields = reinterpret_cast<const f32v*>(&upkeep);
    for (int plane = 0; plane < kUpkeepPlanes; ++plane) {
      if (args.upkeep_stride[plane] != 0) {
        store_part(args.upkeep[plane] + at, fields[plane], n);
      } else if (at == 0) {
        store_part(args.upkeep[plane], fields[plane], 1);
      }
    }
  });
}

// Replaces every weight by next(weight, bounds, crosspoint, n).
template <class Next>
static void for_weights(const UpkeepArgs& args, const Next& next) {
  for_crosspoints(args.tile, [&](int64_t at, int n) {
    const Bounds<f32v> bounds = {load_plane(args.low, args.bound_stride, at, n),
                                 load_plane(args.high, args.bound_stride, at, n)};
    store_part(args.weights + at, next(load_part(args.weights + at, n), bounds, at, n), n);
  });
}

RPUPY_HD f32v value_of(const UpkeepArgs& args, int which, int64_t at, int n) {
  return load_plane(args.value[which], args.value_stride[which], at, n);
}

static void set_uniform(const UpkeepArgs& args) {
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  for_weights(args, [&](f32v, const Bounds<f32v>& bounds, int64_t at, int) {
    return drawn_uniformly(args.number[0], args.number[1], crosspoints_from(at), args.ordinal, args.tile.plane, bounds,
                           keys);
  });
}

static void clip(const UpkeepArgs& args) {
  for_weights(args,
              [&](f32v w, const Bounds<f32v>& bounds, int64_t, int) { return clipped_to(w, args.number[0], bounds); });
}

static void decay(const UpkeepArgs& args) {
  for_weights(args, [&](f32v w, const Bounds<f32v>& bounds, int64_t at, int n) {
    return decayed(w, value_of(args, 0, at, n), value_of(args, 1, at, n), args.number[0], bounds);
  });
}

static void diffuse(const UpkeepArgs& args) {
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  for_weights(args, [&](f32v w, const Bounds<f32v>& bounds, int64_t at, int n) {
    return diffused(w, value_of(args, 0, at, n), crosspoints_from(at), args.ordinal, args.tile.plane, bounds, keys);
  });
}

static void reset(const UpkeepArgs& args) {
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const bool all = args.columns >= args.tile.in_size;
  const uint32_t size = static_cast<uint32_t>(args.tile.in_size);
  const uint32_t first = static_cast<uint32_t>(args.first_column);
  for_weights(args, [&](f32v w, const Bounds<f32v>& bounds, int64_t at, int n) {
    Mask chosen = equal(u32v{}, u32v{});
    if (!all) {
      chosen = in_columns<f32v>(columns_from(at, args.tile.in_size), first, static_cast<uint32_t>(args.columns), size);
    }
    return reset_with(w, value_of(args, 0, at, n), args.number[0], args.number[1], chosen, crosspoints_from(at),
                      args.ordinal, args.tile.plane, bounds, keys);
  });
}

static void drift(const UpkeepArgs& args) {
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  const DriftParams& params = *reinterpret_cast<const DriftParams*>(args.drift);
  for_weights(args, [&](f32v w, const Bounds<f32v>& bounds, int64_t at, int n) {
    DriftState<f32v> state = {load_part(args.start + at, n), load_part(args.since + at, n),
                              load_part(args.previous + at, n)};
    w = drifted(w, value_of(args, 0, at, n), args.now, state, params, crosspoints_from(at), args.ordinal,
                args.tile.plane, bounds, keys);
    store_part(args.start + at, state.start, n);
    store_part(args.since + at, state.since, n);
    store_part(args.previous + at, state.previous, n);
    return w;
  });
}

static void redraw_apparent(const UpkeepArgs& args) {
  const RoundKeys keys = round_keys(args.tile.key[0], args.tile.key[1]);
  for_crosspoints(args.tile, [&](int64_t at, int n) {
    const f32v shown = apparent(load_part(args.weights + at, n), args.number[0], crosspoints_from(at), args.ordinal,
                                kStreamApparentAll, args.tile.plane, keys);
    store_part(args.target + at, shown, n);
  });
}

}  // namespace RPUPY_ISA_NAME
}  // namespace rpupy
