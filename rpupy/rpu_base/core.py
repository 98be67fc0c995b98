"""The core tile: the state of one crossbar array, its counters, and what calls do to them.

A core tile knows no digital periphery; that is `rpupy.tiles`.  Its state is named arrays, a
key and counters.  Random numbers are functions of the key and of those counters
(docs/randomness.md), so a call first checks its arguments, then runs one kernel, then moves
the counters that it used: a call that fails changes nothing.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy import threads
from rpupy.errors import ConfigError, StateError
from rpupy.events import EventCounts
from rpupy.parameters.enums import AnalogMVType, PulseType
from rpupy.parameters.in_use import parameters_in_use
from rpupy.parameters.io import IOParametersIRDropT

from . import _common, _cpu, periphery
from ._common import Floats, real_number, size, whole_number
from .nodal import NodalWeights, sees_wires
from .plane import UPKEEP_PLANES, DevicePlane
from .sliced import NoisyArray, SlicedArray, fitted_rows, noisy_array, sliced_array

__all__ = ["CoreTile", "CpuTile"]

#: First stream of each pass of the product: kStreamProduct + 5 * pass (csrc/rng.h).
_STREAMS = {"forward": 32, "forward_eval": 37, "backward": 42, "backward_eval": 47}
#: Counters of events, which are the ordinals of random numbers.
_COUNTERS = (
    *_STREAMS,
    "update",
    "init",
)
_DIRECTIONS = ("forward", "backward")
#: What each part of the array counts: NodeEvent in csrc/kernel_table.h.
_PART_EVENTS = (
    "pulses_down",
    "pulses_up",
    "slots",
    "writes",
    "rounds",
    "transfers",
    "refreshes",
)
#: Those that a pulsed update adds to.
_TALLY = 4
#: Share of zeros in the last errors of an update that asks for it.
_ZEROS = "update_zeros"
_INPUT_STAGES = periphery.STAGES[: periphery.INPUT_STAGES]
_UNBOUNDED = ("weights", "drift_start", "drift_previous")
_MAX_TRAIN_WORDS = 8192
_MAX_CROSSPOINTS = 2**32
_MAX_BATCH = 2**31
#: Rates up to this are 0 in float32.
_ZERO_RATE = 2.0**-150
#: Write noise up to this cannot bring weights with bounds beyond float32.
_MOST_NOISE = 2.0**100
#: Counts of a saved state stay below this, so that what follows cannot leave 63 bits.
_MOST_EVENTS = 2**62


class CoreTile:
    """One crossbar array without digital periphery.

    Parameters
    ----------
    out_size, in_size : int
        Rows (outputs) and columns (inputs) of the array; an analog bias is the last column.
    config : rpupy.parameters.base.RPUConfigBase
        Validated and frozen configuration of the tile.
    seed : numpy.random.SeedSequence
        Where the key of the random numbers comes from.  It is not changed.
    place : optional
        Which device, for a backend that has several.

    Raises
    ------
    ValueError
        If a size is below 1 or the array has 2**32 crosspoints or more.
    """

    #: Class that holds the kernels; a backend sets it.
    backend_class: Any = None
    backend_name = ""

    def __init__(
        self,
        out_size: int,
        in_size: int,
        config: Any,
        seed: np.random.SeedSequence,
        place: Any = None,
    ) -> None:
        self.out_size = size(out_size, "out_size")
        self.in_size = size(in_size, "in_size")
        if self.out_size * self.in_size >= _MAX_CROSSPOINTS:
            raise ValueError(
                "out_size * in_size must be below 2**32 crosspoints,"
                f" got {self.out_size} * {self.in_size}"
            )
        self.config = config
        self._place = place
        self.lock = threading.RLock()
        self._key = tuple(int(word) for word in seed.generate_state(2, np.uint32))
        self._learning_rate = 0.1
        self._bind()
        self._counters = dict.fromkeys(self._counter_names(), 0)
        self._allocate()
        self._draw_devices()
        self.set_weights_uniform_random(-0.1, 0.1)

    # ---- construction ----------------------------------------------------------------

    def _check_aggregation(self, update: Any) -> None:
        """Check that each device can draw its noise as the update asks for."""
        for plane in self._planes:
            plane.check_aggregation(update)

    def _bind(self) -> None:
        """Pack the configuration for the kernels and choose how updates run."""
        update = getattr(self.config, "update", None)
        self._pulse_type = PulseType.NONE if update is None else update.pulse_type
        if update is not None:
            self._update = _common.pack(_cpu.FIELDS["update"], update)
        self._planes = self._make_planes()
        self._check_aggregation(update)
        # What the lines of each direction draw: name -> shape.
        self._line_shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        if hasattr(self.config, "forward"):
            self._forward_io = _common.pack_io(self.config.forward)
            self._backward_io = _common.pack_io(self.config.backward)
            crosspoints = (self.out_size, self.in_size)
            for name, outputs in zip(_DIRECTIONS, crosspoints, strict=True):
                io = getattr(self.config, name)
                self._line_shapes[name] = periphery.shapes(io, outputs, crosspoints)
        else:
            self._forward_io = self._backward_io = _common.perfect_io()
            self._line_shapes = {name: {} for name in _DIRECTIONS}
        # Events: rounds of each direction, and a row for each part.
        self._rounds = {name: np.zeros(1, dtype=np.int64) for name in _DIRECTIONS}
        self._events = np.zeros((self._count_parts(), len(_PART_EVENTS)), np.int64)
        io = getattr(self.config, "forward", None)
        # What stands in for the weights, by the rows of the array that is read.
        self._read_arrays: dict[int, SlicedArray | NoisyArray] = {}
        self._read_arrays_version: tuple[Any, int] | None = None
        self._sliced_rows = 0
        self._noisy_reads = False
        if isinstance(io, IOParametersIRDropT):
            if not (io.is_perfect or io.mv_type is AnalogMVType.IDEAL):
                self._noisy_reads = io.has_noisy_reads()
                if io.ir_drop > 0.0:
                    self._sliced_rows = fitted_rows(self.config, self.in_size)
        self._nodal = {
            name: NodalWeights(getattr(self.config, name))
            for name in _DIRECTIONS
            if sees_wires(getattr(self.config, name, None))
        }
        self._backend = self._new_backend(self._key)

    def _make_planes(self) -> list[DevicePlane]:
        """Bind the devices; pulses switched off leave an exact weight."""
        exact = self._pulse_type is PulseType.NONE
        device = self.config.device
        if hasattr(device, "exact_device"):
            device = device.exact_device()
        return [DevicePlane(self, device, exact)]

    def _count_parts(self) -> int:
        """Count the parts of the array that have events of their own."""
        return len(self._planes)

    def _counter_names(self) -> tuple[str, ...]:
        """Names of all counters, in their order."""
        return (*_COUNTERS, *(n for plane in self._planes for n in plane.counters()))

    def _new_backend(self, key: tuple[int, ...]) -> Any:
        return self.backend_class(self.out_size, self.in_size, key)

    @property
    def _plane(self) -> DevicePlane:
        """The only plane, of a tile of single devices."""
        return self._planes[0]

    @property
    def _pulsed_device(self) -> bool:
        return self._plane.pulsed

    @property
    def _counts_zeros(self) -> bool:
        """Whether updates make trains whose zeros somebody asks for."""
        exact = (PulseType.NONE, PulseType.NONE_WITH_DEVICE)
        if not self._pulsed_device or self._pulse_type in exact:
            return False
        return bool(self.config.update.d_sparsity)

    def _plane_shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Name, shape and type of every array of the state, in its order."""
        shapes: dict[str, tuple[tuple[int, ...], type]] = {}
        for plane in self._planes:
            shapes |= plane.shapes((self.out_size, self.in_size))
        if self._counts_zeros:
            shapes[_ZEROS] = ((1,), np.float32)
        for direction, lines in self._line_shapes.items():
            for name, line_shape in lines.items():
                shapes[f"{direction}_{name}"] = (line_shape, np.float32)
        return shapes

    def _allocate(self) -> None:
        # NumPy arrays, or what the backend has in their place; numbers are always NumPy's.
        self._arrays: dict[str, Any] = {
            name: self._backend.allocate(shape, dtype)
            for name, (shape, dtype) in self._plane_shapes().items()
        }

    def _draw_devices(self) -> None:
        """Draw the device-to-device spread, with the construction seed if one is given."""
        self._draw_lines()
        key = self._device_key(getattr(self.config.device, "construction_seed", 0))
        for plane in self._planes:
            plane.draw(key)

    def _device_key(self, construction_seed: int) -> tuple[int, ...]:
        """Return the key of the device-to-device draws."""
        if construction_seed == 0:
            return self._key
        seed = np.random.SeedSequence(construction_seed)
        return tuple(int(word) for word in seed.generate_state(2, np.uint32))

    def _draw_lines(self) -> None:
        """Draw what the lines of each direction have of their own."""
        for direction, lines in self._line_shapes.items():
            if lines:
                io = getattr(self.config, direction)
                back = direction == "backward"
                drawn = periphery.draw(io, back, self._key, lines)
                for name, values in drawn.items():
                    if not np.isfinite(values).all():
                        raise ConfigError(
                            f"the parameters of {direction} must give finite lines,"
                            f" got {name} beyond what float32 holds"
                        )
                    array = self._backend.array_from(values)
                    self._arrays[f"{direction}_{name}"] = array

    # ---- product ---------------------------------------------------------------------

    def forward(
        self,
        x_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
        is_test: bool = False,
        out: Floats | None = None,
    ) -> Floats:
        """Analog product with the weights.

        Parameters
        ----------
        x_input : array_like of float32, shape (..., in) or, with `in_trans`, (in, ...)
            Input vectors.  A vector with an entry that is not finite gives NaN in all of
            its outputs and disturbs no other vector.
        bias : bool
            Append a constant 1 to each vector, for an analog bias.
        in_trans, out_trans : bool
            Features first instead of last, in `x_input` and in the result.
        is_test : bool
            Evaluation: counts its vectors apart from those of training.
        out : ndarray of float32, optional
            Where the result goes; C order, of the shape of the result.

        Returns
        -------
        ndarray of float32, shape (..., out) or, with `out_trans`, (out, ...)

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape.
        """
        return self._product(
            x_input,
            "x_input",
            "forward_eval" if is_test else "forward",
            bias,
            in_trans,
            out_trans,
            out,
        )

    def backward(
        self,
        d_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
        is_test: bool = False,
        out: Floats | None = None,
    ) -> Floats:
        """Analog product with the transposed weights.

        Parameters
        ----------
        d_input : array_like of float32, shape (..., out) or, with `out_trans`, (out, ...)
            Vectors on the output side.
        bias : bool
            Drop the last component of each result, that of an analog bias.
        in_trans, out_trans : bool
            Features first instead of last, in the result and in `d_input`.
        is_test : bool
            Evaluation: counts its vectors apart from those of training.
        out : ndarray of float32, optional
            Where the result goes; C order, of the shape of the result.

        Returns
        -------
        ndarray of float32, shape (..., in) or, with `in_trans`, (in, ...)

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape.
        """
        return self._product(
            d_input,
            "d_input",
            "backward_eval" if is_test else "backward",
            bias,
            out_trans,
            in_trans,
            out,
        )

    def _product(
        self,
        value: ArrayLike,
        name: str,
        which: str,
        bias: bool,
        features_first: bool,
        result_features_first: bool,
        out: Floats | None,
    ) -> Floats:
        back = which[0] == "b"
        with self.lock:
            append_one = bias and not back
            n_in = self.out_size if back else self.in_size
            n_out = self.in_size if back else self.out_size
            inputs, batch_shape = self._vectors(
                value, name, n_in, features_first, append_one
            )
            drop_last = bias and back
            shown = n_out - 1 if drop_last else n_out
            if result_features_first:
                shape = (shown, *batch_shape)
            else:
                shape = (*batch_shape, shown)
            if out is None:
                out = np.empty(shape, dtype=np.float32)
            else:
                _check_out(out, shape)
                if np.may_share_memory(out, inputs):
                    inputs = inputs.copy()
            # All memory is there before the kernel runs: what follows it cannot fail.
            result = out
            if result_features_first or drop_last:
                result = np.empty((*batch_shape, n_out), dtype=np.float32)
            self._run_product(which, inputs, result, result.size // n_out)
            if result is not out:
                if drop_last:
                    result = result[..., :-1]
                if result_features_first:
                    result = np.moveaxis(result, -1, 0)
                out[...] = result
            return out

    def _run_product(self, which: str, inputs: Any, result: Any, batch: int) -> None:
        """Multiply `batch` vectors and count them in their pass."""
        if batch == 0:
            return
        back = which[0] == "b"
        direction = "backward" if back else "forward"
        weights = self._seen_weights(direction)
        drawn = self._drawn(direction)
        if drawn is not None and periphery.AVERAGE in drawn:
            self._average_before = self._backend.read(drawn[periphery.AVERAGE])
        self._backend.product(
            weights,
            inputs,
            result,
            batch,
            back,
            self._backward_io if back else self._forward_io,
            self._counters[which],
            _STREAMS[which],
            threads.get_num_threads(),
            drawn,
            None,
            self._read_array(which),
            self._rounds[direction],
            (self._counters, which),
        )

    def uncount(self, which: str, batch: int) -> None:
        """Take back the counting of a product whose result the caller never gets.

        Parameters
        ----------
        which : {"forward", "forward_eval", "backward", "backward_eval"}
            The pass; its last `batch` vectors are those of the product.
        batch : int
            How many vectors.
        """
        self._counters[which] -= batch
        direction = which.removesuffix("_eval")
        if batch > 0:
            self._backend.uncount()
        if batch > 0 and periphery.AVERAGE in self._line_shapes[direction]:
            average = self._arrays[f"{direction}_{periphery.AVERAGE}"]
            self._backend.write(average, self._average_before)

    def _read_array(self, which: str) -> SlicedArray | NoisyArray | None:
        """Return what stands in for the weights of a pass, if anything does."""
        # Wires count in evaluation alone.
        rows = self._sliced_rows if which == "forward_eval" else 0
        if which[0] == "b" or not (rows or self._noisy_reads):
            return None
        version = (self._backend, self._backend.weights_version)
        if self._read_arrays_version != version:
            self._read_arrays = {}
            self._read_arrays_version = version
        if rows not in self._read_arrays:
            weights = self._backend.read(self._arrays["weights"])
            io = self.config.forward
            with _cpu.DefaultEnvironment():
                if self._noisy_reads:
                    self._read_arrays[rows] = noisy_array(weights, io, rows)
                else:
                    found = sliced_array(weights, io, rows)
                    self._read_arrays[rows] = SlicedArray(
                        self._backend.array_from(found.weights),
                        self._backend.array_from(found.offset),
                        found.charge_unit,
                    )
        return self._read_arrays[rows]

    def _seen_weights(self, direction: str) -> Any:
        """Return the weights that the products of a direction multiply by."""
        weights = self._arrays["weights"]
        if direction in self._nodal:
            return self._nodal[direction].of(weights, self._backend)
        return weights

    def _drawn(self, direction: str) -> dict[str, Any] | None:
        """Return the arrays that the lines of a direction have, by their names."""
        lines = self._line_shapes[direction]
        if not lines:
            return None
        return {name: self._arrays[f"{direction}_{name}"] for name in lines}

    def get_line_parameters(self, direction: str) -> dict[str, Floats]:
        """Return copies of what the lines of a direction drew when the tile was built.

        Parameters
        ----------
        direction : {"forward", "backward"}

        Returns
        -------
        dict of str to ndarray of float32
            Those of ``out_noise_values``, ``out_nonlinearity``,
            ``out_nonlinearity_factor``, ``v_offset`` and ``w_asymmetry`` that the
            parameters of the direction ask for.
        """
        with self.lock:
            return {
                name: self._read(f"{direction}_{name}")
                for name in self._line_shapes[direction]
                if name != periphery.AVERAGE
            }

    def set_line_parameters(
        self, direction: str, parameters: Mapping[str, ArrayLike]
    ) -> None:
        """Replace some of what `get_line_parameters` returns.

        Parameters
        ----------
        direction : {"forward", "backward"}
        parameters : mapping of str to array_like

        Raises
        ------
        TypeError, ValueError
            If a name is unknown, or a value is not finite or of another shape.
        """
        has = dict(self._line_shapes[direction])
        has.pop(periphery.AVERAGE, None)
        values = periphery.check(parameters, has)
        with self.lock:
            self._arrays |= {
                f"{direction}_{name}": self._backend.array_from(value)
                for name, value in values.items()
            }
            if "w_asymmetry" in values:
                self._backend.weights_changed()

    def trace(
        self,
        x_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
        is_test: bool = False,
    ) -> dict[str, Floats]:
        """Compute what `forward` would compute next, and return every step on the way.

        Nothing is counted: a `forward` of the same vectors that follows has the same
        result.

        Parameters
        ----------
        x_input, bias, in_trans, out_trans, is_test
            As in `forward`.

        Returns
        -------
        dict of str to ndarray of float32
            By the name of the step, in the order of the steps, of the last round of
            bound management.  Of steps that a mv type takes once for each pass, all
            are there, passes first.  The last is ``"output"``, the result of
            `forward`.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape.
        """
        with self.lock:
            inputs, batch_shape = CoreTile._vectors(
                self, x_input, "x_input", self.in_size, in_trans, bias
            )
            batch = math.prod(batch_shape)
            wanted = periphery.traced(getattr(self.config, "forward", None))
            planes = {}
            for name, (_, passes) in wanted.items():
                lines = self.in_size if name in _INPUT_STAGES else self.out_size
                planes[name] = np.zeros((passes, batch, lines), dtype=np.float32)
            result = np.empty((batch, self.out_size), dtype=np.float32)
            if batch > 0:
                drawn = self._drawn("forward")
                if drawn is not None and periphery.AVERAGE in drawn:
                    # Looking moves nothing on.
                    average = self._backend.read(drawn[periphery.AVERAGE])
                    drawn[periphery.AVERAGE] = self._backend.array_from(average)
                which = "forward_eval" if is_test else "forward"
                self._backend.product(
                    self._seen_weights("forward"),
                    inputs,
                    result,
                    batch,
                    False,
                    self._forward_io,
                    self._counters[which],
                    _STREAMS[which],
                    1,
                    drawn,
                    {number: planes[name] for name, (number, _) in wanted.items()},
                    self._read_array(which),
                )
            found = {}
            for name, plane in {**planes, "output": result[None]}.items():
                passes, lines = plane.shape[0], plane.shape[-1]
                array = plane.reshape((passes, *batch_shape, lines))
                first = in_trans if name in _INPUT_STAGES else out_trans
                if first:
                    array = np.ascontiguousarray(np.moveaxis(array, -1, 1))
                found[name] = array[0] if passes == 1 else array
            return found

    def _vectors(
        self,
        value: ArrayLike,
        name: str,
        size: int,
        features_first: bool,
        append_one: bool,
    ) -> tuple[Floats, tuple[int, ...]]:
        """Return the vectors in C order, features last, and the shape of their batch."""
        array = _common.real_array(value, name)
        given = size - 1 if append_one else size
        shape = array.shape
        if not shape or shape[0 if features_first else -1] != given:
            wanted = f"({given}, ...)" if features_first else f"(..., {given})"
            raise ValueError(f"{name} must have shape {wanted}, got {shape}")
        if features_first:
            array = np.ascontiguousarray(np.moveaxis(array, 0, -1))
        batch_shape = array.shape[:-1]
        if append_one:
            extended = np.ones((*batch_shape, size), dtype=np.float32)
            extended[..., :-1] = array
            array = extended
        return array, batch_shape

    # ---- update ----------------------------------------------------------------------

    def update(
        self,
        x_input: ArrayLike,
        d_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:
        """Update the weights with a mini-batch: in expectation ``W -= lr * d.T @ x``.

        Parameters
        ----------
        x_input : array_like of float32, shape (..., in) or, with `in_trans`, (in, ...)
            Inputs of the forward pass.
        d_input : array_like of float32, shape (..., out) or, with `out_trans`, (out, ...)
            Gradient with respect to the outputs, with the leading shape of `x_input`.
        bias : bool
            Append a constant 1 to each vector of `x_input`, for an analog bias.
        in_trans, out_trans : bool
            Features first instead of last.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, is not finite, or if the pulse
            train that the learning rate asks for is too long.
        """
        with self.lock:
            x, x_batch = self._vectors(x_input, "x_input", self.in_size, in_trans, bias)
            d, d_batch = self._vectors(
                d_input, "d_input", self.out_size, out_trans, False
            )
            if x_batch != d_batch:
                raise ValueError(
                    "d_input must have the leading shape of x_input,"
                    f" {x_batch}, got {d_batch}"
                )
            for name, array in (("x_input", x), ("d_input", d)):
                if not self._backend.all_finite(array):
                    raise ValueError(
                        f"{name} must be finite, got NaN, inf or a number too large"
                    )
            batch = x.size // self.in_size
            if batch >= _MAX_BATCH:
                raise ValueError(f"x_input must have below 2**31 vectors, got {batch}")
            if batch == 0 or abs(self._learning_rate) <= _ZERO_RATE:
                return
            if (
                self._pulsed_device
                and self._pulse_type is not PulseType.NONE_WITH_DEVICE
            ):
                self._update_pulsed(x, d, batch)
            else:
                self._update_exact(x, d, batch)

    def _update_exact(self, x: Floats, d: Floats, batch: int) -> None:
        plane = self._plane
        low, high = plane.bounds if plane.pulsed else (None, None)
        self._backend.update_exact(
            plane.true_weights,
            x,
            d,
            batch,
            self._learning_rate,
            low,
            high,
            threads.get_num_threads(),
            (self._counters, "update"),
        )
        # One redraw for each vector, of which only the last shows: a mini-batch in parts
        # gives the same bits.
        plane.redraw(batch)

    def _update_pulsed(self, x: Floats, d: Floats, batch: int) -> None:
        plane = self._plane
        self._check_train(self._update, self._learning_rate, plane.granularity)
        self._backend.update_pulsed(
            plane.binding.number,
            plane.true_weights,
            plane.visible_weights if plane.has_write_noise else None,
            plane.array("pulse_ordinals"),
            plane.pulse_counters,
            plane.cell(),
            plane.own,
            self._update,
            x,
            d,
            batch,
            self._learning_rate,
            plane.granularity,
            plane.dw_min_std,
            plane.apparent_noise,
            self._counters["update"],
            threads.get_num_threads(),
            self._tally,
            self._arrays.get(_ZEROS),
            (self._counters, "update"),
        )

    @property
    def _tally(self) -> NDArray[np.int64]:
        """Where the pulses of the only plane are counted."""
        tally: NDArray[np.int64] = self._events[0, :_TALLY]
        return tally

    def _check_train(self, update: Floats, rate: float, granularity: float) -> None:
        """Refuse a learning rate that asks for trains that are too long."""
        words = self._backend.longest_train(update, rate, granularity)
        if words > _MAX_TRAIN_WORDS:
            raise ValueError(
                "the learning rate must ask for pulse trains of at most"
                f" {31 * _MAX_TRAIN_WORDS} slots, got {rate!r} with"
                f" granularity {granularity!r} and fixed_bl=False"
            )

    def get_learning_rate(self) -> float:
        """Return the learning rate."""
        return self._learning_rate

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate; positive descends, negative ascends, 0 does nothing."""
        self._learning_rate = real_number(learning_rate, "learning_rate")

    # ---- weights ---------------------------------------------------------------------

    def get_weights(self) -> Floats:
        """Return a copy of the visible weights, shape (out, in)."""
        with self.lock:
            weights: Floats = self._backend.read(self._arrays["weights"])
            return weights

    def set_weights(self, weights: ArrayLike) -> None:
        """Set the weights, clipped to the bounds of each crosspoint.

        Parameters
        ----------
        weights : array_like of float32, shape (out, in)

        Raises
        ------
        TypeError, ValueError
            If the argument is no finite real matrix of that shape.
        """
        array = _common.matrix(weights, "weights", (self.out_size, self.in_size))
        with self.lock:
            self._plane.set_weights(array)

    def set_weights_uniform_random(self, low: float, high: float) -> None:
        """Draw the weights uniformly from [low, high), clipped to the bounds."""
        low, high = real_number(low, "low"), real_number(high, "high")
        if low > high:
            raise ValueError(f"low must not be above high, got {low} and {high}")
        real_number(high - low, "high - low")
        with self.lock:
            self._plane.set_uniform(low, high, self._counters["init"])
            self._counters["init"] += 1

    def get_hidden_update_index(self) -> int:
        """Return which device of a vector cell is updated or written; 0 for others."""
        return 0

    def set_hidden_update_index(self, index: int) -> None:
        """Choose that device; a tile of single devices ignores it."""
        whole_number(index, "index")

    # ---- maintenance -----------------------------------------------------------------

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Decay towards the reset bias, with a rate scaled by `alpha`."""
        alpha = real_number(alpha, "alpha")
        with self.lock:
            for plane in self._planes:
                plane.decay(alpha)

    def diffuse_weights(self) -> None:
        """Add one step of diffusion."""
        with self.lock:
            for plane in self._planes:
                plane.diffuse()

    def reset_columns(
        self,
        start_column_idx: int = 0,
        num_columns: int = 1,
        reset_prob: float = 1.0,
    ) -> None:
        """Reset crosspoints of some columns to their reset bias.

        Parameters
        ----------
        start_column_idx : int
            First column, counted modulo the number of columns.
        num_columns : int
            How many columns from there on, wrapping around; negative: all of them.
        reset_prob : float
            Probability in [0, 1] of each of their crosspoints.

        Raises
        ------
        NotImplementedError
            If the device is a floating-point one, which has no reset.
        """
        start = whole_number(start_column_idx, "start_column_idx") % self.in_size
        columns = whole_number(num_columns, "num_columns")
        prob = real_number(reset_prob, "reset_prob")
        if not 0.0 <= prob <= 1.0:
            raise ValueError(f"reset_prob must be in [0, 1], got {reset_prob!r}")
        columns = self.in_size if columns < 0 else min(columns, self.in_size)
        for plane in self._planes:
            if not hasattr(plane.device, "reset_std"):
                raise NotImplementedError(f"{type(plane.device).__name__} has no reset")
        if columns == 0 or prob == 0.0:
            return
        with self.lock:
            self._reset_planes(start, columns, prob)

    def _reset_planes(self, start: int, columns: int, prob: float) -> None:
        for plane in self._planes:
            plane.reset(start, columns, prob)

    def clip_weights(self, limit: float) -> None:
        """Limit the weights to [-limit, limit]; a negative limit keeps the bounds only."""
        limit = real_number(limit, "limit")
        with self.lock:
            for plane in self._planes:
                plane.clip(limit)

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let the weights drift for `delta_t` (in seconds, as ``drift.t_0`` is).

        Nothing happens without drift in the configuration of the device.
        """
        delta_t = real_number(delta_t, "delta_t")
        if delta_t < 0.0:
            raise ValueError(f"delta_t must not be negative, got {delta_t!r}")
        with self.lock:
            for plane in self._planes:
                plane.drift(delta_t)

    # ---- hidden parameters -----------------------------------------------------------

    def get_hidden_parameter_names(self) -> list[str]:
        """Names of the parameters that each crosspoint has; empty for exact devices."""
        return [name for plane in self._planes for name in plane.hidden_names()]

    def get_hidden_parameters(self) -> dict[str, Floats]:
        """Return copies of the hidden parameters, each of shape (out, in)."""
        shape = (self.out_size, self.in_size)
        with self.lock:
            return {
                name: np.array(np.broadcast_to(self._read(name), shape))
                for name in self.get_hidden_parameter_names()
            }

    def set_hidden_parameters(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Overwrite all hidden parameters and clip the weights to the new bounds.

        The values are taken as they are, but for ``drift_nu``, which a configuration
        without drift ignores.  Where the mean step differs from ``dw_min`` by
        more than twice its spread, it replaces ``dw_min``, and with it the granularity
        that pulse trains are made for.

        Parameters
        ----------
        parameters : mapping of str to array_like, shape (out, in)
            All names of `get_hidden_parameter_names`; an empty mapping changes nothing.

        Raises
        ------
        TypeError, ValueError
            If names are missing or unknown, or a value is no finite matrix.
        """
        if len(parameters) == 0:
            return
        names = self.get_hidden_parameter_names()
        if set(parameters) != set(names):
            raise ValueError(
                f"parameters must have the names {names}, got {sorted(parameters)}"
            )
        shape = (self.out_size, self.in_size)
        values = {
            name: _common.matrix(parameters[name], f"parameters[{name!r}]", shape)
            for name in names
        }
        with self.lock:
            self._set_hidden(values)

    def _set_hidden(self, values: dict[str, Floats]) -> None:
        for plane in self._planes:
            plane.take_hidden(values)
            plane.bound()

    def get_pulse_counters(self) -> NDArray[np.int64]:
        """Return how many pulses each crosspoint has received since it was built.

        Returns
        -------
        ndarray of int64, shape (2 n, out, in)
            For each of the n devices that count pulses (``count_pulses``): pulses down,
            then pulses up.
        """
        counters = np.zeros((0, self.out_size, self.in_size), dtype=np.int64)
        with self.lock:
            for plane in self._planes:
                if plane.pulse_counters is not None:
                    own = self._backend.read(plane.pulse_counters)
                    counters = np.concatenate([counters, own])
        return counters

    def get_sparsity(self) -> dict[str, float]:
        """Return shares of zeros in the errors of updates (``update.d_sparsity``).

        Returns
        -------
        dict of str to float
            ``last``: of the last vector. ``d_sparsity`` with the suffix of a chopped or
            dynamic compound: its running mean. ``avg_sparsity`` of a mixed precision
            compound. Empty where nobody counts.
        """
        with self.lock:
            shares = {"last": _ZEROS} if self._counts_zeros else {}
            shares |= {name: name for name in self._sparsity_names()}
            return {name: float(self._read(at)[0]) for name, at in shares.items()}

    def _sparsity_names(self) -> list[str]:
        """Names of the arrays with running means of shares of zeros."""
        return []

    # ---- events ----------------------------------------------------------------------

    def events(self) -> tuple[EventCounts, ...]:
        """Return what has been counted: both directions of the product, then each part."""
        with self.lock:
            self._backend.settle()
            return (*map(self._product_events, _DIRECTIONS), *self._part_events())

    def reset_events(self) -> None:
        """Count from 0 again."""
        with self.lock:
            self._backend.settle()
            self._events[...] = 0
            for rounds in self._rounds.values():
                rounds[...] = 0

    def _product_events(self, direction: str) -> EventCounts:
        back = direction == "backward"
        io = self._backward_io if back else self._forward_io
        rounds = int(self._rounds[direction][0])
        lines = (self.out_size, self.in_size)
        return _read_events(
            direction, "product", rounds, io, *lines[:: 1 if back else -1]
        )

    def _part_events(self) -> tuple[EventCounts, ...]:
        device = type(self._plane.device).__name__
        counts = dict(zip(_PART_EVENTS, self._events[0].tolist(), strict=True))
        shown = {name: counts[name] for name in _PART_EVENTS[:_TALLY]}
        return (EventCounts(name="weights", kind=device, **shown),)

    # ---- state -----------------------------------------------------------------------

    def working_bytes(self) -> int:
        """Return the bytes that the tile holds beside its state: packed weights, scratch."""
        return int(self._backend.nbytes())

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the whole state: what JSON can hold, and copies of the arrays."""
        with self.lock:
            self._backend.settle()
            rounds = {name: int(count[0]) for name, count in self._rounds.items()}
            meta = {
                "key": list(self._key),
                "counters": dict(self._counters),
                "events": {**rounds, "parts": self._events.tolist()},
                "learning_rate": self._learning_rate,
                **self._numbers(),
            }
            return meta, {name: self._read(name) for name in self._arrays}

    def _read(self, name: str) -> np.ndarray:
        array: np.ndarray = self._backend.read(self._arrays[name])
        return array

    def _numbers(self) -> dict[str, Any]:
        """Return the numbers of the state beside those of all tiles."""
        return dict(self._plane.numbers())

    def _check_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Raise StateError if `_set_numbers` would not take these."""
        _check_plane_numbers(numbers)

    def _set_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Take what `_numbers` returned."""
        self._plane.set_numbers(numbers)

    def check_state(self, meta: Any, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise StateError if `set_state` would not take this state."""
        if not isinstance(meta, dict):
            raise StateError("the core state must be an object")
        numbers = self._numbers()
        wanted = {"key", "counters", "events", "learning_rate", *numbers}
        # States that were saved before events were counted lack them.
        if {*meta, "events"} != wanted:
            raise StateError(
                f"the core state must have {sorted(wanted)}, got {sorted(meta)}"
            )
        key = meta["key"]
        if not (isinstance(key, list) and len(key) == 2):
            raise StateError(f"key must be two words, got {key!r}")
        for word in key:
            _check_count(word, "key", 2**32)
        counters = meta["counters"]
        names = self._counter_names()
        if not isinstance(counters, dict) or set(counters) != set(names):
            raise StateError(f"counters must be {list(names)}, got {counters!r}")
        for name, count in counters.items():
            _check_count(count, name, _MOST_EVENTS)
        if "events" in meta:
            self._check_events(meta["events"])
        _check_real(meta["learning_rate"], "learning_rate")
        self._check_numbers({name: meta[name] for name in numbers})
        planes = self._plane_shapes()
        if set(arrays) != set(planes):
            raise StateError(
                f"the arrays must be {sorted(planes)}, got {sorted(arrays)}"
            )
        overflowing = self._overflowing(meta)
        full = (self.out_size, self.in_size)
        upkeep = {n + p.suffix for p in self._planes for n in UPKEEP_PLANES}
        for name, (shape, dtype) in planes.items():
            array = arrays[name]
            shapes = {shape, full, ()} if name in upkeep else {shape}
            if array.shape not in shapes or array.dtype != dtype:
                raise StateError(
                    f"{name} must be {np.dtype(dtype)} of shape {shape},"
                    f" got {array.dtype} of shape {array.shape}"
                )
            if dtype is np.float32 and name not in overflowing:
                if not np.isfinite(array).all():
                    raise StateError(f"{name} must be finite")
            if dtype is np.int64 and ((array < 0) | (array >= _MOST_EVENTS)).any():
                raise StateError(f"{name} must be in [0, {_MOST_EVENTS})")

    def _overflowing(self, meta: Mapping[str, Any]) -> set[str]:
        """Name the arrays that may have left float32 by what devices have in `meta`."""
        if not self._pulsed_device:
            return set(_UNBOUNDED)
        return {
            plane.weights
            for plane, numbers in zip(self._planes, _of_planes(meta), strict=True)
            if plane.has_write_noise
            and plane.write_noise_std * numbers["dw_min"] > _MOST_NOISE
        }

    def _check_events(self, events: Any) -> None:
        """Raise StateError if these are no counts of events of this tile."""
        names = {*_DIRECTIONS, "parts"}
        if not isinstance(events, dict) or set(events) != names:
            raise StateError(f"events must have {sorted(names)}, got {events!r}")
        rows = events["parts"]
        shape = self._events.shape
        if not (
            isinstance(rows, list)
            and len(rows) == shape[0]
            and all(isinstance(row, list) and len(row) == shape[1] for row in rows)
        ):
            raise StateError(f"events of parts must have shape {shape}, got {rows!r}")
        for row in ([events[name] for name in _DIRECTIONS], *rows):
            for count in row:
                _check_count(count, "a count of events", _MOST_EVENTS)

    def set_state(self, meta: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the whole state by one that `state` returned.

        Raises
        ------
        StateError
            If it does not fit this tile, which then stays as it was.
        """
        self.check_state(meta, arrays)
        with self.lock:
            # First what may fail for want of memory.
            key = (meta["key"][0], meta["key"][1])
            backend = self._new_backend(key)
            self._arrays = {
                name: backend.array_from(arrays[name]) for name in self._plane_shapes()
            }
            self._backend = backend
            self._key = key
            counters = meta["counters"]
            self._counters = {name: counters[name] for name in self._counter_names()}
            events = meta.get("events", {})
            self._events[...] = events.get("parts", 0)
            for name, rounds in self._rounds.items():
                rounds[...] = events.get(name, 0)
            self._learning_rate = float(meta["learning_rate"])
            self._set_numbers({name: meta[name] for name in self._numbers()})

    @classmethod
    def from_state(
        cls,
        out_size: int,
        in_size: int,
        config: Any,
        meta: Any,
        arrays: Mapping[str, np.ndarray],
        place: Any = None,
    ) -> CoreTile:
        """Build the tile that `state` described, without drawing anything.

        Raises
        ------
        StateError
            If the state does not fit a tile of this size and configuration.
        """
        tile = cls.__new__(cls)
        tile.out_size = size(out_size, "out_size")
        tile.in_size = size(in_size, "in_size")
        tile.config = config
        tile._place = place
        tile.lock = threading.RLock()
        tile._key = (0, 0)
        tile._bind()
        tile.set_state(meta, arrays)
        return tile

    def __getstate__(self) -> dict[str, Any]:
        meta, arrays = self.state()
        return {
            "out_size": self.out_size,
            "in_size": self.in_size,
            "config": self.config,
            "meta": meta,
            "arrays": arrays,
            "place": self._place,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(self.from_state(**state).__dict__)
        for plane in self._planes:
            plane.belong_to(self)

    def __copy__(self) -> CoreTile:
        return copy.deepcopy(self)

    # ---- text ------------------------------------------------------------------------

    def get_brief_info(self) -> str:
        """Return one line: backend, device and size."""
        device = type(self.config.device).__name__
        if self._pulse_type is PulseType.NONE and hasattr(self.config, "update"):
            device += ", exact update"
        return f"{type(self).__name__}[{device}]({self.out_size}, {self.in_size})"

    def _granularity_text(self) -> str:
        return f"{self._plane.granularity:g}"

    def __repr__(self) -> str:
        return self.get_brief_info()

    def __str__(self) -> str:
        lines = [self.get_brief_info(), *parameters_in_use(self.config)]
        lines.append(f"  learning_rate: {self._learning_rate:g}")
        if self._pulsed_device:
            lines.append(f"  weight_granularity: {self._granularity_text()}")
        return "\n".join(lines)


class CpuTile(CoreTile):
    """A core tile whose arrays are NumPy arrays and whose kernels run on the CPU."""

    backend_class = _cpu.CpuBackend
    backend_name = "cpu"


def _read_events(
    name: str,
    kind: str,
    rounds: int,
    io: Floats,
    inputs: int,
    outputs: int,
    **more: int,
) -> EventCounts:
    """Count what rounds of so many input and output lines are for their converters."""
    passes, dac, adc = _common.conversions(io)
    return EventCounts(
        name=name,
        kind=kind,
        reads=rounds * passes,
        dac=rounds * dac * inputs,
        adc=rounds * adc * outputs,
        dac_lines=inputs,
        adc_lines=outputs,
        **more,
    )


def _check_out(out: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array, got {type(out).__name__}")
    if out.dtype != np.float32:
        raise TypeError(f"out must be an array of float32, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not out.flags.carray:
        raise ValueError("out must be a writeable, aligned array in C order")


def _check_real(value: Any, name: str) -> None:
    try:
        real_number(value, name)
    except (TypeError, ValueError) as error:
        raise StateError(str(error)) from None


def _of_planes(meta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the numbers of each plane; those of a single device are not apart."""
    planes: list[Mapping[str, Any]] = meta.get("planes", [meta])
    return planes


def _check_plane_numbers(numbers: Mapping[str, Any]) -> None:
    for name in ("drift_time", "dw_min", "granularity"):
        _check_real(numbers[name], name)
    if numbers["granularity"] <= 0.0:
        raise StateError(f"granularity must be above 0, got {numbers['granularity']}")


def _check_count(value: Any, name: str, limit: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
        raise StateError(f"{name} must be an integer in [0, {limit}), got {value!r}")
