"""Read noise of conductances that depends on the durations of the inputs.

`tests/test_reference_model.py` compares single products with the NumPy model, whose ladder
goes slice by slice, and `tests/test_same_bits` threads, instruction sets and backends.
"""

import math
from typing import Any

import numpy as np
import pytest

from rpupy import get_num_threads, set_num_threads
from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    ConstantStepDevice,
    IdealDevice,
    NoiseManagementType,
    SingleRPUConfig,
    TransferCompound,
    UnitCellRPUConfig,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.testing.statistics import assert_mean, assert_variance
from rpupy.tiles import AnalogTile

QUIET: dict[str, Any] = {
    "noise_management": NoiseManagementType.NONE,
    "bound_management": BoundManagementType.NONE,
    "inp_res": 1 / 254,  # 127 levels
    "out_noise": 0.0,
    "out_res": 0.0,
    "out_bound": 0.0,
    "ir_drop_integration_sum": True,
    "adc_quantization": False,
}
#: Time slices without loss: an ideal product, but for the noise.
NO_LOSS = {"ir_drop_rs": 0.0, "ir_drop_v_read": 0.4}
ONE_PASS, SPLIT = AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE
BIT_WISE = AnalogMVType.BIT_WISE
WEIGHTS = [[1.0, -0.5, 0.25, 0.1], [0.3, 0.0, -0.8, 0.6]]


def make_tile(weights: Any = WEIGHTS, rows: int = 8, **io: Any) -> AnalogTile:
    forward = IOParametersIRDropT(**QUIET | {"apply_xdep_pcm_read_noise": True} | io)
    config = SingleRPUConfig(device=IdealDevice(), forward=forward)
    config.mapping.max_input_size = rows
    weights = np.asarray(weights, dtype=np.float32)
    tile = AnalogTile(*weights.shape, config, rng=1).eval()
    tile.set_weights(weights)
    return tile


def std_of(weight: float, t: float) -> float:
    """Noise of a weight where the largest one is 1, by the numbers of the table."""
    log = math.log10(t)
    slope = np.polyval(
        [2.1926e-4, -1.87352e-3, 6.55714e-3, -0.0146159, 0.02578764], log
    )
    floor = 1e6 * np.polyval(
        [1.11906167e-9, -9.08576764e-9, 3.07015063e-8, -6.77079241e-8, 1.17763144e-7],
        log,
    )
    return float((slope * abs(weight) * 25 + floor) / 25)


def samples(tile: AnalogTile, level: int, count: int = 20_000) -> np.ndarray:
    """Products of vectors whose first input alone is on, (count, outputs)."""
    x = np.zeros((count, tile.in_size), dtype=np.float32)
    x[:, 0] = level / 127
    return tile.forward(x)


# ---- the law; false alarms: 26 comparisons at 1e-7 each ------------------------------


@pytest.mark.parametrize(
    ("mode", "io"),
    [
        ("evaluation", NO_LOSS),
        ("evaluation", {"ir_drop": 0.0}),
        ("training", {}),
    ],
)
@pytest.mark.parametrize("level", [127, -13])
def test_the_law_of_a_vector(mode: str, io: dict[str, Any], level: int) -> None:
    """The mean duration is that of the vector over its own inputs, 4 here."""
    tile = make_tile(**io).train(mode == "training")
    found = samples(tile, level)
    for i, weight in enumerate((1.0, 0.3)):
        x, std = level / 127, std_of(weight, abs(level) / 4) * abs(level) / 127
        assert_mean(found[:, i], weight * x, std, false_alarm=1e-7)
        # 20 000 numbers show a change of 8 %.
        assert assert_variance(found[:, i], std**2, false_alarm=1e-7) < 0.17 * std**2


@pytest.mark.parametrize(
    ("mv_type", "digits"),
    [(SPLIT, [(1, 1), (9, 8)]), (BIT_WISE, [(1, 1), (1, 8), (1, 64)])],
)
def test_each_pass_has_its_own_noise(
    mv_type: AnalogMVType, digits: list[tuple[int, int]]
) -> None:
    """The level 73 = 1 + 8 * 9 = 1 + 8 + 64; the passes are independent."""
    found = samples(make_tile(mv_type=mv_type, **NO_LOSS), 73)
    for i, weight in enumerate((1.0, 0.3)):
        parts = [std_of(weight, n / 4) * n * unit / 127 for n, unit in digits]
        assert_variance(found[:, i], math.fsum(p * p for p in parts), false_alarm=1e-7)


