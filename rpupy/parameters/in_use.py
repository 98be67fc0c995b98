"""Which parameters of a configuration act, and why the others do not."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import attrs

from rpupy.parameters.definition import Parameters
from rpupy.parameters.effects import KEPT, Setting
from rpupy.parameters.enums import AnalogMVType, PulseType

__all__ = ["Use", "is_off", "parameters_in_use", "parts_and_fields"]

#: Fields that act on layers of several tiles, or that a tile shows in another way.
_ELSEWHERE = frozenset({"digital_bias", "max_input_size", "max_output_size"})

#: What weights without pulses have: the fields of exact devices and of their drift.
_EXACT = frozenset({"diffusion", "lifetime", "reset_std", "nu", "t_0", "reset_tol"})

_EXACT_KERNELS = ("floating_point", "ideal")

_NO_FACTS = Setting()
_EXACT_UPDATES = (PulseType.NONE, PulseType.NONE_WITH_DEVICE)
#: Resolutions of the update -> whether they are those of DETERMINISTIC_IMPLICIT.
_RESOLUTIONS = {"res": False, "x_res_implicit": True, "d_res_implicit": True}


@dataclass(frozen=True)
class Use:
    """One field of a configuration.

    Parameters
    ----------
    path : tuple of str
        Names from the configuration to the field; ``name[k]`` is an entry of a list.
    part : Parameters
        Object that has the field.
    field : attrs.Attribute
        The field.
    value
        Its value.
    acts_on : str
        Calls that its part acts on, as far as the part's declaration says.
    why_idle : str
        Why the field does nothing whatever its value, or "".
    """

    path: tuple[str, ...]
    part: Parameters
    field: attrs.Attribute[Any]
    value: Any
    acts_on: str
    why_idle: str

    @property
    def facts(self) -> Setting:
        """What the declaration says about the field."""
        return self.field.metadata.get("effect") or _NO_FACTS

    @property
    def acts(self) -> bool:
        """Whether the field does something with its present value."""
        return not self.why_idle and not is_off(self.facts, self.value)


def parts_and_fields(config: Parameters) -> Iterator[Use]:
    """Go through all fields, depth first; a part comes before what is in it.

    Parameters
    ----------
    config : Parameters
        Configuration of a tile, or a part of one.

    Yields
    ------
    Use
        One field.
    """
    pulse_type = getattr(getattr(config, "update", None), "pulse_type", None)
    return _walk(config, (), "", "", pulse_type)


def parameters_in_use(config: Parameters) -> list[str]:
    """Describe the parameters of a tile that act; what is zero or off is left out.

    Parameters
    ----------
    config : Parameters
        Configuration of the tile.

    Returns
    -------
    list of str
        Lines, indented to stand below a head line.
    """
    lines: list[str] = []
    heads: list[Use] = []  # parts around the present field that have no line yet
    for use in parts_and_fields(config):
        depth = len(use.path)
        heads = [head for head in heads if len(head.path) < depth]
        if isinstance(use.value, Parameters):
            heads.append(use)
            shown = use.path == ("device",)
        else:
            shown = use.acts and use.field.name not in _ELSEWHERE
        if shown:
            lines += [_line(head, type(head.value).__name__) for head in heads]
            heads.clear()
            if not isinstance(use.value, Parameters):
                lines.append(_line(use, _text(use.value)))
    return lines


def is_off(facts: Setting, value: Any) -> bool:
    """Whether a value means that something is not there.

    Parameters
    ----------
    facts : Setting
        What the declaration of the field says.
    value
        Value of the field.

    Returns
    -------
    bool
    """
    if facts.off is KEPT:
        return False
    if facts.off is not None and not callable(facts.off) and value == facts.off:
        return True
    if facts.positive and value <= 0:
        return True
    if isinstance(value, enum.Enum):
        return value.name == "NONE" and not isinstance(value, PulseType)
    return value is None or value is False or value in (0, (), [])


# --- details --------------------------------------------------------------------------


def _walk(
    part: Parameters,
    path: tuple[str, ...],
    acts_on: str,
    why_idle: str,
    pulse_type: PulseType | None,
) -> Iterator[Use]:
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        inner = field.metadata.get("acts_on") or acts_on
        items = value if isinstance(value, (list, tuple)) else [value]
        if not any(isinstance(item, Parameters) for item in items):
            why = why_idle or _why_idle(part, field, acts_on)
            if not why and path[:1] == ("device",):
                why = _why_device_field_idle(field, pulse_type)
            yield Use((*path, field.name), part, field, value, acts_on, why)
            continue
        for k, item in enumerate(items):
            name = field.name if item is value else f"{field.name}[{k}]"
            why = why_idle or _why_part_idle(part, item)
            here = (*path, name)
            yield Use(here, part, field, item, inner, why)
            yield from _walk(item, here, inner, why, pulse_type)


def _why_device_field_idle(
    field: attrs.Attribute[Any], pulse_type: PulseType | None
) -> str:
    """Say why the update leaves a field of the device without a use, or ""."""
    if pulse_type is PulseType.NONE and field.name not in _EXACT:
        return "update.pulse_type is NONE: weights are exact, without spread and bounds"
    acts_on = getattr(field.metadata.get("effect"), "acts_on", "")
    scale = field.name == "dw_min"  # of the write noise, too
    if pulse_type is PulseType.NONE_WITH_DEVICE and acts_on == "update" and not scale:
        return "update.pulse_type is NONE_WITH_DEVICE: no pulses are sent"
    return ""


def _why_part_idle(owner: Parameters, part: Any) -> str:
    """Say why a whole part does nothing, or ""."""
    device = getattr(owner, "device", None)
    if hasattr(part, "pulse_type") and getattr(device, "kernel", "") in _EXACT_KERNELS:
        return f"{type(device).__name__} is updated exactly"
    return ""


def _why_idle(part: Any, field: attrs.Attribute[Any], acts_on: str) -> str:
    """Say why a field of a part that is in use does nothing, or ""."""
    name = field.name
    facts = field.metadata.get("effect") or _NO_FACTS
    if getattr(part, "is_perfect", False) and name not in ("is_perfect", "out_scale"):
        return "is_perfect is True"
    mv_type = getattr(part, "mv_type", None)
    if mv_type is AnalogMVType.IDEAL and name not in ("mv_type", "out_scale"):
        return "mv_type is IDEAL"
    pulse_type = getattr(part, "pulse_type", None)
    if pulse_type in _EXACT_UPDATES and name != "pulse_type":
        return f"pulse_type is {pulse_type.name}"
    implicit = pulse_type is PulseType.DETERMINISTIC_IMPLICIT
    if pulse_type is not None and _RESOLUTIONS.get(name, implicit) is not implicit:
        return f"pulse_type is {pulse_type.name}"
    if field.metadata.get("pending") and field.metadata.get("kind") != "choice":
        return "it is not built yet"  # and so it has its default, which does nothing
    if field.metadata.get("kind") == "derived":
        return "it follows from other fields"
    if acts_on and acts_on in facts.idle_in:
        return f"it does nothing in {acts_on}"
    reasons = [_why_off(part, name, acts_on) for name in facts.needs]
    if reasons and all(reasons):
        return " and ".join(dict.fromkeys(reasons))
    chosen = {name: getattr(part, name) for name in facts.choices}
    if chosen and not any(chosen[n] in facts.choices[n] for n in chosen):
        return " and ".join(f"{n} is {_text(value)}" for n, value in chosen.items())
    return ""


def _why_off(part: Parameters, name: str, acts_on: str) -> str:
    """Say why a field that another one needs is not there, or ""."""
    field = getattr(attrs.fields(type(part)), name)
    value = getattr(part, name)
    if is_off(field.metadata.get("effect") or _NO_FACTS, value):
        return f"{name} is {_text(value)}"
    return _why_idle(part, field, acts_on)


def _line(use: Use, text: str) -> str:
    return f"{'  ' * len(use.path)}{use.path[-1]}: {text}"


def _text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    return f"{value:g}" if isinstance(value, float) else str(value)
