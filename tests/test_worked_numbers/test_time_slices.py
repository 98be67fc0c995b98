"""Arrays that are read in time slices: worked numbers, and the ladder slice by slice."""

import numpy as np
import pytest

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    IdealDevice,
    IOParameters,
    NoiseManagementType,
    SingleRPUConfig,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.errors import ConfigError
from rpupy.tiles import AnalogTile

QUIET = {
    "noise_management": NoiseManagementType.NONE,
    "bound_management": BoundManagementType.NONE,
    "out_noise": 0.0,
    "out_res": 0.0,
    "out_bound": 0.0,
}
SUM = {"ir_drop_integration_sum": True, "adc_quantization": False}
ONE_PASS, SPLIT = AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE
BIT_WISE = AnalogMVType.BIT_WISE


def make_tile(weights, rows, **io):
    forward = IOParametersIRDropT(**QUIET | io)
    config = SingleRPUConfig(device=IdealDevice(), forward=forward)
    config.mapping.max_input_size = rows
    weights = np.asarray(weights, dtype=np.float32)
    tile = AnalogTile(*weights.shape, config, rng=1).eval()
    tile.set_weights(weights)
    return tile


SMALL = [[1.0, -0.5], [0.5, 1.0]]


@pytest.mark.parametrize(
    ("x", "io", "expected"),
    [
        ([1, -1 / 3], SUM, [1.1167594, 0.1668018]),
        ([1, -1 / 3], {"adc_quantization": False}, [1.3582401, 0.0889691]),
        ([1, -1 / 3], {"ir_drop_integration_sum": True}, [1.0683762, 0.0]),
        ([1, -1], SUM, [1.4440556, -0.4718252]),
        ([1, -1], {"adc_quantization": False}, [1.6855363, -0.5496579]),
        ([1, 0], SUM, [0.9531114, 0.4861153]),
        ([1, 0], {"adc_quantization": False}, [1.1127681, 0.5679394]),
    ],
)
def test_two_by_two(x, io, expected):
    tile = make_tile(
        SMALL, 2, inp_res=1 / 6, ir_drop_rs=1000.0, ir_drop_segments=2, **io
    )
    np.testing.assert_allclose(tile.forward(x), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("segments", "expected"), [(8, 194.7771), (64, 195.2133), (512, 195.2200)]
)
def test_long_lines(segments, expected):
    tile = make_tile(
        np.full((2, 512), 0.5), 512, inp_res=1 / 254, ir_drop_segments=segments, **SUM
    )
    np.testing.assert_allclose(tile.forward(np.ones(512))[0], expected, rtol=1e-5)


WIDE = [
    [0.5, -0.25, 1.0, 0.75, -0.5, 0.1, 0.2, -0.3],
    [1.0, 1.0, -1.0, 0.5, 0.5, 0.25, -0.75, 0.6],
]
X_WIDE = [1.0, -0.5, 0.25, 0.75, 0.6, -0.2, 0.4, -0.9]


@pytest.mark.parametrize(
    ("ir_drop", "expected"), [(0.0, [1.469685, 0.028347]), (1.0, [1.460542, 0.014277])]
)
def test_eight_rows(ir_drop, expected):
    tile = make_tile(WIDE, 8, inp_res=1 / 254, ir_drop=ir_drop, **SUM)
    np.testing.assert_allclose(tile.forward(X_WIDE), expected, atol=2e-3)


# ---- laws; tests/test_reference_model.py goes through the ladder slice by slice -----


@pytest.mark.parametrize(
    ("scale", "counts"), [(1.0, [3, 2, 1]), (0.75, [2, 2, 1]), (0.5, [1, 1, 1])]
)
def test_fewer_time_slices(scale, counts):
    """With T slices, the last at 1, an input is on in those that begin below it."""
    tile = make_tile(
        np.eye(3),
        3,
        inp_res=1 / 6,
        ir_drop=1e-6,
        ir_drop_segments=1,
        ir_drop_v_read=0.4,
        ir_drop_time_step_resolution_scale=scale,
        **SUM,
    )
    found = tile.forward([1.0, -2 / 3, 1 / 3])
    np.testing.assert_allclose(found * 3, counts * np.array([1, -1, 1]), rtol=1e-5)


