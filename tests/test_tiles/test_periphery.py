"""Mapping scales, bias and learning rate."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rpupy.configs import FloatingPointRPUConfig, MappingParameter
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile

Build = Callable[..., Tile]

W = np.array([[0.2, -0.4, 0.1], [1, 0.5, -2]])
BIAS = np.array([0.3, 4])
#: A few roundings of float32.
TINY = {"rel": 4e-7, "abs": 1e-7}


@pytest.mark.parametrize(
    ("mapping", "scales"),
    [
        ({}, 2 / 0.6),
        ({"weight_scaling_columnwise": True}, [0.4 / 0.6, 2 / 0.6]),
        ({"digital_bias": False}, 4 / 0.6),
        (
            {"digital_bias": False, "weight_scaling_columnwise": True},
            [0.4 / 0.6, 4 / 0.6],
        ),
    ],
)
def test_scales_of_the_worked_example(
    exact: Build, mapping: dict[str, Any], scales: Any
) -> None:
    tile = exact(2, 3, {"weight_scaling_omega": 0.6, **mapping}, bias=True)
    tile.set_weights(W, BIAS)
    expected = np.atleast_1d(scales)
    assert tile.mapping_scales.shape == expected.shape
    assert tile.mapping_scales == pytest.approx(expected, **TINY)
    weight, bias = tile.get_weights()
    assert weight == pytest.approx(W, **TINY)
    assert bias == pytest.approx(BIAS, **TINY)
    raw, raw_bias = tile.get_weights(apply_weight_scaling=False)
    assert raw == pytest.approx(W / expected[:, None], **TINY)
    if tile.analog_bias:
        assert raw_bias == pytest.approx(BIAS / expected, **TINY)
    else:
        assert raw_bias == pytest.approx(BIAS, **TINY)


def test_rows_of_the_worked_example(exact: Build) -> None:
    tile = exact(2, 3, {"weight_scaling_omega": 0.6})
    tile.set_weights(W)
    rows = [[0.06, -0.12, 0.03], [0.3, 0.15, -0.6]]
    assert tile.tile.get_weights() == pytest.approx(np.array(rows), **TINY)


def test_remapping_of_the_worked_example(exact: Build) -> None:
    weights = 2 * np.array([[0.4, -1, 0.1, 0.25], [0.8, -0.3, -0.05, 0.6]])
    columns = {"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True}
    tile = exact(2, 4, columns)
    tile.set_weights(weights)
    assert tile.mapping_scales == pytest.approx(np.array([2, 1.6]), **TINY)
    rows = [[0.4, -1, 0.1, 0.25], [1, -0.375, -0.0625, 0.75]]
    assert tile.tile.get_weights() == pytest.approx(np.array(rows), **TINY)
    tile = exact(2, 4, {"weight_scaling_omega": 0.6})
    tile.set_weights(weights)
    assert tile.mapping_scales == pytest.approx(np.array([3.3333333]), **TINY)
    assert np.abs(tile.tile.get_weights()).max() == pytest.approx(0.6, **TINY)
    tile.remap_weights(1.0)
    assert tile.mapping_scales == pytest.approx(np.array([2.0]), **TINY)
    assert np.abs(tile.tile.get_weights()).max() == pytest.approx(1.0, **TINY)
    assert tile.get_weights()[0] == pytest.approx(weights, rel=1e-6)


def test_raw_values_leave_the_scales_alone(exact: Build) -> None:
    tile = exact(2, 3, {"weight_scaling_omega": 0.6})
    tile.set_weights(W)
    tile.set_weights(W, apply_weight_scaling=False)
    assert tile.mapping_scales == pytest.approx(np.array([10 / 3]), **TINY)
    assert tile.get_weights()[0] == pytest.approx(W * 10 / 3, **TINY)


def test_an_omega_for_one_call(exact: Build) -> None:
    tile = exact(2, 3)
    assert tile.mapping_scales is None
    tile.set_weights(W, weight_scaling_omega=0.5)
    assert tile.mapping_scales == pytest.approx(np.array([4.0]), **TINY)
    # Without scaling, what is written is what comes back.
    tile.set_weights(W)
    assert np.array_equal(tile.mapping_scales, [1.0])
    assert np.array_equal(tile.get_weights()[0], W.astype(np.float32))


def test_zero_rows_have_scale_one(exact: Build) -> None:
    columns = {"weight_scaling_omega": 0.5, "weight_scaling_columnwise": True}
    tile = exact(3, 2, columns)
    tile.set_weights([[0, 0], [1, 0], [1e-45, 0]])
    assert np.array_equal(tile.mapping_scales, [1, 2, 1])


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({}, None),
        ({"weight_scaling_columnwise": True}, None),
        ({"weight_scaling_omega": 0.6}, [1]),
        ({"weight_scaling_omega": 0.6, "weight_scaling_columnwise": True}, [1, 1]),
    ],
)
def test_scales_before_weights_are_set(
    exact: Build, mapping: dict[str, Any], expected: list[int] | None
) -> None:
    tile = exact(2, 3, mapping)
    if expected is None:
        assert tile.mapping_scales is None
        assert tile.get_scales() is None
    else:
        assert np.array_equal(tile.get_mapping_scales(), expected)


def test_setting_scales(exact: Build) -> None:
    tile = exact(2, 3)
    tile.set_mapping_scales(2.0)
    assert np.array_equal(tile.get_mapping_scales(), [2])
    tile.set_scales([1.0, 3.0])
    assert np.array_equal(tile.get_scales(), [1, 3])
    # A float is not ignored where scales exist.
    tile.set_mapping_scales(5)
    assert np.array_equal(tile.mapping_scales, [5, 5])
    tile.mapping_scales = [7.0]
    assert np.array_equal(tile.mapping_scales, [7])
    tile.set_mapping_scales(None)
    assert tile.mapping_scales is None
    copied = np.array([2.0, 3.0], dtype=np.float32)
    tile.set_mapping_scales(copied)
    copied[0] = 9
    assert np.array_equal(tile.mapping_scales, [2, 3])
    with pytest.raises(ValueError, match="read-only"):
        tile.mapping_scales[0] = 1


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ([1, 2, 3], ValueError, r"shape \(1,\) or \(2,\), got \(3,\)"),
        ([[1, 2]], ValueError, r"got \(1, 2\)"),
        (0.0, ValueError, "above 0, got 0.0"),
        ([1, -2], ValueError, "above 0, got -2.0"),
        (np.nan, ValueError, "finite and above 0, got nan"),
        ("1", TypeError, "mapping_scales must be an array of real numbers"),
    ],
)
def test_bad_scales(
    exact: Build, value: Any, error: type[Exception], match: str
) -> None:
    tile = exact(2, 3)
    tile.set_mapping_scales([1.5, 2.5])
    with pytest.raises(error, match=match):
        tile.set_mapping_scales(value)
    assert np.array_equal(tile.mapping_scales, [1.5, 2.5])


def test_an_omega_too_small(exact: Build) -> None:
    tile = exact(1, 1)
    with pytest.raises(ValueError, match="weight_scaling_omega must not be so small"):
        tile.set_weights([[1e30]], weight_scaling_omega=1e-20)
    with pytest.raises(TypeError, match="weight_scaling_omega must be a real number"):
        tile.set_weights([[1]], weight_scaling_omega="1")


# ---- learning rate -------------------------------------------------------------------


def test_compensated_learning_rate_of_the_worked_example(exact: Build) -> None:
    mapping = {"weight_scaling_omega": 0.6, "weight_scaling_lr_compensation": True}
    tile = exact(2, 3, mapping)
    tile.set_weights(W)
    # The logical rate stays; that of the array follows the scales.
    assert tile.get_learning_rate() == pytest.approx(0.1, rel=1e-15)
    assert tile.tile.get_learning_rate() == pytest.approx(0.03, rel=1e-6)
    tile.set_learning_rate(0.2)
    assert tile.tile.get_learning_rate() == pytest.approx(0.06, rel=1e-6)
    assert tile.get_learning_rate() == pytest.approx(0.2, rel=1e-15)
    tile.set_mapping_scales([1.0, 3.0])
    assert tile.tile.get_learning_rate() == pytest.approx(0.1, rel=1e-15)
    tile.set_mapping_scales(None)
    assert tile.tile.get_learning_rate() == pytest.approx(0.2, rel=1e-15)


def test_learning_rate_without_compensation_is_that_of_the_array(exact: Build) -> None:
    tile = exact(2, 3, {"weight_scaling_omega": 0.6})
    tile.set_weights(W)
    tile.set_learning_rate(0.3)
    tile.set_learning_rate(None)
    assert tile.get_learning_rate() == tile.tile.get_learning_rate() == 0.3


@pytest.mark.parametrize("value", ["0.1", [0.1], True, 1j])
def test_bad_learning_rate(exact: Build, value: Any) -> None:
    tile = exact(2, 3)
    with pytest.raises(TypeError, match="learning_rate must be a real number, got"):
        tile.set_learning_rate(value)
    with pytest.raises(ValueError, match="learning_rate must be finite"):
        tile.set_learning_rate(math.nan)
    assert tile.get_learning_rate() == 0.1


def test_scales_that_need_an_impossible_rate_are_refused(exact: Build) -> None:
    tile = exact(1, 1, {"weight_scaling_lr_compensation": True})
    tile.set_learning_rate(1e30)
    with pytest.raises(ValueError, match="learning_rate must be finite"):
        tile.set_mapping_scales(1e-20)
    assert tile.mapping_scales is None
    assert tile.get_learning_rate() == 1e30


@given(
    columnwise=st.booleans(),
    compensate=st.booleans(),
    analog=st.booleans(),
    weights=hnp.arrays(
        np.float32, (3, 4), elements=st.floats(-4, 4, width=32).map(lambda w: w or 1.0)
    ),
    lr=st.floats(-1, 1, width=32),
)
def test_the_logical_update_does_not_depend_on_scales(
    columnwise: bool, compensate: bool, analog: bool, weights: np.ndarray, lr: float
) -> None:
    config = FloatingPointRPUConfig(
        mapping=MappingParameter(
            digital_bias=not analog,
            weight_scaling_omega=0.6,
            weight_scaling_columnwise=columnwise,
            weight_scaling_lr_compensation=compensate,
        )
    )
    tile = FloatingPointTile(3, 4, config, bias=True)
    bias = np.array([0.5, -0.25, 3])
    tile.set_weights(weights, bias)
    before, bias_before = tile.get_weights()
    tile.set_learning_rate(lr)
    x = np.array([[1, -2, 0.5, 0], [3, 0.25, -1, 1]])
    d = np.array([[0.5, 1, -1], [2, 0, 0.125]])
    tile.update(x, d)
    after, bias_after = tile.get_weights()
    # Some ten roundings of numbers up to 4 + 7.
    rounding = 1e-5 * (11 + np.abs(weights).max())
    assert np.abs(after - (before - lr * d.T @ x)).max() <= rounding
    expected = bias_before - lr * d.sum(axis=0) if analog else bias
    assert np.abs(bias_after - expected).max() <= rounding


# ---- bias ----------------------------------------------------------------------------


@pytest.mark.parametrize("out_trans", [False, True])
def test_assigning_the_bias(exact: Build, out_trans: bool) -> None:
    tile = exact(2, 3, bias=True, out_trans=out_trans)
    tile.set_weights(np.zeros((2, 3)))
    assert tile.digital_bias and not tile.analog_bias
    given_bias = np.array([1.0, 2.0], dtype=np.float32)
    tile.bias = given_bias
    given_bias[:] = 7
    y = tile(np.ones((5, 4, 3)))
    assert y.shape == ((2, 5, 4) if out_trans else (5, 4, 2))
    assert np.array_equal(np.moveaxis(y, 0, -1) if out_trans else y, [[[1, 2]] * 4] * 5)
    with pytest.raises(ValueError, match="read-only"):
        tile.bias[0] = 3
    for wrong, match in [
        ([1, 2, 3], r"bias must have shape \(2,\), got \(3,\)"),
        ([1, np.nan], "bias must be finite"),
    ]:
        with pytest.raises(ValueError, match=match):
            tile.bias = wrong
    with pytest.raises(TypeError, match="bias must be an array of real numbers"):
        tile.bias = None
    assert np.array_equal(tile.bias, [1, 2])


def test_no_digital_bias(exact: Build) -> None:
    plain = exact(2, 3)
    assert plain.bias is None
    assert plain.get_weights()[1] is None
    plain.bias = None
    with pytest.raises(ValueError, match="a tile with no bias, got list"):
        plain.bias = [1, 2]
    with pytest.raises(ValueError, match="a tile with no bias, got list"):
        plain.set_weights(np.zeros((2, 3)), [1, 2])
    analog = exact(2, 3, {"digital_bias": False}, bias=True)
    assert analog.bias is None
    with pytest.raises(ValueError, match="a tile with an analog bias"):
        analog.bias = [1, 2]
    with pytest.raises(ValueError, match="bias must be given for a tile with"):
        analog.set_weights(np.zeros((2, 3)))


def test_weights_without_bias_leave_a_digital_bias(exact: Build) -> None:
    tile = exact(2, 3, bias=True)
    tile.set_weights(W, BIAS)
    tile.set_weights(2 * W)
    assert np.array_equal(tile.get_weights()[1], BIAS.astype(np.float32))


@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        (np.zeros((3, 2)), BIAS),
        (W * np.nan, BIAS),
        (W.astype(str), BIAS),
        (W, BIAS[:1]),
        (W, BIAS * np.inf),
    ],
)
def test_bad_weights_change_nothing(
    exact: Build, analog: bool, weight: Any, bias: Any
) -> None:
    mapping = {"weight_scaling_omega": 0.6, "digital_bias": not analog}
    tile = exact(2, 3, mapping, bias=True)
    tile.set_weights(W, BIAS)
    scales, (before, bias_before) = tile.get_scales(), tile.get_weights()
    with pytest.raises((TypeError, ValueError), match=r"weight|bias"):
        tile.set_weights(weight, bias)
    assert np.array_equal(tile.get_scales(), scales)
    after, bias_after = tile.get_weights()
    assert np.array_equal(after, before)
    assert np.array_equal(bias_after, bias_before)


def test_what_is_handed_out_is_no_way_in(exact: Build) -> None:
    tile = exact(2, 3, bias=True)
    tile.set_weights(W, BIAS)
    tile.set_mapping_scales([1.0, 2.0])
    weight, bias = tile.get_weights(apply_weight_scaling=False)
    scales = tile.get_scales()
    for array in (weight, bias, scales):
        array[...] = 99
    again, bias = tile.get_weights(apply_weight_scaling=False)
    assert np.array_equal(again, W.astype(np.float32))
    assert np.array_equal(bias, BIAS.astype(np.float32))
    assert np.array_equal(tile.get_scales(), [1, 2])


def test_devices_clip_what_they_cannot_hold() -> None:
    tile = AnalogTile(1, 2, rng=0)
    tile.set_weights([[5.0, -5.0]])
    bounds = tile.get_hidden_parameters()
    expected = np.array([[bounds["max_bound"][0, 0], bounds["min_bound"][0, 1]]])
    assert np.array_equal(tile.get_weights()[0], expected)


@pytest.mark.parametrize("name", ["apply_weight_scaling", "realistic"])
def test_flags_must_be_flags(exact: Build, name: str) -> None:
    tile = exact(2, 3)
    with pytest.raises(TypeError, match=f"{name} must be True or False, got 1"):
        tile.set_weights(W, **{name: 1})
    with pytest.raises(TypeError, match=f"{name} must be True or False, got 1"):
        tile.get_weights(**{name: 1})
