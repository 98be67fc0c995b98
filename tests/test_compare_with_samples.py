"""The script that compares with recorded samples builds its tiles on the backend asked for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rpupy.rpu_base import cuda

SCRIPT = Path(__file__).with_name("compare_with_samples.py")

#: A stand-in for the script of the samples: says what it was given, and where a tile is.
SAMPLES = """
import sys
from rpupy.configs import FloatingPointRPUConfig, SingleRPUConfig

class Rpupy:
    def tile(self, out_size, in_size, config, seed):
        return config.tile_class(out_size, in_size, config, rng=seed)

def main():
    print(*sys.argv[1:])
    for config in (SingleRPUConfig(), FloatingPointRPUConfig()):
        tile = Rpupy().tile(2, 3, config, 5)
        print(tile.backend, tile.seed.entropy, tile.rpu_config == config)
    return 7
"""


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_with_samples", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("backend", ["cpu", "cuda_host"])
def test_tiles_are_on_the_backend(
    backend: str,
    script: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if backend == "cuda_host" and not cuda.is_host_compiled():
        pytest.skip("built with RPUPY_CUDA_HOST=0")
    (tmp_path / "run.py").write_text(SAMPLES)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    run = str(tmp_path / "run.py")
    assert script.main([run, "--only", "op/", "mvm/", "--backend", backend]) == 7
    tile = f"{backend} 5 True"
    assert capsys.readouterr().out.splitlines() == [
        "--lib rpupy --only op/ mvm/",
        tile,
        tile,
    ]


def test_what_cannot_be_run_is_named(
    script: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match=r"RUN must be a Python script, got no\.py"):
        script.main(["no.py"])
    if not cuda.is_available():
        with pytest.raises(SystemExit):
            script.main(["no.py", "--backend", "cuda"])
        error = capsys.readouterr().err
        assert "argument --backend: CUDA is not available: " in error
