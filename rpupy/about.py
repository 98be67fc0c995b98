"""What this rpupy is made of and what it found on this machine."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from typing import Any, TextIO

import numpy as np

from rpupy import threads
from rpupy.rpu_base import cuda

__all__ = ["config_info", "show_config"]


def config_info() -> dict[str, Any]:
    """Collect versions, instruction sets, threads and the state of CUDA.

    Returns
    -------
    dict
        ``rpupy``, ``python``, ``numpy``, ``attrs``, ``compiler``: versions (str);
        ``isa``: instruction set in use; ``available_isas``: those of this build that
        the machine can run, best first; ``openmp``: whether kernels use OpenMP;
        ``num_threads``, ``openmp_max_threads``: int; ``cuda_compiled``,
        ``cuda_available``: bool; ``cuda_reason``: why CUDA is not available, or empty.
    """
    # Only when called: rpupy imports this module while it is still being imported.
    import rpupy
    from rpupy.rpu_base import _cpu

    return {
        "rpupy": rpupy.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "attrs": version("attrs"),
        "compiler": _cpu.compiler(),
        "isa": _cpu.isa(),
        "available_isas": _cpu.available_isas(),
        "openmp": _cpu.openmp_enabled(),
        "num_threads": threads.get_num_threads(),
        "openmp_max_threads": _cpu.max_threads(),
        "cuda_compiled": cuda.is_compiled(),
        "cuda_available": cuda.is_available(),
        "cuda_reason": cuda.why_unavailable(),
    }


def show_config(file: TextIO | None = None) -> None:
    """Print what `config_info` collects, for bug reports.

    Parameters
    ----------
    file : text stream, optional
        Where to print; standard output by default.
    """
    info = config_info()
    openmp = "" if info["openmp"] else " (built without OpenMP: calls use one)"
    if info["cuda_available"]:
        state = "available"
    else:
        state = f"not available: {info['cuda_reason']}"
    rows = {
        "rpupy": info["rpupy"],
        "Python": info["python"],
        "NumPy": info["numpy"],
        "attrs": info["attrs"],
        "compiler": info["compiler"],
        "instruction set": f"{info['isa']} (of {', '.join(info['available_isas'])})",
        "threads": f"{info['num_threads']}{openmp}",
        "CUDA": state,
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}", file=file or sys.stdout)
