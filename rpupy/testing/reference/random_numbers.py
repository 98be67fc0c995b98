"""The random numbers of a tile, and a log of those that were used."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arithmetic import F32, Words


class Stream(enum.IntEnum):
    """What random numbers are for: the top byte of a counter."""

    DEVICE = 0
    IO_DEVICE = 1
    INIT = 2
    TRAIN_X = 3
    TRAIN_D = 4
    ROUND_X = 5
    ROUND_D = 6
    WRITE_TRAIN_X = 7
    WRITE_TRAIN_D = 8
    PULSE = 9
    AGGREGATE = 10
    APPARENT = 11
    APPARENT_ALL = 12
    DIFFUSE = 13
    RESET = 14
    DRIFT = 15
    CHOP_IN = 16
    CHOP_OUT = 17
    SELECT = 18
    QUANTISE_X = 19
    QUANTISE_D = 20
    WRITE_ROUND_X = 21
    WRITE_ROUND_D = 22
    PRODUCT = 32


class Pass(enum.IntEnum):
    """Passes of the product; their streams are ``PRODUCT + 5 * pass + purpose``."""

    FORWARD = 0
    FORWARD_EVAL = 1
    BACKWARD = 2
    BACKWARD_EVAL = 3
    READ = 4


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
    OWN_0 = 12
    OWN_1 = 13
    OWN_2 = 14


class LineDraw(enum.IntEnum):
    """Draws of a line, and of a device for negative inputs, numbered as those of devices.

    Lines of the backward direction have the numbers of the second four.
    """

    OUT_NOISE = 0
    NONLINEARITY = 1
    V_OFFSET = 2
    BACKWARD = 4
    W_ASYMMETRY = 8


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


def key_of(seed: np.random.SeedSequence) -> tuple[int, int]:
    """Return the key of a tile's random numbers."""
    first, second = seed.generate_state(2, np.uint32)
    return int(first), int(second)
