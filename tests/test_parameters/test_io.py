"""Rules of the analog product's settings."""

import pytest

from rpupy.errors import ConfigError
from rpupy.parameters import (
    AnalogMVType,
    BoundManagementType,
    IOParameters,
    NoiseManagementType,
)


def test_managed_noise_needs_the_input_range_one() -> None:
    io = IOParameters(inp_bound=2.0)
    with pytest.raises(
        ConfigError,
        match=r"inp_bound must be 1\.0 with noise_management = .*ABS_MAX, got 2\.0",
    ):
        io.validate()
    io.noise_management = NoiseManagementType.NONE
    io.validate()


@pytest.mark.parametrize(
    "ideal", [{"is_perfect": True}, {"mv_type": AnalogMVType.IDEAL}]
)
def test_ideal_products_have_no_input_range(ideal: dict) -> None:
    IOParameters(inp_bound=2.0, **ideal).validate()


def test_shift_is_an_error() -> None:
    io = IOParameters()
    with pytest.raises(ConfigError, match=r"bound_management must be one of .*SHIFT"):
        io.bound_management = BoundManagementType.SHIFT
    with pytest.raises(ConfigError, match="bound_management must be one of"):
        IOParameters(bound_management="Shift")


@pytest.mark.parametrize(
    "legal",
    [
        {"inp_bound": 0, "noise_management": NoiseManagementType.NONE},
        {"inp_bound": -1, "noise_management": "None"},
        {"out_bound": -1},
        {"inp_res": -1, "out_res": 0},
        {"inp_res": 254, "out_res": 510},
        {"inp_asymmetry": -0.1, "out_asymmetry": 0.1},
        {"w_noise": 0.1, "w_noise_type": "AdditiveConstant"},
        {"noise_management": "Max", "nm_thres": -1},
        {"noise_management": "Constant"},
        {"bound_management": "None", "max_bm_factor": 0, "max_bm_res": -1},
        {"ir_drop_g_ratio": 1.0, "v_offset_w_min": 0.0},
    ],
)
def test_legal_settings(legal: dict) -> None:
    IOParameters(**legal).validate()


@pytest.mark.parametrize("field", ["inp_noise", "out_noise", "w_noise"])
def test_noise_is_not_negative(field: str) -> None:
    with pytest.raises(
        ConfigError,
        match=f"IOParameters.{field} must be a finite number >= 0, got -0.1",
    ):
        IOParameters(**{field: -0.1})
