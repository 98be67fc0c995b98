"""Logarithm, exponential and power of the kernels (csrc/elementary.h)."""

import mpmath
import numpy as np
import pytest

from rpupy.rpu_base import _cpu

ISAS = _cpu.available_isas()
TINY = np.finfo(np.float32).tiny
HUGE = np.finfo(np.float32).max


def ulps(found, exact):
    """Error in units of the last place of the exact result."""
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return np.abs(found.astype(np.float64) - exact) / unit


def log_inputs():
    rng = np.random.default_rng(1)
    every_exponent = np.ldexp(1.0, np.arange(-126, 128))
    edges = np.concatenate(
        [every_exponent, every_exponent * np.sqrt(0.5), every_exponent * 1.9999999]
    ).astype(np.float32)
    edges = np.concatenate(
        [edges, np.nextafter(edges, np.float32(0)), [TINY, HUGE, 1.0]]
    )
    wide = np.exp(rng.uniform(np.log(TINY), np.log(HUGE), 500_000))
    near_one = 1.0 + rng.uniform(-0.3, 0.42, 500_000)
    very_near = 1.0 + rng.uniform(-1e-4, 1e-4, 100_000)
    x = np.concatenate([edges, wide, near_one, very_near]).astype(np.float32)
    return x[(x >= TINY) & (x <= HUGE)]


def exp_inputs():
    rng = np.random.default_rng(2)
    ties = (np.arange(-125, 126) + 0.5) * np.log(2)
    small = np.concatenate([[0.0, TINY, -TINY, 1e-45], np.ldexp(1.0, -np.arange(40))])
    return np.concatenate(
        [ties, small, -small, rng.uniform(-87, 88, 1_000_000), [-87.0, 88.0]]
    ).astype(np.float32)


def test_logarithm_is_within_1_5_ulp():
    x = log_inputs()
    found = _cpu.evaluate("log", x)
    exact = np.log(x.astype(np.float64))
    assert found[x == 1].max() == 0.0 == found[x == 1].min()
    away = x != 1
    assert ulps(found[away], exact[away]).max() < 1.5


def test_exponential_is_within_1_5_ulp():
    x = exp_inputs()
    found = _cpu.evaluate("exp", x)
    assert ulps(found, np.exp(x.astype(np.float64))).max() < 1.5
    assert (found[x == 0] == 1.0).all()


def test_exponential_stays_normal_and_finite():
    x = np.array([-HUGE, -1000, -np.inf, -87.1, 88.1, 1000, HUGE, np.inf], np.float32)
    found = _cpu.evaluate("exp", x)
    low, high = _cpu.evaluate("exp", np.array([-87.0, 88.0], dtype=np.float32))
    assert (found[:4] == low).all() and (found[4:] == high).all()
    assert low >= TINY and np.isfinite(high)


@pytest.mark.parametrize("largest", [1, 4, 16, 64])
@pytest.mark.parametrize("logs", [(-87, 88), (-17, 0), (-0.5, 0.5)], ids=str)
def test_power_is_as_exact_as_it_says(largest, logs):
    """Over all numbers, over those of power steps, and around 1."""
    rng = np.random.default_rng(3)
    base = np.exp(rng.uniform(*logs, 300_000)).astype(np.float32)
    power = rng.uniform(-largest, largest, base.size).astype(np.float32)
    exponent = power.astype(np.float64) * np.log2(base.astype(np.float64))
    inside = (exponent > -126) & (exponent < 127)
    base, power, exponent = base[inside], power[inside], exponent[inside]
    found = _cpu.evaluate("pow", base, power)
    exact = np.exp2(exponent)
    limit = 3 + np.abs(power) + 1.5 * np.abs(exponent)
    assert (ulps(found, exact) < limit).all()
    assert np.abs(found / exact - 1)[np.abs(exponent) < 64].max() < 1e-5


