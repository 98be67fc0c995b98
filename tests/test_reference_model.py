"""The kernels against the reference model, on the same random numbers.

Before each compared operation the model takes over the state of the tile, so that what
is compared is one operation and not an accumulated difference.  Pulses, counters and
every other decision must agree exactly.  Values must agree within `TOLERANCE`, a few
units in the last place of numbers of order one; without normal numbers most agree
exactly.
"""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    ConstantStepDevice,
    DampedStepDevice,
    DriftParameter,
    ExpStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    LinearStepDevice,
    NoiseAggregation,
    NoiseManagementType,
    PiecewiseStepDevice,
    PmaxMapping,
    PowStepDevice,
    PowStepReferenceDevice,
    PulseType,
    SimpleDriftParameter,
    SingleRPUConfig,
    SlopedStepDevice,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
    UpdateParameters,
    WeightNoiseType,
    WriteNoiseDevice,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.parameters.base import frozen_copy, thawed_copy
from rpupy.rpu_base import _cpu
from rpupy.rpu_base.core import CpuTile
from rpupy.testing.reference import ReferenceTile

ISAS = _cpu.available_isas()
TOLERANCE = 6e-7
SHAPES = [(1, 1), (1, 7), (5, 1), (3, 5), (16, 16), (17, 33), (4, 65), (70, 31)]

# The number of examples is that of the profile (tests/conftest.py).
quick = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# ---- pairs of a tile and its model ---------------------------------------------------


@contextlib.contextmanager
def instruction_set(name):
    before = _cpu._isa
    _cpu._isa = name
    try:
        yield
    finally:
        _cpu._isa = before


def make_pair(shape, config, seed=0, isa=ISAS[0]):
    config = frozen_copy(config)
    with instruction_set(isa):
        tile = CpuTile(*shape, config, np.random.SeedSequence(seed))
    assert tile._backend.isa == isa
    model = ReferenceTile(*shape, config, np.random.SeedSequence(seed))
    return tile, model


def assert_close(found, expected, tolerance=TOLERANCE):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.float32
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    with np.errstate(invalid="ignore"):
        error = np.abs(found - expected) / (1 + np.abs(expected))
    worst = np.nanmax(error, initial=0.0)
    assert worst <= tolerance, f"off by {worst:.3g}, allowed {tolerance:.3g}"


def assert_same_hidden(tile, model):
    """Steps agree relative to dw_min; slopes as well as they are conditioned."""
    found, expected = tile.get_hidden_parameters(), model.get_hidden_parameters()
    assert list(found) == list(expected) == tile.get_hidden_parameter_names()
    device = model.plane.device
    unit = np.float32(device.dw_min)
    for name, plane in expected.items():
        if name.startswith("slope"):
            # gamma * step / reference: an error of the step or the reference counts
            # for more the closer the reference is to 0.
            low, high = expected["min_bound"], expected["max_bound"]
            offset = np.float32(device.reverse_offset)
            references = np.abs([low, high, low - offset, high + offset])
            nearest = np.where(references > 0, references, 1).min(axis=0)
            range_ = max(device.w_max, -device.w_min)
            allowed = np.abs(plane) + 3 * unit / nearest
            allowed *= TOLERANCE * (1 + range_ / nearest)
            assert (np.abs(found[name] - plane) <= allowed).all(), name
        elif (
            name in ("reference", "reset_bias")
            and model.plane.hidden.get("gamma_up") is not None
        ):
            # A root is found where rounding first hides the sign of what vanishes there.
            assert_close(found[name], plane, 1e-5)
        elif name.startswith("dwmin"):
            assert_close(found[name] / unit, plane / unit)
        else:
            assert_close(found[name], plane)


def adopt(model, tile):
    """Let the model go on from the state of the tile."""
    meta, arrays = tile.state()
    for direction, drawn in model.lines.items():
        for name, values in drawn.items():
            assert_close(arrays[f"{direction}_{name}"], np.asarray(values))
    model.adopt(meta, arrays)


def assert_same_state(tile, model, tolerance=TOLERANCE):
    assert tile._counters == model.counters
    assert_close(tile.get_weights(), model.get_weights(), tolerance)
    assert_close(tile._plane.true_weights, model.plane.true_weights, tolerance)
    if model.plane.pulsed:
        ordinals = tile._arrays["pulse_ordinals"]
        assert np.array_equal(ordinals, model.plane.pulse_ordinals)
        for last in tile.get_sparsity().values():
            assert last == model.zeros.last
        assert np.array_equal(tile.get_pulse_counters(), model.get_pulse_counters())
        lowest, _ = model.plane.law.limits(tile._arrays)
        lowest = np.minimum(lowest, tile._arrays["min_bound"])
        assert (tile._plane.true_weights >= lowest).all()


def compare(tile, model, operation, *arguments, tolerance=TOLERANCE):
    adopt(model, tile)
    getattr(tile, operation)(*arguments)
    getattr(model, operation)(*arguments)
    assert_same_state(tile, model, tolerance)


def compare_update(tile, model, x, d, rate=0.01, tolerance=TOLERANCE):
    for one in (tile, model):
        one.set_learning_rate(rate)
    compare(tile, model, "update", x, d, tolerance=tolerance)


