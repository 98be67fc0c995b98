"""Weights read from products, and written with verification."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    IdealDevice,
    IOParameters,
    MappingParameter,
    SingleRPUConfig,
)
from rpupy.testing.statistics import assert_mean
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile

Build = Callable[..., Tile]

W = np.array([[0.2, -0.4, 0.1], [0.5, 0.25, -0.5]])
BIAS = np.array([0.3, -0.2])


@pytest.mark.parametrize("kind", ["none", "digital", "analog"])
@pytest.mark.parametrize("trans", [False, True])
def test_an_exact_tile_is_read_exactly(exact: Build, kind: str, trans: bool) -> None:
    mapping = {
        "weight_scaling_omega": 0.4,
        "weight_scaling_columnwise": True,
        "digital_bias": kind == "digital",
    }
    tile = exact(
        2, 3, mapping, bias=kind != "none", in_trans=trans, out_trans=trans, rng=0
    )
    tile.set_weights(W, None if kind == "none" else BIAS)
    for scaled in (False, True):
        known, known_bias = tile.get_weights(scaled)
        for weight, bias in (
            tile.read_weights(scaled),
            tile.read_weights(scaled, over_sampling=1),
            tile.read_weights(scaled, x_values=np.eye(5, 3)),
            tile.get_weights(scaled, realistic=True),
        ):
            assert weight.dtype == np.float32
            # Least squares of a well-conditioned matrix: some roundings.
            assert weight == pytest.approx(known, abs=1e-5)
            assert (bias is None) == (kind == "none")
            if kind != "none":
                assert bias == pytest.approx(known_bias, abs=1e-5)


def _output_noise() -> SingleRPUConfig:
    """Products whose only fault is noise of 0.06 on each output."""
    return SingleRPUConfig(
        device=IdealDevice(),
        forward=IOParameters(
            inp_bound=0.0,
            out_bound=0.0,
            noise_management="None",
            bound_management="None",
            out_noise=0.06,
        ),
    )


@pytest.mark.parametrize("over_sampling", [10, 100])
def test_the_spread_of_read_weights(over_sampling: int) -> None:
    """The spread falls with the root of the number of products, without bias.

    With M standard normal inputs in n dimensions the covariance of least squares is
    0.06^2 times the inverse of a Wishart matrix, whose mean is 1 / (M - n - 1).
    """
    tile = AnalogTile(400, 5, _output_noise(), rng=11)
    errors = []
    for _ in range(20):
        weight, _ = tile.read_weights(over_sampling=over_sampling)
        errors.append(weight - tile.get_weights()[0])
    found = np.array(errors)
    products = 5 * over_sampling
    variance = 0.06**2 / (products - 5 - 1)
    # Reads share inputs among the 400 outputs, which are independent given them: the
    # variance of a read fluctuates by sqrt(2 / M), hence a kurtosis above 3 and the
    # tolerance of the mean variance over 20 reads and 5 inputs, at 6 standard errors.
    slack = 6 * np.sqrt(2 / (products - 9) / 100)
    assert found.var() == pytest.approx(variance, rel=slack + 6 * np.sqrt(2 / 40000))
    assert_mean(found, 0.0, np.sqrt(variance * (1 + slack)), false_alarm=1e-7)


def test_the_spread_of_the_worked_example() -> None:
    """Default products, 2 x 3 tile: 0.021 with 10 times, 0.0062 with 100 times.

    The standard deviation of n estimates is known to 1 / sqrt(2 n): 6000 numbers give
    0.9 %, and the numbers of the example have two digits, so that 10 % is far out.
    """
    tile = AnalogTile(2, 3, rng=0)
    tile.set_weights(W)
    for over_sampling, expected in ((10, 0.021), (100, 0.0062)):
        errors = np.array(
            [
                tile.read_weights(over_sampling=over_sampling)[0] - W
                for _ in range(1000 // (over_sampling // 10))
            ]
        )
        assert errors.std() == pytest.approx(expected, rel=0.1)
        assert abs(errors.mean()) < 0.002


def test_reads_differ_and_repeat() -> None:
    one, two = (AnalogTile(2, 3, rng=0) for _ in range(2))
    first, second = one.read_weights()[0], one.read_weights()[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(two.read_weights()[0], first)
    assert np.array_equal(two.copy().read_weights()[0], second)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"over_sampling": 0}, ValueError, "over_sampling must be at least 1, got 0"),
        ({"over_sampling": 1.5}, TypeError, "over_sampling must be an integer"),
        ({"x_values": np.ones(3)}, ValueError, r"shape \(M, 3\), got \(3,\)"),
        ({"x_values": np.ones((5, 4))}, ValueError, r"shape \(5, 3\), got \(5, 4\)"),
        ({"x_values": np.ones((3, 3))}, ValueError, "at least 4 rows, got 3"),
        ({"x_values": np.full((5, 3), np.nan)}, ValueError, "x_values must be finite"),
        ({"apply_weight_scaling": 1}, TypeError, "must be True or False"),
    ],
)
def test_bad_reads_draw_nothing(
    arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    config = SingleRPUConfig(mapping=MappingParameter(digital_bias=False))
    tile = AnalogTile(2, 3, config, bias=True, rng=0)
    twin = tile.copy()
    with pytest.raises(error, match=match):
        tile.read_weights(**arguments)
    assert np.array_equal(tile.read_weights()[0], twin.read_weights()[0])


# ---- programming ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "digital", "analog"])
def test_programming_reaches_its_aim(exact: Build, kind: str) -> None:
    mapping = {"weight_scaling_omega": 0.4, "digital_bias": kind == "digital"}
    tile = exact(2, 3, mapping, bias=kind != "none", rng=0)
    tile.set_weights(W, None if kind == "none" else BIAS)
    tile.set_learning_rate(0.37)
    before, bias = tile.get_weights()
    scales = tile.get_scales()
    error = tile.program_weights(tolerance=1e-4)
    assert 0 < error < 1e-4
    after, bias_after = tile.get_weights()
    # The mean error is below 1e-4 of the largest weight; single ones can be larger.
    assert not np.array_equal(after, before)
    assert np.abs(after - before).max() < 1e-3
    if kind == "digital":
        assert np.array_equal(bias_after, bias)
    elif kind == "analog":
        assert np.abs(bias_after - bias).max() < 1e-3
    assert np.array_equal(tile.get_scales(), scales)
    assert tile.get_learning_rate() == 0.37


def test_programming_again_aims_at_the_same(exact: Build) -> None:
    tile = exact(2, 3, rng=0)
    assert tile.reference_combined_weights is None
    tile.set_weights(W)
    tile.program_weights(tolerance=1e-4)
    aim = tile.reference_combined_weights
    assert np.array_equal(aim, W.astype(np.float32))
    with pytest.raises(ValueError, match="read-only"):
        aim[0, 0] = 1
    tile.update([1, 1, 1], [1, 1])
    tile.program_weights(tolerance=1e-4)
    assert np.abs(tile.get_weights()[0] - W).max() < 1e-3
    # From the present weights, and after new weights, the aim is another.
    tile.update([1, 1, 1], [1, 1])
    moved = tile.get_weights()[0]
    tile.program_weights(from_reference=False, tolerance=1e-4)
    assert np.array_equal(tile.reference_combined_weights, moved)
    tile.set_weights(-W)
    assert tile.reference_combined_weights is None
    tile.program_weights(tolerance=1e-4)
    assert np.abs(tile.get_weights()[0] + W).max() < 1e-3


def test_programming_with_own_inputs_and_start(exact: Build) -> None:
    tile = exact(2, 3, {"digital_bias": False}, bias=True, rng=0)
    tile.set_weights(W, BIAS)
    x = np.random.default_rng(0).standard_normal((12, 3))
    error = tile.program_weights(x_values=x, tolerance=1e-5, w_init=np.zeros((2, 4)))
    assert error < 1e-5
    weight, bias = tile.get_weights()
    assert np.abs(weight - W).max() < 1e-3
    assert np.abs(bias - BIAS).max() < 1e-3


def test_a_start_at_the_aim_needs_no_update(exact: Build) -> None:
    tile = exact(2, 3)
    tile.set_weights(W)
    assert tile.program_weights(w_init=W, max_iter=0) == 0.0
    assert np.array_equal(tile.get_weights()[0], W.astype(np.float32))


def test_setting_weights_realistically() -> None:
    device = ConstantStepDevice(w_max_dtod=0, w_min_dtod=0, w_max=1, w_min=-1)
    config = SingleRPUConfig(device=device, forward=IOParameters(is_perfect=True))
    tile = AnalogTile(2, 3, config, rng=0)
    tile.set_weights(W, realistic=True)
    error = np.abs(tile.get_weights()[0] - W)
    # Not exact, but within the tolerance of 1 % of the largest weight on average.
    assert 0 < error.mean() < 0.01 * 0.5
    assert np.array_equal(tile.reference_combined_weights, W.astype(np.float32))


def test_an_aim_out_of_reach_comes_back() -> None:
    # The noise of one product is 0.06 * sqrt(2 / pi) on average: 0.2 of 0.25.
    tile = AnalogTile(2, 3, rng=0)
    tile.set_weights(0.5 * W)
    error = tile.program_weights(max_iter=50)
    assert error > 0.05


def test_an_aim_of_zeros(exact: Build) -> None:
    tile = exact(2, 3)
    tile.set_weights(np.zeros((2, 3)))
    assert tile.program_weights(tolerance=1e-5) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"from_reference": 1}, TypeError, "from_reference must be True or False"),
        ({"x_values": np.ones((2, 2))}, ValueError, "x_values must have shape"),
        ({"x_values": np.ones((0, 3))}, ValueError, "at least 1 row, got 0"),
        ({"learning_rate": "x"}, TypeError, "learning_rate must be a real number"),
        ({"max_iter": -1}, ValueError, "max_iter must not be negative, got -1"),
        ({"max_iter": 1.0}, TypeError, "max_iter must be an integer"),
        ({"tolerance": -0.1}, ValueError, "tolerance must not be negative, got -0.1"),
        ({"w_init": "x"}, TypeError, "w_init must be"),
        ({"w_init": np.ones((3, 2))}, ValueError, r"w_init must have shape \(2, 3\)"),
        # Fails in the first update, when the weights are no longer those of before.
        ({"learning_rate": 1e38}, ValueError, "finite"),
    ],
)
def test_a_failed_call_changes_nothing(
    exact: Build, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    tile = exact(2, 3, bias=True, rng=0)
    tile.set_weights(W, BIAS)
    tile.program_weights(max_iter=1)
    twin = tile.copy()
    with pytest.raises(error, match=match):
        tile.program_weights(**arguments)
    assert tile.get_learning_rate() == 0.1
    assert np.array_equal(
        tile.reference_combined_weights, twin.reference_combined_weights
    )
    assert np.array_equal(tile.get_weights()[0], twin.get_weights()[0])
    # Counters, too: the next random numbers are the same.
    tile.tile.set_weights_uniform_random(-1, 1)
    twin.tile.set_weights_uniform_random(-1, 1)
    assert np.array_equal(tile.get_weights()[0], twin.get_weights()[0])


def test_a_realistic_write_that_fails_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tile = FloatingPointTile(2, 3, bias=True)
    tile.set_weights(W, BIAS)
    tile.set_mapping_scales(2.0)

    def stop(*_: Any, **__: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(tile, "program_weights", stop)
    with pytest.raises(KeyboardInterrupt):
        tile.set_weights(-W, -BIAS, realistic=True, weight_scaling_omega=0.1)
    assert np.array_equal(tile.mapping_scales, [2])
    assert np.array_equal(tile.bias, BIAS.astype(np.float32))
    assert np.array_equal(tile.tile.get_weights(), W.astype(np.float32))
