"""What nvcc makes of the kernels: every float32 operation rounds to nearest, none flushes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
SOURCES = sorted(TREE.glob("cuda/*.cu"))
#: Operations that round; min, max, neg, abs, setp and mov do not.
ROUNDS = re.compile(r"^(add|sub|mul|fma|div|sqrt|rcp|mad|cvt\.\w+)\b.*\.f32")
PRECISE = re.compile(r"\.rn\b|\.rni\b|\.rzi\b|\.rpi\b")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not here"),
    pytest.mark.skipif(not SOURCES, reason="the source tree is not here"),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_float_arithmetic_is_exact(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TREE / "benchmarks"))
    from cuda_registers import flags_of_the_build

    flags = [*flags_of_the_build(), "-arch=compute_90"]
    target = tmp_path / "kernels.ptx"
    done = subprocess.run(
        ["nvcc", *flags, "-ptx", str(source), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr, done.stderr
    operations = re.findall(
        r"^\s+(?:@!?%p\d+\s+)?([a-z][\w.]*)\s", target.read_text(), re.MULTILINE
    )
    assert operations
    for operation in operations:
        assert not re.search(r"\.(ftz|approx|full)\b", operation), operation
        if ROUNDS.match(operation):
            assert PRECISE.search(operation), operation
