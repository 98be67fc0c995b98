"""The kernels of the CUDA backend on a GPU, beside the floor of the card and another library.

    python benchmarks/bench_cuda.py [--sizes 256 1024 4096] [--batches 1 32 256]
        [--bandwidth 4.3] [--flops 67] [--dry-run]

Times are between two events in the tile's stream, around one call on arrays that are on the
device: the least of many. They hold what the GPU does and the gaps between its launches; after
a call the host waits, so that nothing overlaps. Beside a product stands ``x @ W.T`` of CuPy or
torch, if one is installed, timed in the same way.

A floor is what a card of that many TB/s and TFLOP/s (single precision) needs at least: the larger
of the time for the bytes that have to be moved and the time for the arithmetic that cannot be left
out. How both are counted stands in docs/cuda.md and in `Cost`. Without a GPU the script says
why there is none, and measures nothing; ``--dry-run`` makes each call once on kernels that were
compiled for the host, and prints the floors.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    FloatingPointRPUConfig,
    LinearStepDevice,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.rpu_base import cuda
from rpupy.tiles import AnalogTile, FloatingPointTile

DEVICES = {
    "ConstantStep": ConstantStepDevice,
    "LinearStep": LinearStepDevice,
    "SoftBounds": SoftBoundsDevice,
}

#: Of the single-precision operations that an SM can do in a cycle (256 on recent ones, two to a
#: multiply-add): how many of them a 32-bit integer operation and a population count cost.
INTEGER = 4
POPCOUNT = 16
#: Integer and other operations of a Philox block that is made four normals, and of one that is not.
NORMALS = 200
BLOCK = 60


@dataclass
class Cost:
    """What a call cannot do without.

    Attributes
    ----------
    moved : float
        Bytes between memory and the chip.
    flops : float
        Floating-point operations, a multiply-add counting as two.
    blocks, normals : float
        Philox blocks for uniform numbers, and for four normals each.
    popcounts : float
        Words of pulses that are compared.
    """

    moved: float
    flops: float = 0.0
    blocks: float = 0.0
    normals: float = 0.0
    popcounts: float = 0.0

    def floor(self, bandwidth: float, flops: float) -> float:
        """Return the least time in milliseconds, for a card of TB/s and TFLOP/s."""
        integers = self.blocks * BLOCK + self.normals * NORMALS
        arithmetic = self.flops + INTEGER * integers + POPCOUNT * self.popcounts
        return 1e3 * max(self.moved / (bandwidth * 1e12), arithmetic / (flops * 1e12))


@dataclass
class Case:
    """A call, what it costs, and whether ``x @ W.T`` does the same work."""

    name: str
    tile: Any
    run: Callable[[], object]
    cost: Cost
    is_product: bool = False


def pulses_of(tile: Any, call: Callable[[], object]) -> int:
    """Count the pulses of a call, from the ordinals of all crosspoints."""
    ordinals = tile.tile._arrays["pulse_ordinals"]
    before = tile.tile._backend.read(ordinals)
    call()
    after = tile.tile._backend.read(ordinals)
    return int((after - before).sum(dtype=np.int64))


def product_cost(size: int, batch: int) -> Cost:
    """Cost of a noisy product: weights and vectors once, and noise of each output."""
    return Cost(
        moved=4 * (size * size + 2 * size * batch),
        flops=2 * size * size * batch,
        normals=size * batch / 4,
    )


def cases(backend: str, size: int, batches: list[int]) -> Iterator[Case]:
    """Build tiles, and go through the kernels of docs/cuda.md."""
    rng = np.random.default_rng(7)
    weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
    crosspoints = size * size

    def placed(tile: Any) -> Any:
        tile.set_learning_rate(0.01)
        tile.set_weights(weights)
        return tile._to_backend(backend)

    def vectors(tile: Any, batch: int) -> list[Any]:
        x = rng.standard_normal((batch, size), dtype=np.float32)
        d = 0.1 * rng.standard_normal((batch, size), dtype=np.float32)
        return [tile.tile._backend.array_from(a) for a in (x, d)]

    for name, device in DEVICES.items():
        tile = placed(AnalogTile(size, size, SingleRPUConfig(device=device()), rng=1))
        # A weight and an ordinal both ways, and the planes that steps depend on.
        planes = 4 + (0 if name == "ConstantStep" else 2)
        for batch in batches:
            x, d = vectors(tile, batch)
            if name == "ConstantStep":
                cost = product_cost(size, batch)
                yield Case(
                    f"forward, {batch}", tile, lambda x=x: tile.forward(x), cost, True
                )
                yield Case(
                    f"backward, {batch}", tile, lambda d=d: tile.backward(d), cost, True
                )

            def update(x: Any = x, d: Any = d) -> None:
                tile.update(x, d)

            pulses = pulses_of(tile, update)
            cost = Cost(
                moved=4 * (4 + planes) * crosspoints + 16 * size * batch,
                # Words of x and d, of 31 slots: a block for each four slots.
                blocks=8 * 2 * size * batch / 4,
                normals=pulses / 4,
                popcounts=crosspoints * batch,
            )
            yield Case(f"update {name}, {batch}", tile, update, cost)

    for name, config in {
        "exact update": FloatingPointRPUConfig(),
        "exact update with bounds": SingleRPUConfig(device=ConstantStepDevice()),
    }.items():
        bounded = isinstance(config, SingleRPUConfig)
        if bounded:
            config.update.pulse_type = PulseType.NONE_WITH_DEVICE
        kind = AnalogTile if bounded else FloatingPointTile
        tile = placed(kind(size, size, config, rng=1))
        for batch in batches:
            x, d = vectors(tile, batch)
            cost = Cost(
                moved=(16 if bounded else 8) * crosspoints + 8 * size * batch,
                flops=(4 if bounded else 2) * crosspoints * batch,
            )
            yield Case(
                f"{name}, {batch}", tile, lambda x=x, d=d: tile.update(x, d), cost
            )

    device = SoftBoundsDevice(
        write_noise_std=1.0,
        lifetime=100.0,
        lifetime_dtod=0.1,
        diffusion=1e-3,
        diffusion_dtod=0.1,
        reset_dtod=0.1,
        drift=DriftParameter(nu=0.1, nu_dtod=0.1),
    )
    tile = placed(AnalogTile(size, size, SingleRPUConfig(device=device), rng=1))
    core, own = tile.tile, 1 / 4  # a normal of its own block for each crosspoint
    # With write noise, the visible weights are drawn anew after each: 8 bytes and a block.
    shown = Cost(8 * crosspoints, normals=crosspoints)
    upkeep = {
        # weights both ways, two bounds, and the planes of each.
        "clip": (lambda: core.clip_weights(0.5), 16, 0.0),
        "decay": (core.decay_weights, 24, 0.0),
        "diffuse": (core.diffuse_weights, 20, 1.0),
        "reset": (lambda: core.reset_columns(0, -1, 0.5), 20, 1.0 + own),
        "drift": (lambda: core.drift_weights(1.0), 44, 1.0),
    }
    for name, (run, moved, normals) in upkeep.items():
        cost = Cost(
            moved=moved * crosspoints + shown.moved,
            normals=normals * crosspoints + shown.normals,
        )
        yield Case(name, tile, run, cost)
    drawn = sum(getattr(a, "ndim", 0) == 2 for a in core._arrays.values()) - 6
    cost = Cost(4 * drawn * crosspoints, normals=3 * crosspoints)
    yield Case("populate SoftBounds", tile, lambda: core._draw_devices(), cost)


def library_product(size: int, batch: int) -> Callable[[int], float] | None:
    """Time ``x @ W.T`` of CuPy or torch in milliseconds; None if neither is here."""
    rng = np.random.default_rng(7)
    weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
    x = rng.standard_normal((batch, size), dtype=np.float32)
    try:
        import cupy
    except ImportError:
        pass
    else:
        w, v = cupy.asarray(weights), cupy.asarray(x)
        marks = (cupy.cuda.Event(), cupy.cuda.Event())

        def cupy_time() -> float:
            marks[0].record()
            v @ w.T
            marks[1].record()
            marks[1].synchronize()
            return float(cupy.cuda.get_elapsed_time(*marks))

        return cupy_time
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    # Products in single precision, as ours.
    torch.backends.cuda.matmul.allow_tf32 = False
    tw, tv = torch.from_numpy(weights).cuda(), torch.from_numpy(x).cuda()

    def torch_time() -> float:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        marks[0].record()
        tv @ tw.T
        marks[1].record()
        marks[1].synchronize()
        return float(marks[0].elapsed_time(marks[1]))

    return torch_time


def timed(case: Case) -> Callable[[], float]:
    """Return a function that times the call in the tile's stream, in milliseconds."""
    module = importlib.import_module(case.tile.tile.module)
    stream = case.tile.tile._backend.stream

    def time() -> float:
        start = module.Mark(stream)
        case.run()
        return float(module.Mark(stream).milliseconds_since(start))

    return time


