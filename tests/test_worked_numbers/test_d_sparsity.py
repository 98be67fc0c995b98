"""The share of zeros in the errors of updates: numbers of the reference library, and laws.

Numbers are those that aihwkit 1.1.0 shows (``dump_extra``): ``d_noz`` of the updater over
the outputs, and ``d_sparsity`` of the compounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rpupy import get_num_threads, set_num_threads
from rpupy.configs import (
    ChoppedTransferCompound,
    ConstantStepDevice,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    IdealDevice,
    IOParameters,
    MixedPrecisionCompound,
    NumpyDevice,
    PulseType,
    SingleRPUConfig,
    TransferCompound,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
)
from rpupy.errors import ConfigError
from rpupy.parameters.base import define
from rpupy.tiles import AnalogTile

COMPOUNDS = [ChoppedTransferCompound, DynamicTransferCompound]
PULSED = [
    PulseType.STOCHASTIC_COMPRESSED,
    PulseType.STOCHASTIC,
    PulseType.MEAN_COUNT,
    PulseType.DETERMINISTIC_IMPLICIT,
]
X = [1.0, 0.5, 0.2]


def device(dw_min: float = 0.001) -> ConstantStepDevice:
    return ConstantStepDevice(
        dw_min=dw_min, dw_min_dtod=0, dw_min_std=0, up_down_dtod=0, w_max=1, w_min=-1
    )


def tile_of(cell: Any, lr: float = 0.02, rows: int = 4, **update: Any) -> AnalogTile:
    settings = UpdateParameters(**{"d_sparsity": True, "desired_bl": 10} | update)
    configs = {"device": SingleRPUConfig, "mixed": DigitalRankUpdateRPUConfig}
    cls = configs.get(getattr(cell, "node", "device"), UnitCellRPUConfig)
    tile = AnalogTile(rows, 3, cls(device=cell, update=settings), rng=1)
    tile.set_weights(np.zeros((rows, 3)))
    tile.set_learning_rate(lr)
    return tile


def chopped(cls: Any = ChoppedTransferCompound, **fields: Any) -> Any:
    fields = {"auto_momentum": 0.5, "in_chop_prob": 0.5} | fields
    return cls(unit_cell_devices=[device(), device()], **fields)


def shares(tile: AnalogTile, d: Any, x: Any = None, batch: int = 1) -> list[dict]:
    """What a tile says after each mini-batch."""
    d = np.asarray(d, dtype=np.float32)
    x = np.tile(X, (len(d), 1)) if x is None else np.asarray(x)
    seen = []
    for k in range(0, len(d), batch):
        tile.update(x[k : k + batch], d[k : k + batch])
        seen.append(tile.get_sparsity())
    return seen


def of(seen: list[dict], name: str) -> list[float]:
    return [one[name] for one in seen]


# ---- numbers of the reference library ------------------------------------------------

ERRORS = [[1, 0, 0, 0.5], [1, 1, 1, 1], [0, 0, 0, 0.25], [1, 0.01, 0.02, 0.2]]


@pytest.mark.parametrize("pulse_type", PULSED)
def test_the_last_vector(pulse_type: PulseType) -> None:
    seen = shares(tile_of(device(), pulse_type=pulse_type), ERRORS)
    assert of(seen, "last") == [0.5, 0.0, 0.75, 0.0]
    assert set(seen[0]) == {"last"}


@pytest.mark.parametrize("pulse_type", PULSED)
def test_zeros_are_those_behind_the_rounding(pulse_type: PulseType) -> None:
    rounded = {"res": 0.3, "x_res_implicit": 0.3, "d_res_implicit": 0.3}
    tile = tile_of(device(), 0.001, pulse_type=pulse_type, **rounded)
    d = [[1, 0.1, 0.2, 0.5], [1, 0.1, 0.1, 0.5], [1, 0.1, 0.1, 0.1]]
    assert of(shares(tile, d), "last") == [0.25, 0.5, 0.75]


def test_vectors_without_trains_have_none() -> None:
    """Without managements a vector of zeros has trains, and nothing but zeros."""
    d = [[1, 0, 0, 0.5], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]]
    x = [[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]]
    for managed in ({}, {"update_bl_management": False}):
        seen = shares(tile_of(chopped(), **managed), d, x)
        assert of(seen, "last") == [0.5, 0.0, 0.0, 0.0, 0.25]
        assert of(seen, "d_sparsity") == [0.0, 0.5, 0.5, 0.5, 0.5]
    off = {"update_bl_management": False, "update_management": False}
    seen = shares(tile_of(chopped(), **off), d, x)
    assert of(seen, "last") == [0.5, 1.0, 0.0, 0.75, 0.25]
    assert of(seen, "d_sparsity") == [0.0, 0.5, 0.75, 0.75, 0.75]


@pytest.mark.parametrize("auto_scale", [False, True])
@pytest.mark.parametrize("cls", COMPOUNDS)
def test_the_running_mean_takes_in_the_vector_before(
    cls: Any, auto_scale: bool
) -> None:
    d = [*ERRORS[:3], [0, 0, 0, 0], [1, 0, 0.3, 0.2], [1, 1, 1, 1]]
    seen = shares(tile_of(chopped(cls, auto_scale=auto_scale)), d)
    assert of(seen, "d_sparsity") == [0.0, 0.5, 0.5, 0.625, 0.625, 0.4375]


@pytest.mark.parametrize(
    ("batch", "momentum", "expected"),
    [
        (2, 0.5, [0.5, 0.5625, 0.546875, 0.59765625]),
        (4, 0.9, [0.5062500238418579, 0.5121914744377136]),
    ],
)
def test_the_rate_goes_by_the_mini_batch(
    batch: int, momentum: float, expected: list[float]
) -> None:
    tile = tile_of(chopped(auto_momentum=momentum))
    seen = shares(tile, ERRORS + ERRORS, batch=batch)
    np.testing.assert_allclose(of(seen, "d_sparsity"), expected, rtol=2e-7)
    # The number of vectors in a stretch of the kernel has no say.
    stepwise = tile_of(chopped(auto_momentum=momentum))
    stepwise.tile._stepwise = True
    assert shares(stepwise, ERRORS + ERRORS, batch=batch) == seen


# ---- compounds within others ---------------------------------------------------------


def test_writes_count_their_own() -> None:
    """A column is written in each transfer; its zeros are those of the fast array."""
    cell = TransferCompound(
        unit_cell_devices=[device(), chopped()],
        units_in_mbatch=False,
        transfer_every=1,
        transfer_forward=IOParameters(is_perfect=True),
        transfer_update=UpdateParameters(d_sparsity=True),
        scale_transfer_lr=False,
    )
    tile = tile_of(cell, 0.1, pulse_type=PulseType.DETERMINISTIC_IMPLICIT)
    # One row in four gets pulses, in all columns: each write has a share of 3/4.
    seen = shares(tile, [[1, 0, 0, 0]] * 4, [[1, 1, 1]] * 4)
    assert of(seen, "d_sparsity_1") == [0.0, 0.75, 0.75, 0.75]
    assert of(seen, "last") == [0.75] * 4
    # The writes alone, and the update alone.
    tile = tile_of(cell, 0.1, d_sparsity=False)
    assert set(shares(tile, ERRORS)[0]) == {"d_sparsity_1"}
    cell.transfer_update.d_sparsity = False
    assert set(shares(tile_of(cell), ERRORS)[0]) == {"last"}


def test_rows_of_a_mixed_precision_compound() -> None:
    """A row is written by itself: one of four errors is not 0, or there is no train."""
    tile = tile_of(MixedPrecisionCompound(device=chopped()), 0.1)
    seen = shares(tile, [[1, 0, 0, 0]] * 3)
    # The first mini-batch is not written. Then rows 0 to 3, of which the first has steps.
    assert of(seen, "d_sparsity") == [0.0, 0.75, 0.75]
    assert set(seen[0]) == {"d_sparsity"}
    assert tile_of(MixedPrecisionCompound(device=device())).get_sparsity() == {}


def test_a_mean_needs_trains_of_its_own_compound() -> None:
    """As running maxima do: pulses of a cell above are none of the compound's."""
    cell = VectorUnitCell(unit_cell_devices=[chopped(), chopped()])
    assert set(shares(tile_of(cell), ERRORS)[0]) == {"last"}


