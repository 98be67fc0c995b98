"""Build of the compiled parts: a static library per instruction set, a Cython module per backend.

Everything else about the package is in pyproject.toml.
"""

import os
import platform
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
X86 = platform.machine() in ("x86_64", "AMD64")

# -fno-math-errno: otherwise sqrt stays scalar. Neither flag changes a bit, unlike -ffast-math or
# contraction, which are never used: the same bits come from every compiler and machine.
COMMON = [
    "-std=c++17",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-fPIC",
    # GCC 12 warns of the undefined registers in its own AVX-512 header.
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
]
OPENMP = [] if os.environ.get("RPUPY_OPENMP", "1") == "0" else ["-fopenmp"]
EXTRA = os.environ.get("RPUPY_CFLAGS", "").split()  # sanitizers, warnings as errors
ISA_FLAGS = {"baseline": []}
if X86:
    avx2 = ["-mavx2", "-mfma"]
    avx512 = [f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vpopcntdq")]
    ISA_FLAGS |= {"avx2": avx2, "avx512": [*avx2, *avx512, "-mprefer-vector-width=512"]}

NUMPY_API = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]

# distutils compares sources only; a changed header has to rebuild all that includes it.
HEADERS = sorted(
    str(path.relative_to(ROOT))
    for kind in ("h", "inl")
    for path in ROOT.glob(f"csrc/**/*.{kind}")
)

CUDA_SOURCES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.cu", "*.h", "host/*")
    for path in ROOT.glob(f"cuda/{pattern}")
)


def library(name: str, source: str, flags: list[str]) -> tuple[str, dict]:
    """One static library of csrc/, rebuilt when any header changes."""
    build = {
        "sources": [source],
        "include_dirs": ["csrc"],
        "cflags": [*COMMON, *OPENMP, *flags, *EXTRA],
        "obj_deps": {"": HEADERS},
    }
    return name, build


LIBRARIES = [
    library(f"rpupy_{isa}", f"csrc/cpu/kernels_{isa}.cpp", flags)
    for isa, flags in ISA_FLAGS.items()
]
LIBRARIES.append(
    library(
        "rpupy_dispatch", "csrc/cpu/dispatch.cpp", ["-DRPUPY_X86_UNITS"] if X86 else []
    )
)


class BuildExt(build_ext):
    """build_ext that also works alone, on a tree whose libraries are not built yet."""

    def run(self) -> None:
        """Build the libraries, then the modules that link them."""
        self.run_command("build_clib")
        clib = self.get_finalized_command("build_clib")
        self.library_dirs.append(clib.build_clib)
        super().run()


def host_compiled_cuda() -> Extension:
    """Return the CUDA kernels as a host module, with which tests run them without a GPU."""
    return Extension(
        "rpupy.rpu_base._cuda_host",
        ["rpupy/rpu_base/_cuda_host.pyx", "cuda/host/kernels.cpp"],
        include_dirs=["cuda", "csrc", numpy.get_include()],
        define_macros=[*NUMPY_API, ("RPUPY_CUDA_ON_HOST", None)],
        depends=[*HEADERS, *CUDA_SOURCES, "rpupy/rpu_base/_cuda.pyx"],
        extra_compile_args=[*COMMON, *EXTRA],
        extra_link_args=EXTRA,
        language="c++",
    )


def modules() -> list[Extension]:
    """List the Cython modules."""
    cpu = Extension(
        "rpupy.rpu_base._cpu",
        ["rpupy/rpu_base/_cpu.pyx"],
        # Dispatch first: a static library is searched for what those before it still lack.
        libraries=[name for name, _ in reversed(LIBRARIES)],
        include_dirs=["csrc", numpy.get_include()],
        define_macros=NUMPY_API,
        depends=HEADERS,
        extra_compile_args=[*COMMON, *OPENMP, *EXTRA],
        extra_link_args=[*OPENMP, *EXTRA],
        language="c++",
    )
    wanted = [cpu]
    if os.environ.get("RPUPY_CUDA_HOST", "1") != "0":
        wanted.append(host_compiled_cuda())
    return cythonize(wanted, build_dir="build/cython")


setup(
    libraries=LIBRARIES,
    ext_modules=modules(),
    cmdclass={"build_clib": build_clib, "build_ext": BuildExt},
)
