"""Rules and derived numbers of the devices."""

import math

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    DampedStepDevice,
    ExpStepDevice,
    FloatingPointDevice,
    IdealDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PmaxMapping,
    PowStepDevice,
    PowStepReferenceDevice,
    PulsedDevice,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
)
from rpupy.configs.devices import Device, SlopedStepDevice, WriteNoiseDevice
from rpupy.errors import ConfigError
from rpupy.parameters import DriftParameter, SimpleDriftParameter

PULSED = [
    ConstantStepDevice,
    DampedStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
]
ALL = [*PULSED, SoftBoundsPmaxDevice, FloatingPointDevice, IdealDevice]


def test_kernels() -> None:
    assert {cls.kernel for cls in ALL} == {
        "constant_step",
        "damped_step",
        "exp_step",
        "linear_step",
        "piecewise_step",
        "pow_step",
        "pow_step_reference",
        "soft_bounds",
        "soft_bounds_reference",
        "floating_point",
        "ideal",
    }


def test_write_noise_is_supported_where_it_has_a_field() -> None:
    for cls in ALL:
        assert cls.supports_write_noise == hasattr(cls, "write_noise_std")


@pytest.mark.parametrize("cls", ALL)
def test_defaults_are_valid(cls: type) -> None:
    cls().validate()


@pytest.mark.parametrize("cls", [PulsedDevice, WriteNoiseDevice, SlopedStepDevice])
def test_bases_are_no_devices(cls: type) -> None:
    with pytest.raises(ConfigError, match=f"{cls.__name__} is only a base"):
        cls().validate()


@pytest.mark.parametrize("cls", ALL)
def test_requirements(cls: type[Device]) -> None:
    device = cls()
    assert not device.requires_diffusion()
    assert not device.requires_decay()
    device.diffusion = 0.1
    device.lifetime = 10
    assert device.requires_diffusion()
    assert device.requires_decay()
    device.diffusion = device.lifetime = -1
    device.validate()
    assert not device.requires_diffusion()
    assert not device.requires_decay()


@pytest.mark.parametrize("cls", PULSED)
def test_the_range_contains_zero(cls: type) -> None:
    device = cls()
    device.w_min = 0.1
    with pytest.raises(ConfigError, match=r"w_min <= 0 <= w_max, got 0.1 and 0.6"):
        device.validate()
    device.w_min, device.w_max = -0.5, -0.1
    with pytest.raises(ConfigError, match=r"w_min <= 0 <= w_max, got -0.5 and -0.1"):
        device.validate()
    device.w_min = device.w_max = 0
    device.validate()


@pytest.mark.parametrize("cls", PULSED)
@pytest.mark.parametrize(
    "bad",
    [
        {"dw_min": 0},
        {"dw_min": -0.001},
        {"corrupt_devices_prob": 1.1},
        {"corrupt_devices_prob": -0.1},
        {"construction_seed": -1},
    ],
)
def test_illegal_fields(cls: type, bad: dict) -> None:
    with pytest.raises(ConfigError, match=f"{cls.__name__}.{next(iter(bad))} must be"):
        cls(**bad)


@pytest.mark.parametrize("cls", PULSED)
def test_negative_spreads_and_odd_asymmetries_are_legal(cls: type) -> None:
    cls(
        dw_min_dtod=-1,
        dw_min_std=-1,
        w_max_dtod=-1,
        w_min_dtod=-1,
        up_down=1.5,
        up_down_dtod=-1,
        reset=-0.1,
        reset_dtod=-1,
        reset_std=-1,
        diffusion_dtod=-1,
        lifetime_dtod=-1,
        corrupt_devices_range=-0.1,
    ).validate()


@pytest.mark.parametrize("cls", [LinearStepDevice, SoftBoundsDevice])
@pytest.mark.parametrize("direction", ["reverse_up", "reverse_down"])
def test_reversed_slopes_need_multiplicative_noise(cls: type, direction: str) -> None:
    device = cls(mult_noise=False, **{direction: True})
    with pytest.raises(ConfigError, match="mult_noise must be True with reverse_up or"):
        device.validate()
    device.mult_noise = True
    device.validate()


