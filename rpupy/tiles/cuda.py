"""Tiles whose array is on a GPU; seed, scales and bias stay on the host."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rpupy.rpu_base._common import Floats
from rpupy.rpu_base.device import DeviceTile

from .analog import AnalogTile
from .base import Tile
from .floating_point import FloatingPointTile

__all__ = ["CudaAnalogTile", "CudaFloatingPointTile"]


class _OnDevice(Tile):
    """What a tile does differently where its array is on a device."""

    tile: DeviceTile
    is_cuda = True

    @property
    def device(self) -> str:
        """Where the weights are, such as ``"cuda:0"``."""
        return f"{self.backend}:{self.tile.device}"

    def _finish_forward(self, y: Any) -> Any:
        """Apply scales and bias to the outputs of the array."""
        if isinstance(y, np.ndarray):
            return super()._finish_forward(y)
        first = self.out_trans and y.ndim > 1
        for operation, numbers in (("multiply", self._scales), ("add", self._bias)):
            if numbers is not None:
                y = self.tile.scale_vectors(y, "x_input", operation, numbers, first)
        return y

    def _scaled_errors(
        self, d_input: ArrayLike, operation: np.ufunc, scales: Floats
    ) -> ArrayLike:
        """Multiply errors by scales, or divide them."""
        transposed = self.out_trans and getattr(d_input, "ndim", 2) > 1
        done = self.tile.scale_vectors(
            d_input, "d_input", operation.__name__, scales, transposed
        )
        return (
            super()._scaled_errors(d_input, operation, scales) if done is None else done
        )


class CudaAnalogTile(_OnDevice, AnalogTile):
    """An `AnalogTile` with its array on a GPU.

    The parameters are those of `Tile`; the array comes to stand on the current device.
    ``AnalogTile(...).cuda(device)`` chooses one. All numbers are those of the tile on the
    CPU, bit for bit.

    Inputs that are NumPy arrays are copied to the device, and results come back. Arrays
    on the device that have ``__cuda_array_interface__`` or ``__dlpack__`` (CuPy, PyTorch;
    float32, C order) are used in place, and results are arrays on the device that have
    both.
    """

    backend: ClassVar[str] = "cuda"


class CudaFloatingPointTile(_OnDevice, FloatingPointTile):
    """A `FloatingPointTile` with its array on a GPU: see `CudaAnalogTile`."""

    backend: ClassVar[str] = "cuda"


class CudaHostAnalogTile(_OnDevice, AnalogTile):
    """For tests: an `AnalogTile` that runs the CUDA kernels on the host."""

    backend: ClassVar[str] = "cuda_host"
    is_cuda = False


class CudaHostFloatingPointTile(_OnDevice, FloatingPointTile):
    """For tests: a `FloatingPointTile` that runs the CUDA kernels on the host."""

    backend: ClassVar[str] = "cuda_host"
    is_cuda = False
