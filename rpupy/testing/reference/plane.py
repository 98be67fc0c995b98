"""One plane of devices: what it draws, its pulses, and its upkeep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .aggregate import Word, constant_steps, parts_of_vector, tangents
from .arithmetic import F32, SMALLEST_NORMAL, Floats, clip, fma
from .devices import LAWS, DeviceDraws, draw_pulsed_device
from .random_numbers import Draw, RandomNumbers, Stream, key_of
from .trains import Train


class Counting:
    """A part of a tile that has counters of its own among those of the tile."""

    #: What names of counters begin with.
    prefix = ""

    def __init__(
        self, counters: dict[str, int], suffix: str, names: Sequence[str]
    ) -> None:
        self.counters = counters
        self.suffix = suffix
        for name in names:
            counters.setdefault(self._name(name), 0)

    def _name(self, name: str) -> str:
        return self.prefix + name + self.suffix

    def count(self, name: str) -> int:
        """Return a counter."""
        return self.counters[self._name(name)]

    def counted(self, name: str) -> int:
        """Count an event, and return its number."""
        self.counters[self._name(name)] += 1
        return self.count(name) - 1

    def set_count(self, name: str, value: int) -> None:
        """Set a counter."""
        self.counters[self._name(name)] = int(value)


class Plane(Counting):
    """A device at each crosspoint.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    device : rpupy.configs.devices.Device
        Configuration of the device.
    pulsed : bool
        False: pulses are switched off, or the device has none.
    key : tuple of int
        Key of the random numbers.
    log : list of Draw
        Where random numbers are noted.
    counters : dict of str to int
        Counters of the tile; those of the plane are added.
    number : int
        Number of the plane.
    suffix : str
        What names of arrays and counters end in.
    construction_seed : int
        Seed of what is drawn at construction; 0: that of the device.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        device: Any,
        pulsed: bool,
        key: tuple[int, int],
        log: list[Draw],
        counters: dict[str, int],
        number: int = 0,
        suffix: str = "",
        construction_seed: int = 0,
    ) -> None:
        super().__init__(counters, suffix, ("diffusion", "reset", "drift", "redraw"))
        self.device = device
        self.pulsed = pulsed
        self.log = log
        self.random = RandomNumbers(key, log, number)
        self.number = number
        self.portions: list[tuple[int, int]] = []

        self.dw_min = self.granularity = 1.0
        write_noise_std = 0.0
        if pulsed:
            self.dw_min = float(device.dw_min)
            self.granularity = float(device.weight_granularity())
            write_noise_std = float(getattr(device, "write_noise_std", 0.0))
        self.write_noise_std = max(write_noise_std, 0.0)
        nu = device.drift.nu if hasattr(device, "drift") else 0.0
        self.has_drift = nu > 0.0 if pulsed else nu != 0.0

        self.crosspoint = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
        self.pulse_ordinals = np.zeros(shape, dtype=np.uint32)
        # Pulses that wait for the end of their portion, to share a draw of noise.
        self.waiting: list[Word] = []
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
        if pulsed:
            self.law = LAWS[device.kernel]
            self._draw_device(construction_seed or device.construction_seed)

    # ---- devices ---------------------------------------------------------------------

    def _draw_device(self, construction_seed: int) -> None:
        """Draw the hidden parameters of every crosspoint."""
        random = self.random
        if construction_seed != 0:
            key = key_of(np.random.SeedSequence(construction_seed))
            random = RandomNumbers(key, self.log, self.number)
        draws = DeviceDraws(random, self.crosspoint)
        self.hidden = draw_pulsed_device(self.device, draws)
        self.hidden |= self.law.draw(self.device, self.hidden, draws)
        self._take_bounds()

    def _take_bounds(self) -> None:
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

    def apply(self, words: Sequence[Word], where: Any = True) -> None:
        """Apply pulses one by one, at some of the crosspoints."""
        for pulses, up in words:
            counts = np.where(where, pulses, 0)
            for number in range(counts.max()):
                self._pulse(counts > number, up)

    def tally(self, words: Sequence[Word]) -> None:
        """Note pulses down and up."""
        for pulses, up in words:
            self.pulse_counters += pulses * np.stack([~up, up])

    def receive(self, words: Sequence[Word], at_once: bool = False) -> None:
        """Apply the pulses of a vector and show what they did, or let them wait."""
        self.tally(words)
        if at_once:
            self.waiting += words
            return
        before = self.pulse_ordinals.copy()
        self.apply(words)
        self.show_pulsed(self.pulse_ordinals != before)

    def settle(self, where: Any = True) -> None:
        """Apply the pulses that wait, at some of the crosspoints, and show what they did."""
        before = self.pulse_ordinals.copy()
        waiting, self.waiting = self.waiting, []
        if where is not True:
            self.waiting = [(np.where(where, 0, n), up) for n, up in waiting]
        self.apply_at_once([(np.where(where, n, 0), up) for n, up in waiting])
        self.show_pulsed(self.pulse_ordinals != before)

    def update(self, x: Floats, d: Floats, lr: Any, batch: int, train: Train) -> None:
        """Update with a vector: a write, which is a portion of its own."""
        words = train.words(x, d, lr, self.granularity)
        if not train.aggregates:
            self.receive(words)
            return
        for part, _ in parts_of_vector(words, 0, max(len(words), 1)):
            self.receive(part, at_once=True)
            self.settle()

    def show_pulsed(self, touched: NDArray[np.bool_]) -> None:
        """Take a fresh look at crosspoints that had a pulse, after the last one."""
        if self.write_noise_std > 0.0 and touched.any():
            z = self.random.normals(
                Stream.APPARENT, self.crosspoint[touched], self.pulse_ordinals[touched]
            )
            shown = fma(self._write_noise, z, self.true_weights[touched])
            self.weights[touched] = shown

    def update_exactly(self, x: Floats, d: Floats, learning_rate: float) -> None:
        """Update with a vector, without pulses."""
        factor = -(F32(learning_rate) * d)
        w = fma(factor[:, None], x[None, :], self.true_weights)
        self.true_weights[...] = clip(w, self.low, self.high)
        self._redraw()

    def apply_at_once(self, words: list[Word]) -> None:
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
        self.apply(words, unsafe)

    # ---- weights ---------------------------------------------------------------------

    @property
    def _write_noise(self) -> np.float32:
        return F32(self.write_noise_std * self.dw_min)

    def _redraw(self) -> None:
        """Draw all apparent weights anew, if there are any."""
        if self.write_noise_std > 0.0:
            z = self.random.normals(
                Stream.APPARENT_ALL, self.crosspoint, self.counted("redraw")
            )
            self.weights[...] = fma(self._write_noise, z, self.true_weights)

    def _show(self) -> None:
        """Make the apparent weights of weights that were just set."""
        if self.write_noise_std > 0.0 and not self.device.apply_write_noise_on_set:
            self.weights[...] = self.true_weights
        else:
            self._redraw()

    def _within_bounds(self, weights: Any) -> Any:
        return clip(weights, self.low, self.high)

    def set_weights(self, weights: Floats) -> None:
        """Set the weights, clipped to the bounds of each crosspoint."""
        values = np.asarray(weights, dtype=np.float32)
        self.true_weights[...] = self._within_bounds(values)
        self._show()

    # ---- upkeep ------------------------------------------------------------------------

    def decay(self, alpha: float) -> None:
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

    def diffuse(self) -> None:
        """Add one step of diffusion."""
        rates: Any = F32(max(self.device.diffusion, 0.0))
        if self.pulsed:
            rates = self.hidden["diffusion_rates"]
        z = self.random.normals(
            Stream.DIFFUSE, self.crosspoint, self.counted("diffusion")
        )
        w = fma(rates, z, self.true_weights)
        self.true_weights[...] = self._within_bounds(w)
        self._redraw()

    def reset(self, start_column_idx: int, num_columns: int, reset_prob: float) -> None:
        """Reset crosspoints of some columns to their reset bias."""
        in_size = self.weights.shape[1]
        if num_columns < 0:
            num_columns = in_size
        if num_columns == 0 or reset_prob == 0.0:
            return
        columns = start_column_idx + np.arange(min(num_columns, in_size))
        chosen = np.zeros(self.weights.shape, dtype=np.bool_)
        chosen[:, columns % in_size] = True
        w = self.true_weights
        w[chosen] = self._after_reset(chosen, reset_prob, self.counted("reset"))
        self._redraw()

    def _after_reset(
        self, chosen: NDArray[np.bool_], probability: float, ordinal: int
    ) -> Any:
        elements = self.crosspoint[chosen]
        # Word 0 of a block chooses, words 2 and 3 are the normal number of the value.
        drawn = self.random.happens(
            probability, Stream.RESET, elements, ordinal, shares_block=True
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
        return np.where(drawn, value, self.true_weights[chosen])

    def reset_some(self, chosen: NDArray[np.bool_], ordinal: int, redraw: int) -> None:
        """Reset crosspoints, and show these alone: what a cell does to its devices."""
        w = self.true_weights
        w[chosen] = self._after_reset(chosen, 1.0, ordinal)
        if self.write_noise_std > 0.0:
            z = self.random.normals(
                Stream.APPARENT_ALL, self.crosspoint[chosen], redraw
            )
            self.weights[chosen] = fma(self._write_noise, z, w[chosen])

    def clip(self, limit: float) -> None:
        """Limit the weights to [-limit, limit]; below 0 to the bounds only."""
        c = F32(limit)
        low, high = self.low, self.high
        if c >= 0:
            low, high = np.maximum(low, -c), np.minimum(high, c)
        self.true_weights[...] = clip(self.true_weights, low, high)
        self._redraw()

    def drift(self, delta_t: float) -> None:
        """Let the weights drift for `delta_t`."""
        if not self.has_drift:
            return
        p = self.device.drift
        nu_std, w_noise_std = getattr(p, "nu_std", 0.0), getattr(p, "w_noise_std", 0.0)
        w = self.true_weights.copy()
        ordinal = self.counted("drift")
        if ordinal == 0:
            self.drift_start[...] = w
            self.drift_previous[...] = w
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

    # ---- hidden parameters -------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of the parameters that each crosspoint has, without suffix."""
        names = list(self.hidden)
        if self.write_noise_std > 0.0:
            names.insert(8, "persistent_weights")
        return names

    @property
    def states(self) -> float:
        """Number of states."""
        return float(self.device.num_states())

    def get_hidden(self) -> dict[str, Floats]:
        """Return copies of the hidden parameters, by their full names."""
        planes = {**self.hidden, "persistent_weights": self.true_weights}
        return {name + self.suffix: planes[name].copy() for name in self.names()}

    def set_hidden(self, parameters: Mapping[str, ArrayLike]) -> None:
        """Overwrite all hidden parameters and clip the weights to the new bounds."""
        if not self.pulsed:
            return
        for name in self.names():
            plane = np.array(parameters[name + self.suffix], dtype=np.float32)
            if name == "persistent_weights":
                self.true_weights[...] = plane
            elif name != "drift_nu" or self.has_drift:
                self.hidden[name] = plane
        shown = parameters.get("hidden_weights" + self.suffix) if self.suffix else None
        if shown is not None and self.write_noise_std == 0.0:
            self.true_weights[...] = np.asarray(shown, dtype=np.float32)
        self._take_bounds()
        steps = [np.abs(self.hidden[name]) for name in ("dwmin_up", "dwmin_down")]
        mean = math.fsum(np.ravel(steps).tolist()) / np.size(steps)
        # The small part of the tolerance is the rounding of the planes to float32.
        tolerance = 2.0 * abs(self.device.dw_min_dtod) + 1e-5
        if abs(mean - self.dw_min) > tolerance * self.dw_min and mean > 0.0:
            self.granularity = mean * (
                self.device.weight_granularity() / self.device.dw_min
            )
            self.dw_min = mean
        self.set_weights(self.true_weights)

    # ---- state -----------------------------------------------------------------------

    def adopt(
        self, numbers: Mapping[str, Any], arrays: Mapping[str, Any], weights: str
    ) -> None:
        """Take the state of a plane of a core tile, whose visible weights are `weights`."""
        self.drift_time = numbers["drift_time"]
        shape = self.weights.shape
        for name in self.hidden:
            plane = np.broadcast_to(arrays[name + self.suffix], shape)
            self.hidden[name] = np.array(plane)
        self.weights[...] = arrays[weights]
        if self.pulsed:
            self.dw_min = numbers["dw_min"]
            self.granularity = numbers["granularity"]
            self._take_bounds()
            self.pulse_ordinals[...] = arrays["pulse_ordinals" + self.suffix]
            if self.device.count_pulses:
                self.pulse_counters[...] = arrays["pulse_counters" + self.suffix]
        if "persistent_weights" + self.suffix in arrays:
            self.true_weights[...] = arrays["persistent_weights" + self.suffix]
        if self.has_drift:
            for name in ("drift_start", "drift_since", "drift_previous"):
                getattr(self, name)[...] = arrays[name + self.suffix]

    def arrays(self, weights: str) -> dict[str, Any]:
        """Return the arrays of the state of a core tile, by their names there."""
        planes: dict[str, Any] = {
            **self.hidden,
            "pulse_ordinals": self.pulse_ordinals,
        }
        if not self.pulsed:
            planes = {}
        elif self.device.count_pulses:
            planes["pulse_counters"] = self.pulse_counters
        if self.write_noise_std > 0.0:
            planes["persistent_weights"] = self.true_weights
        if self.has_drift:
            for name in ("drift_start", "drift_since", "drift_previous"):
                planes[name] = getattr(self, name)
        named = {name + self.suffix: plane for name, plane in planes.items()}
        return {weights: self.weights} | named
