"""`check_device`: whether a device obeys the laws that hold for all devices."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable
from typing import Any

from rpupy.configs.compounds import Cell
from rpupy.configs.devices import FloatingPointDevice, IdealDevice, PulsedDevice
from rpupy.parameters.base import RPUConfigBase, frozen_copy

from . import bench as _bench
from .bench import Bench, NotApplicable, Probe, TileFactory
from .cell_laws import CELL_LAWS
from .laws import LAWS, Law

__all__ = ["BrokenLaw", "BrokenLaws", "Report", "check_device", "laws"]

#: Calls of a failing example that are shown.
_MOST_CALLS = 12


def laws(cells: bool = False) -> dict[str, str]:
    """List the laws.

    Parameters
    ----------
    cells : bool
        Those of unit cells and compounds; False: those of devices.

    Returns
    -------
    dict of str to str
        Name, by which `check_device` takes or leaves a law, and statement, in the order
        in which they are tried.

    Examples
    --------
    >>> from rpupy.testing import laws
    >>> laws()["zero_pulses"]
    'An update without pulses changes nothing.'
    """
    known = CELL_LAWS if cells else LAWS
    return {law.name: law.statement for law in known.values()}


@dataclasses.dataclass(frozen=True)
class BrokenLaw:
    """An example that breaks a law.

    Attributes
    ----------
    law, statement : str
        Name of the law, and what it says.
    config : RPUConfigBase or None
        Configuration of the tile, before a call failed to build it None.
    shape : tuple of int
        Size of the tile, the smallest of those tried that fails.
    seed : int
        Its seed.
    calls : tuple of str
        What was done, from building the tile to the call that broke the law.
    expected, got : str
        What the law says, and what was there.
    """

    law: str
    statement: str
    config: Any
    shape: tuple[int, int]
    seed: int
    calls: tuple[str, ...]
    expected: str
    got: str

    def __str__(self) -> str:
        """Tell the example."""
        calls = list(self.calls)
        if len(calls) > _MOST_CALLS:
            skipped = len(calls) - _MOST_CALLS + 1
            calls[1 : skipped + 1] = [f"... {skipped} calls ..."]
        config = "not built"
        if self.config is not None:
            config = textwrap.indent(_bench.brief(self.config), "  ").lstrip()
        return "\n".join(
            [
                f"{self.law}: {self.statement}",
                f"  tile: {self.shape[0]} x {self.shape[1]}, seed {self.seed}",
                f"  config: {config}",
                "  calls:",
                *(f"    {call}" for call in calls),
                f"  expected: {self.expected}",
                f"  got: {self.got}",
            ]
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check_device` found.

    Attributes
    ----------
    device : str
        Class of the device.
    held : tuple of str
        Laws that hold.
    not_applicable : dict of str to str
        Laws that say nothing about the device, and why.
    broken : tuple of BrokenLaw
        Examples of laws that do not hold.
    """

    device: str
    held: tuple[str, ...]
    not_applicable: dict[str, str]
    broken: tuple[BrokenLaw, ...]

    def __str__(self) -> str:
        """Tell which laws hold and which do not."""
        tried = len(self.held) + len(self.broken)
        if not self.broken:
            lines = [
                f"{self.device} obeys {tried} of {tried} laws: {', '.join(self.held)}"
            ]
        else:
            names = ", ".join(item.law for item in self.broken)
            lines = [
                f"{self.device} breaks {len(self.broken)} of {tried} laws: {names}"
            ]
        lines += [
            f"not applicable: {name}, since {why}"
            for name, why in self.not_applicable.items()
        ]
        return "\n\n".join(["\n".join(lines), *map(str, self.broken)])


