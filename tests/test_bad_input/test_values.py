"""What numbers and layouts of arrays mean: each a documented result, bit for bit."""

import array
import copy
import itertools

import numpy as np
import pytest
from bad_input_tools import IN, OUT, TILES, fingerprint, made, unchanged, vectors

from rpupy.configs import (
    AnalogMVType,
    BoundManagementType,
    BufferedTransferCompound,
    ChoppedTransferCompound,
    ConstantStepDevice,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    IOParameters,
    IOParametersIRDropT,
    MixedPrecisionCompound,
    NoiseManagementType,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
    TransferCompound,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
)
from rpupy.errors import ConfigError
from rpupy.tiles import AnalogTile, FloatingPointTile

KINDS = list(TILES)
ANALOG = [kind for kind in KINDS if kind != "exact"]


# ---- layouts -----------------------------------------------------------------------


class Subclass(np.ndarray):
    pass


class Convertible:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def spread(values, step):
    """The same numbers as a view with a stride, backwards if it is negative."""
    index = tuple(slice(None, None, step) for _ in values.shape)
    memory = np.full([abs(step) * n for n in values.shape], 77.0, values.dtype)
    view = memory[index]
    view[...] = values
    return view


def misaligned(values):
    memory = np.zeros(values.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def transposed(values):
    return np.ascontiguousarray(values.T).T


#: The same numbers, of types and in layouts that differ.
LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every second": lambda v: spread(v, 2),
    "reversed": lambda v: spread(v, -1),
    "every third, reversed": lambda v: spread(v, -3),
    "transposed": transposed,
    "misaligned": misaligned,
    "read-only": read_only,
    "subclass": lambda v: v.view(Subclass),
    "float64": lambda v: v.astype(np.float64),
    "float64, Fortran": lambda v: np.asfortranarray(v.astype(np.float64)),
    "long double": lambda v: v.astype(np.longdouble),
    "foreign float32": lambda v: v.astype(v.dtype.newbyteorder()),
    "foreign float64": lambda v: v.astype(">f8" if np.little_endian else "<f8"),
    "foreign, reversed": lambda v: spread(v.astype(v.dtype.newbyteorder()), -1),
    "list": lambda v: v.tolist(),
    "tuple": lambda v: tuple(map(tuple, v.tolist())) if v.ndim > 1 else tuple(v),
    "list of arrays": list,
    "memoryview": memoryview,
    "convertible": Convertible,
    "masked, nothing masked": np.ma.masked_array,
}


def calls(kind):
    """Name -> shape, whether the array is one of vectors, and the call."""
    tile = made(kind)
    x, d = vectors(tile, "x", 4), vectors(tile, "d", 4)
    weight = np.linspace(-0.3, 0.3, OUT * IN, dtype=np.float32).reshape(OUT, IN)
    full = np.linspace(-0.3, 0.3, OUT * (IN + tile.analog_bias), dtype=np.float32)
    full = full.reshape(OUT, -1)
    bias = np.linspace(-0.1, 0.2, OUT, dtype=np.float32)
    given = bias if tile.analog_bias else None
    result = {
        "forward": (x, lambda t, v: t.forward(v)),
        "forward, out": (
            x,
            lambda t, v: t.forward(v, out=np.zeros_like(made(kind).forward(x))),
        ),
        "backward": (d, lambda t, v: t.backward(v)),
        "update x": (x, lambda t, v: t.update(v, d)),
        "update d": (d, lambda t, v: t.update(x, v)),
        "set_weights": (weight, lambda t, v: t.set_weights(v, given)),
        "mapping_scales": (bias + 1, lambda t, v: t.set_mapping_scales(v)),
        "core set_weights": (full, lambda t, v: t.tile.set_weights(v)),
    }
    if tile.analog_bias or tile.digital_bias:
        result["bias"] = (bias, lambda t, v: t.set_weights(weight, v))
    if tile.get_hidden_parameters():

        def set_hidden(t, v):
            parameters = t.get_hidden_parameters()
            t.set_hidden_parameters({**parameters, "max_bound": v})

        result["hidden"] = (full + np.float32(0.4), set_hidden)
    return result


