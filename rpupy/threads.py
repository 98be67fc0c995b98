"""How many threads a kernel call may use, for all tiles of the process.

The default is the environment variable OMP_NUM_THREADS as it is when rpupy is imported,
or the number of processors that this process may run on. A forked child runs with one
thread: an OpenMP region in it would wait for threads that were not copied, and hang.
"""

from __future__ import annotations

import os

import numpy as np

__all__ = ["get_num_threads", "set_num_threads"]


def _default_num_threads() -> int:
    # OMP_NUM_THREADS may be a list, one number for each level of nesting.
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if first.isascii() and first.isdigit() and int(first) >= 1:
        return min(int(first), _MAX_THREADS)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no such call outside Linux
        return os.cpu_count() or 1


# Kernels take the number as a C int; more than this many threads is a mistake anyway.
_MAX_THREADS = 1024

_num_threads = _default_num_threads()
_forked = False


def _after_fork_in_child() -> None:
    global _num_threads, _forked
    _num_threads = 1
    _forked = True


os.register_at_fork(after_in_child=_after_fork_in_child)


def get_num_threads() -> int:
    """Return how many threads a kernel call may use.

    Returns
    -------
    int
        At least 1.
    """
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set how many threads a kernel call may use; no result depends on it.

    Parameters
    ----------
    n : int
        From 1 to 1024. Small calls use one thread in any case.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer, or out of range.
    RuntimeError
        If `n` is above 1 in a forked child, where OpenMP would hang.
    """
    global _num_threads
    if isinstance(n, (bool, np.bool_)) or not hasattr(n, "__index__"):
        raise TypeError(f"n must be an integer, got {n!r}")
    number = n.__index__()
    if not 1 <= number <= _MAX_THREADS:
        raise ValueError(f"n must be in [1, {_MAX_THREADS}], got {n!r}")
    if _forked and number > 1:
        raise RuntimeError(
            f"n must be 1 in a forked process, got {n!r}: an OpenMP region hangs there;"
            ' start processes with multiprocessing.get_context("spawn") to use threads'
        )
    _num_threads = number
