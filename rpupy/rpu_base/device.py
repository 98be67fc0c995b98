"""Core tiles whose arrays are on a GPU, or with kernels compiled for the host in its place.

Importing this module needs neither of the compiled modules; building a tile does.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from numpy.typing import ArrayLike

from ._common import Floats
from .compound import CompoundTile
from .core import CoreTile

__all__ = [
    "CudaCompoundTile",
    "CudaHostCompoundTile",
    "CudaHostTile",
    "CudaTile",
    "DeviceCompoundTile",
    "DeviceTile",
]


class DeviceTile(CoreTile):
    """A core tile that also takes vectors which are on its device, and uses them in place.

    Such arrays have ``__cuda_array_interface__`` or ``__dlpack__``, are of float32 and in C
    order; results are then arrays on the device, too.  Everything else is as in `CoreTile`.
    """

    #: Compiled module of the backend.
    module = ""

    def _new_backend(self, key: tuple[int, ...]) -> Any:
        backend = importlib.import_module(self.module).CudaBackend
        return backend(self.out_size, self.in_size, key, self._place)

    @property
    def device(self) -> int:
        """Number of the device."""
        return int(self._backend.device)

    def _product(
        self,
        value: Any,
        name: str,
        which: str,
        bias: bool,
        features_first: bool,
        result_features_first: bool,
        out: Floats | None,
    ) -> Any:
        back = which[0] == "b"
        n_in, n_out = self.in_size, self.out_size
        if back:
            n_in, n_out = n_out, n_in
        with self.lock:
            given = self._backend.device_array(value, name)
            if given is None:
                return super()._product(
                    value, name, which, bias, features_first, result_features_first, out
                )
            if out is not None:
                raise TypeError(f"out must be None where {name} is on a device")
            inputs, batch_shape = self._device_vectors(
                given, name, n_in, features_first, bias and not back
            )
            result = self._backend.empty((*batch_shape, n_out))
            batch = result.size // n_out
            self._run_product(which, inputs, result, batch)
            shown = n_out - 1 if bias and back else n_out
            if shown == n_out and not result_features_first:
                return result
            try:
                return self._backend.scatter_vectors(
                    result, shown, result_features_first
                )
            except BaseException:
                self.uncount(which, batch)
                raise

    def _device_vectors(
        self,
        array: Any,
        name: str,
        size: int,
        features_first: bool,
        append_one: bool,
    ) -> tuple[Any, tuple[int, ...]]:
        """Do what `_vectors` does, on the device."""
        given = size - 1 if append_one else size
        shape = array.shape
        if not shape or shape[0 if features_first else -1] != given:
            wanted = f"({given}, ...)" if features_first else f"(..., {given})"
            raise ValueError(f"{name} must have shape {wanted}, got {shape}")
        batch_shape = shape[1:] if features_first else shape[:-1]
        if features_first or append_one:
            array = self._backend.gather_vectors(
                array, batch_shape, size, features_first
            )
        return array, batch_shape

    def _vectors(
        self,
        value: ArrayLike,
        name: str,
        size: int,
        features_first: bool,
        append_one: bool,
    ) -> tuple[Any, tuple[int, ...]]:
        given = self._backend.device_array(value, name)
        if given is None:
            return super()._vectors(value, name, size, features_first, append_one)
        return self._device_vectors(given, name, size, features_first, append_one)

    def scale_vectors(
        self, value: Any, name: str, operation: str, scales: Floats, transposed: bool
    ) -> Any:
        """Multiply, divide or add to each feature of vectors that are on the device.

        Parameters
        ----------
        value : array on the device, or anything
            Vectors, features last; first if `transposed`.
        name : str
            Name of that argument.
        operation : {"multiply", "divide", "add"}
        scales : ndarray of float32
            One number, or one for each feature.
        transposed : bool

        Returns
        -------
        array on the device, or None
            None if `value` is on no device.
        """
        given = self._backend.device_array(value, name)
        if given is None:
            return None
        shape = given.shape
        features = shape[0 if transposed else -1] if shape else 0
        if scales.size not in (1, features) or given.size == 0:
            return given  # the product or update says what is wrong with the shape
        return self._backend.scale_vectors(given, operation, scales, transposed)

    def working_bytes(self) -> int:
        """Return the bytes that the tile holds beside its state: scratch, staged arrays."""
        return int(self._backend.nbytes())


class DeviceCompoundTile(CompoundTile, DeviceTile):
    """A core tile of cells whose arrays are on a device."""

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Let what follows, of several steps that can fail, change all or nothing."""
        backend = self._backend
        backend.settle()
        events = self._events.copy()
        arrays = {name: backend.duplicate(a) for name, a in self._arrays.items()}
        counters, numbers = dict(self._counters), self._numbers()
        try:
            yield
        except BaseException:
            self._arrays, self._counters = arrays, counters
            self._set_numbers(numbers)
            self._events[...] = events
            backend.forget()
            backend.weights_changed()
            raise

    def _update_pulsed(self, x: Any, d: Any, batch: int) -> None:
        # Between its kernels, only an update that writes to a compound looks at the device.
        looks = self._steps_into_compound
        with self._all_or_nothing() if looks else contextlib.nullcontext():
            super()._update_pulsed(x, d, batch)

    def set_weights(self, weights: ArrayLike) -> None:
        """Set the weights that products see: see `CompoundTile`."""
        with self.lock, self._all_or_nothing():
            super().set_weights(weights)

    def set_weights_uniform_random(self, low: float, high: float) -> None:
        """Draw weights uniformly from [low, high) and set them."""
        with self.lock, self._all_or_nothing():
            super().set_weights_uniform_random(low, high)

    def _set_hidden(self, values: dict[str, Floats]) -> None:
        with self._all_or_nothing():
            super()._set_hidden(values)


class CudaTile(DeviceTile):
    """A core tile on a GPU."""

    backend_name = "cuda"
    module = "rpupy.rpu_base._cuda"


class CudaHostTile(DeviceTile):
    """A core tile with the CUDA kernels compiled for the host, for tests."""

    backend_name = "cuda_host"
    module = "rpupy.rpu_base._cuda_host"


class CudaCompoundTile(DeviceCompoundTile, CudaTile):
    """A core tile of cells on a GPU."""


class CudaHostCompoundTile(DeviceCompoundTile, CudaHostTile):
    """A core tile of cells with the CUDA kernels compiled for the host, for tests."""
