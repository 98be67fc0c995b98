"""Training runs whose every bit is compared: scenarios, and what hashes them.

Not a test module: ``conftest.py`` and ``tests/data/make_digests.py`` load it by path,
as `same_bits_runs`, and tests start it as a program (see `main`) where they need
another process.  Inputs are made of integers alone, so that they are the same on every
machine.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rpupy import tiles
from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    BufferedTransferCompound,
    ChoppedTransferCompound,
    ConstantStepDevice,
    DampedStepDevice,
    DigitalRankUpdateRPUConfig,
    DriftParameter,
    DynamicTransferCompound,
    ExpStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    LinearStepDevice,
    MixedPrecisionCompound,
    NoiseAggregation,
    NoiseManagementType,
    OneSidedUnitCell,
    PiecewiseStepDevice,
    PmaxMapping,
    PowStepDevice,
    PowStepReferenceDevice,
    SimpleDriftParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
    TransferCompound,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
    WeightNoiseType,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.parameters.base import RPUConfigBase
from rpupy.rpu_base import _cpu

STEPS = 3
DIGESTS = Path(__file__).parents[1] / "data" / "digests.json"
#: How a batch is cut into calls.
WHOLE, HALVES, SINGLES = "whole", "halves", "singles"


def noisy_io(**changes: Any) -> IOParameters:
    """IO parameters with every kind of draw, and a bound that outputs really leave."""
    values: dict[str, Any] = {
        "inp_noise": 0.02,
        "inp_sto_round": True,
        "inp_asymmetry": 0.05,
        "out_noise": 0.05,
        "out_sto_round": True,
        "out_bound": 0.5,
        "out_asymmetry": 0.03,
        "w_noise": 0.02,
        "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT,
        "bound_management": BoundManagementType.ITERATIVE,
    }
    return IOParameters(**{**values, **changes})


def _single(device: Any, **update: Any) -> SingleRPUConfig:
    return SingleRPUConfig(
        device=device,
        forward=noisy_io(),
        backward=noisy_io(out_scale=0.9),
        update=UpdateParameters(**update),
    )


def _constant_step() -> SingleRPUConfig:
    return _single(ConstantStepDevice(lifetime=50.0, diffusion=0.001))


def _linear_step() -> SingleRPUConfig:
    device = LinearStepDevice(
        gamma_up=0.4,
        gamma_down=0.5,
        mult_noise=False,
        allow_increasing=True,
        mean_bound_reference=False,
        diffusion=0.002,
    )
    # Trains of several words, and more words than fit into one chunk of them.
    return _single(device, desired_bl=100, res=0.01, sto_round=True)


def _aggregated() -> SingleRPUConfig:
    device = SoftBoundsDevice(write_noise_std=1.0, count_pulses=True, dw_min=0.002)
    return _single(device, noise_aggregation=NoiseAggregation.BATCH)


def _soft_bounds() -> SingleRPUConfig:
    device = SoftBoundsDevice(write_noise_std=2.0, lifetime=80.0)
    return _single(device, update_bl_management=False, update_management=False)


def _soft_bounds_pmax() -> SingleRPUConfig:
    device = SoftBoundsPmaxDevice(
        p_max=300, alpha=0.004, mapping=PmaxMapping.BOTH_CURVES, reverse_down=True
    )
    return _single(device)


def _soft_bounds_reference() -> SingleRPUConfig:
    device = SoftBoundsReferenceDevice(
        lifetime=40.0,
        reference_mean=0.05,
        reference_std=0.1,
        slope_down_dtod=0.1,
        slope_up_dtod=0.2,
        subtract_symmetry_point=True,
        up_down=0.1,
        write_noise_std=1.0,
    )
    return _single(device, update_bl_management=False, update_management=False)


def _exp_step() -> SingleRPUConfig:
    device = ExpStepDevice(
        A_up=0.2, diffusion=0.001, dw_min_std_add=0.0005, dw_min_std_slope=0.01
    )
    return _single(device, update_bl_management=False)


def _pow_step() -> SingleRPUConfig:
    device = PowStepDevice(
        dw_min_dtod_log_normal=True,
        pow_gamma=1.7,
        pow_up_down=0.2,
        pow_up_down_dtod=0.1,
        write_noise_std=0.5,
    )
    return _single(device, update_bl_management=False, update_management=False)


def _pow_step_reference() -> SingleRPUConfig:
    device = PowStepReferenceDevice(
        lifetime=60.0,
        pow_gamma=0.6,
        reference_mean=0.1,
        reference_std=0.3,
        subtract_symmetry_point=True,
        up_down=-0.2,
    )
    return _single(device, update_bl_management=False)


def _piecewise_step() -> SingleRPUConfig:
    device = PiecewiseStepDevice(
        diffusion=0.001,
        piecewise_down=[0.2, 0.8, 1.0, 1.5, 1.2],
        piecewise_up=[1.5, 1.1, 0.9, 0.2, -0.1],
        write_noise_std=1.5,
    )
    return _single(device, desired_bl=50, update_bl_management=False)


def _damped_step() -> SingleRPUConfig:
    return _single(
        DampedStepDevice(lifetime=80.0, beta_up=2.0, beta_up_dtod=0.2, up_down=0.1)
    )


def _everything() -> SingleRPUConfig:
    device = LinearStepDevice(
        construction_seed=77,
        corrupt_devices_prob=0.05,
        corrupt_devices_range=0.2,
        diffusion=0.003,
        diffusion_dtod=0.2,
        drift=DriftParameter(
            nu=0.05,
            nu_dtod=0.2,
            nu_std=0.1,
            nu_k=0.01,
            g_offset=0.1,
            w_noise_std=0.001,
        ),
        dw_min=0.002,
        dw_min_dtod_log_normal=True,
        lifetime=30.0,
        lifetime_dtod=0.3,
        perfect_bias=True,
        reset=0.05,
        reset_dtod=0.02,
        reset_std=0.03,
        up_down=0.05,
        up_down_dtod=0.05,
        write_noise_std=1.0,
        gamma_up=0.3,
        gamma_down=0.2,
        reverse_up=True,
    )
    return _single(
        device, update_bl_management=False, fixed_bl=False, um_grad_scale=0.8
    )


def _ideal() -> SingleRPUConfig:
    return _single(IdealDevice(diffusion=0.001, lifetime=20.0))


def _lines() -> SingleRPUConfig:
    """Everything that lines and devices draw once, in two passes."""
    values: dict[str, Any] = {
        "noise_management": NoiseManagementType.AVERAGE_ABS_MAX,
        "nm_decay": 0.2,
        "bound_management": BoundManagementType.ITERATIVE_WORST_CASE,
        "mv_type": AnalogMVType.POS_NEG_SEPARATE,
        "w_read_asymmetry_dtod": 0.1,
        "out_noise_std": 0.3,
        "out_nonlinearity": 0.2,
        "out_nonlinearity_std": 0.3,
        "slope_calibration": 0.5,
        "v_offset_std": 0.1,
        "r_series": 0.01,
    }
    return SingleRPUConfig(
        device=ConstantStepDevice(),
        forward=noisy_io(**values),
        backward=noisy_io(**values, v_offset_w_min=0.0),
    )


def _wires() -> SingleRPUConfig:
    """Effects that need several products, and two conversions."""
    values: dict[str, Any] = {
        "noise_management": NoiseManagementType.ABS_MAX_NP_SUM,
        "mv_type": AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
        "ir_drop": 1.0,
        "ir_drop_g_ratio": 1e4,
        "w_noise_type": WeightNoiseType.PCM_READ,
    }
    return SingleRPUConfig(
        device=ConstantStepDevice(),
        forward=noisy_io(**values, max_bm_res=1.0),
        backward=noisy_io(**values),
    )


def _cell(name: str, aggregation: NoiseAggregation = NoiseAggregation.PULSE) -> Any:
    """Unit cells and compounds, with everything in them that draws."""
    lines = IOParameters(v_offset_std=0.1, out_noise_std=0.3, r_series=0.01)
    writes = UpdateParameters(noise_aggregation=aggregation)
    steps = UpdateParameters(
        desired_bl=3,
        update_bl_management=False,
        update_management=False,
        noise_aggregation=aggregation,
    )
    devices = [
        SoftBoundsDevice(dw_min=0.002, write_noise_std=1.0, diffusion=0.001),
        LinearStepDevice(gamma_up=0.3, gamma_down=0.2, lifetime=50.0, diffusion=0.001),
    ]
    schedule: dict[str, Any] = {
        "unit_cell_devices": devices,
        "units_in_mbatch": False,
        "scale_transfer_lr": False,
        "gamma": 0.3,
    }
    choppers = {"in_chop_prob": 0.5, "out_chop_prob": 0.3, "transfer_update": steps}
    cells = {
        "vector": lambda: VectorUnitCell(
            unit_cell_devices=[*devices, ConstantStepDevice(diffusion=0.001)],
            update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
        ),
        "one_sided": lambda: OneSidedUnitCell(
            unit_cell_devices=devices[:1],
            refresh_every=3,
            units_in_mbatch=False,
            refresh_upper_thres=0.1,
            refresh_lower_thres=0.02,
            refresh_update=writes,
        ),
        "ttv1": lambda: TransferCompound(
            **schedule,
            n_reads_per_transfer=2,
            random_selection=True,
            with_reset_prob=0.4,
            transfer_forward=lines,
            transfer_update=writes,
        ),
        "ttv2": lambda: BufferedTransferCompound(**schedule, transfer_update=steps),
        "ttv3": lambda: ChoppedTransferCompound(
            **schedule, **choppers, transfer_columns=False, auto_granularity=100.0
        ),
        "ttv4": lambda: DynamicTransferCompound(
            **schedule, **choppers, tail_weightening=0.5, forget_buffer=False
        ),
        "mixed": lambda: MixedPrecisionCompound(
            device=devices[0], n_x_bins=15, n_d_bins=9
        ),
    }
    kind = DigitalRankUpdateRPUConfig if name == "mixed" else UnitCellRPUConfig
    return kind(
        device=cells[name](),
        forward=noisy_io(),
        backward=noisy_io(out_scale=0.9),
        update=UpdateParameters(noise_aggregation=aggregation),
    )


def _cell_scenarios() -> dict[str, Scenario]:
    """Each cell, pulse by pulse and with one draw of noise for many."""
    found = {}
    for name in ("vector", "one_sided", "ttv1", "ttv2", "ttv3", "ttv4", "mixed"):
        for aggregation in NoiseAggregation:
            batch = aggregation is NoiseAggregation.BATCH
            found[f"{name}_aggregated" if batch else f"{name}_small"] = Scenario(
                functools.partial(_cell, name, aggregation),
                *((19, 23, 140) if batch else (19, 23, 40)),
                learning_rate=0.05,
                whole_only=batch or name == "mixed",
            )
    large = functools.partial(_cell, "ttv3", NoiseAggregation.BATCH)
    found["ttv3_large"] = Scenario(large, 157, 211, 64, large=True, whole_only=True)
    return found


def _noisy_slices(mv_type: AnalogMVType, inp_res: float, rows: int) -> SingleRPUConfig:
    """Conductances that are noisy in each read, behind wires in evaluation."""
    forward = IOParametersIRDropT(
        mv_type=mv_type,
        inp_res=inp_res,
        inp_noise=0.02,
        inp_sto_round=True,
        out_noise=0.05,
        out_bound=0.5,
        ir_drop=20.0,
        adc_frequency=50.0,
        apply_xdep_pcm_read_noise=True,
    )
    config = SingleRPUConfig(device=ConstantStepDevice(), forward=forward)
    config.mapping.max_input_size = rows
    return config


def _noisy_bits() -> SingleRPUConfig:
    return _noisy_slices(AnalogMVType.BIT_WISE, 1 / 30, 16)


def _noisy_durations() -> SingleRPUConfig:
    return _noisy_slices(AnalogMVType.ONE_PASS, 1 / 126, 160)


def _floating_point() -> FloatingPointRPUConfig:
    return FloatingPointRPUConfig(
        device=FloatingPointDevice(
            diffusion=0.001, lifetime=20.0, drift=SimpleDriftParameter(nu=0.1)
        )
    )


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A configuration, sizes and the learning rate of a training run."""

    config: Callable[[], RPUConfigBase]
    out_size: int
    in_size: int
    batch: int
    learning_rate: float = 0.02
    bias: bool = False
    #: Whether three threads really have enough to do.
    large: bool = False
    #: Whether a batch in parts is meant to give other numbers.
    whole_only: bool = False

    def tile(self, seed: int = 5) -> Any:
        """Build the tile."""
        config = self.config()
        # An analog bias is one more column; it has no scales or sums of NumPy's.
        config.mapping.digital_bias = False
        cls: type = tiles.AnalogTile
        if isinstance(config, FloatingPointRPUConfig):
            cls = tiles.FloatingPointTile
        tile = cls(self.out_size, self.in_size, config, bias=self.bias, rng=seed)
        tile.set_learning_rate(self.learning_rate)
        # Weights large enough for outputs that leave the range of the converter.
        weight = numbers((self.out_size, self.in_size), 3) * np.float32(0.5)
        tile.set_weights(weight, numbers((self.out_size,), 4) if self.bias else None)
        return tile


