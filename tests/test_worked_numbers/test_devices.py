"""Worked numbers of the devices: pulses, hidden parameters, maintenance, spreads.

Statistical tests fail without a reason at most once in a million times each; with the
sample sizes here they see deviations of 1 to 2 % of a standard deviation.
"""

import os

import numpy as np
import pytest
from scipy.special import ndtr

from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    ExpStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PmaxMapping,
    PowStepDevice,
    PowStepReferenceDevice,
    PulseType,
    SimpleDriftParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
    UpdateParameters,
)
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.core import CpuTile
from rpupy.testing.statistics import (
    assert_distribution,
    assert_mean,
    assert_same_distribution,
    assert_variance,
)

SEED = int(os.environ.get("RPUPY_TEST_SEED", "20240229"))
NO_SPREAD = {
    "dw_min_dtod": 0.0,
    "dw_min_std": 0.0,
    "up_down_dtod": 0.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
    "reset_std": 0.0,
}
RANGE = {"dw_min": 0.02, "w_min": -0.6, "w_max": 0.8}
OWN_SPREADS = ("gamma_up_dtod", "gamma_down_dtod", "pow_gamma_dtod")
UP, DOWN = -1.0, 1.0


def make_tile(device, shape=(1, 1), seed=1, **options):
    """A tile on which every slot of an update is a pulse; one slot unless told."""
    options = {
        "desired_bl": 1,
        "update_management": False,
        "update_bl_management": False,
    } | options
    config = SingleRPUConfig(device=device, update=UpdateParameters(**options))
    tile = CpuTile(*shape, frozen_copy(config), np.random.SeedSequence([SEED, seed]))
    tile.set_learning_rate(1e3)
    return tile


def plain(kind, **fields):
    """A device without spread."""
    own = {name: 0.0 for name in OWN_SPREADS if hasattr(kind, name)}
    return kind(**(NO_SPREAD | own | fields))


def pulse(tile, direction):
    """One train for each crosspoint, as a whole."""
    tile.update(np.ones(tile.in_size), np.full(tile.out_size, direction))


# ---- 8.1: weight after 1, 2, 5, 10, 20, 50 and 100 pulses ----------------------------

