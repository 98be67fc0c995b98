"""Forward and backward, beside NumPy's product alone and the reference library.

    python benchmarks/bench_product.py [--sizes 64 512 1024] [--batches 1 32 256] [--threads N]

Default periphery (converters, output noise, noise and bound management); x ~ N(0, 1),
d ~ 0.1 N(0, 1), weights uniform in +-0.3.
"""

from __future__ import annotations

import sidebyside as side
import numpy as np

from rpupy.configs import ConstantStepDevice, SingleRPUConfig
from rpupy.tiles import AnalogTile


def main() -> None:
    """Measure and print."""
    args = side.parser(__doc__.splitlines()[0]).parse_args()
    side.announce(args.threads)
    rng = np.random.default_rng(7)
    rows = []
    for size in args.sizes or (64, 256, 512, 1024):
        weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
        tile = AnalogTile(
            size, size, SingleRPUConfig(device=ConstantStepDevice()), rng=1
        )
        tile.set_weights(weights)
        for batch in args.batches or (1, 32, 256):
            x = rng.standard_normal((batch, size)).astype(np.float32)
            d = (0.1 * rng.standard_normal((batch, size))).astype(np.float32)
            calls = {
                "forward": lambda x=x: tile.forward(x),
                "backward": lambda d=d: tile.backward(d),
                "numpy": lambda x=x, w=weights: x @ w.T,
            }
            if side.torch is not None:
                reference = side.reference_tile(
                    side.reference_devices.ConstantStepDevice(), size, weights
                )
                tx, td = side.torch.from_numpy(x), side.torch.from_numpy(d)
                calls["reference forward"] = side.without_gradient(
                    lambda r=reference, t=tx: r.forward(t)
                )
                calls["reference backward"] = side.without_gradient(
                    lambda r=reference, t=td: r.backward(t)
                )
            times = side.take_turns(calls, args.rounds)
            for name in ("forward", "backward"):
                row = [
                    name,
                    str(size),
                    str(batch),
                    side.ms(times[name]),
                    side.ms(times["numpy"]),
                ]
                row.append(side.ratio(times[name], times["numpy"]))
                key = f"reference {name}"
                row.append(side.ratio(times[key], times[name]) if key in times else "-")
                rows.append(row)
                print(" | ".join(row), flush=True)
    print()
    header = ["call", "size", "batch", "rpupy, ms", "x @ W.T, ms", "rpupy / NumPy"]
    side.table([*header, "reference / rpupy"], rows)


if __name__ == "__main__":
    main()
