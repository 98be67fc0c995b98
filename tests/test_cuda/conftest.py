"""The backends that have to give the CPU's bits: the host-compiled kernels, and a GPU."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rpupy.rpu_base import cuda

_RUNS = Path(__file__).parents[1] / "test_same_bits" / "runs.py"


def _load_runs() -> ModuleType:
    name = "same_bits_runs"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _RUNS)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def runs() -> ModuleType:
    """The scenarios of the tests of equal bits."""
    return _load_runs()


@pytest.fixture
def host() -> Iterator[ModuleType]:
    """The host-compiled module, whose hooks are put back afterwards."""
    if not cuda.is_host_compiled():
        pytest.skip("built with RPUPY_CUDA_HOST=0")
    from rpupy.rpu_base import _cuda_host

    yield _cuda_host
    _cuda_host.set_memory_limit(None)
    _cuda_host.run_threads_backwards(False)
    _cuda_host.fail_call(None)
    _cuda_host.set_device_count(1)