LINEAR = {"gamma_up": 0.5, "gamma_down": 0.25}
REVERSED = {"reverse_up": True, "reverse_down": True}
AT_SYMMETRY = {"up_down": 0.25, "subtract_symmetry_point": True}
EXP_2 = {
    **{"A_up": 0.2, "A_down": 0.3, "gamma_up": 2, "gamma_down": 1},
    **{"a": 1, "b": 0.1},
}
POW_REFERENCE = {"pow_gamma": 2, "reference_mean": 0.1}
NODES_3 = {"piecewise_up": [1.5, 1, 0.5], "piecewise_down": [0.2, 1, 2]}
NODE = {"piecewise_up": [1.5], "piecewise_down": [0.5]}
# fmt: off
CURVES = [
    (ConstantStepDevice, {}, 0, UP, [.02, .04, .1, .2, .4, .8, .8]),
    (ConstantStepDevice, {}, 0, DOWN, [-.02, -.04, -.1, -.2, -.4, -.6, -.6]),
    (ConstantStepDevice, {"up_down": .25}, 0, UP, [.02, .04, .1, .2, .4, .8, .8]),
    (ConstantStepDevice, {"up_down": .25}, 0, DOWN,
     [-.015, -.03, -.075, -.15, -.3, -.6, -.6]),
    (ConstantStepDevice, {"up_down": -.25}, 0, UP,
     [.015, .03, .075, .15, .3, .7499995, .8]),
    (ConstantStepDevice, {"up_down": -.25}, 0, DOWN,
     [-.02, -.04, -.1, -.2, -.4, -.6, -.6]),
    (LinearStepDevice, LINEAR, 0, UP,
     [.02, .03975, .0975311, .1891169, .3558806, .7469487, .8]),
    (LinearStepDevice, LINEAR, 0, DOWN,
     [-.02, -.0398333, -.0983472, -.1926643, -.3698621, -.6, -.6]),
    (LinearStepDevice, LINEAR, .4, DOWN,
     [.3766667, .3535278, .2852617, .175225, -.0315057, -.557346, -.6]),
    (LinearStepDevice, LINEAR | REVERSED, 0, UP,
     [.02, .0403279, .1033329, .215418, .4688726, .8, .8]),
    (LinearStepDevice, LINEAR | REVERSED, 0, DOWN,
     [-.02, -.0401235, -.1012422, -.205648, -.4243488, -.6, -.6]),
    (LinearStepDevice, LINEAR | REVERSED, .4, DOWN,
     [.3824691, .3648301, .3112568, .2197407, .02804, -.6, -.6]),
    (SoftBoundsDevice, {}, 0, UP,
     [.02, .0395, .0951234, .1789363, .3178499, .5744096, .7363861]),
    (SoftBoundsDevice, {}, 0, DOWN,
     [-.02, -.0393333, -.0935519, -.1725172, -.2954307, -.489849, -.5797779]),
    (SoftBoundsDevice, {}, .4, DOWN,
     [.3666667, .3344445, .2440802, .1124714, -.0923845, -.4164151, -.5662966]),
    (SoftBoundsDevice, {"up_down": .25}, 0, UP,
     [.02, .0395, .0951234, .1789363, .3178499, .5744096, .7363861]),
    (SoftBoundsDevice, {"up_down": .25}, 0, DOWN,
     [-.015, -.029625, -.0713426, -.1342022, -.2383874, -.4308071, -.5522897]),
    (SoftBoundsDevice, {"reverse_up": True}, 0, UP,
     [.02, .0406557, .1067759, .2322422, .5529047, .8, .8]),
    (SoftBoundsReferenceDevice, {"reference_mean": .1}, 0, UP,
     [.0175, .0345625, .083233, .1565693, .2781187, .5026082, .6443379]),
    (SoftBoundsReferenceDevice, {"reference_mean": .1}, 0, DOWN,
     [-.0233333, -.0458889, -.1091439, -.20127, -.3446692, -.5714907, -.6764077]),
    (SoftBoundsReferenceDevice, AT_SYMMETRY, 0, UP,
     [.0175, .0345625, .083233, .1565693, .2781187, .5026082, .6443379]),
    (SoftBoundsReferenceDevice, AT_SYMMETRY, 0, DOWN,
     [-.0175, -.0345625, -.083233, -.1565693, -.2781186, -.5026084, -.6443381]),
    (ExpStepDevice, {}, 0, UP,
     [.0196686, .0393078, .0980211, .1949989, .3834921, .8, .8]),
    (ExpStepDevice, {}, 0, DOWN,
     [-.0196685, -.0393066, -.0980102, -.1949362, -.383027, -.6, -.6]),
    (ExpStepDevice, {}, .4, DOWN,
     [.3800558, .3601167, .3003356, .2008586, .0029394, -.5538795, -.6]),
    (ExpStepDevice, EXP_2, 0, UP,
     [.0151144, .0300132, .0733541, .140723, .2551612, .4385113, .490174]),
    (ExpStepDevice, EXP_2, 0, DOWN,
     [-.014571, -.0290278, -.0716983, -.1403981, -.2681582, -.5675743, -.6]),
    (ExpStepDevice, EXP_2, .4, DOWN,
     [.3830659, .3662068, .3160951, .2342186, .0773318, -.3248337, -.6]),
    (PowStepDevice, {"pow_gamma": 2}, 0, UP,
     [.0065306, .012955, .0316165, .0608202, .1130177, .2330196, .3607377]),
    (PowStepDevice, {"pow_gamma": 2}, 0, DOWN,
     [-.0036735, -.0073021, -.017927, -.0348109, -.065794, -.1412036, -.2285261]),
    (PowStepDevice, {"pow_gamma": 2}, .4, DOWN,
     [.3897959, .379799, .35099, .3065801, .2291861, .0603026, -.1068177]),
    (PowStepDevice, {"pow_gamma": 2, "pow_up_down": .25}, 0, UP,
     [.0065306, .012955, .0316165, .0608202, .1130177, .2330196, .3607377]),
    (PowStepDevice, {"pow_gamma": 2, "pow_up_down": .25}, 0, DOWN,
     [-.0056113, -.0111441, -.0272857, -.0527477, -.0988202, -.2068009, -.3224591]),
    (PowStepReferenceDevice, POW_REFERENCE, 0, UP,
     [.005, .0099288, .0243032, .0469701, .0880157, .1850451, .292588]),
    (PowStepReferenceDevice, POW_REFERENCE, 0, DOWN,
     [-.005, -.0099288, -.0243032, -.0469701, -.0880157, -.1850452, -.2925882]),
    (PowStepReferenceDevice, POW_REFERENCE, .4, DOWN,
     [.3876531, .3755818, .340932, .2879137, .1966447, .0022992, -.1838043]),
    (PiecewiseStepDevice, NODES_3, 0, UP,
     [.0214286, .042551, .1041251, .2010221, .3751042, .7694604, .8]),
    (PiecewiseStepDevice, NODES_3, 0, DOWN,
     [-.0177143, -.0350237, -.0846139, -.1599898, -.2869516, -.531104, -.6]),
    (PiecewiseStepDevice, NODES_3, .4, DOWN,
     [.3714286, .3436735, .2650762, .1483569, -.0426422, -.4090134, -.6]),
    (PiecewiseStepDevice, NODE, 0, UP, [.03, .06, .15, .3, .5999999, .8, .8]),
    (PiecewiseStepDevice, NODE, 0, DOWN,
     [-.01, -.02, -.05, -.1, -.2, -.4999998, -.6]),
]
# fmt: on


@pytest.mark.parametrize(("kind", "fields", "start", "direction", "expected"), CURVES)
def test_weight_after_pulses(kind, fields, start, direction, expected):
    tile = make_tile(plain(kind, **RANGE, **fields))
    tile.set_weights([[start]])
    found = []
    for _ in range(100):
        pulse(tile, direction)
        found.append(tile.get_weights()[0, 0])
    at = [found[k - 1] for k in (1, 2, 5, 10, 20, 50, 100)]
    np.testing.assert_allclose(at, expected, rtol=0, atol=2e-6)


def test_twenty_coincidences_in_one_update():
    tile = make_tile(plain(SoftBoundsDevice, **RANGE), desired_bl=20)
    tile.set_weights([[0.0]])
    pulse(tile, UP)
    np.testing.assert_allclose(tile.get_weights(), [[0.3178499]], atol=2e-6)


def test_direction_of_a_pulse():
    tile = make_tile(plain(ConstantStepDevice, **RANGE), (1, 4))
    tile.set_weights(np.zeros((1, 4)))
    tile.update([1.0, -1.0, 1.0, 0.0], [1.0])
    np.testing.assert_allclose(tile.get_weights(), [[-0.02, 0.02, -0.02, 0.0]])


