"""The parameters of a configuration that act, as text."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from rpupy.parameters.base import Parameters
from rpupy.parameters.enums import AnalogMVType, PulseType

__all__ = ["parameters_in_use"]

#: Field -> field of the same object without which it does nothing.
_NEEDS = {
    "apply_write_noise_on_set": "write_noise_std",
    "bm_test_negative_bound": "bound_management",
    "bound_management": "out_bound",
    "corrupt_devices_range": "corrupt_devices_prob",
    "diffusion_dtod": "diffusion",
    "dw_min_dtod_log_normal": "dw_min_dtod",
    "dw_min_std_add": "dw_min_std",
    "dw_min_std_slope": "dw_min_std",
    "inp_res": "inp_bound",
    "inp_sto_round": "inp_res",
    "ir_drop_g_ratio": "ir_drop",
    "lifetime_dtod": "lifetime",
    "max_bm_factor": "bound_management",
    "max_bm_res": "bound_management",
    "n_estimation_steps": "subtract_symmetry_point",
    "nm_decay": "noise_management",
    "nm_assumed_wmax": "noise_management",
    "nm_thres": "noise_management",
    "out_res": "out_bound",
    "out_sto_round": "out_res",
    "v_offset_w_min": "v_offset_std",
    "w_noise": "w_noise_type",
    "weight_scaling_columnwise": "weight_scaling_omega",
    "weight_scaling_lr_compensation": "weight_scaling_omega",
}

#: Fields that the backward product does not use.
_FORWARD_ONLY = frozenset(
    {"bm_test_negative_bound", "bound_management", "max_bm_factor", "max_bm_res"}
)

#: Fields that say something at zero, too.
_ALWAYS = frozenset({"dw_min", "w_max", "w_min"})

#: Fields that act on layers of several tiles, or that a tile shows in another way.
_ELSEWHERE = frozenset({"digital_bias", "max_input_size", "max_output_size"})


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
    return _lines(config, "  ", frozenset())


def _lines(part: Parameters, indent: str, hidden: frozenset[str]) -> list[str]:
    lines = []
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        if isinstance(value, Parameters):
            hide = _FORWARD_ONLY if field.name == "backward" else frozenset()
            inner = [] if _idle(part, value) else _lines(value, indent + "  ", hide)
            if inner or field.name == "device":
                lines += [f"{indent}{field.name}: {type(value).__name__}", *inner]
        elif field.name not in hidden and _acts(part, field):
            lines.append(f"{indent}{field.name}: {_text(value)}")
    return lines


def _idle(owner: Parameters, part: Parameters) -> bool:
    """Whether a whole part does nothing."""
    if hasattr(part, "pulse_type"):
        # A device without steps is updated exactly, whatever the pulses are.
        return not hasattr(getattr(owner, "device", None), "dw_min")
    switch = next((s for s in ("enable", "nu") if hasattr(part, s)), None)
    return switch is not None and _off(getattr(part, switch))


def _acts(part: Any, field: attrs.Attribute[Any]) -> bool:
    name = field.name
    if getattr(part, "is_perfect", False):
        return name == "is_perfect" or (name == "out_scale" and part.out_scale != 1.0)
    if getattr(part, "mv_type", None) is AnalogMVType.IDEAL:
        return name == "mv_type" or (name == "out_scale" and part.out_scale != 1.0)
    if getattr(part, "pulse_type", None) is PulseType.NONE:
        return name == "pulse_type"
    # What is not built yet has only its default, which then does nothing.
    idle = field.metadata.get("pending") and field.metadata.get("kind") != "choice"
    if name in _ELSEWHERE or idle or field.metadata.get("kind") == "derived":
        return False
    if name == "reverse_offset":
        return part.reverse_up or part.reverse_down
    needed = _NEEDS.get(name)
    if needed is not None and hasattr(part, needed) and _off(getattr(part, needed)):
        return False
    return name in _ALWAYS or not _off(getattr(part, name))


def _off(value: Any) -> bool:
    """Whether a value means that something is not there."""
    if isinstance(value, enum.Enum):
        return value.name == "NONE" and not isinstance(value, PulseType)
    return value is None or value == 0 or value == ()


def _text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    return f"{value:g}" if isinstance(value, float) else str(value)
