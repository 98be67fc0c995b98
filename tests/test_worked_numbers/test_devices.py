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
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    LinearStepDevice,
    PulseType,
    SimpleDriftParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
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
NO_SLOPE_SPREAD = {"gamma_up_dtod": 0.0, "gamma_down_dtod": 0.0}
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
    spread = NO_SPREAD | (NO_SLOPE_SPREAD if kind is LinearStepDevice else {})
    return kind(**(spread | fields))


def pulse(tile, direction):
    """One train for each crosspoint, as a whole."""
    tile.update(np.ones(tile.in_size), np.full(tile.out_size, direction))


# ---- 8.1: weight after 1, 2, 5, 10, 20, 50 and 100 pulses ----------------------------

LINEAR = {"gamma_up": 0.5, "gamma_down": 0.25}
REVERSED = {"reverse_up": True, "reverse_down": True}
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


@pytest.mark.parametrize(
    ("direction", "steps"),
    [
        (UP, [0.0003279, 0.0101639, 0.02, 0.0331148, 0.0]),
        (DOWN, [0.0, -0.0274074, -0.02, -0.0101235, -0.0002469]),
    ],
)
def test_single_steps_of_reversed_soft_bounds(direction, steps):
    """Table 8.2."""
    device = plain(SoftBoundsDevice, **RANGE, **REVERSED)
    tile = make_tile(device, (1, 5))
    start = np.array([[-0.6, -0.3, 0.0, 0.4, 0.8]])
    tile.set_weights(start)
    pulse(tile, direction)
    np.testing.assert_allclose(tile.get_weights() - start, [steps], atol=2e-6)


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
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)


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


def test_initial_weights_are_uniform():
    tile = make_tile(IdealDevice(), (300, 300))
    assert_distribution(tile.get_weights(), lambda w: (w + 0.1) / 0.2)
    tile.set_weights_uniform_random(-0.5, 0.25)
    assert_distribution(tile.get_weights(), lambda w: (w + 0.5) / 0.75)


# ---- 9: single pulses ----------------------------------------------------------------


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