#: Name -> scenario.  The large ones have enough work for three threads in each kind of
#: call: 120 000 steps, of which a crosspoint and vector makes 1 in an update and 1/16
#: in a product, and a crosspoint 4 in a maintenance call (csrc/cpu/environment.h).
SCENARIOS = {
    "constant_step_small": Scenario(_constant_step, 13, 37, 7),
    "constant_step_one": Scenario(_constant_step, 1, 1, 3),
    "constant_step_wide": Scenario(_constant_step, 5, 1307, 9, bias=True),
    "constant_step_large": Scenario(_constant_step, 211, 157, 64, large=True),
    "linear_step_small": Scenario(_linear_step, 33, 65, 5, bias=True),
    "linear_step_large": Scenario(_linear_step, 211, 157, 64, large=True),
    "soft_bounds_small": Scenario(_soft_bounds, 31, 17, 7),
    "soft_bounds_large": Scenario(_soft_bounds, 211, 157, 64, large=True),
    "soft_bounds_pmax_small": Scenario(_soft_bounds_pmax, 19, 35, 6, 0.1),
    "soft_bounds_reference_small": Scenario(_soft_bounds_reference, 31, 17, 7),
    "exp_step_small": Scenario(_exp_step, 15, 49, 6),
    "pow_step_small": Scenario(_pow_step, 23, 33, 5, bias=True),
    "pow_step_reference_small": Scenario(_pow_step_reference, 17, 29, 8),
    "piecewise_step_small": Scenario(_piecewise_step, 13, 37, 7),
    "piecewise_step_large": Scenario(_piecewise_step, 157, 211, 32, large=True),
    "damped_step_small": Scenario(_damped_step, 17, 29, 6),
    "everything_small": Scenario(_everything, 17, 33, 7, bias=True),
    "everything_large": Scenario(_everything, 211, 157, 64, large=True),
    "ideal_small": Scenario(_ideal, 37, 13, 7),
    # Fewer vectors than threads: these share the outputs of each vector.
    "ideal_few": Scenario(_ideal, 1009, 1283, 2, 0.001, large=True),
    "ideal_large": Scenario(_ideal, 197, 163, 300, 0.001, large=True),
    "lines_small": Scenario(_lines, 13, 70, 7, bias=True),
    "lines_large": Scenario(_lines, 211, 157, 32, large=True),
    "wires_small": Scenario(_wires, 70, 13, 7),
    "wires_few": Scenario(_wires, 511, 643, 2, 0.001, large=True),
    "noisy_bits_small": Scenario(_noisy_bits, 70, 13, 7),
    "noisy_durations_few": Scenario(_noisy_durations, 211, 157, 2, large=True),
    "noisy_durations_large": Scenario(_noisy_durations, 211, 157, 32, large=True),
    "floating_point_small": Scenario(_floating_point, 37, 13, 7, bias=True),
    "floating_point_large": Scenario(_floating_point, 211, 157, 64, 0.001, large=True),
    "aggregated_small": Scenario(_aggregated, 7, 37, 150, whole_only=True),
    "aggregated_large": Scenario(
        _aggregated, 211, 157, 64, large=True, whole_only=True
    ),
    **_cell_scenarios(),
}


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw float32 numbers in [-1, 1), a tenth of them 0, from bare integers."""
    size = int(np.prod(shape))
    raw = np.random.PCG64(seed).random_raw(size)
    values = (raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23)
    values -= np.float32(1.0)
    values[raw % np.uint64(10) == 0] = 0.0
    return values.reshape(shape)


def parts(batch: int, cut: str) -> list[slice]:
    """Cut a batch into calls."""
    if cut == WHOLE:
        return [slice(0, batch)]
    if cut == HALVES:
        return [slice(0, (batch + 1) // 2), slice((batch + 1) // 2, batch)]
    return [slice(k, k + 1) for k in range(batch)]


def digest_of(things: Iterable[Any]) -> str:
    """Hash arrays (type, shape and bytes) and whatever JSON can hold."""
    total = hashlib.sha256()
    for thing in things:
        if isinstance(thing, np.ndarray):
            array = np.ascontiguousarray(thing)
            total.update(f"{array.dtype.str}{thing.shape}".encode())
            total.update(array.tobytes())
        else:
            total.update(json.dumps(thing, sort_keys=True).encode())
    return total.hexdigest()


def state_digest(tile: Any) -> str:
    """Hash everything that a tile remembers."""
    meta, arrays = tile.tile.state()
    # Counts of events are compared elsewhere: they are no random results.
    meta.pop("events")
    named = [part for name in sorted(arrays) for part in (name, arrays[name])]
    return digest_of([meta, *named])


def step(tile: Any, number: int, batch: int, cut: str = WHOLE) -> str:
    """Take one training step, and hash what it returned and left behind."""
    x = numbers((batch, tile.in_size), 1000 + number)
    target = numbers((batch, tile.out_size), 2000 + number)
    calls = parts(batch, cut)
    y = np.concatenate([tile.forward(x[part]) for part in calls])
    d = y - target
    back = np.concatenate([tile.backward(d[part]) for part in calls])
    for part in calls:
        tile.update(x[part], d[part])
    tile.post_update_step()
    tile.eval()
    seen = np.concatenate([tile.forward(x[part]) for part in calls])
    tile.train()
    if number % 2:
        tile.decay_weights(0.5)
        tile.diffuse_weights()
        tile.drift_weights(1.5 + number)
    if hasattr(tile.rpu_config.device, "reset_std"):
        tile.reset_columns(7 * number, 3, 0.4)
    return digest_of([y, back, seen, state_digest(tile)])


def run(
    scenario: Scenario,
    cut: str = WHOLE,
    between: Callable[[int, Any], Any] = lambda number, tile: tile,
) -> list[str]:
    """Train from the start; `between` may exchange the tile after each step."""
    tile = scenario.tile()
    result = [state_digest(tile)]
    for number in range(STEPS):
        result.append(step(tile, number, scenario.batch, cut))
        tile = between(number, tile)
    return result


def continued(tile: Any, scenario: Scenario, first: int) -> list[str]:
    """Train on, from step `first` to the last."""
    return [step(tile, k, scenario.batch) for k in range(first, STEPS)]


def total(digests: list[str]) -> str:
    """One digest of a whole run, short enough to be read."""
    return digest_of([digests])[:32]


def main(arguments: list[str]) -> None:
    """Print digests as JSON: ``run NAME...`` or ``continue FIRST NAME=FILE...``."""
    if arguments[0] == "run":
        result = {name: run(SCENARIOS[name]) for name in arguments[1:]}
    else:
        first = int(arguments[1])
        result = {}
        for pair in arguments[2:]:
            name, _, path = pair.partition("=")
            result[name] = continued(tiles.load(path), SCENARIOS[name], first)
    isa = _cpu.isa()
    json.dump({"isa": isa, "digests": result}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
