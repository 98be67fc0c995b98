"""The benchmark of the GPU: its floors, its calls on the host, and what it says without one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rpupy.rpu_base import cuda

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "bench_cuda.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_cuda", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "bench_cuda", module)
    spec.loader.exec_module(module)
    return module


def test_floors(bench: ModuleType) -> None:
    # 1 GB at 2 TB/s; 1e9 operations at 1 TFLOP/s; the larger of both.
    assert bench.Cost(1e9).floor(2.0, 1.0) == pytest.approx(0.5)
    assert bench.Cost(1e9, flops=1e9).floor(2.0, 1.0) == pytest.approx(1.0)
    assert bench.Cost(1e9, flops=1e8).floor(2.0, 1.0) == pytest.approx(0.5)
    # The table of docs/cuda.md: H200, 1024 x 1024, batch 256.
    assert bench.product_cost(1024, 256).floor(4.3, 67) == pytest.approx(8e-3, rel=0.2)
    words = bench.Cost(4e6, blocks=8 * 2 * 1024 * 256)
    assert words.floor(4.3, 67) == pytest.approx(15e-3, rel=0.2)
    pulses = bench.Cost(34e6, normals=0.64 * 2**28 / 4, popcounts=2**28)
    assert pulses.floor(4.3, 67) == pytest.approx(0.57, rel=0.1)


def test_every_call_runs_on_the_host(
    bench: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    if not cuda.is_host_compiled():
        pytest.skip("built with RPUPY_CUDA_HOST=0")
    bench.main(["--dry-run", "--sizes", "40", "--batches", "1", "3"])
    head, *rows = capsys.readouterr().out.splitlines()
    names = [row.split(" | ")[0] for row in rows]
    for name in ("forward, 1", "backward, 3", "update SoftBounds, 3", "drift", "clip"):
        assert name in names
    assert len(names) == len(set(names)) == 2 * (2 + 3 + 2) + 6
    assert all(len(row.split(" | ")) == head.count("|") + 1 for row in rows)
    assert all(float(row.split(" | ")[3]) >= 0 for row in rows)


def test_the_time_of_a_call_is_asked_of_its_stream(bench: ModuleType) -> None:
    if not cuda.is_host_compiled():
        pytest.skip("built with RPUPY_CUDA_HOST=0")
    case = next(bench.cases("cuda_host", 8, [2]))
    before = case.tile.cpu()
    # The clock of the stand-in stands still.
    assert bench.best(bench.timed(case), repeats=2) == 0.0
    counters = case.tile.tile.state()[0]["counters"]
    assert counters["forward"] == before.tile.state()[0]["counters"]["forward"] + 10


def test_pulses_are_counted(bench: ModuleType) -> None:
    cases = bench.cases("cpu", 8, [2])
    case = next(c for c in cases if c.name.startswith("update Soft"))
    core = case.tile.tile
    expected = core._counters["update"]
    assert bench.pulses_of(case.tile, case.run) > 0
    assert core._counters["update"] == expected + 2
    assert bench.pulses_of(case.tile, lambda: None) == 0


@pytest.mark.skipif(cuda.is_available(), reason="CUDA is available")
def test_without_a_gpu_it_says_why(
    bench: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    bench.main([])
    said = capsys.readouterr().out
    assert said == f"nothing is measured: {cuda.why_unavailable()}\n"
