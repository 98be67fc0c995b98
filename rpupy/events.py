"""Events that a tile has counted, and what they cost by a table of the user's.

`rpupy.tiles.Tile.events` counts them: docs/events.md says what each number means.  Costs are
numbers of the hardware that one has in mind; rpupy knows none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, overload

import attrs

__all__ = ["CostItem", "EventCost", "EventCosts", "EventCounts", "Events"]

#: Names of the numbers of a row, in their order.
_COUNTED = (
    "reads",
    "dac",
    "adc",
    "pulses_up",
    "pulses_down",
    "slots",
    "writes",
    "transfers",
    "refreshes",
)


@attrs.frozen(kw_only=True)
class EventCounts:
    """What happened in one direction of the product, or to one part of the array.

    Parameters
    ----------
    name : str
        ``"forward"``, ``"backward"``, or the name of the weights of a part, as in the
        hidden parameters: ``"weights"``, ``"hidden_weights_0"``, ...
    kind : str
        ``"product"``, or the class of the device or cell.
    reads : int
        Passes of one vector over the array; of a part of a cell, reads of one slice.
    dac, adc : int
        Conversions of these reads: of one input or output line each.
    pulses_up, pulses_down : int
        Pulses that devices received, over all crosspoints.
    slots : int
        Slots of the pulse trains, one after the other, in which those pulses came.
    writes : int
        Pulse trains that wrote a slice.
    transfers : int
        Transfers out of this part.
    refreshes : int
        Refreshes of a one-sided cell.
    dac_lines, adc_lines : int
        Lines that are driven and converted together in one read.
    """

    name: str
    kind: str
    reads: int = 0
    dac: int = 0
    adc: int = 0
    pulses_up: int = 0
    pulses_down: int = 0
    slots: int = 0
    writes: int = 0
    transfers: int = 0
    refreshes: int = 0
    dac_lines: int = 1
    adc_lines: int = 1

    @property
    def pulses(self) -> int:
        """Pulses of both directions."""
        return self.pulses_up + self.pulses_down

    @property
    def crosspoints_read(self) -> int:
        """Reads times the crosspoints on the lines of one read."""
        return self.reads * self.dac_lines * self.adc_lines


@attrs.frozen
class Events(Sequence[EventCounts]):
    """The events of a tile: a sequence of rows, which prints as a table.

    Parameters
    ----------
    rows : tuple of EventCounts
        Both directions of the product, then each part of the array.
    """

    rows: tuple[EventCounts, ...]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int | str) -> EventCounts: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[EventCounts, ...]: ...

    def __getitem__(
        self, index: int | str | slice
    ) -> EventCounts | tuple[EventCounts, ...]:
        """Give a row by its number or its name."""
        if isinstance(index, str):
            for row in self.rows:
                if row.name == index:
                    return row
            names = ", ".join(row.name for row in self.rows)
            raise KeyError(f"a row must be one of {names}, got {index!r}")
        return self.rows[index]

    def total(self, event: str) -> int:
        """Add up one event over all rows.

        Parameters
        ----------
        event : str
            Name of a number of `EventCounts`, such as ``"adc"`` or ``"pulses"``.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If there is no such event.
        """
        known = (*_COUNTED, "pulses", "crosspoints_read")
        if event not in known:
            raise ValueError(f"event must be one of {', '.join(known)}, got {event!r}")
        return sum(getattr(row, event) for row in self.rows)

    def cost(self, costs: EventCosts) -> EventCost:
        """Turn the counts into energy and time.

        Parameters
        ----------
        costs : EventCosts
            What one event costs.

        Returns
        -------
        EventCost
            Total and breakdown; prints as a table.

        Raises
        ------
        TypeError
            If `costs` is no `EventCosts`.
        """
        if not isinstance(costs, EventCosts):
            raise TypeError(f"costs must be EventCosts, got {type(costs).__name__}")
        items = (item for row in self.rows for item in _items(row, costs))
        return EventCost(tuple(item for item in items if item.count > 0))

    def __str__(self) -> str:
        """Give the table."""
        lines: list[tuple[str, ...]] = [("", *_COUNTED)]
        lines += [
            (row.name, *(str(getattr(row, event)) for event in _COUNTED))
            for row in self.rows
        ]
        return _table(lines, 1)


def _amount(instance: Any, attribute: Any, value: Any) -> None:
    """Check a cost: finite and not negative."""
    name = f"EventCosts.{attribute.name}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not 0.0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")


def _lines(instance: Any, attribute: Any, value: Any) -> None:
    """Check a number of lines: at least 1."""
    name = f"EventCosts.{attribute.name}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")


def _cost() -> Any:
    return attrs.field(default=0.0, validator=_amount)


@attrs.define(kw_only=True)
class EventCosts:
    """What one event costs on the hardware that one has in mind.

    All are 0 by default: an event without a cost counts for nothing, and rpupy makes up no
    numbers.

    Parameters
    ----------
    read_energy : float
        Energy of one crosspoint in one read, in J: a read of n inputs and m outputs takes
        n m of these.
    dac_energy, adc_energy : float
        Energy of one conversion, in J.
    pulse_up_energy, pulse_down_energy : float
        Energy of one pulse at one crosspoint, in J.
    slot_energy : float
        Energy of one slot of a train beside that of its pulses (drivers), in J.
    write_energy, transfer_energy, refresh_energy : float
        Energy of one such event beside that of its reads, conversions and pulses
        (control, buffers, resets), in J.
    read_time : float
        Time of one read between the conversions, in s.
    dac_time, adc_time : float
        Time of one conversion, in s.
    slot_time : float
        Time of one slot of a train, in s.
    write_time, transfer_time, refresh_time : float
        Time of one such event beside that of its reads, conversions and slots, in s.
    lines_per_dac, lines_per_adc : int
        Lines that share a converter, which takes them one after the other; all converters
        of a side work at the same time. 1: each line has its own.

    Raises
    ------
    TypeError, ValueError
        If a cost is no finite number of at least 0, or a number of lines no integer of at
        least 1.
    """

    read_energy: float = _cost()
    dac_energy: float = _cost()
    adc_energy: float = _cost()
    pulse_up_energy: float = _cost()
    pulse_down_energy: float = _cost()
    slot_energy: float = _cost()
    write_energy: float = _cost()
    transfer_energy: float = _cost()
    refresh_energy: float = _cost()
    read_time: float = _cost()
    dac_time: float = _cost()
    adc_time: float = _cost()
    slot_time: float = _cost()
    write_time: float = _cost()
    transfer_time: float = _cost()
    refresh_time: float = _cost()
    lines_per_dac: int = attrs.field(default=1, validator=_lines)
    lines_per_adc: int = attrs.field(default=1, validator=_lines)


@attrs.frozen
class CostItem:
    """What the events of one kind cost in one row.

    Parameters
    ----------
    name : str
        The row: see `EventCounts`.
    event : str
        The event.
    count : int
        How many.
    energy : float
        In J.
    time : float
        In s.
    """

    name: str
    event: str
    count: int
    energy: float
    time: float


@attrs.frozen
class EventCost:
    """Energy and time of the events of a tile; prints as a table.

    Parameters
    ----------
    items : tuple of CostItem
        The breakdown: every kind of event that happened.

    Notes
    -----
    Times are added up: nothing overlaps but the lines of one read, the converters of one
    side, and the crosspoints of one train.
    """

    items: tuple[CostItem, ...]

    @property
    def energy(self) -> float:
        """Energy of all items, in J."""
        return math.fsum(item.energy for item in self.items)

    @property
    def time(self) -> float:
        """Time of all items, one after the other, in s."""
        return math.fsum(item.time for item in self.items)

    def of(self, name: str) -> EventCost:
        """Give the items of one row, or of one kind of event.

        Parameters
        ----------
        name : str
            Name of a row or of an event.

        Returns
        -------
        EventCost
        """
        return EventCost(tuple(i for i in self.items if name in (i.name, i.event)))

    def __str__(self) -> str:
        """Give the table, with the total in its last line."""
        lines = [("", "event", "count", "energy / J", "time / s")]
        lines += [
            (i.name, i.event, str(i.count), f"{i.energy:.4g}", f"{i.time:.4g}")
            for i in self.items
        ]
        lines.append(("total", "", "", f"{self.energy:.4g}", f"{self.time:.4g}"))
        return _table(lines, 2)


def _items(row: EventCounts, costs: EventCosts) -> Iterator[CostItem]:
    """Give the cost of each kind of event of a row."""

    def item(event: str, count: int, energy: float, time: float) -> CostItem:
        return CostItem(row.name, event, count, energy, time)

    read_energy = row.crosspoints_read * costs.read_energy
    yield item("reads", row.reads, read_energy, row.reads * costs.read_time)
    for event in ("dac", "adc"):
        count = getattr(row, event)
        lines = getattr(row, f"{event}_lines")
        # A line waits for those before it that share its converter.
        turns = count // lines * min(lines, getattr(costs, f"lines_per_{event}"))
        energy = count * getattr(costs, f"{event}_energy")
        yield item(event, count, energy, turns * getattr(costs, f"{event}_time"))
    for event in ("pulses_up", "pulses_down"):
        count = getattr(row, event)
        energy = getattr(costs, event.replace("pulses", "pulse") + "_energy")
        yield item(event, count, count * energy, 0.0)
    for event, name in (
        ("slots", "slot"),
        ("writes", "write"),
        ("transfers", "transfer"),
        ("refreshes", "refresh"),
    ):
        count = getattr(row, event)
        energy = count * getattr(costs, f"{name}_energy")
        yield item(event, count, energy, count * getattr(costs, f"{name}_time"))


def _table(lines: Sequence[tuple[str, ...]], left: int) -> str:
    """Join cells to columns, of which the first `left` start at the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
