"""What the object files of the instruction sets show to the linker.

Two objects that define the same inline function leave the linker to choose one of them.
If that is the copy compiled for AVX-512, a machine without it dies of it. So everything
that an instruction set compiles stands in a namespace of its own.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
LIBRARIES = sorted(TREE.glob("build/temp*/librpupy_*.a"))

pytestmark = [
    pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed"),
    pytest.mark.skipif(not LIBRARIES, reason="build/ holds no static libraries"),
]


def symbols(library: Path) -> list[tuple[str, str]]:
    """List (kind, name) of the symbols that the library defines for others."""
    text = subprocess.run(
        ["nm", "-g", "--defined-only", "-C", str(library)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    return [(row[1], row[2]) for row in rows if len(row) == 3]


def isa_of(library: Path) -> str:
    return library.stem.removeprefix("librpupy_")


@pytest.mark.parametrize(
    "library", [p for p in LIBRARIES if isa_of(p) != "dispatch"], ids=isa_of
)
def test_an_instruction_set_keeps_to_its_namespace(library: Path) -> None:
    space = f"rpupy::{isa_of(library)}::"
    found = symbols(library)
    strong = [name for kind, name in found if kind not in "WVu"]
    assert strong == [f"{space}table"]
    # Weak text can be merged with that of another unit. A pointer to the compiler's own
    # exception handler, weak too, is the same everywhere.
    foreign = [
        name
        for _, name in found
        if not re.match(rf"([\w ]+ )?{space}", name)  # a template shows what it returns
        and not name.startswith("DW.ref.")
    ]
    assert foreign == []


@pytest.mark.parametrize(
    "library", [p for p in LIBRARIES if isa_of(p) == "dispatch"], ids=isa_of
)
def test_dispatch_shows_its_interface_alone(library: Path) -> None:
    names = {name.partition("(")[0] for _, name in symbols(library)}
    names = {name for name in names if not name.startswith("DW.ref.")}
    assert names == {
        f"rpupy::{name}"
        for name in (
            "available_isa",
            "device_info",
            "enter_default_environment",
            "exact_decay_factor",
            "kernel_table",
            "max_threads",
            "names",
            "restore_environment",
            "to_float32",
        )
    }
