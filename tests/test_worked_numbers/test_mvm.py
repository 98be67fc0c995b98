"""Worked numbers of the analog product.

Statistical tests compare with the exact laws and fail without a reason at most once in
a million times each; with 200 000 vectors they see 2 % of a standard deviation.
"""

import os

import numpy as np
import pytest
from scipy.special import ndtr

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    IdealDevice,
    IOParameters,
    NoiseManagementType,
    SingleRPUConfig,
    WeightNoiseType,
)
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.core import CpuTile
from rpupy.testing.statistics import assert_distribution, assert_mean, assert_variance

SEED = int(os.environ.get("RPUPY_TEST_SEED", "20240229"))
NONE, ABS_MAX = NoiseManagementType.NONE, NoiseManagementType.ABS_MAX
ITERATIVE = BoundManagementType.ITERATIVE
WORST_CASE = BoundManagementType.ITERATIVE_WORST_CASE
NP_SUM = NoiseManagementType.ABS_MAX_NP_SUM
AVERAGE = NoiseManagementType.AVERAGE_ABS_MAX
POS_NEG = AnalogMVType.POS_NEG_SEPARATE
DIGITAL = AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM
# Everything off; tests switch on what they are about.
OFF = {
    "noise_management": NONE,
    "bound_management": BoundManagementType.NONE,
    "inp_res": 0.0,
    "out_res": 0.0,
    "out_noise": 0.0,
}
MANY = 200_000


def make_tile(weights, seed=1, backward=None, **io):
    config = SingleRPUConfig(
        device=IdealDevice(),
        forward=IOParameters(**OFF | io),
        backward=IOParameters(**OFF | (io if backward is None else backward)),
    )
    weights = np.atleast_2d(np.asarray(weights, dtype=np.float32))
    seed = np.random.SeedSequence([SEED, seed])
    tile = CpuTile(*weights.shape, frozen_copy(config), seed)
    tile.set_weights(weights)
    return tile


def outputs(weights, x, **io):
    return make_tile(weights, **io).forward(np.asarray(x, dtype=np.float32))


def sample(weights, x, n=MANY, **io):
    """Outputs of many products with the same input, as float64."""
    x = np.atleast_1d(np.asarray(x, dtype=np.float32))
    return outputs(weights, np.tile(x, (n, 1)), **io).astype(np.float64)


# ---- 2: resolutions, rounding, clipping ----------------------------------------------


@pytest.mark.parametrize(
    ("io", "values", "expected"),
    [
        (
            {"inp_res": 0.25},
            [0.25, 0.75, -0.25, -0.75, 0.26, 1.26, 1.4, -1.4],
            [0, 1, 0, -1, 0.5, 1, 1, -1],
        ),
        (
            {"inp_res": 4.0},
            [0.25, 0.75, -0.25, -0.75, 0.26, 1.26, 1.4, -1.4],
            [0, 1, 0, -1, 0.5, 1, 1, -1],
        ),
        ({"inp_res": 1 / 126}, [0.5, 0.008, 0.3], [0.49206352, 0.01587302, 0.30158731]),
        ({"inp_res": 0.4}, [0.3, 0.5, 0.9, 1.3, 5], [0, 0.8, 0.8, 1, 1]),
        (
            {"out_res": 0.25, "out_bound": 1.0, "inp_bound": 0.0},
            [0.25, 0.75, 0.26, 1.2, -1.3],
            [0, 1, 0.5, 1, -1],
        ),
        (
            {"out_res": 1 / 510, "inp_bound": 0.0},
            [0.25, 0.75, 0.26, 1.2, -13],
            [0.23529413, 0.75294125, 0.28235298, 1.17647076, -12],
        ),
        # A bound of 0 or below: neither clipped nor rounded.
        (
            {"out_res": 0.25, "out_bound": 0.0, "inp_bound": -1.0, "inp_res": 0.25},
            [0.26, 1.2, -130],
            [0.26, 1.2, -130],
        ),
    ],
)
def test_rounding_and_clipping(io, values, expected):
    found = outputs([[1.0]], np.array(values)[:, None], **io)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


def test_stochastic_rounding_is_unbiased():
    """Step 0.5 at 0.1: P(0.5) = 0.2; 0.007 off would be seen."""
    for io in (
        {"inp_res": 0.25, "inp_sto_round": True},
        {"out_res": 0.25, "out_bound": 1.0, "out_sto_round": True},
    ):
        found = sample([[1.0]], [0.1], **io)
        assert set(np.unique(found)) == {0.0, 0.5}
        assert_mean(found == 0.5, 0.2, 0.4, largest=1)


