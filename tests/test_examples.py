"""The examples run, learn, and give the same numbers again."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rpupy
from rpupy.rpu_base import cuda
from rpupy.tiles import Tile

SCRIPT = Path(__file__).parents[1] / "examples" / "train_digits.py"


@pytest.fixture
def extras():
    for name in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(name, reason=f"needs {name}, of the extra 'examples'")


@pytest.fixture
def example(extras, monkeypatch):
    spec = importlib.util.spec_from_file_location("train_digits", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "train_digits", module)
    spec.loader.exec_module(module)
    # Leave no thread behind, for the sake of tests that fork.
    monkeypatch.setattr(module.tqdm, "monitor_interval", 0)
    return module


def load(name):
    """Import another example."""
    spec = importlib.util.spec_from_file_location(name, SCRIPT.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as context:
        # Dataclasses look their module up.
        context.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    return module


def run(folder, *arguments):
    """Run the example in a folder, with the rpupy that is tested."""
    paths = [str(folder), str(Path(rpupy.__file__).parents[1])]
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def accuracies(output):
    return [float(number) for number in re.findall(r"([\d.]+) %", output)]


def test_trains_and_draws_the_same_for_any_threads(tmp_path, extras):
    arguments = ("--epochs", "3", "--seed", "3")
    first = run(tmp_path, *arguments, "--threads", "1")
    assert first.returncode == 0, first.stderr
    # About 96 and 94 per cent, give or take two over seeds; guessing gives 10.
    floating_point, analog = accuracies(first.stdout)
    assert floating_point > 85
    assert analog > 80
    gap = float(re.search(r"gap +(-?[\d.]+)", first.stdout)[1])
    assert gap == pytest.approx(floating_point - analog, abs=0.011)
    png = (tmp_path / "train_digits.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 20_000

    second = run(tmp_path, *arguments, "--threads", "2")
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


@pytest.mark.parametrize("device", ["LinearStep", "ConstantStep", "Ideal"])
def test_other_devices(device, example, tmp_path, capsys):
    path = tmp_path / "figure.png"
    example.main(["--device", device, "--epochs", "1", "--output", str(path)])
    floating_point, analog = accuracies(capsys.readouterr().out)
    assert floating_point > 70
    assert analog > 60
    assert path.stat().st_size > 20_000


def test_the_backend_does_not_matter(example, tmp_path, capsys, monkeypatch):
    arguments = ["--epochs", "1", "--output", str(tmp_path / "figure.png")]
    example.main(arguments)
    wanted = capsys.readouterr().out
    if not cuda.is_available():
        if not cuda.is_host_compiled():
            pytest.skip("no GPU, and built with RPUPY_CUDA_HOST=0")
        # The kernels of the GPU, compiled for the host.
        monkeypatch.setattr(cuda, "is_available", lambda: True)
        monkeypatch.setattr(Tile, "cuda", lambda tile: tile._to_backend("cuda_host"))
    moved = []
    move = example.Network.move_to_gpu

    def watched(network):
        move(network)
        moved.extend(layer.tile.backend for layer in network.layers)

    monkeypatch.setattr(example.Network, "move_to_gpu", watched)
    example.main([*arguments, "--backend", "cuda"])
    assert capsys.readouterr().out == wanted
    assert len(moved) == 4 and set(moved) <= {"cuda", "cuda_host"}


@pytest.mark.skipif(cuda.is_available(), reason="CUDA is available")
def test_without_a_gpu_the_backend_says_why(example, capsys):
    with pytest.raises(SystemExit) as stopped:
        example.main(["--backend", "cuda"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "argument --backend: CUDA is not available: " in error
    assert cuda.why_unavailable() in error


def test_pulse_response(example):
    device = example.DEVICES["SoftBounds"]
    n = example.PULSES_PER_READING * np.arange(
        example.N_PULSES // example.PULSES_PER_READING + 1
    )
    up = device.w_max * (1 - (1 - device.dw_min / device.w_max) ** n)
    weights = example.pulse_response(example.without_spread(device), seed=0)
    assert np.allclose(weights[: len(n)], up[:, None], atol=1e-4)
    spread = example.pulse_response(device, seed=0).std(axis=1)
    assert spread[0] == 0
    assert (spread[1:] > 0).all()


def test_help(example, capsys):
    with pytest.raises(SystemExit) as stopped:
        example.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for option in ("device", "epochs", "seed", "backend", "threads", "output"):
        assert f"--{option}" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "0"],
        ["--threads", "x"],
        ["--seed", "-1"],
        ["--output", "figure.txt"],
        ["--output", "no/such/folder/figure.png"],
    ],
)
def test_bad_options_are_named(arguments, example, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        example.main(arguments)
    assert stopped.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_missing_extra_says_what_to_install(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no such package')\n")
    done = run(tmp_path, "--help")
    assert done.returncode == 1
    assert 'pip install ".[examples]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_presets_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    module = load("plot_presets")
    assert len(module.PANELS) == 10
    # All pulses would take seconds.
    module.PANELS = [(*panel[:2], 20) for panel in module.PANELS]
    path = tmp_path / "presets.png"
    module.main(["--output", str(path)])
    assert path.stat().st_size > 50_000
    for arguments in (["--seed", "-1"], ["--output", "presets.txt"]):
        with pytest.raises(SystemExit):
            module.main(arguments)


def test_compounds_are_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    module = load("compounds")
    assert len(module.PANELS) == 8
    module.STEPS = 60  # all of them would take seconds
    path = tmp_path / "compounds.png"
    module.main(["--output", str(path)])
    assert path.stat().st_size > 50_000
    assert "transfer_every: 1" in capsys.readouterr().out
    for arguments in (["--seed", "-1"], ["--output", "compounds.txt"]):
        with pytest.raises(SystemExit):
            module.main(arguments)


def test_compounds_learn():
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    module = load("compounds")
    for panel in module.PANELS:
        record = module.learn(panel.config(), panel.learning_rate, seed=1)
        # The last quarter, over which the noise of pulses averages out.
        learned = record["weights"][-100:].mean(axis=0)
        assert np.abs(learned - module.TARGET).max() < 0.15, panel.title
        assert record.keys() >= panel.lines.keys() | panel.right.keys()


def test_algorithms_are_compared(extras, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    module = load("compare_algorithms")
    # SGD and mixed precision.
    monkeypatch.setattr(module, "ALGORITHMS", module.ALGORITHMS[::5])
    monkeypatch.setattr(module, "STATES", ((20, 50),))
    path = tmp_path / "compare.png"
    module.main(["--output", str(path)])
    assert path.stat().st_size > 30_000
    losses = re.findall(r"^  (\S.*?) +([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, _ in losses] == ["SGD", "mixed precision"] * 4
    # About 0.3 and 0.03.
    assert float(losses[1][1]) < float(losses[0][1])
    with pytest.raises(SystemExit):
        module.main(["--output", "compare.txt"])
