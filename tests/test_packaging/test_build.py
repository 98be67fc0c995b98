"""From the source tree to an installed package, and what an edited header rebuilds.

These tests compile rpupy twice, without optimisation, in copies of the tree. They run where
RPUPY_TEST_BUILD=1, which .ci/run sets, and use the build tools of the environment that runs
them: no network is needed.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
#: What the build reads. Everything else in the tree is left out of the copy.
PARTS = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
FOLDERS = ("csrc", "cuda", "rpupy", "docs")
BUILD_TOOLS = ("setuptools", "wheel", "Cython", "numpy")
SOURCES = (".pyx", ".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".inl")

MISSING = [name for name in BUILD_TOOLS if importlib.util.find_spec(name) is None]
#: The oldest that pyproject.toml allows: older ones do not know its form of the license.
SETUPTOOLS = 77
if (
    "setuptools" not in MISSING
    and int(version("setuptools").split(".")[0]) < SETUPTOOLS
):
    MISSING.append(f"setuptools>={SETUPTOOLS}")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("RPUPY_TEST_BUILD") != "1",
        reason="builds rpupy; RPUPY_TEST_BUILD=1 runs it",
    ),
    pytest.mark.skipif(
        bool(MISSING), reason=f"the environment lacks {', '.join(MISSING)}"
    ),
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler"),
    pytest.mark.skipif(
        not (TREE / "setup.py").is_file(), reason="the source tree is not here"
    ),
]


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a command; a failure shows all that it printed."""
    # A source tree on PYTHONPATH would be found before what has been built here.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**inherited, "RPUPY_CFLAGS": "-O0", "RPUPY_CUDA": "0", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_tree(target: Path) -> Path:
    target.mkdir()
    built = shutil.ignore_patterns("*.so", "*.o", "__pycache__")
    for name in PARTS:
        if (TREE / name).exists():
            shutil.copy2(TREE / name, target / name)
    for name in FOLDERS:
        if (TREE / name).exists():
            shutil.copytree(TREE / name, target / name, ignore=built)
    return target


# ---- sdist, wheel, installation ------------------------------------------------------


@pytest.fixture(scope="module")
def distributions(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, Path]]:
    """Build an sdist from a copy of the tree, and a wheel from the sdist alone."""
    folder = tmp_path_factory.mktemp("dist")
    tree = copy_tree(folder / "tree")
    code = (
        "from setuptools import build_meta\n"
        f"print(build_meta.build_sdist({str(folder)!r}))"
    )
    name = run(sys.executable, "-c", code, folder=tree).splitlines()[-1]
    sdist = folder / name
    pip = (sys.executable, "-m", "pip")
    run(
        *(
            *pip,
            "wheel",
            "--no-build-isolation",
            "--no-deps",
            "--no-index",
            "-w",
            folder,
        ),
        sdist,
        folder=folder,
    )
    (wheel,) = folder.glob("*.whl")
    yield sdist, wheel


def test_sdist_holds_all_sources(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        path.relative_to(TREE).as_posix()
        for folder in ("csrc", "cuda", "rpupy")
        for path in (TREE / folder).rglob("*")
        if path.suffix in (*SOURCES, ".py", ".pyi", ".pxd", ".pxi")
    }
    assert sources - names == set()
    assert not [name for name in names if name.startswith("build/")]
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]


def test_wheel_holds_the_package_and_no_sources(
    distributions: tuple[Path, Path],
) -> None:
    with zipfile.ZipFile(distributions[1]) as archive:
        names = set(archive.namelist())
    # Declarations are of no use without the headers.
    assert not [name for name in names if name.endswith((*SOURCES, ".pxd", ".pxi"))]
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rpupy"}
    modules = {
        path.relative_to(TREE).as_posix() for path in (TREE / "rpupy").rglob("*.py")
    }
    assert modules - names == set()
    assert "rpupy/py.typed" in names
    assert "rpupy/rpu_base/_cpu.pyi" in names
    assert [n for n in names if re.fullmatch(r"rpupy/rpu_base/_cpu\..*\.so", n)]


