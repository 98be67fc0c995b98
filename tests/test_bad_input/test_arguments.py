"""Every public call refuses what it cannot take, and then is as if never made."""

import datetime
import decimal
import tracemalloc

import numpy as np
import pytest
from bad_input_tools import IN, OUT, TILES, made, unchanged, vectors

from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    SimpleDriftParameter,
    SingleRPUConfig,
    UpdateParameters,
)
from rpupy.errors import ConfigError
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.core import CpuTile
from rpupy.tiles import AnalogTile, FloatingPointTile

KINDS = list(TILES)


class Unfriendly:
    """An object that fails when it is made an array."""

    def __array__(self, dtype=None, copy=None):
        raise ValueError("no array here")


#: Values that are no arrays of real numbers.
NO_NUMBERS = {
    "None": None,
    "object": object(),
    "objects": np.array([None, 1.0], dtype=object),
    "text": "abc",
    "bytes": b"abc",
    "texts": ["1", "2"],
    "complex": np.zeros((2, IN), dtype=np.complex64),
    "complex number": 1j,
    "dates": np.zeros(3, dtype="M8[s]"),
    "durations": np.zeros(3, dtype="m8[s]"),
    "date": datetime.date(2020, 1, 1),
    "records": np.zeros(3, dtype=[("a", "f4"), ("b", "f4")]),
    "raw bytes": np.zeros(3, dtype="V4"),
    "ragged": [[1.0, 2.0], [1.0]],
    "dict": {"a": 1},
    "set": {1.0, 2.0},
    "generator": (x for x in range(3)),
    "huge integers": [10**30] * IN,
    "decimals": [decimal.Decimal(1)] * IN,
    "unfriendly": Unfriendly(),
    "function": np.sin,
    "type": float,
}
NOT_FINITE = {
    "NaN": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "too large": 1e300,
    "just too large": 3.5e38,
    "huge integer": 10**39,
}


def x_of(tile):
    return vectors(tile, "x", 2)


def d_of(tile):
    return vectors(tile, "d", 2)


def weight_of(tile):
    return np.full((OUT, IN), 0.1)


def set_hidden(tile, value):
    parameters = tile.get_hidden_parameters()
    parameters["max_bound"] = value
    tile.set_hidden_parameters(parameters)


def bias_for(tile):
    return np.zeros(OUT) if tile.analog_bias else None


