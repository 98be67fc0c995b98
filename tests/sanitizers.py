"""Build rpupy with a sanitizer in a copy of the tree, and run the tests of the kernels with it.

    python tests/sanitizers.py asan|ubsan|tsan|all [arguments of pytest]

It needs g++ and what tests and build need. ThreadSanitizer needs LLVM's OpenMP runtime and its
tool Archer, too (Debian: ``libomp-14-dev``, found where ``clang`` or LLVM puts it, or in the folder
that ``--llvm`` names): GCC's own runtime is not instrumented, so that every barrier would look
like a race. The kernels are those of every build, compiled by g++; LLVM's runtime takes the place
of GCC's when Python starts, and tells the sanitizer which threads wait for which.

First a control shows that the sanitizer is at work: a function with an error has to be reported,
and one without must not be. The exit status is 0 if all tests pass and nothing is reported.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

TREE = Path(__file__).parents[1]
PARTS = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "csrc", "cuda", "rpupy")
#: What calls kernels: all arrays, both backends, threads, random calls and altered files.
KERNEL_TESTS = (
    "test_csrc",
    "test_rpu_base",
    "test_devices",
    "test_compounds",
    "test_parasitics/test_nodal_products.py",
    "test_events.py",
    "test_same_bits",
    "test_worked_numbers",
    "test_cuda",
    "test_threads.py",
    "test_tiles",
    "test_testing/test_cells.py",
    "test_bad_input",
)
#: Counts the threads of the process, of which a sanitizer has one.
COUNTS_THREADS = "test_same_bits/test_runs.py::test_threads_really_run"
#: What computes on several threads, of OpenMP or of Python.
THREAD_TESTS = (
    "test_rpu_base",
    "test_devices",
    "test_compounds",
    "test_same_bits",
    "test_cuda/test_tiles.py",
    "test_cuda/test_compounds.py",
    "test_threads.py",
    "test_tiles/test_tile.py",
)


@dataclass
class Sanitizer:
    """How to build, and to run, with one of them.

    `control` are two C++ functions, ``good`` and ``bad``, of an int; `report` is a part of what
    the second one has printed.
    """

    flags: str
    runtimes: tuple[str, ...]
    control: str
    report: str
    tests: tuple[str, ...] = KERNEL_TESTS
    environment: dict[str, str] = field(default_factory=dict)


SANITIZERS = {
    "asan": Sanitizer(
        flags="-fsanitize=address -fno-omit-frame-pointer",
        # Before the interpreter, which is not instrumented; C++ comes with it.
        runtimes=("libasan.so", "libstdc++.so"),
        control="""
int read(const int* numbers, int n) { return numbers[n]; }
int good(int n) { int* p = new int[n](); int last = read(p, n - 1); delete[] p; return last; }
int bad(int n) { int* p = new int[n](); int behind = read(p, n); delete[] p; return behind; }
""",
        report="AddressSanitizer: heap-buffer-overflow",
        # Python keeps much until its end, on purpose: leaks of rpupy are tests of their own.
        environment={"ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"},
    ),
    "ubsan": Sanitizer(
        flags="-fsanitize=undefined -fno-sanitize-recover=all",
        runtimes=(),
        control="""
int good(int n) { return n + 1; }
int bad(int n) { return 2147483647 - 7 + n + 1; }
""",
        report="runtime error: signed integer overflow",
        environment={"UBSAN_OPTIONS": "print_stacktrace=1"},
    ),
    "tsan": Sanitizer(
        # A team for every call, however small.
        flags="-fsanitize=thread -DRPUPY_STEPS_PER_THREAD=1",
        runtimes=("libtsan.so",),
        control="""
#include <omp.h>
template <bool kMeet>
int exchanged(int n) {
  int given[2] = {0, 0}, taken[2] = {0, 0};
#pragma omp parallel num_threads(2)
  for (int round = 0; round < 1000; ++round) {
    const int me = omp_get_thread_num();
    given[me] = n;
    if (kMeet) {
#pragma omp barrier
    }
    taken[me] = given[1 - me];
    if (kMeet) {
#pragma omp barrier
    }
  }
  return taken[0];
}
int good(int n) { return exchanged<true>(n); }
int bad(int n) { return exchanged<false>(n); }
""",
        report="ThreadSanitizer: data race",
        tests=THREAD_TESTS,
        environment={
            # Python, NumPy and the runtimes are not instrumented; forked children of a process
            # with threads are.
            "TSAN_OPTIONS": "ignore_noninstrumented_modules=1 die_after_fork=0 exitcode=66"
            " halt_on_error=1",
            "OMP_NUM_THREADS": "3",
            # Threads of BLAS are not ours.
            "OPENBLAS_NUM_THREADS": "1",
        },
    ),
}


def library(name: str) -> str:
    """Return where the compiler has a library."""
    path = subprocess.run(
        ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(path):
        raise SystemExit(f"g++ has no {name}")
    return os.path.realpath(path)


def archer(folder: Path | None) -> tuple[str, str]:
    """Return where LLVM's OpenMP runtime is, and its tool for ThreadSanitizer."""
    folders = [folder] if folder else sorted(Path("/usr/lib").glob("llvm-*/lib"))
    for where in folders:
        runtimes = [p for p in where.glob("libomp.so*") if p.exists()]
        if runtimes and (where / "libarcher.so").exists():
            return str(runtimes[0].resolve()), str(where / "libarcher.so")
    raise SystemExit(
        "libomp.so and libarcher.so are not here (Debian: apt install libomp-14-dev);"
        " --llvm names the folder that has them"
    )


