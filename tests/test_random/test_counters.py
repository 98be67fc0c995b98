"""No random number is used twice: the counters of a tile with every option on.

The log is that of the reference model; `tests/test_reference_model.py` holds the
kernels to the same numbers.
"""

import itertools

import numpy as np
import pytest

from rpupy.configs import (
    AnalogMVType,
    DigitalRankUpdateRPUConfig,
    DriftParameter,
    DynamicTransferCompound,
    IOParameters,
    LinearStepDevice,
    MixedPrecisionCompound,
    NoiseAggregation,
    NoiseManagementType,
    OneSidedUnitCell,
    SingleRPUConfig,
    TransferCompound,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
    WeightNoiseType,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.parameters.base import frozen_copy, thawed_copy
from rpupy.rpu_base.core import CpuTile
from rpupy.testing.reference import RandomNumbers, ReferenceTile, Stream

# Streams whose values share blocks, by the table of the layout.
SHARING = {
    Stream.DEVICE,
    Stream.IO_DEVICE,
    Stream.TRAIN_X,
    Stream.TRAIN_D,
    Stream.WRITE_TRAIN_X,
    Stream.WRITE_TRAIN_D,
    Stream.PULSE,
    Stream.RESET,
    Stream.DRIFT,
    *range(Stream.PRODUCT, Stream.PRODUCT + 25),
}


def everything(**update):
    """Return a configuration in which every draw of this release happens."""
    io = IOParameters(
        inp_noise=0.1,
        inp_sto_round=True,
        out_noise=0.1,
        out_sto_round=True,
        out_bound=0.2,
        w_noise=0.1,
        w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT,
        noise_management=NoiseManagementType.ABS_MAX,
        mv_type=AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
        w_read_asymmetry_dtod=0.1,
        out_noise_std=0.1,
        out_nonlinearity=0.1,
        out_nonlinearity_std=0.1,
        v_offset_std=0.1,
    )
    device = LinearStepDevice(
        corrupt_devices_prob=0.2,
        diffusion=0.01,
        diffusion_dtod=0.2,
        lifetime=10.0,
        lifetime_dtod=0.2,
        reset=0.1,
        reset_dtod=0.1,
        gamma_up=0.5,
        gamma_down=0.5,
        write_noise_std=1.0,
        drift=DriftParameter(nu=0.1, nu_dtod=0.2, nu_std=0.1, w_noise_std=0.01),
    )
    settings = UpdateParameters(
        desired_bl=70,
        update_bl_management=False,
        update_management=False,
        res=0.01,
        sto_round=True,
        **update,
    )
    return frozen_copy(
        SingleRPUConfig(forward=io, backward=io, update=settings, device=device)
    )


def cells():
    """Return configurations of cells in which every draw of theirs happens."""
    single = thawed_copy(everything())
    io = single.forward
    for name in ("w_read_asymmetry_dtod", "out_noise_std", "out_nonlinearity"):
        setattr(io, name, 0.0)
    io.v_offset_std = 0.0
    writes = UpdateParameters(desired_bl=7, res=0.01, sto_round=True)
    transfer = {
        "unit_cell_devices": [single.device, single.device],
        "units_in_mbatch": False,
        "transfer_forward": io,
        "transfer_update": writes,
        "scale_transfer_lr": False,
    }
    one_sided = OneSidedUnitCell(
        unit_cell_devices=[single.device],
        refresh_every=2,
        units_in_mbatch=False,
        refresh_upper_thres=-1.0,
        refresh_lower_thres=-1.0,
        refresh_forward=io,
        refresh_update=writes,
    )
    vector = VectorUnitCell(
        unit_cell_devices=[
            one_sided,
            TransferCompound(
                **transfer,
                with_reset_prob=0.5,
                random_selection=True,
                n_reads_per_transfer=2,
            ),
        ],
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    )
    dynamic = DynamicTransferCompound(
        **transfer, in_chop_prob=0.5, in_chop_random=True, out_chop_prob=0.5
    )
    mixed = MixedPrecisionCompound(
        device=vector, n_x_bins=5, n_d_bins=5, random_row=True, n_rows_per_transfer=1
    )
    # A vector cell as the fast array: it chooses a device, and is read and reset.
    nested = TransferCompound(
        **{**transfer, "unit_cell_devices": [vector, single.device]},
        with_reset_prob=0.5,
    )
    return {
        "vector": UnitCellRPUConfig(device=vector, update=single.update),
        "dynamic": UnitCellRPUConfig(device=dynamic, update=single.update),
        "nested": UnitCellRPUConfig(device=nested, update=single.update),
        "mixed": DigitalRankUpdateRPUConfig(device=mixed, update=single.update),
    }


def live(tile, rounds=2):
    """Everything that a tile can do, several times."""
    rng = np.random.default_rng(3)
    for _ in range(rounds):
        x = rng.uniform(-1, 1, (3, tile.in_size)).astype(np.float32)
        d = rng.uniform(-1, 1, (3, tile.out_size)).astype(np.float32)
        for is_test in (False, True, False):
            tile.forward(4 * x, is_test=is_test)
            tile.backward(4 * d, is_test=is_test)
        tile.set_learning_rate(0.02)
        tile.update(x, d)
        tile.update(x[0], d[0])
        tile.decay_weights()
        tile.diffuse_weights()
        tile.diffuse_weights()
        tile.reset_columns(1, 3, 0.5)
        tile.reset_columns(0, 2)
        tile.drift_weights(2.0)
        tile.clip_weights(0.4)
        tile.set_weights(rng.uniform(-0.5, 0.5, tile.get_weights().shape))
        tile.set_weights_uniform_random(-0.2, 0.2)
        tile.set_hidden_parameters(tile.get_hidden_parameters())


@pytest.fixture(scope="module")
def tile():
    # More than 64 lines on one side: a second group of lines that share blocks.
    tile = ReferenceTile(3, 67, everything(), np.random.SeedSequence(1))
    live(tile)
    # The same tile goes on with one draw of noise for a mini-batch.
    tile.config = everything(noise_aggregation=NoiseAggregation.BATCH)
    live(tile, rounds=1)
    return tile


@pytest.fixture(scope="module")
def noisy_tile():
    """A tile whose conductances are noisy in each pass over the array."""
    forward = IOParametersIRDropT(
        mv_type=AnalogMVType.BIT_WISE,
        inp_res=1 / 14,
        inp_noise=0.1,
        out_noise=0.1,
        out_sto_round=True,
        out_bound=0.2,
        apply_xdep_pcm_read_noise=True,
    )
    config = thawed_copy(everything())
    config.forward, config.mapping.max_input_size = forward, 72
    tile = ReferenceTile(3, 67, frozen_copy(config), np.random.SeedSequence(1))
    live(tile)
    return tile


@pytest.fixture(scope="module")
def tiles_of_cells():
    tiles = {}
    for name, config in cells().items():
        seed = np.random.SeedSequence(1)
        tiles[name] = ReferenceTile(2, 3, frozen_copy(config), seed)
        live(tiles[name])
    return tiles


def flat(log):
    """Rows of key (2), counter (4), value; and whether it is a word, and shares."""
    rows = [
        np.column_stack(
            [np.full((len(d.parts), 2), d.key, dtype=np.int64), d.counters, d.parts]
        )
        for d in log
    ]
    sizes = [len(d.parts) for d in log]
    word = np.repeat([d.kind == "word" for d in log], sizes)
    shares = np.repeat([d.shares_block for d in log], sizes)
    return np.concatenate(rows), word, shares


def count_of_each(rows):
    _, at, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return counts[at.ravel()]


def streams_of(log):
    return {int(stream) for d in log for stream in np.unique(d.counters[:, 3] >> 24)}


def test_every_stream_of_this_release_is_drawn(tile, tiles_of_cells):
    passes = range(5)
    product = {Stream.PRODUCT + 5 * p + q for p in passes for q in range(5)}
    drawn = streams_of(tile.log).union(
        *(streams_of(cell.log) for cell in tiles_of_cells.values())
    )
    assert drawn == product | {int(s) for s in Stream if s is not Stream.PRODUCT}


@pytest.mark.parametrize("name", cells())
def test_no_number_of_a_cell_is_used_twice(tiles_of_cells, name):
    rows, _, shares = flat(tiles_of_cells[name].log)
    assert len(rows) > 1_000
    assert count_of_each(rows).max() == 1
    assert count_of_each(rows[:, :6])[~shares].max() == 1
    assert {int(s) for s in np.unique(rows[shares, 5] >> 24)} <= SHARING


def test_bound_management_took_several_rounds(tile):
    noise = Stream.PRODUCT + 3
    tags = np.concatenate([d.counters[:, 3] for d in tile.log])
    rounds = np.unique((tags[tags >> 24 == noise] & 0xFFFF) >> 4)
    assert rounds.tolist() == list(range(len(rounds))) and len(rounds) > 2


def test_passes_over_the_array_have_draws_of_their_own(tile):
    tags = np.concatenate([d.counters[:, 3] for d in tile.log])
    for purpose, parts in ((0, [0]), (1, [0]), (2, [0, 1]), (3, [0, 1]), (4, [0, 1])):
        used = tags[tags >> 24 == Stream.PRODUCT + purpose] & 15
        assert np.unique(used).tolist() == parts, purpose


def test_no_number_is_used_twice(tile):
    rows, _, _ = flat(tile.log)
    assert len(rows) > 50_000
    assert count_of_each(rows).max() == 1


def test_no_number_of_noisy_conductances_is_used_twice(noisy_tile):
    rows, _, _ = flat(noisy_tile.log)
    assert count_of_each(rows).max() == 1
    for which in (0, 1):
        own = rows[rows[:, 5] >> 24 == Stream.PRODUCT + 5 * which + 2]
        assert len(own) > 67 * 3
        # Four inputs share a block, and each pass and round has blocks of its own.
        assert count_of_each(own[:, :6]).max() == 4
        passes = {int(draw) & 15 for draw in own[:, 5] & 0xFFFF}
        assert passes == set(range(3))


def test_only_the_streams_of_the_table_share_blocks(tile):
    rows, _, shares = flat(tile.log)
    blocks = count_of_each(rows[:, :6])
    assert blocks[~shares].max() == 1
    assert blocks.max() == 4
    assert {int(s) for s in np.unique(rows[shares, 5] >> 24)} <= SHARING


def test_words_and_normals_of_a_block_do_not_overlap(tile):
    """Normal numbers 0 and 1 are made of words 0 and 1, the others of words 2 and 3."""
    rows, word, _ = flat(tile.log)
    pair = rows.copy()
    pair[:, 6] //= 2
    as_word = np.unique(pair[word], axis=0)
    as_normal = np.unique(pair[~word], axis=0)
    assert count_of_each(np.concatenate([as_word, as_normal])).max() == 1


def test_all_draws_of_a_tile_have_its_key(tile):
    assert {d.key for d in tile.log} == {tile.key}


def test_device_draws_follow_the_construction_seed():
    config = everything()
    seeded = frozen_copy(config)
    object.__setattr__(seeded.device, "construction_seed", 5)
    tiles = [ReferenceTile(3, 4, seeded, np.random.SeedSequence(k)) for k in (1, 2)]
    for name in tiles[0].plane.hidden:
        assert np.array_equal(tiles[0].plane.hidden[name], tiles[1].plane.hidden[name])
    for tile in tiles:
        keys = {
            stream: {d.key for d in tile.log if d.counters[0, 3] >> 24 == stream}
            for stream in (Stream.DEVICE, Stream.INIT)
        }
        assert keys[Stream.INIT] == {tile.key}
        assert keys[Stream.DEVICE] != {tile.key}
    assert tiles[0].key != tiles[1].key


def test_tiles_do_not_collide():
    seeds = np.random.SeedSequence(1).spawn(2)
    logs = []
    for seed in [*seeds, np.random.SeedSequence(2)]:
        one = ReferenceTile(2, 5, everything(), seed)
        live(one, rounds=1)
        logs.extend(one.log)
    rows, _, _ = flat(logs)
    assert count_of_each(rows).max() == 1


def test_planes_do_not_collide():
    log = []
    for plane in range(3):
        random = RandomNumbers((1, 2), log, plane)
        for stream in Stream:
            random.words(stream, np.arange(10), 0, draw=0xFFFF, part=1)
            random.normals(stream, np.arange(10), 2**40, part=3)
    rows, _, _ = flat(log)
    assert count_of_each(rows[:, :6]).max() == 1


def test_the_fields_of_a_counter_do_not_overlap():
    """The largest draw and the last plane stay below the stream."""
    longest = 8 * (8192 - 1) + 7
    last_round = 31 << 4 | 15
    assert max(longest, last_round) < 1 << 16
    log = []
    random = RandomNumbers((1, 2), log, plane=255)
    random.words(Stream.TRAIN_X, 2**32 - 1, 2**64 - 1, draw=longest)
    assert log[0].counters[0].tolist() == [
        2**32 - 1,
        2**32 - 1,
        2**32 - 1,
        3 << 24 | 255 << 16 | longest,
    ]


def test_passes_draw_from_streams_of_their_own():
    tile = ReferenceTile(2, 3, everything(), np.random.SeedSequence(1))
    found = []
    for call, is_test in itertools.product((tile.forward, tile.backward), (0, 1)):
        tile.log.clear()
        call(
            np.ones(tile.in_size if call == tile.forward else 2), is_test=bool(is_test)
        )
        found.append(streams_of(tile.log))
    for one, two in itertools.combinations(found, 2):
        assert one and not one & two


def test_evaluation_never_changes_a_training_run():
    """On the kernels themselves: look as often as you like."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, (4, 6)).astype(np.float32)
    d = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    results = []
    for evaluations in (0, 3):
        tile = CpuTile(3, 6, everything(), np.random.SeedSequence(1))
        seen = []
        for _ in range(3):
            for _ in range(evaluations):
                tile.forward(x, is_test=True)
                tile.backward(d, is_test=True)
                tile.get_hidden_parameters()
            seen += [tile.forward(x), tile.backward(d)]
            tile.update(x, d)
            seen.append(tile.get_weights())
        results.append(seen)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)