NODES_4 = {"piecewise_up": [1.5, 1, 0.5, 0.25], "piecewise_down": [0.2, 1, 2, 0.6]}
PLACES = [-0.6, -0.3, 0.0, 0.4, 0.8]
THIRDS = [-0.6, -0.1333333, 0.1, 0.3333333, 0.8]
# fmt: off
STEPS = [
    (ExpStepDevice, {}, PLACES, UP, [.0199755, .0199098, .0196686, .0181208, 0]),
    (ExpStepDevice, {}, PLACES, DOWN,
     [0, -.0187374, -.0196685, -.0199443, -.0199906]),
    (ExpStepDevice, EXP_2, PLACES, UP, [.0191202, .0179267, .0151144, .0046801, 0]),
    (ExpStepDevice, EXP_2, PLACES, DOWN,
     [0, -.0116661, -.014571, -.0169341, -.0182686]),
    (PowStepDevice, {"pow_gamma": .5}, PLACES, UP,
     [.02, .0177281, .0151186, .0106905, 0]),
    (PowStepDevice, {"pow_gamma": .5}, PLACES, DOWN,
     [0, -.0092582, -.0130931, -.0169031, -.02]),
    (SoftBoundsDevice, REVERSED, PLACES, UP, [.0003279, .0101639, .02, .0331148, 0]),
    (SoftBoundsDevice, REVERSED, PLACES, DOWN,
     [0, -.0274074, -.02, -.0101235, -.0002469]),
    (PiecewiseStepDevice, NODES_4, THIRDS, UP, [.03, .02, .015, .01, 0]),
    (PiecewiseStepDevice, NODES_4, THIRDS, DOWN, [0, -.02, -.03, -.04, -.012]),
]
# fmt: on


@pytest.mark.parametrize(("kind", "fields", "places", "direction", "steps"), STEPS)
def test_single_steps(kind, fields, places, direction, steps):
    """Table 8.2."""
    tile = make_tile(plain(kind, **RANGE, **fields), (1, 5))
    tile.set_weights([places])
    start = tile.get_weights()
    pulse(tile, direction)
    np.testing.assert_allclose(tile.get_weights() - start, [steps], atol=2e-6)


# ---- 3.4 and 7.1: the curve of SoftBoundsPmaxDevice ----------------------------------


@pytest.mark.parametrize(
    ("mapping", "start", "direction", "expected"),
    [
        (PmaxMapping.REFERENCE, -1, UP, {100: -0.69316, 500: 0.35983, 1000: 1.35587}),
        (PmaxMapping.REFERENCE, 1, DOWN, {100: 0.80958, 500: 0.21276, 1000: -0.26461}),
        (PmaxMapping.UP_CURVE, -1, UP, {100: -0.75204, 500: 0.12460, 1000: 1.00039}),
        (PmaxMapping.UP_CURVE, 1, DOWN, {1000: 0.21291}),
        (PmaxMapping.BOTH_CURVES, -1, UP, {1000: 1.00039}),
        (PmaxMapping.BOTH_CURVES, 1, DOWN, {100: 0.75204, 1000: -1.00039}),
    ],
)
def test_curve_of_pulses(mapping, start, direction, expected):
    device = plain(SoftBoundsPmaxDevice, mapping=mapping)
    tile = make_tile(device, desired_bl=20)
    tile.set_weights([[start]])
    found = {}
    for pulses in range(20, 1001, 20):
        pulse(tile, direction)
        found[pulses] = tile.get_weights()[0, 0]
    for pulses, weight in expected.items():
        assert abs(found[pulses] - weight) < 2e-5


# ---- 3.8: states outside of the bounds -----------------------------------------------


@pytest.mark.parametrize(
    ("start", "direction", "expected"),
    [(0.6, UP, 0.3), (0.6, DOWN, 0.299), (-0.6, DOWN, -0.600125), (0.2, UP, 0.2000241)],
)
def test_a_state_beyond_its_bounds_is_brought_back(start, direction, expected):
    """The reference library answers NaN, or jumps to the other bound."""
    fields = {"pow_gamma": 1.5, "reference_mean": 0.3}
    tile = make_tile(plain(PowStepReferenceDevice, **fields))
    tile.set_weights([[start]])
    assert tile.get_weights()[0, 0] == np.float32(start)
    pulse(tile, direction)
    np.testing.assert_allclose(tile.get_weights(), [[expected]], atol=2e-6)


