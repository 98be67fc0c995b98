"""The laws that `check_device` runs: what holds for a device whatever its physics is.

A law is a function of a `Bench`. It builds tiles, calls them, and raises `Broken` where
something is not as its statement says, or `NotApplicable` where the statement says
nothing about the device. Most are exact and are tried on small tiles, the smallest
first, so that the first failure is a small example. Laws of random outcomes take one
tile that is large enough (`Law.shapes`).
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from rpupy import threads
from rpupy.parameters.enums import NoiseAggregation

from . import statistics
from .bench import Bench, Floats, NotApplicable, Probe

__all__ = ["LAWS", "Law"]

#: From the smallest on; the last is wider than a vector register and has a tail.
_SMALL = ((1, 1), (1, 2), (2, 1), (3, 18))
#: For laws that take long.
_FEW = ((1, 1), (3, 18))
#: For random outcomes.
_LARGE = ((64, 64),)

_INFINITE = np.array(np.inf, dtype=np.float32)

Check = Callable[[Bench], None]


@dataclasses.dataclass(frozen=True)
class Law:
    """A law of devices.

    Attributes
    ----------
    name : str
        By which it is chosen.
    statement : str
        What holds, in words.
    check : callable
        Tries it on a bench.
    shapes : tuple
        Sizes of the tiles, in the order in which they are tried.
    """

    name: str
    statement: str
    check: Check = dataclasses.field(repr=False)
    shapes: tuple[tuple[int, int], ...] = dataclasses.field(repr=False)


#: All laws by name, in the order in which they are tried.
LAWS: dict[str, Law] = {}


def _law(statement: str, shapes: tuple[tuple[int, int], ...] = _SMALL) -> Any:
    def register(check: Check) -> Check:
        name = check.__name__
        LAWS[name] = Law(name, statement, check, shapes)
        return check

    return register


# ---- tools ---------------------------------------------------------------------------


def _vectors(bench: Bench, batch: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Return inputs and errors, some of them 0."""
    rng = np.random.default_rng([bench.seed, seed, batch, *bench.shape])
    rows, columns = bench.shape
    x = rng.uniform(-1, 1, (batch, columns)).astype(np.float32)
    d = rng.uniform(-1, 1, (batch, rows)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = 0
    d[rng.random(d.shape) < 0.1] = 0
    return x, d


def _signs(bench: Bench) -> tuple[Floats, Floats]:
    """Return inputs and errors of magnitude 1, of both signs where there is room."""
    rows, columns = bench.shape
    x = np.where(np.arange(columns) % 2, -1, 1).astype(np.float32)
    d = np.where(np.arange(rows) % 3, 1, -1).astype(np.float32)
    return x, d


def _own_rate(bench: Bench) -> float:
    """Return a rate at which an update of this configuration makes some pulses."""
    if not bench.pulsed:
        return 2.0**-6
    return 8.0 * float(bench.device.weight_granularity())


def _starts(probe: Probe, seed: int = 0) -> Floats:
    """Return weights all over the range of each crosspoint."""
    rng = np.random.default_rng([probe.bench.seed, seed, *probe.shape])
    up, down = probe.rooms()
    u = rng.uniform(-1, 1, probe.shape)
    return (probe.home() + np.where(u > 0, u * up, u * down)).astype(np.float32)


def _upkeep_fields(bench: Bench) -> dict[str, Any]:
    """Return fields with which every call of maintenance does something."""
    fields: dict[str, Any] = {"lifetime": 5.0, "diffusion": 0.05, "reset_std": 0.1}
    if bench.has("drift"):
        fields["drift"] = _drift(bench, nu=0.1)
    return fields


def _drift(bench: Bench, **fields: float) -> Any:
    """Return drift with these fields, and the spread that it has."""
    cls = type(bench.device.drift)
    known = {field.name for field in attrs.fields(cls)}
    kept = {"nu_dtod": getattr(bench.device.drift, "nu_dtod", 0.0)}
    return cls(**{k: v for k, v in {**kept, **fields}.items() if k in known})


def _has_reset(bench: Bench) -> bool:
    return bench.has("reset_std")


def _life(probe: Probe, seed: int = 0) -> None:
    """Call all that changes weights, once."""
    bench = probe.bench
    x, d = _vectors(bench, 4, seed)
    probe.update(x, d, _own_rate(bench))
    probe.pulse(up=True)
    probe.call("diffuse_weights")
    probe.call("decay_weights")
    probe.call("drift_weights", 3.0)
    if _has_reset(bench):
        probe.call("reset_columns", 0, 1, 0.5)
    probe.update(x, d, _own_rate(bench))


def _reaches_bound(probe: Probe, weights: Floats, what: str) -> None:
    """Fail where weights lie outside of their own bounds."""
    if not probe.bench.pulsed:
        return
    planes = probe.hidden()
    low, high = planes["min_bound"], planes["max_bound"]
    slack = 0.0
    if "reference" in planes:
        # Pulses bound the weight plus its reference, all else the weight.
        lowest, highest = probe.pulse_bounds()
        low, high = np.minimum(low, lowest), np.maximum(high, highest)
        slack = 1e-6
    probe.hold(
        weights <= high + slack, f"{what}: weights at most max_bound", weights - high
    )
    probe.hold(
        weights >= low - slack, f"{what}: weights at least min_bound", weights - low
    )


# ---- construction --------------------------------------------------------------------


@_law("Two tiles with one seed are equal when they are built and stay so.")
def same_seed(bench: Bench) -> None:
    """Build two, and use both."""
    first = bench.build(own=True, **_upkeep_fields(bench))
    second = bench.build(own=True, **_upkeep_fields(bench))
    second.same_state(first, "a twin when it is built")
    for probe in (first, second):
        _life(probe)
    second.same_state(first, "a twin after the same calls")


@_law(
    "Tiles with different seeds differ in weights, noise and drawn parameters.", _LARGE
)
def other_seed(bench: Bench) -> None:
    """Compare planes that have a spread."""
    first = bench.build(construction_seed=0)
    second = bench.build(seed=bench.seed + 1, construction_seed=0)
    mine, theirs = first.everything(), second.everything()
    for name, plane in theirs.items():
        spread = plane != np.median(plane)
        if spread.mean() > 0.5:
            second.hold(
                (plane[spread] != mine[name][spread]).mean() > 0.3,
                f"{name} to differ from that of seed {bench.seed}",
                plane[spread][0],
            )
    start = first.home()
    moved = [probe.change(True, start) for probe in (first, second)]
    if bench.pulsed and bench.device.dw_min_std != 0 and moved[0].any():
        second.hold(
            (moved[0] != moved[1])[moved[0] != 0].mean() > 0.9,
            "noise of pulses that differs",
            moved[1][0, 0],
        )


@_law("One construction_seed gives tiles with different seeds the same devices.")
def construction_seed(bench: Bench) -> None:
    """Compare hidden parameters."""
    bench.needs_pulses()
    bench.needs("construction_seed")
    first = bench.build(construction_seed=7)
    second = bench.build(seed=bench.seed + 1, construction_seed=7)
    theirs = first.hidden()
    for name, plane in second.hidden().items():
        if name != "persistent_weights":
            second.same(plane, theirs[name], name)


@_law("Without spread (all _dtod at 0) all crosspoints are equal, in every column.")
def no_spread(bench: Bench) -> None:
    """Look at each plane, and at what a pulse does."""
    bench.needs_pulses()
    probe = bench.build(**bench.uniform(), **bench.silent())
    for name, plane in probe.hidden().items():
        if name != "persistent_weights":
            probe.same(plane, plane[0, 0], name)
    for up in (True, False):
        change = probe.change(up, probe.home())
        probe.same(change, change[0, 0], f"change by a pulse {'up' if up else 'down'}")


@_law("What is drawn from device to device is drawn once and stays as it is.")
def spread_is_drawn_once(bench: Bench) -> None:
    """Watch hidden parameters, and the response to a pulse, through all calls."""
    bench.needs_pulses()
    fields = {**_upkeep_fields(bench), **bench.silent()}
    probe = bench.build(**fields)
    start = _starts(probe)
    before = probe.hidden()
    responses = [probe.change(up, start) for up in (True, False)]
    for again in range(2):
        _life(probe, again)
        for name, plane in probe.hidden().items():
            if name != "persistent_weights":
                probe.same(plane, before[name], name)
        for up, response in zip((True, False), responses, strict=True):
            probe.same(
                probe.change(up, start),
                response,
                f"the same change by a pulse {'up' if up else 'down'} as before",
            )


@_law("The spreads of neighbouring devices are independent.", _LARGE)
def neighbouring_devices(bench: Bench) -> None:
    """Compare signs about the median of all planes that have a spread."""
    bench.needs_pulses()
    probe = bench.build(perfect_bias=False, corrupt_devices_prob=0.0)
    for name, plane in probe.hidden().items():
        probe.neighbours(plane, f"independent {name}")
    start = probe.home()
    quiet = bench.build(perfect_bias=False, corrupt_devices_prob=0.0, **bench.silent())
    for up in (True, False):
        quiet.neighbours(quiet.change(up, start), "independent steps")


# ---- weights -------------------------------------------------------------------------


@_law("Weights that are set are there as given, within the bounds of each crosspoint.")
def set_weights(bench: Bench) -> None:
    """Set weights inside and far outside of the bounds."""
    probe = bench.build()
    rng = bench.rng()
    for size in (0.01, 0.5, 1e3):
        weights = rng.uniform(-size, size, bench.shape).astype(np.float32)
        probe.set_weights(weights)
        expected = weights
        if bench.pulsed:
            planes = probe.hidden()
            expected = np.clip(weights, planes["min_bound"], planes["max_bound"])
        probe.same(probe.weights(), expected, "weights")


@_law("Products see the visible weights, all alike, and leave the tile as it is.")
def products(bench: Bench) -> None:
    """Multiply by unit vectors."""
    probe = bench.build()
    rows, columns = bench.shape
    _life(probe)
    before = probe.everything()
    for _ in range(2):
        seen = probe.call("forward", np.eye(columns, dtype=np.float32)).T
        probe.same(seen, before["weights"], "forward(eye).T")
        seen = probe.call("backward", np.eye(rows, dtype=np.float32))
        probe.same(seen, before["weights"], "backward(eye)")
    for name, plane in probe.everything().items():
        probe.same(plane, before[name], f"{name} after products")


# ---- pulses --------------------------------------------------------------------------


@_law("An update without pulses changes nothing.")
def zero_pulses(bench: Bench) -> None:
    """Update with zeros, with rate 0 and with an empty batch."""
    probe = bench.build()
    rows, columns = bench.shape
    probe.pulse(up=True)
    before = probe.everything()
    x, d = np.ones(columns, dtype=np.float32), np.ones(rows, dtype=np.float32)
    for arguments in (
        (0 * x, d),
        (x, 0 * d),
        (0 * x, 0 * d),
        (x, d, 0.0),
        (x.reshape(1, -1)[:0], d.reshape(1, -1)[:0]),
    ):
        probe.update(*arguments)
        for name, plane in probe.everything().items():
            probe.same(plane, before[name], name)


@_law("A pulse reaches the crosspoint where its two lines meet, and no other.")
def one_crosspoint(bench: Bench) -> None:
    """Send a pulse to each crosspoint alone."""
    probe = bench.build(**bench.uniform(), **bench.silent())
    home = probe.home()
    changes = [probe.change(up, home) for up in (True, False)]
    up = bool(np.abs(changes[0]).max() >= np.abs(changes[1]).max())
    if not changes[0].any() and not changes[1].any():
        if not bench.pulsed or max(room.max() for room in probe.rooms()) > 0:
            probe.fail("a pulse to move some weight", "none that moved")
        raise NotApplicable("the bounds leave no room")
    rows, columns = bench.shape
    probe.set_weights(home)
    for i in range(rows):
        for j in range(columns):
            before = probe.weights()
            x, d = np.zeros(columns), np.zeros(rows)
            x[j], d[i] = 1.0, -1.0 if up else 1.0
            probe.update(x, d)
            moved = probe.weights() != before
            expected = np.zeros_like(moved)
            expected[i, j] = True
            probe.same(moved, expected, f"lines {j} and {i} fire: weight changed at ")


@_law("A product x * d above 0 lowers a weight and one below 0 raises it.")
def direction(bench: Bench) -> None:
    """Update with all pairs of signs, descending and ascending."""
    probe = bench.build(**bench.uniform(), **bench.silent())
    if bench.pulsed:
        probe.fine_steps()
    home = probe.home()
    rise, fall = probe.change(True, home), probe.change(False, home)
    probe.hold(rise >= 0, "a pulse up (x * d < 0) not to lower a weight", rise)
    probe.hold(fall <= 0, "a pulse down (x * d > 0) not to raise a weight", fall)
    x, d = _signs(bench)
    rate = 2.0**-6
    if bench.pulsed:
        rate = 1e12 * bench.device.weight_granularity()
    for sign in (1, -1):
        for descent in (1, -1):
            probe.set_weights(home)
            before = probe.weights()
            probe.update(sign * x, d, descent * rate)
            change = probe.weights() - before
            ups = np.outer(d, x) * sign * descent < 0
            tolerance = 1e-6 * (1 + np.abs(home))
            probe.same(change, np.where(ups, rise, fall), "change", tolerance)


@_law("Pulses up take the step of that direction, and pulses down theirs.")
def up_and_down(bench: Bench) -> None:
    """Halve the size of steps in one direction."""
    bench.needs_pulses()
    probe = bench.build(**bench.uniform(), **bench.silent())
    probe.fine_steps()
    home, planes = probe.home(), probe.hidden()
    changes = {up: probe.change(up, home) for up in (True, False)}
    for name, halved in (("dwmin_up", True), ("dwmin_down", False)):
        probe.set_hidden(**{**planes, name: planes[name] * np.float32(0.5)})
        for up, change in changes.items():
            expected = change * (0.5 if up == halved else 1.0)
            probe.same(
                probe.change(up, home),
                expected,
                f"change by a pulse {'up' if up else 'down'} with {name} halved",
                1e-3 * np.abs(change) + 4e-7,
            )


@_law("Steps at weight 0 have about the size weight_granularity() (a factor of 4).")
def granularity(bench: Bench) -> None:
    """Compare the mean step."""
    bench.needs_pulses()
    probe = bench.build(**bench.uniform(), **bench.silent())
    home, rooms = probe.home(), probe.rooms()
    expected = float(bench.device.weight_granularity())
    steps = [
        np.abs(probe.change(up, home))
        for up, room in zip((True, False), rooms, strict=True)
        if (room > expected).all()
    ]
    if not steps:
        raise NotApplicable("the bounds leave no room for a step")
    largest = np.maximum.reduce(steps)
    probe.hold(
        (largest > expected / 4) & (largest < 4 * expected),
        f"the larger of both steps to be within a factor of 4 of {expected:g}",
        largest,
    )


@_law("After each call, each weight is within the bounds of its own crosspoint.")
def bounds(bench: Bench) -> None:
    """Push weights against their bounds with each call."""
    bench.needs_pulses()
    room = max(abs(float(v)) for v in bench.build().rooms()[0].flat) or 1.0
    fields = {**_upkeep_fields(bench), "diffusion": room, "reset_std": room}
    if bench.has("drift"):
        fields["drift"] = _drift(bench, nu=0.1, w_noise_std=room)
    probe = bench.build(**fields)
    rng = bench.rng()
    _reaches_bound(probe, probe.weights(), "a new tile")
    x, d = _vectors(bench, 6)
    for call in (
        lambda: probe.set_weights(rng.uniform(-50, 50, bench.shape)),
        lambda: probe.pulse(True, 3),
        lambda: probe.pulse(False, 3),
        lambda: probe.update(x, d),
        lambda: probe.call("diffuse_weights"),
        lambda: probe.call("decay_weights", -50.0),
        lambda: probe.call("drift_weights", 10.0),
        lambda: probe.call("reset"),
        lambda: probe.call("clip_weights", 0.3 * room),
        lambda: probe.call("decay_weights"),
        lambda: probe.call("clip_weights", 100 * room),
    ):
        call()
        _reaches_bound(probe, probe.weights(), probe.calls[-1])


@_law("A pulse larger than the range ends at the bound of its own crosspoint.")
def giant_pulse(bench: Bench) -> None:
    """Make steps huge by way of the hidden parameters."""
    bench.needs_pulses()
    probe = bench.build(**bench.silent())
    low, high = probe.pulse_bounds()
    home, planes = probe.home(), probe.hidden()
    small = {up: np.sign(probe.change(up, home)) for up in (True, False)}
    for name in ("dwmin_up", "dwmin_down"):
        if name not in planes:
            raise NotApplicable(f"there is no hidden parameter {name}")
    sizes = {
        name: np.sign(planes[name]) * np.float32(1e4) * (high - low)
        for name in ("dwmin_up", "dwmin_down")
    }
    probe.set_hidden(**sizes)
    slack = 1e-6 * np.abs(home) if "reference" in planes else 0.0
    for up, sign in small.items():
        end = home + probe.change(up, home)
        expected = np.where(sign > 0, high, low)
        # A device without room or without a step at home has nothing to show.
        shown = (sign != 0) & (high > low)
        probe.same(
            np.where(shown, end, 0),
            np.where(shown, expected, 0),
            f"weights after a huge pulse {'up' if up else 'down'}",
            1e-6 * np.abs(expected) + slack,
        )


def _steps(probe: Probe) -> list[tuple[bool, Floats]]:
    """Return directions in which pulses move weights from home, and how far."""
    home = probe.home()
    changes = [(up, probe.change(up, home)) for up in (True, False)]
    steps = [(up, change) for up, change in changes if (change != 0).all()]
    if not steps:
        raise NotApplicable("pulses move no weight")
    return steps


def _noise_size(bench: Bench) -> float:
    """Return the size of the noise of pulses, or one that can be tested."""
    size = abs(float(bench.device.dw_min_std))
    return size if 0.05 <= size <= 2.0 else 0.3


def _quiet_and_noisy(bench: Bench) -> tuple[Probe, Probe, float]:
    """Two tiles without spread and with small steps, one of them with noise of pulses."""
    bench.needs_pulses()
    bench.needs("dw_min_std")
    size = _noise_size(bench)
    more = {name: 0.0 for name in ("dw_min_std_add", "dw_min_std_slope")}
    probes = []
    for std in (0.0, size):
        fields = {**bench.uniform(), **bench.silent(), **more, "dw_min_std": std}
        probe = bench.build(**fields)
        probe.fine_steps(1 / 64 / (1 + 8 * size))
        probes.append(probe)
    return probes[0], probes[1], size


@_law(
    "A pulse at weight 0 has noise, once, of the size dw_min_std relative to the step.",
    _LARGE,
)
def noise(bench: Bench) -> None:
    """Compare one pulse with the pulse without noise."""
    quiet, noisy, size = _quiet_and_noisy(bench)
    home = quiet.home()
    for up, step in _steps(quiet):
        z = (noisy.change(up, home) - step) / (size * step)
        noisy.normal(z, f"noise of {size:g} of a step {'up' if up else 'down'}")


@_law("The noise of each pulse at each crosspoint is independent of all other.", _LARGE)
def noise_is_fresh(bench: Bench) -> None:
    """Compare neighbours, and pulses that follow each other."""
    quiet, noisy, _ = _quiet_and_noisy(bench)
    home = quiet.home()
    for up, step in _steps(quiet):
        former = noisy.change(up, home) - step
        for _ in range(5):
            latter = noisy.change(up, home) - step
            noisy.neighbours(latter, "independent noise")
            noisy.independent(former, latter, "independent noise of a later pulse")
            former = latter


@_law(
    "Weights show with an error of write_noise_std * dw_min, new whenever they are"
    " touched; what is stored is free of it.",
    _LARGE,
)
def write_noise(bench: Bench) -> None:
    """Compare visible and persistent weights."""
    bench.needs_pulses()
    bench.needs("write_noise_std", "apply_write_noise_on_set")
    fields = {**bench.uniform(), **bench.silent()}
    plain = bench.build(**fields)
    planes = plain.hidden()
    step = max(float(np.mean(planes[name])) for name in ("dwmin_up", "dwmin_down"))
    std = float(bench.device.write_noise_std)
    std = std if std > 0 else 2.0
    fields |= {"write_noise_std": std, "apply_write_noise_on_set": True}
    probe = bench.build(**fields)
    former = np.zeros(bench.shape)
    home = plain.home()
    for call in (
        lambda p: p.set_weights(home),
        lambda p: p.pulse(up=True),
        lambda p: p.pulse(up=False),
        lambda p: p.call("clip_weights", -1.0),
        lambda p: p.call("decay_weights"),
        lambda p: p.call("reset"),
    ):
        for one in (plain, probe):
            call(one)
        bench.probe = probe
        stored = probe.weights()
        probe.same(stored, plain.weights(), "persistent weights", 1e-6)
        z = (probe.visible().astype(np.float64) - stored) / (std * step)
        probe.normal(z, f"write noise of {std:g} * {step:g}")
        probe.neighbours(z, "independent write noise")
        probe.independent(former, z, "write noise that is drawn anew")
        former = z


@_law("A mini-batch gives the same weights whole, in parts and vector by vector.")
def batch_split(bench: Bench) -> None:
    """Update with the trains of the configuration."""
    update = getattr(bench.config, "update", None)
    if getattr(update, "noise_aggregation", None) is NoiseAggregation.BATCH:
        raise NotApplicable("noise is aggregated over a mini-batch")
    x, d = _vectors(bench, 9)
    results = []
    for cuts in ([0, 9], [0, 4, 9], [0, 1, 9], list(range(10))):
        probe = bench.build(own=True)
        for first, last in itertools.pairwise(cuts):
            probe.update(x[first:last], d[first:last], _own_rate(bench))
        results.append(probe)
    for other in results[1:]:
        other.same_state(results[0], "batch in parts as in one call")


@_law("A crosspoint does not feel what happens at others.")
def no_crosstalk(bench: Bench) -> None:
    """Update all rows at once, and row by row in another order."""
    x, d = _signs(bench)
    together, apart = bench.build(), bench.build()
    for _ in range(5):
        together.update(x, d)
    for i in reversed(range(len(d))):
        only = np.where(np.arange(len(d)) == i, d, 0).astype(np.float32)
        for _ in range(5):
            apart.update(x, only)
    apart.same_state(together, "rows one by one as together")


@_law("Permuting rows and columns permutes the result: no line is special.")
def permutation(bench: Bench) -> None:
    """Move all parameters of crosspoints to other places."""
    fields = {**_upkeep_fields(bench), **bench.silent(), "diffusion": 0.0}
    rng = bench.rng()
    rows, columns = (rng.permutation(n) for n in bench.shape)
    if columns[-1] == len(columns) - 1:
        columns = columns[::-1]
    first, second = bench.build(**fields), bench.build(**fields)
    weights = _starts(first)
    if bench.pulsed:
        planes = first.hidden()
        second.set_hidden(**{k: v[rows][:, columns] for k, v in planes.items()})
    first.set_weights(weights)
    second.set_weights(weights[rows][:, columns])
    x, d = _signs(bench)
    for probe, xs, ds in ((first, x, d), (second, x[columns], d[rows])):
        for sign in (1, 1, -1):
            probe.update(sign * xs, ds)
        probe.call("decay_weights", 0.5)
        probe.call("drift_weights", 3.0)
        probe.call("drift_weights", 3.0)
        probe.update(xs, -ds)
    expected = first.weights()[rows][:, columns]
    second.same(second.weights(), expected, "weights of the permuted tile")


@_law("The number of threads changes no bit.", ((67, 61),))
def thread_count(bench: Bench) -> None:
    """Use one thread and three."""
    before = threads.get_num_threads()
    results = []
    try:
        for number in (1, 3):
            threads.set_num_threads(number)
            probe = bench.build(own=True, **_upkeep_fields(bench))
            x, d = _vectors(bench, 40)
            probe.update(x, d, _own_rate(bench))
            _life(probe)
            results.append(probe)
    finally:
        threads.set_num_threads(before)
    results[1].same_state(results[0], "three threads as one")


@_law("The expected change of a weight is -lr * x * d steps over the granularity.")
def expected_change(bench: Bench) -> None:
    """Count how many of many crosspoints get a pulse."""
    bench.needs_pulses()
    bench.shape = (1, 4096)
    probe = bench.build(**bench.uniform(), **bench.silent())
    share = 0.3
    rate = float(bench.device.weight_granularity())
    for up, step in _steps(probe):
        d = -1.0 if up else 1.0
        probe.set_weights(probe.home())
        before = probe.weights()
        # lr = granularity: a line fires with probability |x|, the other for certain.
        probe.update(np.full(4096, share), [d], rate)
        moved = (probe.weights() - before) / step
        what = f"mean change of {share} steps at lr = granularity, x = {share}, d = {d}"
        with probe.statistics(what):
            statistics.assert_mean(
                moved,
                share,
                float(np.sqrt(share * (1 - share))),
                largest=1 - share,
                false_alarm=bench.false_alarm,
            )


# ---- maintenance ---------------------------------------------------------------------


@_law("Decay moves weights towards the reset bias, and ends there.")
def decay(bench: Bench) -> None:
    """Compare one step with its formula, and look where many steps end."""
    bench.needs("lifetime")
    for reset in (0.1, -0.1) if bench.has("reset") else (0.0,):
        fields: dict[str, Any] = {**bench.silent(), "reset": reset, "lifetime": 3.0}
        probe = bench.build(**fields)
        if not bench.pulsed:
            probe.set_weights(_starts(probe))
            before = probe.weights()
            probe.call("decay_weights", 0.5)
            expected = before * np.float32(1 - 0.5 / 3.0)
            probe.same(probe.weights(), expected, "weights", 1e-6)
            end: Any = 0.0
        else:
            planes = probe.hidden()
            bias, scale = planes["reset_bias"], planes["decay_scales"]
            low, high = planes["min_bound"], planes["max_bound"]
            for alpha in (1.0, 0.5, -0.7):
                probe.set_weights(_starts(probe))
                before = probe.weights()
                probe.call("decay_weights", alpha)
                expected = (before - bias) * (1 + alpha * (scale - 1)) + bias
                expected = np.clip(expected, low, high)
                tolerance = 2e-6 * (1 + np.abs(before - bias))
                probe.same(probe.weights(), expected, "weights", tolerance)
            end = np.clip(bias, low, high)
        fields |= {"lifetime": 2.0, "lifetime_dtod": 0.0}
        probe = bench.build(**fields)
        probe.set_weights(_starts(probe))
        for _ in range(50):
            probe.call("decay_weights")
        tolerance = 2e-6 * (1 + np.abs(end))
        probe.same(probe.weights(), end, "weights after 50 steps", tolerance)


@_law("Without lifetime, diffusion and drift these calls leave weights as they are.")
def no_upkeep(bench: Bench) -> None:
    """Call them all."""
    fields: dict[str, Any] = {"lifetime": 0.0, "diffusion": 0.0}
    if bench.has("drift"):
        fields["drift"] = _drift(bench, nu=0.0)
    probe = bench.build(**fields)
    start = _starts(probe)
    probe.set_weights(start)
    before = probe.weights()
    for method, *arguments in (
        ("diffuse_weights",),
        ("decay_weights",),
        ("drift_weights", 100.0),
        ("post_update_step",),
        ("clip_weights", -1.0),
    ):
        probe.call(method, *arguments)
        probe.same(probe.weights(), before, "weights", 1e-6 * (1 + np.abs(before)))


@_law(
    "Diffusion adds to each weight a normal number of the size of its rate, new at"
    " each call.",
    _LARGE,
)
def diffusion(bench: Bench) -> None:
    """Compare two steps."""
    bench.needs("diffusion")
    quiet = {**bench.uniform(), **bench.silent()}
    rooms = bench.build(**quiet).rooms()
    room = min(float(side.min()) for side in rooms)
    if room == 0:
        raise NotApplicable("the bounds leave no room")
    size = room / 32
    spread = {"diffusion": size, "diffusion_dtod": 0.0}
    probe = bench.build(**{**quiet, **spread})
    former = None
    home = probe.home()
    for _ in range(2):
        probe.set_weights(home)
        before = probe.weights()
        probe.call("diffuse_weights")
        z = (probe.weights().astype(np.float64) - before) / size
        probe.normal(z, f"steps of diffusion of size {size:g}")
        probe.neighbours(z, "independent diffusion")
        if former is not None:
            probe.independent(former, z, "diffusion that is drawn anew")
        former = z


@_law("A reset sets the weights of the chosen columns to the reset bias, and no other.")
def reset(bench: Bench) -> None:
    """Reset some columns, with and without wrapping around."""
    bench.needs("reset_std")
    columns = bench.shape[1]
    for value in (0.1, -0.1):
        probe = bench.build(**{**bench.silent(), "reset": value})
        target: Any = 0.0
        if bench.pulsed:
            planes = probe.hidden()
            target = planes["reset_bias"]
            target = np.clip(target, planes["min_bound"], planes["max_bound"])
        start = _starts(probe)
        for first, number in ((0, 1), (columns - 1, 1), (columns - 1, 2), (1, -1)):
            probe.set_weights(start)
            before = probe.weights()
            probe.call("reset_columns", first, number)
            many = columns if number < 0 else number
            chosen = (first + np.arange(many)) % columns
            expected = np.where(np.isin(np.arange(columns), chosen), target, before)
            probe.same(probe.weights(), expected, "weights")
        probe.set_weights(start)
        before = probe.weights()
        probe.call("reset_columns", 0, -1, 0.0)
        probe.call("reset_columns", 0, 0)
        probe.same(probe.weights(), before, "weights that are reset with probability 0")


@_law("Resets spread by reset_std, and happen with the probability asked for.", _LARGE)
def reset_spread(bench: Bench) -> None:
    """Reset all, and a third of all."""
    bench.needs("reset_std")
    quiet = {**bench.uniform(), **bench.silent(), "reset": 0.0}
    plain = bench.build(**quiet)
    room = min(float(side.min()) for side in plain.rooms())
    if room == 0:
        raise NotApplicable("the bounds leave no room")
    plain.call("reset")
    centre = plain.weights()
    size = room / 32
    probe = bench.build(**{**quiet, "reset_std": size})
    home = probe.home()
    former = None
    for _ in range(2):
        probe.call("reset")
        z = (probe.weights().astype(np.float64) - centre) / size
        probe.normal(z, f"values after a reset with reset_std = {size:g}")
        probe.neighbours(z, "independent resets")
        if former is not None:
            probe.independent(former, z, "resets that are drawn anew")
        former = z
    share = 0.3
    probe.set_weights(home)
    before = probe.weights()
    probe.call("reset", share)
    with probe.statistics(f"a share of {share} that is reset"):
        statistics.assert_mean(
            probe.weights() != before,
            share,
            float(np.sqrt(share * (1 - share))),
            largest=1 - share,
            false_alarm=bench.false_alarm,
        )


@_law("Clipping limits weights to the limit and to their bounds, and does no more.")
def clip(bench: Bench) -> None:
    """Clip at several limits."""
    probe = bench.build()
    start = _starts(probe)
    for limit in (-1.0, 0.0, 0.05, 0.3, 100.0):
        probe.set_weights(start)
        expected = probe.weights()
        if limit >= 0:
            c = np.float32(limit)
            low, high = -c, c
            if bench.pulsed:
                planes = probe.hidden()
                low = np.maximum(low, planes["min_bound"])
                high = np.minimum(high, planes["max_bound"])
            expected = np.maximum(np.minimum(expected, high), low)
        for _ in range(2):
            probe.call("clip_weights", limit)
            probe.same(probe.weights(), expected, "weights")


@_law("Drift follows the power law from the moment at which a weight last changed.")
def drift(bench: Bench) -> None:
    """Let weights age, change them, and let them age again."""
    bench.needs("drift")
    t_0 = 2.0
    probe = bench.build(**bench.silent(), drift=_drift(bench, nu=0.1, t_0=t_0))
    if bench.pulsed:
        planes = probe.hidden()
        if "drift_nu" not in planes:
            raise NotApplicable("there is no hidden parameter drift_nu")
        nu: Any = planes["drift_nu"].astype(np.float64)
        low, high = planes["min_bound"], planes["max_bound"]
    else:
        nu, low, high = 0.1, -_INFINITE, _INFINITE
    for seed in range(2):
        probe.set_weights(_starts(probe, seed))
        start = probe.weights()
        if seed:
            # Seen as changed: the clock starts with this call, and all stays.
            probe.call("drift_weights", 5.0)
            probe.same(probe.weights(), start, "weights that were just set")
        age = 0.0
        for step in (1.0, 7.0, 2.0):
            probe.call("drift_weights", step)
            age += step / t_0
            expected = np.clip(start * max(age, 1.0) ** -nu, low, high)
            tolerance = 2e-6 * (1 + np.abs(start))
            probe.same(probe.weights(), expected, "weights", tolerance)


# ---- state ---------------------------------------------------------------------------


def _through_copies(bench: Bench, ways: dict[str, Callable[[Any], Any]]) -> None:
    for text, way in ways.items():
        probe = bench.build(own=True, **_upkeep_fields(bench))
        _life(probe)
        twin = probe.twin(way(probe.tile), text)
        twin.same_state(probe, text)
        _life(twin, 1)
        after = twin.everything()
        _life(probe, 1)
        twin.same_state(probe, f"{text}: the same from there on")
        _life(probe, 2)
        for name, plane in twin.everything().items():
            twin.same(plane, after[name], f"{text}: {name} untouched by the other")


@_law("Copies and pickles of a tile continue as it does, and apart from it.", _FEW)
def copies(bench: Bench) -> None:
    """Copy in the midst of a life."""
    _through_copies(
        bench,
        {
            "twin = tile.copy()": lambda tile: tile.copy(),
            "twin = copy.deepcopy(tile)": copy.deepcopy,
            "twin = pickle.loads(pickle.dumps(tile))": lambda tile: pickle.loads(
                pickle.dumps(tile)
            ),
        },
    )


@_law("A tile that was saved and loaded continues as if it had not been.", _FEW)
def save_and_load(bench: Bench) -> None:
    """Save in the midst of a life."""

    def through_a_file(tile: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tile.npz")
            tile.save(path)
            return type(tile).load(path)

    _through_copies(
        bench, {"tile.save(path); twin = type(tile).load(path)": through_a_file}
    )


@_law("Hidden parameters that are set are there as given, and no other changes.", _FEW)
def set_hidden(bench: Bench) -> None:
    """Set each plane in turn."""
    bench.needs_pulses()
    probe = bench.build(own=True, **_upkeep_fields(bench))
    rng = bench.rng()
    _life(probe)
    probe.set_hidden()
    for name in probe.hidden():
        before = probe.hidden()
        # Bounds move apart: crossed ones leave no weight between them.
        low, high = (-0.01, 0.0) if name == "min_bound" else (0.0, 0.01)
        plane = before[name] + rng.uniform(low, high, bench.shape).astype(np.float32)
        probe.set_hidden(**{name: plane})
        for other, found in probe.hidden().items():
            expected = plane if other == name else before[other]
            if other == "persistent_weights":
                planes = probe.hidden()
                expected = np.clip(expected, planes["min_bound"], planes["max_bound"])
            probe.same(found, expected, f"{other} after {name} was set")
        _reaches_bound(probe, probe.weights(), f"{name} was set")


@_law("Each hidden parameter decides something, at every crosspoint.", _FEW)
def hidden_matter(bench: Bench) -> None:
    """Change each plane, and look for a call whose result it changes."""
    bench.needs_pulses()
    fields = {**bench.uniform(), **bench.silent(), **_upkeep_fields(bench)}
    fields |= {"write_noise_std": 0.0}

    def outcomes(changed: dict[str, Floats]) -> list[Floats]:
        probe = bench.build(**fields)
        planes = probe.hidden()
        probe.set_hidden(**{name: planes[name] + changed[name] for name in changed})
        low, high = planes["min_bound"], planes["max_bound"]
        seen = []
        for part in (0.0, 0.6, -0.6):
            start = np.where(part > 0, part * high, -part * low).astype(np.float32)
            for up in (True, False):
                probe.set_weights(start)
                probe.pulse(up, 3)
                seen.append(probe.weights())
            for method, *arguments in (
                ("decay_weights",),
                ("diffuse_weights",),
                ("reset",),
                ("drift_weights", 5.0),
            ):
                probe.set_weights(start)
                probe.call(method, *arguments)
                # Drift starts to count with the first call.
                probe.call("drift_weights", 5.0)
                seen.append(probe.weights())
        for sign in (1, -1):
            probe.set_weights(np.full(bench.shape, sign * 1e3))
            seen.append(probe.weights())
        return seen

    usual = outcomes({})
    for name, plane in bench.build(**fields).hidden().items():
        size = np.float32(0.1) * np.maximum(np.abs(plane), np.float32(0.1))
        if name.startswith(("dwmin", "slope")):
            size = np.float32(0.5) * np.maximum(
                np.abs(plane), np.float32(bench.device.weight_granularity())
            )
        changed = outcomes({name: -size if name == "max_bound" else size})
        differs = np.logical_or.reduce(
            [a != b for a, b in zip(changed, usual, strict=True)]
        )
        assert bench.probe is not None
        bench.probe.hold(
            differs, f"{name} to change the result of some call", differs * 1.0
        )


@_law("A call that is refused leaves the tile as it was.", _FEW)
def refused_calls(bench: Bench) -> None:
    """Call with wrong shapes and with numbers that are not finite."""
    probe = bench.build(own=True, **_upkeep_fields(bench))
    _life(probe)
    before = probe.everything()
    twin = probe.twin(probe.tile.copy(), "twin = tile.copy()")
    rows, columns = bench.shape
    x, d = np.ones(columns, dtype=np.float32), np.ones(rows, dtype=np.float32)
    for method, *arguments in (
        ("update", x[1:], d),
        ("update", x, np.ones(rows + 1)),
        ("update", x * np.nan, d),
        ("update", x, d * np.inf),
        ("set_weights", np.full(bench.shape, np.nan)),
        ("set_weights", np.ones((rows, columns + 1))),
        ("set_hidden_parameters", {"no_such_name": np.ones(bench.shape)}),
        ("set_learning_rate", np.nan),
    ):
        try:
            probe.call(method, *arguments)
        except (TypeError, ValueError):
            pass
        else:
            probe.fail("a TypeError or ValueError", "none")
        for name, plane in probe.everything().items():
            probe.same(plane, before[name], f"{name} after a refused call")
    for one in (probe, twin):
        _life(one, 1)
    probe.same_state(twin, "as without the refused calls")


@_law("Finite inputs of any size leave finite weights.", _FEW)
def finite(bench: Bench) -> None:
    """Update with numbers from denormal to huge."""
    rows, columns = bench.shape
    for own in (False, True):
        probe = bench.build(own=own)
        for x, d in (
            (1e30, 1e-30),
            (1e-45, 1.0),
            (1e-40, -1e-40),
            (3e38 if bench.pulsed else 1e15, -1e15),
            (-0.0, 0.0),
        ):
            for rate in (1e-30, 0.01, -1.0):
                probe.update(
                    np.full(columns, x, dtype=np.float32),
                    np.full(rows, d, dtype=np.float32),
                    rate,
                )
                weights = probe.weights()
                probe.hold(np.isfinite(weights), "finite weights", weights)
                _reaches_bound(probe, weights, probe.calls[-1])


@_law("Looking at a tile changes nothing that follows.", _FEW)
def looking(bench: Bench) -> None:
    """Look in all ways between calls."""
    watched = bench.build(own=True, **_upkeep_fields(bench))
    alone = bench.build(own=True, **_upkeep_fields(bench))
    for seed in range(2):
        for method in ("get_hidden_parameters", "get_weights", "get_learning_rate"):
            watched.call(method)
        watched.note("repr(tile), str(tile), tile.copy()")
        _ = repr(watched.tile), str(watched.tile), watched.tile.copy()
        for probe in (watched, alone):
            _life(probe, seed)
    watched.same_state(alone, "as without looking")
