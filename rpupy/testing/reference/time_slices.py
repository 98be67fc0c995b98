"""The way of one vector through an array that is read in time slices.

Slice by slice, as the physics goes: a Thevenin source for each row, a ladder of segments
from the far end of each line to the near one, and the charge of all slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpupy.parameters.enums import AnalogMVType

from .arithmetic import F32, SMALLEST_NORMAL, Floats, fma
from .product import Vector
from .random_numbers import Pass, Purpose

#: Largest conductance in uS, and the voltages of a row that is off, and of one that is on.
G_MAX, V_OFF, V_SWING = 25.0, 0.4, 0.2
#: Read noise: powers of log10 of the mean duration, for what is relative and in uS.
NOISE_SLOPE = (2.1926e-4, -1.87352e-3, 6.55714e-3, -0.0146159, 0.02578764)
NOISE_FLOOR = (
    1.11906167e-3,
    -9.08576764e-3,
    3.07015063e-2,
    -6.77079241e-2,
    0.117763144,
)
#: By how much of a level an input has to exceed a slice: less is rounding.
TIE = F32(1e-3)


@dataclass(eq=False)
class SlicedVector(Vector):
    """The way of one vector; `rows` are those of the physical array.

    Wires count in evaluation alone, and forward alone.
    """

    rows: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        io = self.io
        self.sliced = self.which is Pass.FORWARD_EVAL and io.ir_drop > 0.0
        noisy = io.apply_xdep_pcm_read_noise and io.xdep_pcm_read_noise_scale != 0.0
        self.noisy = noisy and not self.backward
        self.approximate = self.sliced or self.noisy
        self.out_asymmetry = io.out_asymmetry

    def _round(self, x: Floats, c: np.float32, number: int) -> tuple[Floats, bool]:
        v = self._input(x, c, number)
        self.terms = np.abs(self.weights) @ self._driven
        step = self._step(self.io.inp_res, self.io.inp_bound)
        one_pass = self.io.mv_type is AnalogMVType.ONE_PASS
        if not self.sliced and one_pass:
            weights = self._noisy_weights(v / step, number, 0)
            return self._convert(self._matrix_product(v, weights), number, 0)
        total, fits = np.zeros(len(self.weights), dtype=np.float32), True
        for part, (digits, slices, significance) in enumerate(self._passes(v)):
            weights = self._noisy_weights(
                v / step if one_pass else digits, number, part
            )
            if self.sliced:
                y = self._read(digits, slices, weights)
            else:
                y = self._matrix_product(digits * step, weights)
            y, part_fits = self._convert(y, number, part)
            total = y if part == 0 else fma(F32(significance), y, total)
            fits = fits and part_fits
        return total, fits

    def _noisy_weights(self, durations: Any, number: int, part: int) -> Floats:
        """Return the weights with the read noise of one pass."""
        t = float(np.abs(durations).mean())
        if not self.noisy or t == 0.0:
            return self.weights
        log_t = np.log10(max(t, float(SMALLEST_NORMAL)))
        slope = np.polyval(NOISE_SLOPE, log_t)
        floor = np.polyval(NOISE_FLOOR, log_t) / self._microsiemens()
        lines, inputs = self.weights.shape
        element = np.arange(lines)[:, None] * -(-inputs // 4) + np.arange(inputs) // 4
        z = self.random.normals(
            self.stream + Purpose.WEIGHT_NOISE,
            element,
            self.ordinal,
            draw=number << 4 | part,
            part=np.arange(inputs) % 4,
            shares_block=True,
        )
        scale = self.io.xdep_pcm_read_noise_scale
        std = F32(slope * scale) * np.abs(self.weights) + F32(floor * scale)
        return np.where(self.weights == 0.0, F32(0), self.weights + std * z)

    def _microsiemens(self) -> float:
        """Return the conductance of a weight of 1."""
        return G_MAX / max(float(np.abs(self.weights).max()), 1e-7)

    def _passes(self, v: Floats) -> list[tuple[Floats, int, int]]:
        """Return what each pass drives, in levels; its slices; and its significance."""
        io = self.io
        slices = round(io.levels()) + 1
        if io.mv_type is AnalogMVType.ONE_PASS:
            scale = io.ir_drop_time_step_resolution_scale
            slices = int((io.levels() + 1.0) * scale + 1e-6)
            size = np.abs(v) * F32(slices - 1)
        else:
            size = np.abs(v) / self._step(io.inp_res, io.inp_bound)
        above = np.maximum(size - TIE, F32(0))
        if io.inp_noise > 0.0:
            self._note_ties(np.abs(above - np.rint(above)))
        level = np.where(size > TIE, np.floor(above) + F32(1), F32(0))
        sign = np.where(v < 0, F32(-1), F32(1))
        if io.mv_type is AnalogMVType.ONE_PASS:
            return [(sign * level, slices, 1)]
        if io.mv_type is AnalogMVType.SPLIT_MODE:
            unit = 2**io.split_mode_bit_shift
            low, high = level % F32(unit), level // F32(unit)
            return [(sign * low, unit, 1), (sign * high, slices // unit, unit)]
        bits = [(level // F32(2**n)) % F32(2) for n in range(io.bits() - 1)]
        return [(sign * bit, 2, 2**n) for n, bit in enumerate(bits)]

    def _read(self, digits: Floats, slices: int, weights: Floats) -> Floats:
        """Return the charge of a pass, in units of the output."""
        io = self.io
        scale = self._microsiemens()
        current = self._currents(digits, slices, weights * np.float64(scale))
        charge = current.sum(axis=0)
        if (
            not io.ir_drop_integration_sum
        ):  # trapezoids; the first slice counts before 0
            charge += (current[0] - current[-1]) / 2
        if io.adc_quantization:
            pulses = charge / 100.0 * io.adc_frequency
            total = np.abs(current).sum(axis=0) / 100.0 * io.adc_frequency
            off = np.abs(pulses - np.rint(pulses)) / (1.0 + total)
            self._note_ties(np.where(np.rint(pulses) == 0.0, np.inf, off))
            charge = np.trunc(pulses) * 100.0 / io.adc_frequency
        return np.asarray(charge / (scale * V_SWING * io.levels()), dtype=np.float32)

    def _currents(
        self, digits: Floats, slices: int, pairs: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the current of each slice and line in uA, shape (slices, out).

        `pairs` are differences of conductances in uS.
        """
        io = self.io
        lines, inputs = pairs.shape
        front = (self.rows - inputs) // 2
        here = slice(front, front + inputs)
        difference = np.zeros((lines, self.rows))  # of the conductances of a pair
        difference[:, here] = pairs
        on = np.zeros((slices, lines, self.rows))
        running = np.abs(digits) > np.arange(slices)[:, None]
        on[:, :, here] = (running * np.sign(digits))[:, None]
        # Odd lines are read at the other end.
        difference[1::2] = difference[1::2, ::-1].copy()
        on[:, 1::2] = on[:, 1::2, ::-1].copy()

        g = np.abs(difference)
        source = g * V_OFF + difference * V_SWING * on
        segments, per_segment = io.ir_drop_segments, self.rows // io.ir_drop_segments
        g = g.reshape(lines, segments, per_segment).sum(axis=-1) + 1e-12
        source = source.reshape(slices, lines, segments, per_segment).sum(axis=-1) / g
        wire = 1e-6 * io.ir_drop * io.ir_drop_rs * per_segment
        voltage, resistance = source[..., 0], 1.0 / g[:, 0]
        for segment in range(1, segments):
            behind, own = resistance + wire, 1.0 / g[:, segment]
            resistance = behind * own / (behind + own)
            voltage = (voltage / behind + source[..., segment] / own) * resistance
        return np.asarray(
            (voltage - io.ir_drop_v_read) / (resistance + wire / 2), dtype=np.float64
        )
