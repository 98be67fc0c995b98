"""The reference model: a tile in plain NumPy that replays the kernels' random numbers.

`ReferenceTile` follows the specification one rule at a time, with no thought of speed.
What it shares with the compiled kernels is the layout of random numbers
(``csrc/rng.h``) and the order in which float32 operations round.  Everything else is
written a second time, so that the two can be compared: pulses, counters and every other
decision agree exactly, weights and outputs within a few units in the last place, since
logarithms, powers and normal numbers are computed in float64 here.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    PulseType,
    WeightNoiseType,
)

__all__ = [
    "Draw",
    "RandomNumbers",
    "ReferenceTile",
    "Stream",
    "fma",
    "normal_of_words",
    "philox4x32",
    "pulse_train_scales",
    "round_to_grid",
]

F32 = np.float32
Floats = NDArray[np.float32]
Words = NDArray[np.uint32]

_SLOTS_PER_WORD = 31
_BLOCKS_PER_WORD = 8
_SMALLEST_NORMAL = F32(np.finfo(np.float32).tiny)


# ---- arithmetic ----------------------------------------------------------------------


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Any:
    """Return ``a * b + c`` of float32 numbers, rounded once.

    The product is exact in float64.  The sum is rounded to odd there, so that rounding
    it again to float32 gives what one rounding would have given.
    """
    product = np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)
    term = np.asarray(c, dtype=np.float64)
    total = np.asarray(product + term)
    part = total - product
    error = (product - (total - part)) + (term - part)
    is_even = (total.view(np.int64) & 1) == 0
    towards = np.where(error > 0.0, np.inf, -np.inf)
    inexact = np.isfinite(error) & (error != 0.0)
    total = np.where(inexact & is_even, np.nextafter(total, towards), total)
    return total.astype(np.float32)[()]


def _clip(values: Any, low: Any, high: Any) -> Any:
    """Limit to [low, high]; `low` wins where the interval is empty."""
    return np.maximum(np.minimum(values, high), low)


def _resolution(res: float) -> np.float32:
    """Return a resolution as a step: above 1 it is a number of steps; 0 is none."""
    value = F32(res)
    if value > 1:
        return F32(F32(1) / value)
    return max(value, F32(0))


def round_to_grid(values: Any, step: Any, shift: Any) -> Any:
    """Round to multiples of `step`, half to even, or at random by ``u - 1/2``."""
    return np.rint(values / step + shift) * step


# ---- random numbers ------------------------------------------------------------------


class Stream(enum.IntEnum):
    """What random numbers are for: the top byte of a counter."""

    DEVICE = 0
    INIT = 2
    TRAIN_X = 3
    TRAIN_D = 4
    ROUND_X = 5
    ROUND_D = 6
    PULSE = 9
    APPARENT = 11
    APPARENT_ALL = 12
    DIFFUSE = 13
    RESET = 14
    DRIFT = 15
    PRODUCT = 32


class Pass(enum.IntEnum):
    """Passes of the product; their streams are ``PRODUCT + 5 * pass + purpose``."""

    FORWARD = 0
    FORWARD_EVAL = 1
    BACKWARD = 2
    BACKWARD_EVAL = 3


class Purpose(enum.IntEnum):
    """What a random number of the product does."""

    INPUT_ROUND = 0
    INPUT_NOISE = 1
    WEIGHT_NOISE = 2
    OUTPUT_NOISE = 3
    OUTPUT_ROUND = 4


class DeviceDraw(enum.IntEnum):
    """Draws of a device: number p is value ``p % 4`` of block ``p // 4``."""

    MAX_BOUND = 0
    MIN_BOUND = 1
    GAIN = 2
    UP_DOWN = 3
    DIFFUSION = 4
    RESET = 5
    LIFETIME = 6
    DRIFT_NU = 7
    CORRUPT_CHOICE = 8
    CORRUPT_VALUE = 9
    SLOPE_UP = 12
    SLOPE_DOWN = 13


