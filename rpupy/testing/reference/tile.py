"""The tile: state, counters, and what each call does to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.parameters.enums import AnalogMVType, NoiseAggregation, PulseType
from rpupy.parameters.io import IOParametersIRDropT
from rpupy.parasitics import Crossbar

from .aggregate import Word, portions
from .arithmetic import F32, Floats, fma
from .compounds import Cell, VectorCell, cell_of
from .plane import Plane
from .product import LineDraws, Vector
from .random_numbers import Draw, Pass, RandomNumbers, Stream, key_of
from .time_slices import SlicedVector
from .trains import Train, Zeros, longest_train


class ReferenceTile:
    """A model of the core tile (`rpupy.rpu_base.core.CpuTile`) in plain NumPy.

    It has the methods of the core tile for the devices of this release and no checks of
    arguments.

    Parameters
    ----------
    out_size, in_size : int
        Rows (outputs) and columns (inputs) of the array.
    config : SingleRPUConfig or FloatingPointRPUConfig
        Configuration of the tile.
    seed : numpy.random.SeedSequence
        Where the key of the random numbers comes from.

    Attributes
    ----------
    log : list of Draw
        Every random number that was used.
    counters : dict of str to int
        Counters of events.
    root : Plane or Cell
        The devices: a plane of them, or a tree of cells with planes in it.
    last_trains : list of tuple
        For each vector of the last pulsed update ``(length, x, d)``: the bits of random
        trains, or the factors of counts.
    tie_distance : ndarray of float64, shape (batch,)
        For each vector of the last product (for an update of a cell: of all its vectors
        together), how far the closest rounding or clipping decision that a normal number
        went into was from being a tie, in steps (or, without rounding, relative to the
        bound).  Where it is tiny, another precision of the normal numbers could decide
        otherwise.
    terms : ndarray of float64, shape (batch, outputs)
        For each output of the last product, the sum of the magnitudes of all that was
        added up to it: weights times inputs, and noise, in the units of the output.  A
        rounding error of another way to compute it is relative to that.
    """

    def __init__(
        self, out_size: int, in_size: int, config: Any, seed: np.random.SeedSequence
    ) -> None:
        self.out_size = out_size
        self.in_size = in_size
        self.config = config
        self.log: list[Draw] = []
        self.key = key_of(seed)
        self.random = RandomNumbers(self.key, self.log)
        self.counters = dict.fromkeys(
            ("forward", "forward_eval", "backward", "backward_eval", "update", "init"),
            0,
        )
        self.learning_rate = 0.1
        self.tie_distance = np.zeros(0)
        self.terms = np.zeros((0, out_size))
        self.last_trains: list[tuple[int, NDArray[Any], NDArray[Any]]] = []

        shape = (out_size, in_size)
        self.crosspoint = np.arange(out_size * in_size, dtype=np.uint64).reshape(shape)
        update = getattr(config, "update", None)
        self.pulse_type = PulseType.NONE if update is None else update.pulse_type
        device = config.device
        without_pulses = self.pulse_type is PulseType.NONE
        if hasattr(device, "exact_device") and without_pulses:
            device = device.exact_device()
        common = (shape, self.key, self.log, self.counters)
        if hasattr(device, "node"):
            self.root: Any = cell_of(device, config.update, *common)
        else:
            device = device.resolved()
            # With pulses switched off, a pulsed device is replaced by an exact one.
            exact = device.kernel in ("floating_point", "ideal") or without_pulses
            self.root = Plane(shape, device, not exact, *common[1:])
        # What lines drew in each direction, and the running means of noise management.
        draws = LineDraws(self.random, shape)
        self.lines = {
            name: draws.of(getattr(config, name, None), name == "backward")
            for name in ("forward", "backward")
        }
        self.averages = {"forward": F32(-1), "backward": F32(-1)}
        self.zeros = Zeros()
        self.set_weights_uniform_random(-0.1, 0.1)

    @property
    def plane(self) -> Plane:
        """The devices, of a tile without cells."""
        assert isinstance(self.root, Plane)
        return self.root

    @property
    def weights(self) -> Floats:
        """The visible weights."""
        return self.root.weights

    # ---- product ---------------------------------------------------------------------

    def forward(
        self,
        x_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
        is_test: bool = False,
    ) -> Floats:
        """Analog product with the weights; arguments as of the core tile."""
        inputs, shape = _vectors(x_input, in_trans, bias)
        io = getattr(self.config, "forward", None)
        which = Pass.FORWARD_EVAL if is_test else Pass.FORWARD
        y = self._product(inputs, _seen_weights(self.weights, io), io, which)
        return _shaped(y, shape, out_trans)

    def backward(
        self,
        d_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
        is_test: bool = False,
    ) -> Floats:
        """Analog product with the transposed weights; arguments as of the core tile."""
        inputs, shape = _vectors(d_input, out_trans, False)
        io = getattr(self.config, "backward", None)
        which = Pass.BACKWARD_EVAL if is_test else Pass.BACKWARD
        y = self._product(inputs, _seen_weights(self.weights, io).T, io, which)
        if bias:
            y = y[:, :-1]
        return _shaped(y, shape, in_trans)

    def _product(self, inputs: Floats, weights: Floats, io: Any, which: Pass) -> Floats:
        name = which.name.lower()
        result = np.empty((len(inputs), len(weights)), dtype=np.float32)
        self.tie_distance = np.full(len(inputs), np.inf)
        self.terms = np.zeros(result.shape)
        direction = "backward" if name.startswith("backward") else "forward"
        drawn = dict(self.lines[direction])
        if "w_asymmetry" in drawn and direction == "backward":
            drawn["w_asymmetry"] = drawn["w_asymmetry"].T
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for b, x in enumerate(inputs):
                ordinal = self.counters[name] + b
                average = self._average(direction, io, x)
                vector: Vector
                common: dict[str, Any] = {"which": which, "ordinal": ordinal}
                common |= {"drawn": drawn, "average": average}
                if isinstance(io, IOParametersIRDropT):
                    rows = max(self.in_size, self.config.mapping.max_input_size)
                    vector = SlicedVector(self.random, weights, io, rows=rows, **common)
                else:
                    vector = Vector(self.random, weights, io, **common)
                result[b] = vector.product(x)
                self.tie_distance[b] = vector.tie_distance
                self.terms[b] = vector.terms
        self.counters[name] += len(inputs)
        return result

    def _average(self, direction: str, io: Any, x: Floats) -> Any:
        """Count a vector for the running mean of its largest magnitude."""
        if io is not None and np.isfinite(x).all():
            largest, before = np.abs(x).max(), self.averages[direction]
            if before < 0:
                self.averages[direction] = largest
            else:
                decay = F32(io.nm_decay)
                self.averages[direction] = largest * decay + before * (F32(1) - decay)
        return self.averages[direction]

    # ---- update ----------------------------------------------------------------------

    def update(
        self,
        x_input: ArrayLike,
        d_input: ArrayLike,
        bias: bool = False,
        in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:
        """Update the weights with a mini-batch; arguments as of the core tile."""
        x_batch, _ = _vectors(x_input, in_trans, bias)
        d_batch, _ = _vectors(d_input, out_trans, False)
        batch = len(x_batch)
        if self.learning_rate == 0.0 or batch == 0:
            return
        self.last_trains = []
        pairs = list(zip(x_batch, d_batch, strict=True))
        if isinstance(self.root, Cell):
            lr = F32(self.learning_rate)
            for vector, (x, d) in enumerate(pairs):
                train = self._train(vector)
                self.root.update(x, d, lr, batch, train)
                self.counters["update"] += 1
            self.root.place.settle()
            self.tie_distance = np.array([self.root.place.take_tie_distance()])
            return
        plane = self.plane
        before = plane.pulse_ordinals.copy()
        if not plane.pulsed or self.pulse_type is PulseType.NONE_WITH_DEVICE:
            for x, d in pairs:
                plane.update_exactly(x, d, self.learning_rate)
                self.counters["update"] += 1
            return
        vectors = [self._pulses(x, d) for x, d in pairs]
        for words in vectors:
            plane.tally(words)
        if self.config.update.noise_aggregation is NoiseAggregation.PULSE:
            plane.apply([word for words in vectors for word in words])
        else:
            longest = longest_train(
                self.config.update, self.learning_rate, plane.granularity
            )
            for portion in portions(batch, longest):
                plane.apply_at_once(
                    [w for v, k in portion for w in vectors[v][k.start : k.stop]]
                )
        plane.show_pulsed(plane.pulse_ordinals != before)

    def _pulses(self, x: Floats, d: Floats) -> list[Word]:
        """Make the pulses of one vector, word by word."""
        train = self._train()
        words = train.words(x, d, self.learning_rate, self.plane.granularity)
        self.zeros.last = train.zero_share
        self.last_trains.append(train.made)
        self.counters["update"] += 1
        return words

    def _train(self, vector: int = 0) -> Train:
        """Return the trains of the next vector of an update."""
        update, ordinal = self.config.update, self.counters["update"]
        return Train(update, self.random, ordinal, vector=vector, zeros=self.zeros)

    def get_pulse_counters(self) -> NDArray[np.int64]:
        """Return pulses down and up; shape (0, out, in) if they are not counted."""
        plane = self.plane
        counted = plane.pulsed and plane.device.count_pulses
        return (
            plane.pulse_counters.copy() if counted else plane.pulse_counters[:0].copy()
        )

    def get_learning_rate(self) -> float:
        """Return the learning rate."""
        return self.learning_rate

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate."""
        self.learning_rate = float(learning_rate)

    # ---- weights ---------------------------------------------------------------------
    def get_weights(self) -> Floats:
        """Return a copy of the visible weights, shape (out, in)."""
        return self.weights.copy()

    def set_weights(self, weights: ArrayLike) -> None:
        """Set the weights, clipped to the bounds of each crosspoint."""
        self.root.set_weights(np.array(weights, dtype=np.float32))
        if isinstance(self.root, Cell):
            self.zeros.last = F32(0)

    def set_weights_uniform_random(self, low: float, high: float) -> None:
        """Draw the weights uniformly from [low, high), clipped to the bounds."""
        u = self.random.uniforms(Stream.INIT, self.crosspoint, self.counters["init"])
        self.counters["init"] += 1
        self.set_weights(fma(F32(high) - F32(low), u, F32(low)))

    def get_hidden_update_index(self) -> int:
        """Return which device of a vector cell is updated or written; 0 for others."""
        return self.root.current if isinstance(self.root, VectorCell) else 0

    def set_hidden_update_index(self, index: int) -> None:
        """Choose that device; other tiles ignore it."""
        if isinstance(self.root, VectorCell):
            self.root.current = index

    # ---- upkeep ----------------------------------------------------------------------

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Decay towards the reset bias, with a rate scaled by `alpha`."""
        self.root.decay(alpha)

    def diffuse_weights(self) -> None:
        """Add one step of diffusion."""
        self.root.diffuse()

    def reset_columns(
        self, start_column_idx: int = 0, num_columns: int = 1, reset_prob: float = 1.0
    ) -> None:
        """Reset crosspoints of some columns to their reset bias."""
        self.root.reset(start_column_idx, num_columns, reset_prob)

    def clip_weights(self, limit: float) -> None:
        """Limit the weights to [-limit, limit]; below 0 to the bounds only."""
        self.root.clip(limit)

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let the weights drift for `delta_t`."""
        self.root.drift(delta_t)

    # ---- hidden parameters -----------------------------------------------------------

    def get_hidden_parameter_names(self) -> list[str]:
        """Names of the parameters that each crosspoint has."""
        return list(self.root.get_hidden())

    def get_hidden_parameters(self) -> dict[str, Floats]:
        """Return copies of the hidden parameters, each of shape (out, in)."""
        return self.root.get_hidden()

    def set_hidden_parameters(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Overwrite all hidden parameters and clip the weights to the new bounds."""
        self.root.set_hidden(parameters)

    # ---- state -----------------------------------------------------------------------

    def adopt(self, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Go on from what `state` of a core tile of the same configuration returned."""
        self.counters.update(meta["counters"])
        self.learning_rate = meta["learning_rate"]
        for direction, drawn in self.lines.items():
            for name in drawn:
                drawn[name] = np.array(arrays[f"{direction}_{name}"])
            average = arrays.get(f"{direction}_input_average")
            if average is not None:
                self.averages[direction] = average[0]
        self.zeros.last = arrays.get("update_zeros", [F32(0)])[0]
        if isinstance(self.root, Cell):
            self.root.adopt(meta["planes"], arrays, "weights")
        else:
            self.root.adopt(meta, arrays, "weights")

    def arrays(self) -> dict[str, Any]:
        """Return the arrays that `adopt` takes, but for those of lines."""
        found: dict[str, Any] = self.root.arrays("weights")
        return found | {"update_zeros": [self.zeros.last]}


def _seen_weights(weights: Floats, io: Any) -> Floats:
    """Return the weights that a product sees, through wires if they have resistance."""
    if io is None or io.is_perfect or io.mv_type is not AnalogMVType.NODAL:
        return weights
    plus, minus = (
        Crossbar(
            np.maximum(part, 0.0) * (io.g_max / io.w_max),
            io.r_word_line,
            io.r_bit_line,
            io.drive_both_ends,
            io.sense_both_ends,
        ).effective_conductances
        for part in (weights.astype(np.float64), -weights.astype(np.float64))
    )
    return np.asarray((plus - minus) / (io.g_max / io.w_max), dtype=np.float32)


def _vectors(
    value: ArrayLike, features_first: bool, append_one: bool
) -> tuple[Floats, tuple[int, ...]]:
    """Return vectors as rows, and the shape of their batch."""
    array = np.asarray(value, dtype=np.float32)
    if features_first:
        array = np.moveaxis(array, 0, -1)
    batch = array.shape[:-1]
    rows = array.reshape(-1, array.shape[-1])
    if append_one:
        rows = np.concatenate([rows, np.ones((len(rows), 1), dtype=np.float32)], axis=1)
    return rows, batch


def _shaped(rows: Floats, batch: tuple[int, ...], features_first: bool) -> Floats:
    result = rows.reshape(*batch, rows.shape[-1])
    return np.moveaxis(result, -1, 0) if features_first else result
