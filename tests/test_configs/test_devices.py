"""Rules and derived numbers of the devices."""

import pytest

from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointDevice,
    IdealDevice,
    LinearStepDevice,
    PulsedDevice,
    SoftBoundsDevice,
)
from rpupy.configs.devices import Device, SlopedStepDevice, WriteNoiseDevice
from rpupy.errors import ConfigError
from rpupy.parameters import DriftParameter, SimpleDriftParameter

PULSED = [ConstantStepDevice, LinearStepDevice, SoftBoundsDevice]
ALL = [*PULSED, FloatingPointDevice, IdealDevice]


def test_kernels() -> None:
    assert {cls.kernel for cls in ALL} == {
        "constant_step",
        "linear_step",
        "soft_bounds",
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


@pytest.mark.parametrize("cls", PULSED)
def test_granularity_and_states(cls: type) -> None:
    device = cls(dw_min=0.02, w_min=-0.6, w_max=0.8)
    assert device.weight_granularity() == 0.02
    assert device.num_states() == pytest.approx(70)


def test_drift_of_floating_point_weights() -> None:
    FloatingPointDevice(drift=SimpleDriftParameter(nu=0.1)).validate()
    FloatingPointDevice(drift=DriftParameter(nu=0.1, t_0=2)).validate()
    with pytest.raises(ConfigError, match="must set nu, t_0 and reset_tol alone"):
        FloatingPointDevice(drift=DriftParameter(nu=0.1, nu_std=0.1)).validate()


def test_drift_of_pulsed_devices_is_the_full_one() -> None:
    with pytest.raises(ConfigError, match="drift must be of type DriftParameter"):
        ConstantStepDevice(drift=SimpleDriftParameter())
