"""Rules of the drift's settings."""

import pytest

from rpupy.errors import ConfigError
from rpupy.parameters import DriftParameter, SimpleDriftParameter


@pytest.mark.parametrize("cls", [SimpleDriftParameter, DriftParameter])
@pytest.mark.parametrize("bad", [{"t_0": 0}, {"t_0": -1.0}, {"reset_tol": -1e-7}])
def test_times_and_tolerance(cls: type, bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        cls(**bad)


def test_ratio_is_not_zero() -> None:
    with pytest.raises(
        ConfigError, match="wg_ratio must be a finite number other than"
    ):
        DriftParameter(wg_ratio=0)
    assert DriftParameter(wg_ratio=-2).wg_ratio == -2


def test_negative_spreads_mirror_the_noise() -> None:
    DriftParameter(nu=-0.1, nu_dtod=-1, nu_std=-1, w_noise_std=-1).validate()