#: Name -> name of the argument, good value, call, and the kinds of tiles that have it.
ARRAYS = {
    "forward": ("x_input", x_of, lambda t, v: t.forward(v), KINDS),
    "call": ("x_input", x_of, lambda t, v: t(v), KINDS),
    "backward": ("d_input", d_of, lambda t, v: t.backward(v), KINDS),
    "update x": ("x_input", x_of, lambda t, v: t.update(v, d_of(t)), KINDS),
    "update d": ("d_input", d_of, lambda t, v: t.update(x_of(t), v), KINDS),
    "set_weights": (
        "weight",
        weight_of,
        lambda t, v: t.set_weights(v, bias_for(t)),
        KINDS,
    ),
    "set_weights, realistic": (
        "weight",
        weight_of,
        lambda t, v: t.set_weights(v, bias_for(t), realistic=True),
        KINDS,
    ),
    "set_weights, bias": (
        "bias",
        lambda t: np.zeros(OUT),
        lambda t, v: t.set_weights(weight_of(t), v),
        ["constant", "soft", "exact"],
    ),
    "bias": (
        "bias",
        lambda t: np.zeros(OUT),
        lambda t, v: setattr(t, "bias", v),
        ["constant", "exact"],
    ),
    "mapping_scales": (
        "mapping_scales",
        lambda t: np.ones(OUT),
        lambda t, v: setattr(t, "mapping_scales", v),
        KINDS,
    ),
    "set_scales": (
        "mapping_scales",
        lambda t: np.ones(1),
        lambda t, v: t.set_scales(v),
        KINDS,
    ),
    "hidden": (
        r"parameters\['max_bound'\]",
        lambda t: np.full((OUT, IN + t.analog_bias), 0.7),
        set_hidden,
        ["constant", "soft", "linear"],
    ),
    "read_weights": (
        "x_values",
        lambda t: np.eye(IN + 1, IN),
        lambda t, v: t.read_weights(x_values=v),
        KINDS,
    ),
    "program_weights": (
        "x_values",
        lambda t: np.eye(IN + 1, IN),
        lambda t, v: t.program_weights(x_values=v, max_iter=2),
        KINDS,
    ),
    "program_weights, start": (
        "w_init",
        lambda t: np.zeros((OUT, IN + t.analog_bias)),
        lambda t, v: t.program_weights(w_init=v, max_iter=2),
        KINDS,
    ),
    "core forward": (
        "x_input",
        lambda t: np.ones((2, IN + t.analog_bias)),
        lambda t, v: t.tile.forward(v),
        KINDS,
    ),
    "core backward": (
        "d_input",
        lambda t: np.ones((2, OUT)),
        lambda t, v: t.tile.backward(v),
        KINDS,
    ),
    "core set_weights": (
        "weights",
        lambda t: np.zeros((OUT, IN + t.analog_bias)),
        lambda t, v: t.tile.set_weights(v),
        KINDS,
    ),
}
CASES = [(kind, name) for name in ARRAYS for kind in ARRAYS[name][3]]
#: Calls in which None is no mistake.
OPTIONAL = (
    "set_weights, bias",
    "mapping_scales",
    "set_scales",
    "read_weights",
    "program_weights",
)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_good_values_are_good(kind, name):
    _, good, call, _ = ARRAYS[name]
    tile = made(kind)
    call(tile, good(tile))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_what_is_no_array_of_real_numbers_is_refused(kind, name):
    argument, _, call, _ = ARRAYS[name]
    tile = made(kind)
    for label, value in NO_NUMBERS.items():
        if value is None and name in OPTIONAL:
            if kind != "soft" or name != "set_weights, bias":
                continue
        wanted = TypeError
        if label == "None" and name == "set_weights, bias":
            wanted = ValueError  # an analog bias must be given
        if name == "program_weights, start" and label in ("ragged", "unfriendly"):
            continue  # the test below
        with unchanged(tile), pytest.raises(wanted, match=f"{argument} must") as info:
            call(tile, value)
        assert "got" in str(info.value) or "array" in str(info.value), label


def test_a_ragged_start_is_refused_by_name():
    tile = made("ideal")
    with unchanged(tile), pytest.raises(TypeError, match="w_init must be"):
        tile.program_weights(w_init=[[1.0, 2.0], [1.0]], max_iter=1)


def wrong_shapes(shape):
    yield ()
    yield (0,)
    for axis in range(len(shape)):
        for change in (-1, 1):
            wrong = list(shape)
            wrong[axis] += change
            yield tuple(wrong)
    yield (*shape, 1)
    yield (1, *shape)
    if len(set(shape)) > 1:
        yield shape[::-1]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_wrong_shapes_are_refused(kind, name):
    argument, good, call, _ = ARRAYS[name]
    tile = made(kind)
    for shape in wrong_shapes(np.shape(good(tile))):
        # Any batch shape is fine; a number stands for all scales or a range of weights.
        free = name.startswith(("forward", "call", "backward", "core f", "core b"))
        first = name in ("forward", "call") and tile.in_trans
        first |= name == "backward" and tile.out_trans
        size = OUT if "backward" in name else IN + tile.analog_bias * ("core" in name)
        if free and shape and shape[0 if first else -1] == size:
            continue
        if shape == () and "scales" in name:
            continue
        if shape == () and name == "program_weights, start":
            continue
        if name in ("mapping_scales", "set_scales") and shape in ((1,), (OUT,)):
            continue
        if name in ("read_weights", "program_weights"):
            enough = name == "program_weights" or shape[:1] >= (IN + 1,)
            if len(shape) == 2 and shape[1] == IN and shape[0] > 0 and enough:
                continue
            if len(shape) == 2 and shape[1] == IN and not tile.analog_bias:
                continue
        # Other vectors than there are in d_input: the error is about that.
        names = "[xd]_input" if "update" in name else argument
        with unchanged(tile), pytest.raises(ValueError, match=f"{names} must .*got"):
            call(tile, np.full(shape, 0.5, dtype=np.float32))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_numbers_that_are_not_finite_are_refused_or_documented(kind, name):
    argument, good, call, _ = ARRAYS[name]
    tile = made(kind)
    if name in ("forward", "call", "backward", "core forward", "core backward"):
        return  # NaN in all outputs of that vector: test_values.py
    for value in NOT_FINITE.values():
        array = np.array(good(tile), dtype=np.float64)
        array[(-1,) * array.ndim] = value
        with (
            unchanged(tile),
            pytest.raises(ValueError, match=f"{argument} must .*fini"),
        ):
            call(tile, array)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_masked_elements_are_refused(kind, name):
    argument, good, call, _ = ARRAYS[name]
    tile = made(kind)
    values = np.array(good(tile), dtype=np.float32)
    mask = np.zeros(values.shape, dtype=bool)
    mask[(-1,) * mask.ndim] = True
    message = f"{argument} must have no masked elements, got 1"
    with unchanged(tile), pytest.raises(ValueError, match=message):
        call(tile, np.ma.masked_array(values, mask))