CALLS = [(kind, name) for kind in KINDS for name in calls(kind)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_the_layout_of_an_array_changes_nothing(kind, name, layout):
    values, call = calls(kind)[name]
    tile, twin = made(kind), made(kind)
    given = LAYOUTS[layout](values)
    before = np.array(given)
    expected = call(tile, values)
    result = call(twin, given)
    if expected is not None:
        assert result.dtype == np.float32
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, expected)
    assert fingerprint(twin) == fingerprint(tile)
    # The argument is the caller's.
    np.testing.assert_array_equal(np.array(given), before)


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_arrays_without_strides_are_like_their_copies(kind, name):
    values, call = calls(kind)[name]
    row = np.broadcast_to(np.float32(0.25), values.shape)
    tile, twin = made(kind), made(kind)
    expected, result = call(tile, row.copy()), call(twin, row)
    if expected is not None:
        np.testing.assert_array_equal(result, expected)
    assert fingerprint(twin) == fingerprint(tile)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u4", "i8", "u8", "f2", "g"])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_of_every_type_are_like_floats(kind, dtype):
    for method, side in (("forward", "x"), ("backward", "d")):
        tile, twin = made(kind), made(kind)
        values = (vectors(tile, side, 4) > 0).astype(np.float32)
        expected = getattr(tile, method)(values)
        result = getattr(twin, method)(values.astype(dtype))
        np.testing.assert_array_equal(result, expected)
        other = vectors(tile, "d" if side == "x" else "x", 4)
        pair = (lambda a, b: (a, b)) if side == "x" else (lambda a, b: (b, a))
        tile.update(*pair(values, other))
        twin.update(*pair(values.astype(dtype), other))
        assert fingerprint(twin) == fingerprint(tile)