# ---- 8.3: hidden parameters without spread -------------------------------------------


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            plain(SoftBoundsDevice, dw_min=0.02, w_min=0.0, w_max=0.8),
            {"slope_up": -0.025, "slope_down": 0.0},
        ),
        (
            plain(
                LinearStepDevice,
                gamma_up=0.5,
                gamma_down=0.5,
                dw_min=0.001,
                w_min=-0.7,
                w_max=0.6,
                **REVERSED,
            ),
            {"slope_up": 0.000704225, "slope_down": -0.000819672},
        ),
        (
            plain(
                SoftBoundsReferenceDevice, **RANGE, **AT_SYMMETRY, reference_mean=0.1
            ),
            {"reference": 0.2, "reset_bias": 0.1},
        ),
        (
            plain(PowStepReferenceDevice, **RANGE, **AT_SYMMETRY, pow_gamma=2),
            {"reference": 0.1502574, "reset_bias": 0.1502574},
        ),
        (
            plain(
                PowStepReferenceDevice,
                **RANGE,
                **AT_SYMMETRY,
                pow_gamma=2,
                n_estimation_steps=10,
            ),
            {"reference": 0.0337115, "reset_bias": 0.0337115},
        ),
        (
            plain(SoftBoundsPmaxDevice),
            {
                "max_bound": 4.0829883,
                "min_bound": -1.0,
                "dwmin_up": 0.0025414941,
                "dwmin_down": 0.001,
                "slope_up": -0.00062245934,
                "slope_down": 0.001,
            },
        ),
        (
            plain(
                SoftBoundsPmaxDevice,
                p_max=100,
                alpha=0.02,
                range_min=-0.3,
                range_max=0.7,
            ),
            {
                "max_bound": 0.8565177,
                "min_bound": -0.3,
                "dwmin_up": 0.0231303535,
                "dwmin_down": 0.012,
                "slope_up": -0.0270051,
                "slope_down": 0.04,
            },
        ),
        (plain(ConstantStepDevice, up_down=1.5), {"dwmin_down": 0.0005}),
        (
            plain(ConstantStepDevice, up_down=1.5, enforce_consistency=False),
            {"dwmin_down": -0.0005},
        ),
        (plain(ConstantStepDevice, lifetime=10), {"decay_scales": 0.9}),
        (plain(ConstantStepDevice, lifetime=0.5), {"decay_scales": 0.0}),
        (plain(ConstantStepDevice, lifetime=0), {"decay_scales": 1.0}),
        (plain(ConstantStepDevice, reset=-0.1), {"reset_bias": -0.1}),
    ],
)
def test_hidden_parameters(device, expected):
    found = make_tile(device, (2, 3)).get_hidden_parameters()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=3e-6, err_msg=name)


def test_constant_step_towards_a_bound_of_zero():
    tile = make_tile(plain(SoftBoundsDevice, dw_min=0.02, w_min=0.0, w_max=0.8))
    tile.set_weights([[0.5]])
    for _ in range(3):
        pulse(tile, DOWN)
    np.testing.assert_allclose(tile.get_weights(), [[0.44]], atol=2e-6)


def test_perfect_bias():
    device = SoftBoundsDevice(perfect_bias=True, corrupt_devices_prob=1.0)
    hidden = make_tile(device, (4, 3)).get_hidden_parameters()
    for name, value in (
        ("max_bound", 60.0),
        ("min_bound", -60.0),
        ("dwmin_up", 0.001),
        ("dwmin_down", 0.001),
    ):
        np.testing.assert_allclose(hidden[name][:, -1], value, rtol=1e-6)
    assert (hidden["dwmin_up"][:, :-1] == 0).all()
    np.testing.assert_allclose(hidden["slope_up"][:, -1], -0.001 / 60, rtol=1e-6)


# ---- 8.4: maintenance ----------------------------------------------------------------


def row(device, weights, **options):
    tile = make_tile(device, (1, len(weights)), **options)
    tile.set_weights([weights])
    return tile


def check(tile, expected):
    np.testing.assert_allclose(tile.get_weights()[0], expected, rtol=0, atol=2e-6)


def test_decay_towards_the_reset_bias():
    device = plain(ConstantStepDevice, lifetime=10, reset=0.05)
    tile = row(device, [0.5, -0.3, 0.1])
    tile.decay_weights()
    check(tile, [0.455, -0.265, 0.095])
    tile.decay_weights(0.5)
    check(tile, [0.43475, -0.24925, 0.09275])
    tile.decay_weights(-3)
    check(tile, [0.550175, -0.339025, 0.105575])


def test_decay_and_reset_go_to_the_symmetry_point():
    device = plain(SoftBoundsReferenceDevice, **RANGE, **AT_SYMMETRY, lifetime=10)
    tile = row(device, [0.5])
    tile.decay_weights()
    check(tile, [0.46])
    tile.reset_columns()
    check(tile, [0.1])


def test_decay_of_ideal_devices():
    tile = row(IdealDevice(lifetime=10), [0.5])
    for alpha in (1, 20, -2):
        tile.decay_weights(alpha)
        check(tile, [0.45])
    tile = row(IdealDevice(lifetime=0.5), [0.5])
    tile.decay_weights()
    check(tile, [0.5])
    tile = row(plain(ConstantStepDevice, lifetime=0.5), [0.3])
    tile.decay_weights()
    check(tile, [0.0])


def test_setting_and_clipping():
    tile = row(plain(ConstantStepDevice), [5.0])
    check(tile, [0.6])
    tile = row(plain(ConstantStepDevice), [0.5, -0.55, 0.1])
    tile.clip_weights(-1)
    check(tile, [0.5, -0.55, 0.1])
    tile.clip_weights(0.3)
    check(tile, [0.3, -0.3, 0.1])


@pytest.mark.parametrize(
    ("arguments", "columns"),
    [
        ((298, 4), [298, 299, 0, 1]),
        ((5, -1), range(300)),
        ((5, 300), range(300)),
        ((0, 1000), range(300)),
        ((0, 0), []),
        ((5, 3, 0.0), []),
        ((7,), [7]),
    ],
)
def test_columns_of_a_reset(arguments, columns):
    device = plain(ConstantStepDevice, reset=0.2)
    tile = make_tile(device, (2, 300))
    tile.set_weights(np.full((2, 300), 0.5))
    tile.reset_columns(*arguments)
    expected = np.full(300, 0.5)
    expected[list(columns)] = 0.2
    np.testing.assert_allclose(tile.get_weights(), [expected] * 2, rtol=1e-6)


def drift_device(**drift):
    return plain(
        ConstantStepDevice, w_max=10.0, w_min=-10.0, drift=DriftParameter(**drift)
    )


def drifted(tile, *times):
    found = []
    for time in times:
        tile.drift_weights(time)
        found.append(tile.get_weights()[0].copy())
    return found


