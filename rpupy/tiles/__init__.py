"""Tiles: crossbar arrays together with the digital periphery around them."""

from .analog import AnalogTile
from .base import Tile, load
from .floating_point import FloatingPointTile

__all__ = ["AnalogTile", "FloatingPointTile", "Tile", "load"]