def compare_product(tile, model, operation, values, **options):
    """Outputs agree, but for vectors in which a decision was a matter of rounding."""
    adopt(model, tile)
    found = getattr(tile, operation)(values, **options)
    expected = getattr(model, operation)(values, **options)
    clear = model.tie_distance > 1e-4
    # Sums are as exact as their terms allow; input noise is relative to the scale of
    # noise management, which is that of the input only for some of its types.
    io = model.config.forward if operation == "forward" else model.config.backward
    follows = (NoiseManagementType.ABS_MAX, NoiseManagementType.MAX)
    term = np.nanmax(np.abs(values)) + (io.noise_management not in follows)
    scale = np.nanmax(np.abs(expected)) + term * np.sqrt(values.shape[-1])
    scale = np.float32(max(scale, 1e-30))
    assert_close(found[clear] / scale, expected[clear] / scale)
    assert tile._counters == model.counters
    return clear


def vectors(rng, batch, size, zeros=0.2):
    values = rng.uniform(-1, 1, (batch, size)).astype(np.float32)
    values[rng.random(values.shape) < zeros] = 0.0
    return values


# ---- random configurations -----------------------------------------------------------

some = st.sampled_from


KINDS = (
    ConstantStepDevice,
    DampedStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
)


@st.composite
def pulsed_devices(draw, kinds=KINDS):
    kind = draw(some(kinds))
    fields = {
        "dw_min": draw(some([0.001, 0.01, 0.03])),
        "dw_min_dtod": draw(some([0.0, 0.3, -0.3])),
        "dw_min_dtod_log_normal": draw(st.booleans()),
        "dw_min_std": draw(some([0.0, 0.3, 2.0])),
        "up_down": draw(some([0.0, 0.3, -0.3])),
        "up_down_dtod": draw(some([0.0, 0.05])),
        "w_max": draw(some([0.6, 0.1, 0.0])),
        "w_min": draw(some([-0.6, -0.1, 0.0])),
        "w_max_dtod": draw(some([0.0, 0.2])),
        "w_min_dtod": draw(some([0.0, 0.2])),
        "enforce_consistency": draw(st.booleans()),
        "perfect_bias": draw(st.booleans()),
        "corrupt_devices_prob": draw(some([0.0, 0.3, 1.0])),
        "corrupt_devices_range": draw(some([0.1, -0.1, 10.0])),
        "construction_seed": draw(some([0, 7])),
        "count_pulses": draw(st.booleans()),
    }
    if issubclass(kind, WriteNoiseDevice):
        fields["write_noise_std"] = draw(some([0.0, 2.0, -1.0]))
        fields["apply_write_noise_on_set"] = draw(st.booleans())
    if issubclass(kind, SlopedStepDevice):
        fields["mult_noise"] = draw(st.booleans())
        fields["reverse_offset"] = draw(some([0.01, 0.1]))
        if fields["mult_noise"]:
            fields["reverse_up"] = draw(st.booleans())
            fields["reverse_down"] = draw(st.booleans())
    if kind is LinearStepDevice:
        fields["gamma_up"] = draw(some([0.0, 0.5, -0.3]))
        fields["gamma_down"] = draw(some([0.0, 0.5, 1.5]))
        fields["gamma_up_dtod"] = draw(some([0.0, 0.05, -0.2]))
        fields["gamma_down_dtod"] = draw(some([0.0, 0.05]))
        fields["allow_increasing"] = draw(st.booleans())
        fields["mean_bound_reference"] = draw(st.booleans())
    if kind is SoftBoundsPmaxDevice:
        fields["p_max"] = draw(some([1000, 50]))
        fields["alpha"] = draw(some([0.0005, 0.03]))
        fields["range_min"] = draw(some([-1.0, -0.2, 0.0]))
        fields["mapping"] = draw(some(list(PmaxMapping)))
    if kind is ExpStepDevice:
        fields["A_up"] = draw(some([0.00081, 0.3, 0.0]))
        fields["A_down"] = draw(some([0.36833, -0.1]))
        fields["gamma_up"] = draw(some([12.44625, 2.0]))
        fields["gamma_down"] = draw(some([12.78785, -1.0]))
        fields["a"] = draw(some([0.244, 1.0]))
        fields["dw_min_std_add"] = draw(some([0.0, 0.003]))
        fields["dw_min_std_slope"] = draw(some([0.0, 0.02]))
    if kind is DampedStepDevice:
        fields["beta_up"] = draw(some([3.0, 0.0, -1.0]))
        fields["beta_up_dtod"] = draw(some([0.0, 0.2]))
        fields["beta_down_dtod"] = draw(some([0.0, 0.2]))
    if kind is PiecewiseStepDevice:
        nodes = st.lists(some([0.5, 1.0, 2.0, -0.3, 0.0]), min_size=1, max_size=5)
        fields["piecewise_up"] = draw(nodes)
        fields["piecewise_up"][len(fields["piecewise_up"]) // 2] = 1.5
        n = len(fields["piecewise_up"])
        fields["piecewise_down"] = draw(st.permutations([0.3, 1.0, 1.5, 0.0, 2.0]))[:n]
    if issubclass(kind, (PowStepDevice, PowStepReferenceDevice)):
        # Roots have no bounded slope: test_power_steps_of_all_exponents has them.
        fields["pow_gamma"] = draw(some([1.0, 2.0, 3.5]))
        fields["pow_gamma_dtod"] = draw(some([0.0, 0.05]))
        fields["pow_up_down"] = (
            draw(some([0.0, -0.3])) if fields["pow_gamma"] > 1 else 0
        )
        fields["pow_up_down_dtod"] = draw(some([0.0, 0.05]))
    if kind is SoftBoundsReferenceDevice:
        fields["mult_noise"] = draw(st.booleans())
        fields["slope_up_dtod"] = draw(some([0.0, 0.1]))
        fields["slope_down_dtod"] = draw(some([0.0, 0.1]))
    if hasattr(kind, "reference_mean"):
        fields["reference_mean"] = draw(some([0.0, 0.1, -0.7]))
        fields["reference_std"] = draw(some([0.0, 0.05]))
        # Steps of the same sign in both directions have no symmetry point, or one far
        # away that an error of the steps moves by more than that.
        if fields["enforce_consistency"]:
            fields["subtract_symmetry_point"] = draw(st.booleans())
    if kind is PowStepReferenceDevice:
        fields["n_estimation_steps"] = draw(some([-1, 0, 3]))
    fields |= draw(upkeep_fields())
    return kind(**fields)


@st.composite
def upkeep_fields(draw):
    return {
        "diffusion": draw(some([0.0, 0.02])),
        "diffusion_dtod": draw(some([0.0, 1.0])),
        "lifetime": draw(some([0.0, 0.5, 10.0, -3.0])),
        "lifetime_dtod": draw(some([0.0, 0.5])),
        "reset": draw(some([0.0, 0.1, -0.1])),
        "reset_dtod": draw(some([0.0, 0.1, -0.1])),
        "reset_std": draw(some([0.01, 0.0, -0.1])),
        "drift": DriftParameter(
            nu=draw(some([0.0, 0.1, -0.1])),
            nu_dtod=draw(some([0.0, 0.3])),
            nu_std=draw(some([0.0, 0.2])),
            t_0=draw(some([1.0, 2.0])),
            reset_tol=draw(some([1e-7, 1e-3])),
            wg_ratio=draw(some([1.0, 0.5])),
            g_offset=draw(some([0.0, 1.0])),
            w_offset=draw(some([0.0, -0.2])),
            nu_k=draw(some([0.0, 0.05])),
            log_g0=draw(some([0.0, 0.2])),
            w_noise_std=draw(some([0.0, 0.01])),
        ),
    }


PULSED = [
    PulseType.STOCHASTIC_COMPRESSED,
    PulseType.STOCHASTIC,
    PulseType.MEAN_COUNT,
    PulseType.DETERMINISTIC_IMPLICIT,
]


@st.composite
def updates(draw):
    return UpdateParameters(
        desired_bl=draw(some([1, 5, 31, 32, 63, 100])),
        fixed_bl=draw(st.booleans()),
        update_bl_management=draw(st.booleans()),
        update_management=draw(st.booleans()),
        um_grad_scale=draw(some([1.0, 0.5, 2.0])),
        pulse_type=draw(some(PULSED)),
        x_res_implicit=draw(some([0.0, 0.1, 50.0])),
        d_res_implicit=draw(some([0.0, 0.02, 10.0, -1.0])),
        res=draw(some([0.0, 0.1, 0.02, 50.0, -1.0])),
        noise_aggregation=draw(some(list(NoiseAggregation))),
        sto_round=draw(st.booleans()),
        d_sparsity=draw(st.booleans()),
    )


@st.composite
def ios(draw):
    management = draw(some(list(NoiseManagementType)))
    unmanaged = management is NoiseManagementType.NONE
    return IOParameters(
        is_perfect=draw(some([False] * 9 + [True])),
        inp_bound=draw(some([1.0, 0.5, 0.0])) if unmanaged else 1.0,
        inp_noise=draw(some([0.0, 0.1])),
        inp_res=draw(some([0.0, 1 / 126, 0.1, 30.0])),
        inp_sto_round=draw(st.booleans()),
        inp_asymmetry=draw(some([0.0, 0.1, -0.1])),
        out_bound=draw(some([12.0, 1.0, 0.1, 0.0])),
        out_noise=draw(some([0.0, 0.06])),
        out_res=draw(some([0.0, 1 / 510, 0.1, 20.0])),
        out_sto_round=draw(st.booleans()),
        out_scale=draw(some([1.0, 2.5])),
        out_asymmetry=draw(some([0.0, 0.1, -0.1])),
        bound_management=draw(
            some([b for b in BoundManagementType if b is not BoundManagementType.SHIFT])
        ),
        noise_management=management,
        nm_thres=draw(some([0.0, 0.5])),
        w_noise=draw(some([0.0, 0.1])),
        w_noise_type=draw(some(list(WeightNoiseType))),
        max_bm_factor=draw(some([1000, 3, 4, 0])),
        max_bm_res=draw(some([0.25, 1.0])),
        bm_test_negative_bound=draw(st.booleans()),
        **draw(effects()),
    )


@st.composite
def sliced_ios(draw):
    """Arrays that are read in time slices: 5 bits at most, which keeps the model quick."""
    return IOParametersIRDropT(
        mv_type=draw(
            some(
                [AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE]
            )
        ),
        inp_res=draw(some([1 / 30, 1 / 14, 30.0])),
        inp_noise=draw(some([0.0, 0.1])),
        inp_sto_round=draw(st.booleans()),
        inp_asymmetry=draw(some([0.0, 0.1])),
        out_bound=draw(some([12.0, 0.0, 1.0])),
        out_noise=draw(some([0.0, 0.06])),
        out_res=draw(some([0.0, 1 / 510])),
        out_asymmetry=draw(some([0.0, 0.1, -0.1])),
        noise_management=draw(
            some([NoiseManagementType.ABS_MAX, NoiseManagementType.NONE])
        ),
        ir_drop=draw(some([1.0, 0.0, 100.0])),
        ir_drop_segments=draw(some([1, 2, 8])),
        ir_drop_time_step_resolution_scale=draw(some([1.0, 0.5, 0.3])),
        ir_drop_v_read=draw(some([0.4005, 0.4])),
        split_mode_bit_shift=draw(some([1, 2])),
        adc_quantization=draw(st.booleans()),
        adc_frequency=draw(some([6.24, 100.0])),
        ir_drop_integration_sum=draw(st.booleans()),
        apply_xdep_pcm_read_noise=draw(st.booleans()),
        xdep_pcm_read_noise_scale=draw(some([1.0, 3.0, 0.0])),
    )


@st.composite
def effects(draw):
    """Parameters of which most products have none."""
    values = {
        "mv_type": some(
            [
                AnalogMVType.POS_NEG_SEPARATE,
                AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
            ]
        ),
        "ir_drop": some([1.0, 3.0]),
        "ir_drop_g_ratio": some([20.0, 1e5]),
        "r_series": some([0.1, -1.0]),
        "v_offset_std": st.just(0.2),
        "v_offset_w_min": some([-1.0, 0.0]),
        "out_noise_std": st.just(0.3),
        "out_nonlinearity": st.just(0.5),
        "out_nonlinearity_std": some([0.2, -1.0]),
        "slope_calibration": some([0.5, -1.0]),
        "w_read_asymmetry_dtod": st.just(0.2),
        "nm_decay": some([0.0, 0.5, 1.0]),
        "nm_assumed_wmax": some([0.1, 1.2]),
    }
    chosen = draw(st.lists(some(sorted(values)), unique=True, max_size=6))
    return {name: draw(values[name]) for name in chosen}


seeds = st.integers(0, 2**32)
cases = st.tuples(some(SHAPES), seeds, some(ISAS))


# ---- devices -------------------------------------------------------------------------


@quick
@given(device=pulsed_devices(), case=cases)
def test_devices_are_drawn_alike(device, case):
    shape, seed, isa = case
    tile, model = make_pair(shape, SingleRPUConfig(device=device), seed, isa)
    assert_same_hidden(tile, model)
    assert_same_state(tile, model)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "kind", [ConstantStepDevice, ExpStepDevice, LinearStepDevice, SoftBoundsDevice]
)
def test_wide_spreads_are_drawn_alike(kind, isa):
    device = kind(dw_min_dtod=1.0, w_max_dtod=1.0, w_min_dtod=1.0, up_down_dtod=0.5)
    for consistent in (True, False):
        device.enforce_consistency = consistent
        tile, model = make_pair((60, 41), SingleRPUConfig(device=device), 3, isa)
        assert_same_hidden(tile, model)


