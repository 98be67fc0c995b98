"""What a field of a configuration does to a tile, said where the field is declared.

The helpers in `fields` take ``effect=``: an `Effect` for what makes a tile differ from an
exact one, a `Setting` for all else. Printing, `explain` and `without` read nothing but that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ALIASES", "FULL_SCALE", "GROUPS", "KEPT", "Effect", "Reference", "Setting"]

#: Group of effects -> what belongs to it. `without` switches a group off.
GROUPS = {
    "dtod": "differences between devices or between lines, drawn once",
    "corrupt devices": "devices that are stuck at a value",
    "steps": "weights that move by whole steps, as the law of the device has it",
    "ctoc": "cycle to cycle: differences between pulses, resets or drifts of one device",
    "read noise": "noise of each product: inputs, weights, outputs",
    "write noise": "error of the weights that products see, drawn anew at each write",
    "quantisation": "steps of converters and of pulse probabilities",
    "bounds": "ranges of the converters; a converter without range does not round",
    "weight bounds": "range of the weights, where steps do not refer to it",
    "asymmetry": "differences between up and down, or between positive and negative",
    "nonlinearity": "steps that depend on the weight, outputs that are compressed",
    "ir drop": "voltage lost along wires, offsets of voltage, series resistance",
    "decay": "weights that go back to their reset value",
    "diffusion": "random steps of the weights between updates",
    "drift": "power-law change of the weights with time",
    "reset": "mean value after a reset, at which decay ends, too",
}

#: Name for several groups at once.
ALIASES = {"noise": ("ctoc", "read noise", "write noise", "diffusion")}


@dataclass(frozen=True)
class Reference:
    """The product and the step that sizes are measured against.

    Parameters
    ----------
    weight : float
        Largest mean weight of the device; 1 for a device without bounds.
    step : float
        Mean step of a pulse; 0 for a device without pulses.
    """

    weight: float = 1.0
    step: float = 0.0


class _Kept:
    """Type of `KEPT`."""

    def __repr__(self) -> str:
        return "KEPT"


#: As `off`: the effect belongs to the law of the device and cannot be switched off.
KEPT = _Kept()

Factor = Callable[[Any, Reference], float]


def FULL_SCALE(part: Any, reference: Reference) -> float:
    """Give the output of a full-scale input on the largest weight, as unit of size."""
    return reference.weight


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A field that says how something is done and is no effect by itself.

    Parameters
    ----------
    needs : tuple of str
        Fields of the same object: where all of them are off, this one does nothing.
    choices : mapping of str to tuple
        Fields of the same object and members that they may have: unless one of them has
        one of its members, this field does nothing.
    idle_in : tuple of str
        ``acts_on`` of the parts in which the field is not used.
    positive : bool
        Whether only values above 0 act.
    off : optional
        Value at which the field does nothing; default: 0, False, NONE.
    splits : str or callable
        Why the field, where it acts, makes results depend on how a batch is split; or a
        function of the whole configuration that gives it, "" if it does not.
    """

    needs: tuple[str, ...] = ()
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    idle_in: tuple[str, ...] = ()
    positive: bool = False
    off: Any = None
    splits: str | Callable[[Any], str] = ""


@dataclass(frozen=True, kw_only=True)
class Effect(Setting):
    """A field that is the size of an effect.

    Parameters
    ----------
    group : str
        A key of `GROUPS`.
    also : tuple of str
        Further groups whose switching off includes this field.
    of : str or callable, optional
        What the value is relative to: another field of the same object, or a function of
        the object and a `Reference`. None: the value has the unit as it is.
    size : callable, optional
        Function of the object and a `Reference` that gives the size itself.
    unit : str
        Unit of the size.
    acts_on : str
        Calls that show the effect; default: ``acts_on`` of the part.
    note : str or callable
        A remark for the table, or a function of the object that gives it.
    needs, choices, idle_in, positive, splits
        As in `Setting`.
    off : optional
        Value that switches the effect off, or a function of the object that gives it;
        default: 0, False, NONE. `KEPT`: none does.

    Examples
    --------
    >>> from rpupy.parameters import define
    >>> from rpupy.parameters.effects import Effect
    >>> from rpupy.parameters.fields import real
    >>> from rpupy.configs.devices import PulsedDevice
    >>> @define
    ... class WearingDevice(PulsedDevice):
    ...     wear_dtod: float = real(0.1, effect=Effect("dtod", of="dw_min"))
    """

    group: str = field(kw_only=False)
    also: tuple[str, ...] = ()
    of: str | Factor | None = None
    size: Factor | None = None
    unit: str = "weight units"
    acts_on: str = ""
    note: str | Callable[[Any], str] = ""

    def __post_init__(self) -> None:
        """Check the names of the groups."""
        for name in self.groups:
            if name not in GROUPS:
                raise ValueError(
                    f"group must be one of {', '.join(map(repr, GROUPS))}, got {name!r}"
                )

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups that the field belongs to."""
        return (self.group, *self.also)

    def size_of(self, part: Any, value: Any, reference: Reference) -> float:
        """Give the size of the effect in its unit."""
        if self.size is not None:
            return float(self.size(part, reference))
        if callable(self.of):
            return abs(float(value) * self.of(part, reference))
        # A device that describes another has steps and bounds in that one.
        part = part.resolved() if hasattr(part, "resolved") else part
        return abs(float(value) * (getattr(part, self.of) if self.of else 1.0))

    def note_on(self, part: Any) -> str:
        """Give the remark for the table."""
        return self.note(part) if callable(self.note) else self.note