def test_wheel_works_in_an_empty_environment(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment, folder=tmp_path)
    python = environment / "bin" / "python"
    wheel = distributions[1]
    run(
        *(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel),
        folder=tmp_path,
    )
    # The dependencies come from this environment, so that no network is needed.
    origins = [importlib.util.find_spec(name).origin for name in ("numpy", "attrs")]
    found = {str(Path(origin).parents[1]) for origin in origins}
    folder = run(
        python,
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
        folder=tmp_path,
    )
    Path(folder.strip(), "dependencies.pth").write_text("\n".join(found) + "\n")
    code = (
        "import rpupy, rpupy.tiles\n"
        "tile = rpupy.tiles.AnalogTile(3, 2, rng=0)\n"
        "print(rpupy.__file__, rpupy.__version__, tile([[1.0, 2.0]]).shape)"
    )
    file, version, shape = run(python, "-c", code, folder=tmp_path).split(maxsplit=2)
    assert Path(file).is_relative_to(environment)
    assert wheel.name.startswith(f"rpupy-{version}-")
    assert shape.strip() == "(1, 3)"


# ---- edited headers, and the device of docs/add_a_device.md ---------------------------

ONE_STEP = """
from rpupy.configs import ConstantStepDevice, SingleRPUConfig
from rpupy.tiles import AnalogTile
device = ConstantStepDevice(
    dw_min=0.125, dw_min_dtod=0, dw_min_std=0, up_down_dtod=0, w_max_dtod=0, w_min_dtod=0
)
tile = AnalogTile(1, 1, SingleRPUConfig(device=device), rng=0)
tile.set_weights([[0.0]])
tile.set_learning_rate(0.125)
tile.update([1.0], [-1.0])
print(tile.get_weights()[0][0, 0])
"""


@pytest.fixture(scope="module")
def built_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a copy of the tree in place."""
    tree = copy_tree(tmp_path_factory.mktemp("in_place") / "tree")
    build_in_place(tree)
    return tree


def build_in_place(tree: Path, **variables: str) -> None:
    command = (sys.executable, "setup.py", "build_ext", "--inplace")
    run(*command, folder=tree, **variables)


def run_code(code: str, tree: Path) -> str:
    """Run code that imports rpupy from this tree."""
    return run(sys.executable, "-c", code, folder=tree, PYTHONPATH=str(tree))


def test_an_edited_header_is_compiled_again(built_tree: Path) -> None:
    assert run_code(ONE_STEP, built_tree) == "0.125\n"
    header = built_tree / "csrc" / "devices" / "constant_step.h"
    text = header.read_text()
    edited = text.replace("return fma(step, noise, step) + w", "return step * 2.0f + w")
    assert edited != text
    header.write_text(edited)
    build_in_place(built_tree)
    assert run_code(ONE_STEP, built_tree) == "0.25\n"


def test_other_settings_compile_everything_again(built_tree: Path) -> None:
    def built() -> dict[str, int]:
        kinds = ("*.so", "*.o", "*.a")
        paths = [path for kind in kinds for path in built_tree.rglob(kind)]
        return {str(path): path.stat().st_mtime_ns for path in paths}

    before = built()
    assert len(before) > 8
    build_in_place(built_tree)
    assert built() == before, "nothing is compiled without need"
    build_in_place(built_tree, RPUPY_CFLAGS="-O0 -DRPUPY_IS_TESTED")
    after = built()
    assert after.keys() == before.keys()
    assert [path for path in after if after[path] == before[path]] == []
    openmp = "from rpupy.rpu_base import _cpu; print(_cpu.openmp_enabled())"
    assert run_code(openmp, built_tree) == "True\n"
    build_in_place(built_tree, RPUPY_OPENMP="0")
    assert run_code(openmp, built_tree) == "False\n"
