"""A seed decides every number of a training run, however it is run."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import same_bits_runs as runs

import rpupy
from rpupy import tiles
from rpupy.configs import BoundManagementType
from rpupy.rpu_base import _cpu

HERE = Path(__file__).parent
ALL = list(runs.SCENARIOS)
LARGE = [name for name in ALL if runs.SCENARIOS[name].large]


def python(*arguments, **environment):
    """Run a Python program, with this rpupy, and return what it printed."""
    package = str(Path(rpupy.__file__).parents[1])
    search = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": search, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# ---- the scenarios are what they are meant to be -----------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_digest_of_a_run_differs(name, reference):
    digests = reference(name)
    assert len(set(digests)) == len(digests) == runs.STEPS + 1


@pytest.mark.parametrize("name", [n for n in ALL if "floating" not in n])
def test_rounds_of_bound_management_really_happen(name):
    scenario = runs.SCENARIOS[name]
    tile = scenario.tile()
    config = tile.rpu_config
    assert config.forward.bound_management is not BoundManagementType.NONE
    x = runs.numbers((scenario.batch, scenario.in_size), 1000)
    y = np.abs(tile.forward(x))
    # More than the converter can hold: the input was reduced at least once.
    largest = np.abs(x).max(axis=1, keepdims=True)
    if scenario.bias:
        largest = np.maximum(largest, 1.0)
    reduced = (y > 1.001 * config.forward.out_bound * largest).any(axis=1)
    assert reduced.any() or scenario.in_size == 1


@pytest.mark.parametrize("name", [n for n in ALL if "ideal" not in n])
def test_weights_move_and_devices_get_pulses(name):
    scenario = runs.SCENARIOS[name]
    tile = scenario.tile()
    before = tile.tile.get_weights()
    for number in range(runs.STEPS):
        runs.step(tile, number, scenario.batch)
    assert (tile.tile.get_weights() != before).mean() > 0.8
    ordinals = tile.tile.state()[1].get("pulse_ordinals")
    if ordinals is not None:
        assert ordinals.mean() > 4


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="counts threads in /proc"
)
@pytest.mark.skipif(not _cpu.openmp_enabled(), reason="built without OpenMP")
def test_threads_really_run():
    # A pool grows to the largest team that has run, so each kind of call asks for more.
    program = """
import os, numpy as np, rpupy
from rpupy.configs import SingleRPUConfig, SoftBoundsDevice
from rpupy.tiles import AnalogTile, FloatingPointTile
rpupy.set_num_threads(1)
device = SoftBoundsDevice(lifetime=10.0, diffusion=0.1)
tile = AnalogTile(300, 300, SingleRPUConfig(device=device), rng=0)
exact = FloatingPointTile(300, 300, rng=0)
x = np.ones((96, 300), np.float32)
calls = [
    lambda: tile.forward(x),
    lambda: tile.backward(x),
    lambda: tile.update(x, x),
    tile.decay_weights,
    tile.diffuse_weights,
    tile.reset,
    lambda: tile.set_weights(np.zeros((300, 300))),
    lambda: exact.update(x, x),
    lambda: exact.forward(x),
]
for call in calls:
    call()
alone = len(os.listdir("/proc/self/task"))
for number, call in enumerate(calls, 2):
    rpupy.set_num_threads(number)
    call()
    print(number, len(os.listdir("/proc/self/task")) - alone + 1)
"""
    lines = python("-c", program).split("\n")[:-1]
    assert lines == [f"{n} {n}" for n in range(2, 11)]


# ---- threads, instruction sets, batches --------------------------------------------


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("name", ALL)
def test_threads_change_nothing(name, n_threads, reference):
    expected = reference(name)
    rpupy.set_num_threads(n_threads)
    assert runs.run(runs.SCENARIOS[name]) == expected


@pytest.mark.parametrize("isa", _cpu.available_isas())
def test_instruction_sets_change_nothing(isa, reference):
    # One process for all scenarios, with threads, so that both are at work together.
    printed = python(HERE / "runs.py", "run", *ALL, RPUPY_ISA=isa, OMP_NUM_THREADS="2")
    result = json.loads(printed)
    assert result["isa"] == isa
    assert result["digests"] == {name: reference(name) for name in ALL}


@pytest.mark.parametrize("cut", [runs.HALVES, runs.SINGLES])
@pytest.mark.parametrize("name", ALL)
def test_parts_of_a_batch_change_nothing(name, cut, reference):
    assert runs.run(runs.SCENARIOS[name], cut) == reference(name)


def test_parts_and_threads_together_change_nothing(reference):
    expected = reference("everything_large")
    rpupy.set_num_threads(3)
    assert runs.run(runs.SCENARIOS["everything_large"], runs.HALVES) == expected


# ---- stops on the way --------------------------------------------------------------


@pytest.mark.parametrize(
    "twin",
    [copy.copy, copy.deepcopy, lambda tile: pickle.loads(pickle.dumps(tile))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("name", ALL)
def test_copies_continue_exactly(name, twin, reference):
    scenario = runs.SCENARIOS[name]
    kept = []

    def between(number, tile):
        kept.append((runs.state_digest(tile), tile))
        return twin(tile)

    assert runs.run(scenario, between=between) == reference(name)
    # What the copy did left the original alone.
    for digest, tile in kept:
        assert runs.state_digest(tile) == digest


def test_saved_tiles_continue_exactly_in_a_new_process(tmp_path, reference):
    first = 1
    pairs = []
    for name in ALL:
        scenario = runs.SCENARIOS[name]
        tile = scenario.tile()
        for number in range(first):
            runs.step(tile, number, scenario.batch)
        path = tmp_path / f"{name}.npz"
        tile.save(path)
        pairs.append(f"{name}={path}")
        # Saving changed nothing here, either.
        assert runs.continued(tile, scenario, first) == reference(name)[first + 1 :]
    result = json.loads(python(HERE / "runs.py", "continue", first, *pairs))
    assert result["digests"] == {name: reference(name)[first + 1 :] for name in ALL}


@pytest.mark.parametrize("name", [name for name in ALL if name not in LARGE])
def test_saving_and_loading_after_every_step_changes_nothing(name, tmp_path, reference):
    def between(number, tile):
        tile.save(tmp_path / "tile.npz")
        return tiles.load(tmp_path / "tile.npz")

    assert runs.run(runs.SCENARIOS[name], between=between) == reference(name)


# ---- other seeds, recorded bits ----------------------------------------------------


def test_another_seed_gives_other_numbers():
    scenario = runs.SCENARIOS["constant_step_small"]
    assert runs.state_digest(scenario.tile(5)) == runs.state_digest(scenario.tile(5))
    assert runs.state_digest(scenario.tile(5)) != runs.state_digest(scenario.tile(6))


@pytest.mark.parametrize("name", ALL)
def test_bits_are_those_that_were_recorded(name, reference):
    recorded = json.loads(runs.DIGESTS.read_text())
    assert list(recorded) == ALL, "run tests/data/make_digests.py"
    assert runs.total(reference(name)) == recorded[name], (
        "random results have changed: say so in CHANGELOG.md, then run"
        " tests/data/make_digests.py"
    )