# ---- mixed precision -----------------------------------------------------------------


def quantised(n_x_bins: int, n_d_bins: int) -> MixedPrecisionCompound:
    return MixedPrecisionCompound(
        device=device(),
        n_x_bins=n_x_bins,
        n_d_bins=n_d_bins,
        stoc_round_x=False,
        stoc_round_d=False,
        compute_sparsity=True,
    )


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ((5, 3), [1 / 6, 1 / 4, 1 / 6, 1 / 8, 0.3]),
        ((4, 4), [0.0, 1 / 6, 1 / 9, 1 / 12, 4 / 15]),
    ],
)
def test_zeros_of_both_sides_of_a_mixed_precision_compound(
    bins: tuple[int, int], expected: list[float]
) -> None:
    x = [[1, 0.3, 0.2], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]]
    d = [[1, -0.4], [1, 0], [1, 1], [1, 1], [0, 0]]
    tile = tile_of(quantised(*bins), 0.1, rows=2, d_sparsity=False)
    seen = shares(tile, d, x)
    np.testing.assert_allclose(of(seen, "avg_sparsity"), expected, rtol=1e-6, atol=1e-9)
    # However the vectors are split; and a new weight starts anew.
    whole = tile_of(quantised(*bins), 0.1, rows=2, d_sparsity=False)
    assert shares(whole, d, x, batch=5) == seen[-1:]
    tile.set_weights(np.zeros((2, 3)))
    assert tile.get_sparsity() == {"avg_sparsity": 0.0}


