"""What the tests of equal bits share: the runs, and what each gives on one thread."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import pytest

import rpupy

_RUNS = Path(__file__).with_name("runs.py")


def _load_runs():
    spec = importlib.util.spec_from_file_location("same_bits_runs", _RUNS)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up, and test modules import it by this name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runs = _load_runs()


@pytest.fixture(autouse=True)
def _one_thread():
    before = rpupy.get_num_threads()
    rpupy.set_num_threads(1)
    yield
    rpupy.set_num_threads(before)


@functools.cache
def _reference(name):
    return runs.run(runs.SCENARIOS[name])


@pytest.fixture(scope="session")
def reference():
    """Digests of a scenario's run by name: whole batches, one thread, without stops."""

    def of(name):
        assert rpupy.get_num_threads() == 1 or name in computed
        computed.add(name)
        return _reference(name)

    computed = set()
    return of