def philox4x32(counters: ArrayLike, key: tuple[int, int]) -> Words:
    """Philox4x32-10 (Salmon et al. 2011): counters and result have shape (..., 4)."""
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counters, dtype=np.uint64), -1, 0)
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = key
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0 = (k0 + 0x9E3779B9) % 2**32
        k1 = (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def normal_of_words(
    radius: ArrayLike, angle: ArrayLike, second: ArrayLike = False
) -> Any:
    """Box & Muller (1958), in float64, from a word of radius and a word of angle.

    The high two bits of the angle are a quadrant; the other bits are a signed fraction
    of an eighth of the circle about its middle.

    Parameters
    ----------
    radius, angle : array_like of uint32
        The two words.
    second : array_like of bool
        Whether to take the sine instead of the cosine.

    Returns
    -------
    ndarray of float64
    """
    radius = np.asarray(radius, dtype=np.uint32)
    angle = np.asarray(angle, dtype=np.uint32)
    u = (radius.astype(np.float64) + 0.5) * 2.0**-32
    length = np.sqrt(-2.0 * np.log(u))
    fraction = (angle << np.uint32(2)).view(np.int32) * 2.0**-31
    quadrant = angle >> np.uint32(30)
    inner = fraction * (np.pi / 4)
    cosine = np.choose(
        quadrant, [np.cos(inner), -np.sin(inner), -np.cos(inner), np.sin(inner)]
    )
    sine = np.choose(
        quadrant, [np.sin(inner), np.cos(inner), -np.sin(inner), -np.cos(inner)]
    )
    return (length * np.where(second, sine, cosine))[()]


@dataclass(frozen=True)
class Draw:
    """Random numbers that were asked for together.

    Attributes
    ----------
    key : tuple of int
        Key of the generator.
    counters : ndarray of uint32, shape (n, 4)
        Counters of the blocks.
    parts : ndarray of int, shape (n,)
        Which of the four values of its block each number is.
    kind : str
        ``"word"``, or ``"normal"``: values 0 and 1 are both made of words 0 and 1.
    shares_block : bool
        Whether the layout lets other numbers have other values of the same block.
    """

    key: tuple[int, int]
    counters: Words
    parts: NDArray[np.int64]
    kind: str
    shares_block: bool


class RandomNumbers:
    """Random numbers as functions of a key and a counter; all are noted in a log.

    Parameters
    ----------
    key : tuple of int
        Two words of 32 bit.
    log : list of Draw
        Where the draws are noted.
    plane : int
        Number of the device plane.
    """

    def __init__(self, key: tuple[int, int], log: list[Draw], plane: int = 0) -> None:
        self.key = key
        self.log = log
        self.plane = plane

    def _blocks(
        self,
        kind: str,
        stream: int,
        element: ArrayLike,
        ordinal: ArrayLike,
        draw: ArrayLike,
        part: ArrayLike,
        shares_block: bool,
    ) -> tuple[Words, NDArray[np.int64]]:
        elements, ordinals, draws, parts = np.broadcast_arrays(
            np.asarray(element, dtype=np.uint64),
            np.asarray(ordinal, dtype=np.uint64),
            np.asarray(draw, dtype=np.uint64),
            np.asarray(part, dtype=np.int64),
        )
        tags = np.uint64(stream << 24 | self.plane << 16) | draws
        low, high = ordinals & np.uint64(0xFFFFFFFF), ordinals >> np.uint64(32)
        counters = np.stack([elements, low, high, tags], axis=-1)
        self.log.append(
            Draw(
                self.key,
                counters.reshape(-1, 4).astype(np.uint32),
                parts.reshape(-1).copy(),
                kind,
                shares_block,
            )
        )
        return philox4x32(counters, self.key), parts

    def words(
        self,
        stream: int,
        element: ArrayLike,
        ordinal: ArrayLike,
        *,
        draw: ArrayLike = 0,
        part: ArrayLike = 0,
        shares_block: bool = False,
    ) -> Words:
        """Return words of 32 bit; all arguments broadcast."""
        blocks, parts = self._blocks(
            "word", stream, element, ordinal, draw, part, shares_block
        )
        return np.take_along_axis(blocks, parts[..., None], axis=-1)[..., 0]

    def uniforms(
        self, stream: int, element: ArrayLike, ordinal: ArrayLike, **k: Any
    ) -> Any:
        """Return uniform numbers in [0, 1) on a grid of 2**-24, as float32."""
        words = self.words(stream, element, ordinal, **k)
        return (words >> np.uint32(8)).astype(np.float32) * F32(2.0**-24)

    def happens(
        self,
        probability: float,
        stream: int,
        element: ArrayLike,
        ordinal: ArrayLike,
        **k: Any,
    ) -> NDArray[np.bool_]:
        """Return whether events of a probability happen: exact to 2**-32."""
        limit = math.floor(min(float(F32(probability)), 1.0) * 2.0**32)
        return self.words(stream, element, ordinal, **k).astype(np.uint64) < limit

    def normals(
        self,
        stream: int,
        element: ArrayLike,
        ordinal: ArrayLike,
        *,
        draw: ArrayLike = 0,
        part: ArrayLike = 0,
        shares_block: bool = False,
    ) -> Any:
        """Return standard normal numbers as float32."""
        blocks, parts = self._blocks(
            "normal", stream, element, ordinal, draw, part, shares_block
        )
        first_pair = parts < 2
        radius = np.where(first_pair, blocks[..., 0], blocks[..., 2])
        angle = np.where(first_pair, blocks[..., 1], blocks[..., 3])
        return F32(normal_of_words(radius, angle, parts % 2 == 1))


# ---- pulse trains --------------------------------------------------------------------


def pulse_train_scales(
    update: Any, lr: float, granularity: float, x_max: Any, d_max: Any
) -> tuple[int, np.float32, np.float32]:
    """Return train length and the scales A of d and B of x for one vector.

    Everything is float32 in this order: decisions sit on exact ties.

    Parameters
    ----------
    update : UpdateParameters
        Settings of the update.
    lr : float
        Learning rate; its sign does not matter.
    granularity : float
        Mean weight step of the device.
    x_max, d_max : float
        Largest magnitudes of the vector.

    Returns
    -------
    length : int
        Number of slots; 0 if the vector makes no pulse.
    a, b : float32
        Factors that turn ``abs(d)`` and ``abs(x)`` into probabilities.
    """
    rate, g, longest = abs(F32(lr)), F32(granularity), F32(update.desired_bl)
    x_max, d_max = F32(x_max), F32(d_max)
    manages_length = update.update_bl_management
    manages_scales = update.update_management or manages_length
    nothing = (0, F32(0), F32(0))
    if rate == 0 or (manages_scales and (x_max == 0 or d_max == 0)):
        return nothing
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        if not update.fixed_bl and not manages_length and g * longest < rate:
            length = max(np.ceil(rate / g), F32(1))
            a = b = F32(1)
        else:
            length = longest
            a = b = np.sqrt(rate / (g * length))
        if manages_scales:
            d_reach = F32(update.um_grad_scale) * d_max
            needed = min(((rate * x_max) * d_reach) / g, F32(3e38))
            if manages_length:
                length = min(np.ceil(needed), longest)
                if length == 0:
                    return nothing
                a = b = np.sqrt(rate / (g * length))
            if needed > longest:
                d_reach = (d_reach * longest) / needed
            # The limits only keep the ratio of two far numbers finite.
            a = a * np.sqrt(_clip(x_max / d_reach, F32(1e-38), F32(1e38)))
            b = b * np.sqrt(_clip(d_reach / x_max, F32(1e-38), F32(1e38)))
    return int(length), a, b


# ---- the tile ------------------------------------------------------------------------


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
    last_trains : list of tuple
        For each vector of the last pulsed update ``(length, x_bits, d_bits)``.
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
        self.device = config.device
        self.log: list[Draw] = []
        self.key = _key_of(seed)
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
        self.last_trains: list[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]] = []

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
            self._draw_device()
        self.set_weights_uniform_random(-0.1, 0.1)

    # ---- devices ---------------------------------------------------------------------

    def _draw_device(self) -> None:
        """Draw the hidden parameters of every crosspoint (devices.md 2.3)."""
        p = self.device
        random = self.random
        if p.construction_seed != 0:
            key = _key_of(np.random.SeedSequence(p.construction_seed))
            random = RandomNumbers(key, self.log)

        def xi(number: DeviceDraw) -> Any:
            return random.normals(
                Stream.DEVICE,
                self.crosspoint,
                0,
                draw=number // 4,
                part=number % 4,
                shares_block=True,
            )

        one = F32(1)
        # 1 to 3: bounds, gain, asymmetry.
        high = F32(p.w_max) * fma(F32(p.w_max_dtod), xi(DeviceDraw.MAX_BOUND), one)
        low = F32(p.w_min) * fma(F32(p.w_min_dtod), xi(DeviceDraw.MIN_BOUND), one)
        if p.dw_min_dtod_log_normal:
            gain = _exp(F32(p.dw_min_dtod) * xi(DeviceDraw.GAIN))
        else:
            gain = fma(F32(p.dw_min_dtod), xi(DeviceDraw.GAIN), one)
        r = F32(p.up_down_dtod) * xi(DeviceDraw.UP_DOWN)
        up = (gain + F32(min(p.up_down, 0.0)) + r) * F32(p.dw_min)
        down = (gain - F32(max(p.up_down, 0.0)) - r) * F32(p.dw_min)
        # 4: consistency.
        crossed = low > high
        if p.enforce_consistency:
            up, down = np.abs(up), np.abs(down)
            high, low = np.where(crossed, low, high), np.where(crossed, high, low)
            high, low = np.abs(high), -np.abs(low)
        else:
            middle = (high + low) * F32(0.5)
            high, low = np.where(crossed, middle, high), np.where(crossed, middle, low)
        # 5: corruption.
        if p.corrupt_devices_prob > 0.0:
            number = DeviceDraw.CORRUPT_CHOICE
            corrupt = random.happens(
                p.corrupt_devices_prob,
                Stream.DEVICE,
                self.crosspoint,
                0,
                draw=number // 4,
                part=number % 4,
                shares_block=True,
            )
            number = DeviceDraw.CORRUPT_VALUE
            u = random.uniforms(
                Stream.DEVICE,
                self.crosspoint,
                0,
                draw=number // 4,
                part=number % 4,
                shares_block=True,
            )
            limit = abs(F32(p.corrupt_devices_range))
            lowest = np.maximum(np.minimum(low, high), -limit)
            highest = np.minimum(np.maximum(low, high), limit)
            stuck = fma(highest - lowest, u, lowest)
            high, low = np.where(corrupt, stuck, high), np.where(corrupt, stuck, low)
            up = np.where(corrupt, F32(0), up)
            down = np.where(corrupt, F32(0), down)
        # 6: the perfect last column.
        if p.perfect_bias:
            up[:, -1] = down[:, -1] = F32(p.dw_min)
            high[:, -1] = F32(100) * F32(p.w_max)
            low[:, -1] = F32(100) * F32(p.w_min)
        # 7 to 10: diffusion, reset, decay, drift.  No spread, no draw.
        diffusion, lifetime = F32(max(p.diffusion, 0.0)), F32(max(p.lifetime, 0.0))
        reset_dtod = F32(max(p.reset_dtod, 0.0))
        some = any((p.diffusion_dtod, reset_dtod, p.lifetime_dtod, p.drift.nu_dtod))
        spread = [
            xi(number) if some else np.zeros_like(high)
            for number in (
                DeviceDraw.DIFFUSION,
                DeviceDraw.RESET,
                DeviceDraw.LIFETIME,
                DeviceDraw.DRIFT_NU,
            )
        ]
        rates = np.abs(diffusion * fma(F32(p.diffusion_dtod), spread[0], one))
        bias = fma(reset_dtod, spread[1], F32(p.reset))
        life = lifetime * fma(F32(p.lifetime_dtod), spread[2], one)
        with np.errstate(divide="ignore", over="ignore"):
            scales = np.where(life > 1, one - one / life, F32(0))
        if lifetime == 0:
            scales = np.ones_like(life)
        nu = np.zeros_like(high)
        if p.drift.nu > 0.0:
            nu = F32(p.drift.nu) * fma(F32(p.drift.nu_dtod), spread[3], one)
        self.hidden = {
            "max_bound": high,
            "min_bound": low,
            "dwmin_up": up,
            "dwmin_down": down,
            "decay_scales": scales,
            "diffusion_rates": rates,
            "reset_bias": bias,
            "drift_nu": nu,
        }
        self.low, self.high = low, high
        # 11: what the device has of its own.
        if p.kernel in ("linear_step", "soft_bounds"):
            self._draw_slopes(xi)

    def _draw_slopes(self, xi: Any) -> None:
        """Draw the slopes of a linear-step device (devices.md 3.3, 3.4)."""
        p = self.device
        if p.kernel == "soft_bounds":
            gammas = [F32(1), F32(1)]
            own_bounds = True
        else:
            gammas = [F32(p.gamma_up), F32(p.gamma_down)]
            dtods = [F32(p.gamma_up_dtod), F32(p.gamma_down_dtod)]
            if any(dtods):
                numbers = (DeviceDraw.SLOPE_UP, DeviceDraw.SLOPE_DOWN)
                gammas = [
                    fma(dtod, xi(number), gamma)
                    for dtod, number, gamma in zip(dtods, numbers, gammas, strict=True)
                ]
            if not p.allow_increasing:
                gammas = [np.abs(gamma) for gamma in gammas]
            own_bounds = not p.mean_bound_reference
        high = self.hidden["max_bound"] if own_bounds else F32(p.w_max)
        low = self.hidden["min_bound"] if own_bounds else F32(p.w_min)
        offset = F32(p.reverse_offset)
        up_reference = low - offset if p.reverse_up else high
        down_reference = high + offset if p.reverse_down else low
        for name, gamma, scale, reference in (
            ("slope_up", gammas[0], self.hidden["dwmin_up"], up_reference),
            ("slope_down", gammas[1], self.hidden["dwmin_down"], down_reference),
        ):
            zero = reference == 0
            slope = -(gamma * scale / np.where(zero, F32(1), reference))
            self.hidden[name] = np.where(zero, F32(0), slope)

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
        up = up[hit]
        scale = np.where(up, h["dwmin_up"], -h["dwmin_down"])
        step = scale
        noisy = scale
        if self.device.kernel != "constant_step":
            slope = np.where(up, h["slope_up"], -h["slope_down"])
            step = fma(slope, w, scale)
            noisy = step if self.device.mult_noise else scale
        w = fma(noisy, noise, step) + w
        self.true_weights[hit] = _clip(w, h["min_bound"], h["max_bound"])
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
        y = self._product(inputs, self.weights, io, which)
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
        y = self._product(inputs, self.weights.T, io, which)
        if bias:
            y = y[:, :-1]
        return _shaped(y, shape, in_trans)

    def _product(self, inputs: Floats, weights: Floats, io: Any, which: Pass) -> Floats:
        name = which.name.lower()
        result = np.empty((len(inputs), len(weights)), dtype=np.float32)
        self.tie_distance = np.full(len(inputs), np.inf)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for b, x in enumerate(inputs):
                ordinal = self.counters[name] + b
                vector = _Vector(self.random, weights, io, which, ordinal)
                result[b] = vector.product(x)
                self.tie_distance[b] = vector.tie_distance
        self.counters[name] += len(inputs)
        return result

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
        for x, d in zip(x_batch, d_batch, strict=True):
            if self.pulsed and self.pulse_type is not PulseType.NONE_WITH_DEVICE:
                self._update_by_pulses(x, d)
            else:
                self._update_exactly(x, d)
            self.counters["update"] += 1
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
        self.true_weights[...] = _clip(w, self.low, self.high)
        self._redraw()

    def _update_by_pulses(self, x: Floats, d: Floats) -> None:
        """Update with one vector by compressed pulse trains (update.md 3 to 5)."""
        update = self.config.update
        length, a, b = pulse_train_scales(
            update,
            self.learning_rate,
            self.granularity,
            np.abs(x).max(),
            np.abs(d).max(),
        )
        x_bits = self._trains(x, b, length, Stream.TRAIN_X, Stream.ROUND_X)
        d_bits = self._trains(d, a, length, Stream.TRAIN_D, Stream.ROUND_D)
        self.last_trains.append((length, x_bits, d_bits))
        pulses = d_bits.astype(np.int64) @ x_bits.astype(np.int64).T
        # A positive product lowers the weight, if the learning rate is positive.
        positive = np.signbit(d)[:, None] == np.signbit(x)[None, :]
        up = positive if self.learning_rate < 0 else ~positive
        for number in range(pulses.max()):
            self._pulse(pulses > number, up)

    def _trains(
        self,
        values: Floats,
        scale: np.float32,
        length: int,
        stream: Stream,
        rounding: Stream,
    ) -> NDArray[np.bool_]:
        """Make the pulse trains of one side: shape (lines, slots)."""
        update = self.config.update
        lines = np.arange(values.size)
        with np.errstate(over="ignore", under="ignore"):
            q = np.abs(values) * scale
            res = _resolution(update.res)
            if res > 0:
                shift = F32(0)
                if update.sto_round:
                    u = self.random.uniforms(rounding, lines, self.counters["update"])
                    shift = u - F32(0.5)
                q = round_to_grid(q, res, shift)
        q = np.where(values == 0, F32(0), q)
        slots = np.arange(length)
        word, slot = slots // _SLOTS_PER_WORD, slots % _SLOTS_PER_WORD
        bits = np.zeros((values.size, length), dtype=np.bool_)
        bits[q >= 1] = True
        chance = (q > 0) & (q < 1)
        if chance.any() and length > 0:
            words = self.random.words(
                stream,
                lines[chance][:, None],
                self.counters["update"],
                draw=_BLOCKS_PER_WORD * word + slot // 4,
                part=slot % 4,
                shares_block=True,
            )
            limit = np.floor(q[chance].astype(np.float64) * 2.0**32)
            bits[chance] = words < limit[:, None]
        return bits

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
        return _clip(weights, self.low, self.high)

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
        value = _clip(fma(F32(max(self.device.reset_std, 0.0)), z, bias), low, high)
        w = self.true_weights
        w[chosen] = np.where(drawn, value, w[chosen])
        self._redraw()

    def clip_weights(self, limit: float) -> None:
        """Limit the weights to [-limit, limit]; below 0 to the bounds only."""
        c = F32(limit)
        low, high = self.low, self.high
        if c >= 0:
            low, high = np.maximum(low, -c), np.minimum(high, c)
        self.true_weights[...] = _clip(self.true_weights, low, high)
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
                log_g = F32(np.log(np.maximum(g, _SMALLEST_NORMAL), dtype=np.float64))
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