def test_soft_bounds_has_no_slope() -> None:
    with pytest.raises(TypeError, match="SoftBoundsDevice has no field 'gamma_up'"):
        SoftBoundsDevice(gamma_up=1.0)


RANGE = {"dw_min": 0.02, "w_min": -0.6, "w_max": 0.8}


@pytest.mark.parametrize(
    ("device", "granularity"),
    [
        (ConstantStepDevice(**RANGE), 0.02),
        (LinearStepDevice(**RANGE), 0.02),
        (SoftBoundsDevice(**RANGE), 0.02),
        (SoftBoundsReferenceDevice(**RANGE), 0.02),
        (ExpStepDevice(**RANGE), 0.0196685),
        (ExpStepDevice(**RANGE, up_down=-0.3), 0.0196685),
        (ExpStepDevice(**RANGE, up_down=0.3), 0.0137679),
        (ExpStepDevice(**RANGE, A_down=3, b=0), 0.02),
        (ExpStepDevice(), 0.00098342),
        (DampedStepDevice(**RANGE), 0.00456545),
        (DampedStepDevice(**RANGE, beta_up=0, beta_down=0), 0.02),
        (PowStepDevice(**RANGE), 0.01),
        (PowStepDevice(), 0.0005),
        (PowStepDevice(**RANGE, pow_gamma=2), 0.005),
        (PowStepReferenceDevice(**RANGE, pow_gamma=0.5), 0.02 * 0.5**0.5),
        (
            PiecewiseStepDevice(
                **RANGE, piecewise_up=[1.5, 1.2, 0.5], piecewise_down=[1, 1, 1]
            ),
            0.024,
        ),
        (
            PiecewiseStepDevice(
                **RANGE, piecewise_up=[1.5, 1.2, 0.5, 0.3], piecewise_down=[1] * 4
            ),
            0.01,
        ),
        (SoftBoundsPmaxDevice(), 0.00254149),
    ],
)
def test_granularity_and_states(device: PulsedDevice, granularity: float) -> None:
    assert device.weight_granularity() == pytest.approx(granularity, rel=1e-5)
    resolved = device.resolved()
    states = (resolved.w_max - resolved.w_min) / granularity
    assert device.num_states() == pytest.approx(states, rel=1e-5)


@pytest.mark.parametrize(
    "device",
    [
        PiecewiseStepDevice(piecewise_up=[1, 0, 1], piecewise_down=[1, 1, 1]),
        PiecewiseStepDevice(piecewise_up=[-1], piecewise_down=[1]),
        PowStepDevice(pow_gamma=1e4),
    ],
)
def test_a_pulse_moves_the_weight(device: PulsedDevice) -> None:
    with pytest.raises(ConfigError, match="must have a weight granularity above 0"):
        device.validate()


def test_piecewise_nodes() -> None:
    device = PiecewiseStepDevice(piecewise_up=(1, 2), piecewise_down=np.array([3, 4]))
    assert device.piecewise_up == [1.0, 2.0]
    assert device.piecewise_down == [3.0, 4.0]
    device.validate()
    device.piecewise_up.append(1.0)
    with pytest.raises(ConfigError, match="equally many values, got 3 and 2"):
        device.validate()
    device.piecewise_up[2] = math.nan
    with pytest.raises(ConfigError, match="1 to 128 finite numbers, got nan"):
        device.validate()
    for bad, shown in (
        ([], "'0 numbers'"),
        ([1.0] * 129, "'129 numbers'"),
        ([True], "True"),
        ([1e39], "1e\\+39"),
        ("12", "'12'"),
        (1.0, "1.0"),
        ([[1.0]], r"\[1.0\]"),
    ):
        message = f"piecewise_up must be a list of 1 to 128 finite numbers, got {shown}"
        with pytest.raises(ConfigError, match=message):
            PiecewiseStepDevice(piecewise_up=bad)
    assert PiecewiseStepDevice().piecewise_up is not PiecewiseStepDevice().piecewise_up