def test_drift_and_its_restart():
    tile = row(drift_device(nu=0.1, t_0=2), [0.5])
    found = np.ravel(drifted(tile, 1, 1, 2, 10))
    np.testing.assert_allclose(found, [0.5, 0.5, 0.4665165, 0.4115856], atol=2e-6)
    tile.set_learning_rate(1e3)
    pulse(tile, UP)
    found = np.ravel(drifted(tile, 4, 4))
    np.testing.assert_allclose(found, [0.4125856, 0.3849560], atol=2e-6)


def test_drift_of_a_conductance():
    device = drift_device(nu=0.1, w_offset=-0.2, g_offset=0.3, wg_ratio=2)
    (found,) = drifted(row(device, [0.5, -0.4]), 10)
    np.testing.assert_allclose(found, [0.3148954, -0.4], atol=2e-6)
    device = drift_device(nu=0.1, nu_k=0.05, log_g0=0.2, g_offset=1, wg_ratio=0.5)
    found = drifted(row(device, [0.5, 0.4]), 10, 10)
    np.testing.assert_allclose(found[0], [0.3407316, 0.2475355], atol=2e-6)
    np.testing.assert_allclose(found[1], [0.2774843, 0.1875293], atol=2e-6)


def test_drift_of_floating_point_devices():
    device = FloatingPointDevice(drift=SimpleDriftParameter(nu=0.1))
    config = frozen_copy(FloatingPointRPUConfig(device=device))
    tile = CpuTile(1, 1, config, np.random.SeedSequence(1))
    tile.set_weights([[0.5]])
    tile.drift_weights(10)
    check(tile, [0.3971641])


def test_exact_updates():
    config = FloatingPointRPUConfig()
    floating = CpuTile(1, 2, frozen_copy(config), np.random.SeedSequence(1))
    ideal = make_tile(IdealDevice(), (1, 2))
    for tile in (floating, ideal):
        tile.set_learning_rate(0.1)
        tile.set_weights([[0.5, 0.5]])
        tile.update([1.0, 2.0], [3.0])
        check(tile, [0.2, -0.1])


def test_exact_updates_of_pulsed_devices():
    tile = row(plain(ConstantStepDevice), [5.0, 5.0], pulse_type=PulseType.NONE)
    tile.set_learning_rate(0.1)
    tile.update([1.0, 2.0], [1.0])
    check(tile, [4.9, 4.8])
    assert tile.get_hidden_parameters() == {}
    kind = PulseType.NONE_WITH_DEVICE
    tile = row(plain(ConstantStepDevice), [0.0, 0.0], pulse_type=kind)
    tile.set_learning_rate(0.1)
    tile.update([1.0, 20.0], [1.0])
    check(tile, [-0.1, -0.6])


# ---- 9: spreads ----------------------------------------------------------------------


def spread_of(device, seed=1):
    """Hidden parameters of 250 000 devices, as flat arrays."""
    tile = make_tile(device, (500, 500), seed)
    hidden = tile.get_hidden_parameters()
    return {name: plane.ravel().astype(np.float64) for name, plane in hidden.items()}


def folded(mean, std):
    """Mean and standard deviation of the magnitude of a normal number."""
    first = std * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * std**2))
    first += mean * (1 - 2 * ndtr(-mean / std))
    return first, np.sqrt(mean**2 + std**2 - first**2)


def assert_correlation(one, two, expected):
    one, two = one - one.mean(), two - two.mean()
    product = one * two / np.sqrt((one**2).mean() * (two**2).mean())
    assert_mean(product, expected, np.sqrt(1 + expected**2))


def test_default_spreads():
    h = spread_of(SoftBoundsDevice())
    up, down = h["dwmin_up"], h["dwmin_down"]
    for steps in (up, down):
        assert_mean(steps, 0.001, 0.00030017)
        assert_variance(steps, 0.00030017**2)
    # corr(su, sd) = 0.99778: their difference has a spread of 2 % of dw_min.
    assert_variance(up - down, (2e-5) ** 2)
    assert_correlation(up, down, 0.99778)
    assert_correlation(h["max_bound"], h["min_bound"], 0.0)
    assert_correlation(h["max_bound"], up, 0.0)
    # The magnitude of a normal number 3.3 standard deviations above 0.
    mean, std = folded(0.6, 0.18)
    for name, sign in (("max_bound", 1), ("min_bound", -1)):
        assert_mean(sign * h[name], mean, std)
        assert_variance(h[name], std**2)
        assert (sign * h[name] >= 0).all()


def test_asymmetric_steps():
    h = spread_of(ConstantStepDevice(up_down=0.2, up_down_dtod=0.1, dw_min_dtod=0.05))
    for name, mean in (("dwmin_up", 0.001), ("dwmin_down", 0.0008)):
        assert_mean(h[name], mean, 0.0001118)
        assert_variance(h[name], 0.0001118034**2)
    h = spread_of(
        ConstantStepDevice(
            up_down=0.3, up_down_dtod=0.2, dw_min_dtod=0.3, enforce_consistency=False
        )
    )
    up, down = h["dwmin_up"] / 0.001, h["dwmin_down"] / 0.001
    assert_variance(up, 0.13)
    assert_variance(down, 0.13)
    assert_mean((up - 1) * (down - 0.7), 0.05, np.sqrt(0.13**2 + 0.05**2))


