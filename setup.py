"""Build of the compiled parts: a static library per instruction set, a Cython module per backend.

Everything else about the package is in pyproject.toml.
"""

import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
    # Python brings its own -g, and what that says of templates takes a third of the build
    # and most of the module. RPUPY_CFLAGS=-g has it back.
    "-g0",
    # GCC 12 warns of the undefined registers in its own AVX-512 header.
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
]
OPENMP = [] if os.environ.get("RPUPY_OPENMP", "1") == "0" else ["-fopenmp"]
EXTRA = os.environ.get("RPUPY_CFLAGS", "").split()  # sanitizers, warnings as errors
#: What of the environment decides what is compiled, beside the sources.
SETTINGS = ("RPUPY_CFLAGS", "RPUPY_OPENMP", "CC", "CXX", "CFLAGS", "CXXFLAGS")
ISA_FLAGS = {"baseline": []}
if X86:
    avx2 = ["-mavx2", "-mfma"]
    avx512 = [f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vpopcntdq")]
    ISA_FLAGS |= {"avx2": avx2, "avx512": [*avx2, *avx512, "-mprefer-vector-width=512"]}

NUMPY_API = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]


def stamp(name: str, *variables: str) -> str:
    """Return a file that is newer than what was built with other settings."""
    path = ROOT / "build" / name
    text = "".join(f"{key}={os.environ.get(key, '')}\n" for key in variables)
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return str(path.relative_to(ROOT))


def files(*patterns: str) -> list[str]:
    """List files of the tree in an order that does not depend on the machine."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


# distutils compares sources only; a changed header has to rebuild all that includes it,
# and other settings or flags rebuild everything.
HEADERS = [
    *files("csrc/**/*.h", "csrc/**/*.inl"),
    "setup.py",
    stamp("settings.txt", *SETTINGS),
]

# A module links the libraries, so their sources count for it as well.
SOURCES = [*HEADERS, *files("csrc/cpu/*.cpp")]

# Included by every module.
INCLUDED = files("rpupy/rpu_base/*.pxi")

CUDA_NAME = "rpupy.rpu_base._cuda"
CUDA_SOURCES = files("cuda/*.cu", "cuda/*.h", "cuda/host/*")
KERNELS = files("cuda/*.cu")


# Files of csrc/cpu, each a static library with flags of its own.
UNITS = {f"kernels_{isa}": flags for isa, flags in ISA_FLAGS.items()}
UNITS["dispatch"] = ["-DRPUPY_X86_UNITS"] if X86 else []
LIBRARIES = [
    (
        f"rpupy_{unit.removeprefix('kernels_')}",
        {
            "sources": [f"csrc/cpu/{unit}.cpp"],
            "include_dirs": ["csrc"],
            "cflags": [*COMMON, *OPENMP, *flags, *EXTRA],
            "obj_deps": {"": HEADERS},
        },
    )
    for unit, flags in UNITS.items()
]

# RPUPY_CUDA=auto builds _cuda if nvcc is there and works, 1 insists on it, 0 leaves it out.
CUDA_WANTED = os.environ.get("RPUPY_CUDA", "auto")
# Contraction, flushing and approximate division would change bits.
NVCC_FLAGS = (
    "-std=c++17 -O3 --fmad=false --ftz=false --prec-div=true --prec-sqrt=true"
    " -Xcompiler -ffp-contract=off,-fPIC,-fvisibility=hidden"
)


def cuda_architectures() -> list[str]:
    """Return nvcc's words for RPUPY_CUDA_ARCHS: binaries, and PTX of the last."""
    asked = os.environ.get("RPUPY_CUDA_ARCHS", "75;80;86;89;90")
    names = [part.removeprefix("sm_") for part in re.split(r"[;, ]+", asked) if part]
    codes = [f"arch=compute_{name},code=sm_{name}" for name in names]
    codes.append(f"arch=compute_{names[-1]},code=compute_{names[-1]}")
    return [word for code in codes for word in ("-gencode", code)]


def find_nvcc() -> str | None:
    """Return the path of nvcc, if there is one."""
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    folders = [str(Path(home, "bin")) for home in homes if home]
    return shutil.which("nvcc", path=os.pathsep.join(folders)) or shutil.which("nvcc")


class BuildClib(build_clib):
    """build_clib that compiles the instruction sets side by side."""

    def build_libraries(self, libraries: list[tuple[str, dict]]) -> None:
        """Build each library in a thread of its own; the compiler is another process."""
        build_one = super().build_libraries
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(build_one, [[one] for one in libraries]))


