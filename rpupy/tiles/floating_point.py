"""The ideal tile."""

from __future__ import annotations

from typing import ClassVar

from rpupy.configs.configs import FloatingPointRPUConfig

from .base import Tile

__all__ = ["FloatingPointTile"]


class FloatingPointTile(Tile):
    """Exact products and updates, in single precision.

    An update is ``W -= lr * d.T @ x``. ``rpu_config.device`` can add decay, diffusion
    and drift; columns cannot be reset.

    The parameters are those of `Tile`; the default configuration is
    ``FloatingPointRPUConfig()``.

    Examples
    --------
    >>> from rpupy.tiles import FloatingPointTile
    >>> tile = FloatingPointTile(1, 2)
    >>> tile.set_weights([[0.5, -1.0]])
    >>> tile([2.0, 1.0])
    array([0.], dtype=float32)
    >>> tile.set_learning_rate(0.25)
    >>> tile.update([2.0, 1.0], [1.0])
    >>> tile.get_weights()[0]
    array([[ 0.  , -1.25]], dtype=float32)
    """

    tile_kind: ClassVar[str] = "floating_point"
    default_config: ClassVar[type] = FloatingPointRPUConfig
