"""Pulsed update of one mini-batch, beside the reference library.

    python benchmarks/bench_update.py [--sizes 256 1024] [--batches 1 32] [--threads N]

Inputs: x ~ N(0, 1), d ~ scale * N(0, 1), weights uniform in +-0.3, learning rate 0.01, default
update parameters.  Scale 0.1 gives about 0.6 pulses for each crosspoint and vector, 0.01
about 0.06.
"""

from __future__ import annotations

import sidebyside as side
import numpy as np

from rpupy.configs import (
    ConstantStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
)
from rpupy.tiles import AnalogTile

DEVICES = (
    ConstantStepDevice,
    LinearStepDevice,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
    ExpStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    PiecewiseStepDevice,
)
#: Settings without which a device would not be itself, for both libraries.
FIELDS = {
    "PiecewiseStepDevice": {
        "piecewise_up": [1.5, 1.2, 1.0, 0.8, 0.5],
        "piecewise_down": [0.5, 0.8, 1.0, 1.2, 1.5],
    },
}


def main() -> None:
    """Measure and print."""
    options = side.parser(__doc__.splitlines()[0])
    options.add_argument("--scales", type=float, nargs="*", default=[0.1, 0.01])
    args = options.parse_args()
    side.announce(args.threads)
    rng = np.random.default_rng(7)
    rows = []
    for size in args.sizes or (256, 1024):
        weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
        for batch in args.batches or (1, 32):
            x = rng.standard_normal((batch, size)).astype(np.float32)
            for scale in args.scales:
                d = (scale * rng.standard_normal((batch, size))).astype(np.float32)
                for device in DEVICES:
                    rows.append(
                        measure(device, batch, scale, weights, x, d, args.rounds)
                    )
                    print(" | ".join(rows[-1]), flush=True)
    print()
    side.table(
        ["device", "size", "batch", "d scale", "rpupy, ms", "reference, ms", "ratio"],
        rows,
    )


def measure(
    device: type,
    batch: int,
    scale: float,
    weights: np.ndarray,
    x: np.ndarray,
    d: np.ndarray,
    rounds: int,
) -> list[str]:
    """Measure one row of the table."""
    size = len(weights)
    fields = FIELDS.get(device.__name__, {})
    tile = AnalogTile(size, size, SingleRPUConfig(device=device(**fields)), rng=1)
    tile.set_weights(weights)
    tile.set_learning_rate(0.01)
    calls = {"rpupy": lambda: tile.update(x, d)}
    if side.torch is not None:
        reference = side.reference_tile(
            getattr(side.reference_devices, device.__name__)(**fields), size, weights
        )
        tx, td = side.torch.from_numpy(x), side.torch.from_numpy(d)
        calls["reference"] = side.without_gradient(lambda: reference.update(tx, td))
    times = side.take_turns(calls, rounds)
    row = [
        device.__name__,
        str(size),
        str(batch),
        f"{scale:g}",
        side.ms(times["rpupy"]),
    ]
    if "reference" in times:
        row += [
            side.ms(times["reference"]),
            side.ratio(times["reference"], times["rpupy"]),
        ]
    else:
        row += ["-", "-"]
    return row


if __name__ == "__main__":
    main()