def test_standard_library_arrays_are_arrays():
    tile, twin = made("constant"), made("constant")
    values = [0.25, -0.5, 1.0, 0.0, -1.0]
    np.testing.assert_array_equal(
        tile.forward(array.array("d", values)), twin.forward(np.array(values))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_out_may_lie_over_the_input(kind):
    tile, twin = made(kind), made(kind)
    for method, side in (("forward", "x"), ("backward", "d")):
        values = vectors(tile, side, 4)
        expected = getattr(tile, method)(values)
        memory = np.zeros(values.size + expected.size, dtype=np.float32)
        for at in (0, 1, expected.size // 2, expected.size):
            again = copy.copy(twin)
            given = memory[at : at + values.size].reshape(values.shape)
            given[...] = values
            out = memory[: expected.size].reshape(expected.shape)
            assert getattr(again, method)(given, out=out) is out
            np.testing.assert_array_equal(out, expected)
        getattr(twin, method)(values)


def test_x_and_d_may_be_one_array():
    config = SingleRPUConfig(device=ConstantStepDevice())
    tile, twin = (AnalogTile(4, 4, config, rng=1) for _ in range(2))
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
    tile.update(x, x)
    twin.update(x.copy(), x.copy())
    assert fingerprint(tile) == fingerprint(twin)
    assert (x == np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)).all()


# ---- empty batches, zeros ----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [(0,), (0, 3), (3, 0), (2, 0, 2)])
def test_empty_batches_give_empty_results_and_count_nothing(kind, batch):
    tile = made(kind)

    def given(size, first):
        return np.zeros((size, *batch) if first else (*batch, size))

    x, d = given(IN, tile.in_trans), given(OUT, tile.out_trans)
    with unchanged(tile):
        y = tile.forward(x)
        back = tile.backward(d)
        tile.update(x, d)
        out = np.zeros(y.shape, dtype=np.float32)
        assert tile.forward(x, out=out) is out
    assert y.shape == d.shape
    assert back.shape == x.shape
    assert y.dtype == back.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_learning_rate_zero_counts_nothing(kind):
    tile = made(kind)
    tile.set_learning_rate(0.0)
    with unchanged(tile):
        tile.update(vectors(tile, "x", 4), vectors(tile, "d", 4))
        tile.set_learning_rate(-0.0)
        tile.update(vectors(tile, "x", 4), vectors(tile, "d", 4))
        tile.set_learning_rate(0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_vectors_count(kind):
    # A zero vector between others: the ones behind it have the same draws as ever.
    tile, twin = made(kind), made(kind)
    x, d = vectors(tile, "x", 4), vectors(tile, "d", 4)
    middle = np.s_[:, 1] if tile.in_trans else np.s_[1]
    zeroed = x.copy()
    zeroed[middle] = 0.0
    first, second = tile.forward(x), twin.forward(zeroed)
    rest = np.s_[:, 2:] if tile.out_trans else np.s_[2:]
    np.testing.assert_array_equal(first[rest], second[rest])
    tile.update(x, 0 * d)
    twin.update(0 * x, d)
    for one in (tile, twin):
        assert one.tile.state()[0]["counters"]["update"] == 8
        assert one.tile.state()[0]["counters"]["forward"] == 8
    assert fingerprint(tile)[2:] == fingerprint(twin)[2:]


# ---- values ------------------------------------------------------------------------


SPECIAL = [np.nan, np.inf, -np.inf, 1e300, -1e39]


@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("kind", ANALOG)
@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_vector_that_is_not_finite_gives_nan_and_disturbs_no_other(
    kind, method, value
):
    tile, twin = made(kind), made(kind)
    side = "x" if method == "forward" else "d"
    good = vectors(tile, side, 6).astype(np.float64)
    first = tile.in_trans if side == "x" else tile.out_trans
    bad = good.copy()
    bad[(2, 3) if first else (3, 2)] = value
    expected = getattr(tile, method)(good)
    result = getattr(twin, method)(bad)
    other_first = tile.out_trans if side == "x" else tile.in_trans
    axis = 1 if other_first else 0
    assert np.isnan(result.take(3, axis)).all()
    np.testing.assert_array_equal(
        np.delete(result, 3, axis), np.delete(expected, 3, axis)
    )
    # The bad vector never reached the array, and its reads are not counted.
    reads = [one.events()[method].reads for one in (twin, tile)]
    assert 0 < reads[0] < reads[1]
    for one in (tile, twin):
        one.reset_events()
    assert fingerprint(tile) == fingerprint(twin)


@pytest.mark.parametrize(
    "value",
    [
        np.nan,
        *SPECIAL[1:],
    ],
)
@pytest.mark.parametrize("method", ["forward", "backward"])
def test_that_holds_for_exact_products_too(method, value):
    tile = FloatingPointTile(OUT, IN, rng=1)
    tile.set_weights(np.full((OUT, IN), 0.5))
    size = IN if method == "forward" else OUT
    given = np.ones((3, size))
    given[1, 0] = value
    result = getattr(tile, method)(given)
    assert np.isnan(result[1]).all()
    assert np.isfinite(result[[0, 2]]).all()


MANAGEMENTS = list(
    itertools.product(
        (
            NoiseManagementType.NONE,
            NoiseManagementType.ABS_MAX,
            NoiseManagementType.MAX,
            NoiseManagementType.CONSTANT,
        ),
        (BoundManagementType.NONE, BoundManagementType.ITERATIVE),
        (0.0, 12.0),
    )
)


@pytest.mark.parametrize(("noise", "bound", "out_bound"), MANAGEMENTS)
@pytest.mark.parametrize("noisy", [False, True])
def test_finite_in_gives_finite_out(noise, bound, out_bound, noisy):
    io = IOParameters(
        noise_management=noise,
        bound_management=bound,
        out_bound=out_bound,
        inp_noise=0.1 * noisy,
        inp_sto_round=noisy,
        out_sto_round=noisy,
    )
    tile = AnalogTile(40, 70, SingleRPUConfig(forward=io, backward=io), rng=1)
    sizes = [0.0, 1e-45, 1e-40, 1.2e-38, 1e-30, 1e-10, 1.0, 1e10, 1e20, 1e30]
    signs = np.where(np.random.default_rng(2).random((len(sizes), 70)) < 0.5, -1, 1)
    x = signs * np.array(sizes)[:, None]
    assert np.isfinite(tile.forward(x)).all()
    assert np.isfinite(tile.backward(x[:, :40])).all()
    # Mixed sizes in one vector, too.
    assert np.isfinite(tile.forward(np.resize(sizes, 70))).all()
    # Beyond that, calls return, whatever the result; 1e38 is a number, too.
    tile.forward(np.full((2, 70), 1e38))
    tile.backward(np.full((2, 40), -3e38))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("x_size", "d_size"),
    [
        (1e38, 1e38),
        (1e38, 1e-38),
        (1e-45, 1e-45),
        (1e-45, 1e38),
        (0.0, 1e38),
        (1e-40, 1),
    ],
)
def test_updates_by_absurd_numbers_return_and_stay_within_bounds(kind, x_size, d_size):
    tile = made(kind)
    x = np.sign(vectors(tile, "x", 4)) * x_size
    d = np.sign(vectors(tile, "d", 4)) * d_size
    try:
        tile.update(x, d)
    except ValueError as error:
        # Errors divided by small scales may be no numbers any more.
        assert "d_input must be finite" in str(error)
    parameters = tile.get_hidden_parameters()
    weights = tile.tile.get_weights()
    if not parameters:
        return
    weights = parameters.get("persistent_weights", weights)
    assert (weights <= parameters["max_bound"]).all()
    assert (weights >= parameters["min_bound"]).all()


@pytest.mark.parametrize("kind", ANALOG)
def test_tiny_inputs_count_as_zero(kind):
    tile = made(kind)
    x = vectors(tile, "x", 3)
    y = tile.forward(np.sign(x) * np.float32(1e-39))
    if not tile.analog_bias and tile.bias is None:
        assert not y.any()
    else:
        assert np.isfinite(y).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1e-45, 1e-38, 0.0, 1e30, 3e38])
