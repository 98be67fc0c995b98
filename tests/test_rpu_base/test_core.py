"""The core tile: shapes, state, counters, and that nothing stale is ever shown."""

import copy
import gc
import itertools
import pickle
import threading
import weakref

import numpy as np
import pytest

import rpupy
from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    IdealDevice,
    IOParameters,
    LinearStepDevice,
    PulseType,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.errors import ConfigError, StateError
from rpupy.rpu_base import _cpu
from rpupy.rpu_base.core import CpuTile

FLAGS = list(itertools.product([False, True], repeat=3))
PERFECT = IOParameters(is_perfect=True)


def integers(shape, seed):
    """Small whole numbers, whose products and sums are exact."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def same(first, second):
    """Whether two states are equal, bit for bit."""
    meta, arrays = first
    other_meta, others = second
    return (
        meta == other_meta
        and list(arrays) == list(others)
        and all(
            arrays[name].dtype == others[name].dtype
            and arrays[name].shape == others[name].shape
            and arrays[name].tobytes() == others[name].tobytes()
            for name in arrays
        )
    )


def features_first(array):
    return np.moveaxis(array, -1, 0)


# ---- shapes ------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (2, 1, 3), (0,), (2, 0)])
@pytest.mark.parametrize(("in_trans", "out_trans", "bias"), FLAGS)
def test_shapes_flags_and_bias_against_plain_products(
    core, batch, in_trans, out_trans, bias
):
    out_size, in_size = 5, 7
    tile = core(out_size, in_size)
    weights = integers((out_size, in_size), 1)
    tile.set_weights(weights)
    x = integers((*batch, in_size - bias), 2)
    d = integers((*batch, out_size), 3)
    full = x
    if bias:
        full = np.concatenate((x, np.ones((*batch, 1), np.float32)), axis=-1)
    given_x = features_first(x) if in_trans else x
    given_d = features_first(d) if out_trans else d

    y = tile.forward(given_x, bias, in_trans, out_trans)
    expected = full @ weights.T
    np.testing.assert_array_equal(
        y, features_first(expected) if out_trans else expected
    )

    back = tile.backward(given_d, bias, in_trans, out_trans)
    expected = (d @ weights)[..., : in_size - bias]
    np.testing.assert_array_equal(
        back, features_first(expected) if in_trans else expected
    )
    for result in (y, back):
        assert result.dtype == np.float32
        assert result.flags.c_contiguous
        assert result.flags.writeable

    tile.set_learning_rate(0.5)
    tile.update(given_x, given_d, bias, in_trans, out_trans)
    gradient = d.reshape(-1, out_size).T @ full.reshape(-1, in_size)
    np.testing.assert_array_equal(tile.get_weights(), weights - 0.5 * gradient)


def test_bias_example_of_the_reference(core):
    tile = core(2, 3)
    tile.set_weights([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(tile.forward([1, 1], bias=True), [6, 15])
    np.testing.assert_array_equal(tile.backward([1, 0], bias=True), [1, 2])
    tile.set_learning_rate(1.0)
    tile.update([1, 2], [1, 0], bias=True)
    np.testing.assert_array_equal(tile.get_weights(), [[0, 0, 2], [4, 5, 6]])


def test_shapes_of_the_reference(core):
    tile = core(2, 3)
    assert tile.forward(np.ones((2, 5, 3))).shape == (2, 5, 2)
    assert tile.forward(np.ones(3)).shape == (2,)
    # One flag alone: batch shape from the input, features where the flag says.
    assert tile.forward(np.ones((3, 2, 5)), in_trans=True).shape == (2, 5, 2)
    assert tile.forward(np.ones((2, 5, 3)), out_trans=True).shape == (2, 2, 5)
    assert tile.backward(np.ones((2, 4)), out_trans=True).shape == (4, 3)
    assert tile.backward(np.ones((4, 2)), in_trans=True).shape == (3, 4)


def test_bias_passes_the_converters_like_any_input(core):
    # A converter of three steps rounds the scaled constant, too: 1 / 4 becomes 0.
    io = IOParameters(inp_res=0.5, out_bound=0.0, out_noise=0.0)
    tile = core(1, 2, IdealDevice(), forward=io)
    tile.set_weights([[0.0, 1.0]])
    assert tile.forward([4.0], bias=True) == 0.0
    assert tile.forward([1.0], bias=True) == 1.0


# ---- where the result goes ---------------------------------------------------------


@pytest.mark.parametrize(("in_trans", "out_trans", "bias"), FLAGS)
def test_out_takes_the_result_and_is_returned(core, in_trans, out_trans, bias):
    tile, twin = (core(4, 4, ConstantStepDevice(), seed=3) for _ in range(2))
    x = integers((6, 4 - bias), 1)
    x = np.ascontiguousarray(x.T) if in_trans else x
    expected = twin.forward(x, bias, in_trans, out_trans)
    out = np.full(expected.shape, np.nan, dtype=np.float32)
    assert tile.forward(x, bias, in_trans, out_trans, out=out) is out
    np.testing.assert_array_equal(out, expected)

    d = integers((6, 4), 2)
    d = np.ascontiguousarray(d.T) if out_trans else d
    expected = twin.backward(d, bias, in_trans, out_trans)
    out = np.full(expected.shape, np.nan, dtype=np.float32)
    assert tile.backward(d, bias, in_trans, out_trans, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert same(tile.state(), twin.state())


def test_out_may_be_the_input_or_overlap_it(core):
    tile = core(4, 4)
    tile.set_weights(integers((4, 4), 1))
    x = integers((6, 4), 2)
    expected = tile.forward(x)
    buffer = x.copy()
    assert tile.forward(buffer, out=buffer) is buffer
    np.testing.assert_array_equal(buffer, expected)

    memory = np.zeros((8, 4), dtype=np.float32)
    memory[:6] = x
    np.testing.assert_array_equal(tile.forward(memory[:6], out=memory[2:]), expected)
    memory[2:] = x
    np.testing.assert_array_equal(tile.forward(memory[2:], out=memory[:6]), expected)

    square = integers((4, 4), 3)
    expected = tile.forward(square, in_trans=True, out_trans=True)
    tile.forward(square, in_trans=True, out_trans=True, out=square)
    np.testing.assert_array_equal(square, expected)


# ---- the packed copy of the weights ------------------------------------------------


def persistent(tile):
    """Weights to be set as hidden parameters with other visible ones behind."""
    parameters = tile.get_hidden_parameters()
    parameters["max_bound"] = np.full((6, 5), 0.05)
    parameters["min_bound"] = np.full((6, 5), -0.05)
    return parameters


def other_state(tile):
    twin = copy.copy(tile)
    twin.set_weights(np.full((6, 5), 0.03))
    return twin.state()


def fill(shape, value=1.0):
    return np.full(shape, value, dtype=np.float32)


WRITES = {
    "set_weights": lambda tile: tile.set_weights(fill((6, 5), 0.2)),
    "set_weights_uniform_random": lambda tile: tile.set_weights_uniform_random(0, 0.3),
    "update": lambda tile: tile.update(fill((3, 5)), fill((3, 6))),
    "decay_weights": lambda tile: tile.decay_weights(),
    "diffuse_weights": lambda tile: tile.diffuse_weights(),
    "drift_weights": lambda tile: tile.drift_weights(100.0),
    "reset_columns": lambda tile: tile.reset_columns(1, 3),
    "clip_weights": lambda tile: tile.clip_weights(0.05),
    "set_hidden_parameters": lambda tile: tile.set_hidden_parameters(persistent(tile)),
    "set_state": lambda tile: tile.set_state(*other_state(tile)),
}
DEVICES = {
    "plain": dict(write_noise_std=0.0),
    "write noise": dict(write_noise_std=3.0),
    "write noise, not on set": dict(
        write_noise_std=3.0, apply_write_noise_on_set=False
    ),
}


@pytest.mark.parametrize("pulse_type", ["STOCHASTIC_COMPRESSED", "NONE_WITH_DEVICE"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("write", WRITES)
def test_forward_sees_every_write(core, write, device, pulse_type):
    device = SoftBoundsDevice(
        lifetime=3.0,
        diffusion=0.1,
        drift=DriftParameter(nu=0.2),
        **DEVICES[device],
    )
    update = UpdateParameters(pulse_type=PulseType[pulse_type])
    parts = dict(forward=PERFECT, backward=PERFECT, update=update)
    tile = core(6, 5, device, **parts)
    identity = np.eye(5, dtype=np.float32)
    before = tile.forward(identity)
    np.testing.assert_array_equal(before.T, tile.get_weights())
    WRITES[write](tile)
    after = tile.forward(identity)
    assert (after != before).any()
    np.testing.assert_array_equal(after.T, tile.get_weights())
    np.testing.assert_array_equal(
        tile.backward(np.eye(6, dtype=np.float32)), tile.get_weights()
    )


def test_exact_tiles_see_every_write(core):
    tile = core(6, 5)
    identity = np.eye(5, dtype=np.float32)
    for write in ("set_weights", "set_weights_uniform_random", "update", "set_state"):
        before = tile.forward(identity)
        WRITES[write](tile)
        after = tile.forward(identity)
        assert (after != before).any(), write
        np.testing.assert_array_equal(after.T, tile.get_weights())


def test_arrays_that_are_handed_out_are_copies(core):
    tile = core(3, 2, SoftBoundsDevice(write_noise_std=1.0))
    before = tile.state()
    tile.get_weights()[...] = 7.0
    for plane in tile.get_hidden_parameters().values():
        plane[...] = 7.0
    for array in tile.state()[1].values():
        array[...] = 7
    assert same(tile.state(), before)


def test_arrays_that_are_given_are_copied(core):
    tile = core(3, 2, SoftBoundsDevice(write_noise_std=1.0))
    weights = fill((3, 2), 0.1)
    tile.set_weights(weights)
    parameters = tile.get_hidden_parameters()
    tile.set_hidden_parameters(parameters)
    meta, arrays = tile.state()
    tile.set_state(meta, arrays)
    before = tile.state()
    weights[...] = 7.0
    for array in (*parameters.values(), *arrays.values()):
        array[...] = 7
    meta["counters"]["update"] = 99
    assert same(tile.state(), before)


# ---- counters ----------------------------------------------------------------------


def counted(tile, call):
    before = tile.state()[0]["counters"]
    call(tile)
    after = tile.state()[0]["counters"]
    steps = {name: after[name] - before[name] for name in after}
    return {name: number for name, number in steps.items() if number}


x5, d3 = fill((4, 5)), fill((4, 3))
COUNTS = {
    "forward": (lambda t: t.forward(x5), {"forward": 4}),
    "forward, one": (lambda t: t.forward(x5[0]), {"forward": 1}),
    "forward, 3-d": (lambda t: t.forward(fill((2, 3, 5))), {"forward": 6}),
    "forward, test": (lambda t: t.forward(x5, is_test=True), {"forward_eval": 4}),
    "forward, zeros": (lambda t: t.forward(0 * x5), {"forward": 4}),
    "forward, NaN": (lambda t: t.forward(np.nan * x5), {"forward": 4}),
    "forward, empty": (lambda t: t.forward(x5[:0]), {}),
    "backward": (lambda t: t.backward(d3), {"backward": 4}),
    "backward, test": (lambda t: t.backward(d3, is_test=True), {"backward_eval": 4}),
    "backward, empty": (lambda t: t.backward(d3[:0]), {}),
    "update": (lambda t: t.update(x5, d3), {"update": 4}),
    "update, zero x": (lambda t: t.update(0 * x5, d3), {"update": 4}),
    "update, zero d": (lambda t: t.update(x5, 0 * d3), {"update": 4}),
    "update, empty": (lambda t: t.update(x5[:0], d3[:0]), {}),
    "decay": (lambda t: t.decay_weights(), {}),
    "diffusion": (lambda t: t.diffuse_weights(), {"diffusion": 1}),
    "reset": (lambda t: t.reset_columns(), {"reset": 1}),
    "reset, none": (lambda t: t.reset_columns(0, 0), {}),
    "reset, never": (lambda t: t.reset_columns(0, -1, 0.0), {}),
    "drift": (lambda t: t.drift_weights(), {"drift": 1}),
    "clip": (lambda t: t.clip_weights(0.1), {}),
    "uniform": (lambda t: t.set_weights_uniform_random(-1, 1), {"init": 1}),
    "set": (lambda t: t.set_weights(fill((3, 5), 0.1)), {}),
    "get": (lambda t: t.get_weights(), {}),
    "hidden": (lambda t: t.get_hidden_parameters(), {}),
    "state": (lambda t: t.state(), {}),
    "text": (lambda t: str(t) + repr(t) + t.get_brief_info(), {}),
    "rate": (lambda t: t.set_learning_rate(0.3), {}),
}
REDRAWS = ("decay", "diffusion", "reset", "drift", "clip", "uniform", "set")


@pytest.mark.parametrize("name", COUNTS)
def test_counters_count_events(core, name):
    call, expected = COUNTS[name]
    drift = DriftParameter(nu=0.1)
    tile = core(3, 5, LinearStepDevice(lifetime=5.0, diffusion=0.1, drift=drift))
    assert counted(tile, call) == expected
    noisy = core(3, 5, SoftBoundsDevice(write_noise_std=1.0, drift=drift))
    redraw = {"redraw": 1} if name in REDRAWS else {}
    assert counted(noisy, call) == expected | redraw


def test_learning_rate_zero_counts_nothing_and_changes_nothing(core):
    tile = core(3, 5, ConstantStepDevice())
    tile.set_learning_rate(0.0)
    before = tile.state()
    tile.update(x5, d3)
    assert same(tile.state(), before)


def test_exact_updates_with_write_noise_redraw_once_for_each_vector(core):
    update = UpdateParameters(pulse_type=PulseType.NONE_WITH_DEVICE)
    tile = core(3, 5, SoftBoundsDevice(write_noise_std=1.0), update=update)
    assert counted(tile, COUNTS["update"][0]) == {"update": 4, "redraw": 4}


def test_evaluation_never_changes_training(core):
    first, second = (core(3, 5, ConstantStepDevice()) for _ in range(2))
    first.forward(x5, is_test=True)
    first.backward(d3, is_test=True)
    np.testing.assert_array_equal(first.forward(x5), second.forward(x5))
    np.testing.assert_array_equal(first.backward(d3), second.backward(d3))
    # Nor do both modes draw the same numbers.
    fresh = core(3, 5, ConstantStepDevice())
    assert (
        fresh.forward(x5, is_test=True) != core(3, 5, ConstantStepDevice()).forward(x5)
    ).any()


# ---- copies and states -------------------------------------------------------------


def busy(core, seed=0):
    tile = core(6, 5, SoftBoundsDevice(write_noise_std=1.0, lifetime=9.0), seed=seed)
    tile.set_learning_rate(0.25)
    tile.update(fill((3, 5)), fill((3, 6)))
    tile.forward(fill((3, 5)))
    tile.decay_weights()
    return tile


@pytest.mark.parametrize(
    "twin",
    [
        copy.copy,
        copy.deepcopy,
        *(
            lambda tile, p=protocol: pickle.loads(pickle.dumps(tile, p))
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_copies_are_equal_and_independent(core, twin):
    tile = busy(core)
    other = twin(tile)
    assert type(other) is type(tile)
    assert same(other.state(), tile.state())
    assert other.get_learning_rate() == 0.25
    before = tile.state()
    second = twin(other)
    other.update(fill((2, 5)), fill((2, 6)))
    assert same(tile.state(), before)
    assert not same(other.state(), before)
    second.update(fill((2, 5)), fill((2, 6)))
    assert same(other.state(), second.state())


def test_set_state_goes_back_in_time(core):
    tile = busy(core)
    saved = tile.state()
    first = tile.forward(fill((3, 5)))
    tile.update(fill((3, 5)), fill((3, 6)))
    later = tile.state()
    tile.set_state(*saved)
    assert same(tile.state(), saved)
    np.testing.assert_array_equal(tile.forward(fill((3, 5))), first)
    tile.update(fill((3, 5)), fill((3, 6)))
    assert same(tile.state(), later)


def altered(meta, arrays, path, value):
    meta, arrays = copy.deepcopy(meta), dict(arrays)
    if path[0] == "arrays":
        if value is None:
            del arrays[path[1]]
        else:
            arrays[path[1]] = value
    else:
        target = meta
        for name in path[:-1]:
            target = target[name]
        if value is None:
            del target[path[-1]]
        else:
            target[path[-1]] = value
    return meta, arrays


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("key",), [1]),
        (("key",), [1, 2**32]),
        (("key",), [1, -1]),
        (("key",), [1, 2.0]),
        (("key",), [1, True]),
        (("key",), "ab"),
        (("key",), None),
        (("counters",), {}),
        (("counters", "update"), -1),
        (("counters", "update"), 2**64),
        (("counters", "update"), 1.0),
        (("counters", "update"), None),
        (("counters", "other"), 1),
        (("learning_rate",), float("nan")),
        (("learning_rate",), float("inf")),
        (("learning_rate",), "1"),
        (("learning_rate",), True),
        (("learning_rate",), None),
        (("drift_time",), float("inf")),
        (("granularity",), 0.0),
        (("granularity",), -1.0),
        (("dw_min",), [0.1]),
        (("extra",), 1),
        (("arrays", "weights"), None),
        (("arrays", "extra"), fill((6, 5))),
        (("arrays", "weights"), fill((5, 6))),
        (("arrays", "weights"), fill(30)),
        (("arrays", "weights"), np.zeros((6, 5))),
        (("arrays", "weights"), fill((6, 5), np.nan)),
        (("arrays", "weights"), fill((6, 5), np.inf)),
        (("arrays", "pulse_ordinals"), np.zeros((6, 5), dtype=np.int64)),
        (("arrays", "max_bound"), fill(())),
        (("arrays", "decay_scales"), fill((1,))),
    ],
)
def test_states_that_do_not_fit_are_refused(core, path, value):
    tile = busy(core)
    before = tile.state()
    with pytest.raises(StateError):
        tile.set_state(*altered(*before, path, value))
    assert same(tile.state(), before)


def test_states_of_another_size_or_device_are_refused(core):
    tile = busy(core)
    before = tile.state()
    for other in (
        core(5, 6, SoftBoundsDevice(write_noise_std=1.0, lifetime=9.0)),
        core(6, 5, ConstantStepDevice()),
        core(6, 5),
    ):
        with pytest.raises(StateError):
            tile.set_state(*other.state())
    with pytest.raises(StateError):
        tile.set_state(None, before[1])
    assert same(tile.state(), before)


# ---- several tiles, several threads ------------------------------------------------


def test_tiles_never_disturb_each_other(core):
    alone = busy(core, seed=1)
    alone.update(fill((3, 5)), fill((3, 6)))
    expected = alone.forward(fill((3, 5))), alone.state()

    tile = busy(core, seed=1)
    others = [core(4, 3, LinearStepDevice()), core(6, 5), busy(core, seed=2)]
    for other in others:
        other.forward(fill((2, other.in_size)))
        other.update(fill((2, other.in_size)), fill((2, other.out_size)))
        other.set_learning_rate(0.9)
        other.diffuse_weights()
    copies = [copy.copy(tile) for _ in range(2)]
    tile.update(fill((3, 5)), fill((3, 6)))
    copies[0].diffuse_weights()
    result = tile.forward(fill((3, 5)))
    np.testing.assert_array_equal(result, expected[0])
    assert same(tile.state(), expected[1])


def test_numpys_global_random_state_is_left_alone(core):
    before = np.random.get_state()[1:]  # noqa: NPY002 - the state in question
    busy(core)
    after = np.random.get_state()[1:]  # noqa: NPY002
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_copy_is_whole_and_nothing_keeps_a_tile(core):
    tile = core(3, 5, ConstantStepDevice())
    twin = copy.copy(tile)
    watched = weakref.ref(tile)
    gc.disable()
    try:
        del tile
        assert watched() is None, "the last reference is gone"
    finally:
        gc.enable()
    # What the parts of the copy work on is the copy's, also after a new state.
    state = twin.state()
    twin.set_weights(np.full((3, 5), 0.1))
    twin.set_state(*state)
    twin.set_weights(np.full((3, 5), 0.2))
    assert (twin.get_weights() > 0.15).all()
    twin.diffuse_weights()
    assert twin.state()[0]["counters"]["diffusion"] == 1


def test_calls_of_several_python_threads_take_turns(core):
    # The order of turns is open, the sum is not: whole steps, so that float32 is exact.
    tile = core(64, 64)
    tile.set_weights(np.zeros((64, 64)))
    tile.set_learning_rate(1.0)
    errors = []
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        for _ in range(50):
            tile.update(fill((2, 64)), fill((2, 64)))
            y = tile.forward(np.eye(64, dtype=np.float32))
            # A product sees a state between two calls: all weights are equal.
            if not (y == y[0, 0]).all() or y[0, 0] % 2:
                errors.append(y)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
        assert not worker.is_alive()
    assert not errors
    assert (tile.get_weights() == -400.0).all()
    counters = tile.state()[0]["counters"]
    assert (counters["update"], counters["forward"]) == (400, 4 * 50 * 64)


def test_tiles_in_threads_of_their_own_give_the_same_bits(core):
    rpupy.set_num_threads(2)
    device = ConstantStepDevice()
    x, d = fill((16, 90)), fill((16, 110))

    def train(seed):
        tile = core(110, 90, device, seed=seed)
        for _ in range(5):
            tile.forward(x)
            tile.update(x, d)
        return tile.state()

    expected = [train(seed) for seed in range(4)]
    states = {}
    workers = [
        threading.Thread(target=lambda s=seed: states.__setitem__(s, train(s)))
        for seed in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
        assert not worker.is_alive()
    assert all(same(states[seed], expected[seed]) for seed in range(4))


# ---- settings ----------------------------------------------------------------------


def test_number_of_threads_is_a_setting_of_the_process():
    rpupy.set_num_threads(3)
    assert rpupy.get_num_threads() == 3
    rpupy.set_num_threads(np.int64(2))
    assert rpupy.get_num_threads() == 2
    for bad in (0, -1, 1025, 10**30):
        with pytest.raises(ValueError, match=r"n must be in \[1, 1024\]"):
            rpupy.set_num_threads(bad)
    for bad in (1.0, "2", None, True, np.float32(2), [2]):
        with pytest.raises(TypeError, match="n must be an integer"):
            rpupy.set_num_threads(bad)
    assert rpupy.get_num_threads() == 2


def test_absurd_numbers_of_threads_work(core):
    tile = core(3, 5, ConstantStepDevice())
    twin = copy.copy(tile)
    expected = tile.forward(x5)
    rpupy.set_num_threads(1024)
    np.testing.assert_array_equal(twin.forward(x5), expected)


def test_kernels_are_those_of_a_known_instruction_set():
    names = _cpu.available_isas()
    assert _cpu.isa() in names
    assert names[-1] == "baseline"
    for name in names:
        assert _cpu.CpuBackend(2, 3, (1, 2), name).isa == name
    assert _cpu.CpuBackend(2, 3, (1, 2)).isa == _cpu.isa()
    with pytest.raises(ConfigError, match=r"isa_name must be one of .*, got 'mmx'"):
        _cpu.CpuBackend(2, 3, (1, 2), "mmx")


def test_core_class_is_named_in_texts(core):
    tile = core(3, 5, ConstantStepDevice())
    assert repr(tile) == "CpuTile[ConstantStepDevice](3, 5)"
    assert str(tile).startswith(repr(tile))
    assert isinstance(tile, CpuTile)