class _Vector:
    """The way of one vector through the array (mvm.md 2 to 7)."""

    def __init__(
        self, random: RandomNumbers, weights: Floats, io: Any, which: Pass, ordinal: int
    ) -> None:
        self.random = random
        self.weights = weights
        self.io = io
        self.backward = which in (Pass.BACKWARD, Pass.BACKWARD_EVAL)
        self.stream = Stream.PRODUCT + 5 * which
        self.ordinal = ordinal
        self.tie_distance = math.inf

    def product(self, x: Floats) -> Floats:
        io = self.io
        if io is None:
            return self._matrix_product(x)
        if io.is_perfect or io.mv_type is AnalogMVType.IDEAL:
            return self._matrix_product(x) * F32(io.out_scale)
        if not np.isfinite(x).all():
            return np.full(len(self.weights), np.nan, dtype=np.float32)

        managed = io.noise_management is not NoiseManagementType.NONE
        s = self._noise_management(x)
        # Anything below the smallest normal number counts as zero.
        if managed and s < _SMALLEST_NORMAL:
            s = F32(1)
            if self.backward or io.inp_noise <= 0.0:
                return np.zeros(len(self.weights), dtype=np.float32)
        repeats = (
            io.bound_management is BoundManagementType.ITERATIVE and not self.backward
        )
        step = self._step(io.inp_res, io.inp_bound)
        reduction, number = F32(1), 0
        while True:
            c = (F32(1) / s if managed else F32(1)) / reduction
            y, fits = self._round(x, c, number)
            if (
                not repeats
                or fits
                or int(reduction) > io.max_bm_factor
                or (step > 0 and reduction > F32(io.max_bm_res) / step)
            ):
                return y * (F32(io.out_scale) / c)
            reduction *= F32(2)
            number += 1

    def _noise_management(self, x: Floats) -> np.float32:
        io = self.io
        cap = F32(io.nm_thres)
        kind = io.noise_management
        if kind is NoiseManagementType.NONE:
            return F32(1)
        if kind is NoiseManagementType.CONSTANT:
            return cap if cap > 0 else F32(1)
        s = x.max() if kind is NoiseManagementType.MAX else np.abs(x).max()
        return min(s, cap) if cap > 0 else F32(s)

    @staticmethod
    def _step(res: float, bound: float) -> np.float32:
        if bound <= 0.0:
            return F32(0)
        return _resolution(res) * F32(2) * F32(bound)

    def _drawn(self, kind: str, purpose: Purpose, number: int, lines: int) -> Any:
        """Draw for each line; lines 64q + 16l + r have value l of block 16q + r."""
        line = np.arange(lines)
        draw = getattr(self.random, kind)
        return draw(
            self.stream + purpose,
            line // 64 * 16 + line % 16,
            self.ordinal,
            draw=number << 4,
            part=line % 64 // 16,
            shares_block=True,
        )

    def _round(self, x: Floats, c: np.float32, number: int) -> tuple[Floats, bool]:
        """Run one round of bound management, without the digital factor."""
        io = self.io
        # The input: scale, round, clip, noise, asymmetry.
        v = x * c
        step = self._step(io.inp_res, io.inp_bound)
        if step > 0:
            shift = F32(0)
            if io.inp_sto_round:
                u = self._drawn("uniforms", Purpose.INPUT_ROUND, number, x.size)
                shift = u - F32(0.5)
            v = round_to_grid(v, step, shift)
        if io.inp_bound > 0.0:
            v = _clip(v, -F32(io.inp_bound), F32(io.inp_bound))
        if io.inp_noise > 0.0:
            z = self._drawn("normals", Purpose.INPUT_NOISE, number, x.size)
            v = fma(F32(io.inp_noise), z, v)
        if io.inp_asymmetry != 0.0:
            v = np.where(v < 0, v * (F32(1) - F32(io.inp_asymmetry)), v)

        # The array.
        y = self._matrix_product(v)
        noisy_weights = (
            io.w_noise_type is WeightNoiseType.ADDITIVE_CONSTANT and io.w_noise > 0.0
        )
        if noisy_weights:
            norm = F32(math.sqrt(math.fsum(float(entry) ** 2 for entry in v)))
            if norm > 0:
                z = self._drawn("normals", Purpose.WEIGHT_NOISE, number, y.size)
                y = fma(F32(io.w_noise) * norm, z, y)

        # The output: asymmetry, noise, round, clip.
        if io.out_asymmetry > 0.0:
            y = np.where(y < 0, y * (F32(1) - F32(io.out_asymmetry)), y)
        if io.out_noise > 0.0:
            z = self._drawn("normals", Purpose.OUTPUT_NOISE, number, y.size)
            y = fma(F32(io.out_noise), z, y)
        uncertain = io.inp_noise > 0.0 or io.out_noise > 0.0 or noisy_weights
        step = self._step(io.out_res, io.out_bound)
        if step > 0:
            shift = F32(0)
            if io.out_sto_round:
                u = self._drawn("uniforms", Purpose.OUTPUT_ROUND, number, y.size)
                shift = u - F32(0.5)
            if uncertain:
                at = y / step + shift
                self._note_ties(np.abs(at - np.floor(at) - F32(0.5)))
            y = round_to_grid(y, step, shift)
        elif io.out_bound > 0.0 and uncertain:
            self._note_ties(np.abs(np.abs(y) / F32(io.out_bound) - F32(1)))
        if io.out_bound <= 0.0:
            return y, True
        bound = F32(io.out_bound)
        fits = not (y > bound).any()
        if io.bm_test_negative_bound and (y < -bound).any():
            fits = False
        return _clip(y, -bound, bound), fits

    def _note_ties(self, distances: Any) -> None:
        self.tie_distance = min(self.tie_distance, float(np.min(distances)))

    def _matrix_product(self, x: Floats) -> Floats:
        """Multiply: for each output one chain of fused multiply-adds over inputs."""
        y = np.zeros(len(self.weights), dtype=np.float32)
        for column, factor in zip(self.weights.T, x, strict=True):
            y = fma(column, factor, y)
        return y


# ---- small parts ---------------------------------------------------------------------


def _key_of(seed: np.random.SeedSequence) -> tuple[int, int]:
    first, second = seed.generate_state(2, np.uint32)
    return int(first), int(second)


def _exp(a: Floats) -> Floats:
    """Return exponentials, limited to the range of normal and finite numbers."""
    return np.asarray(np.exp(_clip(a, -87, 88).astype(np.float64)), dtype=np.float32)


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
