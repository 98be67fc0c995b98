"""Random calls with random arguments: errors leave the tile alone, nothing crashes."""

import numpy as np
from bad_input_tools import IN, OUT, TILES, fingerprint, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: As many examples as the profile asks for.
patient = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

numbers = st.one_of(
    st.floats(-2, 2, width=32),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 1e-30, 1e30, 1e38, -3e38, 1e300]),
)
integers = st.one_of(
    st.integers(-8, 8), st.sampled_from([2**31, -(2**63), 2**64, 10**30])
)
nonsense = st.sampled_from(
    [None, "x", b"1", 1j, object(), [], [[]], {}, np.nan, True, [None], (1, 2), 10**39]
)
dtypes = st.sampled_from(
    ["f4", "f8", "f2", "g", ">f4", ">f8", "i4", "i8", "u1", "?", "c8", "O", "U3"]
)
dims = st.sampled_from([0, 1, 2, OUT - 1, OUT, IN, IN, OUT, IN + 1])


@st.composite
def arrays(draw, size):
    """Draw an array, of the right shape more often than not."""
    shape = draw(
        st.one_of(
            st.sampled_from([(size,), (1, size), (2, size), (size, 2), (0, size)]),
            st.sampled_from([(OUT, IN), (OUT, IN + 1), (OUT,), (2, 2, size)]),
            st.lists(dims, max_size=3).map(tuple),
        )
    )
    dtype = draw(dtypes) if draw(st.booleans()) else "f4"
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = generator.normal(size=shape)
    if array.size and draw(st.booleans()):
        array.flat[generator.integers(array.size)] = draw(numbers)
    with np.errstate(all="ignore"):
        try:
            array = array.astype(dtype)
        except (ValueError, OverflowError):
            pass
    if array.ndim and draw(st.booleans()):
        array = array[:: draw(st.sampled_from([1, -1, 2]))]
    if draw(st.booleans()):
        array = array.T
    return array


def mostly(strategy):
    return st.one_of(strategy, strategy, strategy, nonsense)


x_arrays, d_arrays = mostly(arrays(IN)), mostly(arrays(OUT))
weights = mostly(arrays(IN))
real, whole, flag = mostly(numbers), mostly(integers), mostly(st.booleans())

#: Method -> strategies of its positional arguments.
METHODS = {
    "forward": (x_arrays,),
    "backward": (d_arrays,),
    "update": (x_arrays, d_arrays),
    "post_update_step": (),
    "train": (flag,),
    "set_weights": (
        weights,
        st.one_of(st.none(), d_arrays),
        flag,
        st.just(False),
        real,
    ),
    "get_weights": (flag,),
    "read_weights": (flag, st.one_of(st.none(), x_arrays)),
    "remap_weights": (real,),
    "set_learning_rate": (real,),
    "set_mapping_scales": (st.one_of(real, d_arrays),),
    "decay_weights": (real,),
    "diffuse_weights": (),
    "drift_weights": (real,),
    "reset_columns": (whole, whole, real),
    "reset": (real,),
    "clip_weights": (real,),
    "set_hidden_parameters": (st.dictionaries(st.text(max_size=3), real, max_size=2),),
    # 10**39 tiles would be built, which takes a while.
    "spawn": (mostly(st.integers(-2, 2)).filter(lambda n: n != 10**39),),
}
call = st.sampled_from(sorted(METHODS)).flatmap(
    lambda name: st.tuples(st.just(name), st.tuples(*METHODS[name]))
)
REFUSALS = (TypeError, ValueError, NotImplementedError)


def within_bounds(tile):
    parameters = tile.get_hidden_parameters()
    if not parameters:
        return True
    weights = parameters.get("persistent_weights", tile.tile.get_weights())
    return bool(
        (weights <= parameters["max_bound"]).all()
        and (weights >= parameters["min_bound"]).all()
    )


@patient
@given(st.sampled_from(sorted(TILES)), st.lists(call, min_size=1, max_size=8))
def test_random_calls(kind, sequence):
    tile = made(kind)
    for name, arguments in sequence:
        before = fingerprint(tile)
        try:
            getattr(tile, name)(*arguments)
        except REFUSALS as error:
            assert str(error), name
            assert fingerprint(tile) == before, (name, arguments)
        assert within_bounds(tile), (name, arguments)


@patient
@given(
    st.sampled_from(["constant", "soft", "ideal"]),
    st.lists(call, min_size=1, max_size=6),
)
def test_failed_calls_do_not_change_what_follows(kind, sequence):
    # The same calls without those that fail give the same tile.
    tile = made(kind)
    kept = []
    for name, arguments in sequence:
        try:
            getattr(tile, name)(*arguments)
        except REFUSALS:
            continue
        kept.append((name, arguments))
    twin = made(kind)
    for name, arguments in kept:
        getattr(twin, name)(*arguments)
    assert fingerprint(twin) == fingerprint(tile)
