"""The laws that `check_device` runs on a unit cell or a compound as a whole.

Some are those of devices (`laws.py`) that speak of tiles and not of the steps of one device.
The others are about what cells alone have: devices inside, buffers, a schedule.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from rpupy.parameters.base import frozen_copy
from rpupy.parameters.enums import NoiseAggregation

from .bench import Bench, NotApplicable, Probe
from .laws import _SMALL, LAWS, Check, Law, _vectors

__all__ = ["CELL_LAWS"]

#: For what is compared with plain NumPy.
_SLOW = ((1, 1), (2, 3))
#: Laws of devices that hold for cells, too.
_SHARED = (
    "same_seed",
    "other_seed",
    "products",
    "thread_count",
    "copies",
    "save_and_load",
    "refused_calls",
    "finite",
    "looking",
)
#: Hidden parameters that updates change.
_CHANGING = ("hidden_weights", "persistent", "buffered", "running", "past")
#: Buffers and statistics, which are empty at the start.
_BUFFERS = ("buffered", "running", "past", "hidden_weights_chi")
#: Rates of a check: several pulses, many, and upwards.
_RATES = (0.05, 0.3, -0.1)
#: Values are numbers of order one in single precision, after several updates.
_TOLERANCE = 1e-5
#: Closer than this to a decision, another rounding may turn it.
_CLOSE = 1e-4

#: All laws of cells by name, in the order in which they are tried.
CELL_LAWS: dict[str, Law] = {name: LAWS[name] for name in _SHARED}


def _law(statement: str, shapes: tuple[tuple[int, int], ...] = _SMALL) -> Any:
    def register(check: Check) -> Check:
        name = check.__name__
        CELL_LAWS[name] = Law(name, statement, check, shapes)
        return check

    return register


def _used(bench: Bench) -> Probe:
    """Return a tile after some updates with the trains of its configuration."""
    probe = bench.build(own=True)
    for seed, rate in enumerate(_RATES):
        probe.update(*_vectors(bench, 7, seed), rate)
    return probe


@_law("One construction_seed gives tiles with different seeds the same devices.")
def same_devices(bench: Bench) -> None:
    """Compare hidden parameters that were drawn."""
    first = bench.build(construction_seed=7)
    second = bench.build(seed=bench.seed + 1, construction_seed=7)
    theirs = first.hidden()
    for name, plane in second.hidden().items():
        if not name.startswith(_CHANGING):
            second.same(plane, theirs[name], name)


@_law("Learning rate 0 and an empty batch change nothing, and no schedule either.")
def idle_updates(bench: Bench) -> None:
    """Go on behind them as a tile that had none."""
    idle, other = _used(bench), _used(bench)
    x, d = _vectors(bench, 3, seed=9)
    idle.update(x, d, 0.0)
    idle.update(x[:0], d[:0], 0.05)
    for probe in (idle, other):
        probe.update(x, d, 0.05)
    idle.same_state(other, "behind updates that do nothing")


@_law("After each call, the weights of each device are within its own bounds.")
def bounds_of_devices(bench: Bench) -> None:
    """Look at each device after updates and upkeep."""
    probe = bench.build(own=True)
    rng = bench.rng()
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("set_weights", (rng.uniform(-3, 3, bench.shape),)),
        ("diffuse_weights", ()),
        ("decay_weights", ()),
        ("reset_columns", (0, 1, 0.5)),
    ]
    for seed, (name, arguments) in enumerate(calls):
        for rate in (*_RATES, 1.0):
            probe.update(*_vectors(bench, 7, seed), rate)
            _within_bounds(probe)
        if name == "set_weights":
            probe.set_weights(*arguments)
        else:
            probe.call(name, *arguments)
        _within_bounds(probe)


def _within_bounds(probe: Probe) -> None:
    planes = probe.hidden()
    for name, high in planes.items():
        if not name.startswith("max_bound"):
            continue
        suffix = name.removeprefix("max_bound")
        low = planes[f"min_bound{suffix}"]
        stored = f"persistent_weights{suffix}"
        if stored not in planes:
            stored = f"hidden_weights{suffix}"
        weights = planes.get(stored) if suffix else probe.weights()
        if weights is None:
            continue
        reference = planes.get(f"reference{suffix}", np.float32(0))
        highest = np.maximum(high, high - reference) + 1e-6
        lowest = np.minimum(low, low - reference) - 1e-6
        probe.hold(weights <= highest, f"{stored} at most {name}", weights)
        probe.hold(weights >= lowest, f"{stored} at least min_bound{suffix}", weights)


@_law("Setting weights empties buffers, running means and gradients.")
def fresh_start(bench: Bench) -> None:
    """Set weights behind updates."""
    probe = _used(bench)
    probe.set_weights(0.01)
    for name, plane in probe.hidden().items():
        if name.startswith(_BUFFERS):
            probe.same(plane, 0.0, name)


@_law(
    "A mini-batch gives the same weights whole and in parts, unless a period says so."
)
def parts_of_a_batch(bench: Bench) -> None:
    """Update with the trains of the configuration."""
    update: Any = getattr(bench.config, "update", None)
    why = _splits(bench.device)
    if update.noise_aggregation is NoiseAggregation.BATCH:
        why = "noise is aggregated over a mini-batch"
    if why is not None:
        raise NotApplicable(why)
    x, d = _vectors(bench, 9)
    results = []
    for cuts in ([0, 9], [0, 4, 9], list(range(10))):
        probe = bench.build(own=True)
        for first, last in itertools.pairwise(cuts):
            probe.update(x[first:last], d[first:last], 0.1)
        results.append(probe)
    for other in results[1:]:
        other.same_state(results[0], "batch in parts as in one call")


def _splits(cell: Any) -> str | None:
    """Tell what of a cell depends on how vectors are grouped in mini-batches."""
    if getattr(cell, "auto_scale", False):
        return "auto_scale depends on the size of a mini-batch"
    every = getattr(cell, "refresh_every", getattr(cell, "transfer_every", 0))
    if getattr(cell, "transfer_every_vec", ()):
        every = 1
    if getattr(cell, "units_in_mbatch", cell.node == "mixed") and every != 0:
        return "its period counts mini-batches"
    nested = (m for m in cell.members() if hasattr(m, "node"))
    return next((why for why in map(_splits, nested) if why is not None), None)


@_law(
    "The cell does what the reference model does, with the same random numbers.", _SLOW
)
def as_specified(bench: Bench) -> None:
    """Compare with `rpupy.testing.reference`, which stands on the specification."""
    from .reference import ReferenceTile

    probe = bench.build(own=True)
    # What was asked for, and not what the tile says that it has.
    config = frozen_copy(probe.config)
    try:
        model = ReferenceTile(*bench.shape, config, probe.tile.seed)
    except (NotImplementedError, KeyError):
        raise NotApplicable("the reference model does not have this cell") from None
    rng = bench.rng()
    for seed, rate in enumerate((*_RATES, 0.05, 0.1)):
        for batch in (3, 4):
            x, d = _vectors(bench, batch, seed)
            probe.update(x, d, rate)
            model.set_learning_rate(rate)
            model.update(x, d)
            if not _agree(probe, model):
                return
        if seed == 2:
            weights = rng.uniform(-0.3, 0.3, bench.shape).astype(np.float32)
            probe.set_weights(weights)
            model.set_weights(weights)
        for name, arguments in (
            ("decay_weights", (0.5,)),
            ("diffuse_weights", ()),
            ("drift_weights", (2.0,)),
            ("reset_columns", (0, 1, 0.5)),
        ):
            if seed == 1:
                probe.call(name, *arguments)
                getattr(model, name)(*arguments)
        if not _agree(probe, model):
            return


def _agree(probe: Probe, model: Any) -> bool:
    """Compare all that can be seen; False where a decision was too close to go on."""
    clear = model.tie_distance.min(initial=np.inf) >= _CLOSE
    expected = {"weights": model.get_weights(), **model.get_hidden_parameters()}
    found = probe.everything()
    if list(found) != list(expected):
        probe.fail(f"the hidden parameters {list(expected)}", f"{list(found)}")
    for name, plane in expected.items():
        # Slopes go by the inverse of bounds, however small these are.
        if name.startswith("slope"):
            continue
        tolerance = _TOLERANCE * (1 + np.abs(plane))
        if not clear and (np.abs(found[name] - plane) > tolerance).any():
            return False
        probe.same(found[name], plane, name, tolerance)
    return True
