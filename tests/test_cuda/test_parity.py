"""The CUDA kernels give the bits of the CPU: every device, option, shape and split."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from rpupy import tiles
from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    ConstantStepDevice,
    ExpStepDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    LinearStepDevice,
    NoiseAggregation,
    NoiseManagementType,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
    UpdateParameters,
    WeightNoiseType,
)
from rpupy.rpu_base import _cpu

#: Names in tests/test_same_bits/runs.py; each large one takes seconds on the host.
SMALL = [
    "constant_step_small",
    "constant_step_one",
    "constant_step_wide",
    "linear_step_small",
    "soft_bounds_small",
    "everything_small",
    "ideal_small",
    "floating_point_small",
    "aggregated_small",
    "soft_bounds_pmax_small",
    "soft_bounds_reference_small",
    "exp_step_small",
    "pow_step_small",
    "pow_step_reference_small",
    "piecewise_step_small",
    "damped_step_small",
]
LARGE = ["constant_step_large", "linear_step_large", "ideal_few", "everything_large"]


def same(a: Any, b: Any) -> None:
    """Compare two tiles, whatever they are on: counters and every bit of every array."""
    meta_a, arrays_a = a.tile.state()
    meta_b, arrays_b = b.tile.state()
    assert meta_a == meta_b
    assert list(arrays_a) == list(arrays_b)
    for name, array in arrays_a.items():
        assert array.tobytes() == arrays_b[name].tobytes(), name


def bits(array: np.ndarray) -> bytes:
    """Bits of an array; all NaN count as the same."""
    return np.where(np.isnan(array), np.float32(np.nan), array).tobytes()


# ---- whole runs ----------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["whole", "halves", "singles"])
@pytest.mark.parametrize("name", SMALL)
def test_training_gives_the_same_bits(
    name: str, cut: str, backend: str, runs: Any
) -> None:
    scenario = runs.SCENARIOS[name]
    tile = scenario.tile()._to_backend(backend)
    steps = [runs.step(tile, k, scenario.batch, cut) for k in range(runs.STEPS)]
    assert steps == runs.run(scenario, cut)[1:]


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_runs_give_the_same_bits(name: str, backend: str, runs: Any) -> None:
    scenario = runs.SCENARIOS[name]
    tile = scenario.tile()._to_backend(backend)
    steps = [runs.step(tile, k, scenario.batch) for k in range(2)]
    assert steps == runs.run(scenario)[1:3]


@pytest.mark.parametrize("name", SMALL)
def test_moving_midway_changes_nothing(name: str, backend: str, runs: Any) -> None:
    scenario = runs.SCENARIOS[name]

    def move(number: int, tile: Any) -> Any:
        return tile.cpu() if number % 2 else tile._to_backend(backend)

    assert runs.run(scenario, between=move) == runs.run(scenario)


@pytest.mark.parametrize("name", ["everything_small", "floating_point_small"])
def test_saving_and_loading_midway_changes_nothing(
    name: str, backend: str, runs: Any, tmp_path: Any
) -> None:
    scenario = runs.SCENARIOS[name]

    def through_a_file(number: int, tile: Any) -> Any:
        path = tmp_path / f"{number}.npz"
        tile._to_backend(backend).save(path)
        loaded = tiles.load(path)
        assert loaded.backend == "cpu"
        return loaded._to_backend(backend)

    assert runs.run(scenario, between=through_a_file) == runs.run(scenario)


@pytest.mark.parametrize("name", SMALL)
def test_construction_gives_the_same_bits(name: str, backend: str, runs: Any) -> None:
    scenario = runs.SCENARIOS[name]
    here = scenario.tile()
    there = type(here._to_backend(backend))(
        here.out_size, here.in_size, here.rpu_config, bias=scenario.bias, rng=5
    )
    fresh = type(here)(
        here.out_size, here.in_size, here.rpu_config, bias=scenario.bias, rng=5
    )
    same(there, fresh)


@pytest.mark.parametrize("name", ["everything_small", "linear_step_small"])
def test_the_order_of_threads_between_barriers_does_not_matter(
    name: str, host: Any, runs: Any
) -> None:
    scenario = runs.SCENARIOS[name]
    tile = scenario.tile()._to_backend("cuda_host")
    host.run_threads_backwards(True)
    steps = [runs.step(tile, k, scenario.batch) for k in range(runs.STEPS)]
    assert steps == runs.run(scenario)[1:]


# ---- products ------------------------------------------------------------------------

PERIPHERIES = {
    "default": {},
    "perfect": {"is_perfect": True},
    "no_noise_management": {"noise_management": NoiseManagementType.NONE},
    "max": {"noise_management": NoiseManagementType.MAX, "nm_thres": 0.5},
    "constant": {"noise_management": NoiseManagementType.CONSTANT, "nm_thres": 0.7},
    "no_bound_management": {"bound_management": BoundManagementType.NONE},
    "rounds": {"out_bound": 0.05, "max_bm_factor": 100, "inp_noise": 0.01},
    "one_sided_rounds": {"out_bound": 0.05, "bm_test_negative_bound": False},
    "few_rounds": {"out_bound": 0.02, "max_bm_res": 0.03},
    "unbounded": {
        "out_bound": 0.0,
        "inp_bound": 0.0,
        "noise_management": NoiseManagementType.NONE,
        "bound_management": BoundManagementType.NONE,
    },
    "stochastic": {"inp_sto_round": True, "out_sto_round": True},
    "weight_noise": {
        "w_noise": 0.1,
        "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT,
        "inp_noise": 0.05,
    },
    "asymmetric": {"inp_asymmetry": 0.1, "out_asymmetry": 0.2, "out_scale": 1.3},
    "sums": {"noise_management": NoiseManagementType.ABS_MAX_NP_SUM},
    "average": {
        "noise_management": NoiseManagementType.AVERAGE_ABS_MAX,
        "nm_decay": 0.3,
    },
    "worst_case": {
        "out_bound": 0.05,
        "bound_management": BoundManagementType.ITERATIVE_WORST_CASE,
    },
    "lines": {
        "out_noise_std": 0.3,
        "out_nonlinearity": 0.5,
        "out_nonlinearity_std": 0.2,
        "slope_calibration": 0.5,
        "v_offset_std": 0.1,
        "r_series": 0.05,
    },
    "wires": {
        "ir_drop": 1.0,
        "ir_drop_g_ratio": 1e4,
        "w_noise": 0.05,
        "w_noise_type": WeightNoiseType.PCM_READ,
    },
    "passes": {
        "mv_type": AnalogMVType.POS_NEG_SEPARATE,
        "w_read_asymmetry_dtod": 0.2,
        "ir_drop": 1.0,
        "r_series": 0.05,
        "v_offset_w_min": 0.0,
    },
    "digital_sum": {
        "mv_type": AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
        "w_read_asymmetry_dtod": 0.2,
        "w_noise": 0.05,
        "w_noise_type": WeightNoiseType.PCM_READ,
        "out_bound": 0.1,
        "out_sto_round": True,
    },
}
SHAPES = [(1, 1), (3, 5), (17, 65), (64, 64), (65, 16), (129, 130), (2, 1100), (70, 40)]
BATCHES = [1, 3, 17, 65]
#: Every shape and batch for the text of plain products and for that of every option.
GRID = [
    (name, shape, batch)
    for name in ("rounds", "wires")
    for shape in SHAPES
    for batch in BATCHES
]
#: Every other option with each shape, and with each batch twice.
SOME = [
    (name, shape, BATCHES[(k + n) % 4])
    for n, name in enumerate(PERIPHERIES)
    for k, shape in enumerate(SHAPES)
    if name not in ("rounds", "wires")
]


@pytest.mark.parametrize(("name", "shape", "batch"), GRID + SOME, ids=str)
def test_products_give_the_same_bits(
    name: str, shape: tuple[int, int], batch: int, backend: str
) -> None:
    io = PERIPHERIES[name]
    config = SingleRPUConfig(
        device=IdealDevice(), forward=IOParameters(**io), backward=IOParameters(**io)
    )
    here = tiles.AnalogTile(*shape, config, rng=3)
    there = here._to_backend(backend)
    rng = np.random.default_rng([batch, *shape])
    x = rng.standard_normal((batch, shape[1]), dtype=np.float32)
    d = rng.standard_normal((batch, shape[0]), dtype=np.float32)
    x[batch // 2] = 0.0
    shown = [tile.trace(x) for tile in (here, there)]
    assert list(shown[0]) == list(shown[1])
    for step, values in shown[0].items():
        assert bits(values) == bits(shown[1][step]), step
    for call in range(2):
        assert bits(there.forward(x)) == bits(here.forward(x)), call
        assert bits(there.backward(d)) == bits(here.backward(d)), call
    same(here, there)


@pytest.mark.parametrize(
    "name",
    [*("default", "perfect", "weight_noise", "rounds"), "average", "wires", "passes"],
)
def test_strange_inputs_give_the_same_bits(name: str, backend: str) -> None:
    io = PERIPHERIES[name]
    config = SingleRPUConfig(
        device=IdealDevice(), forward=IOParameters(**io), backward=IOParameters(**io)
    )
    here = tiles.AnalogTile(9, 21, config, rng=3)
    there = here._to_backend(backend)
    x = np.random.default_rng(4).standard_normal((9, 21)).astype(np.float32)
    x[1, 3] = np.nan
    x[2, 20] = np.inf
    x[3, 0] = -np.inf
    x[4] *= np.float32(1e-40)
    x[5] *= np.float32(1e30)
    x[6] = 0.0
    x[7] = -0.0
    x[8] *= np.float32(1e-30)
    assert bits(there.forward(x)) == bits(here.forward(x))
    assert bits(there.backward(x[:, :9])) == bits(here.backward(x[:, :9]))


# ---- updates -------------------------------------------------------------------------

DEVICES = {
    "constant": lambda **k: ConstantStepDevice(**k),
    "linear": lambda **k: LinearStepDevice(gamma_up=0.3, gamma_down=0.4, **k),
    "linear_additive": lambda **k: LinearStepDevice(
        gamma_up=0.3, mult_noise=False, allow_increasing=True, **k
    ),
    "linear_reversed": lambda **k: LinearStepDevice(
        gamma_up=0.3, reverse_down=True, reverse_offset=0.05, **k
    ),
    "soft": lambda **k: SoftBoundsDevice(**k),
    "soft_reference": lambda **k: SoftBoundsReferenceDevice(
        slope_up_dtod=0.3,
        reference_std=0.1,
        subtract_symmetry_point=True,
        reset_dtod=0.0,
        **k,
    ),
    "exp": lambda **k: ExpStepDevice(dw_min_std_add=0.001, **k),
    "pow": lambda **k: PowStepDevice(pow_gamma=0.5, pow_up_down_dtod=0.1, **k),
    "pow_reference": lambda **k: PowStepReferenceDevice(
        pow_gamma=1.5, reference_std=0.5, subtract_symmetry_point=True, **k
    ),
    "piecewise": lambda **k: PiecewiseStepDevice(
        piecewise_up=[1.5, 1.0, -0.5], piecewise_down=[0.0, 1.0, 2.0], **k
    ),
}
UPDATES: dict[str, tuple[dict[str, Any], float]] = {
    "default": ({}, 0.05),
    "ascent": ({}, -0.05),
    "saturated": ({}, 5.0),
    "no_management": (
        {"update_management": False, "update_bl_management": False},
        0.05,
    ),
    "long_trains": ({"desired_bl": 100, "update_bl_management": False}, 0.2),
    "very_long_trains": (
        {"fixed_bl": False, "update_bl_management": False, "update_management": False},
        3.0,
    ),
    "coarse": ({"res": 0.05, "sto_round": True}, 0.05),
    "mean_counts": ({"pulse_type": PulseType.MEAN_COUNT}, -0.2),
    "many_mean_counts": (
        {
            "pulse_type": PulseType.MEAN_COUNT,
            "desired_bl": 100,
            "update_bl_management": False,
        },
        0.4,
    ),
    "aggregated": ({"noise_aggregation": NoiseAggregation.BATCH}, 0.05),
    "aggregated_long_trains": (
        {
            "noise_aggregation": NoiseAggregation.BATCH,
            "desired_bl": 100,
            "update_bl_management": False,
        },
        -0.1,
    ),
    "aggregated_mean_counts": (
        {
            "noise_aggregation": NoiseAggregation.BATCH,
            "pulse_type": PulseType.MEAN_COUNT,
        },
        0.1,
    ),
    "implicit_counts": (
        {
            "pulse_type": PulseType.DETERMINISTIC_IMPLICIT,
            "x_res_implicit": 0.01,
            "d_res_implicit": 50,
            "sto_round": True,
        },
        0.2,
    ),
}


@pytest.mark.parametrize("noise", [0.0, 0.3], ids=["plain", "noisy"])
@pytest.mark.parametrize(
    ("device", "name"),
    [
        (device, name)
        for device, name in itertools.product(DEVICES, UPDATES)
        if not name.startswith("aggregated")
        or DEVICES[device]().kernel in _cpu.AGGREGATING
    ],
)
def test_pulsed_updates_give_the_same_bits(
    device: str, name: str, noise: float, backend: str
) -> None:
    update, rate = UPDATES[name]
    longest = 4 if name == "very_long_trains" else 150
    write_noise = {"write_noise_std": 2.0 * noise}
    if device in ("constant", "pow_reference"):
        write_noise = {}
    config = SingleRPUConfig(
        device=DEVICES[device](
            dw_min_std=noise, count_pulses=noise > 0.0, **write_noise
        ),
        update=UpdateParameters(**update),
    )
    for shape, most in (((1, 1), 40), ((9, 33), 7), ((23, 70), 150)):
        batch = min(most, longest)
        here = tiles.AnalogTile(*shape, config, rng=3)
        here.set_learning_rate(rate)
        there = here._to_backend(backend)
        rng = np.random.default_rng([batch, *shape])
        x = rng.standard_normal((batch, shape[1]), dtype=np.float32)
        d = rng.standard_normal((batch, shape[0]), dtype=np.float32)
        x[0] = 0.0
        x[:, 0] *= np.float32(1e-30)
        d[batch // 2, 0] = -0.0
        cuts = [0, batch // 3, batch]
        if config.update.noise_aggregation is NoiseAggregation.BATCH:
            cuts = [0, batch]  # there a mini-batch in parts gives other numbers
        here.update(x, d)
        for first, last in itertools.pairwise(cuts):
            there.update(x[first:last], d[first:last])
        same(here, there)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exact_updates_give_the_same_bits(
    shape: tuple[int, int], bounded: bool, backend: str
) -> None:
    config: Any = FloatingPointRPUConfig()
    cls: Any = tiles.FloatingPointTile
    if bounded:
        cls = tiles.AnalogTile
        config = SingleRPUConfig(
            device=SoftBoundsDevice(write_noise_std=1.0),
            update=UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE),
        )
    here = cls(*shape, config, rng=3)
    there = here._to_backend(backend)
    rng = np.random.default_rng(shape)
    for batch in (1, 5, 70):
        x = rng.standard_normal((batch, shape[1]), dtype=np.float32)
        d = rng.standard_normal((batch, shape[0]), dtype=np.float32)
        here.update(x, d)
        there.update(x, d)
        same(here, there)


@pytest.mark.parametrize("batch", [1, 20])
def test_zeros_keep_their_signs(batch: int, backend: str) -> None:
    here = tiles.FloatingPointTile(3, 2, rng=3)
    here.set_weights(np.full((3, 2), -0.0))
    there = here._to_backend(backend)
    for tile in (here, there):
        tile.update(np.ones((batch, 2)), np.zeros((batch, 3)))
        assert np.signbit(tile.get_weights()[0]).all()
        tile.set_weights([[-1e-30, 1.0]] * 3)
        # The first product is too small for float32, and the second a zero.
        assert np.signbit(tile.forward([[1e-30, -0.0]] * batch)).all()
    same(here, there)


def test_long_trains_that_need_several_launches(backend: str) -> None:
    # 700 words for each line and vector: more than the host takes in one launch.
    config = SingleRPUConfig(
        device=ConstantStepDevice(dw_min=0.001, dw_min_std=0.1),
        update=UpdateParameters(
            fixed_bl=False, update_bl_management=False, update_management=False
        ),
    )
    here = tiles.AnalogTile(2, 3, config, rng=1)
    here.set_learning_rate(21.7)
    there = here._to_backend(backend)
    x = np.full((3, 3), 0.5, dtype=np.float32)
    d = np.full((3, 2), [0.01, -0.02], dtype=np.float32)
    here.update(x, d)
    there.update(x, d)
    same(here, there)


# ---- periphery -----------------------------------------------------------------------


@pytest.mark.parametrize("digital", [True, False])
@pytest.mark.parametrize("columnwise", [True, False])
def test_scales_bias_and_layouts(digital: bool, columnwise: bool, backend: str) -> None:
    config = SingleRPUConfig(device=SoftBoundsDevice())
    config.mapping.weight_scaling_omega = 0.4
    config.mapping.weight_scaling_columnwise = columnwise
    config.mapping.digital_bias = digital
    here = tiles.AnalogTile(
        6, 4, config, bias=True, in_trans=True, out_trans=True, rng=2
    )
    rng = np.random.default_rng(1)
    here.set_weights(rng.standard_normal((6, 4)), rng.standard_normal(6))
    there = here._to_backend(backend)
    x = rng.standard_normal((4, 2, 3)).astype(np.float32)
    d = rng.standard_normal((6, 2, 3)).astype(np.float32)
    assert bits(here.forward(x)) == bits(there.forward(x))
    assert bits(here.backward(d)) == bits(there.backward(d))
    here.update(x, d)
    there.update(x, d)
    here.program_weights(max_iter=3)
    there.program_weights(max_iter=3)
    assert here.read_weights()[0].tobytes() == there.read_weights()[0].tobytes()
    same(here, there)


def test_every_maintenance_call(backend: str, runs: Any) -> None:
    scenario = dataclasses.replace(
        runs.SCENARIOS["everything_small"], out_size=19, in_size=70
    )
    here = scenario.tile()
    there = here._to_backend(backend)
    hidden = here.get_hidden_parameters()
    hidden["reset_bias"][...] = 0.125
    calls = [
        lambda t: t.decay_weights(0.7),
        lambda t: t.diffuse_weights(),
        lambda t: t.drift_weights(3.0),
        lambda t: t.drift_weights(2.0),
        lambda t: t.reset_columns(68, 5, 0.5),
        lambda t: t.reset_columns(-3, 2),
        lambda t: t.reset(0.3),
        lambda t: t.clip_weights(0.05),
        lambda t: t.clip_weights(-1.0),
        lambda t: t.post_update_step(),
        lambda t: t.set_hidden_parameters(hidden),
        lambda t: t.tile.set_weights_uniform_random(-0.3, 0.2),
        lambda t: t.remap_weights(),
        lambda t: t.reset(1.0),
    ]
    for call in calls:
        call(here)
        call(there)
        same(here, there)


def test_signs_of_zeros(backend: str) -> None:
    device = SoftBoundsDevice(reset=-0.0, reset_std=0.0, w_min_dtod=0.0, lifetime=1.0)
    for config in (
        SingleRPUConfig(device=device),
        SingleRPUConfig(device=IdealDevice()),
    ):
        here = tiles.AnalogTile(3, 20, config, rng=1)
        there = here._to_backend(backend)
        for call in (
            lambda t: t.clip_weights(0.0),
            lambda t: t.reset(),
            lambda t: t.set_weights(np.full((3, 20), -0.0)),
            lambda t: t.clip_weights(-0.0),
            lambda t: t.decay_weights(),
        ):
            call(here)
            call(there)
            same(here, there)
