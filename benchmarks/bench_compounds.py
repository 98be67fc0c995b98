"""Update of unit cells and compounds, beside the reference library.

    python benchmarks/bench_compounds.py [--sizes 256] [--batches 32] [--threads N]
                                         [--cells TTv1 ...] [--forms exact batch]

SoftBounds devices, default update parameters; x ~ N(0, 1), d ~ 0.1 * N(0, 1), weights uniform in
+-0.3, learning rate 0.01.  Without ``--sizes`` and ``--batches``, cells and transfer compounds are
measured with 256 and 32, mixed precision with 1024 and 1.  ``fast_lr`` of transfer compounds is 1
in both libraries, and not scaled by the learning rate: with these inputs the fast array gets 19
pulses for each crosspoint and vector.  Form ``batch`` draws noise once for the mini-batch; the
reference has no such form, and is measured as it is.
"""

from __future__ import annotations

from typing import Any

import sidebyside as side
import numpy as np

from rpupy.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    NoiseAggregation,
    OneSidedUnitCell,
    SoftBoundsDevice,
    TransferCompound,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
)
from rpupy.tiles import AnalogTile

CELLS = {
    "Vector": VectorUnitCell,
    "OneSided": OneSidedUnitCell,
    "TTv1": TransferCompound,
    "TTv2": BufferedTransferCompound,
    "TTv3": ChoppedTransferCompound,
    "TTv4": DynamicTransferCompound,
    "MixedPrecision": MixedPrecisionCompound,
}
FORMS = {"exact": NoiseAggregation.PULSE, "batch": NoiseAggregation.BATCH}


def cell(cls: type[Any], device: type[Any], fast_lr: dict[str, Any]) -> Any:
    """Build a cell of either library."""
    if cls.__name__ == "MixedPrecisionCompound":
        return cls(device=device())
    count = 1 if cls.__name__ == "OneSidedUnitCell" else 2
    fields = fast_lr if "Transfer" in cls.__name__ else {}
    return cls(unit_cell_devices=[device() for _ in range(count)], **fields)


def reference_tile(name: str, weights: np.ndarray) -> Any:
    """Build a tile of the reference library."""
    from aihwkit.simulator.configs import compounds

    cls = getattr(compounds, CELLS[name].__name__)
    # Older versions do not scale this rate, and have no field for it.
    known = "scale_fast_lr" in cls.__dataclass_fields__
    fast_lr = {"fast_lr": 1.0} | ({"scale_fast_lr": False} if known else {})
    device = cell(cls, side.reference_devices.SoftBoundsDevice, fast_lr)
    mixed = name == "MixedPrecision"
    kind = "DigitalRankUpdateRPUConfig" if mixed else "UnitCellRPUConfig"
    config = getattr(side.reference_configs, kind)(device=device)
    tile = config.tile_class(*weights.shape, config)
    tile.set_weights(side.torch.from_numpy(weights))
    tile.set_learning_rate(0.01)
    return tile


def main() -> None:
    """Measure and print."""
    options = side.parser(__doc__.splitlines()[0])
    options.add_argument("--cells", nargs="*", choices=list(CELLS), default=list(CELLS))
    options.add_argument("--forms", nargs="*", choices=list(FORMS), default=list(FORMS))
    args = options.parse_args()
    side.announce(args.threads)
    rng = np.random.default_rng(7)
    rows = []
    for name in args.cells:
        mixed = name == "MixedPrecision"
        for size in args.sizes or ((1024,) if mixed else (256,)):
            weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
            for batch in args.batches or ((1,) if mixed else (32,)):
                x = rng.standard_normal((batch, size)).astype(np.float32)
                d = (0.1 * rng.standard_normal((batch, size))).astype(np.float32)
                for row in measure(name, args.forms, weights, x, d, args.rounds):
                    rows.append(row)
                    print(" | ".join(row), flush=True)
    print()
    head = ["cell", "form", "size", "batch"]
    side.table([*head, "rpupy, ms", "reference, ms", "ratio"], rows)


def measure(
    name: str,
    forms: list[str],
    weights: np.ndarray,
    x: np.ndarray,
    d: np.ndarray,
    rounds: int,
) -> list[list[str]]:
    """Measure the forms of one cell, in turn with the reference."""
    size = len(weights)
    calls: dict[str, Any] = {}
    for form in forms:
        fast_lr = {"fast_lr": 1.0, "scale_fast_lr": False}
        device = cell(CELLS[name], SoftBoundsDevice, fast_lr)
        mixed = name == "MixedPrecision"
        kind = DigitalRankUpdateRPUConfig if mixed else UnitCellRPUConfig
        update = UpdateParameters(noise_aggregation=FORMS[form])
        tile = AnalogTile(size, size, kind(device=device, update=update), rng=1)
        tile.set_weights(weights)
        tile.set_learning_rate(0.01)
        calls[form] = lambda tile=tile: tile.update(x, d)
    if side.torch is not None:
        reference = reference_tile(name, weights)
        tx, td = side.torch.from_numpy(x), side.torch.from_numpy(d)
        calls["reference"] = side.without_gradient(lambda: reference.update(tx, td))
    times = side.take_turns(calls, rounds)
    rows = []
    for form in forms:
        row = [name, form, str(size), str(len(x)), side.ms(times[form])]
        if "reference" in times:
            row += [
                side.ms(times["reference"]),
                side.ratio(times["reference"], times[form]),
            ]
        else:
            row += ["-", "-"]
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
