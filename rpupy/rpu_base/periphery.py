"""What one direction of the product has of its own: packed parameters, drawn lines, stages.

Lines (and with read asymmetry, devices) draw some numbers once, when a tile is built.
They belong to its state, as named arrays, and can be read and set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rpupy.parameters.enums import AnalogMVType, NoiseManagementType
from rpupy.parameters.io import IOParametersIRDropT

from . import _common, _cpu
from ._common import Floats

__all__ = ["AVERAGE", "INPUT_STAGES", "STAGES", "check", "draw", "shapes", "traced"]

#: The running mean of AVERAGE_ABS_MAX: below 0 before the first vector.
AVERAGE = "input_average"
#: Steps of a vector through the array: the enum Stage of csrc/mvm/io.h.
STAGES = (
    "scaled",
    "input_rounded",
    "input_clipped",
    "input_noise",
    "input_asymmetry",
    "driven",
    "product",
    "ir_drop",
    "series",
    "weight_noise",
    "charge",
    "nonlinearity",
    "output_asymmetry",
    "output_noise",
    "output_rounded",
    "output_clipped",
)
#: How many of them are of inputs.
INPUT_STAGES = 6

_TWO_PASSES = (
    AnalogMVType.POS_NEG_SEPARATE,
    AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
)
#: Stream IO_DEVICE: number n is normal n & 3 of the block with draw n >> 2 (docs/randomness.md).
_STREAM = 1
_NUMBERS = {"out_noise_values": 0, "out_nonlinearity": 1, "v_offset": 2}
_BACKWARD = 4
#: A device is the same whichever way it is read.
_W_ASYMMETRY = 8


def shapes(
    io: Any, outputs: int, crosspoints: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array that the parameters of a direction ask for.

    Parameters
    ----------
    io : IOParameters
        Parameters of the direction.
    outputs : int
        Lines of its output side.
    crosspoints : tuple of int
        Shape of the array.

    Returns
    -------
    dict of str to tuple of int
    """
    if io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
        return {}
    found: dict[str, tuple[int, ...]] = {}
    if io.out_noise_std > 0.0:
        found["out_noise_values"] = (outputs,)
    if io.out_nonlinearity > 0.0:
        found["out_nonlinearity"] = (outputs,)
    if io.out_nonlinearity > 0.0 or io.r_series > 0.0:
        found["out_nonlinearity_factor"] = ()
    if io.v_offset_std > 0.0:
        found["v_offset"] = (outputs,)
    if io.w_read_asymmetry_dtod > 0.0 and io.mv_type in _TWO_PASSES:
        found["w_asymmetry"] = crosspoints
    if io.noise_management is NoiseManagementType.AVERAGE_ABS_MAX:
        found[AVERAGE] = (1,)
    return found


