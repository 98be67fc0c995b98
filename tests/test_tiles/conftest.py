"""Tiles without noise, whose results are those of plain matrix algebra."""

from collections.abc import Callable
from typing import Any

import pytest

from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    MappingParameter,
    SingleRPUConfig,
)
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile


def _ideal_config(**mapping: Any) -> SingleRPUConfig:
    return SingleRPUConfig(
        device=IdealDevice(),
        forward=IOParameters(is_perfect=True),
        backward=IOParameters(is_perfect=True),
        mapping=MappingParameter(**mapping),
    )


@pytest.fixture(params=["analog", "floating_point"])
def exact(request: pytest.FixtureRequest) -> Callable[..., Tile]:
    """Build a tile of either kind with exact products and updates.

    `mapping` holds fields of MappingParameter; other keywords go to the tile.
    """

    def build(
        out_size: int,
        in_size: int,
        mapping: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tile:
        if request.param == "analog":
            config = _ideal_config(**(mapping or {}))
            return AnalogTile(out_size, in_size, config, **kwargs)
        fp = FloatingPointRPUConfig(mapping=MappingParameter(**(mapping or {})))
        return FloatingPointTile(out_size, in_size, fp, **kwargs)

    return build


@pytest.fixture
def noisy() -> Callable[..., AnalogTile]:
    """Build a tile with noise in products, updates and devices."""

    def build(out_size: int, in_size: int, **kwargs: Any) -> AnalogTile:
        config = SingleRPUConfig(
            device=ConstantStepDevice(diffusion=0.001, lifetime=100.0)
        )
        config.mapping.weight_scaling_omega = 0.4
        return AnalogTile(out_size, in_size, config, **kwargs)

    return build
