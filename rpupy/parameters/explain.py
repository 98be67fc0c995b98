"""The effects of a configuration as a table, and copies without some of them."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from rpupy.errors import ConfigError

from .definition import Parameters, thawed_copy
from .effects import ALIASES, GROUPS, KEPT, Effect, Reference
from .in_use import Use, is_off, parts_and_fields

__all__ = ["ActiveEffect", "Explanation", "UnusedSetting", "explain", "without"]

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class ActiveEffect:
    """One row of the table: an effect that acts.

    Parameters
    ----------
    effect : str
        Group of the effect, a name that `without` takes.
    field : str
        Field that sets it, such as ``device.dw_min_std``.
    size : float
        Its size in `unit`. Spreads and noise are standard deviations.
    unit : str
        In most rows weight units. For converters that is the output of one full-scale
        input on the largest mean weight of the device.
    acts_on : str
        Calls that show it.
    note : str
        A remark, or "".
    """

    effect: str
    field: str
    size: float
    unit: str
    acts_on: str
    note: str = ""


@dataclass(frozen=True)
class UnusedSetting:
    """A field that was set and does nothing.

    Parameters
    ----------
    field : str
        The field, such as ``forward.out_noise``.
    value
        Its value.
    reason : str
        Why it does nothing.
    """

    field: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Explanation(Sequence[ActiveEffect]):
    """What makes a tile differ from an exact one; printing gives a table.

    It is a sequence of its rows.

    Parameters
    ----------
    rows : tuple of ActiveEffect
        Every effect that acts.
    unused : tuple of UnusedSetting
        Settings that differ from their default and do nothing.
    batch_split : tuple of (str, str)
        Fields that make the bits of a result depend on how a batch is split into calls,
        and why; empty: the bits are the same for every split.
    """

    rows: tuple[ActiveEffect, ...]
    unused: tuple[UnusedSetting, ...] = ()
    batch_split: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ActiveEffect: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ActiveEffect, ...]: ...

    def __getitem__(
        self, index: int | slice
    ) -> ActiveEffect | tuple[ActiveEffect, ...]:
        """Give a row by its number."""
        return self.rows[index]

    def __str__(self) -> str:
        """Give the table, what is unused, and what a split of a batch changes."""
        lines = _table(self.rows) if self.rows else ["no effects: the tile is exact"]
        if self.unused:
            lines += ["", "set, and not used:"]
            lines += [
                f"  {item.field} = {_shown(item.value)}: {item.reason}"
                for item in self.unused
            ]
        if self.batch_split:
            lines += ["", "splitting a batch into several calls changes bits:"]
            lines += [f"  {field}: {why}" for field, why in self.batch_split]
        return "\n".join(lines)


#: Updates that write what was read: a vector each, however a batch is split.
_WRITES = frozenset({"transfer_update", "refresh_update"})


def explain(config: Parameters) -> Explanation:
    """List what acts in a configuration.

    Parameters
    ----------
    config : Parameters
        Configuration of a tile.

    Returns
    -------
    Explanation
        Rows in the order of the fields, and what is set without use.
    """
    reference = _reference(config)
    rows, unused, splits = [], [], []
    for use in parts_and_fields(config):
        if isinstance(use.value, Parameters):
            continue
        name, facts = ".".join(use.path), use.facts
        if use.acts:
            why = facts.splits(config) if callable(facts.splits) else facts.splits
            if why and not _WRITES.intersection(use.path):
                splits.append((name, why))
            row = _row(name, use, reference)
            if row is not None and row.size != 0:
                rows.append(row)
        elif use.why_idle and use.value != _default(use):
            unused.append(UnusedSetting(name, use.value, use.why_idle))
    return Explanation(tuple(rows), tuple(unused), tuple(splits))


def without(config: P, *effects: str) -> P:
    """Copy a configuration and switch effects off in the copy.

    Parameters
    ----------
    config : Parameters
        Configuration of a tile; it stays as it is.
    *effects : str
        Names of groups (`rpupy.parameters.effects.GROUPS`), ``"noise"`` for all that is
        drawn anew at each use, or fields: ``"out_noise"`` wherever one has that name,
        ``"forward.out_noise"`` in one place. A group without a field that acts changes
        nothing.

    Returns
    -------
    config
        A copy whose fields can be changed.

    Raises
    ------
    TypeError
        If a name is not a string.
    ConfigError
        If a name is not known, or its effect belongs to the law of the device and cannot
        be switched off.
    """
    copy = thawed_copy(config)
    uses = [u for u in parts_and_fields(copy) if isinstance(u.facts, Effect)]
    chosen = [use for name in effects for use in _named(name, uses)]
    for use in chosen:
        setattr(use.part, use.field.name, _off_value(use))
    return copy


# --- details --------------------------------------------------------------------------


def _row(name: str, use: Use, reference: Reference) -> ActiveEffect | None:
    facts = use.facts
    if not isinstance(facts, Effect):
        return None
    return ActiveEffect(
        facts.group,
        name,
        facts.size_of(use.part, use.value, reference),
        facts.unit,
        facts.acts_on or use.acts_on,
        facts.note_on(use.part),
    )


def _reference(config: Parameters) -> Reference:
    """Find the largest mean bound and the largest mean step of the devices."""
    found: dict[str, float] = {}
    for use in parts_and_fields(config):
        name = use.field.name
        if name not in ("w_max", "w_min", "dw_min"):
            continue
        value = use.value
        if use.field.metadata.get("kind") == "derived":
            device: Any = use.part
            value = getattr(device.resolved(), name)
        elif not use.acts:
            continue
        found[name] = max(abs(value), found.get(name, 0.0))
    weight = max(found.get("w_max", 0.0), found.get("w_min", 0.0))
    return Reference(weight or 1.0, found.get("dw_min", 0.0))


def _named(name: Any, uses: list[Use]) -> Iterator[Use]:
    """Give the uses that a name of a group or of a field means."""
    if not isinstance(name, str):
        raise TypeError(f"effects must be names, got {name!r}")
    group = name.replace("_", " ")
    if group in GROUPS or group in ALIASES:
        groups = set(ALIASES.get(group, (group,)))
        yield from (use for use in uses if groups & set(_effect(use).groups))
        return
    fields = [u for u in uses if name in (u.field.name, ".".join(u.path))]
    if not fields:
        known = sorted({use.field.name for use in uses})
        near = difflib.get_close_matches(name, [*GROUPS, *ALIASES, *known], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"effects must be groups ({', '.join([*GROUPS, *ALIASES])}) or fields of "
            f"this configuration ({', '.join(known)}), got {name!r}{hint}"
        )
    yield from fields


def _off_value(use: Use) -> Any:
    """Give the value that switches an effect off."""
    off = _effect(use).off
    if off is KEPT:
        raise ConfigError(
            f"{type(use.part).__name__}.{use.field.name} cannot be switched off: it "
            "belongs to the law of the device"
        )
    if callable(off):
        return off(use.part)
    if is_off(use.facts, use.value):
        return use.value
    if off is not None:
        return off
    if isinstance(use.value, enum.Enum):
        return type(use.value)["NONE"]
    return type(use.value)(0)


def _effect(use: Use) -> Effect:
    assert isinstance(use.facts, Effect)
    return use.facts


def _default(use: Use) -> Any:
    default: Any = use.field.default
    return default.factory() if hasattr(default, "factory") else default


def _table(rows: Sequence[ActiveEffect]) -> list[str]:
    cells = [("effect", "field", "size", "unit", "acts on", "note")]
    cells += [
        (row.effect, row.field, f"{row.size:.3g}", row.unit, row.acts_on, row.note)
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if k == 2 else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _shown(value: Any) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)
