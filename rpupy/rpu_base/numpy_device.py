"""A core tile whose device is a NumPy function: `rpupy.configs.devices.NumpyDevice`.

The kernels give the pulses of a mini-batch as counts and the normal of each pulse by its
ordinal; the law is then applied pulse rank by pulse rank to all crosspoints that have one
of that rank.  A crosspoint gets its pulses in the order of the vectors, each with its own
random number, so that the bits are those that a kernel with this law would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpupy import threads
from rpupy.errors import ConfigError
from rpupy.parameters.enums import PulseType

from . import _common, _cpu
from ._common import Floats
from .core import _ZEROS, CpuTile
from .plane import BASE_PLANES, UPKEEP_PLANES, DevicePlane

__all__ = ["DeviceDraws", "NumpyDeviceTile"]

#: Names of other arrays of a plane.
_TAKEN = {
    *BASE_PLANES,
    *UPKEEP_PLANES,
    *("weights", "persistent_weights", "pulse_ordinals", "pulse_counters"),
    *("drift_start", "drift_since", "drift_previous"),
}
#: First number of a device's own draws, and their stream (csrc/devices/pulsed.h, rng.h).
_FIRST_DRAW = 12
_DEVICE_STREAM = 0
#: Counts that are held at a time: 8 MiB.
_MAX_COUNTS = 2**21


class DeviceDraws:
    """Random numbers for the construction of devices, one for each crosspoint.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array, (out, in).
    key : sequence of two int
        Key of the draws.
    """

    def __init__(self, shape: tuple[int, int], key: Any) -> None:
        self._shape = shape
        self._key = np.array(key, dtype=np.uint32)
        self._blocks: dict[int, NDArray[np.uint32]] = {}

    def normal(self, number: int) -> Floats:
        """Give standard normal numbers.

        Parameters
        ----------
        number : int
            Which of the device's draws: 0, 1, ...; each for one purpose.

        Returns
        -------
        ndarray of float32, shape (out, in)
        """
        block, value = self._place(number)
        return _cpu.words_to_normals(block)[:, value].reshape(self._shape)

    def uniform(self, number: int) -> Floats:
        """Give uniform numbers in [0, 1), multiples of 2**-24.

        Parameters
        ----------
        number : int
            Which of the device's draws, as in `normal`.

        Returns
        -------
        ndarray of float32, shape (out, in)
        """
        block, value = self._place(number)
        words = (block[:, value] >> 8).astype(np.float32)
        return (words * np.float32(2.0**-24)).reshape(self._shape)

    def _place(self, number: int) -> tuple[NDArray[np.uint32], int]:
        number = _common.whole_number(number, "number") + _FIRST_DRAW
        if not _FIRST_DRAW <= number < 2**16:
            raise ValueError(
                f"number must be in [0, 65524), got {number - _FIRST_DRAW}"
            )
        block = number >> 2
        if block not in self._blocks:
            counters = np.zeros((self._shape[0] * self._shape[1], 4), dtype=np.uint32)
            counters[:, 0] = np.arange(len(counters), dtype=np.uint32)
            counters[:, 3] = _DEVICE_STREAM << 24 | block
            self._blocks[block] = _cpu.draw_words(counters, self._key)
        return self._blocks[block], number & 3


class NumpyPlane(DevicePlane):
    """A plane of `NumpyDevice`s."""

    def _bind(self) -> _common.Binding:
        device = self.device
        clash = _TAKEN.intersection(device.cell_parameters)
        if clash:
            raise ConfigError(
                f"{type(device).__name__}.cell_parameters must differ from the names of"
                f" all devices, got {sorted(clash)}"
            )
        # Without planes of its own, this kernel draws what all pulsed devices have.
        number, pulsed, params, _ = _cpu.DEVICES["constant_step"]
        return _common.Binding(number, pulsed, params, device.cell_parameters)

    def cell(self) -> tuple[Any, ...]:
        """Return the arrays that kernels know."""
        return tuple(self.array(name) for name in BASE_PLANES)

    def draw(self, key: tuple[int, ...]) -> None:
        """Draw the device-to-device spread, and let the device draw its own."""
        super().draw(key)
        names = self.device.cell_parameters
        if not self.pulsed or not names:
            return
        base = {name: _read_only(self.array(name)) for name in BASE_PLANES}
        shape = self.visible_weights.shape
        with _cpu.DefaultEnvironment():
            drawn = self.device.draw(base, DeviceDraws(shape, key))
        label = f"{type(self.device).__name__}.draw"
        if not isinstance(drawn, Mapping) or set(drawn) != set(names):
            got = sorted(drawn) if isinstance(drawn, Mapping) else type(drawn).__name__
            raise ConfigError(
                f"{label} must return a mapping with the names {list(names)}, got {got}"
            )
        for name in names:
            values = _common.matrix(drawn[name], f"{label}()[{name!r}]", shape)
            self.array(name)[...] = values

    def law(self, w: Floats, direction: Floats, cell: Any, noise: Floats) -> Floats:
        """Call the law and check what it returns."""
        moved = np.asarray(self.device.pulse(w.copy(), direction, cell, noise))
        label = f"{type(self.device).__name__}.pulse"
        if moved.dtype.kind != "f" or moved.shape != w.shape:
            raise ValueError(
                f"{label} must return floats of shape {w.shape},"
                f" got {moved.dtype} of shape {moved.shape}"
            )
        if np.isnan(moved).any():
            raise ValueError(f"{label} must return numbers, got NaN")
        return moved.astype(np.float32, copy=False)


class NumpyDeviceTile(CpuTile):
    """A core tile on the CPU for a `NumpyDevice`."""

    _plane: NumpyPlane

    def _make_planes(self) -> list[DevicePlane]:
        exact = self._pulse_type is PulseType.NONE
        return [NumpyPlane(self, self.config.device, exact)]

    def _update_pulsed(self, x: Floats, d: Floats, batch: int) -> None:
        plane = self._plane
        self._check_train(self._update, self._learning_rate, plane.granularity)
        weights = plane.true_weights.copy()
        ordinals = plane.array("pulse_ordinals").copy()
        counters = None
        if plane.pulse_counters is not None:
            counters = plane.pulse_counters.copy()
        touched = np.zeros(weights.shape, dtype=bool)
        tally = np.zeros_like(self._tally)
        zeros = np.zeros(1, dtype=np.float32) if self._counts_zeros else None
        rows = max(1, min(self.out_size, _MAX_COUNTS // (batch * self.in_size)))
        vectors = max(1, min(batch, _MAX_COUNTS // (rows * self.in_size)))
        # A law of the user's may raise: nothing is written before it is through.
        with _cpu.DefaultEnvironment():
            for first in range(0, self.out_size, rows):
                part = slice(first, min(first + rows, self.out_size))
                for at in range(0, batch, vectors):
                    # The trains of a vector are the same for all rows.
                    slots = tally if first == 0 else None
                    chunk = min(vectors, batch - at)
                    counts = self._counts(x, d, part, at, chunk, slots, zeros)
                    for way, sign in enumerate((-1, 1)):
                        tally[way] += np.maximum(sign * counts, 0).sum()
                    touched[part] |= (counts != 0).any(axis=0)
                    if counters is not None:
                        for way, sign in enumerate((-1, 1)):
                            counters[way, part] += np.maximum(sign * counts, 0).sum(0)
                    self._apply(counts, part, weights, ordinals)
        self._backend.write(plane.true_weights, weights)
        self._backend.write(plane.array("pulse_ordinals"), ordinals)
        counted = self._tally
        counted += tally
        if counters is not None:
            self._backend.write(plane.pulse_counters, counters)
        if zeros is not None:
            self._backend.write(self._arrays[_ZEROS], zeros)
        self._backend.weights_changed()
        if plane.has_write_noise:
            self._backend.show_pulses(
                weights,
                plane.visible_weights,
                ordinals,
                np.flatnonzero(touched).astype(np.uint32),
                plane.apparent_noise,
            )
        self._counters["update"] += batch

    def _counts(
        self,
        x: Floats,
        d: Floats,
        rows: slice,
        first: int,
        vectors: int,
        tally: NDArray[np.int64] | None,
        zeros: Floats | None,
    ) -> NDArray[np.int32]:
        """Pulses of some vectors on some rows, (vectors, rows, in); down below 0."""
        last = first + vectors
        return self._backend.count_pulses(
            self._update,
            x.reshape(-1, self.in_size)[first:last],
            d.reshape(-1, self.out_size)[first:last],
            vectors,
            self._learning_rate,
            self._plane.granularity,
            self._counters["update"] + first,
            rows.start,
            rows.stop - rows.start,
            threads.get_num_threads(),
            tally,
            zeros,
        )

    def _apply(
        self,
        counts: NDArray[np.int32],
        rows: slice,
        weights: Floats,
        ordinals: NDArray[np.uint32],
    ) -> None:
        """Apply the pulses of a chunk, in order at each crosspoint."""
        counts = counts.reshape(len(counts), -1)
        totals = np.abs(counts).sum(axis=0, dtype=np.int64)
        # Those with most pulses first: who has a pulse of some rank are then the first n.
        order = np.argsort(-totals, kind="stable")[: np.count_nonzero(totals)]
        if order.size == 0:
            return
        totals = totals[order]
        runs = _Runs(counts[:, order])
        crosspoint = (order + rows.start * self.in_size).astype(np.uint32)
        w = weights.reshape(-1)[crosspoint]
        ordinal = ordinals.reshape(-1)[crosspoint]
        plane = self._plane
        cell = {
            name: _read_only(plane.array(name).reshape(-1)[crosspoint])
            for name in (*BASE_PLANES, *plane.binding.cell)
        }
        low, high = cell["min_bound"], cell["max_bound"]
        for rank in range(int(totals[0])):
            n = int(np.searchsorted(-totals, -rank, side="left"))
            moved = plane.law(
                w[:n],
                runs.direction(rank, n),
                {name: values[:n] for name, values in cell.items()},
                self._noise(crosspoint[:n], ordinal[:n]),
            )
            # As kernels clip: the bound wins a tie, also between zeros of both signs.
            moved = np.where(moved < high[:n], moved, high[:n])
            w[:n] = np.where(low[:n] < moved, moved, low[:n])
            ordinal[:n] += np.uint32(1)
        weights.reshape(-1)[crosspoint] = w
        ordinals.reshape(-1)[crosspoint] = ordinal

    def _noise(
        self, crosspoint: NDArray[np.uint32], ordinal: NDArray[np.uint32]
    ) -> Floats:
        if self._plane.dw_min_std == 0.0:
            return np.zeros(crosspoint.shape, dtype=np.float32)
        z = self._backend.pulse_normals(crosspoint, ordinal, threads.get_num_threads())
        noise: Floats = z * np.float32(self._plane.dw_min_std)
        return noise


class _Runs:
    """The pulses of crosspoints as runs of one direction, so that none takes memory.

    Parameters
    ----------
    counts : ndarray of int32, shape (vectors, n)
        Pulses of each vector on each crosspoint, at least one each.
    """

    def __init__(self, counts: NDArray[np.int32]) -> None:
        counts = np.ascontiguousarray(counts.T)
        there = counts != 0
        lengths = counts[there]
        self._up = np.where(lengths > 0, np.float32(1), np.float32(-1))
        # Pulses are numbered through all crosspoints, and each has its first run and pulse.
        self._end = np.abs(lengths).cumsum(dtype=np.int64)
        runs = there.sum(axis=1)
        self._run = runs.cumsum() - runs
        totals = np.abs(counts).sum(axis=1, dtype=np.int64)
        self._first = totals.cumsum() - totals

    def direction(self, rank: int, n: int) -> Floats:
        """Directions of the pulses of this rank; ranks are asked for in their order."""
        run = self._run[:n]
        # No run is empty, so that a crosspoint goes at most one run further.
        run += self._end[run] <= self._first[:n] + rank
        direction: Floats = self._up[run]
        return direction


def _read_only(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view
