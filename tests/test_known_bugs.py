"""Bugs that users of the reference simulator and of its peers have hit, as tests.

Each test names the thread (a number alone: of the reference) and holds the property that
would have caught it.
"""

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rpupy
from rpupy import tiles
from rpupy.configs import (
    ConstantStepDevice,
    DriftParameter,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    LinearStepDevice,
    PulseType,
    SimpleDriftParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
    UpdateParameters,
    WeightNoiseType,
)
from rpupy.tiles import AnalogTile, FloatingPointTile

PERFECT = IOParameters(is_perfect=True)
QUIET = dict(
    dw_min_dtod=0.0,
    dw_min_std=0.0,
    up_down_dtod=0.0,
    w_max_dtod=0.0,
    w_min_dtod=0.0,
)
DEVICES = {
    "constant": ConstantStepDevice,
    "linear": LinearStepDevice,
    "soft": SoftBoundsDevice,
}


def numbers(shape, seed=0, size=1.0):
    values = np.random.default_rng(seed).uniform(-size, size, shape)
    return values.astype(np.float32)


def tile_of(device, out_size=7, in_size=9, seed=0, **parts):
    config = SingleRPUConfig(device=device, **parts)
    return AnalogTile(out_size, in_size, config, rng=seed)


def fingerprint(tile):
    meta, arrays = tile.tile.state()
    return repr(meta), {name: a.tobytes() for name, a in arrays.items()}


def stored(tile):
    """The weights that bounds are about, with write noise or without."""
    parameters = tile.get_hidden_parameters()
    return parameters.get("persistent_weights", tile.tile.get_weights())


def assert_within_bounds(tile):
    parameters = tile.get_hidden_parameters()
    weights = stored(tile)
    assert (weights <= parameters["max_bound"]).all()
    assert (weights >= parameters["min_bound"]).all()


# ---- update, batches and shapes ----------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("device", DEVICES)
def test_batch_one_then_many(device, noise):
    """PR 763: after a first update with one vector, later ones used one vector, too."""
    fields = {} if device == "constant" else {"write_noise_std": noise}
    tile, twin = (tile_of(DEVICES[device](**fields)) for _ in range(2))
    x, d = numbers((33, 9), 1), numbers((33, 7), 2)
    for one in (tile, twin):
        one.update(x[:1], d[:1])
    before = tile.tile.get_weights()
    tile.update(x[1:], d[1:])
    for b in range(1, 33):
        twin.update(x[b], d[b])
    assert fingerprint(tile) == fingerprint(twin)
    assert (tile.tile.get_weights() != before).mean() > 0.9


def test_one_tile_with_changing_batches_and_shapes():
    """662, PR 294: sizes of an earlier call were kept."""
    tile = tile_of(ConstantStepDevice())
    fresh = tile.copy()
    for batch in [(1,), (64,), (3,), (2, 5), (300,), (), (4, 1, 2), (1,), (100,)]:
        y = tile.forward(numbers((*batch, 9), 1))
        assert y.shape == (*batch, 7)
        back = tile.backward(numbers((*batch, 7), 2))
        assert back.shape == (*batch, 9)
        tile.update(numbers((*batch, 9), 1), numbers((*batch, 7), 2))
    # The same vectors in one go: nothing of the sizes was left behind.
    batches = [1, 64, 3, 10, 300, 1, 8, 1, 100]
    assert tile.tile.state()[0]["counters"]["update"] == sum(batches)
    shapes = [(1,), (64,), (3,), (2, 5), (300,), (), (4, 1, 2), (1,), (100,)]
    x = np.concatenate([numbers((*s, 9), 1).reshape(-1, 9) for s in shapes])
    d = np.concatenate([numbers((*s, 7), 2).reshape(-1, 7) for s in shapes])
    fresh.update(x, d)
    np.testing.assert_array_equal(fresh.tile.get_weights(), tile.tile.get_weights())


