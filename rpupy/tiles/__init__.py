"""Tiles: crossbar arrays together with the digital periphery around them."""

from typing import TYPE_CHECKING

from rpupy.not_built import refuse

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

if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__)
