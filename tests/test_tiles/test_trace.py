"""A trace shows what forward would compute next, step by step, and counts nothing."""

from typing import Any

import numpy as np
import pytest

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    NoiseManagementType,
    SingleRPUConfig,
    WeightNoiseType,
)
from rpupy.rpu_base import periphery
from rpupy.tiles import AnalogTile, FloatingPointTile

EVERYTHING: dict[str, Any] = {
    "inp_noise": 0.02,
    "inp_sto_round": True,
    "inp_asymmetry": 0.05,
    "ir_drop": 1.0,
    "ir_drop_g_ratio": 1e4,
    "r_series": 0.02,
    "v_offset_std": 0.1,
    "w_noise": 0.05,
    "w_noise_type": WeightNoiseType.PCM_READ,
    "out_nonlinearity": 0.3,
    "out_asymmetry": 0.1,
    "out_noise_std": 0.2,
    "out_sto_round": True,
    "out_bound": 1.0,
    "out_scale": 1.5,
}
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "perfect": {"is_perfect": True, "out_scale": 2.0},
    "everything": EVERYTHING,
    "average": {"noise_management": NoiseManagementType.AVERAGE_ABS_MAX},
    "passes": {**EVERYTHING, "mv_type": AnalogMVType.POS_NEG_SEPARATE},
    "digital": {**EVERYTHING, "mv_type": AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM},
}


def built(io: dict[str, Any], **options: Any) -> AnalogTile:
    config = SingleRPUConfig(device=IdealDevice(), forward=IOParameters(**io))
    tile = AnalogTile(5, 70, config, rng=3, **options)
    weights = np.random.default_rng(1).uniform(-1, 1, (5, 70))
    tile.set_weights(weights, np.ones(5) if options.get("bias") else None)
    return tile


def inputs(*batch: int) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((*batch, 70)).astype(np.float32)


def states(tile: AnalogTile) -> Any:
    meta, arrays = tile.tile.state()
    return meta, {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)], ids=str)
def test_the_last_step_is_the_next_forward(kind: str, batch: tuple[int, ...]) -> None:
    tile = built(KINDS[kind])
    x = inputs(*batch)
    for mode in (True, False, True):
        tile.train(mode)
        before = states(tile)
        steps = tile.trace(x)
        assert states(tile) == before
        assert steps["output"].tobytes() == tile.forward(x).tobytes()
        assert list(steps)[-1] == "output"


@pytest.mark.parametrize("options", [{"in_trans": True}, {"out_trans": True}], ids=str)
def test_layouts_are_those_of_forward(options: dict[str, bool]) -> None:
    tile = built(EVERYTHING, bias=True, **options)
    x = np.moveaxis(inputs(2, 3), -1, 0) if options.get("in_trans") else inputs(2, 3)
    steps = tile.trace(x)
    assert np.array_equal(steps["output"], tile.forward(x))
    assert steps["scaled"].shape == ((70, 2, 3) if tile.in_trans else (2, 3, 70))
    assert steps["product"].shape == ((5, 2, 3) if tile.out_trans else (2, 3, 5))


def test_an_analog_bias_is_one_more_input() -> None:
    config = SingleRPUConfig(device=IdealDevice())
    config.mapping.digital_bias = False
    tile = AnalogTile(2, 3, config, bias=True, rng=1)
    steps = tile.trace(np.full(3, 0.5))
    np.testing.assert_array_equal(steps["scaled"], [0.5, 0.5, 0.5, 1.0])


