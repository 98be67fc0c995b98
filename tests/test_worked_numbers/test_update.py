"""Worked numbers of the pulsed update: train lengths, means, variances, covariances.

Statistical tests fail without a reason at most once in a million times each, and say in
their docstring what they would notice.
"""

import os

import numpy as np
import pytest
from scipy import stats

from rpupy.configs import (
    ConstantStepDevice,
    PulseType,
    SingleRPUConfig,
    UpdateParameters,
)
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.core import CpuTile
from rpupy.testing.reference import pulse_train_scales
from rpupy.testing.statistics import assert_mean, assert_variance

SEED = int(os.environ.get("RPUPY_TEST_SEED", "20240229"))
X = np.array([0.8, -0.4, 0.1, 0.0], dtype=np.float32)
D = np.array([0.5, -0.25, 0.05], dtype=np.float32)
BOTH_OFF = {"update_management": False, "update_bl_management": False}
UBLM_OFF = {"update_bl_management": False}
PULSED = [
    PulseType.STOCHASTIC_COMPRESSED,
    PulseType.STOCHASTIC,
    PulseType.MEAN_COUNT,
    PulseType.DETERMINISTIC_IMPLICIT,
]


def make_tile(shape, *, seed=1, rate=0.01, device=None, **options):
    """A tile of devices without any spread, 0.001 a step, unless `device` says more."""
    fields = {
        "dw_min": 0.001,
        "dw_min_dtod": 0.0,
        "dw_min_std": 0.0,
        "up_down_dtod": 0.0,
        "w_max": 1e6,
        "w_min": -1e6,
        "w_max_dtod": 0.0,
        "w_min_dtod": 0.0,
    }
    config = SingleRPUConfig(
        device=ConstantStepDevice(**(fields | (device or {}))),
        update=UpdateParameters(**options),
    )
    tile = CpuTile(*shape, frozen_copy(config), np.random.SeedSequence([SEED, seed]))
    tile.set_weights(np.zeros(shape))
    tile.set_learning_rate(rate)
    return tile


