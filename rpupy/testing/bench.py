"""The bench on which laws of devices are tried: it builds tiles and notes what is done.

A law (`laws.py`) asks a `Bench` for tiles of a configuration, with some fields of the
device changed, and gets them as `Probe` objects: these forward calls to the tile through
its public interface, keep a record of them, and raise `Broken` with that record where
something is not as the law says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy import configs
from rpupy.configs.compounds import Cell
from rpupy.configs.devices import Device, PulsedDevice
from rpupy.errors import ConfigError
from rpupy.parameters.base import RPUConfigBase, thawed_copy
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

from . import statistics

Floats = NDArray[np.float32]
TileFactory = Callable[..., Any]

#: Learning rate in units of the granularity at which every line fires for certain,
#: whatever a law does to the sizes of steps.
_CERTAIN = 1e12
#: The rate at which laws update exact devices: a power of 2, so that it rounds nothing.
_EXACT_RATE = 2.0**-6
#: What the bounds of a weight are given for, where there are none.
_EXACT_ROOM = 0.5


class NotApplicable(Exception):
    """A law says nothing about this device; the text says why."""


class Broken(Exception):
    """Something is not as a law says.

    Parameters
    ----------
    expected, got : str
        In words or numbers.
    probe : Probe, optional
        The tile on which it was seen.
    """

    def __init__(self, expected: str, got: str, probe: Probe | None = None) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got
        self.probe = probe


class Bench:
    """A configuration under test.

    Parameters
    ----------
    config : RPUConfigBase
        Configuration of the tiles, which is not changed.
    tile_factory : callable
        ``(out_size, in_size, rpu_config, *, rng) -> tile``.
    shape : tuple of int
        Size of the tiles.
    seed : int
        Seed of the tiles and of the inputs.
    false_alarm : float
        For each comparison of random outcomes.
    """

    def __init__(
        self,
        config: RPUConfigBase,
        tile_factory: TileFactory,
        shape: tuple[int, int],
        seed: int,
        false_alarm: float,
    ) -> None:
        self.config = config
        self.device: Any = config.device  # type: ignore[attr-defined]
        self.tile_factory = tile_factory
        self.shape = shape
        self.seed = seed
        self.false_alarm = false_alarm
        self.pulsed = isinstance(self.device, PulsedDevice)
        #: The tile that was built last.
        self.probe: Probe | None = None

    # ---- configurations --------------------------------------------------------------

    def has(self, field: str) -> bool:
        """Whether the device has such a field."""
        return hasattr(self.device, field)

    def needs(self, *fields: str) -> None:
        """Leave the law unless the device has these fields."""
        for field in fields:
            if not self.has(field):
                raise NotApplicable(f"the device has no {field}")

    def needs_pulses(self) -> None:
        """Leave the law unless the device changes by pulses."""
        if not self.pulsed:
            raise NotApplicable("the device does not change by pulses")

    def uniform(self) -> dict[str, Any]:
        """Fields that make all crosspoints alike: no spread, no defects."""
        fields: dict[str, Any] = {
            name: 0.0
            for name in _fields(self.device)
            if name.endswith("_dtod")
            or name in ("reference_std", "corrupt_devices_prob")
        }
        if self.pulsed:
            fields |= {"perfect_bias": False, "enforce_consistency": True}
        if hasattr(getattr(self.device, "drift", None), "nu_dtod"):
            fields["drift"] = attrs.evolve(self.device.drift, nu_dtod=0.0)
        return fields

    def silent(self) -> dict[str, Any]:
        """Fields without which nothing differs from use to use."""
        names = [name for name in _fields(self.device) if name.endswith("_std")]
        return {name: 0.0 for name in names if name != "reference_std"}

    def rng(self) -> np.random.Generator:
        """Return a generator of inputs, the same at each call."""
        return np.random.default_rng([self.seed, *self.shape])

    # ---- tiles -----------------------------------------------------------------------

    def build(
        self, *, seed: int | None = None, own: bool = False, **fields: Any
    ) -> Probe:
        """Build a tile whose products are exact and whose updates are single pulses.

        Parameters
        ----------
        seed : int, optional
            Instead of that of the bench.
        own : bool
            Keep products and updates of the configuration as they are.
        **fields
            Fields of the device that are changed. One that it does not have is ignored.
        """
        config: Any = thawed_copy(self.config)
        known = _fields(self.device)
        changed = {name: fields[name] for name in fields if name in known}
        try:
            config.device = attrs.evolve(config.device, **changed)
            config.device.validate()
        except ConfigError as error:
            raise NotApplicable(f"the device refuses {changed}: {error}") from None
        if not own:
            for name in ("forward", "backward"):
                if hasattr(config, name):
                    setattr(config, name, IOParameters(is_perfect=True))
            if hasattr(config, "update"):
                config.update = UpdateParameters(
                    desired_bl=1, update_bl_management=False, update_management=False
                )
        seed = self.seed if seed is None else seed
        self.probe = Probe(self, config, seed)
        self.probe.build()
        return self.probe


class Probe:
    """A tile, and a record of the calls that it got."""

    def __init__(self, bench: Bench, config: Any, seed: int) -> None:
        self.bench = bench
        self.config = config
        self.seed = seed
        self.tile: Any = None
        self._record: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def build(self) -> None:
        """Build the tile."""
        rows, columns = self.bench.shape
        self.note(f"tile = build({rows}, {columns}, config, rng={self.seed})")
        self.tile = self.bench.tile_factory(rows, columns, self.config, rng=self.seed)

    def note(self, text: str, *arguments: Any, **more: Any) -> None:
        """Write a call of a method, or any other text with a bracket, into the record."""
        self._record.append((text, arguments, more))
        self.bench.probe = self

    @property
    def calls(self) -> list[str]:
        """The record, as text."""
        lines = []
        for text, arguments, more in self._record:
            if "(" in text:
                lines.append(text)
                continue
            shown = [_shown(argument) for argument in arguments]
            shown += [f"{name}={_shown(value)}" for name, value in more.items()]
            lines.append(f"tile.{text}({', '.join(shown)})")
        return lines

    def twin(self, tile: Any, text: str) -> Probe:
        """Return a probe of another tile that took over from this one."""
        other = Probe(self.bench, self.config, self.seed)
        other.tile = tile
        other._record = list(self._record)
        other.note(text)
        return other

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the tile."""
        self.note(method, *arguments)
        return getattr(self.tile, method)(*arguments)

    # ---- state -----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the array."""
        return self.bench.shape

    def hidden(self) -> dict[str, Floats]:
        """Hidden parameters."""
        planes: dict[str, Floats] = self.tile.get_hidden_parameters()
        return planes

    def set_hidden(self, **planes: ArrayLike) -> None:
        """Set some hidden parameters and keep the others."""
        self.note("set_hidden_parameters", {"...": "as they are", **planes})
        self.tile.set_hidden_parameters({**self.hidden(), **planes})

    def visible(self) -> Floats:
        """Weights that products see."""
        weights: Floats = self.tile.get_weights(apply_weight_scaling=False)[0]
        return weights

    def weights(self) -> Floats:
        """Weights that pulses and maintenance act on: without write noise."""
        persistent = self.hidden().get("persistent_weights")
        return self.visible() if persistent is None else persistent

    def set_weights(self, weights: ArrayLike) -> None:
        """Set the weights of the array."""
        full = np.broadcast_to(np.asarray(weights, dtype=np.float32), self.shape)
        self.note("set_weights", full, apply_weight_scaling=False)
        self.tile.set_weights(np.array(full), apply_weight_scaling=False)

    def everything(self) -> dict[str, Floats]:
        """All that can be seen of the state."""
        return {"weights": self.visible(), **self.hidden()}

    # ---- updates ---------------------------------------------------------------------

    def update(self, x: ArrayLike, d: ArrayLike, rate: float | None = None) -> None:
        """Update; by default each line that is not 0 fires once, for certain."""
        if rate is None:
            rate = _EXACT_RATE
            if self.bench.pulsed:
                rate = _CERTAIN * self.config.device.weight_granularity()
        if self.tile.get_learning_rate() != rate:
            self.call("set_learning_rate", rate)
        self.call("update", x, d)

    def pulse(self, up: bool, times: int = 1) -> None:
        """Send pulses to all crosspoints."""
        rows, columns = self.shape
        for _ in range(times):
            self.update(np.ones(columns), np.full(rows, -1.0 if up else 1.0))

    def change(self, up: bool, start: ArrayLike) -> Floats:
        """Return how far one pulse moves weights that are set to `start`."""
        self.set_weights(start)
        before = self.weights()
        self.pulse(up)
        return self.weights() - before

    # ---- where devices are -----------------------------------------------------------

    def home(self) -> Floats:
        """Weights in the midst of things: 0, less the reference where there is one."""
        planes = self.hidden()
        zero = np.zeros(self.shape, dtype=np.float32)
        home: Floats = zero - planes.get("reference", zero)
        if "max_bound" in planes:
            home = np.clip(home, planes["min_bound"], planes["max_bound"])
        return home

    def rooms(self) -> tuple[Floats, Floats]:
        """Distances that pulses can move weights up and down from home."""
        if not self.bench.pulsed:
            room = np.full(self.shape, _EXACT_ROOM, dtype=np.float32)
            return room, room
        low, high = self.pulse_bounds()
        home = self.home()
        return np.maximum(high - home, 0), np.maximum(home - low, 0)

    def pulse_bounds(self) -> tuple[Floats, Floats]:
        """Bounds that pulses obey: of the weight plus its reference."""
        planes = self.hidden()
        reference = planes.get("reference", np.float32(0))
        return planes["min_bound"] - reference, planes["max_bound"] - reference

    def fine_steps(self, fraction: float = 1 / 64) -> None:
        """Set the steps to a fraction of the room that weights have."""
        planes = self.hidden()
        names = ("dwmin_up", "dwmin_down")
        missing = [name for name in names if name not in planes]
        if missing:
            raise NotApplicable(f"there is no hidden parameter {missing[0]}")
        up, down = self.rooms()
        room = np.where(
            (up > 0) & (down > 0), np.minimum(up, down), np.maximum(up, down)
        )
        if not (room > 0).any():
            raise NotApplicable("the bounds leave no room")
        # One factor for all devices, so that their ratios stay.
        largest = max(float(np.abs(planes[name]).max()) for name in names)
        if largest == 0.0:
            raise NotApplicable("all steps are 0")
        factor = np.float32(fraction * float(room[room > 0].min()) / largest)
        self.set_hidden(**{name: planes[name] * factor for name in names})

    # ---- what is expected ------------------------------------------------------------

    def same(
        self, got: ArrayLike, expected: ArrayLike, what: str, tolerance: Any = 0.0
    ) -> None:
        """Raise `Broken` unless all elements agree within the tolerance."""
        found = np.asarray(got, dtype=np.float64)
        wanted = np.broadcast_to(np.asarray(expected, dtype=np.float64), found.shape)
        wrong = ~(np.abs(found - wanted) <= tolerance)
        wrong &= ~((found == wanted) | (np.isnan(found) & np.isnan(wanted)))
        if wrong.any():
            place = _first(wrong)
            within = np.broadcast_to(tolerance, found.shape)[place]
            room = f" within {within:.2g}" if within > 0 else ""
            self.fail(
                f"{what}{_index(place)} = {wanted[place]:.9g}{room}",
                f"{found[place]:.9g}{_count(wrong)}",
            )

    def hold(self, condition: ArrayLike, expected: str, values: ArrayLike) -> None:
        """Raise `Broken` where a condition does not hold for values."""
        wrong = ~np.asarray(condition, dtype=np.bool_)
        if wrong.any():
            place = _first(wrong)
            found = np.broadcast_to(np.asarray(values), wrong.shape)[place]
            self.fail(expected, f"{found:.9g} at {_index(place)}{_count(wrong)}")

    def same_state(self, other: Probe, what: str) -> None:
        """Raise `Broken` unless another tile shows the same bits everywhere."""
        mine, theirs = self.everything(), other.everything()
        if list(mine) != list(theirs):
            self.fail(f"the hidden parameters {list(theirs)}", f"{list(mine)}")
        for name, plane in mine.items():
            self.same(plane, theirs[name], f"{what}: {name}")

    def normal(self, values: ArrayLike, what: str) -> None:
        """Raise `Broken` unless values look like independent standard normals."""
        sample = np.asarray(values, dtype=np.float64)
        with self.statistics(what):
            rate = self.bench.false_alarm
            statistics.assert_mean(sample, 0.0, 1.0, false_alarm=rate)
            statistics.assert_variance(sample, 1.0, false_alarm=rate)
            statistics.assert_distribution(sample, normal_cdf, false_alarm=rate)

    def independent(self, first: ArrayLike, second: ArrayLike, what: str) -> None:
        """Raise `Broken` if two samples of pairs go together.

        Their signs about the median are compared, so that the law of the numbers does
        not matter.
        """
        one, two = (np.sign(v - np.median(v)) for v in map(np.ravel, (first, second)))
        one, two = one - one.mean(), two - two.mean()
        std = float(one.std() * two.std())
        if std > 0.1:
            with self.statistics(what):
                rate = self.bench.false_alarm
                statistics.assert_mean(
                    one * two, 0.0, std, largest=4.0, false_alarm=rate
                )

    def neighbours(self, values: NDArray[Any], what: str) -> None:
        """Raise `Broken` if neighbours in a row or a column go together."""
        even = values[:, : values.shape[1] // 2 * 2]
        self.independent(even[:, ::2], even[:, 1::2], f"{what}: columns side by side")
        even = values[: values.shape[0] // 2 * 2]
        self.independent(even[::2], even[1::2], f"{what}: rows side by side")

    def statistics(self, what: str) -> _Statistics:
        """Turn a failed comparison of random outcomes into `Broken`."""
        return _Statistics(self, what)

    def fail(self, expected: str, got: str) -> None:
        """Raise `Broken`."""
        raise Broken(expected, got, self)


class _Statistics:
    def __init__(self, probe: Probe, what: str) -> None:
        self.probe = probe
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, AssertionError):
            raise Broken(self.what, str(error), self.probe) from None


def normal_cdf(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative distribution of the standard normal law, to 1e-7."""
    # Abramowitz & Stegun 26.2.17: NumPy has no error function.
    size = np.abs(values)
    t = 1.0 / (1.0 + 0.2316419 * size)
    poly = 0.319381530 + t * (
        -0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))
    )
    tail = np.exp(-0.5 * size * size) / np.sqrt(2.0 * np.pi) * t * poly
    return np.where(values > 0, 1.0 - tail, tail)


def configuration_of(device: Any) -> RPUConfigBase:
    """Return a configuration for tiles of a device.

    Parameters
    ----------
    device : Device, Cell or RPUConfigBase
        A device, a unit cell or a compound, or a whole configuration, which is returned.

    Raises
    ------
    TypeError
        If it is neither, or no configuration takes the device.
    """
    if isinstance(device, RPUConfigBase):
        return device
    if isinstance(device, (Device, Cell)):
        for name in configs.configs.__all__:
            cls: Any = getattr(configs.configs, name)
            if "device" in {field.name for field in attrs.fields(cls)}:
                try:
                    config: RPUConfigBase = cls(device=device)
                except ConfigError:
                    continue
                return config
    raise TypeError(
        "device must be a device configuration such as ConstantStepDevice(), or a"
        f" configuration of a tile that has one, got {type(device).__name__}"
    )


def _fields(device: Any) -> list[str]:
    return [field.name for field in attrs.fields(type(device))]


def _first(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argwhere(wrong)[0])


def brief(config: Any) -> str:
    """Print the parts of a configuration that are not at their defaults."""
    usual = type(config)()
    parts = [
        f"{name}={getattr(config, name)!r}"
        for name in _fields(config)
        if name == "device" or getattr(config, name) != getattr(usual, name)
    ]
    return f"{type(config).__name__}({', '.join(parts)})"


def _index(place: Iterable[int]) -> str:
    return f"[{', '.join(map(str, place))}]"


def _count(wrong: NDArray[np.bool_]) -> str:
    return f" ({wrong.sum()} of {wrong.size} are wrong)" if wrong.size > 1 else ""


def _shown(value: Any) -> str:
    """Print an argument in short."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k}: {_shown(v)}' for k, v in value.items())}}}"
    if isinstance(value, np.ndarray) and value.ndim:
        first = value.flat[0] if value.size else 0
        if value.size > 1 and np.all(value == first):
            return f"full({value.shape}, {first:.9g})"
        if value.size > 12:
            return f"<array of shape {value.shape}>"
        return np.array2string(
            value, separator=", ", formatter={"all": lambda v: f"{v:.9g}"}
        ).replace("\n", "")
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.9g}"
    return repr(value)