# ---- pulses --------------------------------------------------------------------------


def steepest(tile, model):
    """How fast the step of each crosspoint changes with its weight, at most."""
    hidden = tile.get_hidden_parameters()
    device = model.plane.device
    low, high = model.plane.law.limits(hidden)
    width = np.maximum(high - low, 1e-3).astype(np.float32)
    largest = np.zeros(width.shape)
    for part in np.arange(-0.02, 1.03, 0.01, dtype=np.float32):
        for up in (True, False):
            ups = np.full(width.shape, up)
            ends = [
                model.plane.law.pulse(device, hidden, w, ups, np.zeros_like(w)) - w
                for w in (low + width * part, low + width * (part + np.float32(0.01)))
            ]
            change = np.abs(ends[1].astype(np.float64) - ends[0])
            largest = np.maximum(largest, change / (width * 0.01))
    return largest


@quick
@given(
    device=pulsed_devices(),
    update=updates(),
    case=cases,
    rate=some([0.01, 0.1, -0.05, 1e-4, 1.0]),
    batch=st.integers(1, 6),
)
def test_pulsed_mini_batches(device, update, case, rate, batch):
    shape, seed, isa = case
    if device.kernel not in _cpu.AGGREGATING:
        update.noise_aggregation = NoiseAggregation.PULSE
    config = SingleRPUConfig(device=device, update=update)
    tile, model = make_pair(shape, config, seed, isa)
    rng = np.random.default_rng(seed)
    pulses = 0
    for _ in range(2):
        x, d = vectors(rng, batch, shape[1]), vectors(rng, batch, shape[0])
        # A crosspoint's slope is a factor on its error, pulse after pulse.
        before = model.plane.pulse_ordinals.astype(np.int64)
        growth = 1 + steepest(tile, model) * (1 + abs(device.dw_min_std))
        compare_update(tile, model, x, d, rate, tolerance=np.inf)
        pulses = model.plane.pulse_ordinals - before
        with np.errstate(over="ignore"):
            allowed = TOLERANCE * (1 + pulses / 20) * growth ** np.minimum(pulses, 200)
        error = np.abs(tile.get_weights() - model.get_weights())
        assert (error <= allowed * (1 + np.abs(model.get_weights()))).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("pulse_type", PULSED)