def test_log_normal_gain():
    h = spread_of(
        ConstantStepDevice(dw_min_dtod_log_normal=True, dw_min_dtod=0.5, up_down_dtod=0)
    )
    gain = np.log(h["dwmin_up"] / 0.001)
    assert_mean(gain, 0.0, 0.5)
    assert_variance(gain, 0.25)
    assert_distribution(gain, lambda g: ndtr(g / 0.5))
    variance = (np.exp(0.25) - 1) * np.exp(0.25) * 1e-6
    assert_mean(h["dwmin_up"], 0.00113315, np.sqrt(variance))


def test_wide_spreads_with_consistency():
    h = spread_of(
        ConstantStepDevice(dw_min_dtod=1, up_down_dtod=0, w_max_dtod=1, w_min_dtod=1)
    )
    assert_mean(h["dwmin_up"], 0.0011666, 0.00079966)
    assert_variance(h["dwmin_up"], 0.00079966**2)
    assert_mean(h["max_bound"], 0.69998, 0.48)
    assert (h["max_bound"] >= 0).all() and (h["min_bound"] <= 0).all()


def test_wide_spreads_without_consistency():
    h = spread_of(
        ConstantStepDevice(
            dw_min_dtod=1, w_max_dtod=1, w_min_dtod=1, enforce_consistency=False
        )
    )
    stuck = h["max_bound"] == h["min_bound"]
    probability = ndtr(-np.sqrt(2))
    assert_mean(stuck, probability, np.sqrt(probability), largest=1)
    assert (h["min_bound"] <= h["max_bound"]).all()
    assert (h["dwmin_up"] < 0).any() and h["dwmin_up"][stuck].any()


@pytest.mark.parametrize(("range_", "limit"), [(0.1, 0.1), (10.0, 0.6)])
def test_corrupt_devices(range_, limit):
    h = spread_of(
        ConstantStepDevice(
            w_max_dtod=0,
            w_min_dtod=0,
            corrupt_devices_prob=0.3,
            corrupt_devices_range=range_,
        )
    )
    stuck = (h["dwmin_up"] == 0) & (h["dwmin_down"] == 0)
    assert_mean(stuck, 0.3, np.sqrt(0.21), largest=1)
    assert (h["max_bound"][stuck] == h["min_bound"][stuck]).all()
    values = h["max_bound"][stuck]
    assert_distribution(values, lambda v: (v + limit) / (2 * limit))
    assert_variance(values, limit**2 / 3, kurtosis=1.8)
    # The choice and the value come from two words of one block.
    assert_correlation(values[1:], values[:-1], 0.0)


def test_spreads_of_maintenance():
    h = spread_of(
        ConstantStepDevice(
            lifetime=10,
            lifetime_dtod=0.5,
            diffusion=0.02,
            diffusion_dtod=1,
            reset=0.1,
            reset_dtod=0.05,
            drift=DriftParameter(nu=0.1, nu_dtod=0.3),
        )
    )
    gone = ndtr(-1.8)
    assert_mean(h["decay_scales"] == 0, gone, np.sqrt(gone), largest=1)
    life = 1 / (1 - h["decay_scales"][h["decay_scales"] > 0])
    assert_distribution(
        np.clip(life, 1.01, 40),
        lambda t: (ndtr((t - 10) / 5) - ndtr(-1.8)) / (1 - ndtr(-1.8)),
    )
    mean, std = folded(0.02, 0.02)
    np.testing.assert_allclose((mean, std), (0.023333, 0.01599), rtol=1e-3)
    assert_mean(h["diffusion_rates"], mean, std)
    assert (h["diffusion_rates"] >= 0).all()
    assert_mean(h["reset_bias"], 0.1, 0.05)
    assert_variance(h["reset_bias"], 0.05**2)
    assert_mean(h["drift_nu"], 0.1, 0.03)
    assert_variance(h["drift_nu"], 0.03**2)
    assert (h["drift_nu"] < 0).any()


def test_spread_of_slopes():
    fields = {
        "gamma_up": 0.1,
        "gamma_down": 0.2,
        "gamma_up_dtod": 0.3,
        "gamma_down_dtod": 0.4,
    }
    h = spread_of(LinearStepDevice(**fields))
    up = -h["slope_up"] * 0.6 / h["dwmin_up"]
    down = h["slope_down"] * 0.6 / h["dwmin_down"]
    for gamma, (mean, std), numbers in (
        (up, folded(0.1, 0.3), (0.2525, 0.1903)),
        (down, folded(0.2, 0.4), (0.3578, 0.2677)),
    ):
        np.testing.assert_allclose((mean, std), numbers, rtol=2e-3)
        assert_mean(gamma, mean, std)
        assert_variance(gamma, std**2, kurtosis=4)
    h = spread_of(
        LinearStepDevice(**fields, allow_increasing=True, mean_bound_reference=False)
    )
    up = -h["slope_up"] * h["max_bound"] / h["dwmin_up"]
    down = -h["slope_down"] * h["min_bound"] / h["dwmin_down"]
    assert_mean(up, 0.1, 0.3)
    assert_variance(up, 0.09)
    assert_mean(down, 0.2, 0.4)
    assert_variance(down, 0.16)


def test_spread_of_exponents():
    h = spread_of(
        PowStepDevice(
            pow_gamma=1.5, pow_gamma_dtod=0.2, pow_up_down=0.3, pow_up_down_dtod=0.1
        )
    )
    std = 1.5 * np.sqrt(0.05)
    np.testing.assert_allclose(std, 0.3354, rtol=1e-3)
    assert_mean(h["gamma_up"], 1.5, std)
    assert_mean(h["gamma_down"], 1.05, std)
    assert_variance(h["gamma_up"], std**2)
    assert_variance(h["gamma_down"], std**2)
    assert_correlation(h["gamma_up"], h["gamma_down"], 0.6)
    assert_correlation(h["gamma_up"], h["dwmin_up"], 0.0)