def test_weights_of_any_size_can_be_written(kind, size):
    tile = made(kind)
    weight = np.full((OUT, IN), size)
    bias = np.zeros(OUT) if tile.analog_bias else None
    if size > 1e38 and tile.rpu_config.mapping.weight_scaling_omega:
        message = "weight_scaling_omega must not be so small"
        with unchanged(tile), pytest.raises(ValueError, match=message):
            tile.set_weights(weight, bias)
        return
    tile.set_weights(weight, bias)
    assert np.isfinite(tile.tile.get_weights()).all()
    assert np.isfinite(tile.forward(vectors(tile, "x", 2))).all() or size > 1e30
    tile.copy()


@pytest.mark.parametrize("kind", ["constant", "soft", "linear"])
@pytest.mark.parametrize("value", [1e38, -1e38, 0.0, 1e-45])
def test_hidden_parameters_of_any_size_leave_finite_weights(kind, value):
    for name in made(kind).get_hidden_parameters():
        tile = made(kind)
        parameters = tile.get_hidden_parameters()
        parameters[name] = np.full_like(parameters[name], value)
        tile.set_hidden_parameters(parameters)
        tile.forward(vectors(tile, "x", 2))
        tile.decay_weights()
        tile.diffuse_weights()
        assert not np.isnan(tile.tile.get_weights()).any(), name


# ---- beyond what float32 holds -----------------------------------------------------


PULSED = [
    kind
    for kind in PulseType
    if kind not in (PulseType.NONE, PulseType.NONE_WITH_DEVICE)
]
WIDE = ConstantStepDevice(dw_min=1.0, w_max=3.0, w_min=-3.0)


def cell(device):
    kind = UnitCellRPUConfig
    if isinstance(device, MixedPrecisionCompound):
        kind = DigitalRankUpdateRPUConfig
    return AnalogTile(OUT, IN, kind(device=device), rng=3)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("out_noise_values", {"out_noise": 1e30, "out_noise_std": 1e30}),
        ("out_nonlinearity", {"out_nonlinearity": 1e30, "out_nonlinearity_std": 1e30}),
        ("out_nonlinearity_factor", {"out_nonlinearity": 1e30}),
        ("v_offset", {"v_offset_std": 3e38}),
        ("w_asymmetry", {"w_read_asymmetry_dtod": 3e38}),
    ],
)
def test_lines_that_are_not_finite_are_refused(direction, name, fields):
    # They would give a tile that could not be saved.
    io = IOParameters(
        **fields, slope_calibration=1.0, mv_type=AnalogMVType.POS_NEG_SEPARATE
    )
    config = SingleRPUConfig(**{direction: io})
    with pytest.raises(ConfigError, match=f"{direction} must give finite.* got {name}"):
        AnalogTile(30, 40, config, rng=1)


@pytest.mark.parametrize(
    "device",
    [
        VectorUnitCell(unit_cell_devices=[WIDE, WIDE], gamma_vec=[3e38, 3e38]),
        TransferCompound(unit_cell_devices=[WIDE, WIDE], gamma=3e38),
        MixedPrecisionCompound(device=ConstantStepDevice()),
    ],
)
def test_a_sum_that_overflowed_can_be_copied(device):
    tile = cell(device)
    tile.set_weights(np.full((OUT, IN), 3.0))
    tile.set_learning_rate(1e30)
    for _ in range(3):
        tile.update(np.full(IN, 1e30), np.full(OUT, -1e30))
    held = [tile.tile.get_weights(), *tile.get_hidden_parameters().values()]
    assert not all(np.isfinite(values).all() for values in held)
    assert fingerprint(tile.copy()) == fingerprint(tile)