# ---- sizes that do not go together -------------------------------------------------


@pytest.mark.parametrize("kind", ["constant", "soft", "ideal", "exact"])
@pytest.mark.parametrize(
    ("x_shape", "d_shape"),
    [
        ((2,), (3,)),
        ((2,), ()),
        ((), (2,)),
        ((1,), ()),
        ((2, 3), (3, 2)),
        ((2, 3), (6,)),
        ((0,), (2,)),
        ((2, 0), (0, 2)),
    ],
)
def test_leading_shapes_must_agree(kind, x_shape, d_shape):
    tile = made(kind)
    message = "d_input must have the leading shape of x_input"
    with unchanged(tile), pytest.raises(ValueError, match=message):
        tile.update(np.ones((*x_shape, IN)), np.ones((*d_shape, OUT)))


@pytest.mark.parametrize("kind", KINDS)
def test_biases_that_a_tile_lacks_are_refused(kind):
    tile = made(kind)
    if tile.digital_bias:
        return
    with unchanged(tile), pytest.raises(ValueError, match="bias must be None"):
        tile.bias = np.zeros(OUT)
    if not tile.analog_bias:
        with unchanged(tile), pytest.raises(ValueError, match="bias must be None"):
            tile.set_weights(weight_of(tile), np.zeros(OUT))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, -1.0, -0.0, 1e-50, [1.0, 0.0, 1.0]])
def test_scales_that_are_not_positive_are_refused(kind, value):
    tile = made(kind)
    message = "mapping_scales must be finite and above 0, got"
    with unchanged(tile), pytest.raises(ValueError, match=message):
        tile.set_mapping_scales(value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("omega", [1e-44, 1e-46, 1e-300])
def test_omegas_that_make_scales_overflow_are_refused(kind, omega):
    tile = made(kind)
    message = "weight_scaling_omega must not be so small"
    with unchanged(tile), pytest.raises(ValueError, match=message):
        tile.remap_weights(omega)


@pytest.mark.parametrize("kind", ["constant", "soft", "linear"])
def test_hidden_parameters_must_have_the_right_names(kind):
    tile = made(kind)
    parameters = tile.get_hidden_parameters()
    less = dict(list(parameters.items())[1:])
    for wrong in (less, {**parameters, "other": 1.0}, {"other": 1.0}):
        with unchanged(tile), pytest.raises(ValueError, match="parameters must have"):
            tile.set_hidden_parameters(wrong)
    with unchanged(tile):
        tile.set_hidden_parameters({})


@pytest.mark.parametrize("kind", ["ideal", "exact"])
def test_exact_devices_have_no_hidden_parameters(kind):
    tile = made(kind)
    assert tile.get_hidden_parameters() == {}
    with unchanged(tile), pytest.raises(ValueError, match="parameters must have"):
        tile.set_hidden_parameters({"max_bound": np.ones((OUT, IN))})


# ---- out ---------------------------------------------------------------------------


def bad_outs(good):
    read_only = good.copy()
    read_only.flags.writeable = False
    wide = np.zeros((*good.shape[:-1], 2 * good.shape[-1]), dtype=np.float32)
    yield good.tolist(), TypeError
    yield 1.0, TypeError
    yield "out", TypeError
    yield np.ndarray, TypeError
    yield good.astype(np.float64), TypeError
    yield good.astype(np.float16), TypeError
    yield good.astype(np.int32), TypeError
    yield good.astype(good.dtype.newbyteorder()), TypeError
    yield read_only, ValueError
    yield wide[..., ::2], ValueError
    yield good[::-1], ValueError
    yield np.asfortranarray(good), ValueError
    yield np.broadcast_to(good[:1, :1], good.shape), ValueError
    yield good.ravel(), ValueError
    yield np.zeros((9, *good.shape[1:]), dtype=np.float32), ValueError
    yield np.zeros(0, dtype=np.float32), ValueError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["forward", "backward"])
