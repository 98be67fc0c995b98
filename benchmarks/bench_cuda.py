"""Product and update on a GPU, beside the floor of the card and CuPy's or torch's product.

    python benchmarks/bench_cuda.py [--sizes 256 1024 4096] [--batches 1 32 256]
        [--bandwidth 4.3] [--flops 67]

Times are between two events in the tile's stream; arrays are on the device already. Floors
are those of docs/cuda.md, for a card of this many TB/s and TFLOP/s in single precision. Without
a GPU the script says why, and does nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from rpupy.configs import ConstantStepDevice, SingleRPUConfig, SoftBoundsDevice
from rpupy.rpu_base import cuda
from rpupy.tiles import AnalogTile

#: Bytes of a crosspoint that an update reads and writes: weight and ordinal both ways, and planes.
UPDATE_BYTES = {"ConstantStep": 32, "SoftBounds": 40}
DEVICES = {"ConstantStep": ConstantStepDevice, "SoftBounds": SoftBoundsDevice}


def library_product(
    weights: np.ndarray, x: np.ndarray
) -> Callable[[int], float] | None:
    """Time ``x @ W.T`` of CuPy or torch in milliseconds; None if neither is here."""
    try:
        import cupy
    except ImportError:
        pass
    else:
        w, v = cupy.asarray(weights), cupy.asarray(x)
        from_to = (cupy.cuda.Event(), cupy.cuda.Event())

        def cupy_time(repeats: int) -> float:
            from_to[0].record()
            for _ in range(repeats):
                v @ w.T
            from_to[1].record()
            from_to[1].synchronize()
            return cupy.cuda.get_elapsed_time(*from_to) / repeats

        return cupy_time
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    tw, tv = torch.from_numpy(weights).cuda(), torch.from_numpy(x).cuda()

    def torch_time(repeats: int) -> float:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        marks[0].record()
        for _ in range(repeats):
            tv @ tw.T
        marks[1].record()
        marks[1].synchronize()
        return marks[0].elapsed_time(marks[1]) / repeats

    return torch_time


def best(time: Callable[[int], float], repeats: int = 20, rounds: int = 7) -> float:
    """Return the least of some times, after a warm-up."""
    time(3)
    return min(time(repeats) for _ in range(rounds))


def timed(tile: Any, call: Callable[[], object]) -> Callable[[int], float]:
    """Return a function that times a call in the tile's stream."""
    from rpupy.rpu_base import _cuda

    stream = tile.tile._backend.stream

    def time(repeats: int) -> float:
        start = _cuda.Mark(stream)
        for _ in range(repeats):
            call()
        return _cuda.Mark(stream).milliseconds_since(start) / repeats

    return time


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sizes", type=int, nargs="*", default=[256, 1024, 4096])
    options.add_argument("--batches", type=int, nargs="*", default=[1, 32, 256])
    options.add_argument("--bandwidth", type=float, default=4.3, help="TB/s")
    options.add_argument("--flops", type=float, default=67.0, help="TFLOP/s, fp32")
    args = options.parse_args()
    if not cuda.is_available():
        print(f"nothing is measured: {cuda.why_unavailable()}")
        sys.exit(0)
    rng = np.random.default_rng(7)
    print("call | device | size | batch | ms | floor, ms | share | x @ W.T, ms")
    for size in args.sizes:
        weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
        for name, device in DEVICES.items():
            tile: Any = AnalogTile(size, size, SingleRPUConfig(device=device()), rng=1)
            tile.set_learning_rate(0.01)
            tile.set_weights(weights)
            tile = tile.cuda()
            for batch in args.batches:
                x = rng.standard_normal((batch, size), dtype=np.float32)
                d = 0.1 * rng.standard_normal((batch, size), dtype=np.float32)
                own = [tile.tile._backend.array_from(a) for a in (x, d)]
                flops = 2e3 * size * size * batch / (args.flops * 1e12)
                memory = 1e3 * size * size / (args.bandwidth * 1e12)
                other = library_product(weights, x)
                product_floor = max(flops, 4 * memory)
                cases = {
                    "forward": (lambda o=own: tile.forward(o[0]), product_floor),
                    "backward": (lambda o=own: tile.backward(o[1]), product_floor),
                    "update": (
                        lambda o=own: tile.update(*o),
                        UPDATE_BYTES[name] * memory,
                    ),
                }
                for call, (run, floor) in cases.items():
                    taken = best(timed(tile, run))
                    beside = f"{best(other):.4f}" if other and call != "update" else "-"
                    print(
                        f"{call} | {name} | {size} | {batch} | {taken:.4f} | {floor:.4f}"
                        f" | {floor / taken:.0%} | {beside}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
