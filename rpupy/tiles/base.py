"""What all tiles have in common: a core tile, its periphery, mode, seed and state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy import registry
from rpupy.errors import ConfigError, StateError
from rpupy.events import Events
from rpupy.parameters.base import RPUConfigBase, from_dict, frozen_copy, to_dict
from rpupy.parameters.explain import Explanation
from rpupy.parameters.in_use import parameters_in_use
from rpupy.rpu_base._common import Floats, size, whole_number

from . import state
from .periphery import flag
from .programming import Programming
from .seeding import (
    SPAWNED,
    child_seed,
    seed_from_dict,
    seed_sequence,
    seed_to_dict,
)

__all__ = ["Tile", "load"]

T = TypeVar("T", bound="Tile")

_FLAGS = ("bias", "in_trans", "out_trans", "training")
_COUNTS = ("out_size", "in_size", "spawned", "probes")
#: Arrays of the state that are not those of the core tile, which have this prefix.
_OWN_ARRAYS = ("bias", "mapping_scales", "reference_combined_weights")
_CORE = "core."
_MOST_SPAWNED = 10**6


class Tile(Programming):
    """Base of all tiles: a crossbar array (`tile`) and the digital periphery around it.

    Parameters
    ----------
    out_size, in_size : int
        Rows (outputs) and columns (inputs) of the logical weight matrix.
    rpu_config : RPUConfigBase, optional
        Configuration; the tile works on a copy of its own, which is fixed.
    bias : bool
        Add a bias: a digital vector, or with ``mapping.digital_bias=False`` one more
        column of the array, whose input is always 1.
    in_trans, out_trans : bool
        Inputs, or outputs, have their features first (``[in, ...]``) instead of last.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Where all random numbers of the tile come from. None takes fresh entropy. An int
        or a SeedSequence is used as it is: two tiles with ``rng=0`` are twins. From a
        Generator 128 bits are drawn, so that tiles that share one differ.

    Attributes
    ----------
    out_size, in_size : int
    rpu_config : RPUConfigBase
        The tile's configuration; its fields refuse assignment.
    tile : rpupy.rpu_base.core.CoreTile
        The core tile: ``tile.tile.get_weights()`` are the weights of the array.
    digital_bias, analog_bias : bool
        Whether there is a bias of this kind.
    in_trans, out_trans : bool
    training : bool
        Mode: see `train`.
    device : str
        Where the weights are: ``"cpu"``, or ``"cuda:0"``.
    is_cuda : bool

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.
    ConfigError
        If the configuration is not legal as a whole.

    Notes
    -----
    Methods that change the tile either succeed or raise and leave it as it was. Calls
    from several threads take turns. An interrupt (Ctrl-C) waits until the kernel that
    runs is done: products and pulsed updates are made as a whole or not at all. It can
    end a call of several steps between two of them: maintenance of cells or with write
    noise, set_weights, programming.
    """

    #: Kind of tile, as in the `tile_kind` of its configurations.
    tile_kind: ClassVar[str]
    #: Class of the configuration that is built where none is given.
    default_config: ClassVar[type]

    #: What owns the array, as in `rpupy.registry.core_class`.
    backend: ClassVar[str] = "cpu"
    is_cuda = False

    @property
    def device(self) -> str:
        """Where the weights are."""
        return self.backend

    def __init__(
        self,
        out_size: int,
        in_size: int,
        rpu_config: RPUConfigBase | None = None,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
        *,
        rng: Any = None,
    ) -> None:
        self.out_size = size(out_size, "out_size")
        self.in_size = size(in_size, "in_size")
        self.rpu_config = self._own_config(rpu_config)
        self._place_bias(flag(bias, "bias"))
        self.in_trans = flag(in_trans, "in_trans")
        self.out_trans = flag(out_trans, "out_trans")
        self.training = True
        self._seed = seed_sequence(rng)
        self._spawned = 0
        self._probes = 0
        self._reference = None
        kind = registry.core_kind(self.rpu_config)
        core = registry.core_class(kind, self.backend, self.rpu_config.device)
        self.tile = core(self.out_size, self._x_size, self.rpu_config, self._seed)
        self._init_periphery()

    @classmethod
    def _own_config(cls, rpu_config: RPUConfigBase | None) -> Any:
        if rpu_config is None:
            rpu_config = cls.default_config()
        kind = getattr(rpu_config, "tile_kind", None)
        if not isinstance(rpu_config, RPUConfigBase) or kind != cls.tile_kind:
            raise TypeError(
                f"rpu_config must be a configuration for {cls.__name__}, such as"
                f" {cls.default_config.__name__}(), got {_kind_of(rpu_config)}"
            )
        fixed = frozen_copy(rpu_config)
        fixed.validate()
        return fixed

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the logical weight matrix: (out_size, in_size)."""
        return self.out_size, self.in_size

    @property
    def seed(self) -> np.random.SeedSequence:
        """A copy of the seed: ``rng=tile.seed`` builds a tile with the same draws."""
        return seed_sequence(self._seed)

    # ---- product and update ----------------------------------------------------------

    def forward(self, x_input: ArrayLike, out: Floats | None = None) -> Floats:
        """Multiply inputs by the weights, scale, and add the digital bias.

        Parameters
        ----------
        x_input : array_like of float32, shape (..., in_size)
            Inputs; (in_size, ...) with `in_trans`. A vector with an entry that is not
            finite gives NaN in all of its outputs and disturbs no other vector.
        out : ndarray of float32, optional
            Where the result goes; C order, of the shape of the result.

        Returns
        -------
        ndarray of float32, shape (..., out_size)
            Or (out_size, ...) with `out_trans`.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape.
        """
        core = self.tile
        with core.lock:
            y = core.forward(
                x_input,
                self.analog_bias,
                self.in_trans,
                self.out_trans,
                not self.training,
                out,
            )
            if self._plain:
                return y
            try:
                return self._finish_forward(y)
            except BaseException:
                # The caller may have made errors of NumPy's warnings.
                which = "forward" if self.training else "forward_eval"
                core.uncount(which, y.size // self.out_size)
                raise

    def __call__(self, x_input: ArrayLike, out: Floats | None = None) -> Floats:
        """Do what `forward` does."""
        return self.forward(x_input, out)

    def trace(self, x_input: ArrayLike) -> dict[str, Floats]:
        """Show every step of what `forward` would compute next; nothing is counted.

        A `forward` of the same vectors that follows gives the last array, bit for bit.

        Parameters
        ----------
        x_input : array_like of float32, shape (..., in_size)
            Inputs; (in_size, ...) with `in_trans`.

        Returns
        -------
        dict of str to ndarray of float32
            Values after each step, in the order of the steps (docs/semantics.md), in
            the last round of bound management that a vector took. Steps of the input
            have a value for each column of the array: ``scaled``, ``input_rounded``,
            ``input_clipped`` (what the DAC gives), ``input_noise``,
            ``input_asymmetry``, ``driven``. Steps of the output: ``product`` (ideal,
            of what is driven), ``ir_drop``, ``series``, ``weight_noise``, ``charge``,
            ``nonlinearity``, ``output_asymmetry``, ``output_noise``,
            ``output_rounded``, ``output_clipped`` (what the ADC gives), and
            ``output``. A step that does nothing repeats the values before it. Steps
            that a mv type takes several times have an axis more, passes first. Vectors
            that never reach the array (zeros, entries that are not finite) have zeros
            up to the output.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape.
        """
        core = self.tile
        with core.lock:
            steps: dict[str, Floats] = core.trace(
                x_input,
                self.analog_bias,
                self.in_trans,
                self.out_trans,
                not self.training,
            )
            if not self._plain:
                steps["output"] = self._finish_forward(steps["output"])
            return steps

    def backward(self, d_input: ArrayLike, out: Floats | None = None) -> Floats:
        """Multiply errors by the scales and the transposed weights.

        Parameters
        ----------
        d_input : array_like of float32, shape (..., out_size)
            Gradient with respect to the outputs; (out_size, ...) with `out_trans`.
        out : ndarray of float32, optional
            Where the result goes; C order, of the shape of the result.

        Returns
        -------
        ndarray of float32, shape (..., in_size)
            Gradient with respect to the inputs; (in_size, ...) with `in_trans`.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape.
        """
        core = self.tile
        with core.lock:
            if self._scales is not None:
                d_input = self._scaled_errors(d_input, np.multiply, self._scales)
            return core.backward(
                d_input,
                self.analog_bias,
                self.in_trans,
                self.out_trans,
                not self.training,
                out,
            )

    def update(self, x_input: ArrayLike, d_input: ArrayLike) -> None:
        """Update the weights with a mini-batch: in expectation ``W -= lr * d.T @ x``.

        A digital bias stays: it is for the optimiser to train.

        Parameters
        ----------
        x_input : array_like of float32, shape (..., in_size)
            Inputs of the forward pass; (in_size, ...) with `in_trans`.
        d_input : array_like of float32, shape (..., out_size)
            Gradient with respect to the outputs, with the leading shape of `x_input`;
            (out_size, ...) with `out_trans`.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, or is not finite.
        """
        core = self.tile
        with core.lock:
            if self._update_scales is not None:
                d_input = self._scaled_errors(d_input, np.divide, self._update_scales)
            core.update(
                x_input, d_input, self.analog_bias, self.in_trans, self.out_trans
            )

    def post_update_step(self) -> None:
        """Do what follows a mini-batch: diffusion, then decay, as far as configured."""
        device = self.rpu_config.device
        with self.tile.lock:
            if device.requires_diffusion():
                self.tile.diffuse_weights()
            if device.requires_decay():
                self.tile.decay_weights()

    def train(self: T, mode: bool = True) -> T:
        """Choose the mode.

        Parameters
        ----------
        mode : bool
            True: training; False: evaluation. Products of the two modes draw from
            separate streams, so that validating never changes a training run.

        Returns
        -------
        Tile
            The tile itself.
        """
        self.training = flag(mode, "mode")
        return self

    def eval(self: T) -> T:
        """Choose evaluation mode: ``train(False)``.

        Returns
        -------
        Tile
            The tile itself.
        """
        return self.train(False)

    # ---- weights ---------------------------------------------------------------------

    def set_weights(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        apply_weight_scaling: bool = True,
        realistic: bool = False,
        weight_scaling_omega: float | None = None,
    ) -> None:
        """Write weights and bias.

        Parameters
        ----------
        weight : array_like of float32, shape (out_size, in_size)
            Logical weights. The devices clip what they cannot hold.
        bias : array_like of float32, shape (out_size,), optional
            Bias. None leaves a digital bias as it is; an analog one must be given.
        apply_weight_scaling : bool
            Choose new mapping scales, so that the largest weight (of each output with
            ``mapping.weight_scaling_columnwise``) lies on the array as omega. False:
            write to the array as it is, and leave the scales.
        realistic : bool
            Write exactly, then program the weights again: see `program_weights`.
        weight_scaling_omega : float, optional
            Omega for this call instead of ``mapping.weight_scaling_omega``. With 0 or
            below, scales become 1.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, is not finite, or if a bias is
            given to a tile without one.
        """
        if flag(realistic, "realistic"):
            with self._unchanged_on_error():
                self.set_weights(
                    weight, bias, apply_weight_scaling, False, weight_scaling_omega
                )
                self.program_weights(from_reference=False)
            return
        scaled = flag(apply_weight_scaling, "apply_weight_scaling")
        with self.tile.lock:
            self._write(weight, bias, scaled, weight_scaling_omega)
            self._reference = None

    def get_weights(
        self, apply_weight_scaling: bool = True, realistic: bool = False
    ) -> tuple[Floats, Floats | None]:
        """Return copies of weights and bias.

        Parameters
        ----------
        apply_weight_scaling : bool
            Logical weights, mapping scales included. False: the weights of the array.
        realistic : bool
            Estimate them from products: see `read_weights`.

        Returns
        -------
        weight : ndarray of float32, shape (out_size, in_size)
        bias : ndarray of float32, shape (out_size,), or None
            Scales belong to an analog bias as to the weights, not to a digital one.
        """
        scaled = flag(apply_weight_scaling, "apply_weight_scaling")
        if flag(realistic, "realistic"):
            return self.read_weights(scaled)
        with self.tile.lock:
            return self._split(self.tile.get_weights(), scaled)

    def remap_weights(self, weight_scaling_omega: float = 1.0) -> None:
        """Choose new mapping scales for the present weights.

        Parameters
        ----------
        weight_scaling_omega : float
            Where the largest weight (of each output) comes to lie on the array.

        Raises
        ------
        TypeError, ValueError
            If it is no finite real number.
        """
        with self.tile.lock:
            self.set_weights(
                *self.get_weights(), weight_scaling_omega=weight_scaling_omega
            )

    # ---- maintenance of the devices --------------------------------------------------

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Let the weights decay by one step.

        Parameters
        ----------
        alpha : float
            Factor on the rate.
        """
        self.tile.decay_weights(alpha)

    def diffuse_weights(self) -> None:
        """Let the weights diffuse by one step."""
        self.tile.diffuse_weights()

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let the weights drift; nothing happens without drift in the configuration.

        Parameters
        ----------
        delta_t : float
            Time since the last call, in seconds as ``drift.t_0`` is; not negative.
        """
        self.tile.drift_weights(delta_t)

    def reset_columns(
        self,
        start_column_idx: int = 0,
        num_columns: int = 1,
        reset_prob: float = 1.0,
    ) -> None:
        """Reset the devices of some columns of the array.

        Parameters
        ----------
        start_column_idx : int
            First column, counted modulo the number of columns.
        num_columns : int
            How many from there on, wrapping around; negative: all.
        reset_prob : float
            Probability in [0, 1] of each of their devices.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of range.
        NotImplementedError
            If the devices have no reset (floating point).
        """
        self.tile.reset_columns(start_column_idx, num_columns, reset_prob)

    def reset(self, reset_prob: float = 1.0) -> None:
        """Reset all devices: ``reset_columns(0, -1, reset_prob)``.

        Parameters
        ----------
        reset_prob : float
            Probability in [0, 1] of each device.
        """
        self.tile.reset_columns(0, -1, reset_prob)

    def clip_weights(self, limit: float) -> None:
        """Clip the weights of the array.

        Parameters
        ----------
        limit : float
            To [-limit, limit] and the bounds of each device; negative: to those alone.
        """
        self.tile.clip_weights(limit)

    # ---- drawn parameters ------------------------------------------------------------

    def get_hidden_parameters(self) -> dict[str, Floats]:
        """Return copies of what each device drew when the tile was built.

        Returns
        -------
        dict of str to ndarray of float32, shape (out_size, columns of the array)
            Empty for ideal devices.
        """
        return self.tile.get_hidden_parameters()

    def set_hidden_parameters(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Replace what `get_hidden_parameters` returns; weights obey the new bounds.

        Parameters
        ----------
        parameters : mapping of str to array_like
            All of them, or none, which changes nothing.

        Raises
        ------
        TypeError, ValueError
            If a name is missing or unknown, or a value is no finite matrix.
        """
        self.tile.set_hidden_parameters(parameters)

    def get_hidden_update_index(self) -> int:
        """Return which device of a vector cell is updated or written.

        Returns
        -------
        int
            Its number; 0 for everything but vector cells.
        """
        return self.tile.get_hidden_update_index()

    def set_hidden_update_index(self, index: int) -> None:
        """Choose which device of a vector cell is updated or written.

        Parameters
        ----------
        index : int
            Number of the device. Everything but vector cells ignores it.

        Raises
        ------
        TypeError, ValueError
            If it is not the number of a device.
        """
        self.tile.set_hidden_update_index(index)

    def get_pulse_counters(self) -> NDArray[np.int64]:
        """Return how many pulses each device has received since the tile was built.

        Returns
        -------
        ndarray of int64, shape (2, out_size, columns of the array)
            Pulses down, then pulses up. Shape (0, out_size, columns) where the device
            does not count them (``count_pulses``).
        """
        return self.tile.get_pulse_counters()

    def get_sparsity(self) -> dict[str, float]:
        """Return shares of zeros in the errors that updates were given.

        They are counted with ``update.d_sparsity``: lines of ``d`` whose probability of a
        pulse is 0 once it has been rounded to ``update.res``. No weight depends on them.

        Returns
        -------
        dict of str to float
            ``last``: the share in the last vector, 0 if it made no trains.
            ``d_sparsity``, with the suffix of the hidden weights for a compound within
            another: the running mean of a `ChoppedTransferCompound` or
            `DynamicTransferCompound`, as of the vector before. ``avg_sparsity``: the
            mean of a `MixedPrecisionCompound` with ``compute_sparsity``. Empty where
            nobody counts, and where updates have no pulses.
        """
        return self.tile.get_sparsity()

    # ---- events ----------------------------------------------------------------------

    def events(self) -> Events:
        """Return what has happened since the tile was built, or `reset_events` called.

        Reads, conversions, pulses, writes, transfers and refreshes: docs/events.md says
        what each number means. Saved, copied and moved with the tile; looking (`trace`)
        counts nothing, and neither does a call that fails.

        Returns
        -------
        rpupy.events.Events
            A row for each direction of the product and for each part of the array;
            prints as a table. ``events.cost(costs)`` turns it into energy and time.
        """
        return Events(self.tile.events())

    def reset_events(self) -> None:
        """Count `events` from 0 again; nothing else changes."""
        self.tile.reset_events()

    # ---- parameters of lines ---------------------------------------------------------

    def get_forward_parameters(self) -> dict[str, Floats]:
        """Return copies of what the lines drew for forward when the tile was built.

        Returns
        -------
        dict of str to ndarray of float32
            What the parameters of the forward product ask for: ``out_noise_values``,
            ``out_nonlinearity`` and ``v_offset``, a number for each output;
            ``out_nonlinearity_factor``, one number; ``w_asymmetry``, a number for each
            device. Empty without such parameters.
        """
        return self.tile.get_line_parameters("forward")

    def set_forward_parameters(
        self, parameters: Mapping[str, ArrayLike] | None = None, **kwargs: ArrayLike
    ) -> None:
        """Replace what `get_forward_parameters` returns, or some of it.

        Parameters
        ----------
        parameters : mapping of str to array_like, optional
            By name.
        **kwargs
            The same.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown, or a value is not finite or of another shape.
        """
        self.tile.set_line_parameters("forward", {**(parameters or {}), **kwargs})

    def get_backward_parameters(self) -> dict[str, Floats]:
        """Return what the lines drew for backward: see `get_forward_parameters`.

        Returns
        -------
        dict of str to ndarray of float32
            A line on the output side of backward is an input of the tile.
        """
        return self.tile.get_line_parameters("backward")

    def set_backward_parameters(
        self, parameters: Mapping[str, ArrayLike] | None = None, **kwargs: ArrayLike
    ) -> None:
        """Replace what `get_backward_parameters` returns: see `set_forward_parameters`.

        Parameters
        ----------
        parameters : mapping of str to array_like, optional
            By name.
        **kwargs
            The same.
        """
        self.tile.set_line_parameters("backward", {**(parameters or {}), **kwargs})

    # ---- copies, other devices -------------------------------------------------------

    def copy(self: T) -> T:
        """Return an independent tile that continues exactly as this one would.

        Returns
        -------
        Tile
        """
        twin = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__())
        return twin

    def __copy__(self: T) -> T:
        """Copy as `copy` does: tiles never share weights."""
        return self.copy()

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        """Copy as `copy` does."""
        return self.copy()

    def spawn(self: T, n: int) -> list[T]:
        """Build independent tiles of the same size, configuration and mode.

        Their devices and weights are drawn anew, but that a ``construction_seed`` of the
        configuration gives all of them the same devices. Further calls give further tiles, also
        after the tile was saved and loaded.

        Parameters
        ----------
        n : int
            How many, from 0 to a million.

        Returns
        -------
        list of Tile

        Raises
        ------
        TypeError, ValueError
            If `n` is no integer, or out of range.
        """
        number = whole_number(n, "n")
        if not 0 <= number <= _MOST_SPAWNED:
            raise ValueError(f"n must be in [0, {_MOST_SPAWNED}], got {n!r}")
        with self.tile.lock:
            tiles = [
                type(self)(
                    self.out_size,
                    self.in_size,
                    self.rpu_config,
                    self.digital_bias or self.analog_bias,
                    self.in_trans,
                    self.out_trans,
                    rng=child_seed(self._seed, SPAWNED, self._spawned + k),
                ).train(self.training)
                for k in range(number)
            ]
            self._spawned += number
        return tiles

    def cpu(self) -> Tile:
        """Return the counterpart on the CPU, which continues exactly as this tile would.

        Returns
        -------
        Tile
            The tile itself if it is there already.
        """
        return self._to_backend("cpu")

    def cuda(self, device: int | str | None = None) -> Tile:
        """Return the counterpart on a GPU, which continues exactly as this tile would.

        Everything is carried over: weights, hidden parameters, counters, seed, learning
        rate, mode, scales and bias.

        Parameters
        ----------
        device : int or str, optional
            Which GPU: its number, or a text such as ``"cuda:1"``. By default the one
            that the tile is on, or else the current one.

        Returns
        -------
        Tile
            Such as `CudaAnalogTile`; the tile itself if it is there already.

        Raises
        ------
        BackendUnavailableError
            If there is no GPU, or rpupy was built without CUDA; the message says why.
        TypeError, ValueError
            If `device` is no number of a GPU.
        CudaError
            If there is no such GPU, or its memory does not suffice.
        """
        return self._to_backend("cuda", _device_number(device))

    def _to_backend(self, backend: str, place: int | None = None) -> Tile:
        """Return the counterpart on another backend, or the tile itself."""
        cls: Any = registry.counterpart(self.tile_kind, backend)
        here = getattr(self.tile, "device", None)
        if backend == self.backend and place in (None, here):
            return self
        moved: Tile = cls.__new__(cls)
        moved.__setstate__({**self.__getstate__(), "place": place})
        return moved

    def compatible_with(self, rpu_config: Any) -> tuple[bool, str]:
        """Compare a configuration with that of the tile.

        Parameters
        ----------
        rpu_config : RPUConfigBase
            A configuration.

        Returns
        -------
        compatible : bool
            Whether it is of the same class and maps weights in the same way; scaling of
            the weights may differ.
        message : str
            What differs; empty if nothing does.
        """
        own, other = self.rpu_config, rpu_config
        if type(other) is not type(own):
            return False, (
                f"rpu_config must be a {type(own).__name__}, got {_kind_of(other)}"
            )
        if not own.mapping.compatible_with(other.mapping):
            return False, (
                f"rpu_config.mapping must be like {own.mapping!r},"
                f" got {other.mapping!r}"
            )
        return True, ""

    # ---- state -----------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the tile with everything that decides how it goes on.

        Parameters
        ----------
        path : path-like
            The file, by custom with the suffix ``.npz``. An old one is replaced as a
            whole, or left alone if anything fails.

        Raises
        ------
        OSError
            If the file cannot be written.
        StateError
            If the class of a part of the configuration is not registered: the file
            could not be loaded.
        """
        content = {
            "tile_class": type(self)._name_in_files(),
            "config": to_dict(self.rpu_config),
        }
        now = self.__getstate__()
        state.write(path, {**content, **now["plain"]}, now["arrays"])

    @classmethod
    def load(cls: type[T], path: str | os.PathLike[str]) -> T:
        """Load a tile that `save` wrote; it continues exactly as the saved one would.

        Parameters
        ----------
        path : path-like
            The file. Nothing in it is run, so that it may come from anywhere.

        Returns
        -------
        Tile
            A new tile. Called on a class, such as ``AnalogTile.load``, of this class;
            `rpupy.tiles.load` takes any.

        Raises
        ------
        OSError
            If the file cannot be opened.
        StateError
            If it is damaged, was altered, holds another kind of tile, names a class
            that is not registered, or was written by a newer version.
        """
        content, arrays = state.read(path)
        with state.blaming(path):
            config = from_dict(content["config"])
            if not isinstance(config, RPUConfigBase):
                raise StateError("it holds no configuration of a tile")
            found = registry.tile_class(config)
            # A class of one's own is trusted to load what it saved under its name.
            if issubclass(cls, found) and content["tile_class"] == cls._name_in_files():
                found = cls
            if content["tile_class"] != found._name_in_files():
                raise StateError(
                    f"its class is {content['tile_class']!r}, which is not registered"
                    f" for a {type(config).__name__}"
                )
            if not issubclass(found, cls):
                raise StateError(f"it holds a {found.__name__}, not a {cls.__name__}")
            plain = {"tile": content["tile"], "core": content["core"]}
            loaded: T = found.__new__(found)
            loaded.__setstate__({"config": config, "plain": plain, "arrays": arrays})
            return loaded

    @classmethod
    def _name_in_files(cls) -> str:
        """Name of the class on the CPU: a file does not know where a tile was."""
        if cls.backend == "cpu":
            return cls.__name__
        return registry.counterpart(cls.tile_kind, "cpu").__name__

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies, pickles and files hold: arrays and plain data."""
        with self.tile.lock:
            core, core_arrays = self.tile.state()
            own = (self._bias, self._scales, self._reference)
            arrays = {
                name: array
                for name, array in zip(_OWN_ARRAYS, own, strict=True)
                if array is not None
            }
            arrays |= {_CORE + name: array for name, array in core_arrays.items()}
            return {
                "config": self.rpu_config,
                "plain": {"tile": self._plain_data(), "core": core},
                "arrays": arrays,
                "place": getattr(self.tile, "device", None),
            }

    def _plain_data(self) -> dict[str, Any]:
        return {
            "out_size": self.out_size,
            "in_size": self.in_size,
            "bias": self.digital_bias or self.analog_bias,
            "in_trans": self.in_trans,
            "out_trans": self.out_trans,
            "training": self.training,
            "seed": seed_to_dict(self._seed),
            "spawned": self._spawned,
            "probes": self._probes,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state that `__getstate__` gave, after checking it."""
        try:
            self.rpu_config = self._own_config(state["config"])
        except (ConfigError, TypeError) as error:
            raise StateError(str(error)) from error
        tile = state["plain"]["tile"]
        _check_plain(tile)
        self.out_size, self.in_size = tile["out_size"], tile["in_size"]
        self._place_bias(tile["bias"])
        self.in_trans, self.out_trans = tile["in_trans"], tile["out_trans"]
        self.training = tile["training"]
        self._spawned, self._probes = tile["spawned"], tile["probes"]
        self._seed = seed_from_dict(tile["seed"])
        arrays = dict(state["arrays"])
        own = {name: arrays.pop(name, None) for name in _OWN_ARRAYS}
        self._check_own_arrays(own)
        core_arrays = {}
        for name, array in arrays.items():
            if not name.startswith(_CORE):
                raise StateError(f"no array is called {name}")
            core_arrays[name[len(_CORE) :]] = array
        kind = registry.core_kind(self.rpu_config)
        core_class: Any = registry.core_class(
            kind, self.backend, self.rpu_config.device
        )
        self.tile = core_class.from_state(
            self.out_size,
            self._x_size,
            self.rpu_config,
            state["plain"]["core"],
            core_arrays,
            state.get("place"),
        )
        copies = {k: None if a is None else a.copy() for k, a in own.items()}
        self._hold(copies["mapping_scales"], copies["bias"])
        self._reference = copies["reference_combined_weights"]
        if self._reference is not None:
            self._reference.flags.writeable = False

    def _check_own_arrays(self, own: Mapping[str, np.ndarray | None]) -> None:
        if (own["bias"] is not None) != self.digital_bias:
            raise StateError("a digital bias must be there exactly if the tile has one")
        shapes = {
            "bias": ((self.out_size,),),
            "mapping_scales": ((1,), (self.out_size,)),
            "reference_combined_weights": ((self.out_size, self._x_size),),
        }
        for name, array in own.items():
            if array is None:
                continue
            if array.dtype != np.float32 or array.shape not in shapes[name]:
                raise StateError(f"{name} has the wrong type or shape")
            if not np.isfinite(array).all():
                raise StateError(f"{name} must be finite")
        scales = own["mapping_scales"]
        if scales is not None and not (scales > 0.0).all():
            raise StateError("mapping_scales must be above 0")

    # ---- text ------------------------------------------------------------------------

    def get_brief_info(self) -> str:
        """Describe the array in one line.

        Returns
        -------
        str
            Kind of array, device and size.
        """
        return self.tile.get_brief_info()

    def _bias_text(self) -> str:
        if self.digital_bias:
            return "digital"
        return "analog" if self.analog_bias else "none"

    def __repr__(self) -> str:
        """Describe the tile in one line."""
        return (
            f"{type(self).__name__}({self.out_size}, {self.in_size},"
            f" {type(self.rpu_config).__name__}, bias: {self._bias_text()},"
            f" tile: {self.get_brief_info()})"
        )

    def __str__(self) -> str:
        """Describe the tile with every parameter that is in use."""
        scales = "none"
        if self._scales is not None:
            scales = "one" if self._scales.size == 1 else "one for each output"
        lines = [
            f"{type(self).__name__} of {type(self.rpu_config).__name__}:"
            f" {self.get_brief_info()}",
            f"  out_size: {self.out_size}, in_size: {self.in_size}",
            f"  in_trans: {self.in_trans}, out_trans: {self.out_trans}",
            f"  bias: {self._bias_text()}",
            f"  mapping scales: {scales}",
            f"  learning rate: {self.get_learning_rate():g}",
            f"  mode: {'training' if self.training else 'evaluation'}",
        ]
        return "\n".join([*lines, *parameters_in_use(self.rpu_config)])

    def explain(self) -> Explanation:
        """List every effect that acts in this tile; nothing is drawn for it.

        Returns
        -------
        Explanation
            The rows that ``rpu_config.explain()`` gives; prints as a table.
        """
        return self.rpu_config.explain()


def load(path: str | os.PathLike[str]) -> Tile:
    """Load a tile of any kind: see `Tile.load`.

    Parameters
    ----------
    path : path-like
        A file that `Tile.save` wrote.

    Returns
    -------
    Tile

    Raises
    ------
    OSError
        If the file cannot be opened.
    StateError
        If it cannot be loaded; the message says why.
    """
    return Tile.load(path)


def _kind_of(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return type(value).__name__


def _device_number(device: int | str | None) -> int | None:
    if isinstance(device, str):
        name, _, digits = device.partition(":")
        if name != "cuda" or (digits and not digits.isdecimal()):
            raise ValueError(f"device must be such as 'cuda:0', got {device!r}")
        device = int(digits) if digits else None
    if device is None:
        return None
    number = whole_number(device, "device")
    if number < 0:
        raise ValueError(f"device must not be negative, got {device!r}")
    return number


def _check_plain(tile: Any) -> None:
    """Check the plain data of a saved tile."""
    if not isinstance(tile, dict) or set(tile) != {*_FLAGS, *_COUNTS, "seed"}:
        raise StateError("the data of the tile do not have the names that they must")
    for name in _FLAGS:
        if not isinstance(tile[name], bool):
            raise StateError(f"{name} must be true or false, got {tile[name]!r}")
    for name in _COUNTS:
        low = 1 if name.endswith("size") else 0
        if type(tile[name]) is not int or tile[name] < low:
            raise StateError(
                f"{name} must be an integer of at least {low}, got {tile[name]!r}"
            )