def test_out_must_be_a_place_for_the_result(kind, method):
    tile = made(kind)
    given = vectors(tile, "x" if method == "forward" else "d", 4)
    good = getattr(made(kind), method)(given)
    for out, error in bad_outs(good):
        with unchanged(tile), pytest.raises(error, match=r"out must (be|have)"):
            getattr(tile, method)(given, out=out)


# ---- scalars -----------------------------------------------------------------------


NO_SCALARS = {
    "text": "1",
    "bytes": b"1",
    "list": [1.0],
    "array": np.array([1.0]),
    "complex": 1j,
    "True": True,
    "numpy True": np.True_,
    "None": None,
    "decimal": decimal.Decimal(1),
    "object": object(),
    "type": float,
}
#: What `real_number` should refuse by a TypeError about the argument, and does not.
ZERO_D = {
    "0-d text": np.array("1"),
    "0-d word": np.array("a"),
    "0-d bool": np.array(True),
    "0-d complex": np.array(1 + 0j),
    "0-d object": np.array(None, dtype=object),
}
#: Name -> argument, call, kinds of tiles.
REALS = {
    "learning rate": ("learning_rate", lambda t, v: t.set_learning_rate(v), KINDS),
    "core learning rate": (
        "learning_rate",
        lambda t, v: t.tile.set_learning_rate(v),
        KINDS,
    ),
    "decay": ("alpha", lambda t, v: t.decay_weights(v), KINDS),
    "drift": ("delta_t", lambda t, v: t.drift_weights(v), KINDS),
    "clip": ("limit", lambda t, v: t.clip_weights(v), KINDS),
    "reset": (
        "reset_prob",
        lambda t, v: t.reset(v),
        ["constant", "soft", "linear", "ideal"],
    ),
    "omega": (
        "weight_scaling_omega",
        lambda t, v: t.set_weights(weight_of(t), bias_for(t), weight_scaling_omega=v),
        KINDS,
    ),
    "remap": ("weight_scaling_omega", lambda t, v: t.remap_weights(v), KINDS),
    "program rate": (
        "learning_rate",
        lambda t, v: t.program_weights(learning_rate=v, max_iter=1),
        KINDS,
    ),
    "program tolerance": (
        "tolerance",
        lambda t, v: t.program_weights(tolerance=v, max_iter=1),
        KINDS,
    ),
    "program start": (
        "w_init",
        lambda t, v: t.program_weights(w_init=v, max_iter=1),
        KINDS,
    ),
    "uniform low": (
        "low",
        lambda t, v: t.tile.set_weights_uniform_random(v, 1.0),
        KINDS,
    ),
    "uniform high": (
        "high",
        lambda t, v: t.tile.set_weights_uniform_random(-1.0, v),
        KINDS,
    ),
}
REAL_CASES = [(kind, name) for name in REALS for kind in REALS[name][2]]
#: Calls in which None is no mistake.
MAY_BE_NONE = ("learning rate", "omega", "remap")


@pytest.mark.parametrize(("kind", "name"), REAL_CASES)
def test_what_is_no_real_number_is_refused(kind, name):
    argument, call, _ = REALS[name]
    tile = made(kind)
    for label, value in NO_SCALARS.items():
        if value is None and name in MAY_BE_NONE:
            continue
        if name == "program start" and label in ("list", "array"):
            continue
        with unchanged(tile), pytest.raises(TypeError, match=f"{argument} must be"):
            call(tile, value)


@pytest.mark.parametrize("label", ZERO_D)
def test_zero_dimensional_arrays_of_other_types_are_refused(label):
    tile = made("constant")
    message = "learning_rate must be a real number"
    with unchanged(tile), pytest.raises(TypeError, match=message):
        tile.set_learning_rate(ZERO_D[label])


@pytest.mark.parametrize(("kind", "name"), REAL_CASES)
def test_numbers_that_are_not_finite_are_refused(kind, name):
    argument, call, _ = REALS[name]
    tile = made(kind)
    for value in (np.nan, np.inf, -np.inf, 1e300, np.float64(3.5e38), 10**39):
        with unchanged(tile), pytest.raises(ValueError, match=f"{argument} must be"):
            call(tile, value)