def test_a_wrong_shape_after_a_good_call_is_refused():
    """641: after one valid call a wrongly shaped input was accepted."""
    tile = tile_of(ConstantStepDevice())
    good_x, good_d = numbers((4, 9)), numbers((4, 7))
    for _ in range(2):
        tile.forward(good_x)
        tile.backward(good_d)
        tile.update(good_x, good_d)
        before = fingerprint(tile)
        for shape in [(4, 7), (9, 4), (4, 8), (4, 10), (4,), (36,), (4, 9, 1)]:
            with pytest.raises(ValueError, match="x_input must have shape"):
                tile.forward(np.zeros(shape))
            with pytest.raises(ValueError, match="x_input must have shape"):
                tile.update(np.zeros(shape), good_d)
        for shape in [(4, 9), (7, 4), (4, 6), (28,)]:
            with pytest.raises(ValueError, match="d_input must have shape"):
                tile.backward(np.zeros(shape))
        with pytest.raises(ValueError, match="leading shape"):
            tile.update(good_x, good_d[:3])
        assert fingerprint(tile) == before


def test_convolution_like_updates():
    """642: many vectors of images, batches of batches, against one vector at a time."""
    tile, twin = (tile_of(SoftBoundsDevice(), 5, 8) for _ in range(2))
    x, d = numbers((3, 6, 7, 8), 1), numbers((3, 6, 7, 5), 2)
    tile.update(x, d)
    for vector, error in zip(x.reshape(-1, 8), d.reshape(-1, 5), strict=True):
        twin.update(vector, error)
    assert fingerprint(tile) == fingerprint(twin)


def test_transposed_inputs_equal_contiguous_ones():
    """642: the largest entry was looked for along the wrong axis."""
    plain = AnalogTile(7, 9, SingleRPUConfig(), rng=1)
    turned = AnalogTile(7, 9, SingleRPUConfig(), in_trans=True, out_trans=True, rng=1)
    x = numbers((5, 9), 1) * 10.0 ** np.arange(5)[:, None]
    d = numbers((5, 7), 2) * 10.0 ** -np.arange(5)[:, None]
    np.testing.assert_array_equal(turned.forward(x.T), plain.forward(x).T)
    np.testing.assert_array_equal(turned.backward(d.T), plain.backward(d).T)
    plain.update(x, d)
    turned.update(x.T, d.T)
    assert fingerprint(plain) == fingerprint(turned)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (17, 31), (33, 1), (3, 257)])
def test_sizes_that_fill_no_register(size):
    """PR 132: random states were too few for some sizes."""
    for cls in DEVICES.values():
        tile = tile_of(cls(), *size)
        x, d = numbers((5, size[1]), 1), numbers((5, size[0]), 2)
        for _ in range(3):
            tile.update(x, d)
        assert np.isfinite(tile.forward(x)).all()
        assert_within_bounds(tile)


@pytest.mark.parametrize("device", DEVICES)
def test_update_of_one_cell_changes_only_it(device):
    """PR 447: a wrong index."""
    for i, j in itertools.product(range(7), range(9)):
        tile = tile_of(DEVICES[device](), seed=3)
        before = tile.tile.get_weights()
        x, d = np.zeros(9), np.zeros(7)
        x[j], d[i] = 1.0, -1.0
        for _ in range(3):
            tile.update(x, d)
        changed = np.argwhere(tile.tile.get_weights() != before)
        np.testing.assert_array_equal(changed, [[i, j]])
        ordinals = tile.tile.state()[1]["pulse_ordinals"]
        np.testing.assert_array_equal(np.argwhere(ordinals), [[i, j]])


def test_update_does_not_depend_on_the_scales_of_the_output():
    """PR 423: the learning rate was multiplied by output scales."""
    config = FloatingPointRPUConfig()
    config.mapping.weight_scaling_omega = 0.5
    tile = FloatingPointTile(7, 9, config, rng=0)
    weights, x, d = numbers((7, 9), 1), numbers((4, 9), 2), numbers((4, 7), 3)
    for scales in (1.0, 0.25, 4.0):
        tile.set_weights(weights, apply_weight_scaling=False)
        tile.set_mapping_scales(scales)
        tile.set_learning_rate(0.5)
        before = tile.get_weights()[0]
        tile.update(x, d)
        np.testing.assert_allclose(
            tile.get_weights()[0] - before, -0.5 * d.T @ x, atol=1e-5
        )