def signed_counts(x, d, samples, *, seed=1, rate=0.01, **options):
    """Pulses of one vector in units of -dW/g, many times over: (samples, out, in).

    The vector stands `copies` times in a larger tile.  Blocks on the diagonal share no
    line, so they are independent.
    """
    copies = 32
    tile = make_tile(
        (copies * d.size, copies * x.size), seed=seed, rate=rate, **options
    )
    many_x, many_d = np.tile(x, copies), np.tile(d, copies)
    which = np.arange(copies)
    counts = []
    before = tile._arrays["pulse_ordinals"].astype(np.int64)
    for _ in range(-(-samples // copies)):
        tile.update(many_x, many_d)
        after = tile._arrays["pulse_ordinals"].astype(np.int64)
        blocks = (after - before).reshape(copies, d.size, copies, x.size)
        counts.append(blocks[which, :, which, :])
        before = after
    # Directions did what they should: the weights are the counts with their signs.
    sign = np.sign(np.outer(many_d, many_x) * rate)
    np.testing.assert_allclose(tile.get_weights(), -0.001 * sign * after, atol=0.02)
    return np.concatenate(counts) * np.sign(np.outer(d, x))


def assert_binomial(counts, length, probability):
    """Mean and variance of a binomial law, for counts of any sign."""
    variance = length * probability * (1 - probability)
    assert_mean(counts, length * probability, np.sqrt(variance), largest=max(length, 1))
    if variance == 0:
        assert (counts == counts.flat[0]).all()
    else:
        excess = (1 - 6 * probability * (1 - probability)) / variance
        assert_variance(counts, variance, kurtosis=3 + max(excess, 0))


# ---- 8.1: scale factors --------------------------------------------------------------

SCALES = [
    ({}, 0.01, 4, 2.0, 1.25),
    ({}, 0.1, 31, 2.58065, 1.25),
    ({}, 0.2, 31, 5.16129, 1.25),
    (UBLM_OFF, 0.01, 31, 0.71842, 0.44901),
    (BOTH_OFF, 0.01, 31, 0.56796, 0.56796),
    (BOTH_OFF, 0.1, 31, 1.79605, 1.79605),
    (BOTH_OFF | {"fixed_bl": False}, 0.1, 100, 1.0, 1.0),
    (UBLM_OFF | {"fixed_bl": False}, 0.1, 100, 1.43684, 0.69597),
    ({"um_grad_scale": 0.5}, 0.01, 2, 4.0, 1.25),
    ({"um_grad_scale": 0.5}, 0.2, 31, 5.16129, 1.25),
]


@pytest.mark.parametrize(("options", "rate", "length", "a", "b"), SCALES)
def test_scale_factors(options, rate, length, a, b):
    update = UpdateParameters(**options)
    found = pulse_train_scales(update, rate, 0.001, X.max(), D.max())
    assert found[0] == length
    np.testing.assert_allclose(found[1:], (a, b), rtol=1e-5)


@pytest.mark.parametrize(("options", "rate", "length", "a", "b"), SCALES)
def test_means_and_variances_follow_the_scale_factors(options, rate, length, a, b):
    """At (0, 0) without UBLM 0.1 pulses too many are seen.  24 tests of 1e-6."""
    counts = signed_counts(X, D, 20_000, rate=rate, **options)
    p, q = np.minimum(np.abs(D) * a, 1), np.minimum(np.abs(X) * b, 1)
    for i in range(D.size):
        for j in range(X.size):
            sign = np.sign(D[i] * X[j]) or 1.0
            # A product of rounded table entries is a probability within 2e-5.
            probability = min(np.round(p[i] * q[j], 9), 1.0)
            if abs(probability - 1) < 2e-5:
                probability = 1.0
            assert_binomial(sign * counts[:, i, j], length, probability)


# ---- 8.2: computed counts -------------------------------------------------------------

UNLIMITED = BOTH_OFF | {"fixed_bl": False}
# For each case the rows d = 0.5, -0.25, 0.05 over the columns x = 0.8, -0.4, 0.1.
MEAN_COUNTS = [
    ({}, 0.01, [[4, -2, 0], [-2, 1, 0], [0, 0, 0]]),
    ({}, 0.1, [[31, -16, 4], [-20, 10, -3], [4, -2, 1]]),
    (UBLM_OFF, 0.1, [[31, -16, 4], [-20, 10, -3], [4, -2, 1]]),
    (BOTH_OFF, 0.1, [[28, -20, 5], [-14, 10, -3], [3, -2, 1]]),
    (UNLIMITED, 0.1, [[40, -20, 5], [-20, 10, -2], [4, -2, 0]]),
    ({"res": 0.1}, 0.1, [[31, -16, 3], [-19, 10, -2], [3, -2, 0]]),
    ({"res": 10.0}, 0.1, [[31, -16, 3], [-19, 10, -2], [3, -2, 0]]),
    ({}, 0.2, [[31, -16, 4], [-31, 16, -4], [8, -4, 1]]),
]
TENTHS = {"x_res_implicit": 0.1, "d_res_implicit": 0.1}
STEPS = {"x_res_implicit": 10.0, "d_res_implicit": 10.0}
IMPLICIT_COUNTS = [
    ({}, 0.01, [[4, -2, 0], [-2, 1, 0], [0, 0, 0]]),
    ({}, 0.1, [[31, -16, 4], [-20, 10, -3], [4, -2, 1]]),
    # Only the resolutions of its own act.
    ({"res": 0.3}, 0.1, [[31, -16, 4], [-20, 10, -3], [4, -2, 1]]),
    (BOTH_OFF, 0.1, [[28, -20, 5], [-14, 10, -2], [3, -2, 0]]),
    (TENTHS, 0.1, [[31, -16, 3], [-19, 9, -2], [3, -2, 0]]),
    (STEPS, 0.1, [[31, -16, 3], [-19, 9, -2], [3, -2, 0]]),
    (UNLIMITED, 0.1, [[40, -20, 5], [-20, 10, -2], [4, -2, 0]]),
    ({}, 0.2, [[31, -16, 4], [-31, 16, -4], [8, -4, 1]]),
]


@pytest.mark.parametrize("ascent", [False, True])
@pytest.mark.parametrize(
    ("pulse_type", "options", "rate", "table"),
    [(PulseType.MEAN_COUNT, *case) for case in MEAN_COUNTS]
    + [(PulseType.DETERMINISTIC_IMPLICIT, *case) for case in IMPLICIT_COUNTS],
)
def test_computed_counts(pulse_type, options, rate, table, ascent):
    rate = -rate if ascent else rate
    device = {"count_pulses": True}
    tile = make_tile((3, 4), rate=rate, device=device, pulse_type=pulse_type, **options)
    tile.update(X, D)
    down, up = tile.get_pulse_counters()
    expected = np.pad(table, ((0, 0), (0, 1))) * (-1 if ascent else 1)
    assert np.array_equal(down, np.maximum(expected, 0))
    assert np.array_equal(up, np.maximum(-expected, 0))
    np.testing.assert_allclose(tile.get_weights(), -0.001 * expected, atol=1e-7)


def test_computed_counts_rounded_at_random_are_unbiased():
    """A probability of 0.3 in quarters, 8 slots: a mean of 2.4; 0.05 off is seen."""
    copies = 20_000
    kind = PulseType.DETERMINISTIC_IMPLICIT
    options = {"x_res_implicit": 0.25, "sto_round": True, "desired_bl": 8}
    tile = make_tile((1, copies), rate=1.0, pulse_type=kind, **options, **UBLM_OFF)
    # The first line sets the scale; probabilities become 0.25 or 0.5.
    x = np.full(copies, 0.3, dtype=np.float32)
    x[0] = 1.0
    tile.update(x, [1.0])
    pulses = tile._arrays["pulse_ordinals"][0, 1:]
    assert set(pulses) == {2, 4}
    assert_mean(pulses, 8 * 0.3, 0.8, largest=1.6)


def test_the_two_stochastic_types_are_the_same_pulses():
    """Which sign of x comes first matters to no crosspoint."""
    kinds = (PulseType.STOCHASTIC, PulseType.STOCHASTIC_COMPRESSED)
    tiles = [make_tile((3, 4), rate=0.1, pulse_type=kind) for kind in kinds]
    for tile in tiles:
        tile.update(np.tile(X, (50, 1)), np.tile(D, (50, 1)))
    assert np.array_equal(tiles[0].get_weights(), tiles[1].get_weights())


# ---- 8.3: distributions --------------------------------------------------------------


def test_binomial_shape_and_covariances():
    """UBLM off: chi-square at 1e-6; covariances off by 0.1 would be seen."""
    counts = np.abs(signed_counts(X, D, 100_000, rate=0.01, **UBLM_OFF))
    k00, k01 = counts[:, 0, 0], counts[:, 0, 1]
    k10, k11 = counts[:, 1, 0], counts[:, 1, 1]
    for sample, mean, variance in (
        (k00, 4.0, 3.4839),
        (k01, 2.0, 1.8710),
        (counts[:, 0, 2], 0.5, 0.4919),
        (k11, 1.0, 0.9677),
        (counts[:, 2, 0], 0.4, 0.3948),
    ):
        assert_mean(sample, mean, np.sqrt(variance), largest=31)
        assert_variance(sample, variance, kurtosis=3 + 1 / variance)
    law = stats.binom(31, 4 / 31)
    expected = law.pmf(np.arange(14)) * k00.size
    expected = np.append(expected, k00.size - expected.sum())
    observed = np.bincount(np.minimum(k00.astype(int), 14), minlength=15)
    assert stats.chisquare(observed, expected).pvalue > 1e-6
    for one, two, covariance, std in (
        (k00 - 4, k01 - 2, 0.4604, 2.7),
        (k00 - 4, k10 - 2, 0.4604, 2.7),
        (k00 - 4, k11 - 1, 0.0, 1.9),
    ):
        assert_mean(one * two, covariance, std)


def test_unmanaged_longer_trains():
    """fixed_bl off: 46 slots, mean 33.12, variance 9.274."""
    counts = signed_counts(
        np.float32([0.9]),
        np.float32([0.8]),
        50_000,
        rate=0.0455,
        fixed_bl=False,
        **BOTH_OFF,
    )
    assert_binomial(counts, 46, 0.72)
    assert_variance(counts, 9.274)


def test_quantised_probabilities():
    """res 0.1 turns 0.125 into 0.1: a mean of 0.4 instead of 0.5."""
    counts = signed_counts(X, D, 50_000, res=0.1)
    for at, mean in (((0, 0), 4), ((0, 1), -2), ((0, 2), 0.4), ((2, 0), 0.4)):
        sample = counts[(slice(None), *at)]
        assert_mean(sample, mean, np.sqrt(abs(mean)), largest=4)
    assert_binomial(counts[:, 2, 2], 4, 0.01)


def test_randomly_rounded_probabilities_are_unbiased():
    counts = signed_counts(X, D, 50_000, res=0.1, sto_round=True)
    assert (counts[:, 0, 0] == 4).all()
    assert_mean(counts[:, 0, 1], -2.0, 1.0, largest=2)
    # The rounding of the probability adds 12 times its variance of 0.001875.
    assert_mean(counts[:, 0, 2], 0.5, np.sqrt(0.46), largest=4)
    assert_variance(counts[:, 0, 2], 0.46, kurtosis=5.5)
    assert_mean(counts[:, 2, 0], 0.4, 0.6, largest=4)
    assert_mean(counts[:, 2, 2], 0.05, 0.23, largest=4)


def test_coarse_probabilities():
    """res 0.3: 0.3592 and 0.1796 become 0.3, and 0.0449 becomes 0."""
    counts = np.abs(signed_counts(X, D[:2], 20_000, res=0.3, **UBLM_OFF))
    assert (counts[:, :, 2:] == 0).all()
    for i in range(2):
        for j in range(2):
            assert_binomial(counts[:, i, j], 31, 0.09)


def test_each_vector_has_its_own_management():
    """Batches of (1, 1), (0.001, 1), (0.5, -0.1): mean 9.51, variance 0.2599."""
    copies, batches = 100, 100
    tile = make_tile((copies, copies))
    x, d = np.zeros((2, 3, copies), dtype=np.float32)
    x[:] = np.array([1.0, 0.001, 0.5])[:, None]
    d[:] = np.array([1.0, 1.0, -0.1])[:, None]
    found = []
    for _ in range(batches):
        tile.set_weights(np.zeros((copies, copies)))
        tile.update(x, d)
        found.append(np.diag(tile.get_weights()) / -0.001)
    assert_mean(found, 9.51, np.sqrt(0.2599), largest=1.6)
    assert_variance(found, 0.2599, kurtosis=3)


def test_bounds_act_on_each_pulse_and_vector():
    bounds = {"w_max": 0.005, "w_min": -0.005}
    tile = make_tile((1, 1), device=bounds)
    tile.update([[1.0], [1.0]], [[-1.0], [1.0]])
    np.testing.assert_allclose(tile.get_weights(), [[-0.005]], rtol=1e-6)


def test_exact_update_with_bounds_acts_on_each_vector():
    bounds = {"w_max": 0.005, "w_min": -0.005}
    kind = PulseType.NONE_WITH_DEVICE
    tile = make_tile((1, 1), device=bounds, pulse_type=kind, rate=0.1)
    tile.update([[1.0]], [[-1.0]])
    np.testing.assert_allclose(tile.get_weights(), [[0.005]], rtol=1e-6)
    tile.update([[1.0]], [[1.0]])
    np.testing.assert_allclose(tile.get_weights(), [[-0.005]], rtol=1e-6)


@pytest.mark.parametrize("pulse_type", PULSED)
def test_noise_is_drawn_for_each_pulse(pulse_type):
    """Ten certain pulses with dw_min_std 0.3: variance 0.9; 0.012 off would be seen."""
    tile = make_tile((300, 300), device={"dw_min_std": 0.3}, pulse_type=pulse_type)
    tile.update(np.ones(300), np.ones(300))
    steps = tile.get_weights() / -0.001
    assert_mean(steps, 10.0, np.sqrt(0.9))
    assert_variance(steps, 0.9)


def test_default_spreads_of_a_single_pulse():
    """Variance 1.882e-7; 1 % off would be seen."""
    spreads = {"dw_min_std": 0.3, "dw_min_dtod": 0.3, "up_down_dtod": 0.01}
    tile = make_tile((500, 500), device=spreads, rate=0.001)
    tile.update(np.ones(500), np.ones(500))
    steps = -tile.get_weights().astype(np.float64)
    assert_mean(steps, 1e-3, np.sqrt(1.882e-7))
    assert_variance(steps, 1.882e-7, kurtosis=4.5)


# ---- 12: acceptance ------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e-6, 1e-5, 1e-3])
def test_small_rates_are_exact_on_average(rate):
    """E[dW] = -lr d x; at 1e-6, where thresholds of 16 bit err by 10 %, 7 % is seen."""
    lines, batch = 64, 20_000
    levels_x, levels_d = np.array([1.0, 0.25]), np.array([1.0, -0.25])
    tile = make_tile((2 * lines, 2 * lines), rate=rate)
    x, d = np.repeat(levels_x, lines), np.repeat(levels_d, lines)
    tile.update(np.tile(x, (batch, 1)), np.tile(d, (batch, 1)))
    moved = tile.get_weights().astype(np.float64).reshape(2, lines, 2, lines)
    pulses = rate / 0.001  # of the largest crosspoint
    length = np.ceil(pulses)
    for i, level_d in enumerate(levels_d):
        for j, level_x in enumerate(levels_x):
            p = abs(level_d) * np.sqrt(pulses / length)
            q = abs(level_x) * np.sqrt(pulses / length)
            # Lines are shared, so the sum over the block is one sample for each vector.
            square_x = lines * q * (1 - q) + (lines * q) ** 2
            square_d = lines * p * (1 - p) + (lines * p) ** 2
            variance = square_x * square_d - (lines * lines * p * q) ** 2
            limit = np.sqrt(2 * variance * np.log(2e6) / batch)
            limit += lines**2 * 1e-6 * np.log(2e6) / 3 / batch
            mean = moved[i, :, j].sum() / batch
            expected = -rate * level_d * level_x * lines**2
            assert abs(mean - expected) <= 0.001 * limit + 1e-4 * abs(expected)
            if rate == 1e-6 and i == j == 0:
                assert 0.001 * limit < 0.05 * abs(expected)


@pytest.mark.parametrize("slots", [1, 5, 31, 32, 63, 64, 200])
@pytest.mark.parametrize("rate", [1.0, -1.0])
@pytest.mark.parametrize("pulse_type", PULSED)
def test_saturated_trains_are_exact(slots, rate, pulse_type):
    tile = make_tile((1, 1), desired_bl=slots, rate=rate, pulse_type=pulse_type)
    tile.update([1.0], [1.0])
    expected = -np.sign(rate) * 0.001 * slots
    np.testing.assert_allclose(tile.get_weights(), [[expected]], rtol=1e-5)


@pytest.mark.parametrize("x, d, rate", [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1, 1, 0.0)])
@pytest.mark.parametrize("pulse_type", PULSED)
def test_nothing_comes_of_nothing(x, d, rate, pulse_type):
    device = {"count_pulses": True}
    tile = make_tile((2, 3), rate=rate, device=device, pulse_type=pulse_type)
    tile.set_weights(np.full((2, 3), 0.25))
    tile.update(np.full(3, x), np.full(2, d))
    assert (tile.get_weights() == 0.25).all()
    assert not tile._arrays["pulse_ordinals"].any()
    assert not tile.get_pulse_counters().any()


@pytest.mark.parametrize("sto_round", [False, True])
def test_resolutions_above_one_are_numbers_of_steps(sto_round):
    tiles = [make_tile((3, 4), res=res, sto_round=sto_round) for res in (0.1, 10.0)]
    for tile in tiles:
        tile.update(np.tile(X, (50, 1)), np.tile(D, (50, 1)))
    assert np.array_equal(tiles[0].get_weights(), tiles[1].get_weights())
    assert tiles[0].get_weights().any()


@pytest.mark.parametrize("pulse_type", PULSED)
def test_certain_ascent_and_descent(pulse_type):
    for rate, weight in ((0.01, -0.01), (-0.01, 0.01)):
        tile = make_tile((1, 1), rate=rate, pulse_type=pulse_type)
        tile.update([1.0], [1.0])
        np.testing.assert_allclose(tile.get_weights(), [[weight]], rtol=1e-5)


def test_very_small_products():
    """k = 0.001: one slot, mean and variance of 0.001 pulses."""
    counts = signed_counts(np.float32([0.01]), np.float32([0.01]), 100_000)
    assert_binomial(counts, 1, 0.001)