def test_spread_of_slopes_with_a_reference():
    h = spread_of(
        plain(
            SoftBoundsReferenceDevice,
            **RANGE,
            slope_up_dtod=0.5,
            slope_down_dtod=0.2,
            reference_mean=0.1,
            reference_std=0.05,
        )
    )
    mean, std = folded(1.0, 0.5)
    np.testing.assert_allclose((mean, std), (1.0085, 0.4816), rtol=3e-3)
    assert_mean(0.8 / h["max_bound"], mean, std)
    assert_variance(0.8 / h["max_bound"], std**2)
    assert_mean(-0.6 / h["min_bound"], 1.0, 0.2)
    assert_variance(-0.6 / h["min_bound"], 0.2**2)
    assert_mean(h["reference"], 0.1, 0.05)
    assert_variance(h["reference"], 0.05**2)
    assert_correlation(0.8 / h["max_bound"], 0.6 / h["min_bound"], 0.0)
    assert_correlation(h["reference"], 0.6 / h["min_bound"], 0.0)
    np.testing.assert_allclose(h["dwmin_up"], 0.02, rtol=1e-6)


@pytest.mark.parametrize("kind", [SoftBoundsReferenceDevice, PowStepReferenceDevice])
def test_each_device_has_its_own_symmetry_point(kind):
    """After the subtraction, steps up and down are equal at weight 0 for each one."""
    device = kind(
        dw_min=0.01,
        dw_min_std=0.0,
        up_down=0.2,
        up_down_dtod=0.2,
        w_max_dtod=0.1,
        w_min_dtod=0.1,
        reference_std=0.0,
        subtract_symmetry_point=True,
    )
    tile = make_tile(device, (100, 100))
    steps = []
    for direction in (UP, DOWN):
        tile.set_weights(np.zeros((100, 100)))
        pulse(tile, direction)
        steps.append(tile.get_weights())
    assert np.abs(steps[0]).min() > 0
    np.testing.assert_allclose(steps[0], -steps[1], rtol=0, atol=1e-7)
    hidden = tile.get_hidden_parameters()
    assert np.array_equal(hidden["reference"], hidden["reset_bias"])
    assert hidden["reference"].std() > 0.01


def test_initial_weights_are_uniform():
    tile = make_tile(IdealDevice(), (300, 300))
    assert_distribution(tile.get_weights(), lambda w: (w + 0.1) / 0.2)
    tile.set_weights_uniform_random(-0.5, 0.25)
    assert_distribution(tile.get_weights(), lambda w: (w + 0.5) / 0.75)


# ---- 9: single pulses ----------------------------------------------------------------

COMPLEX = {"dw_min_std_add": 0.003, "dw_min_std_slope": 0.02}


@pytest.mark.parametrize(
    ("kind", "fields", "start", "direction", "mean", "std"),
    [
        (ConstantStepDevice, {}, 0.1, UP, 0.01, 0.005),
        (SoftBoundsDevice, {}, 0.4, UP, 0.005, 0.0025),
        (SoftBoundsDevice, {}, 0.4, DOWN, -0.0166667, 0.0083333),
        (SoftBoundsDevice, {"mult_noise": False}, 0.4, UP, 0.005, 0.005),
        (SoftBoundsDevice, {"mult_noise": False}, 0.4, DOWN, -0.0166667, 0.005),
        (LinearStepDevice, {"gamma_up": 0.5}, 0.4, UP, 0.0075, 0.00375),
        (
            LinearStepDevice,
            {"gamma_up": 0.5, "mult_noise": False},
            0.4,
            UP,
            0.0075,
            0.005,
        ),
        (SoftBoundsReferenceDevice, {}, 0.4, UP, 0.005, 0.005),
        (SoftBoundsReferenceDevice, {"mult_noise": True}, -0.3, UP, 0.01375, 0.006875),
        (ExpStepDevice, {}, 0.4, UP, 0.0090604, 0.0045302),
        (ExpStepDevice, {}, 0.4, DOWN, -0.0099721, 0.0049861),
        (ExpStepDevice, COMPLEX, 0.4, UP, 0.0090604, 0.0100302),
        (ExpStepDevice, COMPLEX, 0.4, DOWN, -0.0099721, 0.0104861),
        (PowStepDevice, {"pow_gamma": 1.7}, 0.4, UP, 0.0011887, 0.0005944),
        (PowStepDevice, {"pow_gamma": 1.7}, -0.3, UP, 0.0066367, 0.0033183),
        (PiecewiseStepDevice, NODES_3, 0.4, UP, 0.0078571, 0.0039286),
    ],
)
def test_steps_of_one_pulse(kind, fields, start, direction, mean, std):
    """200 000 devices: 1.2 % of the spread would be seen, in mean and spread."""
    noisy = RANGE | {"dw_min": 0.01, "dw_min_std": 0.5}
    tile = make_tile(plain(kind, **(noisy | fields)), (400, 500))
    tile.set_weights(np.full((400, 500), start))
    pulse(tile, direction)
    steps = tile.get_weights().astype(np.float64) - np.float32(start)
    assert_mean(steps, mean, std)
    assert_variance(steps, std**2)
    assert_distribution(steps, lambda s: ndtr((s - mean) / std))


