"""From the vectors of an update to pulse trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpupy.parameters.enums import NoiseAggregation, PulseType

from .aggregate import Word
from .arithmetic import F32, LARGEST, Floats, clip, resolution, round_to_grid
from .random_numbers import RandomNumbers, Stream

RANDOM_TRAINS = (PulseType.STOCHASTIC_COMPRESSED, PulseType.STOCHASTIC)
SLOTS_PER_WORD = 31
BLOCKS_PER_WORD = 8
#: Of a train.
MOST_SLOTS = 8192 * SLOTS_PER_WORD


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
            a = a * np.sqrt(clip(x_max / d_reach, F32(1e-38), F32(1e38)))
            b = b * np.sqrt(clip(d_reach / x_max, F32(1e-38), F32(1e38)))
        # A line of 0 makes no pulses, however large the rate.
        a, b = min(a, LARGEST), min(b, LARGEST)
    return int(length), a, b


def longest_train(update: Any, rate: Any, granularity: float) -> int:
    """Return the words of the longest train that the parameters allow.

    Parameters
    ----------
    update : UpdateParameters
        Settings of the update.
    rate : float
        Learning rate; its sign does not matter.
    granularity : float
        Mean weight step of the device.
    """
    length = F32(update.desired_bl)
    if not update.fixed_bl and not update.update_bl_management:
        with np.errstate(over="ignore"):
            length = max(length, np.ceil(abs(F32(rate)) / F32(granularity)))
    # One word above the longest train that there is says that it is too long.
    return int(-(-min(length, F32(MOST_SLOTS + SLOTS_PER_WORD)) // SLOTS_PER_WORD))


@dataclass(frozen=True)
class Side:
    """One side of the crossbar: what its vectors are turned into, and how."""

    values: Floats
    scale: np.float32
    is_x: bool
    write: bool = False

    @property
    def lines(self) -> NDArray[np.int64]:
        """Numbers of the lines."""
        return np.arange(self.values.size)

    @property
    def train_stream(self) -> Stream:
        """Where the slots come from."""
        if self.write:
            return Stream.WRITE_TRAIN_X if self.is_x else Stream.WRITE_TRAIN_D
        return Stream.TRAIN_X if self.is_x else Stream.TRAIN_D

    @property
    def round_stream(self) -> Stream:
        """Where the rounding comes from."""
        if self.write:
            return Stream.WRITE_ROUND_X if self.is_x else Stream.WRITE_ROUND_D
        return Stream.ROUND_X if self.is_x else Stream.ROUND_D


@dataclass
class Zeros:
    """Share of zeros in the last errors that trains were made of."""

    last: Any = field(default_factory=F32)


def slot_probabilities(
    update: Any, random: RandomNumbers, ordinal: int, side: Side
) -> Floats:
    """Return the probability that a slot of each line fires; it may exceed 1."""
    given = update.res
    if update.pulse_type is PulseType.DETERMINISTIC_IMPLICIT:
        given = update.x_res_implicit if side.is_x else update.d_res_implicit
    res = resolution(given)
    with np.errstate(over="ignore", under="ignore"):
        q = np.abs(side.values) * side.scale
        if res > 0:
            shift = F32(0)
            if update.sto_round:
                u = random.uniforms(side.round_stream, side.lines, ordinal)
                shift = u - F32(0.5)
            q = round_to_grid(q, res, shift)
    return np.abs(np.where(side.values == 0, F32(0), q))


def pulse_trains(
    random: RandomNumbers, ordinal: int, side: Side, q: Floats, length: int
) -> NDArray[np.bool_]:
    """Make the random trains of one side for one vector: shape (lines, slots)."""
    slots = np.arange(length)
    word, slot = slots // SLOTS_PER_WORD, slots % SLOTS_PER_WORD
    bits = np.zeros((side.values.size, length), dtype=np.bool_)
    bits[q >= 1] = True
    chance = (q > 0) & (q < 1)
    if chance.any() and length > 0:
        words = random.words(
            side.train_stream,
            side.lines[chance][:, None],
            ordinal,
            draw=BLOCKS_PER_WORD * word + slot // 4,
            part=slot % 4,
            shares_block=True,
        )
        limit = np.floor(q[chance].astype(np.float64) * 2.0**32)
        bits[chance] = words < limit[:, None]
    return bits


def pulse_factors(update: Any, side: Side, q: Floats, length: int) -> Floats:
    """Return what both sides multiply to counts of pulses."""
    if length == 0:
        return np.zeros_like(side.values)
    slots = F32(length)
    with np.errstate(over="ignore"):
        if update.pulse_type is PulseType.MEAN_COUNT:
            n = clip(np.rint(slots * q), F32(0), slots)
            return n if side.is_x else n / slots
    q = clip(q, F32(0), F32(1))
    return q if side.is_x else q * slots


def pulses_of_words(
    update: Any, length: int, x: NDArray[Any], d: NDArray[Any]
) -> list[NDArray[np.int64]]:
    """Count the pulses of each crosspoint for each word of a train.

    Parameters
    ----------
    update : UpdateParameters
        Settings of the update.
    length : int
        Number of slots.
    x, d : ndarray
        Trains or factors of both sides.

    Returns
    -------
    list of ndarray, shape (out, in)
    """
    counts = []
    for first in range(0, length, SLOTS_PER_WORD):
        if x.dtype == np.bool_:
            word = slice(first, first + SLOTS_PER_WORD)
            counts.append(d[:, word].astype(np.int64) @ x[:, word].astype(np.int64).T)
        else:
            with np.errstate(under="ignore"):
                total = np.rint(d[:, None] * x[None, :]).astype(np.int64)
            counts.append(clip(total - first, 0, SLOTS_PER_WORD))
    return counts


class Train:
    """The pulses of one vector, or of a write: settings and random numbers.

    Parameters
    ----------
    update : UpdateParameters
        Settings of the update.
    random : RandomNumbers
        With the plane that the trains belong to.
    ordinal : int
        Number of the vector, or of the write.
    write : bool
        Whether it is a write of a slice or a row.
    vector : int
        Number of the vector in its mini-batch.
    zeros : Zeros
        Where whoever makes these trains counts zeros.

    Attributes
    ----------
    zero_share : float
        Share of lines of d without a pulse in any slot, of the last words.
    made : tuple
        ``(length, x, d)`` of the last words: the bits of random trains, or the factors
        of counts.
    """

    def __init__(
        self,
        update: Any,
        random: RandomNumbers,
        ordinal: int,
        write: bool = False,
        vector: int = 0,
        zeros: Zeros | None = None,
    ) -> None:
        self.update = update
        self.random = random
        self.ordinal = ordinal
        self.write = write
        self.vector = vector
        self.zeros = Zeros() if zeros is None else zeros
        self.zero_share = F32(0)

    @property
    def aggregates(self) -> bool:
        """Whether a portion of the pulses has one draw of noise."""
        aggregation: NoiseAggregation = self.update.noise_aggregation
        return aggregation is NoiseAggregation.BATCH

    def words(self, x: Floats, d: Floats, lr: Any, granularity: float) -> list[Word]:
        """Return the pulses of each crosspoint, word by word, and where they go up."""
        update = self.update
        length, a, b = pulse_train_scales(
            update, lr, granularity, np.abs(x).max(), np.abs(d).max()
        )
        trains: list[NDArray[Any]] = []
        for side in (Side(x, b, True, self.write), Side(d, a, False, self.write)):
            q = slot_probabilities(update, self.random, self.ordinal, side)
            if update.pulse_type in RANDOM_TRAINS:
                trains.append(pulse_trains(self.random, self.ordinal, side, q, length))
            else:
                trains.append(pulse_factors(update, side, q, length))
        x_train, d_train = trains
        zeros = np.count_nonzero(q == 0) if length > 0 else 0
        self.zero_share = F32(zeros) / F32(q.size)
        self.made = (length, x_train, d_train)
        # A positive product lowers the weight, if the learning rate is positive.
        positive = np.signbit(d)[:, None] == np.signbit(x)[None, :]
        up = positive if lr < 0 else ~positive
        return [
            (pulses, up) for pulses in pulses_of_words(update, length, x_train, d_train)
        ]