def test_integers_beyond_float64_are_refused_like_others():
    tile = made("constant")
    with (
        unchanged(tile),
        pytest.raises(ValueError, match="learning_rate must be finite"),
    ):
        tile.set_learning_rate(10**400)


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        ("drift", -1.0, KINDS),
        ("drift", -1e-30, KINDS),
        ("reset", -0.1, REALS["reset"][2]),
        ("reset", 1.0001, REALS["reset"][2]),
        ("program tolerance", -1.0, KINDS),
        ("uniform low", 1.5, KINDS),
        ("uniform high", -1.5, KINDS),
    ],
)
def test_numbers_out_of_range_are_refused(name, value, kinds):
    argument, call, _ = REALS[name]
    for kind in kinds:
        tile = made(kind)
        with unchanged(tile), pytest.raises(ValueError, match=r"must|\[0, 1\]") as info:
            call(tile, value)
        assert argument in str(info.value)
        assert str(value) in str(info.value)


INTEGERS = {
    "reset start": (
        "start_column_idx",
        lambda t, v: t.reset_columns(v),
        ["constant", "soft", "ideal"],
    ),
    "reset number": (
        "num_columns",
        lambda t, v: t.reset_columns(0, v),
        ["constant", "soft", "ideal"],
    ),
    "over_sampling": (
        "over_sampling",
        lambda t, v: t.read_weights(over_sampling=v),
        KINDS,
    ),
    "max_iter": ("max_iter", lambda t, v: t.program_weights(max_iter=v), KINDS),
    "spawn": ("n", lambda t, v: t.spawn(v), KINDS),
    "size": ("out_size", lambda t, v: type(t)(v, IN), ["constant", "exact"]),
    "in size": ("in_size", lambda t, v: type(t)(OUT, v), ["constant", "exact"]),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for name in INTEGERS for kind in INTEGERS[name][2]]
)
def test_what_is_no_integer_is_refused(kind, name):
    argument, call, _ = INTEGERS[name]
    tile = made(kind)
    for value in (*NO_SCALARS.values(), 1.0, np.float32(2), np.nan, np.array(3)):
        with unchanged(tile), pytest.raises(TypeError, match=f"{argument} must be an"):
            call(tile, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("over_sampling", 0),
        ("over_sampling", -1),
        ("max_iter", -1),
        ("spawn", -1),
        ("size", 0),
        ("size", -3),
        ("in size", 0),
        ("in size", -(10**30)),
    ],
)
def test_integers_out_of_range_are_refused(name, value):
    argument, call, kinds = INTEGERS[name]
    for kind in kinds:
        tile = made(kind)
        with (
            unchanged(tile),
            pytest.raises(ValueError, match=f"{argument} must") as info,
        ):
            call(tile, value)
        assert str(value) in str(info.value)


