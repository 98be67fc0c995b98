"""Rules of the update's settings."""

import pytest

from rpupy.errors import ConfigError
from rpupy.parameters import PulseType, UpdateParameters


@pytest.mark.parametrize("length", [0, -1, 8192 * 31 + 1, 31.0, True])
def test_train_length(length: object) -> None:
    with pytest.raises(
        ConfigError, match=r"desired_bl must be an integer in \[1, 2539"
    ):
        UpdateParameters(desired_bl=length)
    UpdateParameters(desired_bl=8192 * 31).validate()


@pytest.mark.parametrize("scale", [0, -1.0])
def test_gradient_scale(scale: float) -> None:
    with pytest.raises(ConfigError, match="um_grad_scale must be a finite number > 0"):
        UpdateParameters(um_grad_scale=scale)


@pytest.mark.parametrize("res", [-1, 0.01, 10])
def test_any_resolution_is_kept_as_given(res: float) -> None:
    update = UpdateParameters(res=res, sto_round=True)
    update.validate()
    assert update.res == res


@pytest.mark.parametrize("pulse_type", PulseType)
def test_all_pulse_types_are_built(pulse_type: PulseType) -> None:
    assert UpdateParameters(pulse_type=pulse_type).pulse_type is pulse_type
