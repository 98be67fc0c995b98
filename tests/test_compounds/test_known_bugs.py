"""Bugs that users of the reference simulator have hit in its cells and compounds, as tests.

As in `tests/test_known_bugs.py`, each test names the thread and holds the property that
would have caught it, on every backend.  Resuming and copies (609, PR 540), one vector
and then many (PR 763) and upkeep of sums are in `test_promises.py`.
"""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    IOParameters,
    PulseType,
    TransferCompound,
    UpdateParameters,
)
from rpupy.tiles import AnalogTile

sys.path.insert(0, str(Path(__file__).parent))
from cells import ALL, CELLS, SHAPE, config

PERFECT = IOParameters(is_perfect=True)


def numbers(shape, seed=0, size=1.0):
    values = np.random.default_rng(seed).uniform(-size, size, shape)
    return values.astype(np.float32)


@pytest.fixture
def tile_of(any_backend):
    """What builds a tile of a cell on each backend in turn."""

    def build(cell, *flags, shape=SHAPE):
        full = config(cell)
        full.forward = full.backward = PERFECT
        return AnalogTile(*shape, full, *flags, rng=3)._to_backend(any_backend)

    return build


def fingerprint(tile):
    meta, arrays = tile.tile.state()
    meta.pop("events")
    return repr(meta), {name: array.tobytes() for name, array in arrays.items()}


def leaves(cell):
    """Suffixes of the devices in a cell."""
    if cell.node == "mixed":
        inner = cell.device
        return leaves(inner) if hasattr(inner, "node") else [""]
    found = []
    for k, member in enumerate(cell.members()):
        inner = leaves(member) if hasattr(member, "node") else [""]
        found += [f"{suffix}_{k}" for suffix in inner]
    return found


def stored(hidden, suffix, tile):
    """Weights of a device, as bounds and pulses see them."""
    shown = hidden.get(f"hidden_weights{suffix}", tile.tile.get_weights())
    return hidden.get(f"persistent_weights{suffix}", shown)


@pytest.mark.parametrize("name", ALL)
def test_convolution_like_updates(name, tile_of):
    """642, PR 732: more vectors than are taken together, and features first."""
    tile, turned = tile_of(ALL[name]), tile_of(ALL[name], False, True, True)
    x, d = numbers((3, 23, 17, SHAPE[1]), 1), numbers((3, 23, 17, SHAPE[0]), 2, 0.3)
    x, d = x * (numbers(x.shape, 3) > 0.5), d * (numbers(d.shape, 4) > 0.5)
    before = tile.tile.get_weights()
    tile.update(x, d)
    turned.update(np.moveaxis(x, -1, 0), np.moveaxis(d, -1, 0))
    assert fingerprint(tile) == fingerprint(turned)
    assert tile.tile.state()[0]["counters"]["update"] == 1173
    if "mixed" not in name:  # its first write is due behind the next mini-batch
        assert (tile.tile.get_weights() != before).mean() > 0.1


@pytest.mark.parametrize("name", CELLS)
def test_batches_that_grow_and_shrink(name, tile_of):
    """662, PR 132, PR 294: memory and sizes of an earlier mini-batch were kept."""
    tile, fresh = tile_of(CELLS[name]), tile_of(CELLS[name])
    sizes = [1, 40, 3, 0, 90, 1, 2]
    x, d = numbers((sum(sizes), SHAPE[1]), 1), numbers((sum(sizes), SHAPE[0]), 2)
    for part in zip(
        np.split(x, np.cumsum(sizes)), np.split(d, np.cumsum(sizes)), strict=True
    ):
        tile.update(*part)
    fresh.update(x, d)
    assert fingerprint(tile) == fingerprint(fresh)