@pytest.mark.parametrize("kind", ["default", "everything"])
def test_steps_are_what_their_names_say(kind: str) -> None:
    tile = built(KINDS[kind])
    io = tile.rpu_config.forward
    x = inputs(4)
    steps = tile.trace(x)
    assert tuple(steps) == (*periphery.STAGES, "output")
    # The last round of bound management divided by a power of two more.
    factor = x[:, :1] / steps["scaled"][:, :1]
    halvings = np.log2(factor[:, 0] / np.abs(x).max(axis=1))
    np.testing.assert_allclose(halvings, np.rint(halvings), atol=1e-5)
    np.testing.assert_allclose(steps["scaled"] * factor, x, rtol=1e-6)
    step = np.float32(2 * io.inp_res)
    levels = steps["input_rounded"] / step
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert np.abs(steps["input_clipped"]).max() <= 1.0
    weights = tile.tile.get_weights()
    ideal = steps["driven"].astype(np.float64) @ weights.T.astype(np.float64)
    np.testing.assert_allclose(steps["product"], ideal, rtol=1e-5, atol=1e-6)
    assert np.abs(steps["output_clipped"]).max() <= io.out_bound
    result = steps["output_clipped"] * factor * io.out_scale
    np.testing.assert_allclose(steps["output"], result, rtol=1e-6)
    off = kind == "default"
    pairs = zip(periphery.STAGES[:-1], periphery.STAGES[1:], strict=True)
    changed = {b for a, b in pairs if not np.array_equal(steps[a], steps[b])}
    assert ("ir_drop" in changed) is not off
    assert ("series" in changed) is not off
    assert ("weight_noise" in changed) is not off
    assert ("nonlinearity" in changed) is not off
    assert {"output_noise", "output_rounded"} <= changed


def test_steps_of_two_passes() -> None:
    tile = built(KINDS["digital"])
    x = inputs(3)
    steps = tile.trace(x)
    assert steps["driven"].shape == (2, 3, 70)
    positive, negative = steps["driven"]
    assert (positive >= 0).all() and (negative <= 0).all()
    np.testing.assert_array_equal(positive + negative, steps["input_asymmetry"])
    assert steps["output_clipped"].shape == (2, 3, 5)
    analog = built(KINDS["passes"]).trace(x)
    assert analog["weight_noise"].shape == (2, 3, 5)
    assert analog["output_clipped"].shape == (3, 5)


def test_exact_tiles_have_a_product() -> None:
    tile = FloatingPointTile(2, 3, FloatingPointRPUConfig(), rng=1)
    x = np.ones((4, 3), dtype=np.float32)
    steps = tile.trace(x)
    assert list(steps) == ["product", "output"]
    assert np.array_equal(steps["output"], tile.forward(x))


def test_digital_bias_and_scales_come_last() -> None:
    config = SingleRPUConfig(device=IdealDevice())
    config.mapping.weight_scaling_omega = 0.5
    tile = AnalogTile(2, 3, config, bias=True, rng=1)
    tile.set_weights([[1, 2, 3], [4, 5, 6]], [1, 2])
    x = np.ones((2, 3), dtype=np.float32)
    assert np.array_equal(tile.trace(x)["output"], tile.forward(x))


def test_vectors_that_never_reach_the_array() -> None:
    tile = built({})
    x = inputs(3)
    x[0], x[1, 3] = 0.0, np.nan
    steps = tile.trace(x)
    assert not steps["product"][:2].any()
    assert np.array_equal(steps["output"], tile.forward(x), equal_nan=True)


def test_wrong_inputs_are_refused() -> None:
    tile = built({})
    with pytest.raises(ValueError, match=r"x_input must have shape \(..., 70\)"):
        tile.trace(np.ones(5))
    with pytest.raises(TypeError, match="x_input must be an array of real numbers"):
        tile.trace("a")


def test_a_trace_of_the_last_round() -> None:
    io = {"out_bound": 0.5, "bound_management": BoundManagementType.ITERATIVE}
    tile = built(io)
    x = inputs(2)
    steps = tile.trace(x)
    largest = np.abs(x).max(axis=1)
    assert (np.abs(steps["scaled"]).max(axis=1) < 0.9).all()
    np.testing.assert_allclose(
        steps["output"] / largest[:, None],
        steps["output_clipped"] / np.abs(steps["scaled"]).max(axis=1)[:, None],
        rtol=1e-5,
    )
