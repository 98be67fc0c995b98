"""Laws of the product: scale, order of lines, transposition, draws of their own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    IdealDevice,
    IOParameters,
    NoiseManagementType,
    SingleRPUConfig,
    WeightNoiseType,
)
from rpupy.testing.statistics import assert_mean, assert_variance
from rpupy.tiles import AnalogTile

OFF: dict[str, Any] = {
    "noise_management": NoiseManagementType.NONE,
    "bound_management": BoundManagementType.NONE,
    "inp_bound": 0.0,
    "out_bound": 0.0,
    "out_noise": 0.0,
}


def tile_of(weights: Any, rng: int = 1, **io: Any) -> AnalogTile:
    both = IOParameters(**io)
    config = SingleRPUConfig(device=IdealDevice(), forward=both, backward=both)
    tile = AnalogTile(*np.shape(weights), config, rng=rng)
    tile.set_weights(weights)
    return tile


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Eighths: sums of their products are exact, whatever the order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32) / 8


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
def test_a_product_without_effects_is_linear(seed: int) -> None:
    tile = tile_of(numbers(seed, 3, 9), **OFF)
    x, y = numbers(seed + 1, 2, 9)
    assert np.array_equal(tile(x) + tile(y), tile(x + y))
    assert np.array_equal(2 * tile(x), tile(2 * x))


@given(seed=seeds, exponent=st.integers(-40, 40))
def test_abs_max_takes_the_scale_of_the_input_out(seed: int, exponent: int) -> None:
    """Powers of two change no bit, noise and all."""
    x = np.random.default_rng(seed).standard_normal((3, 9)).astype(np.float32)
    for io in ({"inp_noise": 0.1}, {"ir_drop": 1.0, "r_series": 0.1}):
        small, large = (tile_of(numbers(seed, 4, 9), **io) for _ in range(2))
        scaled = np.ldexp(x, exponent).astype(np.float32)
        assert np.array_equal(np.ldexp(small(x), exponent), large(scaled))


@given(seed=seeds)
def test_lines_can_be_renumbered(seed: int) -> None:
    """Whatever does not draw or look at the place of a line does not care about it."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(5), rng.permutation(9)
    weights, x = numbers(seed, 5, 9), numbers(seed + 1, 4, 9)
    io = {"out_noise": 0.0, "inp_res": 1 / 16, "v_offset_w_min": 0.0, "r_series": 0.1}
    plain = tile_of(weights, **io)(x)
    renumbered = tile_of(weights[rows][:, columns], **io)(x[:, columns])
    assert np.array_equal(plain[:, rows], renumbered)


@given(seed=seeds)
def test_backward_is_forward_of_the_transpose(seed: int) -> None:
    """Without draws and bound management: bit for bit."""
    weights, d = numbers(seed, 5, 9), numbers(seed + 1, 4, 5)
    io = {
        "out_noise": 0.0,
        "ir_drop": 1.0,
        "r_series": 0.1,
        "out_nonlinearity": 0.2,
        "out_asymmetry": 0.1,
        "bound_management": BoundManagementType.NONE,
        "mv_type": AnalogMVType.POS_NEG_SEPARATE,
    }
    backward = tile_of(weights, **io).backward(d)
    assert np.array_equal(backward, tile_of(weights.T, **io).forward(d))


def test_backward_has_the_noise_of_a_forward_of_the_transpose() -> None:
    """Means and variances; deviations of 3 % of a standard deviation would be seen."""
    io = {
        **OFF,
        "w_noise": 0.1,
        "w_noise_type": WeightNoiseType.PCM_READ,
        "inp_noise": 0.2,
        "out_noise": 0.1,
    }
    weights, d = numbers(1, 3, 2), np.array([0.5, -1.0, 0.25])
    found = tile_of(weights, **io).backward(np.tile(d, (100_000, 1)))
    variance = 0.01 + 0.04 * (weights**2).sum(axis=0)
    variance = variance + 0.01 * np.abs(weights).T @ (d**2 + 0.04)
    for column, value in enumerate(d @ weights):
        y = found[:, column].astype(np.float64)
        assert_mean(y, value, np.sqrt(variance[column]))
        assert_variance(y, variance[column], kurtosis=3.5)


#: Effects with draws of their own, and the steps of a trace before and after each.
DRAWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "inp_sto_round": ({"inp_sto_round": True}, "scaled", "input_rounded"),
    "inp_noise": ({"inp_noise": 0.1}, "input_clipped", "input_noise"),
    "w_noise": (
        {"w_noise": 0.1, "w_noise_type": WeightNoiseType.PCM_READ},
        "series",
        "weight_noise",
    ),
    "out_noise": ({"out_noise": 0.1}, "output_asymmetry", "output_noise"),
    "out_sto_round": (
        {"out_sto_round": True, "out_noise": 0.1},
        "output_noise",
        "output_rounded",
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_no_effect_moves_the_draws_of_another(name: str) -> None:
    """Each alone adds what it adds beside all others."""
    x = np.ones((3, 70), dtype=np.float32) / 2
    weights = np.zeros((70, 70)) if name.startswith("out") else np.eye(70)
    quiet = {"out_noise": 0.0, "inp_res": 0.3, "out_res": 0.3, "out_bound": 1.0}
    quiet |= {"bound_management": BoundManagementType.NONE}
    alone, before, after = DRAWS[name]
    everything = {k: v for io, *_ in DRAWS.values() for k, v in io.items()}
    added = []
    for io in (alone, everything):
        steps = tile_of(weights, **{**quiet, **io}).trace(x)
        change = steps[after] - steps[before]
        # The spread of read noise follows the input.
        added.append(change / np.abs(steps["driven"]) if name == "w_noise" else change)
    assert np.abs(added[0]).max() > 0.01
    np.testing.assert_allclose(added[0], added[1], atol=1e-4)


def test_spreads_of_lines_move_no_other_draw() -> None:
    """Noise stays what it was when other lines' draws come and go."""
    x = np.ones((2, 8), dtype=np.float32)
    io = {"out_noise": 0.1, "out_res": 0.0, "out_bound": 0.0, "v_offset_w_min": 0.0}
    plain = tile_of(np.zeros((5, 8)), **io)
    drawn = tile_of(
        np.zeros((5, 8)),
        v_offset_std=0.1,
        out_nonlinearity=0.1,
        out_noise_std=0.2,
        **io,
    )
    factor = drawn.get_forward_parameters()["out_noise_values"] / np.float32(0.1)
    np.testing.assert_allclose(plain(x) * factor, drawn(x), rtol=1e-5)