@pytest.mark.parametrize("bins", [(5, 0), (0, 3)])
def test_sparsity_is_that_of_levels(bins: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="n_x_bins and n_d_bins above 0"):
        tile_of(quantised(*bins))


# ---- laws ----------------------------------------------------------------------------


def made_for(number: int, rows: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    x, d = rng.uniform(-1, 1, (batch, 3)), rng.uniform(-1, 1, (batch, rows))
    d[rng.random(d.shape) < 0.4] = 0
    x[rng.random(batch) < 0.2] = 0
    return x.astype(np.float32), d.astype(np.float32)


CELLS: dict[str, Any] = {
    "single": device(),
    "ttv3": chopped(),
    "ttv4": chopped(DynamicTransferCompound, auto_scale=True, in_chop_prob=0.2),
    "vector": VectorUnitCell(unit_cell_devices=[device(), device(0.002)]),
    "written": TransferCompound(
        unit_cell_devices=[device(), chopped()],
        units_in_mbatch=False,
        transfer_columns=False,
        transfer_update=UpdateParameters(d_sparsity=True, res=0.1, sto_round=True),
    ),
    "mixed": MixedPrecisionCompound(
        device=chopped(),
        n_rows_per_transfer=3,
        n_x_bins=5,
        n_d_bins=7,
        compute_sparsity=True,
    ),
}
ROUNDED = {"res": 0.1, "sto_round": True}


@pytest.mark.parametrize("name", CELLS)
def test_no_weight_depends_on_it(name: str) -> None:
    on, off = (
        tile_of(CELLS[name], d_sparsity=flag, **ROUNDED) for flag in (True, False)
    )
    for number in range(3):
        batch = made_for(number, 4, 5)
        on.update(*batch)
        off.update(*batch)
    (_, here), (_, there) = on.tile.state(), off.tile.state()
    assert set(there) <= set(here)
    for key, array in there.items():
        assert np.array_equal(here[key], array), key
    if name not in ("written", "mixed"):
        assert off.get_sparsity() == {}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("rows", [4, 70])
def test_cuda_gives_the_same_bits(name: str, rows: int) -> None:
    pytest.importorskip("rpupy.rpu_base._cuda_host")
    tile = tile_of(CELLS[name], rows=rows, **ROUNDED)
    there = tile._to_backend("cuda_host")
    for number, batch in enumerate((1, 5, 40)):
        for one in (tile, there):
            one.update(*made_for(number, rows, batch))
        found = tile.get_sparsity()
        assert found and there.get_sparsity() == found
    back = there.cpu()
    assert back.get_sparsity() == tile.get_sparsity()


@pytest.mark.parametrize("name", CELLS)
def test_it_is_saved_with_the_tile(name: str, tmp_path: Any) -> None:
    tile = tile_of(CELLS[name], **ROUNDED)
    tile.update(*made_for(1, 4, 6))
    tile.save(tmp_path / "tile.npz")
    loaded = AnalogTile.load(tmp_path / "tile.npz")
    for other in (loaded, tile.copy()):
        assert other.get_sparsity() == tile.get_sparsity()
        one = tile.copy()
        for each in (one, other):
            each.update(*made_for(2, 4, 6))
        assert one.get_sparsity() == other.get_sparsity()


def test_threads_and_splits_leave_the_last_share_alone() -> None:
    x, d = made_for(3, 70, 40)
    whole, parts = (tile_of(device(), rows=70, **ROUNDED) for _ in range(2))
    before = get_num_threads()
    set_num_threads(3)
    try:
        whole.update(x, d)
    finally:
        set_num_threads(before)
    for k in range(0, 40, 7):
        parts.update(x[k : k + 7], d[k : k + 7])
    assert 0.0 < whole.get_sparsity()["last"] < 1.0
    assert whole.get_sparsity() == parts.get_sparsity()


def test_new_weights_start_a_compound_anew() -> None:
    single, compound = tile_of(device()), tile_of(chopped())
    for tile in (single, compound):
        shares(tile, [ERRORS[0], ERRORS[2]])
        tile.set_weights(np.zeros((4, 3)))
    assert single.get_sparsity() == {"last": 0.75}
    assert compound.get_sparsity() == {"last": 0.0, "d_sparsity": 0.0}


def test_calls_that_do_nothing_change_nothing() -> None:
    tile = tile_of(chopped())
    (before,) = shares(tile, ERRORS[:1])
    with pytest.raises(ValueError, match="finite"):
        tile.update(X, [1, np.nan, 0, 0])
    tile.update(np.zeros((0, 3)), np.zeros((0, 4)))
    tile.set_learning_rate(0.0)
    tile.update(X, [0, 0, 0, 1])
    assert tile.get_sparsity() == before == {"last": 0.5, "d_sparsity": 0.0}


def test_updates_without_pulses_have_none() -> None:
    for pulse_type in (PulseType.NONE, PulseType.NONE_WITH_DEVICE):
        tile = tile_of(device(), pulse_type=pulse_type)
        assert shares(tile, ERRORS[:1]) == [{}]
        unused = {item.field for item in tile.explain().unused}
        assert "update.d_sparsity" in unused
    assert shares(tile_of(IdealDevice()), ERRORS[:1]) == [{}]


@define
class Broken(NumpyDevice):
    """Raises where weights are large."""

    def pulse(self, w: Any, direction: Any, cell: Any, noise: Any) -> Any:
        if np.abs(w).max() > 0.005:
            raise RuntimeError("the law fails")
        return w + 0.001 * direction


def test_devices_of_users_have_it() -> None:
    tile = tile_of(Broken(), 0.002)
    assert of(shares(tile, ERRORS[:3]), "last") == [0.5, 0.0, 0.75]
    tile.set_learning_rate(1.0)
    with pytest.raises(RuntimeError, match="the law fails"):
        tile.update(X, ERRORS[1])
    assert tile.get_sparsity() == {"last": 0.75}


def test_a_split_is_named_where_it_matters() -> None:
    def named(cell: Any) -> set[str]:
        return {field for field, _ in tile_of(cell).rpu_config.explain().batch_split}

    assert "update.d_sparsity" in named(chopped())
    assert "update.d_sparsity" not in named(device())
    assert "update.d_sparsity" not in named(CELLS["vector"])