# ---- 4: noise management -------------------------------------------------------------

W3, X3 = [[0.5, 0.25, -0.125]], [0.5, -2.0, 1.0]


@pytest.mark.parametrize(
    ("io", "x", "expected"),
    [
        ({"noise_management": NONE}, X3, -0.125),
        ({"noise_management": ABS_MAX}, X3, -0.375),
        ({"noise_management": ABS_MAX, "nm_thres": 1.5}, X3, -0.25),
        ({"noise_management": NoiseManagementType.MAX}, X3, -0.125),
        ({"noise_management": NoiseManagementType.CONSTANT}, X3, -0.125),
        (
            {"noise_management": NoiseManagementType.CONSTANT, "nm_thres": 1.5},
            X3,
            -0.25,
        ),
        ({"noise_management": ABS_MAX, "inp_res": 1 / 6}, X3, -0.33333331),
        (
            {"noise_management": NoiseManagementType.MAX, "inp_res": 1 / 6},
            X3,
            -0.04166666,
        ),
        ({"noise_management": NoiseManagementType.MAX}, [-0.5, -0.25, -1.0], 0.0),
    ],
)
def test_noise_management(io, x, expected):
    np.testing.assert_allclose(outputs(W3, x, **io), [expected], rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "io", "scale"),
    [
        (np.ones(40), {}, 2.0),
        (np.r_[np.ones(30), np.full(100, -0.5)], {}, 2.5),
        (np.ones(400), {"inp_res": 1 / 126}, 15.75),
        (np.ones(40), {"nm_assumed_wmax": 1.2}, 4.0),
        (np.ones(40), {"nm_thres": 0.5}, 2.0),
        (np.ones(40), {"nm_thres": 0.1, "inp_res": 1 / 126}, 1.575),
        (np.ones(40), {"out_bound": 0.0}, 24.0),
    ],
)
def test_scale_of_positive_and_negative_sums(x, io, scale):
    """The noise of the result shows the scale."""
    noise = {"noise_management": NP_SUM, "out_noise": 0.1, **io}
    found = sample(np.zeros((1, len(x))), x, 40_000, **noise)[:, 0]
    assert_variance(found / (0.1 * scale), 1.0)


def test_running_mean_of_largest_magnitudes():
    io = {"noise_management": AVERAGE, "nm_decay": 0.5}
    tile = make_tile([[1.0]], **io)
    found = tile.forward(np.array([[1.0], [3.0], [2.0], [10.0]]))
    np.testing.assert_allclose(found[:, 0], [1, 2, 2, 6], rtol=1e-6)
    # It goes on in evaluation, and backward has a mean of its own.
    np.testing.assert_allclose(tile.backward(np.array([[7.0]])), [[7.0]])
    found = tile.forward(np.array([[100.0], [100.0]]), is_test=True)
    np.testing.assert_allclose(found[:, 0], [53, 76.5], rtol=1e-6)


def test_vectors_that_are_not_finite_leave_the_running_mean_alone():
    io = {"noise_management": AVERAGE, "nm_decay": 0.5}
    tile = make_tile([[1.0]], **io)
    found = tile.forward(np.array([[1.0], [np.nan], [3.0], [np.inf]]))[:, 0]
    np.testing.assert_array_equal(found, [1, np.nan, 2, np.nan])


def test_noise_is_scaled_with_the_input():
    found = sample([[0.5]], [4.0], noise_management=ABS_MAX, out_noise=0.1)
    assert_mean(found[:, 0], 2.0, 0.4)
    assert_variance(found[:, 0], 0.16)


def test_zero_input():
    zero = [0.0]
    found = sample([[1.0]], zero, 1000, noise_management=ABS_MAX, out_noise=0.1)
    assert (found == 0).all()
    found = sample([[1.0]], zero, noise_management=ABS_MAX, inp_noise=0.1)
    assert_mean(found, 0.0, 0.1)
    assert_variance(found, 0.01)
    # Without noise management nothing is special about it.
    assert_variance(sample([[1.0]], zero, out_noise=0.1), 0.01)
    tile = make_tile([[1.0]], noise_management=ABS_MAX, inp_noise=0.1)
    assert (tile.backward(np.zeros((1000, 1))) == 0).all()


