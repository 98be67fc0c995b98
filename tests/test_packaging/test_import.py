"""What `import rpupy` does, and above all what it leaves undone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import rpupy

PACKAGE = Path(rpupy.__file__).parent
#: Needed by tests and examples only, or by none: importing rpupy must not load them.
EXTRAS = ("scipy", "matplotlib", "sklearn", "tqdm", "pytest", "hypothesis", "torch")


def run_python(
    code: str, folder: Path, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a folder of no interest, so that no source tree is imported by chance."""
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_import_loads_no_extras(tmp_path: Path) -> None:
    code = (
        "import sys, rpupy, rpupy.tiles\n"
        f"print([name for name in {EXTRAS!r} if name in sys.modules])"
    )
    done = run_python(code, tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_import_is_silent(tmp_path: Path) -> None:
    done = run_python(
        "import rpupy, rpupy.tiles, rpupy.testing", tmp_path, "-W", "error"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_leaves_random_and_float_state_alone(tmp_path: Path) -> None:
    code = (
        "import random, numpy as np\n"
        "random.seed(1); np.random.seed(1)\n"
        "before = random.getstate(), np.random.get_state()[1].tolist(), np.geterr()\n"
        "from rpupy.tiles import AnalogTile\n"
        "tile = AnalogTile(3, 2); tile.update(tile.backward([1, 1, 1]), [1, 1, 1])\n"
        "after = random.getstate(), np.random.get_state()[1].tolist(), np.geterr()\n"
        "print(before == after)"
    )
    done = run_python(code, tmp_path)
    assert done.stdout == "True\n", done.stderr


def test_parameters_need_no_kernels(tmp_path: Path) -> None:
    # The modules of configurations import nothing compiled by themselves.
    code = (
        "import sys, types\n"
        "package = types.ModuleType('rpupy')\n"
        f"package.__path__ = [{str(PACKAGE)!r}]\n"
        "sys.modules['rpupy'] = package\n"
        "import rpupy.parameters, rpupy.configs\n"
        "print([n for n in sys.modules if n.startswith('rpupy.rpu_base')])"
    )
    done = run_python(code, tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_a_tree_that_is_not_built_says_what_to_do(tmp_path: Path) -> None:
    # As a user meets it who starts Python in the source tree.
    no_kernels = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "rpupy", ignore=no_kernels)
    done = run_python("import rpupy", tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "ImportError: rpupy is not built here: run `pip install .` (or `pip install -e"
        " .`) in the source tree, or start Python in another folder to use an installed"
        " rpupy"
    )


def test_an_instruction_set_that_is_not_there(tmp_path: Path) -> None:
    done = run_python("import rpupy", tmp_path, RPUPY_ISA="avx1024")
    assert done.returncode == 1
    assert "RPUPY_ISA must name an instruction set of this machine" in done.stderr
    assert "got 'avx1024'" in done.stderr


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "rpu_base" / "_cpu.pyi").is_file()
