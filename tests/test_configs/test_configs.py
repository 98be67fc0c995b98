"""The RPU configurations of this slice."""

import pytest

from rpupy import configs
from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOManagedRPUConfig,
    IOParameters,
    LinearStepDevice,
    PulsedDevice,
    SingleRPUConfig,
)
from rpupy.errors import ConfigError
from rpupy.parameters import MappableRPU


def test_the_chain_of_bases_is_linear() -> None:
    assert SingleRPUConfig.__bases__ == (IOManagedRPUConfig,)
    assert IOManagedRPUConfig.__bases__ == (MappableRPU,)
    assert FloatingPointRPUConfig.__bases__ == (MappableRPU,)


@pytest.mark.parametrize("cls", [SingleRPUConfig, FloatingPointRPUConfig])
def test_defaults_are_valid(cls: type) -> None:
    cls().validate()


def test_default_device() -> None:
    assert type(SingleRPUConfig().device) is ConstantStepDevice


@pytest.mark.parametrize("device", [IdealDevice(), LinearStepDevice()])
def test_single_device(device: object) -> None:
    config = SingleRPUConfig(device=device)
    config.validate()
    assert config.device is device


def test_device_of_the_other_tile_is_refused() -> None:
    with pytest.raises(ConfigError, match="PulsedDevice or IdealDevice, got Floating"):
        SingleRPUConfig(device=FloatingPointDevice())
    with pytest.raises(ConfigError, match="must be of type FloatingPointDevice"):
        FloatingPointRPUConfig(device=ConstantStepDevice())


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_validate_reaches_the_products(direction: str) -> None:
    config = SingleRPUConfig(**{direction: IOParameters(inp_bound=2.0)})
    with pytest.raises(ConfigError, match=r"inp_bound must be 1.0"):
        config.validate()


def test_validate_reaches_the_device() -> None:
    config = SingleRPUConfig()
    config.device.w_min = 0.1
    with pytest.raises(ConfigError, match=r"w_min <= 0 <= w_max, got 0.1 and 0.6"):
        config.validate()
    config.device = PulsedDevice()
    with pytest.raises(ConfigError, match="PulsedDevice is only a base"):
        config.validate()


def test_fields_are_set_as_in_the_user_guide() -> None:
    config = SingleRPUConfig()
    config.forward.out_noise = 0.1
    config.update.desired_bl = 10
    config.mapping.digital_bias = False
    assert (config.forward.out_noise, config.backward.out_noise) == (0.1, 0.06)


def test_everything_is_exported() -> None:
    for name in configs.__all__:
        assert getattr(configs, name) is not None
    for module in (configs.configs, configs.devices, configs.utils):
        assert set(module.__all__) <= set(configs.__all__)
    assert len(set(configs.__all__)) == len(configs.__all__)
