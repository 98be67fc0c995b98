"""Normal numbers of the kernels: law, independence, accuracy, extremes."""

import numpy as np
import pytest
from scipy.special import ndtr

from rpupy.rpu_base import _cpu
from rpupy.testing.reference import normal_of_words
from rpupy.testing.statistics import assert_mean

ISAS = _cpu.available_isas()
FALSE_ALARM = 1e-6


def blocks(first, count, ordinal=0, key=(0x243F6A88, 0x85A308D3)):
    counters = np.zeros((count, 4), dtype=np.uint32)
    counters[:, 0] = np.arange(first, first + count)
    counters[:, 1] = ordinal
    return _cpu.draw_words(counters, key)


def edge_words():
    """All words near 0, 2^32, powers of two and the switch of formula at 2^32.5 / 2."""
    near = np.arange(-4000, 4001)
    powers = [2**k + np.arange(-40, 41) for k in range(12, 32)]
    at = np.concatenate([near, near + 2**32, near + 0xB504F334, *powers])
    return np.unique(at[(at >= 0) & (at < 2**32)]).astype(np.uint32)


EDGE_ANGLES = np.array(
    [
        base + offset
        for base in range(0, 2**32, 2**29)
        for offset in (0, 1, 2, 3, 64, 2**28, 2**29 - 1)
    ],
    dtype=np.uint32,
)


def pairs_to_normals(radius, angle, isa=None):
    """Both normals of every radius with every angle: shape (2, n)."""
    r, a = (part.ravel() for part in np.meshgrid(radius, angle))
    z = _cpu.words_to_normals(np.stack([r, a, a, r], axis=-1), isa_name=isa)
    return z.T[:2], np.stack([normal_of_words(r, a, second) for second in (0, 1)])


# Massart's inequality over 1e7 numbers (see statistics.assert_distribution): a distance
# of 1.2e-3 is noticed.  Moments: deviations of 2.5e-3 (mean), 3.5e-3 (square), 1e-2
# (cube) and 0.025 (fourth power).  Eight tests of 1e-6 each.
def test_ten_million_normals_follow_the_law():
    chunks, per_chunk = 20, 125_000
    n = chunks * per_chunk * 4
    bins = np.zeros(65536 + 1, dtype=np.int64)
    powers = np.zeros(5)
    tail = np.zeros(3)
    for chunk in range(chunks):
        words = blocks(chunk * per_chunk, per_chunk)
        z = _cpu.words_to_normals(words).ravel().astype(np.float64)
        bins += np.bincount((ndtr(z) * 65536).astype(np.int64), minlength=bins.size)
        square = z * z
        powers[1:] += z.sum(), square.sum(), (square * z).sum(), (square**2).sum()
        tail += [(np.abs(z) > limit).sum() for limit in (3.0, 4.0, 5.0)]
    exponent = np.log(2 / FALSE_ALARM)
    found = np.cumsum(bins[:-1]) / n
    distance = np.abs(found - np.arange(1, 65537) / 65536).max()
    assert distance <= np.sqrt(exponent / (2 * n))
    for power, (moment, std) in enumerate(
        [(0.0, 1.0), (1.0, np.sqrt(2)), (0.0, np.sqrt(15)), (3.0, np.sqrt(96))], start=1
    ):
        assert abs(powers[power] / n - moment) <= std * np.sqrt(2 * exponent / n)
    for limit, count in zip((3.0, 4.0, 5.0), tail, strict=True):
        expected = 2 * ndtr(-limit) * n
        assert abs(count - expected) <= np.sqrt(2 * expected * exponent) + exponent / 3


@pytest.mark.parametrize("lag", ["pair", "values", "elements", "ordinals", "keys"])
def test_neighbours_are_independent(lag):
    """Correlations of 0.011, and of squares of 0.011, are seen; 2e-6 false alarms."""
    n = 500_000
    z = _cpu.words_to_normals(blocks(0, n)).astype(np.float64)
    if lag == "pair":
        one, two = z[:, 0], z[:, 1]
    elif lag == "values":
        one, two = z[:, 1], z[:, 2]
    elif lag == "elements":
        one, two = z[:-1, 0], z[1:, 0]
    else:
        change = {"ordinal": 1} if lag == "ordinals" else {"key": (0x243F6A88, 5)}
        one, two = z[:, 0], _cpu.words_to_normals(blocks(0, n, **change))[:, 0]
    assert_mean(one * two, 0.0, 1.0, false_alarm=FALSE_ALARM)
    assert_mean((one**2 - 1) * (two**2 - 1), 0.0, 2.0, false_alarm=FALSE_ALARM)


def test_bits_of_words_are_fair_and_independent_of_the_neighbour():
    words = blocks(0, 250_000)
    for sample in (words, words[1:] ^ words[:-1], words[:, 1:] ^ words[:, :-1]):
        bits = np.unpackbits(np.ascontiguousarray(sample).view(np.uint8))
        ones = bits.reshape(-1, 32).sum(axis=1, dtype=np.int64)
        assert_mean(ones, 16.0, np.sqrt(8.0), largest=16.0, false_alarm=FALSE_ALARM)


def test_accuracy():
    """Absolute error below 1e-6 and relative error below 4e-7, 7 ulp at most."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**32, (500_000, 4), dtype=np.uint32)
    z = _cpu.words_to_normals(words)
    for value in range(4):
        radius, angle = words[:, value // 2 * 2], words[:, value // 2 * 2 + 1]
        exact = normal_of_words(radius, angle, value % 2 == 1)
        error = np.abs(z[:, value] - exact)
        assert error.max() < 1e-6
        assert (error <= 4e-7 * np.abs(exact)).all()


def test_accuracy_at_the_edges():
    z, exact = pairs_to_normals(edge_words(), EDGE_ANGLES)
    assert np.isfinite(z).all()
    error = np.abs(z - exact)
    assert error.max() < 1e-6
    # An exact zero of the sine or cosine is a rounding error of pi in the formula.
    assert (error <= 4e-7 * np.abs(exact) + 1e-15).all()


def test_extremes():
    largest = np.sqrt(2 * 33 * np.log(2))  # of the word 0
    words = np.array(
        [[0, quarter << 30, 2**32 - 1, quarter << 30] for quarter in range(4)],
        dtype=np.uint32,
    )
    z = _cpu.words_to_normals(words)
    assert largest > 6.5
    turns = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    np.testing.assert_allclose(z[:, :2], largest * turns, rtol=3e-7)
    # All ones: u is one half of 2^-32 below 1, and the radius as small as it gets.
    smallest = np.sqrt(2 * 2.0**-33)
    np.testing.assert_allclose(z[:, 2:], smallest * turns, rtol=3e-7)


def test_the_radius_falls_with_the_word():
    """Within one ulp, also where one form of the logarithm hands over to the other."""
    words = edge_words()
    block = np.zeros((words.size, 4), dtype=np.uint32)
    block[:, 0] = words
    z = _cpu.words_to_normals(block)[:, 0]
    assert (np.diff(z) <= np.spacing(z[1:])).all()


@pytest.mark.parametrize("isa", ISAS)
def test_same_bits_on_every_instruction_set(isa):
    rng = np.random.default_rng(2)
    words = rng.integers(0, 2**32, (20_001, 4), dtype=np.uint32)
    words[: EDGE_ANGLES.size, 1] = EDGE_ANGLES
    words[: 4 * 1000 : 4, 0] = edge_words()[:1000]
    first = _cpu.words_to_normals(words, isa_name=ISAS[0])
    found = _cpu.words_to_normals(words, isa_name=isa)
    assert np.array_equal(found.view(np.uint32), first.view(np.uint32))
