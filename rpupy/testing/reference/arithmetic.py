"""Numbers as kernels compute with them: float32, in a documented order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = np.float32
Floats = NDArray[np.float32]
Words = NDArray[np.uint32]
SMALLEST_NORMAL = F32(np.finfo(np.float32).tiny)
LARGEST = np.finfo(np.float32).max


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Any:
    """Return ``a * b + c`` of float32 numbers, rounded once.

    The product is exact in float64.  The sum is rounded to odd there, so that rounding
    it again to float32 gives what one rounding would have given.
    """
    product = np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)
    term = np.asarray(c, dtype=np.float64)
    total = np.asarray(product + term)
    part = total - product
    error = (product - (total - part)) + (term - part)
    is_even = (total.view(np.int64) & 1) == 0
    towards = np.where(error > 0.0, np.inf, -np.inf)
    inexact = np.isfinite(error) & (error != 0.0)
    total = np.where(inexact & is_even, np.nextafter(total, towards), total)
    return total.astype(np.float32)[()]


def clip(values: Any, low: Any, high: Any) -> Any:
    """Limit to [low, high]; `low` wins where the interval is empty."""
    return np.maximum(np.minimum(values, high), low)


def resolution(res: float) -> np.float32:
    """Return a resolution as a step: above 1 it is a number of steps; 0 is none."""
    value = F32(res)
    if value > 1:
        return F32(F32(1) / value)
    return max(value, F32(0))


def round_to_grid(values: Any, step: Any, shift: Any) -> Any:
    """Round to multiples of `step`, half to even, or at random by ``u - 1/2``."""
    return np.rint(values / step + shift) * step


def power(base: Floats, exponent: Any) -> Floats:
    """Return powers, limited as `exp` is; a base that is not a normal number counts as 0."""
    base = np.maximum(base, SMALLEST_NORMAL).astype(np.float64)
    log = np.where(base > SMALLEST_NORMAL, np.log(base), -1e30)
    return exp(np.asarray(exponent, dtype=np.float64) * log)


def exp(a: Any) -> Floats:
    """Return exponentials, limited to the range of normal and finite numbers."""
    return np.asarray(
        np.exp(clip(np.asarray(a, dtype=np.float64), -87, 88)), dtype=np.float32
    )


def chain_sum(values: Any) -> np.float32:
    """Add as kernels do: 16 chains of every sixteenth number, then in pairs."""
    rows = np.zeros((-(-len(values) // 16), 16), dtype=np.float32)
    rows.flat[: len(values)] = values
    chains = np.zeros(16, dtype=np.float32)
    for row in rows:
        chains = chains + row
    while chains.size > 1:
        chains = chains[: chains.size // 2] + chains[chains.size // 2 :]
    return F32(chains[0])