def best(time: Callable[[], float], repeats: int = 100) -> float:
    """Return the least of some times, after a warm-up."""
    for _ in range(3):
        time()
    return min(time() for _ in range(repeats))


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sizes", type=int, nargs="*", default=[256, 1024, 4096])
    options.add_argument("--batches", type=int, nargs="*", default=[1, 32, 256])
    options.add_argument("--bandwidth", type=float, default=4.3, help="TB/s")
    options.add_argument("--flops", type=float, default=67.0, help="TFLOP/s, fp32")
    options.add_argument("--dry-run", action="store_true", help="floors only")
    args = options.parse_args(arguments)
    if not args.dry_run and not cuda.is_available():
        print(f"nothing is measured: {cuda.why_unavailable()}")
        return
    print("kernel, batch | size | ms | floor, ms | share of the floor | x @ W.T, ms")
    for size in args.sizes:
        backend = "cuda_host" if args.dry_run else "cuda"
        for case in cases(backend, size, args.batches):
            floor = case.cost.floor(args.bandwidth, args.flops)
            taken = share = beside = "-"
            if args.dry_run:
                case.run()
            else:
                time = best(timed(case))
                taken, share = f"{time:.4f}", f"{floor / time:.0%}"
                batch = int(case.name.rpartition(" ")[2]) if case.is_product else 0
                other = library_product(size, batch) if case.is_product else None
                beside = f"{best(other):.4f}" if other else "-"
            print(
                f"{case.name} | {size} | {taken} | {floor:.4f} | {share} | {beside}",
                flush=True,
            )


if __name__ == "__main__":
    main()