class BuildExt(build_ext):
    """build_ext that also works alone, on a tree whose libraries are not built yet."""

    def finalize_options(self) -> None:
        """Compile modules side by side, unless the caller says how many."""
        super().finalize_options()
        self.parallel = self.parallel or True

    def run(self) -> None:
        """Build the libraries and the CUDA kernels, then the modules that link them."""
        self.run_command("build_clib")
        clib = self.get_finalized_command("build_clib")
        self.library_dirs.append(clib.build_clib)
        for ext in [ext for ext in self.extensions if ext.name == CUDA_NAME]:
            try:
                self.compile_kernels(ext)
            except (OSError, subprocess.CalledProcessError) as error:
                if CUDA_WANTED == "1":
                    raise
                self.warn(f"rpupy is built without CUDA: {error}")
                self.extensions.remove(ext)
        super().run()

    def compile_kernels(self, ext: Extension) -> None:
        """Compile the .cu files with nvcc, and tell the extension what to link."""
        nvcc = find_nvcc()
        if nvcc is None:
            raise OSError("nvcc is not here; RPUPY_CUDA=0 builds without it")
        folder = Path(self.build_temp, "cuda")
        folder.mkdir(parents=True, exist_ok=True)
        # Where nvcc's own headers and libraries are, whatever wrapper was found.
        asked = [nvcc, "--dryrun", "-c", KERNELS[0]]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
        ext.include_dirs += re.findall(r'"-I([^"]+)"', told)
        ext.library_dirs += re.findall(r'"-L([^"]+)"', told)
        settings = ("RPUPY_CUDA_ARCHS", "CUDA_HOME", "CUDA_PATH")
        read = [*HEADERS, *CUDA_SOURCES, stamp("cuda_settings.txt", *settings)]
        newest = max(os.path.getmtime(path) for path in read)

        def compile_one(source: str) -> str:
            target = folder / f"{Path(source).stem}.o"
            if self.force or not target.exists() or target.stat().st_mtime < newest:
                # Under another name until it is whole.
                part = target.with_suffix(".part.o")
                flags = [*NVCC_FLAGS.split(), *cuda_architectures()]
                subprocess.run([nvcc, *flags, "-c", source, "-o", part], check=True)
                part.replace(target)
            return str(target)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects += pool.map(compile_one, KERNELS)


def module(
    name: str, *sources: str, includes: list[str], depends: list[str], **more: Any
) -> Extension:
    """Return a Cython module; `flags`, `links` and `macros` are what it has beside others."""
    more["define_macros"] = [*NUMPY_API, *more.pop("macros", [])]
    more["extra_compile_args"] = [*COMMON, *more.pop("flags", []), *EXTRA]
    more["extra_link_args"] = [*more.pop("links", []), *EXTRA]
    return Extension(
        name,
        list(sources),
        include_dirs=[*includes, numpy.get_include()],
        depends=[*depends, *INCLUDED],
        language="c++",
        **more,
    )


def modules() -> list[Extension]:
    """List the Cython modules."""
    wanted = [
        module(
            "rpupy.rpu_base._cpu",
            "rpupy/rpu_base/_cpu.pyx",
            includes=["csrc"],
            depends=SOURCES,
            # Dispatch first: a static library is searched for what those before it lack.
            libraries=[name for name, _ in reversed(LIBRARIES)],
            flags=OPENMP,
            links=OPENMP,
        )
    ]
    cuda_module = "rpupy/rpu_base/_cuda.pyx"
    on_cuda = {
        "includes": ["cuda", "csrc"],
        "depends": [*HEADERS, *CUDA_SOURCES, cuda_module],
    }
    if os.environ.get("RPUPY_CUDA_HOST", "1") != "0":
        # The CUDA kernels for the host, with which tests run them without a GPU. Nothing
        # but tests waits for them, and -O1 compiles them in half of the time.
        sources = ("rpupy/rpu_base/_cuda_host.pyx", "cuda/host/kernels.cpp")
        macros = [("RPUPY_CUDA_ON_HOST", None)]
        host = {"flags": ["-O1"], "macros": macros, **on_cuda}
        wanted.append(module("rpupy.rpu_base._cuda_host", *sources, **host))
    if CUDA_WANTED == "1" or (CUDA_WANTED != "0" and find_nvcc()):
        runtime = ["cudart_static", "dl", "rt", "pthread"]
        gpu = {"libraries": runtime, "optional": CUDA_WANTED != "1", **on_cuda}
        wanted.append(module(CUDA_NAME, cuda_module, **gpu))
    return cythonize(wanted, build_dir="build/cython")


setup(
    libraries=LIBRARIES,
    ext_modules=modules(),
    cmdclass={"build_clib": BuildClib, "build_ext": BuildExt},
)
