"""Events: counted against hand counts and other counters, and turned into costs."""

from __future__ import annotations

import copy
import itertools
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rpupy
from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    IOParametersIRDropT,
    NoiseAggregation,
    NoiseManagementType,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.configs.devices import NumpyDevice
from rpupy.errors import StateError
from rpupy.events import EventCosts, EventCounts, Events
from rpupy.parameters import define
from rpupy.rpu_base import cuda
from rpupy.rpu_base.compound import _depth_first
from rpupy.tiles import AnalogTile, FloatingPointTile, load

sys.path.insert(0, str(Path(__file__).parent / "test_compounds"))
from cells import ALL, SHAPE, config

needs_host = pytest.mark.skipif(
    not cuda.is_host_compiled(), reason="built with RPUPY_CUDA_HOST=0"
)


def vectors(batch: int, shape: tuple[int, int] = SHAPE, seed: int = 5) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(0.2, 0.6, (batch, shape[1])).astype(np.float32)
    d = rng.normal(-0.1, 0.6, (batch, shape[0])).astype(np.float32)
    x[batch // 2] = 0.0
    return x, d


def host_twin(tile: Any) -> Any:
    return tile._to_backend("cuda_host")


# ---- pulses --------------------------------------------------------------------------

UPDATES: dict[str, dict[str, Any]] = {
    "default": {},
    "no_management": {"update_bl_management": False, "update_management": False},
    "long": {"desired_bl": 100, "update_bl_management": False},
    "two_words": {"desired_bl": 62, "fixed_bl": False, "update_bl_management": False},
    "coarse": {"res": 0.1, "sto_round": True},
    "signs_apart": {"pulse_type": PulseType.STOCHASTIC},
    "mean_count": {"pulse_type": PulseType.MEAN_COUNT, "desired_bl": 40},
    "implicit": {"pulse_type": PulseType.DETERMINISTIC_IMPLICIT, "desired_bl": 50},
    "implicit_coarse": {
        "pulse_type": PulseType.DETERMINISTIC_IMPLICIT,
        "x_res_implicit": 0.05,
        "d_res_implicit": 0.05,
    },
    "aggregated": {"noise_aggregation": NoiseAggregation.BATCH},
    "aggregated_counts": {
        "noise_aggregation": NoiseAggregation.BATCH,
        "pulse_type": PulseType.MEAN_COUNT,
    },
}


@define
class Law(NumpyDevice):
    """Constant steps, written in Python."""

    def pulse(self, w: Any, direction: Any, cell: Any, noise: Any) -> Any:
        """One pulse."""
        up = cell["dwmin_up"] * (1 + noise)
        return np.where(direction > 0, w + up, w - up)


def counted_tile(
    update: dict[str, Any], shape: Any = (5, 70), device: Any = None
) -> Any:
    device = device or ConstantStepDevice(dw_min=0.01)
    device.count_pulses = True
    settings = SingleRPUConfig(device=device, update=UpdateParameters(**update))
    settings.forward.out_bound = 2.0  # for bound management to act
    return AnalogTile(*shape, settings, rng=3)


def pulses_of(row: EventCounts) -> list[int]:
    return [row.pulses_down, row.pulses_up]


@pytest.mark.parametrize("lr", [0.05, -0.3])
@pytest.mark.parametrize("name", UPDATES)
def test_pulses_are_those_of_the_pulse_counters(name: str, lr: float) -> None:
    tile = counted_tile(UPDATES[name])
    tile.set_learning_rate(lr)
    for batch in (1, 30):
        tile.update(*vectors(batch, tile.shape))
    row = tile.events()["weights"]
    assert pulses_of(row) == tile.get_pulse_counters().sum(axis=(1, 2)).tolist()
    assert min(pulses_of(row)) > 0
    assert row.pulses == row.pulses_up + row.pulses_down


@pytest.mark.parametrize("name", UPDATES)
def test_a_device_in_python_counts_as_a_kernel_does(name: str) -> None:
    if "aggregation" in str(UPDATES[name]):
        pytest.skip("no such form")
    tiles = [counted_tile(UPDATES[name], (3, 5), d) for d in (None, Law(dw_min=0.01))]
    for tile in tiles:
        tile.update(*vectors(7, tile.shape))
    one, other = (tile.events()["weights"] for tile in tiles)
    assert pulses_of(one) == pulses_of(other)
    assert one.slots == other.slots > 0


def test_slots_are_those_of_the_trains() -> None:
    plain = {"update_bl_management": False, "update_management": False}
    tile = counted_tile({**plain, "desired_bl": 40})
    x, d = vectors(6, tile.shape)
    tile.update(x, d)
    assert tile.events()["weights"].slots == 5 * 40  # one vector is zeros
    tile.update(x, np.zeros_like(d))
    assert tile.events()["weights"].slots == 5 * 40

    managed = counted_tile({"desired_bl": 31})
    managed.set_learning_rate(0.02)
    managed.update(x, d)
    needed = np.ceil(0.02 * abs(x).max(1) * abs(d).max(1) / np.float32(0.01))
    assert managed.events()["weights"].slots == np.minimum(needed, 31).sum()


@pytest.mark.parametrize(
    "pulse_type", [PulseType.NONE, PulseType.NONE_WITH_DEVICE], ids=str
)
def test_exact_updates_have_no_pulses(pulse_type: PulseType) -> None:
    tile = counted_tile({"pulse_type": pulse_type}, SHAPE)
    tile.update(*vectors(3))
    tile.decay_weights()
    tile.reset()
    assert tile.events()["weights"] == EventCounts(
        name="weights", kind="ConstantStepDevice"
    )


def test_threads_and_parts_of_a_batch_do_not_matter() -> None:
    shape = (70, 90)
    before = rpupy.get_num_threads()
    found = []
    x, d = vectors(40, shape)
    try:
        for number, parts in itertools.product((1, 2, 5), ((40,), (1, 7, 32))):
            rpupy.set_num_threads(number)
            for name in ("default", "mean_count", "aggregated"):
                tile = counted_tile(UPDATES[name], shape)
                tile.set_weights(np.full(shape, 0.5))
                ends = np.cumsum(parts)[:-1]
                for part in zip(np.split(x, ends), np.split(d, ends), strict=True):
                    tile.update(*part)
                for part in np.split(x, ends):
                    tile.forward(part)
                found.append((name, tile.events()))
    finally:
        rpupy.set_num_threads(before)
    # How a batch is split decides what shares a draw of noise, and so the weights.
    for name in ("default", "mean_count"):
        assert len({str(events) for own, events in found if own == name}) == 1
    assert found[0][1]["forward"].adc > 40 * 70


# ---- products ------------------------------------------------------------------------


def product_tile(forward: Any, weights: Any, **fields: Any) -> Any:
    settings = SingleRPUConfig(
        device=IdealDevice(),
        forward=forward,
        update=UpdateParameters(pulse_type=PulseType.NONE),
        **fields,
    )
    weights = np.asarray(weights, dtype=np.float32)
    tile = AnalogTile(*weights.shape, settings, rng=1)
    tile.set_weights(weights)
    return tile


QUIET = {"out_noise": 0.0, "inp_res": 0.0, "out_res": 0.0, "out_bound": 1.0}


@pytest.mark.parametrize(
    ("bound", "noise", "rounds"),
    [
        ("NONE", "ABS_MAX", [1, 1]),
        # The output is 10 or 0.5 at full scale: it takes four halvings, or none.
        ("ITERATIVE", "ABS_MAX", [5, 1]),
        # The worst case for weights of at most 0.6 is no smaller scale.
        ("ITERATIVE_WORST_CASE", "ABS_MAX", [6, 1]),
        # The input is clipped to 1, twice what it is then divided by.
        ("ITERATIVE", "NONE", [5, 1]),
    ],
)
@needs_host
def test_rounds_of_bound_management(bound: str, noise: str, rounds: list[int]) -> None:
    io = IOParameters(
        bound_management=BoundManagementType[bound],
        noise_management=NoiseManagementType[noise],
        **QUIET,
    )
    tile = product_tile(io, [[10.0, 0.5, 0.0], [0.0, 0.5, 0.0]])
    x = np.eye(3, dtype=np.float32)[:2]
    there = host_twin(tile)
    for one in (tile, there):
        for number, vector in zip(rounds, x, strict=True):
            one.reset_events()
            one.forward(vector)
            row = one.events()["forward"]
            assert (row.reads, row.dac, row.adc) == (number, 3 * number, 2 * number)
        one.reset_events()
        one.eval().forward(np.repeat(x, 5, axis=0))
        assert one.events()["forward"].reads == 5 * sum(rounds)
        one.backward(np.ones((4, 2)))
        row = one.events()["backward"]
        assert (row.reads, row.dac, row.adc) == (4, 4 * 2, 4 * 3)


PASSES = {
    "separate": (IOParameters(mv_type=AnalogMVType.POS_NEG_SEPARATE), 2, 1),
    "digital_sum": (
        IOParameters(mv_type=AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM),
        2,
        2,
    ),
    "split": (
        IOParametersIRDropT(mv_type=AnalogMVType.SPLIT_MODE, inp_res=1 / (2**7 - 2)),
        2,
        2,
    ),
    "bits": (
        IOParametersIRDropT(mv_type=AnalogMVType.BIT_WISE, inp_res=1 / (2**7 - 2)),
        6,
        6,
    ),
}


@pytest.mark.parametrize("name", PASSES)
@needs_host
def test_passes_over_the_array(name: str) -> None:
    io, passes, conversions = PASSES[name]
    io = copy.deepcopy(io)
    io.bound_management = BoundManagementType.NONE
    tile = product_tile(io, np.full((2, 3), 0.1))
    for one in (tile, host_twin(tile)):
        one.forward(np.ones((5, 3)))
        row = one.events()["forward"]
        assert row.reads == 5 * passes
        assert row.dac == 5 * passes * 3
        assert row.adc == 5 * conversions * 2


@needs_host
def test_what_never_reaches_the_array_is_not_read() -> None:
    x = np.ones((4, 3), dtype=np.float32)
    x[1] = 0.0
    x[2, 0] = np.nan
    tile = product_tile(IOParameters(**QUIET), np.full((2, 3), 0.1))
    for one in (tile, host_twin(tile)):
        one.forward(x)
        assert one.events()["forward"].reads == 2


def test_exact_products_convert_nothing() -> None:
    ideal = IOParameters(mv_type=AnalogMVType.IDEAL)
    tiles = [
        product_tile(IOParameters(is_perfect=True), np.ones((2, 3))),
        product_tile(ideal, np.ones((2, 3))),
        FloatingPointTile(2, 3, FloatingPointRPUConfig(), rng=0),
    ]
    for tile in tiles:
        tile.forward(np.ones((7, 3)))
        row = tile.events()["forward"]
        assert (row.reads, row.dac, row.adc) == (7, 0, 0)


@needs_host
def test_looking_and_failing_count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    here = counted_tile({}, (2, 3))
    for tile in (here, host_twin(here)):
        tile.forward(np.ones(3))
        tile.update(np.ones(3), np.ones(2))
        before = tile.events()
        tile.trace(np.ones(3))
        tile.explain()
        str(tile)
        tile.get_weights()
        tile.forward(np.ones((0, 3)))
        with pytest.raises(ValueError, match="out"):
            tile.forward(np.ones(3), out=np.ones(3, dtype=np.float32))
        with pytest.raises(ValueError, match="finite"):
            tile.update([1, 2, np.nan], [1, 1])
        tile.set_learning_rate(0.0)
        tile.update(np.ones(3), np.ones(2))
        assert tile.events() == before
        # Scales fail after the product was there.
        monkeypatch.setattr(tile, "_plain", False)
        monkeypatch.setattr(tile, "_finish_forward", lambda y: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tile.forward(np.ones((4, 3)))
        with pytest.raises(ZeroDivisionError):
            tile.forward(np.ones((0, 3)))
        assert tile.events() == before


# ---- cells ---------------------------------------------------------------------------


def leaves(cell: Any) -> list[Any]:
    if not hasattr(cell, "members"):
        return [cell]
    return [leaf for member in cell.members() for leaf in leaves(member)]


def cell_tile(name: str, **fields: Any) -> Any:
    settings = config(copy.deepcopy(ALL[name]))
    for device in leaves(settings.device):
        device.count_pulses = True
    for field, value in fields.items():
        setattr(settings.device, field, value)
    tile = AnalogTile(*SHAPE, settings, rng=3)
    tile.set_learning_rate(0.05)
    return tile


@pytest.mark.parametrize("name", ALL)
def test_the_parts_of_cells(name: str) -> None:
    tile = cell_tile(name)
    batches = (4, 29)
    for batch in batches:
        tile.update(*vectors(batch))
    events = tile.events()
    counters = tile.tile._counters
    by_node = list(zip(_depth_first(tile.tile._root), events[2:], strict=True))
    devices = [row for node, row in by_node if node.plane is not None]
    found = np.array([pulses_of(row) for row in devices]).ravel()
    expected = tile.get_pulse_counters().sum(axis=(1, 2))
    assert found.tolist() == expected.tolist() and expected.any()
    for node, row in by_node:
        # Reads of slices have one round each, but where bound management has its way.
        reads = counters[node.counter("reads")]
        more = name == "refreshed_noisy_inputs"
        # Positive and negative inputs go one after the other, and are converted together.
        passes = 2 if name in ("ttv3_rows_lines", "refreshed_lines") else 1
        rounds = row.reads // passes
        assert row.reads == row.dac
        assert rounds > reads or not reads if more else rounds == reads
        assert row.adc == rounds * row.adc_lines
        assert row.adc_lines in SHAPE or row.reads == 0
        assert row.writes == 0 or row.slots >= row.writes
        assert row.transfers <= counters[node.counter("events")]
        if node.plane is None:
            assert row.pulses == row.slots == 0
    refreshes = {"refreshed": 33 // 3, "refreshed_mbatch": 2, "one_sided": 0}
    if name in refreshes:
        assert events["weights"].refreshes == refreshes[name]


def test_transfers_by_their_schedule() -> None:
    tile = cell_tile("ttv1")  # every second vector, three columns
    tile.update(*vectors(29))
    first, second = tile.events()["hidden_weights_0"], tile.events()["hidden_weights_1"]
    assert (first.transfers, first.reads, first.writes) == (14, 42, 0)
    assert (first.dac, first.adc) == (42, 42 * SHAPE[0])
    assert (second.transfers, second.reads, second.writes) == (0, 0, 42)
    # An update of the fast array has one train a vector, and one vector is zeros.
    assert 0 < first.slots <= 28 * 31

    rows = cell_tile("ttv1_rows")  # after every vector, two rows
    rows.update(*vectors(29))
    first = rows.events()["hidden_weights_0"]
    assert (first.transfers, first.reads, first.dac) == (29, 58, 58)
    assert first.adc == 58 * SHAPE[1]

    idle = cell_tile("ttv1", transfer_lr=0.0)
    idle.update(*vectors(29))
    assert idle.events().total("transfers") == idle.events().total("reads") == 0


def test_mixed_precision_writes_rows() -> None:
    tile = cell_tile("mixed_rows")  # after each mini-batch, two rows of both devices
    for _ in range(4):
        tile.update(*vectors(3))
    events = tile.events()
    transfers = events["hidden_weights_chi"].transfers
    assert transfers == 3  # the first comes one mini-batch late
    # A row without a whole step sends no train; both devices get the same ones.
    first, second = events["hidden_weights_0"], events["hidden_weights_1"]
    assert 0 < first.writes == second.writes <= 2 * transfers
    assert events.total("reads") == 0


def test_rounds_of_reads_count() -> None:
    cell = copy.deepcopy(ALL["refreshed"])
    cell.refresh_forward = IOParameters(
        out_bound=0.05, out_noise=0.0, bound_management=BoundManagementType.ITERATIVE
    )
    tile = AnalogTile(*SHAPE, config(cell), rng=3)
    tile.set_weights(np.full(SHAPE, 0.3))
    tile.update(*vectors(3))
    events = tile.events()
    plus, minus = events["hidden_weights_1"], events["hidden_weights_0"]
    assert events["weights"].refreshes == 1
    # Every column of the one that holds 0.3 is halved at least twice, to 0.075.
    assert plus.reads >= 3 * SHAPE[1] and minus.reads >= SHAPE[1]
    assert plus.adc == plus.reads * SHAPE[0] and plus.dac == plus.reads


# ---- state ---------------------------------------------------------------------------


def busy_tile() -> Any:
    tile = counted_tile({}, (3, 4))
    tile.forward(np.ones((2, 4)))
    tile.backward(np.ones((3, 3)))
    tile.update(*vectors(5, (3, 4)))
    return tile


def test_events_are_state(tmp_path: Path) -> None:
    for tile in (busy_tile(), cell_tile("nested")):
        tile.update(*vectors(3, tile.shape))
        before = tile.events()
        tile.save(tmp_path / "tile.npz")
        assert load(tmp_path / "tile.npz").events() == before
        twin = copy.deepcopy(tile)
        assert twin.events() == before
        twin.update(*vectors(3, tile.shape))
        assert twin.events() != before and tile.events() == before
        assert tile.spawn(1)[0].events().total("pulses") == 0
        tile.reset_events()
        assert {tile.events().total(e) for e in ("reads", "pulses", "slots")} == {0}
        # Counting anew changes no number.
        one, other = copy.deepcopy(tile), load(tmp_path / "tile.npz")
        x, d = vectors(3, tile.shape, 1)
        for again in (one, other):
            again.update(x, d)
        assert np.array_equal(one.get_weights()[0], other.get_weights()[0])


def rewritten(source: Path, target: Path, change: Any) -> None:
    """Copy a state file with a change in its JSON."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "state.json":
                data = json.loads(content)
                change(data["core"])
                content = json.dumps(data).encode()
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def test_files_from_before_events_were_counted(tmp_path: Path) -> None:
    tile = busy_tile()
    tile.save(tmp_path / "new.npz")
    rewritten(
        tmp_path / "new.npz", tmp_path / "old.npz", lambda core: core.pop("events")
    )
    old = load(tmp_path / "old.npz")
    assert old.events().total("reads") == old.events().total("pulses") == 0
    assert np.array_equal(old.forward(np.ones(4)), tile.forward(np.ones(4)))


@pytest.mark.parametrize(
    "events",
    [
        None,
        {},
        {"forward": 1, "backward": 1, "parts": []},
        {"forward": 1, "backward": 1, "parts": [[0] * 6]},
        {"forward": 1, "backward": 1, "parts": 3},
        {"forward": -1, "backward": 1, "parts": [[0] * 7]},
        {"forward": 1, "backward": 1.5, "parts": [[0] * 7]},
        {"forward": 1, "backward": 2**62, "parts": [[0] * 7]},
        {"forward": 1, "backward": 1, "parts": [[0] * 6 + [True]]},
    ],
)
def test_altered_counts_are_refused(tmp_path: Path, events: Any) -> None:
    busy_tile().save(tmp_path / "new.npz")

    def change(core: Any) -> None:
        core["events"] = events

    rewritten(tmp_path / "new.npz", tmp_path / "bad.npz", change)
    with pytest.raises(StateError, match="events"):
        load(tmp_path / "bad.npz")


# ---- CUDA ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", UPDATES)
@needs_host
def test_cuda_counts_the_same(name: str) -> None:
    here = counted_tile(UPDATES[name], (11, 70))
    there = host_twin(here)
    for tile in (here, there):
        for batch in (1, 33):
            x, d = vectors(batch, tile.shape)
            tile.update(x, d)
            tile.forward(9 * x)
            tile.eval().forward(x)
            tile.train().backward(d)
    assert there.events() == here.events()
    assert there._to_backend("cpu").events() == here.events()


@needs_host
def test_cuda_reads_its_counters_now_and_then() -> None:
    here = busy_tile()
    there = host_twin(here)
    for _ in range(400):
        for tile in (here, there):
            tile.forward(np.ones(4))
    for tile in (here, there):
        tile.update(*vectors(5, (3, 4)))
    assert there.events() == here.events()
    there.reset_events()
    assert there.events().total("reads") == 0


@needs_host
def test_a_failed_call_on_cuda_counts_nothing() -> None:
    from rpupy.errors import CudaError
    from rpupy.rpu_base import _cuda_host

    tile = host_twin(busy_tile())
    before = tile.events()
    try:
        failed = 0
        while True:
            _cuda_host.fail_call(failed)
            try:
                tile.forward(np.ones((2, 4)))
            except CudaError:
                failed += 1
                assert tile.events() == before
            else:
                break
    finally:
        _cuda_host.fail_call(None)
    assert failed >= 3
    assert tile.events()["forward"].reads > before["forward"].reads


# ---- costs ---------------------------------------------------------------------------

ROWS = Events(
    (
        EventCounts(
            name="forward",
            kind="product",
            reads=10,
            dac=40,
            adc=80,
            dac_lines=4,
            adc_lines=8,
        ),
        EventCounts(
            name="weights", kind="X", pulses_up=5, pulses_down=7, slots=31, writes=2
        ),
    )
)


def test_costs_by_hand() -> None:
    costs = EventCosts(
        read_energy=1.0,
        dac_energy=2.0,
        adc_energy=3.0,
        pulse_up_energy=10.0,
        pulse_down_energy=100.0,
        slot_energy=0.5,
        write_energy=7.0,
        read_time=1.0,
        dac_time=2.0,
        adc_time=4.0,
        slot_time=8.0,
        write_time=16.0,
        lines_per_dac=3,
        lines_per_adc=100,
    )
    cost = ROWS.cost(costs)
    forward, weights = cost.of("forward"), cost.of("weights")
    assert forward.energy == 10 * 32 * 1.0 + 40 * 2.0 + 80 * 3.0
    # Three lines in turn; all eight in turn.
    assert forward.time == 10 * 1.0 + 10 * 3 * 2.0 + 10 * 8 * 4.0
    assert weights.energy == 5 * 10 + 7 * 100 + 31 * 0.5 + 2 * 7
    assert weights.time == 31 * 8 + 2 * 16
    assert cost.energy == forward.energy + weights.energy
    assert cost.time == forward.time + weights.time
    assert cost.of("adc").energy == 240
    assert ROWS.cost(EventCosts()).energy == ROWS.cost(EventCosts()).time == 0
    assert [item.count for item in cost.items] == [10, 40, 80, 5, 7, 31, 2]


def test_tables() -> None:
    assert str(ROWS).splitlines()[0].split() == [
        *("reads", "dac", "adc", "pulses_up", "pulses_down", "slots"),
        *("writes", "transfers", "refreshes"),
    ]
    assert str(ROWS).splitlines()[1].split() == ["forward", "10", "40", "80", *"000000"]
    assert str(ROWS.cost(EventCosts())).splitlines()[-1].split() == ["total", "0", "0"]
    assert len(ROWS) == 2 and ROWS[1].name == "weights" and ROWS["weights"] == ROWS[1]


def test_bad_input() -> None:
    with pytest.raises(KeyError, match="forward, weights, got 'w'"):
        ROWS["w"]
    with pytest.raises(ValueError, match=r"event must be one of reads, .*, got 'x'"):
        ROWS.total("x")
    with pytest.raises(TypeError, match="costs must be EventCosts, got dict"):
        ROWS.cost({})  # type: ignore[arg-type]
    for value in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"EventCosts.adc_time must be finite"):
            EventCosts(adc_time=value)
    with pytest.raises(TypeError, match=r"EventCosts.adc_energy must be a real"):
        EventCosts(adc_energy="1")  # type: ignore[arg-type]
    for lines, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"EventCosts.lines_per_adc"):
            EventCosts(lines_per_adc=lines)  # type: ignore[arg-type]
    costs = EventCosts()
    with pytest.raises(ValueError, match="not negative"):
        costs.slot_time = -1.0
    with pytest.raises(TypeError, match="unexpected"):
        EventCosts(adc=1.0)  # type: ignore[call-arg]


def test_soft_bounds_in_columns_wider_than_a_block() -> None:
    """Pulses of an array with several blocks of columns and rows of words."""
    device = SoftBoundsDevice(dw_min=0.01, count_pulses=True)
    tile = AnalogTile(2, 1500, SingleRPUConfig(device=device), rng=0)
    tile.update(*vectors(3, tile.shape))
    expected = tile.get_pulse_counters().sum(axis=(1, 2)).tolist()
    assert pulses_of(tile.events()["weights"]) == expected


@pytest.mark.parametrize("name", ["refreshed", "ttv1", "ttv3_rows", "nested", "mixed"])
@needs_host
def test_cells_on_cuda_count_the_same(name: str) -> None:
    here = cell_tile(name)
    there = host_twin(here)
    for tile in (here, there):
        for batch in (1, 21):
            tile.update(*vectors(batch))
            tile.forward(vectors(batch)[0])
    assert there.events() == here.events()
    assert host_twin(there.cpu()).events() == here.events()