# ---- 5: one vector -------------------------------------------------------------------


def test_input_asymmetry_and_noise():
    found = outputs([[1.0, 2.0]], [0.5, -0.5], inp_asymmetry=0.1)
    np.testing.assert_allclose(found, [-0.4], rtol=1e-6)
    # The noise comes after the clip.
    found = sample([[1.0]], [1.0], inp_noise=0.1)
    assert_mean(found, 1.0, 0.1)
    assert_variance(found, 0.01)
    assert_distribution(found, lambda y: ndtr((y - 1) / 0.1))


@pytest.mark.parametrize(
    ("x", "io", "expected"),
    [
        (1, {}, 12),
        (1, {"bound_management": ITERATIVE}, 40),
        (1, {"bound_management": ITERATIVE, "inp_res": 1 / 126}, 40.634922),
        (
            1,
            {"bound_management": ITERATIVE, "inp_res": 1 / 126, "out_bound": 2.4},
            38.4,
        ),
        (1, {"bound_management": ITERATIVE, "inp_res": 1 / 126, "out_bound": 1.0}, 16),
        (1, {"bound_management": ITERATIVE, "out_bound": 1.0, "max_bm_factor": 3}, 4),
        (1, {"bound_management": ITERATIVE, "out_bound": 1.0, "max_bm_factor": 4}, 8),
        (
            1,
            {"bound_management": ITERATIVE, "out_bound": 0.01, "max_bm_factor": 1000},
            10.24,
        ),
        (2, {"bound_management": ITERATIVE, "noise_management": ABS_MAX}, 80),
        (2, {"bound_management": WORST_CASE, "noise_management": ABS_MAX}, 80),
        (
            2,
            {
                "bound_management": WORST_CASE,
                "noise_management": ABS_MAX,
                "inp_res": 1 / 126,
            },
            81.269844,
        ),
        # Without noise management the second round repeats the first.
        (1, {"bound_management": WORST_CASE}, 40),
    ],
)
def test_bound_management(x, io, expected):
    found = outputs(np.ones((1, 40)), np.full(40, x), **io)
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_bound_management_is_for_each_vector_alone():
    io = {"bound_management": ITERATIVE, "out_noise": 0.1, "out_bound": 2.0}
    x = np.tile([[1.0], [100.0]], (50_000, 1))
    found = outputs([[1.0]], x, inp_bound=0.0, **io).astype(np.float64)
    assert_variance(found[::2], 0.01)
    # The large ones needed six halvings, which scale the noise.
    assert_variance(found[1::2], (64 * 0.1) ** 2)
    assert_mean(found[1::2], 100.0, 6.4)


def test_negative_bound_is_a_choice():
    io = {"bound_management": ITERATIVE, "out_bound": 1.5, "inp_bound": 0.0}
    for y in ([4.0, -4.0], [-4.0, 4.0], [-4.0, 1.0]):
        weights = np.array(y)[:, None]
        np.testing.assert_allclose(outputs(weights, [1.0], **io), y)
    # Without that test a positive overflow still repeats, whatever comes after it.
    io["bm_test_negative_bound"] = False
    np.testing.assert_allclose(outputs([[4.0], [-4.0]], [1.0], **io), [4, -4])
    np.testing.assert_allclose(outputs([[-4.0], [4.0]], [1.0], **io), [-4, 4])
    np.testing.assert_allclose(outputs([[-4.0], [1.0]], [1.0], **io), [-1.5, 1.0])


def rounded_normal(mean, std, step):
    """Mean and variance of a normal number rounded to a grid."""
    levels = np.arange(-400, 401)
    edges = (np.append(levels - 0.5, 400.5)) * step
    weights = np.diff(ndtr((edges - mean) / std))
    first = (weights * levels * step).sum()
    return first, (weights * (levels * step - first) ** 2).sum()


