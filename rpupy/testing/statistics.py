"""Bounds for tests of random outcomes, with a stated rate of false alarms.

Each function asserts that a sample agrees with a law and returns the smallest deviation
from it that the test would notice in 99 of 100 cases.  ``false_alarm`` is an upper
limit of the probability that a right implementation fails.  It comes from inequalities
that hold for every sample size where the law is bounded or normal, and is close
otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "assert_distribution",
    "assert_mean",
    "assert_same_distribution",
    "assert_variance",
]

# Standard normal quantile of 0.99: how far beyond a bound a deviation is seen.
_POWER = 2.3263478740408408


def _exponent(false_alarm: float) -> float:
    if not 0.0 < false_alarm < 1.0:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm!r}")
    return math.log(2.0 / false_alarm)


def _sample(values: ArrayLike, name: str) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size < 2:
        raise ValueError(f"{name} must have at least 2 elements, got {sample.size}")
    return sample


def assert_mean(
    values: ArrayLike,
    mean: float,
    std: float,
    *,
    largest: float = 0.0,
    false_alarm: float = 1e-6,
) -> float:
    """Assert that a sample has a given mean.

    Parameters
    ----------
    values : array_like
        Independent numbers.
    mean, std : float
        Mean and standard deviation of the law.
    largest : float
        For a bounded law, the largest distance of a number from the mean; 0 for a
        normal law.  It matters where rare events make up the mean.
    false_alarm : float
        Largest probability of failing without a reason.

    Returns
    -------
    float
        Smallest deviation of the mean that would be noticed in 99 of 100 cases.

    Notes
    -----
    Bernstein's inequality: with probability ``2 exp(-L)`` at most, the mean of ``n``
    numbers is further from its expectation than
    ``std * sqrt(2 * L / n) + largest * L / (3 * n)``.
    """
    sample = _sample(values, "values")
    n = sample.size
    exponent = _exponent(false_alarm)
    limit = std * math.sqrt(2.0 * exponent / n) + largest * exponent / (3.0 * n)
    found = float(sample.mean())
    # Float32 arithmetic under test may be off by rounding.
    limit += 1e-6 * abs(mean)
    assert abs(found - mean) <= limit, (
        f"mean {found:.9g} of {n} numbers, expected {mean:.9g} +- {limit:.3g}"
        f" (false alarm {false_alarm:g})"
    )
    return limit + _POWER * std / math.sqrt(n)


def assert_variance(
    values: ArrayLike,
    variance: float,
    *,
    kurtosis: float = 3.0,
    false_alarm: float = 1e-6,
) -> float:
    """Assert that a sample has a given variance.

    Parameters
    ----------
    values : array_like
        Independent numbers.
    variance : float
        Variance of the law.
    kurtosis : float
        Fourth central moment of the law over the square of the variance; 3 if normal.
    false_alarm : float
        Largest probability of failing without a reason.

    Returns
    -------
    float
        Smallest deviation of the variance that would be noticed in 99 of 100 cases.

    Notes
    -----
    Laurent & Massart (2000), lemma 1, for sums of squared normal numbers; for another
    kurtosis its leading term is scaled by the standard error of the sample variance.
    """
    sample = _sample(values, "values")
    n = sample.size
    exponent = _exponent(false_alarm)
    error = variance * math.sqrt((kurtosis - 1.0) / n)
    limit = error * math.sqrt(2.0 * exponent) + variance * 2.0 * exponent / n
    found = float(sample.var(ddof=1))
    limit += 1e-5 * variance
    assert abs(found - variance) <= limit, (
        f"variance {found:.9g} of {n} numbers, expected {variance:.9g} +- {limit:.3g}"
        f" (false alarm {false_alarm:g})"
    )
    return limit + _POWER * error


def assert_distribution(
    values: ArrayLike,
    cdf: Callable[[NDArray[np.float64]], Any],
    *,
    false_alarm: float = 1e-6,
) -> float:
    """Assert by Kolmogorov and Smirnov that a sample follows a continuous law.

    Parameters
    ----------
    values : array_like
        Independent numbers.
    cdf : callable
        Cumulative distribution function of the law.
    false_alarm : float
        Largest probability of failing without a reason.

    Returns
    -------
    float
        Distance of distribution functions that would be noticed in 99 of 100 cases.

    Notes
    -----
    Massart (1990): with probability ``2 exp(-2 n eps**2)`` at most, the distance is
    above ``eps``.
    """
    sample = np.sort(_sample(values, "values"))
    n = sample.size
    limit = math.sqrt(_exponent(false_alarm) / (2.0 * n))
    expected = np.asarray(cdf(sample), dtype=np.float64)
    steps = np.arange(n + 1) / n
    found = max(
        float(np.max(steps[1:] - expected)), float(np.max(expected - steps[:-1]))
    )
    assert found <= limit, (
        f"distance {found:.3g} of {n} numbers from the law, at most {limit:.3g}"
        f" (false alarm {false_alarm:g})"
    )
    return limit + _POWER * 0.5 / math.sqrt(n)


def assert_same_distribution(
    first: ArrayLike, second: ArrayLike, *, false_alarm: float = 1e-6
) -> float:
    """Assert by Kolmogorov and Smirnov that two samples follow the same law.

    Parameters
    ----------
    first, second : array_like
        Independent numbers, at least 458 each.
    false_alarm : float
        Largest probability of failing without a reason.

    Returns
    -------
    float
        Distance of distribution functions that would be noticed in 99 of 100 cases.

    Notes
    -----
    Wei & Dudley (2012), theorem 1, for samples of one size, and the limit of large
    samples for others; ties only make the test more cautious.
    """
    one = np.sort(_sample(first, "first"))
    two = np.sort(_sample(second, "second"))
    if min(one.size, two.size) < 458:
        raise ValueError(
            "first and second must have at least 458 elements,"
            f" got {one.size} and {two.size}"
        )
    scale = 1.0 / one.size + 1.0 / two.size
    limit = math.sqrt(_exponent(false_alarm) * scale / 2.0)
    both = np.concatenate([one, two])
    difference = (
        np.searchsorted(one, both, side="right") / one.size
        - np.searchsorted(two, both, side="right") / two.size
    )
    found = float(np.abs(difference).max())
    assert found <= limit, (
        f"distance {found:.3g} between samples of {one.size} and {two.size} numbers,"
        f" at most {limit:.3g} (false alarm {false_alarm:g})"
    )
    return limit + _POWER * 0.5 * math.sqrt(scale)
