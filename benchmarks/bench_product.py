"""Forward and backward, beside NumPy's product alone and the reference library.

    python benchmarks/bench_product.py [--sizes 64 512 1024] [--batches 1 32 256] [--threads N]

Default periphery (converters, output noise, noise and bound management); x ~ N(0, 1),
d ~ 0.1 N(0, 1), weights uniform in +-0.3. A second table has what each further effect
costs: the time of forward with it, over that without.
"""

from __future__ import annotations

import sidebyside as side
import numpy as np

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    ConstantStepDevice,
    IOParameters,
    NoiseManagementType,
    SingleRPUConfig,
    WeightNoiseType,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.tiles import AnalogTile

EFFECTS = {
    "input noise": {"inp_noise": 0.01},
    "stochastic rounding": {"inp_sto_round": True, "out_sto_round": True},
    "no bound management": {"bound_management": BoundManagementType.NONE},
    "ABS_MAX_NP_SUM": {"noise_management": NoiseManagementType.ABS_MAX_NP_SUM},
    "AVERAGE_ABS_MAX": {"noise_management": NoiseManagementType.AVERAGE_ABS_MAX},
    "weight noise": {
        "w_noise": 0.01,
        "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT,
    },
    "PCM read noise": {"w_noise": 0.01, "w_noise_type": WeightNoiseType.PCM_READ},
    "IR drop": {"ir_drop": 1.0},
    "series resistance": {"r_series": 0.01},
    "voltage offset": {"v_offset_std": 0.01},
    "nonlinearity": {"out_nonlinearity": 0.1},
    "spread of the output noise": {"out_noise_std": 0.1},
    "two passes": {"mv_type": AnalogMVType.POS_NEG_SEPARATE},
    "two passes, digital sum": {"mv_type": AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM},
    "time slices (evaluation)": IOParametersIRDropT(),
    "the same, noisy conductances": IOParametersIRDropT(apply_xdep_pcm_read_noise=True),
}


def effects(size: int, batch: int, rounds: int) -> None:
    """Measure what each effect adds to the default product."""
    rng = np.random.default_rng(7)
    weights = rng.uniform(-0.3, 0.3, (size, size)).astype(np.float32)
    x = rng.standard_normal((batch, size)).astype(np.float32)

    def call(io: IOParameters) -> side.Call:
        config = SingleRPUConfig(device=ConstantStepDevice(), forward=io)
        tile = AnalogTile(size, size, config, rng=1).eval()
        tile.set_weights(weights)
        return lambda: tile.forward(x)

    calls = {"default": call(IOParameters())}
    for name, io in EFFECTS.items():
        calls[name] = call(io if isinstance(io, IOParameters) else IOParameters(**io))
    times = side.take_turns(calls, rounds)
    rows = [
        [name, side.ms(times[name]), side.ratio(times[name], times["default"])]
        for name in calls
    ]
    print(f"forward of {size} x {size}, batch {batch}")
    print()
    side.table(["effect", "ms", "of the default"], rows)


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
    print()
    effects(512, 32, args.rounds)


if __name__ == "__main__":
    main()