# ---- devices -----------------------------------------------------------------------


@pytest.mark.parametrize("reset", [-0.5, -0.1, 0.0, 0.1, 0.5])
@pytest.mark.parametrize("device", DEVICES)
def test_decay_ends_at_the_reset_value_of_either_sign(device, reset):
    """755: a negative reset became 0."""
    cls = DEVICES[device]
    tile = tile_of(cls(reset=reset, lifetime=3.0, w_max=0.8, w_min=-0.8, **QUIET))
    assert tile.rpu_config.device.reset == reset
    assert (tile.get_hidden_parameters()["reset_bias"] == np.float32(reset)).all()
    tile.set_weights(numbers((7, 9), 1, 0.7))
    for _ in range(100):
        tile.decay_weights()
    np.testing.assert_allclose(tile.tile.get_weights(), reset, atol=1e-6)
    tile = tile_of(cls(reset=reset, reset_std=0.0, **QUIET))
    tile.reset()
    assert (tile.tile.get_weights() == np.float32(reset)).all()


@pytest.mark.parametrize("perfect_bias", [False, True])
@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("device", DEVICES)
def test_bounds_hold_on_every_column_after_every_call(device, noise, perfect_bias):
    """599, 604, 635: weights far outside the bounds in the last column."""
    fields = {} if device == "constant" else {"write_noise_std": noise}
    tile = tile_of(
        DEVICES[device](
            w_max=0.1,
            w_min=-0.1,
            dw_min=0.02,
            diffusion=0.05,
            lifetime=10.0,
            reset_std=0.2,
            perfect_bias=perfect_bias,
            drift=DriftParameter(nu=0.1, w_noise_std=0.1),
            **fields,
        )
    )
    x, d = numbers((8, 9), 1, 4.0), numbers((8, 7), 2, 4.0)
    calls = [
        lambda: tile.set_weights(numbers((7, 9), 3, 50.0)),
        lambda: tile.tile.set_weights_uniform_random(-30, 30),
        lambda: tile.update(x, d),
        lambda: tile.update(-x, d),
        tile.diffuse_weights,
        tile.post_update_step,
        lambda: tile.drift_weights(10.0),
        tile.reset,
        lambda: tile.decay_weights(-50.0),
        lambda: tile.clip_weights(0.05),
        lambda: tile.clip_weights(20.0),
    ]
    assert_within_bounds(tile)
    for call in calls * 3:
        call()
        assert_within_bounds(tile)
    bounds = tile.get_hidden_parameters()
    ordinary = np.s_[:, :-1] if perfect_bias else np.s_[:]
    assert np.abs(bounds["max_bound"][ordinary]).max() < 0.1 * (1 + 0.3 * 6)
    if perfect_bias:
        np.testing.assert_allclose(bounds["max_bound"][:, -1], 10.0)