@pytest.mark.parametrize(
    ("weights", "x", "ideal", "factor", "numbers"),
    [
        (np.ones((1, 40)), np.ones(40), 40 * 16 / 63, 4, (40.634, 0.2464)),
        # 31 - 16 + 8 + 63 steps of 1/63: the tie 31.5 is just below it in float32.
        (np.ones((1, 4)), [0.5, -0.25, 0.125, 1.0], 86 / 63, 1, (1.3652, 0.0614)),
    ],
)
def test_default_parameters(weights, x, ideal, factor, numbers):
    defaults = IOParameters()
    io = {name: getattr(defaults, name) for name in OFF}
    found = sample(weights, x, **io)[:, 0]
    mean, variance = rounded_normal(ideal, 0.06, 24 / 510)
    mean, variance = factor * mean, factor**2 * variance
    np.testing.assert_allclose((mean, np.sqrt(variance)), numbers, rtol=6e-3)
    assert_mean(found, mean, np.sqrt(variance))
    assert_variance(found, variance)


# ---- 6.4: weight noise ---------------------------------------------------------------

W_NOISE, X_NOISE = [[0.5, -0.3, 0.8]], np.array([1.0, -0.5, 0.25])


def test_additive_weight_noise():
    io = {"w_noise": 0.1, "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT}
    found = sample(W_NOISE, X_NOISE, **io)[:, 0]
    assert_mean(found, 0.85, 0.114564)
    assert_variance(found, 0.114564**2)
    # Doubling the input doubles the noise, if its scale is managed.
    found = sample(W_NOISE, 2 * X_NOISE, noise_management=ABS_MAX, **io)[:, 0]
    assert_mean(found, 1.7, 2 * 0.114564)
    assert_variance(found, (2 * 0.114564) ** 2)
    found = sample(W_NOISE, X_NOISE, 1000, w_noise=0.1)
    assert (found == found[0]).all()


def test_weight_noise_of_phase_change_memory():
    io = {"w_noise": 0.1, "w_noise_type": WeightNoiseType.PCM_READ}
    std = 0.1 * np.sqrt(0.5 + 0.3 * 0.25 + 0.8 * 0.0625)
    assert std == pytest.approx(0.079057, rel=1e-4)
    found = sample(W_NOISE, X_NOISE, **io)[:, 0]
    assert_mean(found, 0.85, std)
    assert_variance(found, std**2)
    assert_distribution(found, lambda y: ndtr((y - 0.85) / std))
    found = sample(W_NOISE, 2 * X_NOISE, noise_management=ABS_MAX, **io)[:, 0]
    assert_variance(found, (2 * std) ** 2)
    # In each pass, what is driven there.
    found = sample(W_NOISE, X_NOISE, mv_type=POS_NEG, **io)[:, 0]
    assert_variance(found, std**2)


# ---- 6.2: IR drop --------------------------------------------------------------------

W_DROP = [
    [0.1, 0.43, 0.21, 0.09, -0.15, 0.29, -0.12, 0.78],
    [0.93, -0.23, 0.58, 0.06, 0.14, 0.85, -0.86, -0.83],
]
X_DROP = [-0.96, 0.67, 0.56, 0.74, 0.96, 0.6, -0.08, 0.56]


@pytest.mark.parametrize(
    ("weights", "x", "ratio", "expected"),
    [
        (np.full((1, 8), 0.5), np.ones(8), 20.0, [2.8142]),
        (W_DROP, X_DROP, 20.0, [0.71362716, -0.52958608]),
        (W_DROP, X_DROP, 1 / 0.35 / 5e-6, [0.85269403, -0.42930499]),
    ],
)
def test_ir_drop(weights, x, ratio, expected):
    found = outputs(weights, x, ir_drop=1.0, ir_drop_g_ratio=ratio)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_ir_drop_of_the_transposed_array():
    tile = make_tile(W_DROP, ir_drop=2.0, ir_drop_g_ratio=20.0)
    expected = [
        *(-0.28988382, 0.39033051, -0.07850443, 0.03915606),
        *(-0.16032814, -0.12345016, 0.24914462, 0.85688875),
    ]
    np.testing.assert_allclose(tile.backward([0.7, -0.4]), expected, rtol=1e-5)


# ---- 6.3: voltage offsets, series resistance -----------------------------------------


@pytest.mark.parametrize(
    ("io", "offset", "expected"),
    [
        ({"r_series": 0.1}, None, 0.6816359),
        ({"r_series": 0.1, "v_offset_w_min": 0.0}, None, 0.7834101),
        ({"r_series": 0.1, "v_offset_w_min": -0.5}, None, 0.7298682),
        ({}, 0.2, 0.38),
        ({"r_series": 0.1}, 0.2, 0.2662390),
        ({"v_offset_w_min": 0.0}, 0.2, 0.68),
        ({"r_series": 0.1, "slope_calibration": 0.5}, None, 1.7449880),
    ],
)
def test_voltage_offset_and_series_resistance(io, offset, expected):
    if offset is not None:
        io = {"v_offset_std": 0.1, **io}
    tile = make_tile(W_NOISE, **io)
    if offset is not None:
        tile.set_line_parameters("forward", {"v_offset": [offset]})
    np.testing.assert_allclose(tile.forward(X_NOISE), [expected], rtol=1e-6)


# ---- 6.1: passes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mv_type", "expected", "std"),
    [
        (AnalogMVType.ONE_PASS, [0.75, 0.25], 0.1),
        (POS_NEG, [0.75, 0.25], 0.1),
        (DIGITAL, [1.0, 0.25], 0.1 * np.sqrt(2)),
    ],
)
def test_passes_for_positive_and_negative_inputs(mv_type, expected, std):
    weights, x = [[0.5, -0.3, 0.8], [1, 1, -1]], X_NOISE
    io = {"out_bound": 1.0, "out_res": 0.125, "out_asymmetry": 0.2}
    found = outputs(weights, x, mv_type=mv_type, **io)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = sample(weights, x, mv_type=mv_type, out_noise=0.1)
    assert_variance(found[:, 0], std**2)
    assert_variance(found[:, 1], std**2)


