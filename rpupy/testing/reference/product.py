"""The way of one vector through the array (mvm.md 2 to 7)."""

from __future__ import annotations

import math
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
    clip,
    fma,
    resolution,
    round_to_grid,
)
from .random_numbers import Pass, Purpose, RandomNumbers, Stream


class Vector:
    """The way of one vector through the array (mvm.md 2 to 7)."""

    def __init__(
        self, random: RandomNumbers, weights: Floats, io: Any, which: Pass, ordinal: int
    ) -> None:
        self.random = random
        self.weights = weights
        self.io = io
        self.backward = which in (Pass.BACKWARD, Pass.BACKWARD_EVAL)
        self.stream = Stream.PRODUCT + 5 * which
        self.ordinal = ordinal
        self.tie_distance = math.inf

    def product(self, x: Floats) -> Floats:
        """Return the result, after all rounds of bound management."""
        io = self.io
        if io is None:
            return self._matrix_product(x)
        if io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
            return self._matrix_product(x) * F32(io.out_scale)
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
            io.bound_management is BoundManagementType.ITERATIVE and not self.backward
        )
        step = self._step(io.inp_res, io.inp_bound)
        reduction, number = F32(1), 0
        while True:
            c = (F32(1) / s if managed else F32(1)) / reduction
            y, fits = self._round(x, c, number)
            if (
                not repeats
                or fits
                or int(reduction) > io.max_bm_factor
                or (step > 0 and reduction > F32(io.max_bm_res) / step)
            ):
                return y * (F32(io.out_scale) / c)
            reduction *= F32(2)
            number += 1

    def _noise_management(self, x: Floats) -> np.float32:
        io = self.io
        cap = F32(io.nm_thres)
        kind = io.noise_management
        if kind is NoiseManagementType.NONE:
            return F32(1)
        if kind is NoiseManagementType.CONSTANT:
            return cap if cap > 0 else F32(1)
        s = x.max() if kind is NoiseManagementType.MAX else np.abs(x).max()
        return min(s, cap) if cap > 0 else F32(s)

    @staticmethod
    def _step(res: float, bound: float) -> np.float32:
        if bound <= 0.0:
            return F32(0)
        return resolution(res) * F32(2) * F32(bound)

    def _drawn(self, kind: str, purpose: Purpose, number: int, lines: int) -> Any:
        """Draw for each line; lines 64q + 16l + r have value l of block 16q + r."""
        line = np.arange(lines)
        draw = getattr(self.random, kind)
        return draw(
            self.stream + purpose,
            line // 64 * 16 + line % 16,
            self.ordinal,
            draw=number << 4,
            part=line % 64 // 16,
            shares_block=True,
        )

    def _round(self, x: Floats, c: np.float32, number: int) -> tuple[Floats, bool]:
        """Run one round of bound management, without the digital factor."""
        io = self.io
        # The input: scale, round, clip, noise, asymmetry.
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
        if io.inp_noise > 0.0:
            z = self._drawn("normals", Purpose.INPUT_NOISE, number, x.size)
            v = fma(F32(io.inp_noise), z, v)
        if io.inp_asymmetry != 0.0:
            v = np.where(v < 0, v * (F32(1) - F32(io.inp_asymmetry)), v)

        # The array.
        y = self._matrix_product(v)
        noisy_weights = (
            io.w_noise_type is WeightNoiseType.ADDITIVE_CONSTANT and io.w_noise > 0.0
        )
        if noisy_weights:
            norm = F32(math.sqrt(math.fsum(float(entry) ** 2 for entry in v)))
            if norm > 0:
                z = self._drawn("normals", Purpose.WEIGHT_NOISE, number, y.size)
                y = fma(F32(io.w_noise) * norm, z, y)

        # The output: asymmetry, noise, round, clip.
        if io.out_asymmetry > 0.0:
            y = np.where(y < 0, y * (F32(1) - F32(io.out_asymmetry)), y)
        if io.out_noise > 0.0:
            z = self._drawn("normals", Purpose.OUTPUT_NOISE, number, y.size)
            y = fma(F32(io.out_noise), z, y)
        uncertain = io.inp_noise > 0.0 or io.out_noise > 0.0 or noisy_weights
        step = self._step(io.out_res, io.out_bound)
        if step > 0:
            shift = F32(0)
            if io.out_sto_round:
                u = self._drawn("uniforms", Purpose.OUTPUT_ROUND, number, y.size)
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

    def _matrix_product(self, x: Floats) -> Floats:
        """Multiply: for each output one chain of fused multiply-adds over inputs."""
        y = np.zeros(len(self.weights), dtype=np.float32)
        for column, factor in zip(self.weights.T, x, strict=True):
            y = fma(column, factor, y)
        return y
