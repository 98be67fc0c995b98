"""The number of threads, and what a forked child may do."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import rpupy
from rpupy import threads
from rpupy.tiles import AnalogTile


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = rpupy.get_num_threads()
    yield
    rpupy.set_num_threads(before)


def test_set_and_get() -> None:
    for n in (1, 2, np.int64(3)):
        rpupy.set_num_threads(n)
        assert rpupy.get_num_threads() == n
        assert type(rpupy.get_num_threads()) is int


@pytest.mark.parametrize("n", [0, -1, 2**31])
def test_out_of_range(n: int) -> None:
    with pytest.raises(ValueError, match=rf"n must be in \[1, 1024\], got {n}"):
        rpupy.set_num_threads(n)


@pytest.mark.parametrize("n", [True, 1.0, "2", None, np.bool_(True)])
def test_wrong_type(n: object) -> None:
    before = rpupy.get_num_threads()
    with pytest.raises(TypeError, match="n must be an integer, got"):
        rpupy.set_num_threads(n)
    assert rpupy.get_num_threads() == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3),
        (" 5 ", 5),
        ("4,2", 4),
        ("0", None),
        ("-2", None),
        ("x", None),
        ("", None),
    ],
)
def test_default(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    if expected is None:
        expected = len(os.sched_getaffinity(0))
    assert threads._default_num_threads() == expected


def test_default_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert threads._default_num_threads() == (os.cpu_count() or 1)


def test_the_environment_decides_at_import() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    program = "import rpupy; assert rpupy.get_num_threads() == 3"
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def _in_child(function: Callable[[], None]) -> None:
    """Run in a forked child, which must come back within a minute."""
    program = os.fork()
    if program == 0:
        try:
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(program, 0)[1] == 0


def test_a_forked_child_has_one_thread_and_works() -> None:
    rpupy.set_num_threads(2)
    tile = AnalogTile(200, 300, rng=0)
    twin = tile.copy()
    x = np.linspace(-1, 1, 64 * 300).reshape(64, 300)
    d = np.linspace(-1, 1, 64 * 200).reshape(64, 200)
    # An OpenMP region before the fork: one after it would hang with two threads.
    expected = tile(x)
    tile.update(x, d)

    def child() -> None:
        assert rpupy.get_num_threads() == 1
        assert np.array_equal(twin(x), expected)
        twin.update(x, d)
        assert np.array_equal(twin.get_weights()[0], tile.get_weights()[0])
        rpupy.set_num_threads(1)
        with pytest.raises(RuntimeError, match=r"forked .*spawn"):
            rpupy.set_num_threads(2)
        assert rpupy.get_num_threads() == 1

    _in_child(child)
    assert rpupy.get_num_threads() == 2