def test_read_asymmetry_is_for_negative_inputs():
    io = {"w_read_asymmetry_dtod": 0.25, "mv_type": POS_NEG}
    tile = make_tile(np.ones((2, 3)), **io)
    factors = [[1.5, 1.0, 0.5], [2.0, 0.0, 1.0]]
    for direction in ("forward", "backward"):
        tile.set_line_parameters(direction, {"w_asymmetry": factors})
    np.testing.assert_allclose(tile.forward([1.0, 1.0, -1.0]), [1.5, 1.0])
    np.testing.assert_allclose(tile.forward([-1.0, -1.0, 0.0]), [-2.5, -2.0])
    np.testing.assert_allclose(tile.backward([1.0, -1.0]), [-1.0, 1.0, 0.0])
    # One pass knows no read asymmetry, and draws none.
    tile = make_tile(np.ones((2, 3)), w_read_asymmetry_dtod=0.25)
    assert tile.get_line_parameters("forward") == {}


# ---- 3: drawn once -------------------------------------------------------------------


def test_spreads_of_lines_and_devices():
    """Of 20 000 numbers each; deviations of 4 % of a standard deviation would be seen."""
    io = {
        "out_noise": 0.1,
        "out_noise_std": 0.3,
        "out_nonlinearity": 0.5,
        "out_nonlinearity_std": 0.4,
        "v_offset_std": 0.2,
        "w_read_asymmetry_dtod": 0.25,
        "mv_type": POS_NEG,
    }
    tile = make_tile(np.zeros((20_000, 1)), backward={}, **io)
    drawn = {
        k: v.astype(np.float64) for k, v in tile.get_line_parameters("forward").items()
    }
    assert_distribution(
        drawn["out_noise_values"],
        lambda y: ndtr((y - 0.1) / 0.03) - ndtr((-y - 0.1) / 0.03),
    )
    assert_mean(drawn["out_nonlinearity"], 0.041829, 0.0163)
    offset = drawn["v_offset"]
    assert offset.min() == 0.0
    assert_mean(offset, 0.2 / np.sqrt(2 * np.pi), 0.1168)
    assert_mean(offset == 0, 0.5, 0.5, largest=1)
    asymmetry = drawn["w_asymmetry"][:, 0]
    assert_distribution(asymmetry, lambda a: ndtr((a - 1) / 0.25))
    assert drawn["out_nonlinearity_factor"] == 1.0
    assert tile.get_line_parameters("backward") == {}


def test_directions_draw_their_own_lines_and_share_their_devices():
    io = {
        "out_noise": 0.1,
        "out_noise_std": 0.3,
        "v_offset_std": 0.2,
        "w_read_asymmetry_dtod": 0.25,
        "mv_type": POS_NEG,
    }
    tile = make_tile(np.zeros((40, 40)), **io)
    forward, backward = map(tile.get_line_parameters, ("forward", "backward"))
    for name in ("out_noise_values", "v_offset"):
        assert np.corrcoef(forward[name], backward[name])[0, 1] < 0.8
    assert np.array_equal(forward["w_asymmetry"], backward["w_asymmetry"])


