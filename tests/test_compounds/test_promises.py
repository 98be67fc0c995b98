"""Unit cells and compounds give the same bits however they are run, kept and moved."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import rpupy
from rpupy.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    NoiseAggregation,
    PulseType,
    SoftBoundsDevice,
    TransferCompound,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)
from rpupy.rpu_base import _cpu
from rpupy.tiles import AnalogTile

sys.path.insert(0, str(Path(__file__).parent))
from cells import ALL, CELLS, SHAPE, config, devices, transfer

LR = 0.05


def built(name, rng=3):
    tile = AnalogTile(*SHAPE, config(ALL[name]), rng=rng)
    tile.set_learning_rate(LR)
    return tile


def vectors(batch, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.2, 0.6, (batch, SHAPE[1])).astype(np.float32)
    d = rng.normal(-0.1, 0.6, (batch, SHAPE[0])).astype(np.float32)
    x[batch // 2] = 0.0
    return x, d


def assert_same(a, b):
    meta_a, arrays_a = a.tile.state()
    meta_b, arrays_b = b.tile.state()
    assert meta_a == meta_b
    for name, array in arrays_a.items():
        np.testing.assert_array_equal(array, arrays_b[name], err_msg=name)


@pytest.mark.parametrize("name", ALL)
def test_a_mini_batch_together_is_one_vector_after_the_other(name):
    together, stepwise = built(name), built(name)
    stepwise.tile._stepwise = True
    for seed in (1, 2):
        for batch in (1, 45):
            x, d = vectors(batch, seed)
            together.update(x, d)
            stepwise.update(x, d)
    assert_same(together, stepwise)
    assert not np.array_equal(together.get_weights()[0], built(name).get_weights()[0])


@pytest.mark.parametrize("name", CELLS)
def test_a_batch_in_parts_gives_the_same_bits(name):
    whole, parts = built(name), built(name)
    x, d = vectors(29)
    whole.update(x, d)
    for first, last in ((0, 1), (1, 12), (12, 13), (13, 29)):
        parts.update(x[first:last], d[first:last])
    assert_same(whole, parts)


@pytest.mark.parametrize("isa", _cpu.available_isas()[1:])
@pytest.mark.parametrize("name", ALL)
def test_instruction_sets_agree(name, isa):
    best, lower = built(name), built(name)
    tile = lower.tile
    tile._backend = _cpu.CpuBackend(tile.out_size, tile.in_size, tile._key, isa)
    x, d = vectors(17)
    for _ in range(2):
        best.update(x, d)
        lower.update(x, d)
    assert_same(best, lower)


@pytest.mark.parametrize("name", ["vector", "refreshed", "ttv1", "ttv4", "mixed"])
def test_threads_agree(name):
    tiles = []
    for count in (1, 3):
        with Threads(count):
            tile = AnalogTile(40, 150, config(ALL[name]), rng=1)
            tile.set_learning_rate(LR)
            rng = np.random.default_rng(0)
            for _ in range(2):
                tile.update(rng.normal(size=(30, 150)), rng.normal(size=(30, 40)))
            tiles.append(tile)
    assert_same(*tiles)


class Threads:
    """The number of threads, for a block."""

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        self.before = rpupy.get_num_threads()
        rpupy.set_num_threads(self.count)

    def __exit__(self, *_):
        rpupy.set_num_threads(self.before)


@pytest.mark.parametrize("name", ALL)
def test_a_copy_and_a_loaded_tile_go_on_as_the_first(name, tmp_path):
    tile = built(name)
    x, d = vectors(7)
    tile.update(x, d)
    path = tmp_path / "tile.npz"
    tile.save(path)
    twins = [
        AnalogTile.load(path),
        tile.copy(),
        copy.deepcopy(tile),
        pickle.loads(pickle.dumps(tile)),
    ]
    for _ in range(2):
        tile.update(x, d)
    tile.post_update_step()
    y = tile.forward(x)
    for twin in twins:
        for _ in range(2):
            twin.update(x, d)
        twin.post_update_step()
        np.testing.assert_array_equal(y, twin.forward(x))
        assert_same(tile, twin)


@pytest.mark.parametrize("name", ALL)
def test_hidden_parameters_come_back(name):
    tile = built(name)
    x, d = vectors(9)
    tile.update(x, d)
    hidden = tile.get_hidden_parameters()
    assert all(value.shape == SHAPE for value in hidden.values())
    other = built(name, rng=8)
    other.set_hidden_parameters(hidden)
    for key, value in other.get_hidden_parameters().items():
        if "hidden_weights" in key and "chi" not in key:
            continue  # behind write noise, they are drawn anew
        np.testing.assert_array_equal(value, hidden[key], err_msg=key)


@pytest.mark.parametrize("name", ALL)
def test_setting_weights_starts_the_schedule_anew_and_keeps_ordinals(name):
    tile = built(name)
    weights = tile.get_weights()[0]
    before = tile.tile.state()[0]["counters"]
    x, d = vectors(9)
    tile.update(x, d)
    used = tile.tile.state()[0]["counters"]
    tile.set_weights(weights)
    now = tile.tile.state()[0]["counters"]
    for key, count in now.items():
        ends = key.split("_")
        if any(word in ends for word in ("updates", "position", "sweeps")):
            assert count == 0
        elif "current" in ends and name != "fixed":
            assert count == before[key]
        elif "redraw" not in ends:
            assert count == used[key], key
    for key, value in tile.get_hidden_parameters().items():
        if key.startswith(("buffered", "running", "past")) or "chi" in key:
            assert not value.any(), key


@pytest.mark.parametrize("name", ["vector", "reference", "one_sided", "ttv1", "chain"])
def test_upkeep_of_a_cell_is_that_of_its_devices(name):
    """Decay, clipping and reset move the planes, and products see the new sum."""
    tile = built(name)
    x, d = vectors(9)
    tile.update(x, d)
    cell = tile.rpu_config.device
    for call in (
        lambda: tile.decay_weights(0.5),
        lambda: tile.clip_weights(0.05),
        lambda: tile.diffuse_weights(),
        lambda: tile.reset_columns(2, 3),
    ):
        call()
        hidden = tile.get_hidden_parameters()
        expected = sum(
            np.float64(gamma) * hidden[f"hidden_weights_{k}"]
            for k, gamma in enumerate(cell.gammas())
        )
        np.testing.assert_allclose(
            tile.tile.get_weights(), expected, rtol=1e-5, atol=1e-6
        )


def test_a_cell_without_pulses_is_an_exact_weight():
    cell = config(ALL["ttv1"])
    cell.update.pulse_type = rpupy.configs.PulseType.NONE
    tile = AnalogTile(*SHAPE, cell, rng=0)
    assert tile.get_hidden_parameters() == {}
    before = tile.get_weights()[0]
    tile.set_learning_rate(0.5)
    x, d = vectors(1)
    x[:] = 1.0
    tile.update(x, d)
    np.testing.assert_allclose(
        tile.get_weights()[0], before - 0.5 * d.T @ x, rtol=1e-5, atol=1e-6
    )
    tile.post_update_step()


@pytest.mark.parametrize("lr", [0.02, 1.0])
@pytest.mark.parametrize("aggregation", NoiseAggregation)
@pytest.mark.parametrize(
    "kind",
    [
        PulseType.STOCHASTIC_COMPRESSED,
        PulseType.MEAN_COUNT,
        PulseType.DETERMINISTIC_IMPLICIT,
    ],
)
def test_writes_of_rows_by_events_give_the_pulses_of_the_general_form(
    kind, aggregation, lr
):
    """Counting pulses looks at all crosspoints, and so takes the general form."""
    shape, tiles = (5, 1100), []
    for counts in (False, True):
        device = SoftBoundsDevice(dw_min=0.01, count_pulses=counts)
        full = config(MixedPrecisionCompound(device=device))
        full.update.pulse_type = kind
        full.update.noise_aggregation = aggregation
        tile = AnalogTile(*shape, full, rng=3)
        tile.set_learning_rate(lr)
        rng = np.random.default_rng(1)
        for batch in (1, 3, 7):
            tile.update(rng.normal(size=(batch, 1100)), rng.normal(size=(batch, 5)))
        tiles.append(tile)
    written, general = (tile.get_hidden_parameters() for tile in tiles)
    assert tiles[1].get_pulse_counters().sum() > 1000
    for name, value in written.items():
        np.testing.assert_array_equal(value, general[name], err_msg=name)
    ordinals = [tile.tile._arrays["pulse_ordinals"] for tile in tiles]
    np.testing.assert_array_equal(*ordinals)


def test_a_vector_cell_that_is_read_keeps_its_device_and_the_slice_apart():
    """A source of transfers has a next slice, and a vector cell a present device."""
    fast = VectorUnitCell(
        unit_cell_devices=devices(),
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL,
        first_update_idx=1,
    )
    cell = TransferCompound(
        unit_cell_devices=[fast, devices()[1]], units_in_mbatch=False
    )
    tile = AnalogTile(*SHAPE, config(cell), rng=0)
    x, d = vectors(SHAPE[1] - 1)
    tile.update(x, d)
    counters = tile.tile.state()[0]["counters"]
    assert counters["vector_position_0"] == SHAPE[1] - 1
    assert counters["vector_current_0"] == (1 + len(x)) % 2
    twin = pickle.loads(pickle.dumps(tile))
    assert_same(tile, twin)


def test_random_devices_are_drawn_on_where_weights_are_set():
    """Setting weights starts a schedule anew, but no random numbers."""
    tile = built("random")
    picks = []
    for _ in range(2):
        tile.set_weights(tile.get_weights()[0])
        picks.append([])
        for _ in range(30):
            tile.update(*vectors(1))
            picks[-1].append(tile.tile.get_hidden_update_index())
    assert picks[0] != picks[1]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (BufferedTransferCompound, ChoppedTransferCompound),
        (BufferedTransferCompound, DynamicTransferCompound),
        (ChoppedTransferCompound, DynamicTransferCompound),
    ],
)
def test_two_buffers_of_one_array_are_refused(outer, inner):
    cell = outer(unit_cell_devices=[transfer(inner), devices()[1]])
    with pytest.raises(NotImplementedError, match=r"unit_cell_devices\[0\]"):
        AnalogTile(2, 3, config(cell))


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (BufferedTransferCompound, {}),
        (ChoppedTransferCompound, {}),
        # It writes from its fourth sweep on.
        (DynamicTransferCompound, {"in_chop_prob": 0.5, "noise_gate": False}),
    ],
    ids=["ttv2", "ttv3", "ttv4"],
)
@pytest.mark.parametrize("inner", ["refreshed", "sequential", "ttv1", "ttv3"])
def test_a_write_without_a_rate_moves_no_schedule(cls, fields, inner):
    """A learning rate of 0 does nothing, in a cell that is written to as in a tile."""
    tiles = {}
    for step in (1.0, 0.0):
        cell = transfer(cls, step=step, transfer_lr=50.0, **fields)
        cell.unit_cell_devices[1] = CELLS[inner]
        tiles[step] = AnalogTile(*SHAPE, config(cell), rng=3)
        tiles[step].update(*vectors(5 * SHAPE[1]))
    counters = tiles[0.0].tile.state()[0]["counters"]
    others = tiles[1.0].tile.state()[0]["counters"]
    kind = CELLS[inner].node
    moving = [f"{kind}_updates_1", f"{kind}_choices_1", "position_0_1", "events_0_1"]
    assert [counters[name] for name in moving] == [0, 0, 0, 0]
    assert others[moving[0]] > 0
    # A write is an opportunity, and counts whether there is anything to send or not.
    assert counters[f"{kind}_writes_1"] == others[f"{kind}_writes_1"] > 0
