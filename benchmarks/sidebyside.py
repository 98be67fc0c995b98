"""How the benchmarks measure: calls in turn, processor time, ratios pair by pair.

A shared machine changes its speed from second to second, so that a time alone says little.
Here the calls that are compared take turns in one process, and what counts is the ratio of two
neighbouring measurements; its median and quartiles are printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

# One thread for every library that is compared; this has to happen before they are imported.
if "--threads" not in sys.argv:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

import numpy as np

import rpupy

try:
    import torch
    from aihwkit.simulator import configs as reference_configs
    from aihwkit.simulator.configs import devices as reference_devices
except ImportError:
    torch = reference_configs = reference_devices = None

Call = Callable[[], object]


def parser(description: str) -> argparse.ArgumentParser:
    """Return the options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--sizes", type=int, nargs="*", help="rows = columns of a tile"
    )
    options.add_argument("--batches", type=int, nargs="*")
    options.add_argument("--rounds", type=int, default=9, help="turns of each call")
    options.add_argument("--threads", type=int, default=1, help="threads of rpupy")
    return options


def blas_kernels() -> str:
    """Say which kernels the BLAS of each library chose, where threadpoolctl can tell.

    An old OpenBLAS does not know a new processor and takes slow kernels;
    ``OPENBLAS_CORETYPE=SkylakeX`` (or ``Haswell``) makes it take others.
    """
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown; threadpoolctl would tell"
    return ", ".join(
        f"{Path(pool['filepath']).parent.name} {pool.get('architecture', '?')}"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )


def announce(threads: int) -> None:
    """Print what is compared, and on what."""
    rpupy.set_num_threads(threads)
    info = rpupy.config_info()
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":")[1].strip() for line in file if "model name" in line
            ]
        cpu = names[0] if names else cpu
    print(f"{cpu}; NumPy {np.__version__}")
    print(f"rpupy {info['rpupy']}, {info['isa']}, {threads} thread(s)")
    print(f"BLAS kernels: {blas_kernels()}")
    if torch is None:
        print("the reference library is not installed: rpupy alone")
    else:
        torch.set_num_threads(1)
        from importlib.metadata import version

        print(
            f"reference: aihwkit {version('aihwkit')}, torch {torch.__version__}, one thread"
        )


def take_turns(
    calls: dict[str, Call], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Measure the calls in turn; seconds of one call, for each round."""
    loops = {}
    for name, call in calls.items():
        call()
        start = clock()
        call()
        once = max(clock() - start, 1e-7)
        loops[name] = max(1, min(1000, int(0.02 / once)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = clock()
            for _ in range(loops[name]):
                call()
            times[name].append((clock() - start) / loops[name])
    return times


def ms(times: list[float]) -> str:
    """Median in milliseconds."""
    return f"{statistics.median(times) * 1e3:.4g}"


def ratio(above: list[float], below: list[float]) -> str:
    """Median and quartiles of the ratio, pair by pair."""
    pairs = sorted(a / b for a, b in zip(above, below, strict=True))
    quarter = len(pairs) // 4
    low, high = pairs[quarter], pairs[-1 - quarter]
    return f"{statistics.median(pairs):.3g} ({low:.3g} .. {high:.3g})"


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table in the form that the docs use."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def reference_tile(
    device: object,
    size: int,
    weights: np.ndarray,
    pulse_type: str = "STOCHASTIC_COMPRESSED",
    lr: float = 0.01,
) -> object:
    """Build a tile of the reference library with these weights."""
    config = reference_configs.SingleRPUConfig(device=device)
    config.update.pulse_type = type(config.update.pulse_type)[pulse_type]
    tile = config.tile_class(size, size, config)
    tile.set_weights(torch.from_numpy(weights))
    tile.set_learning_rate(lr)
    return tile


def without_gradient(call: Call) -> Call:
    """Keep torch from recording a graph."""

    def run() -> object:
        with torch.no_grad():
            return call()

    return run