def environment(kind: str, tree: Path, llvm: Path | None) -> dict[str, str]:
    """Return the environment of a Python that runs what was built."""
    chosen = SANITIZERS[kind]
    runtimes = [library(name) for name in chosen.runtimes]
    extra = dict(chosen.environment)
    if kind == "tsan":
        runtime, tool = archer(llvm)
        runtimes.append(runtime)
        extra["OMP_TOOL_LIBRARIES"] = tool
    return {
        **os.environ,
        "PYTHONPATH": str(tree),
        **({"LD_PRELOAD": ":".join(runtimes)} if runtimes else {}),
        **extra,
    }


def check_control(kind: str, folder: Path, env: dict[str, str]) -> None:
    """Show that the sanitizer reports what is wrong, and nothing else."""
    chosen = SANITIZERS[kind]
    source, module = folder / "control.cpp", folder / "control.so"
    source.write_text(
        f'extern "C" {{ int good(int); int bad(int); }}\n{chosen.control}'
    )
    flags = [*chosen.flags.split(), "-O0", "-g", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, str(source), "-o", str(module)], check=True)
    for name in ("good", "bad"):
        code = f"import ctypes; print(ctypes.CDLL({str(module)!r}).{name}(7))"
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True
        )
        found = chosen.report in done.stderr and done.returncode != 0
        if found != (name == "bad") or (name == "good" and done.returncode):
            raise SystemExit(
                f"{kind} does not work here: the {name} control ended with"
                f" {done.returncode} and {done.stderr[-2000:]!r}"
            )
    print(f"{kind}: the control is reported, as it has to be", flush=True)


def build(kind: str, tree: Path) -> None:
    """Copy the tree and build it in place with the sanitizer."""
    built = shutil.ignore_patterns("*.so", "*.o", "__pycache__")
    tree.mkdir()
    for name in PARTS:
        if (TREE / name).is_dir():
            shutil.copytree(TREE / name, tree / name, ignore=built)
        else:
            shutil.copy2(TREE / name, tree / name)
    flags = f"{SANITIZERS[kind].flags} -g -O1"
    settings = {"RPUPY_CFLAGS": flags, "RPUPY_CUDA": "0"}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RPUPY_")}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=tree, env={**inherited, **settings}, check=True)


def run(kind: str, llvm: Path | None, arguments: list[str]) -> int:
    """Build, run the tests, and return pytest's exit status."""
    with tempfile.TemporaryDirectory(prefix=f"rpupy-{kind}-") as name:
        folder = Path(name)
        env = environment(kind, folder / "tree", llvm)
        check_control(kind, folder, env)
        build(kind, folder / "tree")
        tests = [f"tests/{path}" for path in SANITIZERS[kind].tests]
        tests += ["--deselect", f"tests/{COUNTS_THREADS}"]
        # nvcc cannot be started with the runtime of a sanitizer.
        tests += ["--ignore", "tests/test_cuda/test_ptx.py"]
        if any(not word.startswith("-") for word in arguments):
            tests = []
        # What pytest catches of a report would be lost with a process that is ended.
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "--capture=sys", *tests, *arguments], env=env, cwd=TREE
        )
    print(f"{kind}: {'clean' if done.returncode == 0 else 'FAILED'}", flush=True)
    return done.returncode


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=[*SANITIZERS, "all"])
    parser.add_argument("--llvm", type=Path, help="folder with libomp and libarcher")
    options, arguments = parser.parse_known_args()
    kinds = list(SANITIZERS) if options.kind == "all" else [options.kind]
    return max(run(kind, options.llvm, arguments) for kind in kinds)


if __name__ == "__main__":
    sys.exit(main())
