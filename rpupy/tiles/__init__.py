"""Tiles: crossbar arrays together with the digital periphery around them."""

from .analog import AnalogTile
from .base import Tile, load
from .cuda import CudaAnalogTile, CudaFloatingPointTile
from .floating_point import FloatingPointTile

__all__ = [
    "AnalogTile",
    "CudaAnalogTile",
    "CudaFloatingPointTile",
    "FloatingPointTile",
    "Tile",
    "load",
]