FLAGS = {
    "train": ("mode", lambda t, v: t.train(v)),
    "set_weights scaling": (
        "apply_weight_scaling",
        lambda t, v: t.set_weights(weight_of(t), bias_for(t), v),
    ),
    "set_weights realistic": (
        "realistic",
        lambda t, v: t.set_weights(weight_of(t), bias_for(t), realistic=v),
    ),
    "get_weights scaling": ("apply_weight_scaling", lambda t, v: t.get_weights(v)),
    "get_weights realistic": ("realistic", lambda t, v: t.get_weights(realistic=v)),
    "read_weights": ("apply_weight_scaling", lambda t, v: t.read_weights(v)),
    "program_weights": ("from_reference", lambda t, v: t.program_weights(v)),
    "bias": ("bias", lambda t, v: type(t)(OUT, IN, bias=v)),
    "in_trans": ("in_trans", lambda t, v: type(t)(OUT, IN, in_trans=v)),
    "out_trans": ("out_trans", lambda t, v: type(t)(OUT, IN, out_trans=v)),
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("kind", ["soft", "exact"])
def test_flags_are_true_or_false(kind, name):
    argument, call = FLAGS[name]
    tile = made(kind)
    for value in (0, 1, 1.0, "True", None, [], np.array([True])):
        with (
            unchanged(tile),
            pytest.raises(TypeError, match=f"{argument} must be True"),
        ):
            call(tile, value)


# ---- construction ------------------------------------------------------------------


@pytest.mark.parametrize("cls", [AnalogTile, FloatingPointTile])
@pytest.mark.parametrize(
    ("out_size", "in_size"),
    [
        (2**16, 2**16),
        (2**32, 1),
        (1, 2**32),
        (2**33, 2**33),
        (10**30, 3),
        (np.int32(2**17), np.int32(2**17)),
    ],
)
def test_too_many_crosspoints_are_refused_before_anything_is_allocated(
    cls, out_size, in_size
):
    tracemalloc.start()
    try:
        message = r"must be below 2\*\*3(1|2 crosspoints), got"
        with pytest.raises(ValueError, match=message):
            cls(out_size, in_size, rng=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10**6


def test_an_analog_bias_counts_as_a_column():
    config = SingleRPUConfig()
    config.mapping.digital_bias = False
    with pytest.raises(ValueError, match=r"2\*\*32 crosspoints, got 65536 \* 65536"):
        AnalogTile(2**16, 2**16 - 1, config, bias=True)


@pytest.mark.parametrize(
    "config",
    [
        FloatingPointRPUConfig(),
        SingleRPUConfig,
        ConstantStepDevice(),
        {"device": "x"},
        "SingleRPUConfig",
        3,
    ],
)
def test_configurations_of_another_kind_are_refused(config):
    with pytest.raises(
        TypeError, match="rpu_config must be a configuration for Analog"
    ):
        AnalogTile(OUT, IN, config)


def test_configurations_that_are_not_legal_are_refused():
    config = SingleRPUConfig()
    config.forward.inp_bound = 2.0
    with pytest.raises(ConfigError, match=r"inp_bound must be 1\.0 with noise"):
        AnalogTile(OUT, IN, config)
    device = FloatingPointDevice()
    with pytest.raises(ConfigError):
        AnalogTile(OUT, IN, SingleRPUConfig(device=device))


@pytest.mark.parametrize("rng", [1.5, "1", True, [1], np.zeros(2), np.random.PCG64(1)])
def test_seeds_of_a_wrong_type_are_refused(rng):
    with pytest.raises(TypeError, match="rng must be None, an int"):
        AnalogTile(OUT, IN, rng=rng)


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="rng must not be negative, got -1"):
        AnalogTile(OUT, IN, rng=-1)


def test_core_tiles_check_their_sizes_too():
    config = frozen_copy(SingleRPUConfig())
    seed = np.random.SeedSequence(0)
    for size in (0, -1):
        with pytest.raises(ValueError, match="out_size must be at least 1"):
            CpuTile(size, 3, config, seed)
    for size in (1.0, "2", None, True):
        with pytest.raises(TypeError, match="in_size must be an integer"):
            CpuTile(3, size, config, seed)


# ---- absurd parameters -------------------------------------------------------------


def test_trains_that_are_too_long_are_refused_when_they_are_asked_for():
    config = SingleRPUConfig(
        device=ConstantStepDevice(dw_min=1e-4),
        update=UpdateParameters(fixed_bl=False, update_bl_management=False),
    )
    tile = AnalogTile(OUT, IN, config, rng=0)
    x, d = np.ones((1, IN)), np.ones((1, OUT))
    tile.set_learning_rate(1e-4 * 31 * 8192 * 0.999)
    tile.update(x, d)
    for rate in (26.0, -26.0, 1e38):
        tile.set_learning_rate(rate)
        message = "learning rate must ask for pulse trains of at most 253952 slots"
        with unchanged(tile), pytest.raises(ValueError, match=message):
            tile.update(x, d)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [1e38, -1e38, 1e-38, 1e-44, 1e-300, -1e-300])
def test_absurd_learning_rates_terminate_within_bounds(kind, rate):
    tile = made(kind)
    tile.set_learning_rate(rate)
    x, d = vectors(tile, "x", 4), vectors(tile, "d", 4)
    tile.update(x * 1e-30, d)
    assert np.isfinite(tile.get_weights()[0]).all()


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, -(2**63), 7, -1])
def test_columns_are_counted_modulo_their_number(number):
    tile, twin = made("constant"), made("constant")
    tile.reset_columns(number, 2)
    twin.reset_columns(number % IN, 2)
    assert (tile.get_weights()[0] == twin.get_weights()[0]).all()
    tile.reset_columns(0, abs(number))
    twin.reset_columns(0, min(abs(number), IN))
    assert (tile.get_weights()[0] == twin.get_weights()[0]).all()


