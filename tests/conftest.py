"""Hypothesis profiles, seeds of tests with random outcomes, and where tests run."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from rpupy.rpu_base import cuda

# Failing examples are remembered here whatever the working directory.
DATABASE = DirectoryBasedExampleDatabase(
    Path(__file__).parents[1] / ".hypothesis" / "examples"
)

# Tiles are built once for each example: the time of the first one says nothing of the next.
settings.register_profile("dev", max_examples=20, deadline=None, database=DATABASE)
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, print_blob=True
)
settings.register_profile(
    "nightly",
    max_examples=2000,
    deadline=None,
    database=DATABASE,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `pytest --hypothesis-profile=NAME` is read later and wins.
settings.load_profile("dev")


@pytest.fixture(scope="session", autouse=True)
def _empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the tests in an empty folder.

    A Python that a test starts with ``-c`` looks in its working directory first. In a
    source tree it would find ./rpupy there, which need not be built, and not the rpupy
    that is tested.
    """
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("empty"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed of the suite; RPUPY_TEST_SEED sets another."""
    return int(os.environ.get("RPUPY_TEST_SEED", "20240229"))


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> np.random.Generator:
    """Generator of this test alone: no test changes the numbers of another."""
    name = request.node.nodeid.encode()
    return np.random.default_rng([seed, *name])


_HOST = pytest.param(
    "cuda_host",
    marks=pytest.mark.skipif(
        not cuda.is_host_compiled(), reason="built with RPUPY_CUDA_HOST=0"
    ),
)
_GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.cuda,
        pytest.mark.skipif(not cuda.is_available(), reason=cuda.why_unavailable()),
    ],
)


@pytest.fixture(params=[_HOST, _GPU])
def backend(request: pytest.FixtureRequest) -> str:
    """Name of a backend that runs the CUDA kernels."""
    return request.param


@pytest.fixture(params=["cpu", _HOST, _GPU])
def any_backend(request: pytest.FixtureRequest) -> str:
    """Name of each backend in turn."""
    return request.param


def pytest_report_header() -> str:
    """Say which seed a failure belongs to."""
    return f"RPUPY_TEST_SEED={os.environ.get('RPUPY_TEST_SEED', '20240229')}"
