"""The tile: state, counters, and what each call does to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.parameters.enums import AnalogMVType, NoiseAggregation, PulseType
from rpupy.parameters.io import IOParametersIRDropT
from rpupy.parasitics import Crossbar

from .aggregate import Word, constant_steps, portions, tangents
from .arithmetic import F32, SMALLEST_NORMAL, Floats, clip, fma
from .devices import LAWS, DeviceDraws, draw_pulsed_device
from .product import LineDraws, Vector
from .random_numbers import Draw, Pass, RandomNumbers, Stream, key_of
from .time_slices import SlicedVector
from .trains import (
    SLOTS_PER_WORD,
    Side,
    pulse_factors,
    pulse_train_scales,
    pulse_trains,
    pulses_of_words,
)

_RANDOM_TRAINS = (PulseType.STOCHASTIC_COMPRESSED, PulseType.STOCHASTIC)


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
    pulse_ordinals : ndarray of uint32, shape (out, in)
        Pulses that each crosspoint has received.
    pulse_counters : ndarray of int64, shape (2, out, in)
        The same, down and up apart.
    portions : list of tuple of int
        For each portion of an update whose noise was drawn at once, crosspoints that
        took part, and those whose pulses were applied one by one.
    last_trains : list of tuple
        For each vector of the last pulsed update ``(length, x, d)``: the bits of random
        trains, or the factors of counts.
    tie_distance : ndarray of float64, shape (batch,)
        For each vector of the last product, how far the closest rounding or clipping
        decision that a normal number went into was from being a tie, in steps (or,
        without rounding, relative to the bound).  Where it is tiny, another precision
        of the normal numbers could decide otherwise.
    """

    def __init__(
        self, out_size: int, in_size: int, config: Any, seed: np.random.SeedSequence
    ) -> None:
        self.out_size = out_size
        self.in_size = in_size
        self.config = config
        self.device = config.device.resolved()
        self.log: list[Draw] = []
        self.key = key_of(seed)
        self.random = RandomNumbers(self.key, self.log)
        self.counters = dict.fromkeys(
            (
                *("forward", "forward_eval", "backward", "backward_eval", "update"),
                *("init", "diffusion", "reset", "drift", "redraw"),
            ),
            0,
        )
        self.learning_rate = 0.1
        self.tie_distance = np.zeros(0)
        self.portions: list[tuple[int, int]] = []
        self.last_trains: list[tuple[int, NDArray[Any], NDArray[Any]]] = []

        update = getattr(config, "update", None)
        self.pulse_type = PulseType.NONE if update is None else update.pulse_type
        kernel = self.device.kernel
        # With pulses switched off, a pulsed device is replaced by an exact one.
        self.pulsed = kernel not in ("floating_point", "ideal") and (
            self.pulse_type is not PulseType.NONE
        )
        self.dw_min = self.granularity = 1.0
        write_noise_std = 0.0
        if self.pulsed:
            self.dw_min = float(self.device.dw_min)
            self.granularity = float(self.device.weight_granularity())
            write_noise_std = float(getattr(self.device, "write_noise_std", 0.0))
        self.write_noise_std = max(write_noise_std, 0.0)
        nu = self.device.drift.nu if hasattr(self.device, "drift") else 0.0
        self.has_drift = nu > 0.0 if self.pulsed else nu != 0.0

        shape = (out_size, in_size)
        self.crosspoint = np.arange(out_size * in_size, dtype=np.uint64).reshape(shape)
        self.pulse_ordinals = np.zeros(shape, dtype=np.uint32)
        self.pulse_counters = np.zeros((2, *shape), dtype=np.int64)
        # The persistent weights: what pulses and maintenance act on.
        self.true_weights = np.zeros(shape, dtype=np.float32)
        # The apparent weights: what products see.  The same without write noise.
        self.weights = self.true_weights
        if self.write_noise_std > 0.0:
            self.weights = self.true_weights.copy()
        self.drift_time = 0.0
        self.drift_start = np.zeros(shape, dtype=np.float32)
        self.drift_since = np.zeros(shape, dtype=np.float32)
        self.drift_previous = np.zeros(shape, dtype=np.float32)

        self.hidden: dict[str, Floats] = {}
        self.low: Any = F32(-np.inf)
        self.high: Any = F32(np.inf)
        if self.pulsed:
            self.law = LAWS[kernel]
            self._draw_device()
        # What lines drew in each direction, and the running means of noise management.
        draws = LineDraws(self.random, shape)
        self.lines = {
            name: draws.of(getattr(config, name, None), name == "backward")
            for name in ("forward", "backward")
        }
        self.averages = {"forward": F32(-1), "backward": F32(-1)}
        self.set_weights_uniform_random(-0.1, 0.1)

    # ---- devices ---------------------------------------------------------------------

    def _draw_device(self) -> None:
        """Draw the hidden parameters of every crosspoint."""
        random = self.random
        if self.device.construction_seed != 0:
            key = key_of(np.random.SeedSequence(self.device.construction_seed))
            random = RandomNumbers(key, self.log)
        draws = DeviceDraws(random, self.crosspoint)
        self.hidden = draw_pulsed_device(self.device, draws)
        self.hidden |= self.law.draw(self.device, self.hidden, draws)
        self.low, self.high = self.hidden["min_bound"], self.hidden["max_bound"]

    def _pulse(self, hit: NDArray[np.bool_], up: NDArray[np.bool_]) -> None:
        """Give one pulse to the crosspoints in `hit`, upwards where `up` is set."""
        h = {name: plane[hit] for name, plane in self.hidden.items()}
        w = self.true_weights[hit]
        ordinal = self.pulse_ordinals[hit]
        sigma = F32(self.device.dw_min_std)
        noise = np.zeros_like(w)
        if sigma != 0:
            # The pulse ordinal of a crosspoint: four pulses in a row share a block.
            noise = sigma * self.random.normals(
                Stream.PULSE,
                self.crosspoint[hit],
                ordinal >> np.uint32(2),
                part=ordinal & np.uint32(3),
                shares_block=True,
            )
        w = self.law.pulse(self.device, h, w, up[hit], noise)
        self.true_weights[hit] = clip(w, *self.law.limits(h))
        self.pulse_ordinals[hit] = ordinal + np.uint32(1)

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
        if self.learning_rate == 0.0 or len(x_batch) == 0:
            return
        before = self.pulse_ordinals.copy()
        self.last_trains = []
        if not self.pulsed or self.pulse_type is PulseType.NONE_WITH_DEVICE:
            for x, d in zip(x_batch, d_batch, strict=True):
                self._update_exactly(x, d)
                self.counters["update"] += 1
            return
        vectors = [self._pulses(x, d) for x, d in zip(x_batch, d_batch, strict=True)]
        if self.config.update.noise_aggregation is NoiseAggregation.PULSE:
            self._apply([word for words in vectors for word in words])
        else:
            longest = self._longest_train()
            for portion in portions(len(vectors), longest):
                self._apply_at_once(
                    [w for v, k in portion for w in vectors[v][k.start : k.stop]]
                )
        touched = self.pulse_ordinals != before
        if self.write_noise_std > 0.0 and touched.any():
            # A fresh look at the crosspoints that had a pulse, after the last one.
            z = self.random.normals(
                Stream.APPARENT, self.crosspoint[touched], self.pulse_ordinals[touched]
            )
            shown = fma(self._write_noise, z, self.true_weights[touched])
            self.weights[touched] = shown

    def _update_exactly(self, x: Floats, d: Floats) -> None:
        factor = -(F32(self.learning_rate) * d)
        w = fma(factor[:, None], x[None, :], self.true_weights)
        self.true_weights[...] = clip(w, self.low, self.high)
        self._redraw()

    def _pulses(self, x: Floats, d: Floats) -> list[Word]:
        """Make the pulses of one vector, word by word (update.md 3 to 5)."""
        update = self.config.update
        length, a, b = pulse_train_scales(
            update,
            self.learning_rate,
            self.granularity,
            np.abs(x).max(),
            np.abs(d).max(),
        )
        random = update.pulse_type in _RANDOM_TRAINS
        make = pulse_trains if random else pulse_factors
        common = (update, self.random, self.counters["update"])
        x_train = make(*common, Side(x, b, is_x=True), length)
        d_train = make(*common, Side(d, a, is_x=False), length)
        self.last_trains.append((length, x_train, d_train))
        # A positive product lowers the weight, if the learning rate is positive.
        positive = np.signbit(d)[:, None] == np.signbit(x)[None, :]
        up = positive if self.learning_rate < 0 else ~positive
        self.counters["update"] += 1
        words = pulses_of_words(update, length, x_train, d_train)
        for pulses in words:
            self.pulse_counters += pulses * np.stack([~up, up])
        return [(pulses, up) for pulses in words]

    def _apply(self, words: list[Word], where: Any = True) -> None:
        """Apply pulses one by one, at some of the crosspoints."""
        for pulses, up in words:
            counts = np.where(where, pulses, 0)
            for number in range(counts.max()):
                self._pulse(counts > number, up)

    def _apply_at_once(self, words: list[Word]) -> None:
        """Apply the pulses of a portion with one draw of noise."""
        if not words:
            return
        h, w, sigma = self.hidden, self.true_weights, F32(self.device.dw_min_std)
        if hasattr(self.law, "tangent"):
            outcome = tangents(self.law, self.device, h, w, words)
        else:
            outcome = constant_steps(h, w, words)
        total = np.sum([pulses for pulses, _ in words], axis=0)
        unsafe = (total > 0) & outcome.unsafe(h, sigma)
        safe = (total > 0) & ~unsafe
        noise = np.zeros_like(w)
        if sigma != 0 and safe.any():
            noise[safe] = sigma * self.random.normals(
                Stream.AGGREGATE, self.crosspoint[safe], self.pulse_ordinals[safe]
            )
        with np.errstate(invalid="ignore"):
            moved = self._within_bounds(outcome.weights(noise))
        w[safe] = moved[safe]
        self.pulse_ordinals[safe] += total[safe].astype(np.uint32)
        self.portions.append((int(safe.sum()), int(unsafe.sum())))
        self._apply(words, unsafe)

    def _longest_train(self) -> int:
        """Words of the longest train that the parameters allow."""
        update = self.config.update
        length = update.desired_bl
        if not update.fixed_bl and not update.update_bl_management:
            rate = abs(F32(self.learning_rate))
            length = max(length, int(np.ceil(rate / F32(self.granularity))))
        return -(-length // SLOTS_PER_WORD)

    def get_pulse_counters(self) -> NDArray[np.int64]:
        """Return pulses down and up; shape (0, out, in) if they are not counted."""
        counted = self.pulsed and self.device.count_pulses
        return self.pulse_counters.copy() if counted else self.pulse_counters[:0].copy()

    def get_learning_rate(self) -> float:
        """Return the learning rate."""
        return self.learning_rate

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate."""
        self.learning_rate = float(learning_rate)

    # ---- weights ---------------------------------------------------------------------

    @property
    def _write_noise(self) -> np.float32:
        return F32(self.write_noise_std * self.dw_min)

    def _redraw(self) -> None:
        """Draw all apparent weights anew, if there are any."""
        if self.write_noise_std > 0.0:
            z = self.random.normals(
                Stream.APPARENT_ALL, self.crosspoint, self.counters["redraw"]
            )
            self.weights[...] = fma(self._write_noise, z, self.true_weights)
            self.counters["redraw"] += 1

    def _show(self) -> None:
        """Make the apparent weights of weights that were just set."""
        if self.write_noise_std > 0.0 and not self.device.apply_write_noise_on_set:
            self.weights[...] = self.true_weights
        else:
            self._redraw()

    def _within_bounds(self, weights: Any) -> Any:
        return clip(weights, self.low, self.high)

    def get_weights(self) -> Floats:
        """Return a copy of the visible weights, shape (out, in)."""
        return self.weights.copy()

    def set_weights(self, weights: ArrayLike) -> None:
        """Set the weights, clipped to the bounds of each crosspoint."""
        values = np.asarray(weights, dtype=np.float32)
        self.true_weights[...] = self._within_bounds(values)
        self._show()

    def set_weights_uniform_random(self, low: float, high: float) -> None:
        """Draw the weights uniformly from [low, high), clipped to the bounds."""
        u = self.random.uniforms(Stream.INIT, self.crosspoint, self.counters["init"])
        self.counters["init"] += 1
        self.set_weights(fma(F32(high) - F32(low), u, F32(low)))

    # ---- maintenance (devices.md 2.6, 3.1) -------------------------------------------

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Decay towards the reset bias, with a rate scaled by `alpha`."""
        w = self.true_weights
        if self.pulsed:
            b = self.hidden["reset_bias"]
            s = fma(F32(alpha), self.hidden["decay_scales"] - F32(1), F32(1))
            w[...] = self._within_bounds((w - b) * s + b)
            self._redraw()
            return
        lifetime = F32(self.device.lifetime)
        if lifetime > 1:
            factor = F32(1) - F32(alpha) / lifetime
            if 0 < factor < 1:
                w *= factor

    def diffuse_weights(self) -> None:
        """Add one step of diffusion."""
        rates: Any = F32(max(self.device.diffusion, 0.0))
        if self.pulsed:
            rates = self.hidden["diffusion_rates"]
        z = self.random.normals(
            Stream.DIFFUSE, self.crosspoint, self.counters["diffusion"]
        )
        self.counters["diffusion"] += 1
        w = fma(rates, z, self.true_weights)
        self.true_weights[...] = self._within_bounds(w)
        self._redraw()

    def reset_columns(
        self, start_column_idx: int = 0, num_columns: int = 1, reset_prob: float = 1.0
    ) -> None:
        """Reset crosspoints of some columns to their reset bias."""
        if num_columns < 0:
            num_columns = self.in_size
        if num_columns == 0 or reset_prob == 0.0:
            return
        columns = start_column_idx + np.arange(min(num_columns, self.in_size))
        chosen = np.zeros(self.weights.shape, dtype=np.bool_)
        chosen[:, columns % self.in_size] = True
        ordinal = self.counters["reset"]
        self.counters["reset"] += 1
        elements = self.crosspoint[chosen]
        # Word 0 of a block chooses, words 2 and 3 are the normal number of the value.
        drawn = self.random.happens(
            reset_prob, Stream.RESET, elements, ordinal, shares_block=True
        )
        z = self.random.normals(
            Stream.RESET, elements, ordinal, part=2, shares_block=True
        )
        bias: Any = F32(0)
        low: Any = self.low
        high: Any = self.high
        if self.pulsed:
            bias = self.hidden["reset_bias"][chosen]
            low, high = low[chosen], high[chosen]
        value = clip(fma(F32(max(self.device.reset_std, 0.0)), z, bias), low, high)
        w = self.true_weights
        w[chosen] = np.where(drawn, value, w[chosen])
        self._redraw()

    def clip_weights(self, limit: float) -> None:
        """Limit the weights to [-limit, limit]; below 0 to the bounds only."""
        c = F32(limit)
        low, high = self.low, self.high
        if c >= 0:
            low, high = np.maximum(low, -c), np.minimum(high, c)
        self.true_weights[...] = clip(self.true_weights, low, high)
        self._redraw()

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let the weights drift for `delta_t`."""
        if not self.has_drift:
            return
        p = self.device.drift
        nu_std, w_noise_std = getattr(p, "nu_std", 0.0), getattr(p, "w_noise_std", 0.0)
        w = self.true_weights.copy()
        ordinal = self.counters["drift"]
        if ordinal == 0:
            self.drift_start[...] = w
            self.drift_previous[...] = w
        self.counters["drift"] += 1
        self.drift_time += delta_t / p.t_0
        now = F32(self.drift_time)

        nu: Any = self.hidden["drift_nu"] if self.pulsed else np.full_like(w, p.nu)
        if nu_std > 0.0:
            z = self.random.normals(
                Stream.DRIFT, self.crosspoint, ordinal, part=0, shares_block=True
            )
            nu = nu * fma(F32(nu_std), z, F32(1))
        anchor = F32(0)
        if hasattr(p, "nu_k"):
            if p.nu_k != 0.0:
                g = (w - F32(p.w_offset)) / F32(p.wg_ratio) + F32(p.g_offset)
                # No conductance, no logarithm: the smallest normal number stands in.
                log_g = F32(np.log(np.maximum(g, SMALLEST_NORMAL), dtype=np.float64))
                nu = nu - F32(p.nu_k) * (log_g - F32(p.log_g0))
            anchor = fma(F32(p.g_offset), F32(p.wg_ratio), F32(p.w_offset))
            if abs(anchor) < F32(p.reset_tol):
                anchor = F32(0)
        age = np.maximum(now - self.drift_since, F32(1))
        q = F32(np.power(age, -nu, dtype=np.float64))
        aged = fma(self.drift_start, q, anchor * (q - F32(1)))

        changed = np.abs(self.drift_previous - w) > F32(p.reset_tol)
        self.drift_since[changed] = now
        self.drift_start[changed] = w[changed]
        w = np.where(changed, w, aged)
        if w_noise_std > 0.0:
            z = self.random.normals(
                Stream.DRIFT, self.crosspoint, ordinal, part=2, shares_block=True
            )
            w = fma(F32(w_noise_std), z, w)
        self.true_weights[...] = self._within_bounds(w)
        self.drift_previous[...] = self.true_weights
        self._redraw()

    # ---- hidden parameters (devices.md 2.2, 2.5) -------------------------------------

    def get_hidden_parameter_names(self) -> list[str]:
        """Names of the parameters that each crosspoint has."""
        names = list(self.hidden)
        if self.write_noise_std > 0.0:
            names.insert(8, "persistent_weights")
        return names

    def get_hidden_parameters(self) -> dict[str, Floats]:
        """Return copies of the hidden parameters, each of shape (out, in)."""
        planes = {**self.hidden, "persistent_weights": self.true_weights}
        return {name: planes[name].copy() for name in self.get_hidden_parameter_names()}

    def set_hidden_parameters(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Overwrite all hidden parameters and clip the weights to the new bounds."""
        for name, value in parameters.items():
            plane = np.array(value, dtype=np.float32)
            if name == "persistent_weights":
                self.true_weights[...] = plane
            elif name != "drift_nu" or self.has_drift:
                self.hidden[name] = plane
        self.low, self.high = self.hidden["min_bound"], self.hidden["max_bound"]
        steps = [np.abs(self.hidden[name]) for name in ("dwmin_up", "dwmin_down")]
        mean = math.fsum(np.ravel(steps).tolist()) / np.size(steps)
        # The small part of the tolerance is the rounding of the planes to float32.
        tolerance = 2.0 * abs(self.device.dw_min_dtod) + 1e-5
        if abs(mean - self.dw_min) > tolerance * self.dw_min and mean > 0.0:
            self.granularity = mean * (
                self.device.weight_granularity() / self.device.dw_min
            )
            self.dw_min = mean
        self.true_weights[...] = self._within_bounds(self.true_weights)
        self._show()

    # ---- state -----------------------------------------------------------------------

    def adopt(self, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Go on from what `state` of a core tile of the same configuration returned."""
        self.counters = dict(meta["counters"])
        self.learning_rate = meta["learning_rate"]
        self.drift_time = meta["drift_time"]
        for name in self.hidden:
            plane = np.broadcast_to(arrays[name], self.weights.shape)
            self.hidden[name] = np.array(plane)
        for direction, drawn in self.lines.items():
            for name in drawn:
                drawn[name] = np.array(arrays[f"{direction}_{name}"])
        self.weights[...] = arrays["weights"]
        if self.pulsed:
            self.dw_min, self.granularity = meta["dw_min"], meta["granularity"]
            self.low, self.high = self.hidden["min_bound"], self.hidden["max_bound"]
            self.pulse_ordinals[...] = arrays["pulse_ordinals"]
        if "persistent_weights" in arrays:
            self.true_weights[...] = arrays["persistent_weights"]
        if self.has_drift:
            self.drift_start[...] = arrays["drift_start"]
            self.drift_since[...] = arrays["drift_since"]
            self.drift_previous[...] = arrays["drift_previous"]


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