def test_write_noise_that_overflows_can_be_copied():
    device = SoftBoundsDevice(dw_min=1.0, write_noise_std=3e38)
    tile = AnalogTile(OUT, IN, SingleRPUConfig(device=device), rng=1)
    assert not np.isfinite(tile.tile.get_weights()).all()
    assert fingerprint(tile.copy()) == fingerprint(tile)


@pytest.mark.parametrize("size", [1e30, 1e-30])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (BufferedTransferCompound, {}),
        (ChoppedTransferCompound, {"auto_scale": True}),
        (
            ChoppedTransferCompound,
            {"auto_scale": True, "correct_gradient_magnitudes": True},
        ),
        (ChoppedTransferCompound, {"correct_gradient_magnitudes": True}),
        (
            DynamicTransferCompound,
            {"auto_scale": True, "correct_gradient_magnitudes": True},
        ),
    ],
)
def test_inputs_of_any_size_leave_buffers_finite(kind, fields, size):
    devices = [ConstantStepDevice(), ConstantStepDevice()]
    tile = cell(
        kind(unit_cell_devices=devices, fast_lr=1.0, units_in_mbatch=False, **fields)
    )
    for rate in (0.1, 1e-30, 1e30):
        tile.set_learning_rate(rate)
        x, d = vectors(tile, "x", 4), vectors(tile, "d", 4)
        x[:, 1] = d[:, 0] = 0.0
        tile.update(x * np.float32(size), d * np.float32(size))
        for name, values in tile.tile.state()[1].items():
            assert np.isfinite(values).all(), name
    tile.copy()


def test_weights_beyond_the_range_of_a_gain_are_clipped():
    # A careful caller makes errors of NumPy's warnings; parts had changed by then.
    devices = [ConstantStepDevice(), ConstantStepDevice()]
    tile = cell(TransferCompound(unit_cell_devices=devices, gamma_vec=[1.0, 1e-30]))
    with np.errstate(all="raise"):
        tile.tile.set_weights(np.full((OUT, IN), 1e30, dtype=np.float32))
    last = tile.get_hidden_parameters()
    assert (last["hidden_weights_1"] == last["max_bound_1"]).all()


@pytest.mark.parametrize("res", [0.0, -1.0])
@pytest.mark.parametrize("mv_type", [AnalogMVType.ONE_PASS, AnalogMVType.BIT_WISE])
def test_an_exact_product_needs_no_levels(res, mv_type):
    io = IOParametersIRDropT(is_perfect=True, inp_res=res, mv_type=mv_type)
    tile = AnalogTile(OUT, IN, SingleRPUConfig(forward=io), rng=1)
    exact = AnalogTile(
        OUT, IN, SingleRPUConfig(forward=IOParameters(is_perfect=True)), rng=1
    )
    x = vectors(tile, "x", 3)
    assert np.array_equal(tile.forward(x), exact.forward(x))


@pytest.mark.parametrize("res", [1e-8, 1e-45, 1e30, 3e38])
def test_more_levels_than_are_counted_are_refused(res):
    io = IOParametersIRDropT(inp_res=res)
    with pytest.raises(ConfigError, match=r"at most 2\*\*24 steps, got"):
        AnalogTile(OUT, IN, SingleRPUConfig(forward=io), rng=1)


@pytest.mark.parametrize("out_size", [1, 3, 16])
@pytest.mark.parametrize("kind", PULSED)
def test_lines_of_zero_get_no_pulses_at_any_rate(kind, out_size):
    # Neither do those that fill up the lanes of a vector.
    config = SingleRPUConfig(
        device=ConstantStepDevice(), update=UpdateParameters(pulse_type=kind)
    )
    tile = AnalogTile(out_size, 19, config, rng=1)
    tile.set_learning_rate(3e38)
    before = tile.tile.get_weights()
    x, d = np.zeros(19), np.zeros(out_size)
    x[3] = d[0] = 1e-3
    tile.update(x, d)
    tile.update(x * 1e3, d * 1e3)
    changed = tile.tile.get_weights() != before
    assert changed[0, 3] and changed.sum() == 1
    weights = tile.events()["weights"]
    assert weights.pulses_up == 0 and weights.pulses_down <= weights.slots