def test_the_numbers_of_inputs_are_independent() -> None:
    """All four inputs of a block are on: their variances add up."""
    tile = make_tile([[0.5, 1.0, -0.25, 0.75, 0.5]], **NO_LOSS)
    found = tile.forward(np.ones((20_000, 5)))[:, 0]
    stds = [std_of(w, 127) for w in (0.5, 1.0, 0.25, 0.75, 0.5)]
    assert_variance(found, math.fsum(s * s for s in stds), false_alarm=1e-7)
    columns = make_tile(np.ones((2, 1)), **NO_LOSS).forward(np.ones((20_000, 1)))
    deviation = (columns - 1) / std_of(1.0, 127)
    assert_mean(deviation[:, 0] * deviation[:, 1], 0.0, 1.0, false_alarm=1e-7)


def test_the_scale_multiplies_the_noise() -> None:
    one, three = (
        make_tile(xdep_pcm_read_noise_scale=scale, ir_drop=0.0) for scale in (1.0, 3.0)
    )
    x = np.array([1.0, 0.0, 0.0, 0.0])
    clean = np.array([1.0, 0.3])
    np.testing.assert_allclose(
        three.forward(x) - clean, 3 * (one.forward(x) - clean), rtol=1e-4, atol=1e-6
    )


# ---- what has no noise ---------------------------------------------------------------


@pytest.mark.parametrize("mv_type", [ONE_PASS, SPLIT, BIT_WISE])
def test_no_conductance_and_no_input_have_no_noise(mv_type: AnalogMVType) -> None:
    tile = make_tile(mv_type=mv_type)
    quiet = make_tile(mv_type=mv_type, apply_xdep_pcm_read_noise=False)
    # The second weight of the second output is 0, and so is the input of the second vector.
    x = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    for mode in (True, False):
        found, clean = tile.train(mode).forward(x), quiet.train(mode).forward(x)
        assert np.isfinite(found).all()
        assert found[0, 0] != clean[0, 0]
        np.testing.assert_allclose(found[1], clean[1], rtol=1e-5, atol=1e-6)
    assert tile.train().forward(x)[0, 1] == 0.0


def test_a_scale_of_0_is_no_noise() -> None:
    x = np.linspace(-1, 1, 4)
    off = make_tile(xdep_pcm_read_noise_scale=0.0)
    quiet = make_tile(apply_xdep_pcm_read_noise=False)
    assert np.array_equal(off.forward(x), quiet.forward(x))


# ---- promises ------------------------------------------------------------------------


def test_a_vector_does_not_depend_on_its_batch() -> None:
    """In the reference library a vector is noisier beside a small one."""
    x = np.array([[1.0, 0.5, -0.5, 0.25], [0.01, 0.0, 0.0, 0.0], [1.0, -1.0, 1.0, 1.0]])
    for mode in (True, False):
        whole = make_tile().train(mode)
        parts = make_tile().train(mode)
        together = whole.forward(x)
        apart = np.concatenate([parts.forward(x[:1]), parts.forward(x[1:])])
        assert np.array_equal(together, apart)
        alone = make_tile().train(mode)
        assert np.array_equal(alone.forward(x[0]), together[0])


def test_it_leaves_the_draws_of_other_effects_alone() -> None:
    io = {"out_noise": 0.1, "inp_noise": 0.05, "mv_type": SPLIT}
    x = np.array([0.5, -0.25, 1.0, 0.125])
    noisy = make_tile(**io).trace(x)
    quiet = make_tile(apply_xdep_pcm_read_noise=False, **io).trace(x)
    assert np.array_equal(noisy["driven"], quiet["driven"])
    for steps in (noisy, quiet):
        steps["drawn"] = steps["output_noise"] - steps["output_asymmetry"]
    np.testing.assert_allclose(noisy["drawn"], quiet["drawn"], rtol=0, atol=1e-6)
    assert not np.array_equal(noisy["charge"], quiet["charge"])


@pytest.mark.parametrize("mv_type", [ONE_PASS, SPLIT, BIT_WISE])
@pytest.mark.parametrize("mode", [True, False])
def test_a_trace_shows_the_product_without_and_with_noise(
    mv_type: AnalogMVType, mode: bool
) -> None:
    io = {"mv_type": mv_type, "ir_drop_rs": 50.0, "adc_quantization": True}
    x = np.array([[0.5, -0.25, 1.0, 0.125], [1.0, 0.0, 0.0, -1.0]])
    tile = make_tile(**io).train(mode)
    steps = tile.trace(x)
    assert np.array_equal(steps["output"], tile.forward(x))
    quiet = make_tile(apply_xdep_pcm_read_noise=False, **io).train(mode).trace(x)
    np.testing.assert_allclose(steps["product"], quiet["product"], rtol=1e-5, atol=1e-6)
    assert np.array_equal(steps["series"], steps["product"])
    assert (steps["weight_noise"] != steps["product"]).any()
    assert np.abs(steps["weight_noise"] - steps["product"]).max() < 0.5


