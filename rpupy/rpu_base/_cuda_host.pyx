# cython: language_level=3, boundscheck=False, embedsignature=True
# distutils: language = c++
"""The CUDA kernels compiled for the host, to be tested where there is no GPU."""

include "_cuda.pyx"

from libc.stdint cimport uintptr_t


cdef extern from "host/runtime.h" namespace "rpupy::host":
    size_t _memory_limit "rpupy::host::memory_limit"
    size_t _memory_used "rpupy::host::memory_used.load"()
    bint _threads_backwards "rpupy::host::threads_backwards"
    int _devices "rpupy::host::devices"
    int _unfinished_copies "rpupy::host::unfinished_copies.load"()
    int _calls_left "rpupy::host::calls_left.load"()
    void _set_calls_left "rpupy::host::calls_left.store"(int)
    uintptr_t _waited_for "rpupy::host::waited_for.load"()


def memory_used():
    """Bytes that are allocated on the device that there is not."""
    return _memory_used()


def set_memory_limit(limit=None):
    """Let allocations fail beyond this number of bytes; None: never."""
    global _memory_limit
    _memory_limit = <size_t> -1 if limit is None else <size_t> limit


def run_threads_backwards(backwards):
    """Let the threads of a block run from the last to the first, between barriers."""
    global _threads_backwards
    _threads_backwards = backwards


def set_device_count(count):
    """Let there be so many devices."""
    global _devices
    _devices = count


def fail_call(number=None):
    """Let the call of the runtime fail before which so many others succeed; None: no call.

    Answers how many of the last number were left: below 0 if the call has come and failed.
    """
    left = _calls_left()
    _set_calls_left(-1 if number is None else number)
    return left


def unfinished_copies():
    """Copies from or to memory of the host for which nobody has waited."""
    return _unfinished_copies()


def waited_for():
    """The stream of another library that a stream was last told to wait for."""
    return _waited_for()