@pytest.mark.parametrize("slots", [1, 4, 31, 32, 62, 63, 64, 200, 1000])
def test_trains_of_several_words(slots, pulse_type, isa):
    update = UpdateParameters(
        desired_bl=slots, update_bl_management=False, pulse_type=pulse_type
    )
    device = ConstantStepDevice(dw_min=1e-4, count_pulses=slots > 31)
    tile, model = make_pair(
        (3, 19), SingleRPUConfig(device=device, update=update), 1, isa
    )
    rng = np.random.default_rng(slots)
    for rate in (0.01, -0.3):
        compare_update(tile, model, vectors(rng, 3, 19), vectors(rng, 3, 3), rate)
    assert {length for length, _, _ in model.last_trains} == {slots}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("shape", "batch", "slots"),
    [
        ((2, 1100), 2, 31),  # more than a block of columns
        ((3, 20), 200, 31),  # more than a chunk of words
        ((2, 70), 3, 5000),  # a train longer than a chunk
        ((1, 1), 64, 31),
    ],
)
def test_blocks_and_chunks(shape, batch, slots, isa):
    update = UpdateParameters(desired_bl=slots, update_bl_management=slots < 100)
    device = SoftBoundsDevice(dw_min=1e-3, write_noise_std=1.0)
    tile, model = make_pair(
        shape, SingleRPUConfig(device=device, update=update), 2, isa
    )
    rng = np.random.default_rng(batch)
    x, d = vectors(rng, batch, shape[1]), vectors(rng, batch, shape[0])
    compare_update(tile, model, x, d, 0.02, tolerance=2e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "options",
    [
        {"fixed_bl": False, "update_bl_management": False},
        {
            "fixed_bl": False,
            "update_bl_management": False,
            "update_management": False,
        },
        {"update_bl_management": False, "update_management": False},
        {"update_management": False},
        {"um_grad_scale": 0.5},
        {"res": 0.1},
        {"res": 10.0, "sto_round": True},
        {"desired_bl": 200, "res": 0.01, "sto_round": True},
        {"pulse_type": "MeanCount", "desired_bl": 200},
        {"pulse_type": "MeanCount", "res": 0.1, "sto_round": True},
        {"pulse_type": "MeanCount", "update_management": False},
        {"pulse_type": "DeterministicImplicit", "update_bl_management": False},
        {
            "pulse_type": "DeterministicImplicit",
            "x_res_implicit": 0.1,
            "d_res_implicit": 12.0,
            "sto_round": True,
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("rate", [0.001, 0.1, -0.1, 1.0])
def test_update_options(options, rate, isa):
    config = SingleRPUConfig(
        device=LinearStepDevice(dw_min=0.002, gamma_up=0.5, gamma_down=0.2),
        update=UpdateParameters(**options),
    )
    tile, model = make_pair((7, 21), config, 5, isa)
    rng = np.random.default_rng(1)
    x, d = vectors(rng, 4, 21), vectors(rng, 4, 7)
    x[1], d[2] = 0.0, 0.0
    compare_update(tile, model, x, d, rate, tolerance=2e-6)
    # Where counts are computed, few pulses may be rounded to none.
    computed = config.update.pulse_type in PULSED[2:]
    assert model.plane.pulse_ordinals.any() or (computed and rate == 0.001)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sigma", [0.0, 0.3, -0.3])
@pytest.mark.parametrize(
    "device",
    [
        ConstantStepDevice(w_max=0.15, w_min=-0.15, count_pulses=True),
        LinearStepDevice(gamma_up=0.3, gamma_down=-0.2, allow_increasing=True),
        LinearStepDevice(mult_noise=False, gamma_up=0.5, write_noise_std=1.0),
        SoftBoundsDevice(w_max=0.2, w_min=-0.2, count_pulses=True),
        SoftBoundsDevice(dw_min=0.01, reverse_up=True),
    ],
    ids=lambda device: type(device).__name__,
)
@pytest.mark.parametrize(
    ("shape", "batch", "options"),
    [
        ((9, 67), 40, {}),
        ((3, 20), 300, {}),  # several portions
        ((2, 1100), 3, {"pulse_type": "MeanCount", "desired_bl": 100}),
        ((3, 37), 50, {"desired_bl": 100, "update_bl_management": False}),
        ((2, 21), 2, {"desired_bl": 5000, "update_bl_management": False}),
    ],
)
def test_pulses_with_one_draw_of_noise(shape, batch, options, device, sigma, isa):
    update = UpdateParameters(noise_aggregation=NoiseAggregation.BATCH, **options)
    device = thawed_copy(device)
    device.dw_min_std = sigma
    config = SingleRPUConfig(device=device, update=update)
    tile, model = make_pair(shape, config, 1, isa)
    rng = np.random.default_rng(1)
    x, d = vectors(rng, batch, shape[1]), vectors(rng, batch, shape[0])
    x[batch // 2] = 0.0
    compare_update(tile, model, x, d, 0.02, tolerance=3e-6)
    together, apart = np.sum(model.plane.portions, axis=0)
    assert together > 0
    if shape == (9, 67) and device.w_max < 0.5:
        assert apart > 0


def test_ties_of_the_train_length_are_decided_in_float32():
    """Needed pulses around an integer: k = ((lr Xm) Dm) / g rounds in this order."""
    config = SingleRPUConfig(
        device=ConstantStepDevice(dw_min=0.001, dw_min_dtod=0.0, dw_min_std=0.0)
    )
    rng = np.random.default_rng(7)
    for _ in range(40):
        tile, model = make_pair((1, 1), config, 1)
        x = np.float32(rng.integers(1, 200) / 100)
        d = np.float32(rng.integers(1, 200) / 100)
        compare_update(tile, model, [[x]] * 3, [[d]] * 3, 0.01)


def test_saturated_trains_draw_nothing():
    """A certain pulse in every slot; the same with probabilities rounded to 1."""
    unmanaged = {"update_management": False, "update_bl_management": False}
    for update in (
        UpdateParameters(**unmanaged),
        UpdateParameters(**unmanaged, res=0.5),
        UpdateParameters(res=0.5),
    ):
        config = SingleRPUConfig(device=ConstantStepDevice(w_max=5.0), update=update)
        tile, model = make_pair((2, 2), config, 1)
        model.log.clear()
        compare_update(tile, model, [[1.0, -1.0]], [[1.0, 1.0]], 0.05)
        assert (model.plane.pulse_ordinals == 31).all()
        assert {int(d.counters[0, 3] >> 24) for d in model.log} == {9}


def test_extreme_vectors():
    config = SingleRPUConfig(device=ConstantStepDevice())
    tile, model = make_pair((2, 3), config, 1)
    for x, d, rate in (
        ([1e30, 1.0, 1e-30], [1e-30, 1.0], 0.01),
        ([3e38, 3e38, -3e38], [3e38, -3e38], 1.0),
        ([1e-38, 1e-40, 0.0], [1.0, -1.0], 0.01),
        ([1e-45, 1.0, 0.0], [1e-45, -1.0], 1e30),
        ([-0.0, 0.0, 1.0], [-0.0, 1.0], 0.1),
    ):
        compare_update(tile, model, [x], [d], rate)


# ---- exact updates -------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (17, 33), (13, 70), (2, 1100)])
@pytest.mark.parametrize("rate", [0.1, -0.3])
def test_exact_updates_have_the_same_bits(shape, rate, isa):
    rng = np.random.default_rng(1)
    x, d = vectors(rng, 7, shape[1]), vectors(rng, 7, shape[0])
    for config in (
        FloatingPointRPUConfig(),
        SingleRPUConfig(device=IdealDevice()),
        SingleRPUConfig(update=UpdateParameters(pulse_type=PulseType.NONE)),
        SingleRPUConfig(update=UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE)),
    ):
        tile, model = make_pair(shape, config, 4, isa)
        compare_update(tile, model, x, d, rate, tolerance=0.0)


@pytest.mark.parametrize("batch", [1, 255, 256, 300])
def test_exact_updates_of_long_batches(batch):
    rng = np.random.default_rng(2)
    tile, model = make_pair((5, 9), FloatingPointRPUConfig(), 4)
    x, d = vectors(rng, batch, 9), vectors(rng, batch, 5)
    compare_update(tile, model, x, d, tolerance=0.0)


@quick
@given(device=pulsed_devices(), case=cases)
def test_exact_updates_within_bounds(device, case):
    shape, seed, isa = case
    update = UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE)
    tile, model = make_pair(
        shape, SingleRPUConfig(device=device, update=update), seed, isa
    )
    rng = np.random.default_rng(seed)
    compare_update(tile, model, vectors(rng, 3, shape[1]), vectors(rng, 3, shape[0]))


# ---- products ------------------------------------------------------------------------


@quick
@given(
    forward=ios(),
    backward=ios(),
    case=cases,
    size=some([0.01, 1.0, 100.0]),
    is_test=st.booleans(),
)
def test_products(forward, backward, case, size, is_test):
    shape, seed, isa = case
    config = SingleRPUConfig(forward=forward, backward=backward, device=IdealDevice())
    tile, model = make_pair(shape, config, seed, isa)
    rng = np.random.default_rng(seed)
    tile.set_weights(rng.uniform(-1, 1, shape))
    model.set_weights(tile.get_weights())
    for operation, inputs in (("forward", shape[1]), ("backward", shape[0])):
        values = size * vectors(rng, 4, inputs)
        values[2] = 0.0
        compare_product(tile, model, operation, values, is_test=is_test)


@quick
@given(io=sliced_ios(), case=cases, spare=some([0, 8, 24]), is_test=st.booleans())
def test_products_in_time_slices(io, case, spare, is_test):
    shape, seed, isa = case
    config = SingleRPUConfig(forward=io, backward=io, device=IdealDevice())
    config.mapping.max_input_size = -(-shape[1] // 8) * 8 + spare
    tile, model = make_pair(shape, config, seed, isa)
    rng = np.random.default_rng(seed)
    tile.set_weights(rng.uniform(-1, 1, shape))
    for operation, inputs in (("forward", shape[1]), ("backward", shape[0])):
        values = vectors(rng, 4, inputs)
        compare_product(tile, model, operation, values, is_test=is_test)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 5), (63, 2), (65, 130), (2, 1100), (1030, 3)]
)
def test_plain_products_have_the_same_bits(shape, isa):
    """Rounding, at random too, and clipping need no normal number: no tolerance."""
    io = IOParameters(
        inp_sto_round=True, out_sto_round=True, out_noise=0.0, out_bound=2.0
    )
    for config in (
        FloatingPointRPUConfig(),
        SingleRPUConfig(device=IdealDevice(), forward=io, backward=io),
    ):
        tile, model = make_pair(shape, config, 6, isa)
        rng = np.random.default_rng(3)
        tile.set_weights(rng.uniform(-1, 1, shape))
        adopt(model, tile)
        for operation, inputs in (("forward", shape[1]), ("backward", shape[0])):
            values = vectors(rng, 3, inputs)
            for _ in range(2):
                found = getattr(tile, operation)(values)
                expected = getattr(model, operation)(values)
                assert np.array_equal(found, expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("out_bound", [0.05, 1.0, 100.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_bm_factor": 4},
        {"max_bm_res": 1.0},
        {"inp_res": 0.0, "out_res": 0.0},
        {"bm_test_negative_bound": False},
        {"inp_noise": 0.05, "inp_sto_round": True, "out_sto_round": True},
    ],
    ids=str,
)
def test_rounds_of_bound_management(options, out_bound, isa):
    io = IOParameters(out_bound=out_bound, **options)
    config = SingleRPUConfig(device=IdealDevice(), forward=io)
    tile, model = make_pair((70, 40), config, 6, isa)
    rng = np.random.default_rng(4)
    tile.set_weights(rng.uniform(-1, 1, (70, 40)))
    clear = compare_product(tile, model, "forward", 3 * vectors(rng, 6, 40))
    assert clear.sum() >= 3


@pytest.mark.parametrize("isa", ISAS)
def test_default_noise_in_large_tiles(isa):
    tile, model = make_pair((130, 1050), SingleRPUConfig(), 8, isa)
    rng = np.random.default_rng(4)
    assert compare_product(tile, model, "forward", vectors(rng, 2, 1050)).any()
    assert compare_product(tile, model, "backward", vectors(rng, 2, 130)).any()


def test_not_finite_and_extreme_inputs():
    io = IOParameters(out_noise=0.0)
    config = SingleRPUConfig(device=IdealDevice(), forward=io, backward=io)
    tile, model = make_pair((3, 4), config, 1)
    tile.set_weights(np.eye(3, 4))
    values = np.array(
        [
            [1.0, np.nan, 0.0, 0.0],
            [1.0, 0.5, -0.5, 0.0],
            [np.inf, 0.0, 0.0, 0.0],
            [1e30, -1e30, 1.0, 1.0],
            [1e-30, 2e-30, 0.0, 0.0],
            [1e-40, 1e-45, 0.0, 0.0],
            [0.0, -0.0, 0.0, 0.0],
        ],
        dtype=np.float32,
    )
    adopt(model, tile)
    np.testing.assert_array_equal(tile.forward(values), model.forward(values))
    np.testing.assert_array_equal(
        tile.backward(values[:, :3]), model.backward(values[:, :3])
    )


def test_call_surface():
    """Bias, transposed arguments and batches of several dimensions mean the same."""
    io = IOParameters(out_noise=0.0)
    config = SingleRPUConfig(forward=io, backward=io)
    tile, model = make_pair((3, 5), config, 1)
    rng = np.random.default_rng(1)
    adopt(model, tile)
    x = rng.uniform(-1, 1, (2, 3, 4)).astype(np.float32)
    d = rng.uniform(-1, 1, (2, 3, 3)).astype(np.float32)
    xt, dt = np.moveaxis(x, -1, 0), np.moveaxis(d, -1, 0)
    for one in (tile, model):
        one.set_learning_rate(0.05)
    for call in (
        lambda t: t.forward(x, bias=True),
        lambda t: t.forward(xt, bias=True, in_trans=True, out_trans=True),
        lambda t: t.backward(d, bias=True),
        lambda t: t.backward(dt, bias=True, in_trans=True, out_trans=True),
    ):
        np.testing.assert_array_equal(call(tile), call(model))
    tile.update(xt, dt, bias=True, in_trans=True, out_trans=True)
    model.update(xt, dt, bias=True, in_trans=True, out_trans=True)
    assert_same_state(tile, model)
    assert tile.get_learning_rate() == model.get_learning_rate() == 0.05


# ---- maintenance ---------------------------------------------------------------------

OPERATIONS = st.one_of(
    st.tuples(st.just("decay_weights"), some([1.0, 0.5, -3.0, 20.0])),
    st.tuples(st.just("diffuse_weights")),
    st.tuples(
        st.just("reset_columns"),
        st.integers(0, 80),
        st.integers(-1, 80),
        some([1.0, 0.5, 0.0, 1e-3]),
    ),
    st.tuples(st.just("clip_weights"), some([-1.0, 0.0, 0.05, 0.3])),
    st.tuples(st.just("drift_weights"), some([0.0, 1.0, 3.0, 100.0])),
    st.tuples(st.just("set_weights_uniform_random"), st.just(-0.7), st.just(0.5)),
)


@quick
@given(
    device=pulsed_devices(),
    pulse_type=some([PulseType.STOCHASTIC_COMPRESSED, PulseType.NONE]),
    case=cases,
    operations=st.lists(OPERATIONS, min_size=1, max_size=8),
)
def test_maintenance_of_pulsed_devices(device, pulse_type, case, operations):
    shape, seed, isa = case
    update = UpdateParameters(pulse_type=pulse_type)
    tile, model = make_pair(
        shape, SingleRPUConfig(device=device, update=update), seed, isa
    )
    for operation, *arguments in operations:
        if operation == "decay_weights" and pulse_type is not PulseType.NONE:
            # An alpha far from 1 is a factor on the rounding error of the decay scale.
            compare(tile, model, operation, *arguments, tolerance=20 * TOLERANCE)
        else:
            compare(tile, model, operation, *arguments)


EXACT = [
    SingleRPUConfig(device=IdealDevice(lifetime=10.0, diffusion=0.1, reset_std=0.2)),
    SingleRPUConfig(device=IdealDevice(lifetime=0.5)),
    FloatingPointRPUConfig(
        device=FloatingPointDevice(
            lifetime=4.0, diffusion=0.1, drift=SimpleDriftParameter(nu=0.1, t_0=2.0)
        )
    ),
    FloatingPointRPUConfig(
        device=FloatingPointDevice(drift=SimpleDriftParameter(nu=-0.2))
    ),
]


@quick
@given(
    config=some(EXACT),
    case=cases,
    operations=st.lists(OPERATIONS, min_size=1, max_size=8),
)
def test_maintenance_of_exact_devices(config, case, operations):
    shape, seed, isa = case
    tile, model = make_pair(shape, config, seed, isa)
    for operation, *arguments in operations:
        if operation == "reset_columns" and config.device.kernel == "floating_point":
            with pytest.raises(NotImplementedError):
                tile.reset_columns()
        else:
            compare(tile, model, operation, *arguments)


@pytest.mark.parametrize("write_noise", [0.0, 3.0])
@pytest.mark.parametrize("on_set", [True, False])
def test_weights_and_hidden_parameters_are_set_alike(write_noise, on_set):
    device = SoftBoundsDevice(
        write_noise_std=write_noise,
        apply_write_noise_on_set=on_set,
        reset_dtod=0.1,
        drift=DriftParameter(nu=0.1, nu_dtod=0.1),
    )
    tile, model = make_pair((5, 18), SingleRPUConfig(device=device), 1)
    rng = np.random.default_rng(1)
    compare(tile, model, "set_weights", rng.uniform(-2, 2, (5, 18)))
    parameters = tile.get_hidden_parameters()
    for scale in (0.5, 1.5, 3.0):
        changed = {
            name: plane * np.float32(scale) for name, plane in parameters.items()
        }
        compare(tile, model, "set_hidden_parameters", changed)
        assert_same_hidden(tile, model)
        assert tile._plane.granularity == pytest.approx(
            model.plane.granularity, rel=1e-6
        )
        assert tile._plane.dw_min == pytest.approx(model.plane.dw_min, rel=1e-6)


# ---- known differences ---------------------------------------------------------------


def test_negative_diffusion_of_an_exact_device_is_none():
    tile, model = make_pair((2, 3), SingleRPUConfig(device=IdealDevice(diffusion=-0.1)))
    compare(tile, model, "diffuse_weights")


def test_granularity_comes_back_with_the_hidden_parameters():
    tile, model = make_pair((4, 4), SingleRPUConfig())
    first = tile.get_hidden_parameters()
    scaled = {k: 3 * v if k.startswith("dwmin") else v for k, v in first.items()}
    for parameters in (scaled, first):
        compare(tile, model, "set_hidden_parameters", parameters)
        assert tile._plane.granularity == pytest.approx(
            model.plane.granularity, rel=1e-6
        )


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_weight_noise_of_very_small_and_very_large_inputs(size):
    io = IOParameters(
        inp_bound=0.0,
        out_bound=0.0,
        out_noise=0.0,
        noise_management=NoiseManagementType.NONE,
        w_noise=0.1,
        w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT,
    )
    tile, model = make_pair((2, 3), SingleRPUConfig(device=IdealDevice(), forward=io))
    adopt(model, tile)
    values = np.full((1, 3), size)
    np.testing.assert_allclose(tile.forward(values), model.forward(values), rtol=1e-5)
