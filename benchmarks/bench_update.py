"""Pulsed update of one mini-batch, beside the reference library.

    python benchmarks/bench_update.py [--sizes 256 1024] [--batches 1 32] [--threads N]
                                      [--forms exact batch mean_count implicit]

Inputs: x ~ N(0, 1), d ~ scale * N(0, 1), weights uniform in +-0.3, learning rate 0.01, default
update parameters.  Scale 0.1 gives about 0.6 pulses for each crosspoint and vector, 0.01
about 0.06.  Form ``batch`` draws noise once for the mini-batch; the reference has no such form,
and is measured as it is.  ``mean_count`` and ``implicit`` are pulse types of both.
"""

from __future__ import annotations

import itertools

import sidebyside as side
import numpy as np

from rpupy.configs import (
    ConstantStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    NoiseAggregation,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
    UpdateParameters,
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
#: Those that can draw noise once for a mini-batch.
AGGREGATING = (ConstantStepDevice, LinearStepDevice, SoftBoundsDevice)
#: Settings without which a device would not be itself, for both libraries.
FIELDS = {
    "PiecewiseStepDevice": {
        "piecewise_up": [1.5, 1.2, 1.0, 0.8, 0.5],
        "piecewise_down": [0.5, 0.8, 1.0, 1.2, 1.5],
    },
}
FORMS = {
    "exact": {},
    "batch": {"noise_aggregation": NoiseAggregation.BATCH},
    "mean_count": {"pulse_type": PulseType.MEAN_COUNT},
    "implicit": {"pulse_type": PulseType.DETERMINISTIC_IMPLICIT},
}


def main() -> None:
    """Measure and print."""
    options = side.parser(__doc__.splitlines()[0])
    options.add_argument("--scales", type=float, nargs="*", default=[0.1, 0.01])
    options.add_argument(
        "--forms", nargs="*", choices=list(FORMS), default=["exact", "batch"]
    )
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
                for device, form in itertools.product(DEVICES, args.forms):
                    if form == "batch" and device not in AGGREGATING:
                        continue
                    rows.append(
                        measure(device, form, batch, scale, weights, x, d, args.rounds)
                    )
                    print(" | ".join(rows[-1]), flush=True)
    print()
    head = ["device", "form", "size", "batch", "d scale"]
    side.table([*head, "rpupy, ms", "reference, ms", "ratio"], rows)


def measure(
    device: type,
    form: str,
    batch: int,
    scale: float,
    weights: np.ndarray,
    x: np.ndarray,
    d: np.ndarray,
    rounds: int,
) -> list[str]:
    """Measure one row of the table."""
    size = len(weights)
    update = UpdateParameters(**FORMS[form])
    fields = FIELDS.get(device.__name__, {})
    config = SingleRPUConfig(device=device(**fields), update=update)
    tile = AnalogTile(size, size, config, rng=1)
    tile.set_weights(weights)
    tile.set_learning_rate(0.01)
    # Up and down in turns: errors of one sign would drive the weights into their bounds,
    # and one library further than the other, which gets fewer calls in the same time.
    ours = itertools.cycle((d, -d))
    calls = {"rpupy": lambda: tile.update(x, next(ours))}
    if side.torch is not None:
        kind = update.pulse_type.name
        reference = side.reference_tile(
            getattr(side.reference_devices, device.__name__)(**fields),
            size,
            weights,
            kind,
        )
        tx = side.torch.from_numpy(x)
        tds = itertools.cycle([side.torch.from_numpy(one) for one in (d, -d)])
        calls["reference"] = side.without_gradient(
            lambda: reference.update(tx, next(tds))
        )
    times = side.take_turns(calls, rounds)
    row = [
        device.__name__,
        form,
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