@pytest.mark.parametrize("mv_type", [ONE_PASS, SPLIT, BIT_WISE])
def test_training_has_no_wires(mv_type):
    rng = np.random.default_rng(5)
    weights = rng.uniform(-1, 1, (3, 8)).astype(np.float32)
    tile = make_tile(weights, 8, mv_type=mv_type, inp_res=1 / 62).train()
    x = np.rint(rng.uniform(-31, 31, (4, 8))) / 31
    np.testing.assert_allclose(tile.forward(x), x @ weights.T, rtol=1e-5, atol=1e-6)
    plain = make_tile(weights, 8, mv_type=mv_type, inp_res=1 / 62, ir_drop=0.0)
    np.testing.assert_allclose(plain.forward(x), x @ weights.T, rtol=1e-5, atol=1e-6)


def test_weights_that_change_are_seen():
    tile = make_tile(SMALL, 2, inp_res=1 / 6, ir_drop_segments=2, **SUM)
    before = tile.forward([1.0, 1.0])
    tile.set_weights([[0.5, 0.0], [0.0, 0.5]])
    after = tile.forward([1.0, 1.0])
    np.testing.assert_allclose(after, [0.5, 0.5], atol=0.02)
    tile.set_weights(SMALL)
    assert np.array_equal(tile.forward([1.0, 1.0]), before)


def test_a_trace_shows_passes_and_charge():
    tile = make_tile(WIDE, 8, inp_res=1 / 62, mv_type=SPLIT)
    steps = tile.trace(X_WIDE)
    assert steps["driven"].shape == (2, 8)
    assert steps["charge"].shape == (2, 2)
    total = steps["output_clipped"][0] + 8 * steps["output_clipped"][1]
    np.testing.assert_allclose(steps["output"], total, rtol=1e-6)
    assert np.array_equal(steps["output"], tile.forward(X_WIDE))


@pytest.mark.parametrize(
    ("io", "message"),
    [
        ({"inp_res": 0.0}, r"must have inp_bound = 1\.0 and inp_res > 0"),
        (
            {"mv_type": BIT_WISE, "inp_res": 1 / 50},
            r"inp_res must be 1 / \(2\*\*b - 2\)",
        ),
        ({"mv_type": SPLIT, "split_mode_bit_shift": 6}, "must be at most 5"),
        ({"r_series": 0.1}, "r_series must be 0"),
        ({"ir_drop_segments": 3}, "must divide the rows of the array"),
    ],
)
def test_settings_that_do_not_go_together(io, message):
    with pytest.raises(ConfigError, match=message):
        make_tile(np.zeros((2, 8)), 8, **io)


def test_bits_are_for_arrays_in_time_slices_alone():
    for mv_type in (SPLIT, BIT_WISE):
        with pytest.raises(ConfigError, match="mv_type must be one of"):
            IOParameters(mv_type=mv_type)
    with pytest.raises(ConfigError, match="mv_type must be one of"):
        IOParametersIRDropT(mv_type=AnalogMVType.POS_NEG_SEPARATE)


@pytest.mark.parametrize("mv_type", [ONE_PASS, SPLIT, BIT_WISE])
def test_cuda_gives_the_same_bits(mv_type):
    pytest.importorskip("rpupy.rpu_base._cuda_host")
    rng = np.random.default_rng(7)
    io = {
        "out_noise": 0.05,
        "inp_noise": 0.01,
        "out_bound": 12.0,
        "out_asymmetry": -0.1,
    }
    tile = make_tile(rng.uniform(-1, 1, (70, 40)), 48, mv_type=mv_type, **io)
    there = tile._to_backend("cuda_host")
    x = rng.uniform(-1, 1, (5, 40))
    for mode in (True, False):
        assert (
            there.train(mode).forward(x).tobytes()
            == tile.train(mode).forward(x).tobytes()
        )
