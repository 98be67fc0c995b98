"""Arrays that are read in time slices, or with noisy conductances: `IOParametersIRDropT`.

An input is on for a number of slices, and in each slice the array is a ladder of segments
along every line (Thevenin's theorem).  The resistances of the ladder depend on the weights
alone, so the current of a slice is linear in the inputs that are on, and the charge of all
slices is linear in the numbers of slices.  What is needed of the ladder is therefore a
matrix, as good as the weights for as long as they stay, and what an output gets in each
slice whatever the inputs are.

Where conductances are noisy anew in each read, no matrix can stand for the ladder: the kernels
walk it, and need but a few numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpupy.errors import ConfigError

from ._common import Floats

__all__ = ["NoisyArray", "SlicedArray", "fitted_rows", "noisy_array", "sliced_array"]

#: Largest conductance of a device, in uS; a weight is a pair of them, from 0.
_G_MAX = 25.0
#: Voltages of a row that is on: 0.4 V more or less 0.2 V on the two devices of a pair.
_V_MIDDLE, _V_SWING = 0.4, 0.2
#: What every segment of a line conducts at least, in uS: none is without a way.
_LEAK = 1e-12


@dataclass(frozen=True)
class SlicedArray:
    """What stands in for the weights of an array that is read in time slices.

    Attributes
    ----------
    weights : ndarray of float32, shape (out, in)
        Weights as the ends of the lines see them.
    offset : ndarray of float32, shape (out,)
        What an output gets in each slice.
    charge_unit : float
        One pulse of the converter that counts charge, in units of the output; 0: none.
    """

    weights: Any
    offset: Any
    charge_unit: float


@dataclass(frozen=True)
class NoisyArray:
    """What kernels need to read an array whose conductances are noisy in each read.

    Conductances are in units of that of a weight of 1.

    Attributes
    ----------
    segments, per_segment : int
        Segments of a line, and rows of each.
    front : int
        Rows before the first input.
    timed : bool
        Whether the array is read in time slices, through wires.
    wire : float
        Resistance of the wire between two segments.
    leak : float
        What every segment conducts at least.
    slice_offset : float
        What an output gets in each slice, times the resistance of its line.
    noise : float
        Scale of the noise.
    per_microsiemens : float
        A conductance of 1 uS.
    charge_unit : float
        As in `SlicedArray`.
    """

    segments: int
    per_segment: int
    front: int
    timed: bool
    wire: float
    leak: float
    slice_offset: float
    noise: float
    per_microsiemens: float
    charge_unit: float


def fitted_rows(config: Any, in_size: int) -> int:
    """Rows of the physical array that the inputs of a tile are placed on.

    Parameters
    ----------
    config : RPUConfigBase
        Configuration of the tile.
    in_size : int
        Inputs of the array.

    Returns
    -------
    int
        ``mapping.max_input_size``, or the inputs where they are more.

    Raises
    ------
    ConfigError
        If segments of equal length do not make up these rows.
    """
    rows = max(in_size, config.mapping.max_input_size)
    segments = config.forward.ir_drop_segments
    if rows % segments != 0:
        raise ConfigError(
            "IOParametersIRDropT.ir_drop_segments must divide the rows of the array"
            f" ({rows}), got {segments}"
        )
    return rows


def sliced_array(weights: Floats, io: Any, rows: int) -> SlicedArray:
    """Work out the ladders of all lines.

    Elementwise operations in double precision, in a fixed order: the same bits on every
    machine.

    Parameters
    ----------
    weights : ndarray of float32, shape (out, in)
    io : IOParametersIRDropT
    rows : int
        Rows of the physical array; the inputs are in its middle.

    Returns
    -------
    SlicedArray
    """
    w = weights.astype(np.float64)
    scale = _microsiemens(weights)
    place = _places(w.shape, rows)
    per_segment = rows // io.ir_drop_segments
    g = np.zeros((io.ir_drop_segments, len(w)))
    outputs = np.arange(len(w))
    for j in range(w.shape[1]):
        g[place[:, j] // per_segment, outputs] += np.abs(w[:, j]) * scale
    g += _LEAK
    wire = _wire(io, per_segment)

    # From the far end: what the voltage of each segment counts for at the near one.
    share = np.zeros_like(g)
    share[0] = 1.0
    resistance = 1.0 / g[0]
    for segment in range(1, len(g)):
        behind = resistance + wire
        resistance = behind / (1.0 + behind * g[segment])
        share[:segment] *= resistance / behind
        share[segment] = resistance * g[segment]
    resistance = resistance + wire / 2
    current = np.full(len(w), -io.ir_drop_v_read)
    for segment in range(len(g)):
        full = (g[segment] - _LEAK) / g[segment]
        current += share[segment] * (_V_MIDDLE * full)
    current /= resistance  # of a slice without inputs, uA

    unit = _step(io) / (scale * _V_SWING)  # of the output, for 1 uA in one slice
    seen = share / resistance / g
    effective = w * seen[place // per_segment, outputs[:, None]]
    return SlicedArray(
        effective.astype(np.float32),
        (current * unit).astype(np.float32),
        _charge_unit(io, unit),
    )


def noisy_array(weights: Floats, io: Any, rows: int) -> NoisyArray:
    """Work out what kernels need where conductances are noisy in each read.

    Parameters
    ----------
    weights : ndarray of float32, shape (out, in)
    io : IOParametersIRDropT
    rows : int
        Rows of the physical array; 0: it has no wires, and no time slices.

    Returns
    -------
    NoisyArray
    """
    inputs = weights.shape[1]
    scale = _microsiemens(weights)
    noise = {"noise": io.xdep_pcm_read_noise_scale, "per_microsiemens": 1.0 / scale}
    if rows == 0:
        return NoisyArray(1, inputs, 0, False, 0.0, 0.0, 0.0, **noise, charge_unit=0.0)
    per_segment = rows // io.ir_drop_segments
    return NoisyArray(
        segments=io.ir_drop_segments,
        per_segment=per_segment,
        front=(rows - inputs) // 2,
        timed=True,
        wire=_wire(io, per_segment) * scale,
        leak=_LEAK / scale,
        slice_offset=(_V_MIDDLE - io.ir_drop_v_read) * _step(io) / _V_SWING,
        charge_unit=_charge_unit(io, _step(io) / (scale * _V_SWING)),
        **noise,
    )


def _microsiemens(weights: Floats) -> float:
    """Conductance of a weight of 1, in uS."""
    return _G_MAX / max(float(np.abs(weights).max()), 1e-7)


def _wire(io: Any, per_segment: int) -> float:
    """Resistance of the wire between two segments, in MOhm."""
    return float(1e-6 * io.ir_drop * io.ir_drop_rs * per_segment)


def _step(io: Any) -> float:
    """Step of the inputs."""
    return 2.0 * (1.0 / io.inp_res if io.inp_res > 1.0 else io.inp_res)


def _charge_unit(io: Any, unit: float) -> float:
    """One pulse of the converter that counts charge, if there is one."""
    return 100.0 / io.adc_frequency * unit if io.adc_quantization else 0.0


def _places(shape: tuple[int, ...], rows: int) -> NDArray[np.int64]:
    """Row of each weight, counted from the far end: odd lines are read at the other."""
    outputs, inputs = shape
    row = (rows - inputs) // 2 + np.arange(inputs)
    return np.where(np.arange(outputs)[:, None] % 2 == 0, row, rows - 1 - row)
