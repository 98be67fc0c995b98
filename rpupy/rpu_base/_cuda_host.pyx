# cython: language_level=3, boundscheck=False, embedsignature=True
# distutils: language = c++
"""The CUDA kernels compiled for the host, to be tested where there is no GPU."""

include "_cuda.pyx"


cdef extern from "host/runtime.h" namespace "rpupy::host":
    size_t _memory_limit "rpupy::host::memory_limit"
    size_t _memory_used "rpupy::host::memory_used"
    bint _threads_backwards "rpupy::host::threads_backwards"


def memory_used():
    """Bytes that are allocated on the device that there is not."""
    return _memory_used


def set_memory_limit(limit=None):
    """Let allocations fail beyond this number of bytes; None: never."""
    global _memory_limit
    _memory_limit = <size_t> -1 if limit is None else <size_t> limit


def run_threads_backwards(backwards):
    """Let the threads of a block run from the last to the first, between barriers."""
    global _threads_backwards
    _threads_backwards = backwards
