"""A training step (forward, backward, update), construction, threads, memory and import.

    python benchmarks/bench_training.py [--sizes 512 1024] [--batches 32]

The update changes the weights, so that each forward has to pack them anew: this is what a
training loop pays, unlike the single calls of bench_product.py.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import sidebyside as side
import numpy as np

import rpupy
from rpupy.configs import ConstantStepDevice, SingleRPUConfig
from rpupy.tiles import AnalogTile


def build(size: int, weights: np.ndarray) -> AnalogTile:
    """Build a tile with default settings."""
    tile = AnalogTile(size, size, SingleRPUConfig(device=ConstantStepDevice()), rng=1)
    tile.set_weights(weights)
    tile.set_learning_rate(0.01)
    return tile


def main() -> None:
    """Measure and print."""
    args = side.parser(__doc__.splitlines()[0]).parse_args()
    side.announce(args.threads)
    rng = np.random.default_rng(7)
    rows = []
    for size in args.sizes or (512, 1024):
        weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
        for batch in args.batches or (32,):
            x = rng.standard_normal((batch, size)).astype(np.float32)
            d = (0.1 * rng.standard_normal((batch, size))).astype(np.float32)
            rows.append(step(size, batch, weights, x, d, args.rounds))
        rows.append(construction(size, args.rounds))
    side.table(["what", "size", "batch", "rpupy, ms", "reference, ms", "ratio"], rows)
    print()
    threads_table(rng, args.rounds)
    print()
    memory(rng)
    import_time()


def step(
    size: int,
    batch: int,
    weights: np.ndarray,
    x: np.ndarray,
    d: np.ndarray,
    rounds: int,
) -> list[str]:
    """Measure forward + backward + update."""
    tile = build(size, weights)

    def ours() -> None:
        tile.forward(x)
        tile.backward(d)
        tile.update(x, d)

    calls = {"rpupy": ours}
    if side.torch is not None:
        other = side.reference_tile(
            side.reference_devices.ConstantStepDevice(), size, weights
        )
        tx, td = side.torch.from_numpy(x), side.torch.from_numpy(d)

        def theirs() -> None:
            other.forward(tx)
            other.backward(td)
            other.update(tx, td)

        calls["reference"] = side.without_gradient(theirs)
    return row("step", size, batch, side.take_turns(calls, rounds))


def construction(size: int, rounds: int) -> list[str]:
    """Measure building a tile with the spread of its devices."""
    config = SingleRPUConfig(device=ConstantStepDevice())
    calls = {"rpupy": lambda: AnalogTile(size, size, config, rng=1)}
    if side.torch is not None:
        other = side.reference_configs.SingleRPUConfig(
            device=side.reference_devices.ConstantStepDevice()
        )
        calls["reference"] = lambda: other.tile_class(size, size, other)
    return row("construction", size, 0, side.take_turns(calls, rounds))


def row(what: str, size: int, batch: int, times: dict[str, list[float]]) -> list[str]:
    """Format one row."""
    cells = [what, str(size), str(batch) if batch else "-", side.ms(times["rpupy"])]
    if "reference" not in times:
        return [*cells, "-", "-"]
    return [
        *cells,
        side.ms(times["reference"]),
        side.ratio(times["reference"], times["rpupy"]),
    ]


def threads_table(rng: np.random.Generator, rounds: int) -> None:
    """Compare one thread with two, by the clock on the wall."""
    rows = []
    for size, batch in ((512, 32), (1024, 32), (1024, 256)):
        weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
        tile = build(size, weights)
        x = rng.standard_normal((batch, size)).astype(np.float32)
        d = (0.1 * rng.standard_normal((batch, size))).astype(np.float32)
        operations = {
            "forward": lambda t=tile, x=x: t.forward(x),
            "backward": lambda t=tile, d=d: t.backward(d),
            "update": lambda t=tile, x=x, d=d: t.update(x, d),
        }
        for name, operation in operations.items():

            def with_threads(n: int, run: side.Call = operation) -> side.Call:
                def call() -> None:
                    rpupy.set_num_threads(n)
                    run()

                return call

            calls = {"1": with_threads(1), "2": with_threads(2)}
            times = side.take_turns(calls, rounds, time.perf_counter)
            best = f"{min(times['1']) / min(times['2']):.2f}"
            rows.append(
                [name, str(size), str(batch), side.ratio(times["1"], times["2"]), best]
            )
    rpupy.set_num_threads(1)
    side.table(["call", "size", "batch", "1 thread / 2 threads", "of the minima"], rows)


def memory(rng: np.random.Generator) -> None:
    """Print the bytes of a tile after use, beside its state and one packed copy."""
    size = 1024
    tile = build(size, rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32))
    x = rng.standard_normal((256, size)).astype(np.float32)
    tile.forward(x)
    tile.backward(x)
    tile.update(x, x)
    state = sum(a.nbytes for a in tile.tile.state()[1].values())
    used = state + tile.tile.working_bytes()
    fair = state + 4 * size * size
    print(
        f"memory, {size} x {size} ConstantStep after use with batch 256: {used / 2**20:.1f} MiB,"
    )
    print(f"  {used / fair:.3f} of state planes + one packed copy of the weights")


def import_time() -> None:
    """Print what importing rpupy costs beyond NumPy."""

    def best(code: str) -> float:
        program = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
        command = [sys.executable, "-c", program]
        outputs = [
            subprocess.run(command, capture_output=True, check=True).stdout
            for _ in range(7)
        ]
        return statistics.median(float(text) for text in outputs)

    beyond = best("import rpupy, rpupy.tiles") - best("import numpy")
    print(f"import rpupy and its tiles, beyond NumPy: {beyond:.3f} s")


if __name__ == "__main__":
    main()
