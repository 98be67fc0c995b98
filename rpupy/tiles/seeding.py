"""Seeds of tiles: what users may give as `rng`, and how a seed is saved."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from rpupy.errors import StateError

__all__ = [
    "PROBES",
    "SPAWNED",
    "child_seed",
    "seed_from_dict",
    "seed_sequence",
    "seed_to_dict",
]

#: Marks in the spawn keys of child seeds. They keep the children of a tile apart from
#: those that its user may spawn from the same SeedSequence, which count from 0.
SPAWNED = 0x7370776E
PROBES = 0x70726F62


def seed_sequence(rng: Any) -> np.random.SeedSequence:
    """Turn what a user gave into a seed of its own.

    Parameters
    ----------
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        None takes fresh entropy from the system. An int (not negative) or a
        SeedSequence is used as it is and not changed. From a Generator, 128 bits are
        drawn.

    Returns
    -------
    numpy.random.SeedSequence

    Raises
    ------
    TypeError, ValueError
        If `rng` is of another type, or negative.
    """
    if isinstance(rng, np.random.SeedSequence):
        return np.random.SeedSequence(
            _plain(rng.entropy), spawn_key=rng.spawn_key, pool_size=rng.pool_size
        )
    if isinstance(rng, np.random.Generator):
        return np.random.SeedSequence(int.from_bytes(rng.bytes(16), "little"))
    if rng is None:
        return np.random.SeedSequence()
    if isinstance(rng, (bool, np.bool_)) or not isinstance(rng, (int, np.integer)):
        raise TypeError(
            "rng must be None, an int, a numpy.random.SeedSequence or a"
            f" numpy.random.Generator, got {rng!r}"
        )
    if rng < 0:
        raise ValueError(f"rng must not be negative, got {rng!r}")
    return np.random.SeedSequence(int(rng))


def child_seed(
    seed: np.random.SeedSequence, purpose: int, number: int
) -> np.random.SeedSequence:
    """Derive an independent seed.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        The parent, which is not changed.
    purpose : int
        `SPAWNED` or `PROBES`.
    number : int
        Number of the child among those of this purpose.

    Returns
    -------
    numpy.random.SeedSequence
    """
    return np.random.SeedSequence(
        seed.entropy,
        spawn_key=(*seed.spawn_key, purpose, number),
        pool_size=seed.pool_size,
    )


def seed_to_dict(seed: np.random.SeedSequence) -> dict[str, Any]:
    """Write a seed of `seed_sequence` as what JSON can hold.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        A seed.

    Returns
    -------
    dict
        ``entropy`` (hexadecimal, or a list of such), ``spawn_key``, ``pool_size``.
    """
    entropy: Any = seed.entropy
    # Entropy can have more digits than Python reads as a decimal number.
    text = hex(entropy) if isinstance(entropy, int) else [hex(word) for word in entropy]
    return {
        "entropy": text,
        "spawn_key": [int(word) for word in seed.spawn_key],
        "pool_size": seed.pool_size,
    }


def seed_from_dict(data: Any) -> np.random.SeedSequence:
    """Read what `seed_to_dict` wrote.

    Parameters
    ----------
    data : dict
        What `seed_to_dict` returned.

    Returns
    -------
    numpy.random.SeedSequence

    Raises
    ------
    StateError
        If it has another form.
    """
    try:
        text, key, pool_size = data["entropy"], data["spawn_key"], data["pool_size"]
        if isinstance(text, str):
            entropy: Any = int(text, 16)
        else:
            entropy = [int(word, 16) for word in text]
        # The pool is memory, and mixing it takes quadratic time.
        if not 4 <= operator.index(pool_size) <= 1024:
            raise ValueError(f"pool_size must be in [4, 1024], got {pool_size}")
        key = tuple(operator.index(word) for word in key)
        return np.random.SeedSequence(entropy, spawn_key=key, pool_size=pool_size)
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the saved seed cannot be read: {error}") from error


def _plain(entropy: Any) -> Any:
    """Return entropy as an int, or as a flat list of ints, which seeds the same."""
    if isinstance(entropy, (int, np.integer)):
        return int(entropy)
    return list(_words(entropy))


def _words(entropy: Any) -> Iterable[int]:
    if isinstance(entropy, str):
        yield int(entropy, 16 if entropy.startswith("0x") else 10)
    elif isinstance(entropy, Iterable):
        for part in entropy:
            yield from _words(part)
    else:
        yield operator.index(entropy)