def test_wires_see_the_noise() -> None:
    """Much noise on one device changes what the others see: the ladder is not linear."""
    io = {"xdep_pcm_read_noise_scale": 30.0, "ir_drop_rs": 5e3, "ir_drop_segments": 4}
    tile = make_tile([[0.5, 1.0, 1.0, 1.0]], 4, **io)
    still = make_tile([[0.5, 1.0, 1.0, 1.0]], 4, **io | NO_LOSS, ir_drop=0.0)
    x = np.tile([1.0, 0.0, 0.0, 0.0], (200, 1))
    weight = still.forward(x)[:, 0]
    seen = tile.forward(x)[:, 0] / weight
    large = np.abs(weight) > 0.1
    assert np.ptp(seen[large]) > 0.1


def test_weights_that_change_are_seen() -> None:
    tile = make_tile(ir_drop=0.0)
    before = tile.copy()
    tile.set_weights(2 * np.asarray(WEIGHTS))
    x = np.array([1.0, 0.5, 0.0, -1.0])
    np.testing.assert_allclose(tile.forward(x), 2 * before.forward(x), rtol=1e-5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(3)
    tile = make_tile(rng.uniform(-1, 1, (150, 230)), 240, out_bound=12.0)
    before = get_num_threads()
    for batch in (1, 40):
        x = rng.uniform(-1, 1, (batch, 230))
        found = []
        for threads in (1, 3):
            set_num_threads(threads)
            try:
                found.append(tile.copy().forward(x))
            finally:
                set_num_threads(before)
        assert np.array_equal(*found)


@pytest.mark.parametrize("mv_type", [ONE_PASS, SPLIT, BIT_WISE])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (70, 41), (130, 67)])
def test_cuda_gives_the_same_bits(
    mv_type: AnalogMVType, shape: tuple[int, int]
) -> None:
    pytest.importorskip("rpupy.rpu_base._cuda_host")
    rng = np.random.default_rng(7)
    tile = make_tile(
        rng.uniform(-1, 1, shape),
        80,
        mv_type=mv_type,
        ir_drop_rs=20.0,
        inp_noise=0.01,
        out_noise=0.05,
        out_bound=2.0,
        adc_quantization=True,
        bound_management=BoundManagementType.ITERATIVE,
    )
    there = tile._to_backend("cuda_host")
    x = rng.uniform(-1, 1, (5, shape[1]))
    x[2] = 0.0
    for mode in (True, False):
        here, other = tile.train(mode).trace(x), there.train(mode).trace(x)
        for name, step in here.items():
            assert np.array_equal(step, other[name]), name
        assert np.array_equal(tile.forward(x), there.forward(x))


# ---- configuration -------------------------------------------------------------------


def test_it_is_listed_and_can_be_switched_off() -> None:
    config = make_tile(ir_drop=0.0).rpu_config
    name = "forward.xdep_pcm_read_noise_scale"
    (row,) = [row for row in config.explain() if row.field == name]
    assert row.effect == "read noise"
    assert row.size == pytest.approx(std_of(1.0, 127), rel=1e-6)
    off = config.without("read noise")
    assert not [row for row in off.explain() if row.field == name]
    assert config.forward.xdep_pcm_read_noise_scale == 1.0
    assert off.forward.xdep_pcm_read_noise_scale == 0.0


def test_backward_has_no_such_noise() -> None:
    io = IOParametersIRDropT(**QUIET, apply_xdep_pcm_read_noise=True)
    config = SingleRPUConfig(device=IdealDevice(), backward=io)
    assert "backward.apply_xdep_pcm_read_noise" in {
        item.field for item in config.explain().unused
    }
    tile = AnalogTile(2, 3, config, rng=1)
    weights = tile.get_weights()[0]
    np.testing.assert_allclose(tile.backward([1.0, 0.0]), weights[0], rtol=1e-6)


def test_reads_of_compounds_refuse_it() -> None:
    device = TransferCompound(
        unit_cell_devices=[ConstantStepDevice(), ConstantStepDevice()],
        transfer_forward=IOParametersIRDropT(apply_xdep_pcm_read_noise=True),
    )
    with pytest.raises(NotImplementedError, match="apply_xdep_pcm_read_noise"):
        AnalogTile(2, 3, UnitCellRPUConfig(device=device))