@pytest.mark.parametrize("up_down", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("device", DEVICES)
def test_up_and_down_of_asymmetric_devices(device, up_down):
    """NeuroSim MLP 8: the formula of one direction was used for the other."""
    fields = dict(QUIET, dw_min=0.01, up_down=up_down, w_max=0.6, w_min=-0.3)
    if device == "linear":
        fields |= dict(gamma_up=0.2, gamma_down=0.7, gamma_up_dtod=0, gamma_down_dtod=0)
    update = UpdateParameters(
        desired_bl=1, update_bl_management=False, update_management=False
    )
    tile = tile_of(DEVICES[device](**fields), 1, 1, update=update)
    tile.set_learning_rate(1.0)
    up, down = 0.01 * (1 + min(up_down, 0)), 0.01 * (1 - max(up_down, 0))
    slope_up, slope_down = {
        "constant": (0.0, 0.0),
        "linear": (0.2 / 0.6, 0.7 / 0.3),
        "soft": (1 / 0.6, 1 / 0.3),
    }[device]
    for start in (-0.2, 0.0, 0.2):
        tile.set_weights([[start]])
        tile.update([1.0], [-1.0])
        moved = tile.tile.get_weights()[0, 0] - np.float32(start)
        assert moved == pytest.approx(up * (1 - slope_up * start), abs=1e-7)
        tile.set_weights([[start]])
        tile.update([1.0], [1.0])
        moved = tile.tile.get_weights()[0, 0] - np.float32(start)
        assert moved == pytest.approx(-down * (1 + slope_down * start), abs=1e-7)


def test_pulses_to_cross_the_range_of_weights():
    """457: n pulses do not span the range that the formulas say."""
    update = UpdateParameters(
        desired_bl=1, update_bl_management=False, update_management=False
    )
    device = ConstantStepDevice(w_min=-0.5, w_max=0.5, dw_min=1 / 256, **QUIET)
    tile = tile_of(device, 1, 1, update=update)
    tile.set_learning_rate(1.0)
    tile.set_weights([[-0.5]])
    for number in range(1, 301):
        tile.update([1.0], [-1.0])
        assert tile.tile.get_weights() == min(-0.5 + number / 256, 0.5)
    assert tile.rpu_config.device.num_states() == 256


def test_write_noise_with_every_other_noise_on_and_off():
    """PR 417, 356: write noise was lost where the steps had none."""
    for std, dtod, on_set in itertools.product((0.0, 0.3), (0.0, 0.3), (False, True)):
        device = SoftBoundsDevice(
            dw_min_std=std,
            dw_min_dtod=dtod,
            write_noise_std=5.0,
            apply_write_noise_on_set=on_set,
        )
        tile = tile_of(device, forward=PERFECT)
        tile.set_weights(np.zeros((7, 9)))
        shown = tile.tile.get_weights()
        assert (shown != 0).all() == on_set
        assert not tile.get_hidden_parameters()["persistent_weights"].any()
        tile.update(np.ones((4, 9)), np.ones((4, 7)))
        shown = tile.tile.get_weights()
        hidden = tile.get_hidden_parameters()["persistent_weights"]
        assert (shown != hidden).all()
        np.testing.assert_array_equal(tile.forward(np.eye(9)).T, shown)


#: Effect -> the fields that switch it on, and a call that shows it.
UPDATE = UpdateParameters(update_bl_management=False, desired_bl=3)
EFFECTS = {
    "dw_min_std": ({"dw_min_std": 0.3}, lambda t: t.update(np.ones(9), np.ones(7))),
    "diffusion": ({"diffusion": 0.1}, lambda t: t.diffuse_weights()),
    "lifetime": ({"lifetime": 5.0}, lambda t: t.decay_weights()),
    "reset_std": ({"reset_std": 0.1}, lambda t: t.reset()),
    "drift": ({"drift": DriftParameter(nu=0.1)}, lambda t: t.drift_weights(10.0)),
    "write_noise": ({"write_noise_std": 2.0}, lambda t: t.set_weights(np.ones((7, 9)))),
}


def effect_of(name, active):
    """What one call does to weights of 0.2, with these effects switched on."""
    fields = dict(QUIET, reset_std=0.0)
    for effect in active:
        fields |= EFFECTS[effect][0]
    tile = tile_of(SoftBoundsDevice(**fields), update=UPDATE)
    tile.set_weights(np.full((7, 9), 0.2))
    EFFECTS[name][1](tile)
    return (
        stored(tile)
        if name != "write_noise"
        else tile.tile.get_weights() - stored(tile)
    )


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_of_devices_toggle_independently(name):
    """416: programming noise was only applied with drift compensation on."""
    off, on = effect_of(name, []), effect_of(name, [name])
    assert (on != off).any()
    others = [other for other in EFFECTS if other != name]
    for count in range(1, len(others) + 1):
        for active in itertools.combinations(others, count):
            np.testing.assert_array_equal(effect_of(name, active), off)
            np.testing.assert_array_equal(effect_of(name, (*active, name)), on)


IO_EFFECTS = {
    "inp_noise": {"inp_noise": 0.1},
    "inp_res": {"inp_res": 0.1},
    "inp_asymmetry": {"inp_asymmetry": 0.2},
    "out_noise": {"out_noise": 0.1},
    "out_res": {"out_res": 0.002, "out_bound": 12.0},
    "out_asymmetry": {"out_asymmetry": 0.2},
    "w_noise": {"w_noise": 0.1, "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT},
    "out_scale": {"out_scale": 0.7},
}


def test_effects_of_the_product_act_whatever_the_others_do():
    """405 to 408: noise was skipped on some paths; here on both, alone and together."""
    x, d = numbers((20, 9), 1), numbers((20, 7), 2)
    off = dict(inp_res=0.0, out_res=0.0, out_noise=0.0, out_bound=0.0)
    seen = {}
    for flags in itertools.product([False, True], repeat=len(IO_EFFECTS)):
        active = [name for name, on in zip(IO_EFFECTS, flags, strict=True) if on]
        fields = dict(off)
        for name in active:
            fields |= IO_EFFECTS[name]
        io = IOParameters(**fields)
        tile = tile_of(IdealDevice(), forward=io, backward=io)
        tile.set_weights(numbers((7, 9), 3))
        seen[frozenset(active)] = tile.forward(x), tile.backward(d)
    for active, results in seen.items():
        for name in IO_EFFECTS:
            if name in active:
                for with_it, without in zip(
                    results, seen[active - {name}], strict=True
                ):
                    assert (with_it != without).mean() > 0.2, (name, sorted(active))


# ---- what is set is what is there --------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("device", DEVICES)
def test_set_and_get_of_every_hidden_plane(device, noise):
    """PR 313, 303, 106: planes were set, and the weights did not follow."""
    fields = {} if device == "constant" else {"write_noise_std": noise}
    device = DEVICES[device](
        drift=DriftParameter(nu=0.1), lifetime=5.0, diffusion=0.1, **fields
    )
    tile = tile_of(device, forward=PERFECT)
    parameters = tile.get_hidden_parameters()
    assert list(parameters) == tile.tile.get_hidden_parameter_names()
    for number, name in enumerate(parameters):
        values = numbers((7, 9), number, 0.01) + parameters[name]
        tile.set_hidden_parameters({**tile.get_hidden_parameters(), name: values})
        now = tile.get_hidden_parameters()
        if name != "persistent_weights":
            np.testing.assert_array_equal(now[name], values)
        else:
            low, high = now["min_bound"], now["max_bound"]
            np.testing.assert_array_equal(now[name], np.clip(values, low, high))
        assert_within_bounds(tile)
        np.testing.assert_array_equal(
            tile.forward(np.eye(9)).T, tile.tile.get_weights()
        )
    # And each plane decides what it is for.
    zero = tile.get_hidden_parameters()
    zero |= {name: np.zeros((7, 9)) for name in ("dwmin_up", "dwmin_down")}
    zero |= {name: np.zeros((7, 9)) for name in zero if name.startswith("slope")}
    tile.set_hidden_parameters(zero)
    before = stored(tile)
    tile.update(np.ones(9), np.ones(7))
    np.testing.assert_array_equal(stored(tile), before)
    tile.set_hidden_parameters({**zero, "decay_scales": np.zeros((7, 9))})
    tile.decay_weights()
    bounds = tile.get_hidden_parameters()
    np.testing.assert_array_equal(
        stored(tile),
        np.clip(bounds["reset_bias"], bounds["min_bound"], bounds["max_bound"]),
    )


def test_weights_of_any_strides():
    """PR 388: weights that are not contiguous were set wrongly."""
    weights = numbers((7, 9), 1, 0.1)
    wide = np.zeros((14, 27), dtype=np.float32)
    wide[::-2, ::3] = weights
    row = np.broadcast_to(weights[0], (7, 9))
    tile = tile_of(ConstantStepDevice(w_max_dtod=0, w_min_dtod=0), forward=PERFECT)
    for given, expected in [
        (weights, weights),
        (np.asfortranarray(weights), weights),
        (wide[::-2, ::3], weights),
        (weights[::-1, ::-1], weights[::-1, ::-1].copy()),
        (weights.astype(">f8"), weights),
        (row, row.copy()),
    ]:
        for method in (tile.set_weights, tile.tile.set_weights):
            method(given)
            np.testing.assert_array_equal(tile.get_weights()[0], expected)
            np.testing.assert_array_equal(tile.forward(np.eye(9)).T, expected)


def test_two_products_see_the_same_weights():
    """PR 423: weights were modified anew in each forward."""
    for device in (SoftBoundsDevice(write_noise_std=3.0), ConstantStepDevice()):
        tile = tile_of(device, forward=PERFECT, backward=PERFECT)
        x = numbers((6, 9), 1)
        before = fingerprint(tile)[1]
        np.testing.assert_array_equal(tile.forward(x), tile.forward(x))
        np.testing.assert_array_equal(
            tile.forward(np.eye(9)).T, tile.backward(np.eye(7))
        )
        tile.eval()
        np.testing.assert_array_equal(tile.forward(x), tile.train().forward(x))
        assert fingerprint(tile)[1] == before


def test_forward_and_backward_are_transposes():
    """CrossSim 18: rows and columns were swapped in one of the directions."""
    weights = numbers((7, 9), 1)
    tile = tile_of(IdealDevice(), 7, 9, forward=PERFECT, backward=PERFECT)
    turned = tile_of(IdealDevice(), 9, 7, forward=PERFECT, backward=PERFECT)
    tile.set_weights(weights)
    turned.set_weights(weights.T)
    x, d = numbers((5, 9), 2), numbers((5, 7), 3)
    np.testing.assert_array_equal(tile.forward(x), turned.backward(x))
    np.testing.assert_array_equal(tile.backward(d), turned.forward(d))


# ---- state -------------------------------------------------------------------------


def run_steps(tile, first, last):
    for number in range(first, last):
        x, d = numbers((4, 9), number), numbers((4, 7), 100 + number)
        tile.forward(x)
        tile.update(x, d)
        tile.post_update_step()
        tile.drift_weights(1.5)
    return tile


def all_configs():
    drift = DriftParameter(nu=0.1, nu_dtod=0.2, nu_std=0.1)
    for name, cls in DEVICES.items():
        noisy = [0.0] if name == "constant" else [0.0, 2.0]
        for noise, pulses in itertools.product(noisy, ("pulses", "exact", "none")):
            fields = dict(drift=drift, diffusion=0.01, lifetime=20.0)
            if name != "constant":
                fields["write_noise_std"] = noise
            pulse_type = {
                "pulses": PulseType.STOCHASTIC_COMPRESSED,
                "exact": PulseType.NONE_WITH_DEVICE,
                "none": PulseType.NONE,
            }[pulses]
            update = UpdateParameters(pulse_type=pulse_type)
            yield (
                f"{name}-{noise}-{pulses}",
                SingleRPUConfig(device=cls(**fields), update=update),
            )
    yield "ideal", SingleRPUConfig(device=IdealDevice(lifetime=9.0, diffusion=0.1))
    device = FloatingPointDevice(lifetime=9.0, drift=SimpleDriftParameter(nu=0.2))
    yield "exact", FloatingPointRPUConfig(device=device)


CONFIGS = dict(all_configs())


@pytest.mark.parametrize("bias", ["none", "digital", "analog"])
@pytest.mark.parametrize("name", CONFIGS)
def test_resuming_equals_not_having_stopped(name, bias, tmp_path):
    """609, 385, 320, 595, 262, 293: resuming changed training, crashed, did nothing."""
    config = CONFIGS[name]
    config.mapping.digital_bias = bias == "digital"
    try:
        cls = config.tile_class
        tile = cls(7, 9, config, bias=bias != "none", rng=1)
        run_steps(tile, 0, 3).save(tmp_path / "tile.npz")
        loaded = tiles.load(tmp_path / "tile.npz")
        assert type(loaded) is cls
        assert loaded.rpu_config == tile.rpu_config
        assert fingerprint(loaded) == fingerprint(tile)
        run_steps(tile, 3, 6)
        run_steps(loaded, 3, 6)
        assert fingerprint(loaded) == fingerprint(tile)
        assert fingerprint(loaded) != fingerprint(tiles.load(tmp_path / "tile.npz"))
    finally:
        config.mapping.digital_bias = True


def test_moving_to_where_it_is_changes_nothing():
    """PR 540: a second move zeroed the weights."""
    tile = run_steps(tile_of(ConstantStepDevice()), 0, 2)
    before = fingerprint(tile)
    assert tile.cpu() is tile
    assert tile.cpu().cpu() is tile
    assert fingerprint(tile) == before


def test_results_have_one_type():
    """623, 680: the type of numbers was not honoured."""
    tile = AnalogTile(7, 9, SingleRPUConfig(), bias=True, rng=0)
    for dtype in ("f2", "f4", "f8", "g", "i8", "?"):
        x, d = np.ones((2, 9), dtype), np.ones((2, 7), dtype)
        assert tile.forward(x).dtype == np.float32
        assert tile.backward(d).dtype == np.float32
    for array in (
        *tile.get_weights(),
        tile.bias,
        *tile.get_hidden_parameters().values(),
    ):
        assert array.dtype == np.float32


# ---- neighbours --------------------------------------------------------------------


def test_building_and_using_a_tile_disturbs_no_other():
    """(measured): random numbers of all arrays of a process were coupled."""
    alone = fingerprint(run_steps(tile_of(SoftBoundsDevice(), seed=1), 0, 4))
    tile = tile_of(SoftBoundsDevice(), seed=1)
    other = None
    for number in range(4):
        other = tile_of(LinearStepDevice(construction_seed=3), 4, 3, seed=number)
        other.update(np.ones(3), np.ones(4))
        other.forward(np.ones(3))
        tile.copy().diffuse_weights()
        tile.spawn(1)[0].forward(np.ones(9))
        run_steps(tile, number, number + 1)
    assert fingerprint(tile) == alone


def test_two_configurations_interleaved():
    """CrossSim PR 17: parameters leaked from one configuration to another."""

    def configs():
        first, second = SingleRPUConfig(), SingleRPUConfig()
        first.forward.out_noise = 0.5
        first.device.dw_min = 0.01
        second.update.desired_bl = 5
        return first, second

    def tiles_of(pair):
        return [AnalogTile(7, 9, config, rng=k) for k, config in enumerate(pair)]

    apart = [fingerprint(run_steps(tile, 0, 4)) for tile in tiles_of(configs())]
    pair = configs()
    both = tiles_of(pair)
    # What happens to the caller's configurations after that is not seen.
    pair[0].forward.out_noise = 0.0
    pair[1].device.w_max = 0.1
    pair[0].device = pair[1].device
    for number in range(4):
        for tile in both:
            run_steps(tile, number, number + 1)
    assert [fingerprint(tile) for tile in both] == apart
    assert SingleRPUConfig().forward.out_noise == IOParameters().out_noise


def test_one_configuration_for_many_tiles():
    """CrossSim PR 17, the other way round: nothing of a tile comes to the next."""
    config = SingleRPUConfig()
    first, second = (AnalogTile(7, 9, config, rng=1) for _ in range(2))
    run_steps(first, 0, 3)
    fresh = AnalogTile(7, 9, SingleRPUConfig(), rng=1)
    assert fingerprint(second) == fingerprint(fresh)
    assert config == SingleRPUConfig()


# ---- manners -----------------------------------------------------------------------


EXERCISE = """
import numpy as np, random
from rpupy.configs import *
from rpupy.tiles import *
state = np.random.get_state()[1].copy(), random.getstate()
for cls, config in ((AnalogTile, SingleRPUConfig(device=SoftBoundsDevice(
        write_noise_std=1.0, diffusion=0.1, lifetime=5.0, drift=DriftParameter(nu=.1)))),
        (FloatingPointTile, FloatingPointRPUConfig())):
    tile = cls(5, 3, config, bias=True, rng=0)
    tile.forward(np.ones((2, 3))), tile.backward(np.ones((2, 5)))
    tile.forward(np.full((2, 3), np.nan)), tile.forward(np.full((2, 3), 1e38))
    tile.update(np.ones((2, 3)), np.ones((2, 5))), tile.post_update_step()
    tile.drift_weights(2.0), tile.clip_weights(0.1), tile.read_weights()
    tile.program_weights(max_iter=3), tile.copy(), str(tile), repr(tile)
    for bad in (None, "x", [1j], np.ones(7)):
        for call in (tile.forward, tile.set_weights, tile.set_learning_rate, tile.spawn):
            try:
                call(bad)
            except (TypeError, ValueError):
                pass
assert (np.random.get_state()[1] == state[0]).all()
assert random.getstate() == state[1]
"""


def test_nothing_is_printed_and_nothing_exits():
    """MemTorch 57: a call of exit(0) was left over."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXERCISE],
        cwd=Path(rpupy.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sources_neither_print_nor_exit():
    """MemTorch 57, 49, in the text: no call of print or exit outside of `about`."""
    root = Path(rpupy.__file__).parent
    for path in root.rglob("*.py"):
        if path.name == "about.py":
            continue  # show_config prints, which is what it is for
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "quit", "breakpoint"), path


def test_unreachable_targets_of_programming_return():
    """MemTorch 49: write and verify never returned where a target cannot be reached."""
    device = ConstantStepDevice(w_max=0.1, w_min=-0.1, **QUIET)
    tile = tile_of(device)
    tile.set_weights(np.full((7, 9), 0.1))
    x = numbers((20, 9), 1)
    error = tile.program_weights(x_values=x, max_iter=30, tolerance=0.0)
    assert np.isfinite(error)
    assert_within_bounds(tile)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -3e38, 1e-45, 1e-39, 0.0])
@pytest.mark.parametrize("part", ["all", "one"])
def test_garbage_in_terminates(value, part):
    """642: memory that was never written went in, and forward did not return."""
    tile = tile_of(ConstantStepDevice())
    assert tile.rpu_config.forward.bound_management.name == "ITERATIVE"
    x, d = numbers((4, 9), 1), numbers((4, 7), 2)
    where = np.s_[:] if part == "all" else np.s_[2, 3]
    x[where], d[where] = value, value
    y, back = tile.forward(x), tile.backward(d)
    assert y.shape == (4, 7)
    assert back.shape == (4, 9)
    bad = np.isnan(y).all(axis=1)
    np.testing.assert_array_equal(bad, ~np.isfinite(x).all(axis=1))
    before = fingerprint(tile)
    if np.isfinite(value):
        tile.update(x, d)
        assert_within_bounds(tile)
    else:
        with pytest.raises(ValueError, match="x_input must be finite"):
            tile.update(x, d)
        assert fingerprint(tile) == before


def test_random_bits_as_input_terminate():
    """642, with every pattern of bits that memory can hold."""
    tile = tile_of(ConstantStepDevice())
    words = np.random.default_rng(1).integers(0, 2**32, (2000, 9), dtype=np.uint32)
    y = tile.forward(words.view(np.float32))
    finite = np.isfinite(words.view(np.float32)).all(axis=1)
    assert np.isnan(y[~finite]).all()
    small = (np.abs(words.view(np.float32)) <= 1e30).all(axis=1)
    assert np.isfinite(y[small]).all()
    assert (finite & ~small).any()