class BrokenLaws(AssertionError):
    """A device breaks laws; `report` says which, with an example of each.

    Parameters
    ----------
    report : Report
        What was found.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def check_device(
    device: Any,
    *,
    tile_factory: TileFactory | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    seed: int = 0,
    false_alarm: float = 1e-9,
) -> Report:
    """Check that a device obeys the laws that hold for every device.

    A unit cell or a compound has laws of its own: those that hold for it as a whole.

    It is run on tiles of its own, through their public methods alone, so that it works
    for a device of one's own and for another implementation of tiles as well.

    Parameters
    ----------
    device : Device, Cell or RPUConfigBase
        A device, a unit cell or a compound; or a configuration of a tile that has one,
        whose updates and products some of the laws then use.
    tile_factory : callable, optional
        ``(out_size, in_size, rpu_config, *, rng) -> tile``, for another implementation
        or backend: a class of tiles will do. By default the one for the configuration.
    only : iterable of str, optional
        Names of the laws to try; default: all of `laws`, for a cell of
        ``laws(cells=True)``.
    skip : iterable of str
        Names of laws to leave out.
    seed : int
        Seed of tiles and inputs: the same seed repeats the same check.
    false_alarm : float
        Probability at which each comparison of random outcomes may fail without a
        reason. A check makes about a hundred of them.

    Returns
    -------
    Report
        Which laws hold, and which say nothing about the device.

    Raises
    ------
    ConfigError
        If no tile can be built of it.
    BrokenLaws
        If a law does not hold: an AssertionError that lists all that do not, each with
        the smallest example that was found.
    TypeError
        If this is no device and no cell.
    ValueError
        If `only` or `skip` has an unknown name.

    Examples
    --------
    >>> from rpupy.configs import ConstantStepDevice
    >>> from rpupy.testing import check_device
    >>> report = check_device(ConstantStepDevice(), only=["bounds", "write_noise"])
    >>> print(report)
    ConstantStepDevice obeys 1 of 1 laws: bounds
    not applicable: write_noise, since the device has no write_noise_std
    """
    config = _bench.configuration_of(device)
    kinds = (PulsedDevice, IdealDevice, FloatingPointDevice, Cell)
    tested: Any = config.device  # type: ignore[attr-defined]
    if not isinstance(tested, kinds):
        raise TypeError(
            f"device must be a device or a cell of rpupy, got {type(tested).__name__}"
        )
    frozen_copy(config).validate()
    chosen = _chosen(only, skip, CELL_LAWS if isinstance(tested, Cell) else LAWS)
    factory = config.tile_class if tile_factory is None else tile_factory
    # What cannot even be built is not a matter of laws.
    factory(1, 1, config, rng=seed)
    held, idle, broken = [], {}, []
    for law in chosen:
        try:
            failure = _try(law, config, factory, seed, false_alarm)
        except NotApplicable as reason:
            idle[law.name] = str(reason)
        else:
            if failure is None:
                held.append(law.name)
            else:
                broken.append(failure)
    report = Report(type(tested).__name__, tuple(held), idle, tuple(broken))
    if broken:
        raise BrokenLaws(report)
    return report


def _chosen(
    only: Iterable[str] | None, skip: Iterable[str], known: dict[str, Law]
) -> list[Law]:
    left_out = set(skip)
    wanted = set(known) if only is None else set(only)
    for name in wanted | left_out:
        if name not in known:
            raise ValueError(f"only and skip must name laws of laws(), got {name!r}")
    return [law for law in known.values() if law.name in wanted - left_out]


def _try(
    law: Law,
    config: RPUConfigBase,
    tile_factory: TileFactory,
    seed: int,
    false_alarm: float,
) -> BrokenLaw | None:
    """Try a law on tiles of growing size; return the first example that breaks it."""
    for shape in law.shapes:
        bench = Bench(config, tile_factory, shape, seed, false_alarm)
        try:
            law.check(bench)
        except NotApplicable:
            raise
        except _bench.Broken as failure:
            probe = failure.probe or bench.probe
            return _example(law, bench, probe, failure.expected, failure.got)
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            return _example(law, bench, bench.probe, "no exception", got)
    return None


def _example(
    law: Law, bench: Bench, probe: Probe | None, expected: str, got: str
) -> BrokenLaw:
    return BrokenLaw(
        law=law.name,
        statement=law.statement,
        config=None if probe is None else probe.config,
        shape=bench.shape,
        seed=bench.seed if probe is None else probe.seed,
        calls=() if probe is None else tuple(probe.calls),
        expected=expected,
        got=got,
    )