@pytest.mark.parametrize("name", ALL)
def test_bounds_hold_on_every_column_of_every_device(name, tile_of):
    """599, 604, 635: weights far outside the bounds in the last column."""
    tile = tile_of(ALL[name])
    x, d = numbers((8, SHAPE[1]), 1, 9.0), numbers((8, SHAPE[0]), 2, 9.0)
    tile.set_learning_rate(1.0)
    calls = [
        lambda: tile.set_weights(numbers(SHAPE, 3, 50.0)),
        lambda: tile.update(x, d),
        lambda: tile.update(-x, d),
        tile.diffuse_weights,
        tile.reset,
        lambda: tile.decay_weights(-50.0),
        lambda: tile.clip_weights(20.0),
    ]
    for call in calls * 2:
        call()
        hidden = tile.get_hidden_parameters()
        for suffix in leaves(ALL[name]):
            weights = stored(hidden, suffix, tile)
            assert (weights <= hidden[f"max_bound{suffix}"]).all()
            assert (weights >= hidden[f"min_bound{suffix}"]).all()


@pytest.mark.parametrize("name", ALL)
def test_what_is_set_is_there_and_products_see_it(name, tile_of):
    """PR 313, 303, 106, 356, 417: planes were set, and the weights did not follow."""
    tile = tile_of(ALL[name])
    tile.update(numbers((30, SHAPE[1]), 1), numbers((30, SHAPE[0]), 2))
    hidden = tile.get_hidden_parameters()
    assert list(hidden) == tile.tile.get_hidden_parameter_names()
    for number, plane in enumerate(hidden):
        if plane.startswith("drift_nu"):
            continue  # these devices do not drift
        changed = hidden[plane] * np.float32(0.5) + numbers(SHAPE, number, 0.001)
        tile.set_hidden_parameters({**tile.get_hidden_parameters(), plane: changed})
        now = tile.get_hidden_parameters()
        # Weights behind write noise are shown anew, and bounds hold for the others.
        if "weights" not in plane or "chi" in plane:
            np.testing.assert_array_equal(now[plane], changed, err_msg=plane)
        seen = tile.tile.get_weights()
        np.testing.assert_array_equal(tile.forward(np.eye(SHAPE[1])).T, seen)
        cell = ALL[name]
        if cell.node in ("vector", "one_sided", "transfer", "buffered"):
            total = sum(
                np.float64(gamma) * now[f"hidden_weights_{k}"]
                for k, gamma in enumerate(cell.gammas())
            )
            np.testing.assert_allclose(seen, total, rtol=1e-5, atol=1e-6)
    # The slow array, or every device of a cell, really counts.
    last = leaves(ALL[name])[-1]
    key = f"hidden_weights{last}" if last else None
    if key and f"persistent_weights{last}" not in now:
        before = tile.tile.get_weights()
        moved = {**now, key: now[key] * np.float32(0.5)}
        tile.set_hidden_parameters(moved)
        assert (tile.tile.get_weights() != before).mean() > 0.5


@pytest.mark.parametrize("units_in_mbatch", [True, False])
@pytest.mark.parametrize("columns", [True, False])
def test_schedules_of_transfers_by_counting(columns, units_in_mbatch, tile_of):
    """PR 174, 132: periods below a mini-batch, a modulus of 0, transfers that were lost."""
    device = ConstantStepDevice(dw_min=0.01, dw_min_std=0.0)
    counts = UpdateParameters(pulse_type=PulseType.DETERMINISTIC_IMPLICIT)
    shape = (2, 3)
    slices = shape[1] if columns else shape[0]
    for batch, every, reads in itertools.product(
        (1, 2, 3, 5), (0.0, 0.3, 0.5, 1.0, 2.0, 2.5, 7.0), (1, 2, 3)
    ):
        cell = TransferCompound(
            unit_cell_devices=[device, device],
            transfer_every=every,
            units_in_mbatch=units_in_mbatch,
            n_reads_per_transfer=reads,
            transfer_columns=columns,
            transfer_forward=PERFECT,
            transfer_update=counts,
            scale_transfer_lr=False,
        )
        tile = tile_of(cell, shape=shape)
        tile.set_weights(np.zeros(shape))
        if units_in_mbatch:
            period = math.ceil(np.float32(every) * batch)
        else:
            period = math.floor(every + 0.5)
        moved = np.zeros(slices, dtype=int)
        vector = at = events = 0
        for _ in range(4):
            tile.update(np.ones((batch, 3)), np.ones((batch, 2)))
            for _ in range(batch):
                vector += 1
                if period and vector % period == 0:
                    events += 1
                    for _ in range(min(reads, slices)):
                        moved[at] += 1
                        at = (at + 1) % slices
        has = tile.tile.state()[0]["counters"]
        assert has["events_0"] == events
        assert has["reads_0"] == has["writes_1"] == moved.sum()
        assert has["position_0"] == at
        # Slices that were moved have been written to, and the others have not.
        slow = tile.get_hidden_parameters()["hidden_weights_1"]
        written = (slow != 0).all(axis=0 if columns else 1)
        np.testing.assert_array_equal(written, moved > 0)