def test_power_of_the_largest_base_of_a_step_is_exact():
    """A step at the bound behind it is the whole step, whatever the exponent."""
    power = np.linspace(-80, 80, 1001, dtype=np.float32)
    found = _cpu.evaluate("pow", np.ones_like(power), power)
    np.testing.assert_array_equal(found, 1)


def test_powers_of_two_are_within_3_ulp():
    """Where the logarithm of the base is exact."""
    power = np.random.default_rng(6).uniform(-126, 127, 300_000).astype(np.float32)
    found = _cpu.evaluate("pow", np.full_like(power, 2), power)
    assert ulps(found, np.exp2(power.astype(np.float64))).max() < 3


def test_power_at_its_edges():
    base = np.array([1, 1, 5, 2, 2, TINY, HUGE, 1.5], dtype=np.float32)
    power = np.array([3, -100, 0, 10, -1, 1, -1, 1], dtype=np.float32)
    found = _cpu.evaluate("pow", base, power)
    np.testing.assert_array_equal(found[:5], [1, 1, 1, 1024, 0.5])
    # The result is limited to normal numbers.
    assert found[5] == TINY and found[6] == TINY
    np.testing.assert_allclose(found[7], 1.5, rtol=2e-7)


def test_power_of_what_is_no_positive_normal_number():
    base = np.array([0, -0.0, 1e-40, -1, -HUGE, -np.inf], dtype=np.float32)
    low, high = TINY, np.float32(2.0**127)
    for power, expected in ((1e-3, low), (2, low), (HUGE, low), (0, 1), (-1e-3, high)):
        found = _cpu.evaluate("pow", base, np.float32(power))
        np.testing.assert_array_equal(found, expected)


def test_power_is_never_nan():
    base = np.array([0, 1e-40, TINY, 0.5, 1, 2, HUGE], dtype=np.float32)
    for power in (-HUGE, -1e20, -TINY, 0, TINY, 1e20, HUGE):
        found = _cpu.evaluate("pow", base, np.float32(power))
        assert np.isfinite(found).all() and (found > 0).all()


@pytest.mark.parametrize("function", ["log", "exp"])
def test_float64_is_a_fair_judge(function):
    """A sample against 40 digits: the judge of the other tests errs by 1e-8 ulp."""
    inputs = {"log": log_inputs, "exp": exp_inputs}[function]()
    sample = np.random.default_rng(4).choice(inputs, 300)
    with mpmath.workdps(40):
        exact = [getattr(mpmath, function)(mpmath.mpf(float(x))) for x in sample]
    judged = getattr(np, function)(sample.astype(np.float64))
    unit = np.spacing(np.abs(judged).astype(np.float32)).astype(np.float64)
    differences = [float(e - mpmath.mpf(j)) for e, j in zip(exact, judged, strict=True)]
    assert (np.abs(differences) <= 1e-8 * unit).all()


def test_float64_is_a_fair_judge_of_powers():
    rng = np.random.default_rng(5)
    base = rng.uniform(0.1, 1, 300).astype(np.float32)
    power = rng.uniform(-30, 30, 300).astype(np.float32)
    judged = np.exp2(power.astype(np.float64) * np.log2(base.astype(np.float64)))
    with mpmath.workdps(40):
        exact = [
            mpmath.power(float(b), float(p)) for b, p in zip(base, power, strict=True)
        ]
    errors = [float(j / e - 1) for e, j in zip(exact, judged, strict=True)]
    assert np.abs(errors).max() < 1e-13


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("function", ["log", "exp", "pow"])
def test_same_bits_on_every_instruction_set(function, isa):
    x = {"log": log_inputs, "exp": exp_inputs, "pow": log_inputs}[function]()[::7]
    power = np.linspace(-3, 3, x.size, dtype=np.float32)
    first = _cpu.evaluate(function, x, power, isa_name=ISAS[0])
    found = _cpu.evaluate(function, x, power, isa_name=isa)
    assert np.array_equal(found.view(np.uint32), first.view(np.uint32))
