"""Tiles for the tests of this folder, and whether a tile is as it was.

``conftest.py`` loads this by path, as `bad_input_tools`.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    FloatingPointRPUConfig,
    IdealDevice,
    LinearStepDevice,
    MappingParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.tiles import AnalogTile, FloatingPointTile

OUT, IN = 3, 5


def _constant() -> AnalogTile:
    device = ConstantStepDevice(drift=DriftParameter(nu=0.1))
    return AnalogTile(OUT, IN, SingleRPUConfig(device=device), bias=True, rng=1)


def _soft() -> AnalogTile:
    config = SingleRPUConfig(
        device=SoftBoundsDevice(write_noise_std=1.0, lifetime=9.0, diffusion=0.01),
        mapping=MappingParameter(
            digital_bias=False,
            weight_scaling_omega=0.5,
            weight_scaling_columnwise=True,
            weight_scaling_lr_compensation=True,
        ),
    )
    return AnalogTile(OUT, IN, config, bias=True, rng=2)


def _linear() -> AnalogTile:
    config = SingleRPUConfig(device=LinearStepDevice())
    config.mapping.weight_scaling_omega = 0.4
    return AnalogTile(OUT, IN, config, in_trans=True, out_trans=True, rng=3)


def _ideal() -> AnalogTile:
    return AnalogTile(OUT, IN, SingleRPUConfig(device=IdealDevice()), rng=4)


def _exact() -> FloatingPointTile:
    return FloatingPointTile(OUT, IN, FloatingPointRPUConfig(), bias=True, rng=5)


#: Tiles that differ in bias, scales, order of axes and device.
TILES = {
    "constant": _constant,
    "soft": _soft,
    "linear": _linear,
    "ideal": _ideal,
    "exact": _exact,
}


def made(kind: str) -> Any:
    """Build a tile in the midst of its life."""
    tile = TILES[kind]()
    tile.set_learning_rate(0.05)
    weight = np.linspace(-0.4, 0.4, OUT * IN).reshape(OUT, IN)
    tile.set_weights(weight, np.zeros(OUT) if tile.analog_bias else None)
    x, d = vectors(tile, "x", 4), vectors(tile, "d", 4)
    tile.forward(x)
    tile.backward(d)
    tile.update(x, d)
    tile.drift_weights(2.0)
    return tile


def vectors(tile: Any, side: str, batch: int) -> np.ndarray:
    """Return inputs ("x") or errors ("d") in the order of axes that the tile has."""
    size, first = (IN, tile.in_trans) if side == "x" else (OUT, tile.out_trans)
    values = np.random.default_rng(len(side) + size).normal(size=(batch, size)) * 0.5
    values = values.astype(np.float32)
    return np.ascontiguousarray(values.T) if first else values


def fingerprint(tile: Any) -> Any:
    """Everything that a tile remembers, in a form that == compares bit for bit."""
    state = tile.__getstate__()
    arrays = {
        name: (array.dtype.str, array.shape, array.tobytes())
        for name, array in state.pop("arrays").items()
    }
    return repr(state), arrays, tile.get_learning_rate(), tile.training


@contextlib.contextmanager
def unchanged(tile: Any) -> Any:
    """Assert that the block leaves the tile as it was, and the next draws, too."""
    before = fingerprint(tile)
    yield
    assert fingerprint(tile) == before