def test_negative_exponents_are_refused() -> None:
    for cls in (PowStepDevice, PowStepReferenceDevice):
        with pytest.raises(ConfigError, match="pow_gamma must be a finite number >= 0"):
            cls(pow_gamma=-1)


# ---- the curve of SoftBoundsPmaxDevice -----------------------------------------------


def test_pmax_does_not_use_the_fields_that_the_curve_decides() -> None:
    device = SoftBoundsPmaxDevice(w_min=7.0, w_max=-5, dw_min=-1.0, up_down=None)
    assert device.w_min == 7.0
    device.validate()
    assert device.resolved() == SoftBoundsPmaxDevice().resolved()
    with pytest.raises(ConfigError, match="w_min must be a finite number or None"):
        device.w_min = math.inf


def test_pmax_keeps_what_it_shares_with_soft_bounds() -> None:
    drift = DriftParameter(nu=0.1)
    shared = {"drift": drift, "mult_noise": False, "dw_min_dtod": 0.1, "lifetime": 5}
    found = SoftBoundsPmaxDevice(**shared).resolved()
    for name, value in shared.items():
        assert getattr(found, name) == value


def test_pmax_mappings() -> None:
    """Numbers computed by hand, and the slopes that are meant."""
    found = SoftBoundsPmaxDevice().resolved()
    values = (found.w_min, found.w_max, found.dw_min, found.up_down)
    assert values == pytest.approx((-1, 4.0829883, 0.0025414941, 0.606530660))
    for mapping, low in (
        (PmaxMapping.UP_CURVE, -1.0),
        (PmaxMapping.BOTH_CURVES, 1.0 - 5.0829883),
    ):
        found = SoftBoundsPmaxDevice(mapping=mapping).resolved()
        assert (found.w_min, found.w_max) == pytest.approx((low, 4.0829883))
        down = found.dw_min * (1 - max(found.up_down, 0))
        up = found.dw_min * (1 + min(found.up_down, 0))
        assert up == pytest.approx(0.0005 * found.w_max)
        assert down == pytest.approx(0.0005 * -found.w_min)
    # Steps down are the larger ones here.
    found = SoftBoundsPmaxDevice(
        mapping=PmaxMapping.UP_CURVE, range_min=-0.9, range_max=0.1, alpha=0.02
    ).resolved()
    assert found.dw_min == pytest.approx(0.02 * 0.9)
    assert found.dw_min * (1 + found.up_down) == pytest.approx(0.02 * found.w_max)


def test_a_nearly_straight_curve_has_a_bound_far_away() -> None:
    found = SoftBoundsPmaxDevice(alpha=1e-20).resolved()
    assert found.w_max == pytest.approx(2.0 / 1e-17)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"p_max": 0}, "p_max must be an integer in"),
        ({"alpha": 0.0}, "alpha must be a finite number > 0"),
        ({"range_min": 0.1}, "range_min must be a finite number <= 0"),
    ],
)
def test_illegal_curves(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SoftBoundsPmaxDevice(**fields)


def test_the_range_of_a_curve_is_not_empty() -> None:
    with pytest.raises(ConfigError, match="range_min must be below range_max"):
        SoftBoundsPmaxDevice(range_min=-1, range_max=-1).validate()
    with pytest.raises(ConfigError, match=r"w_min <= 0 <= w_max, got -1.0 and -0.09"):
        SoftBoundsPmaxDevice(range_max=-0.5, p_max=10, alpha=0.08).validate()


def test_drift_of_floating_point_weights() -> None:
    FloatingPointDevice(drift=SimpleDriftParameter(nu=0.1)).validate()
    FloatingPointDevice(drift=DriftParameter(nu=0.1, t_0=2)).validate()
    with pytest.raises(ConfigError, match="must set nu, t_0 and reset_tol alone"):
        FloatingPointDevice(drift=DriftParameter(nu=0.1, nu_std=0.1)).validate()


def test_drift_of_pulsed_devices_is_the_full_one() -> None:
    with pytest.raises(ConfigError, match="drift must be of type DriftParameter"):
        ConstantStepDevice(drift=SimpleDriftParameter())
