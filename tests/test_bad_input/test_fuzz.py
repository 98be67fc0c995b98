"""A little of `tests/fuzz.py`: random calls and altered files, which hypothesis draws."""

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bad_input_tools import TILES, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: As many examples as the profile asks for.
patient = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
    ],
)
#: Each draw of the generator is one that hypothesis makes, and makes smaller.
draws = st.randoms(use_true_random=False)


def load_script():
    path = Path(__file__).parents[1] / "fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_script()


def within_bounds(tile):
    parameters = tile.get_hidden_parameters()
    if not parameters:
        return True
    weights = parameters.get("persistent_weights", tile.tile.get_weights())
    low, high = parameters["min_bound"], parameters["max_bound"]
    # Hidden parameters can be set so that bounds cross: then the lower one holds.
    high = np.maximum(low, high)
    return bool((weights <= high).all() and (weights >= low).all())


@patient
@given(draws)
def test_any_configuration(rnd):
    fuzz.life(rnd, Counter(), length=6)


@patient
@given(st.sampled_from(sorted(TILES)), draws)
def test_random_calls(kind, rnd):
    tile = made(kind)
    calls = fuzz.calls_of(tile)
    before = fuzz.fingerprint(tile)
    for _ in range(6):
        name, arguments = fuzz.random_call(rnd, tile, calls)
        before, _ = fuzz.try_call(tile, name, arguments, before, raising=False)
        assert within_bounds(tile), (name, arguments)


@patient
@given(st.sampled_from(["constant", "soft", "ideal"]), draws)
def test_failed_calls_do_not_change_what_follows(kind, rnd):
    # The same calls without those that fail give the same tile.
    tile = made(kind)
    calls, before, kept = fuzz.calls_of(tile), fuzz.fingerprint(tile), []
    for _ in range(5):
        name, arguments = fuzz.random_call(rnd, tile, calls)
        before, refusal = fuzz.try_call(tile, name, arguments, before, raising=True)
        if refusal is None:
            kept.append((name, arguments))
    twin = made(kind)
    with np.errstate(all="raise"):
        for name, arguments in kept:
            fuzz.call(twin, name, arguments)
    assert fuzz.fingerprint(twin) == before


@patient
@given(draws)
def test_altered_files(rnd):
    fuzz.altered_files(rnd, Counter(), length=3)


def test_every_method_that_takes_arguments_is_called():
    names = {name for name, given in fuzz.calls_of(made("soft")) if given}
    assert {"forward", "update", "set_weights", "reset_columns", "bias ="} < names


def test_what_the_script_finds_fails():
    # A tile that a refused call changes, and a file that takes more memory than it may.
    tile = made("constant")

    def broken(x_input):
        tile.tile._counters["forward"] += 1
        raise ValueError("x_input must be something else")

    before = fuzz.fingerprint(tile)
    tile.forward = broken
    with pytest.raises(AssertionError, match=r"forward raised .* and changed the tile"):
        fuzz.try_call(tile, "forward", {"x_input": 1}, before, raising=False)
    tile.forward = lambda x_input: {}[x_input]
    with pytest.raises(KeyError):
        fuzz.try_call(tile, "forward", {"x_input": 1}, before, raising=False)


def test_memory_of_loading_is_watched(tmp_path, monkeypatch):
    def greedy(path):
        np.ones(10**6)
        raise fuzz.StateError("it is damaged")

    with fuzz.watched_memory():
        assert fuzz.load_altered(tmp_path / "file", b"PK") == "refused"
        monkeypatch.setattr(fuzz, "load", greedy)
        with pytest.raises(AssertionError, match="bytes were taken for a file of 2"):
            fuzz.load_altered(tmp_path / "file", b"PK")


def test_the_command(tmp_path):
    for kind, count in (("calls", 200), ("files", 40)):
        command = [sys.executable, fuzz.__file__, kind, "--count", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{kind} in" in done.stdout and ", 0 failures" in done.stdout