def test_noise_of_each_output():
    tile = make_tile(np.zeros((2, 1)), out_noise=0.1, out_noise_std=0.3)
    tile.set_line_parameters("forward", {"out_noise_values": [0.0, 0.5]})
    found = tile.forward(np.ones((MANY, 1))).astype(np.float64)
    assert (found[:, 0] == 0).all()
    assert_variance(found[:, 1], 0.25)


def test_noises_of_neighbouring_outputs_are_independent():
    """Correlations of 0.02 would be seen."""
    io = {
        "w_noise": 0.1,
        "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT,
        "out_noise": 0.1,
    }
    found = sample(np.zeros((70, 1)), [1.0], 20_000, **io) / np.sqrt(0.02)
    assert_variance(found, 1.0)
    for one, two in ((0, 1), (0, 16), (0, 64), (15, 16), (63, 64), (32, 48)):
        assert_mean(found[:, one] * found[:, two], 0.0, 1.0)
    assert_mean(found[1:, 5] * found[:-1, 5], 0.0, 1.0)


# ---- 7: output stage -----------------------------------------------------------------


def test_noise_precedes_the_clip():
    found = sample([[1.0]], [1.0], out_bound=1.0, out_noise=0.1)[:, 0]
    mean = 1 - 0.1 / np.sqrt(2 * np.pi)
    variance = 0.01 * (0.5 - 0.5 / np.pi)
    assert found.max() == 1.0
    assert_mean(found, mean, np.sqrt(variance))
    assert_variance(found, variance, kurtosis=4.5)


@pytest.mark.parametrize(
    ("io", "expected"),
    [
        ({"out_nonlinearity": 0.6}, [1.8181818, -0.9523810]),
        (
            {"out_nonlinearity": 0.6, "slope_calibration": 0.5},
            [3.0727270, -1.6095237],
        ),
        ({"out_nonlinearity": 0.6, "out_bound": 0.0}, [0.9090909, -0.625]),
        ({"slope_calibration": 0.5}, [2.0, -1.0]),
    ],
)
def test_output_nonlinearity(io, expected):
    found = outputs([[2.0]], [[1.0], [-0.5]], **io)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_output_scale_and_asymmetry():
    found = outputs([[2.0]], [1.0], out_bound=1.0, out_scale=2.5)
    np.testing.assert_allclose(found, [2.5])
    np.testing.assert_allclose(outputs([[1.0]], [-0.5], out_asymmetry=0.1), [-0.45])
    np.testing.assert_allclose(outputs([[1.0]], [-0.5], out_asymmetry=-0.1), [-0.5])
    found = outputs([[2.0]], [3.0], is_perfect=True, out_scale=2.5, out_noise=1.0)
    np.testing.assert_allclose(found, [15.0])


# ---- 8: batches, bias, backward ------------------------------------------------------


def test_evaluation_keeps_the_noise():
    tile = make_tile([[1.0]], out_noise=0.1)
    found = tile.forward(np.ones((MANY, 1)), is_test=True)
    assert_variance(found, 0.01)


def test_analog_bias():
    weights, x = [[0.5, 0.25, 0.125]], np.array([0.2, 0.4])
    tile = make_tile(weights, noise_management=ABS_MAX)
    np.testing.assert_allclose(tile.forward(x, bias=True), [0.325], rtol=1e-5)
    tile = make_tile(weights, noise_management=ABS_MAX, inp_res=1 / 6)
    np.testing.assert_allclose(tile.forward(x, bias=True), [0.375], rtol=1e-5)
    assert tile.backward([1.0], bias=True).shape == (2,)


def test_backward():
    weights = [[0.5, 0.25, -0.125], [1.0, -1.0, 0.5]]
    io = {
        "noise_management": ABS_MAX,
        "inp_res": 1 / 6,
        "out_bound": 6.0,
        "out_res": 0.25 / 12,
    }
    tile = make_tile(weights, **io)
    np.testing.assert_allclose(tile.backward([1.0, -0.3]), [0.25, 0.5, -0.25])
    np.testing.assert_allclose(tile.forward([1.0, -0.3, 0.2]), [0.5, 1.5])


def test_backward_has_no_bound_management():
    io = {"bound_management": ITERATIVE}
    tile = make_tile(np.ones((40, 1)), **io)
    np.testing.assert_allclose(tile.backward(np.ones(40)), [12.0])