def test_floating_point_devices_have_no_reset():
    tile = made("exact")
    with unchanged(tile), pytest.raises(NotImplementedError, match="has no reset"):
        tile.reset()
    with unchanged(tile), pytest.raises(NotImplementedError, match="has no reset"):
        tile.reset_columns(0, 1, 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_line_parameters_that_are_not_there_are_refused(kind):
    tile = made(kind)
    with unchanged(tile):
        tile.set_forward_parameters({})
        tile.set_backward_parameters()
        for call in (tile.set_forward_parameters, tile.set_backward_parameters):
            with pytest.raises(ValueError, match="got 'out_noise_values'"):
                call({"out_noise_values": np.ones(OUT)})
            with pytest.raises(ValueError, match="parameters must have names"):
                call(v_offset=np.ones(OUT))


def drifting(nu, t_0):
    return SingleRPUConfig(
        device=ConstantStepDevice(drift=DriftParameter(nu=nu, t_0=t_0))
    )


def test_drift_over_absurd_times_is_finite():
    exact = FloatingPointDevice(drift=SimpleDriftParameter(nu=0.1, t_0=1e-30))
    for tile in (
        AnalogTile(OUT, IN, drifting(0.1, 1e-30), rng=0),
        FloatingPointTile(OUT, IN, FloatingPointRPUConfig(device=exact), rng=0),
    ):
        for _ in range(3):
            tile.drift_weights(3e38)
            assert np.isfinite(tile.get_weights()[0]).all()
            tile.set_weights(np.full((OUT, IN), 0.5))


def test_tiles_with_an_overflowed_drift_clock_can_be_copied():
    tile = AnalogTile(OUT, IN, drifting(0.1, 1e-30), rng=0)
    tile.drift_weights(3e38)
    tile.set_weights(np.full((OUT, IN), 0.3))
    tile.drift_weights(3e38)
    tile.copy()


def test_tiles_whose_weights_overflowed_can_be_copied():
    tile = FloatingPointTile(OUT, IN, rng=0)
    tile.set_learning_rate(1e38)
    tile.update(np.full((1, IN), 1e38), np.full((1, OUT), 1e38))
    tile.copy()


def test_a_range_wider_than_float32_is_refused():
    tile = FloatingPointTile(OUT, IN, rng=0)
    with unchanged(tile), pytest.raises(ValueError, match="high - low must be finite"):
        tile.tile.set_weights_uniform_random(-3e38, 3e38)


# ---- errors that the caller makes of NumPy's warnings --------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_overflow_that_the_caller_makes_an_error(kind, training):
    tile = made(kind).train(training)
    tile.set_mapping_scales(3e38)
    x, d = 4.0 * vectors(tile, "x", 6), 4.0 * vectors(tile, "d", 6)
    for call in (lambda: tile.forward(x), lambda: tile.backward(d)):
        with unchanged(tile), np.errstate(over="raise"):
            with pytest.raises(FloatingPointError):
                call()


@pytest.mark.parametrize("x_values", [None, np.cos(np.arange(6.0 * IN)).reshape(6, IN)])
def test_a_reading_that_fails_behind_the_product(x_values):
    tile = made("exact")
    tile.set_weights(np.full((OUT, IN), 1e-44))
    with unchanged(tile), np.errstate(all="raise"):
        with pytest.raises(FloatingPointError):
            tile.read_weights(x_values=x_values)
    tile.read_weights(x_values=x_values)


def test_a_reading_whose_scaling_fails():
    tile = made("constant")
    tile.set_mapping_scales(1e-38)
    with unchanged(tile), np.errstate(under="raise"):
        with pytest.raises(FloatingPointError, match="underflow"):
            tile.read_weights(apply_weight_scaling=True)


@pytest.mark.parametrize("field", ["w_max_dtod", "dw_min_dtod", "up_down_dtod"])
def test_devices_beyond_float32_are_refused(field):
    device = ConstantStepDevice(dw_min=1e3, **{field: 3e38})
    message = "ConstantStepDevice must give finite devices, got .* beyond"
    with pytest.raises(ConfigError, match=message):
        AnalogTile(OUT, IN, SingleRPUConfig(device=device), rng=1)