def draw(
    io: Any,
    backward: bool,
    key: tuple[int, ...],
    wanted: Mapping[str, tuple[int, ...]],
    plane: int = 0,
) -> dict[str, Floats]:
    """Draw what `shapes` names.

    Parameters
    ----------
    io : IOParameters
        Parameters of the direction.
    backward : bool
        Which direction.
    key : tuple of int
        Key of the tile's random numbers.
    wanted : mapping of str to tuple of int
        What `shapes` returned.
    plane : int
        Number of the cell for whose reads it is; 0 for the products of the tile.

    Returns
    -------
    dict of str to ndarray of float32
    """
    f32 = np.float32
    bound = f32(io.out_bound if io.out_bound > 0.0 else 1.0)
    drawn: dict[str, Floats] = {}

    def normals(name: str) -> Floats:
        number = _NUMBERS[name] + (_BACKWARD if backward else 0)
        lines = np.arange(*wanted[name], dtype=np.uint32)
        return _normals(key, plane, lines, number)

    with _cpu.DefaultEnvironment(), np.errstate(over="ignore", under="ignore"):
        for name, shape in wanted.items():
            if name == "out_noise_values":
                spread = f32(io.out_noise_std) * normals(name)
                drawn[name] = np.abs(f32(io.out_noise) * (f32(1) + spread))
            elif name == "out_nonlinearity":
                spread = f32(max(io.out_nonlinearity_std, 0.0)) * normals(name)
                strength = f32(io.out_nonlinearity) / bound
                drawn[name] = np.abs(strength * (f32(1) + spread))
            elif name == "out_nonlinearity_factor":
                mean = 0.0
                if "out_nonlinearity" in drawn:
                    strengths = drawn["out_nonlinearity"]
                    mean = math.fsum(strengths.tolist()) / strengths.size
                slope = 1.0
                if io.slope_calibration > 0.0:
                    loss = mean + max(io.r_series, 0.0)
                    slope += loss * io.slope_calibration * float(bound)
                drawn[name] = np.array(slope * slope, dtype=np.float32)
            elif name == "v_offset":
                drawn[name] = np.maximum(f32(io.v_offset_std) * normals(name), f32(0))
            elif name == "w_asymmetry":
                drawn[name] = np.empty(shape, dtype=np.float32)
                std = f32(io.w_read_asymmetry_dtod)
                columns = np.arange(shape[1], dtype=np.int64)
                for i, row in enumerate(drawn[name]):
                    crosspoint = (columns + i * shape[1]).astype(np.uint32)
                    z = _normals(key, plane, crosspoint, _W_ASYMMETRY)
                    row[...] = f32(1) + std * z
            else:
                drawn[name] = np.full(shape, -1.0, dtype=np.float32)
    return drawn


def _normals(
    key: tuple[int, ...], plane: int, elements: np.ndarray, number: int
) -> Floats:
    """Draw one normal number for each element of the stream IO_DEVICE."""
    counters = np.zeros((elements.size, 4), dtype=np.uint32)
    counters[:, 0] = elements
    counters[:, 3] = _STREAM << 24 | plane << 16 | number >> 2
    blocks = _cpu.words_to_normals(_cpu.draw_words(counters, key))
    return np.ascontiguousarray(blocks[:, number & 3])


def check(
    parameters: Mapping[str, ArrayLike], has: Mapping[str, tuple[int, ...]]
) -> dict[str, Floats]:
    """Convert new values of what lines have drawn.

    Parameters
    ----------
    parameters : mapping of str to array_like
        By name.
    has : mapping of str to tuple of int
        Names and shapes that the direction has.

    Returns
    -------
    dict of str to ndarray of float32

    Raises
    ------
    TypeError, ValueError
        If a name is unknown, or a value is not finite or of another shape.
    """
    values = {}
    for name, value in parameters.items():
        if name not in has:
            known = ", ".join(has) or "none: its lines draw nothing"
            raise ValueError(
                f"parameters must have names that this direction has ({known}),"
                f" got {name!r}"
            )
        array = _common.real_array(value, f"parameters[{name!r}]")
        if array.shape != has[name]:
            raise ValueError(
                f"parameters[{name!r}] must have shape {has[name]}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"parameters[{name!r}] must be finite")
        values[name] = array.copy()
    return values


def traced(io: Any) -> dict[str, tuple[int, int]]:
    """Name, number and passes of each step that a trace shows.

    Parameters
    ----------
    io : IOParameters or None
        Parameters of the forward direction; None where it is exact.

    Returns
    -------
    dict of str to tuple of int
    """
    if io is None or io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
        return {"product": (STAGES.index("product"), 1)}
    passes = 2 if io.mv_type in _TWO_PASSES else 1
    if isinstance(io, IOParametersIRDropT):
        split = {AnalogMVType.SPLIT_MODE: 2, AnalogMVType.BIT_WISE: io.bits() - 1}
        passes = split.get(io.mv_type, 1)
    digital = io.mv_type is not AnalogMVType.POS_NEG_SEPARATE
    first, last = STAGES.index("driven"), STAGES.index("charge")
    found = {}
    for number, name in enumerate(STAGES):
        of_passes = first <= number <= last or (number > last and digital)
        found[name] = (number, passes if of_passes else 1)
    return found
