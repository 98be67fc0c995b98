"""The tile of resistive devices."""

from __future__ import annotations

from typing import ClassVar

from rpupy.configs.configs import SingleRPUConfig

from .base import Tile

__all__ = ["AnalogTile"]


class AnalogTile(Tile):
    """Crossbar array of resistive devices, with products that pass through converters.

    `forward` and `backward` are analog products with the noise and the resolution that
    ``rpu_config.forward`` and ``rpu_config.backward`` describe. `update` sends pulses
    (``rpu_config.update``) to the devices (``rpu_config.device``), which then change
    their weight step by step, within bounds.

    The parameters are those of `Tile`; the default configuration is
    ``SingleRPUConfig()``.

    Examples
    --------
    >>> import numpy as np
    >>> from rpupy.configs import SingleRPUConfig, SoftBoundsDevice
    >>> from rpupy.tiles import AnalogTile
    >>> config = SingleRPUConfig(device=SoftBoundsDevice())
    >>> tile = AnalogTile(2, 3, config, bias=True, rng=0)
    >>> tile.set_weights([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]], bias=[1.0, -1.0])
    >>> tile(np.ones((4, 3))).shape
    (4, 2)
    """

    tile_kind: ClassVar[str] = "analog"
    default_config: ClassVar[type] = SingleRPUConfig