def test_sixteen_pulses():
    device = plain(ConstantStepDevice, **RANGE | {"dw_min": 0.01}, dw_min_std=0.5)
    tile = make_tile(device, (400, 500), desired_bl=16)
    tile.set_weights(np.zeros((400, 500)))
    pulse(tile, UP)
    assert_mean(tile.get_weights(), 0.16, 0.02)
    assert_variance(tile.get_weights(), 0.02**2)


def test_pulses_in_one_update_and_in_many_have_the_same_law():
    """Another seed, bounds in reach: distances of 0.02 would be seen."""
    device = plain(SoftBoundsDevice, **RANGE | {"dw_min": 0.1}, dw_min_std=1.0)
    together = make_tile(device, (200, 200), seed=1, desired_bl=12)
    apart = make_tile(device, (200, 200), seed=2)
    for tile in (together, apart):
        tile.set_weights(np.zeros((200, 200)))
    pulse(together, UP)
    for _ in range(12):
        pulse(apart, UP)
    assert_same_distribution(together.get_weights(), apart.get_weights())


def test_noise_of_exponential_steps_where_there_is_no_step():
    """Near its end the step up is 0, but for noise that does not come from it."""
    fields = EXP_2 | COMPLEX | {"dw_min": 0.01, "dw_min_std": 0.5}
    tile = make_tile(plain(ExpStepDevice, **RANGE | fields), (300, 300))
    tile.set_weights(np.full((300, 300), 0.6))
    pulse(tile, UP)
    steps = tile.get_weights().astype(np.float64) - np.float32(0.6)
    assert_mean(steps, 0.0, 0.5 * 0.015)
    assert_variance(steps, (0.5 * 0.015) ** 2)


# ---- 9: write noise, diffusion, drift ------------------------------------------------


def test_write_noise():
    fields = {"dw_min": 0.01, "write_noise_std": 2.0}
    tile = make_tile(plain(SoftBoundsDevice, **fields), (300, 300))
    tile.set_weights(np.full((300, 300), 0.1))
    seen = tile.get_weights().astype(np.float64)
    assert_mean(seen, 0.1, 0.02)
    assert_variance(seen, 0.02**2)
    persistent = tile.get_hidden_parameters()["persistent_weights"]
    assert (persistent == np.float32(0.1)).all()
    tile.set_weights(np.full((300, 300), 5.0))
    persistent = tile.get_hidden_parameters()["persistent_weights"]
    assert (persistent == np.float32(0.6)).all()
    # Apparent weights are not clipped.
    assert tile.get_weights().max() > 0.65


def test_write_noise_after_setting_is_a_choice():
    device = plain(
        SoftBoundsDevice,
        dw_min=0.01,
        write_noise_std=2.0,
        apply_write_noise_on_set=False,
    )
    tile = make_tile(device, (300, 300))
    tile.set_weights(np.full((300, 300), 0.1))
    assert (tile.get_weights() == np.float32(0.1)).all()
    tile.diffuse_weights()
    assert_variance(tile.get_weights(), 0.02**2)


def test_a_pulse_redraws_what_it_touched_only():
    tile = make_tile(plain(SoftBoundsDevice, write_noise_std=2.0), (2, 4))
    before = tile.get_weights()
    tile.update([1.0, 0.0, -1.0, 0.0], [1.0, 0.0])
    changed = tile.get_weights() != before
    assert changed.tolist() == [[True, False, True, False], [False] * 4]
    for call in (tile.decay_weights, tile.diffuse_weights, tile.reset_columns):
        before = tile.get_weights()
        call()
        assert (tile.get_weights() != before).all()
    before = tile.get_weights()
    tile.drift_weights()  # there is no drift
    assert (tile.get_weights() == before).all()


def test_diffusion_and_its_bounds():
    tile = make_tile(plain(ConstantStepDevice, diffusion=0.1), (300, 300))
    tile.set_weights(np.full((300, 300), 0.5))
    tile.diffuse_weights()
    found = tile.get_weights()
    assert found.max() == np.float32(0.6)
    # One of Phi(-1) reaches the bound.
    probability = ndtr(-1.0)
    assert_mean(found == np.float32(0.6), probability, 0.366, largest=1)
    inside = found[found < np.float32(0.6)]
    assert_distribution(inside, lambda w: ndtr((w - 0.5) / 0.1) / (1 - probability))


def test_reset_spreads_and_probability():
    device = ConstantStepDevice(**NO_SPREAD | {"reset": 0.1, "reset_std": 0.05})
    tile = make_tile(device, (300, 300))
    tile.set_weights(np.full((300, 300), 0.5))
    tile.reset_columns(0, -1, 0.3)
    found = tile.get_weights()
    chosen = found != 0.5
    assert_mean(chosen, 0.3, np.sqrt(0.21), largest=1)
    assert_distribution(found[chosen], lambda w: ndtr((w - 0.1) / 0.05))


def test_drift_spread_from_call_to_call():
    device = drift_device(nu=0.1, nu_std=0.2)
    tile = make_tile(device, (300, 300))
    tile.set_weights(np.full((300, 300), 0.5))
    tile.drift_weights(10)
    nu = -np.log(tile.get_weights().astype(np.float64) / 0.5) / np.log(10)
    assert_mean(nu, 0.1, 0.02)
    assert_variance(nu, 0.02**2)


def test_drift_noise_does_not_accumulate():
    tile = make_tile(drift_device(nu=1e-6, w_noise_std=0.01), (300, 300))
    tile.set_weights(np.full((300, 300), 0.5))
    for _ in range(2):
        tile.drift_weights(1)
        assert_variance(tile.get_weights(), 0.01**2)