@pytest.mark.parametrize(
    "name", ["vector", "fixed", "one_sided", "ttv1", "ttv4", "ten"]
)
def test_update_of_one_crosspoint_changes_only_it(name, tile_of):
    """PR 447: an index was wrong in one-sided cells."""
    for i, j in ((0, 0), (3, 18), (4, 7)):
        tile = tile_of(ALL[name])
        tile.set_learning_rate(1.0)
        before = tile.get_hidden_parameters()
        x, d = np.zeros(SHAPE[1]), np.zeros(SHAPE[0])
        x[j] = d[i] = 1.0
        tile.update(x, d)
        elsewhere = np.ones(SHAPE, dtype=bool)
        elsewhere[i, j] = False
        moved = False
        for plane, values in tile.get_hidden_parameters().items():
            if plane.startswith(("running", "past", "buffered")):
                continue  # statistics of the slice that was read
            differs = values != before[plane]
            assert not differs[elsewhere].any(), plane
            moved = moved or differs[i, j]
        assert moved


@pytest.mark.parametrize("name", ALL)
def test_decay_of_a_cell_is_that_of_its_devices(name, tile_of):
    """PR 463, 755: decay did not reach the devices inside, or lost the reset value."""
    tile = tile_of(ALL[name])
    tile.update(numbers((30, SHAPE[1]), 1), numbers((30, SHAPE[0]), 2))
    before = tile.get_hidden_parameters()
    expected = {}
    for suffix in leaves(ALL[name]):
        bias = before[f"reset_bias{suffix}"]
        w = stored(before, suffix, tile)
        scale = before[f"decay_scales{suffix}"]
        expected[suffix] = np.clip(
            bias + (w - bias) * scale,
            before[f"min_bound{suffix}"],
            before[f"max_bound{suffix}"],
        )
    tile.decay_weights()
    after = tile.get_hidden_parameters()
    for suffix, weights in expected.items():
        found = stored(after, suffix, tile)
        np.testing.assert_allclose(found, weights, rtol=1e-5, atol=1e-7)
    for plane, values in before.items():
        # Buffers and gradients are digital.
        if plane.startswith(("buffered", "running", "past")) or "chi" in plane:
            np.testing.assert_array_equal(after[plane], values)


@pytest.mark.parametrize("name", ALL)
def test_garbage_in_terminates(name, tile_of):
    """642: what is not finite, or huge, kept a call from ending."""
    tile = tile_of(ALL[name])
    before = fingerprint(tile)
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="must be finite"):
            tile.update(np.full(SHAPE[1], value), np.ones(SHAPE[0]))
    assert fingerprint(tile) == before
    for value in (1e38, -3e38, 1e-45, 1e-39, 0.0):
        for rate in (0.1, 1e-30):
            tile.set_learning_rate(rate)
            tile.update(np.full((3, SHAPE[1]), value), np.ones((3, SHAPE[0])))
        for plane in tile.get_hidden_parameters().values():
            assert np.isfinite(plane).all()
        assert np.isfinite(tile.tile.get_weights()).all()


def test_weights_of_any_strides(tile_of):
    """PR 388: weights that are not contiguous were set wrongly."""
    weights = numbers(SHAPE, 1, 0.1)
    wide = np.zeros((10, 57), dtype=np.float32)
    wide[::-2, ::3] = weights
    for name in ("vector", "one_sided", "ttv1_mbatch", "mixed"):
        tiles = [tile_of(ALL[name]) for _ in range(4)]
        layouts = (weights, np.asfortranarray(weights), wide[::-2, ::3])
        for tile, given in zip(tiles, (*layouts, weights.astype(">f8")), strict=True):
            tile.set_weights(given)
        assert len({repr(fingerprint(tile)) for tile in tiles}) == 1
