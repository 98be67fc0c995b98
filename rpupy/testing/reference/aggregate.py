"""The pulses of a portion of a mini-batch with one draw of noise (docs/semantics.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import F32, Floats, fma

PORTION_WORDS = 128
SAFE_DISTANCE = F32(7)
MOST_BEND = F32(0.0625)

#: One word on all crosspoints: pulses, and whether they go up.
Word = tuple[NDArray[np.int64], NDArray[np.bool_]]


@dataclass(frozen=True)
class Outcome:
    """Weights behind a portion, before its noise; variances are over dw_min_std**2."""

    mean: Floats
    variance: Floats
    high: Floats
    low: Floats
    spread: Floats
    bend: Floats

    def unsafe(self, h: dict[str, Floats], dw_min_std: float) -> NDArray[np.bool_]:
        """Where the path may touch a bound, or is not that of the pulses."""
        distance = np.sqrt(self.spread) * (SAFE_DISTANCE * abs(F32(dw_min_std)))
        above = h["max_bound"] < self.high + distance
        below = self.low - distance < h["min_bound"]
        return np.asarray(above | below | (self.bend > MOST_BEND))

    def weights(self, noise: Floats) -> Any:
        """Return weights with noise, which is ``dw_min_std * xi``."""
        return fma(noise, np.sqrt(self.variance), self.mean)


def portions(batch: int, per_vector: int) -> Iterator[list[tuple[int, range]]]:
    """Cut a mini-batch into portions: for each, its vectors and their words."""
    if per_vector <= PORTION_WORDS:
        step = PORTION_WORDS // per_vector
        for first in range(0, batch, step):
            vectors = range(first, min(first + step, batch))
            yield [(vector, range(per_vector)) for vector in vectors]
        return
    for vector in range(batch):
        for first in range(0, per_vector, PORTION_WORDS):
            yield [(vector, range(first, min(first + PORTION_WORDS, per_vector)))]


def parts_of_vector(
    words: list[Word], vector: int, per_vector: int
) -> Iterator[tuple[list[Word], bool]]:
    """Cut the words of a vector where portions end.

    Parameters
    ----------
    words : list of Word
        The words of the vector.
    vector : int
        Its number in the mini-batch.
    per_vector : int
        Words that portions reckon with for each vector.

    Yields
    ------
    part : list of Word
    is_last : bool
        Whether its portion ends with it.
    """
    if per_vector <= PORTION_WORDS:
        yield words, (vector + 1) % (PORTION_WORDS // per_vector) == 0
        return
    for first in range(0, len(words), PORTION_WORDS):
        yield words[first : first + PORTION_WORDS], True


def constant_steps(h: dict[str, Floats], w: Floats, words: Sequence[Word]) -> Outcome:
    """Sum steps that are the same everywhere."""
    ups = F32(sum(np.where(up, pulses, 0) for pulses, up in words))
    downs = F32(sum(np.where(up, 0, pulses) for pulses, up in words))
    zero = F32(0)
    rise, fall = ups * h["dwmin_up"], downs * h["dwmin_down"]
    variance = fma(rise, h["dwmin_up"], fall * h["dwmin_down"])
    return Outcome(
        mean=(w + rise) - fall,
        variance=variance,
        high=w + (np.maximum(rise, zero) - np.minimum(fall, zero)),
        low=w - (np.maximum(fall, zero) - np.minimum(rise, zero)),
        spread=variance,
        bend=np.zeros_like(w),
    )


def tangents(
    law: Any, p: Any, h: dict[str, Floats], w: Floats, words: Sequence[Word]
) -> Outcome:
    """Let mean and variance follow each word, with the step and slope at the mean."""
    mean = high = low = w + F32(0)
    variance = spread = bend = np.zeros_like(w)
    one, half_ = F32(1), F32(0.5)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for pulses, up in words:
            step, slope, noise, noise_slope = law.tangent(p, h, mean, up)
            n = F32(pulses)
            half = (slope * half_) * n
            steps = fma(half, n - one, n)
            decay = fma(slope, steps, one)
            mean = fma(step, steps, mean)
            growth = noise * fma(F32(2), steps, -n)
            growth = fma(noise_slope * step, n * (n - one), growth)
            variance = fma(noise, growth, variance * (decay * decay))
            high, low = np.maximum(high, mean), np.minimum(low, mean)
            spread = np.maximum(spread, variance)
            bend = np.maximum(bend, np.abs(half))
    return Outcome(mean, variance, high, low, spread, bend)
