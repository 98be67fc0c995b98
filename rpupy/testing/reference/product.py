"""The way of one vector through the array."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rpupy.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)

from .arithmetic import (
    F32,
    SMALLEST_NORMAL,
    Floats,
    chain_sum,
    clip,
    fma,
    resolution,
    round_to_grid,
)
from .random_numbers import LineDraw, Pass, Purpose, RandomNumbers, Stream

TWO_PASSES = (
    AnalogMVType.POS_NEG_SEPARATE,
    AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
)


class LineDraws:
    """What lines and devices draw once for the product."""

    def __init__(self, random: RandomNumbers, shape: tuple[int, int]) -> None:
        self.random = random
        self.shape = shape
        self.devices: Any = None

    def _normals(self, number: int, elements: Any) -> Any:
        return self.random.normals(
            Stream.IO_DEVICE,
            elements,
            0,
            draw=number >> 2,
            part=number & 3,
            shares_block=True,
        )

    def _of_devices(self) -> Any:
        """Draw for each crosspoint: once, a device is the same in both directions."""
        if self.devices is None:
            crosspoints = np.arange(math.prod(self.shape)).reshape(self.shape)
            self.devices = self._normals(LineDraw.W_ASYMMETRY, crosspoints)
        return self.devices

    def of(self, io: Any, backward: bool) -> dict[str, Any]:
        """Draw for one direction, as far as its parameters ask for it."""
        drawn: dict[str, Any] = {}
        if io is None or io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
            return drawn
        first = LineDraw.BACKWARD if backward else 0
        lines = np.arange(self.shape[1] if backward else self.shape[0])
        bound = F32(io.out_bound) if io.out_bound > 0.0 else F32(1)
        if io.out_noise_std > 0.0:
            z = self._normals(first + LineDraw.OUT_NOISE, lines)
            drawn["out_noise_values"] = np.abs(
                F32(io.out_noise) * (F32(1) + F32(io.out_noise_std) * z)
            )
        mean = 0.0
        if io.out_nonlinearity > 0.0:
            z = self._normals(first + LineDraw.NONLINEARITY, lines)
            spread = F32(1) + F32(max(io.out_nonlinearity_std, 0.0)) * z
            strengths = np.abs(F32(io.out_nonlinearity) / bound * spread)
            drawn["out_nonlinearity"] = strengths
            mean = math.fsum(strengths.tolist()) / len(strengths)
        if io.out_nonlinearity > 0.0 or io.r_series > 0.0:
            slope = 1.0
            if io.slope_calibration > 0.0:
                loss = mean + max(io.r_series, 0.0)
                slope += loss * io.slope_calibration * float(bound)
            drawn["out_nonlinearity_factor"] = F32(slope * slope)
        if io.v_offset_std > 0.0:
            z = self._normals(first + LineDraw.V_OFFSET, lines)
            drawn["v_offset"] = np.maximum(F32(io.v_offset_std) * z, F32(0))
        if io.w_read_asymmetry_dtod > 0.0 and io.mv_type in TWO_PASSES:
            std = F32(io.w_read_asymmetry_dtod)
            drawn["w_asymmetry"] = F32(1) + std * self._of_devices()
        return drawn


@dataclass(eq=False)
class Vector:
    """The way of one vector through the array.

    Parameters
    ----------
    random : RandomNumbers
    weights : ndarray of float32
        With outputs as rows.
    io : IOParameters or None
        None for an exact product.
    which : Pass
    ordinal : int
        Number of the vector in its pass.
    drawn : dict
        What `LineDraws` gave; ``w_asymmetry`` with outputs as rows, too.
    average : float
        The running mean of noise management after this vector, if it has one.
    backward : bool
        Whether a read goes backward; passes of that name do.
    """

    random: RandomNumbers
    weights: Floats
    io: Any
    which: Pass
    ordinal: int
    drawn: dict[str, Any] = field(default_factory=dict)
    average: Any = 0.0
    backward: bool = False

    def __post_init__(self) -> None:
        self.backward |= self.which in (Pass.BACKWARD, Pass.BACKWARD_EVAL)
        self.stream = Stream.PRODUCT + 5 * self.which
        self.tie_distance = math.inf
        #: For each output, the magnitudes of all that was added up to it.
        self.terms = np.zeros(len(self.weights))
        # Whether products are not those of the kernels to the last bit.
        self.approximate = False
        io = self.io
        self.out_asymmetry = 0.0 if io is None else max(io.out_asymmetry, 0.0)

    def product(self, x: Floats) -> Floats:
        """Return the result, after all rounds of bound management."""
        io = self.io
        if io is None or io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
            y, scale = self._matrix_product(x), 1.0 if io is None else io.out_scale
            self.terms = np.abs(self.weights) @ np.abs(x) * np.float64(abs(scale))
            return y if io is None else y * F32(scale)
        if not np.isfinite(x).all():
            return np.full(len(self.weights), np.nan, dtype=np.float32)

        managed = io.noise_management is not NoiseManagementType.NONE
        s = self._noise_management(x)
        # Anything below the smallest normal number counts as zero.
        if managed and s < SMALLEST_NORMAL:
            s = F32(1)
            if self.backward or io.inp_noise <= 0.0:
                return np.zeros(len(self.weights), dtype=np.float32)
        repeats = (
            io.bound_management is not BoundManagementType.NONE and not self.backward
        )
        starts_anew = (
            io.bound_management is BoundManagementType.ITERATIVE_WORST_CASE
            and io.noise_management is not NoiseManagementType.ABS_MAX_NP_SUM
        )
        step = self._step(io.inp_res, io.inp_bound)
        reduction, number = F32(1), 0
        while True:
            if number == 1 and starts_anew:
                s, reduction = self._worst_case(x), F32(1)
                s = s if s >= SMALLEST_NORMAL else F32(1)
            c = (F32(1) / s if managed else F32(1)) / reduction
            self.terms = np.zeros(len(self.weights))
            y, fits = self._round(x, c, number)
            if (
                not repeats
                or fits
                or int(reduction) > io.max_bm_factor
                or (step > 0 and reduction > F32(io.max_bm_res) / step)
            ):
                scale = F32(io.out_scale) / c
                self.terms = self.terms * np.float64(abs(scale))
                return y * scale
            reduction *= F32(2)
            number += 1

    def _noise_management(self, x: Floats) -> np.float32:
        io = self.io
        kind = io.noise_management
        if kind is NoiseManagementType.NONE:
            return F32(1)
        if kind is NoiseManagementType.CONSTANT:
            return F32(io.nm_thres) if io.nm_thres > 0 else F32(1)
        if kind is NoiseManagementType.AVERAGE_ABS_MAX:
            return F32(self.average)
        if kind is NoiseManagementType.ABS_MAX_NP_SUM:
            return self._worst_case(x)
        return self._capped(
            x.max() if kind is NoiseManagementType.MAX else np.abs(x).max()
        )

    def _capped(self, s: Any) -> np.float32:
        cap = F32(self.io.nm_thres)
        return min(s, cap) if cap > 0 else F32(s)

    def _worst_case(self, x: Floats) -> np.float32:
        """At least the output that positive or negative inputs alone could cause."""
        io = self.io
        s = self._capped(np.abs(x).max())
        zero = F32(0)
        sums = chain_sum(np.maximum(x, zero)), chain_sum(np.maximum(-x, zero))
        bound = F32(io.out_bound) if io.out_bound > 0.0 else F32(1)
        worst = max(sums) * F32(io.nm_assumed_wmax) / bound
        step = self._step(io.inp_res, io.inp_bound)
        if step > 0:
            worst = min(worst, s * F32(io.max_bm_res) / step)
        return max(s, worst)

    @staticmethod
    def _step(res: float, bound: float) -> np.float32:
        if bound <= 0.0:
            return F32(0)
        return resolution(res) * F32(2) * F32(bound)

    def _drawn(
        self, kind: str, purpose: Purpose, number: int, lines: int, part: int = 0
    ) -> Any:
        """Draw for each line; lines 64q + 16l + r have value l of block 16q + r."""
        line = np.arange(lines)
        draw = getattr(self.random, kind)
        return draw(
            self.stream + purpose,
            line // 64 * 16 + line % 16,
            self.ordinal,
            draw=number << 4 | part,
            part=line % 64 // 16,
            shares_block=True,
        )

    def _round(self, x: Floats, c: np.float32, number: int) -> tuple[Floats, bool]:
        """Run one round of bound management, without the digital factor."""
        io = self.io
        v = self._input(x, c, number)
        if io.mv_type not in TWO_PASSES:
            return self._convert(self._analog(v, number, 0), number, 0)
        parts = [np.maximum(v, F32(0)), np.minimum(v, F32(0))]
        analog = [self._analog(part, number, k) for k, part in enumerate(parts)]
        if io.mv_type is AnalogMVType.POS_NEG_SEPARATE:
            return self._convert(analog[0] + analog[1], number, 0)
        results = [self._convert(y, number, k) for k, y in enumerate(analog)]
        return results[0][0] + results[1][0], results[0][1] and results[1][1]

    def _input(self, x: Floats, c: np.float32, number: int) -> Floats:
        """Scale, round, clip, noise, asymmetry."""
        io = self.io
        v = x * c
        step = self._step(io.inp_res, io.inp_bound)
        if step > 0:
            shift = F32(0)
            if io.inp_sto_round:
                u = self._drawn("uniforms", Purpose.INPUT_ROUND, number, x.size)
                shift = u - F32(0.5)
            v = round_to_grid(v, step, shift)
        if io.inp_bound > 0.0:
            v = clip(v, -F32(io.inp_bound), F32(io.inp_bound))
        self._driven = np.abs(v).astype(np.float64)
        if io.inp_noise > 0.0:
            z = self._drawn("normals", Purpose.INPUT_NOISE, number, x.size)
            self._driven = np.abs(v) + np.abs(io.inp_noise * z.astype(np.float64))
            v = fma(F32(io.inp_noise), z, v)
        if io.inp_asymmetry != 0.0:
            v = np.where(v < 0, v * (F32(1) - F32(io.inp_asymmetry)), v)
            self._driven = self._driven * (1.0 + abs(io.inp_asymmetry))
        return v

    def _analog(self, v: Floats, number: int, part: int) -> Floats:
        """Run one pass over the array: product, wires, resistance, noise."""
        io = self.io
        weights = self.weights
        if part == 1 and "w_asymmetry" in self.drawn:
            weights = weights * self.drawn["w_asymmetry"]
        y = self._matrix_product(v, weights)
        terms = np.abs(weights) @ self._driven
        if io.ir_drop > 0.0:
            terms = terms * (1.0 + self._largest_drop(terms))
            y = self._wires(y, v, weights)
        if io.r_series > 0.0 or "v_offset" in self.drawn:
            reference = max(abs(io.v_offset_w_min), 0.0) * self._driven.sum()
            offset = self.drawn.get("v_offset", 0.0)
            terms = (1.0 + np.abs(offset)) * (terms + 3.0 * reference)
            y = self._resistance(y, v)
        self.terms = self.terms + terms
        if io.w_noise <= 0.0 or io.w_noise_type is WeightNoiseType.NONE:
            return y
        sizes = np.ones_like(weights)
        if io.w_noise_type is WeightNoiseType.PCM_READ:
            sizes = np.abs(weights)
        # In double precision: the squares of single precision over- and underflow.
        variance = sizes.astype(np.float64) @ v.astype(np.float64) ** 2
        z = self._drawn("normals", Purpose.WEIGHT_NOISE, number, y.size, part)
        self.terms = self.terms + np.abs(io.w_noise * np.sqrt(variance) * z)
        return fma(F32(F32(io.w_noise) * np.sqrt(variance)), z, y)

    def _largest_drop(self, currents: Any) -> Any:
        """Return the sum of the magnitudes of the polynomial in the current."""
        a = currents * (self.weights.shape[1] / self.io.ir_drop_g_ratio)
        return self.io.ir_drop * a * (0.5 + a * (0.2 + a * 0.05))

    def _wires(self, y: Floats, v: Floats, weights: Floats) -> Floats:
        """Subtract the voltage loss along the wires."""
        n = F32(v.size)
        rest = F32(1) - np.arange(v.size, dtype=np.float32) / n
        slope = self._matrix_product(v * (F32(1) - rest * rest), weights)
        current = self._matrix_product(np.abs(v), np.abs(weights))
        a = current * (n / F32(self.io.ir_drop_g_ratio))
        c = a * fma(a, fma(a, F32(0.05), F32(-0.2)), F32(0.5))
        largest = np.finfo(np.float32).max
        return np.asarray(
            clip(fma(c * -F32(self.io.ir_drop), slope, y), -largest, largest)
        )

    def _resistance(self, y: Floats, v: Floats) -> Floats:
        """Apply voltage offsets and series resistance."""
        io = self.io
        offset = self.drawn.get("v_offset", F32(0))
        r, w_min = F32(max(io.r_series, 0.0)), F32(io.v_offset_w_min)
        kept = F32(1) - offset
        if w_min == 0.0:
            return kept * y / fma(r, np.abs(y), F32(1))
        reference = -w_min * chain_sum(v)
        if r == 0.0:
            return kept * y - offset * (F32(2) * reference)
        whole = y + reference
        loss = fma(r, np.abs(reference), F32(1))
        result = kept * whole / fma(r, np.abs(whole), F32(1))
        return np.asarray(result - (offset + F32(1)) * (reference / loss))

    def _convert(self, y: Floats, number: int, part: int) -> tuple[Floats, bool]:
        """Nonlinearity, asymmetry, noise, round, clip."""
        io = self.io
        if "out_nonlinearity_factor" in self.drawn:
            strengths = self.drawn.get("out_nonlinearity", F32(0))
            factor = self.drawn["out_nonlinearity_factor"]
            self.terms = self.terms * np.float64(abs(factor))
            y = y * factor / (np.abs(strengths * y) + F32(1))
        if self.out_asymmetry != 0.0:
            y = np.where(y < 0, y * (F32(1) - F32(self.out_asymmetry)), y)
            self.terms = self.terms * (1.0 + abs(self.out_asymmetry))
        noises = self.drawn.get("out_noise_values")
        noisy = noises is not None or io.out_noise > 0.0
        if noisy:
            z = self._drawn("normals", Purpose.OUTPUT_NOISE, number, y.size, part)
            size = np.float64(io.out_noise) if noises is None else noises
            self.terms = self.terms + np.abs(size * z)
            y = fma(F32(io.out_noise) if noises is None else noises, z, y)
        weight_noise = io.w_noise > 0.0 and io.w_noise_type is not WeightNoiseType.NONE
        uncertain = noisy or weight_noise or io.inp_noise > 0.0 or bool(self.drawn)
        uncertain = uncertain or self.approximate
        step = self._step(io.out_res, io.out_bound)
        if step > 0:
            shift = F32(0)
            if io.out_sto_round:
                u = self._drawn("uniforms", Purpose.OUTPUT_ROUND, number, y.size, part)
                shift = u - F32(0.5)
            if uncertain:
                at = y / step + shift
                self._note_ties(np.abs(at - np.floor(at) - F32(0.5)))
            y = round_to_grid(y, step, shift)
        elif io.out_bound > 0.0 and uncertain:
            self._note_ties(np.abs(np.abs(y) / F32(io.out_bound) - F32(1)))
        if io.out_bound <= 0.0:
            return y, True
        bound = F32(io.out_bound)
        fits = not (y > bound).any()
        if io.bm_test_negative_bound and (y < -bound).any():
            fits = False
        return clip(y, -bound, bound), fits

    def _note_ties(self, distances: Any) -> None:
        self.tie_distance = min(self.tie_distance, float(np.min(distances)))

    def _matrix_product(self, x: Floats, weights: Any = None) -> Floats:
        """Multiply: for each output one chain of fused multiply-adds over inputs."""
        weights = self.weights if weights is None else weights
        y = np.zeros(len(weights), dtype=np.float32)
        for column, factor in zip(weights.T, x, strict=True):
            y = fma(column, factor, y)
        return y
