"""Kernels on every instruction set: the fixed chain of the product, awkward sizes."""

import fractions
import functools

import numpy as np
import pytest

import rpupy
from rpupy.configs import (
    BoundManagementType,
    ConstantStepDevice,
    ExpStepDevice,
    IOParameters,
    LinearStepDevice,
    NoiseManagementType,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    PulseType,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
    UpdateParameters,
    WeightNoiseType,
)
from rpupy.rpu_base import _common, _cpu
from rpupy.rpu_base.core import CpuTile

ISAS = _cpu.available_isas()
#: Around the widths of lanes, panels, groups, and the depth of a block.
SIZES = [1, 2, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1030]
SHAPES = [
    *((1, n) for n in SIZES),
    *((n, 1) for n in SIZES[1:]),
    *((n, n) for n in SIZES[1:12]),
    (31, 513),
    (513, 31),
    (65, 1030),
    (1030, 33),
    (33, 127),
    (129, 65),
]
#: Below, at and above the rows that a micro kernel holds: 2, 3 and 12.
BATCHES = [1, 2, 3, 5, 13]


def fused(a, b, c):
    """Round a * b + c once, to float32, elementwise.

    The product of float32 numbers is exact in float64.  The sum is rounded to odd
    there, after which rounding to float32 is right (Boldo and Melquiond 2008,
    doi:10.1109/TC.2007.70819).
    """
    product = a.astype(np.float64) * b.astype(np.float64)
    addend = c.astype(np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    away = (error > 0) == (total > 0)
    odd = np.where(away, bits + 1, bits - 1).view(np.float64)
    rounded = np.where((error != 0) & (bits % 2 == 0), odd, total)
    with np.errstate(over="ignore"):
        return rounded.astype(np.float32)


def chain(x, weights):
    """Sum the products of each vector and row in ascending order of the inputs."""
    y = np.zeros((len(x), len(weights)), dtype=np.float32)
    for k in range(x.shape[1]):
        y = fused(x[:, k, None], weights[None, :, k], y)
    return y


def wild(shape, seed):
    """Numbers of very different sizes, whose sums are rounded at every step."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * 2.0 ** rng.integers(-12, 12, shape)).astype("f4")


def nearest(value):
    """Round a fraction to the nearest float32, ties to even."""
    guess = np.float32(float(value))
    around = [
        np.nextafter(guess, np.float32(-np.inf)),
        guess,
        np.nextafter(guess, np.float32(np.inf)),
    ]
    return min(
        around,
        key=lambda f: (
            abs(fractions.Fraction(float(f)) - value),
            int(f.view(np.int32)) & 1,
        ),
    )


def test_the_emulated_fma_is_right():
    a, b, c = (wild(3000, seed) for seed in range(3))
    # Ties, and sums that cancel, too.
    a[:1000] = np.round(a[:1000])
    b[:500] = 1.5
    c[1000:2000] = -(a * b)[1000:2000]
    c[:200] = np.float32(2.0**24) * np.sign(c[:200])
    result = fused(a, b, c)
    for k in range(len(a)):
        exact = fractions.Fraction(float(a[k])) * fractions.Fraction(float(b[k]))
        assert result[k] == nearest(exact + fractions.Fraction(float(c[k])))


# ---- products ----------------------------------------------------------------------


def product(isa, weights, vectors, io, backward=False, ordinal=0, n_threads=1):
    out_size, in_size = weights.shape
    backend = _cpu.CpuBackend(out_size, in_size, (12, 34), isa)
    n_out = in_size if backward else out_size
    result = np.full((len(vectors), n_out), np.nan, dtype=np.float32)
    backend.product(
        weights,
        vectors,
        result,
        len(vectors),
        backward,
        io,
        ordinal,
        42 if backward else 32,
        n_threads,
    )
    return result


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 2), (33, 65), (65, 31), (17, 513), (5, 1030), (70, 129)]
)
def test_a_product_is_one_ascending_chain_of_fma(shape, isa):
    weights, x, d = wild(shape, 1), wild((5, shape[1]), 2), wild((5, shape[0]), 3)
    perfect = _common.perfect_io()
    expected = chain(x, weights)
    if shape[1] > 2:
        assert (expected != chain(x[:, ::-1], weights[:, ::-1])).any(), (
            "too easy a case"
        )
    np.testing.assert_array_equal(product(isa, weights, x, perfect), expected)
    np.testing.assert_array_equal(
        product(isa, weights, d, perfect, backward=True),
        chain(d, np.ascontiguousarray(weights.T)),
    )


@pytest.mark.parametrize("isa", ISAS)
def test_an_exact_update_continues_the_chain_of_each_weight(isa):
    weights, x, d = wild((33, 17), 1), wild((300, 17), 2), wild((300, 33), 3)
    lr = np.float32(0.37)
    backend = _cpu.CpuBackend(33, 17, (1, 2), isa)
    result = weights.copy()
    backend.update_exact(result, x, d, 300, float(lr), None, None, 1)
    expected = weights
    for b in range(300):
        expected = fused(-(lr * d[b])[:, None], x[b][None, :], expected)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_a_bounded_exact_update_is_clipped_after_each_vector(isa):
    weights, x, d = wild((9, 35), 1), wild((20, 35), 2), wild((20, 9), 3)
    low, high = -np.abs(wild((9, 35), 4)), np.abs(wild((9, 35), 5))
    backend = _cpu.CpuBackend(9, 35, (1, 2), isa)
    result = weights.copy()
    backend.update_exact(result, x, d, 20, 0.5, low, high, 1)
    expected = weights
    for b in range(20):
        moved = fused(-(np.float32(0.5) * d[b])[:, None], x[b][None, :], expected)
        expected = np.clip(moved, low, high)
    np.testing.assert_array_equal(result, expected)


NOISY = IOParameters(
    inp_noise=0.02,
    inp_sto_round=True,
    inp_asymmetry=0.05,
    out_noise=0.05,
    out_sto_round=True,
    out_bound=0.5,
    out_asymmetry=0.03,
    w_noise=0.02,
    w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT,
)
IOS = {
    "perfect": IOParameters(is_perfect=True, out_scale=0.7),
    "default": IOParameters(),
    "noisy": NOISY,
    "constant": IOParameters(
        noise_management=NoiseManagementType.CONSTANT,
        nm_thres=1.5,
        bound_management=BoundManagementType.NONE,
        inp_res=16,
    ),
    "max": IOParameters(noise_management=NoiseManagementType.MAX, out_bound=0.0),
    "raw": IOParameters(
        noise_management=NoiseManagementType.NONE, inp_bound=0.0, out_bound=0.3
    ),
}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("io", IOS)
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_equal_on_every_instruction_set(shape, io, backward):
    weights = (np.random.default_rng(1).random(shape, np.float32) - 0.5) * 0.8
    lines = shape[0] if backward else shape[1]
    packed = _common.pack_io(IOS[io])
    # The slow emulation of fma on the baseline pays for each batch.
    batches = BATCHES if weights.size < 5000 else [5]
    for batch in batches:
        vectors = np.random.default_rng(2).random((batch, lines), np.float32) * 2 - 1
        results = [
            product(isa, weights, vectors, packed, backward, ordinal=2**32 - 3)
            for isa in ISAS
        ]
        assert np.isfinite(results[0]).all()
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])
        # Vector by vector: neighbours and the batch change nothing.
        for number in range(batch):
            alone = product(
                ISAS[0],
                weights,
                vectors[number : number + 1],
                packed,
                backward,
                ordinal=2**32 - 3 + number,
            )
            np.testing.assert_array_equal(alone[0], results[0][number])


@pytest.mark.parametrize("backward", [False, True])
def test_ordinals_have_64_bits(backward):
    weights, vectors = wild((8, 8), 1), wild((3, 8), 2)
    io = _common.pack_io(NOISY)
    results = [
        product(isa, weights, vectors, io, backward, ordinal)
        for ordinal in (0, 2**32, 2**63, 2**64 - 3)
        for isa in ISAS
    ]
    for first in range(0, len(results), len(ISAS)):
        for result in results[first : first + len(ISAS)]:
            np.testing.assert_array_equal(result, results[first])
    distinct = {result.tobytes() for result in results}
    assert len(distinct) == 4


@pytest.mark.parametrize("n_threads", [2, 3, 5])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_threads_that_share_the_outputs_agree(batch, n_threads):
    # Large enough for as many threads at a batch of 1; rounds of bound management.
    shape = (1999, 1613)
    weights = (np.random.default_rng(1).random(shape, np.float32) - 0.5) * 0.8
    x = np.random.default_rng(2).random((batch, shape[1]), np.float32) * 2 - 1
    d = np.random.default_rng(3).random((batch, shape[0]), np.float32) * 2 - 1
    io = _common.pack_io(NOISY)
    for vectors, backward in ((x, False), (d, True)):
        expected = product(ISAS[0], weights, vectors, io, backward)
        result = product(ISAS[0], weights, vectors, io, backward, n_threads=n_threads)
        np.testing.assert_array_equal(result, expected)


# ---- whole tiles -------------------------------------------------------------------


DEVICES = {
    "constant": ConstantStepDevice(),
    "linear": LinearStepDevice(gamma_up=0.3, gamma_down=0.2, mult_noise=False),
    "soft": SoftBoundsDevice(write_noise_std=1.0, diffusion=0.01, lifetime=9.0),
    "soft reference": SoftBoundsReferenceDevice(
        slope_up_dtod=0.3, reference_std=0.1, subtract_symmetry_point=True
    ),
    "exp": ExpStepDevice(dw_min_std_add=0.001, dw_min_dtod_log_normal=True),
    "pow": PowStepDevice(pow_gamma=0.5, pow_up_down_dtod=0.1),
    "pow reference": PowStepReferenceDevice(
        pow_gamma=1.5, reference_std=0.5, subtract_symmetry_point=True
    ),
    "piecewise": PiecewiseStepDevice(
        piecewise_up=[1.5, 1.0, -0.5], piecewise_down=[0.0, 1.0, 2.0]
    ),
}
UPDATES = {
    "default": UpdateParameters(),
    "one word": UpdateParameters(
        desired_bl=5, update_bl_management=False, update_management=False
    ),
    "many words": UpdateParameters(
        desired_bl=200, update_bl_management=False, res=0.01, sto_round=True
    ),
    "exact": UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE),
}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 33), (31, 1), (5, 63), (9, 65), (32, 129), (3, 1025), (2, 16)]
)
def test_tiles_are_equal_on_every_instruction_set(core, shape, device, update):
    x = np.random.default_rng(1).random((6, shape[1]), np.float32) * 2 - 1
    d = np.random.default_rng(2).random((6, shape[0]), np.float32) * 2 - 1
    x[2], d[3] = 0.0, 0.0
    x[4, 0] = 1e-3
    seen = []
    for isa in ISAS:
        made = type(
            "Tile",
            (CpuTile,),
            {"backend_class": functools.partial(_cpu.CpuBackend, isa_name=isa)},
        )
        tile = core(*shape, DEVICES[device], cls=made, update=UPDATES[update])
        tile.set_learning_rate(0.05)
        results = [tile.forward(x)]
        for _ in range(3):
            tile.update(x, d)
            tile.diffuse_weights()
            tile.decay_weights(0.5)
        tile.reset_columns(shape[1] - 1, 2, 0.5)
        results += [tile.backward(d), tile.forward(x)]
        meta, arrays = tile.state()
        results += arrays.values()
        seen.append((str(meta), [(r.shape, r.tobytes()) for r in results]))
    assert all(one == seen[0] for one in seen[1:])


def test_large_threads_setting_does_not_reach_small_calls(core):
    rpupy.set_num_threads(64)
    tile = core(3, 2, ConstantStepDevice())
    assert tile.forward(np.ones((1, 2))).shape == (1, 3)
