"""The generator of the kernels against published vectors and against NumPy."""

import numpy as np
import pytest

from rpupy.rpu_base import _cpu
from rpupy.testing.reference import philox4x32

ISAS = _cpu.available_isas()

# Random123, examples/kat_vectors, philox4x32 with 10 rounds: counter, key, result.
PUBLISHED = [
    (
        [0, 0, 0, 0],
        [0, 0],
        [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8],
    ),
    (
        [0xFFFFFFFF] * 4,
        [0xFFFFFFFF] * 2,
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (  # digits of pi
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
@pytest.mark.parametrize("isa", ISAS)
def test_published_vectors(isa, counter, key, words):
    # Every lane of a vector and the part behind the last whole one.
    blocks = _cpu.draw_words([counter] * 37, key, isa_name=isa)
    assert (blocks == np.array(words, dtype=np.uint32)).all()


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_published_vectors_in_the_model(counter, key, words):
    assert philox4x32(counter, tuple(key)).tolist() == words


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [1, 3, 4, 5, 15, 16, 17, 1000])
def test_random_counters_equal_the_model(isa, n):
    rng = np.random.default_rng(n)
    counters = rng.integers(0, 2**32, (n, 4), dtype=np.uint32)
    key = rng.integers(0, 2**32, 2, dtype=np.uint32)
    expected = philox4x32(counters, (int(key[0]), int(key[1])))
    found = _cpu.draw_words(counters, key, isa_name=isa)
    assert np.array_equal(found, expected)


def test_each_word_of_the_counter_and_of_the_key_matters():
    base = _cpu.draw_words([[1, 2, 3, 4]], [5, 6])
    for word in range(4):
        counter = np.array([[1, 2, 3, 4]], dtype=np.uint32)
        counter[0, word] ^= 1 << 31
        assert (_cpu.draw_words(counter, [5, 6]) != base).all()
    assert (_cpu.draw_words([[1, 2, 3, 4]], [5, 7]) != base).all()
    assert (_cpu.draw_words([[1, 2, 3, 4]], [4, 6]) != base).all()
