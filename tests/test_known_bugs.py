"""Bugs that users of the reference simulator and of its peers have hit, as tests.

Each test names the thread (a number alone: of the reference) and holds the property that
would have caught it.  A test that takes `tile_of` runs on every backend.
"""

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

import rpupy
from rpupy import tiles
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
    IOParametersNodal,
    LinearStepDevice,
    NoiseManagementType,
    NumpyDevice,
    PiecewiseStepDevice,
    PmaxMapping,
    PowStepDevice,
    PowStepReferenceDevice,
    PulseType,
    SimpleDriftParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
    UpdateParameters,
    WeightNoiseType,
)
from rpupy.configs.utils import IOParametersIRDropT
from rpupy.parameters import define
from rpupy.parasitics import effective_weights
from rpupy.rpu_base import _cpu
from rpupy.testing import statistics
from rpupy.tiles import AnalogTile, FloatingPointTile

PERFECT = IOParameters(is_perfect=True)


@define
class SquareStepDevice(NumpyDevice):
    """Steps that fall with the square of the weight, as a law in NumPy."""

    cell_parameters = ("curvature",)

    def draw(self, params, draws):
        """Draw nothing: steps vanish at the bound ahead."""
        return {"curvature": 1 / np.maximum(np.abs(params["max_bound"]), 0.1) ** 2}

    def pulse(self, w, direction, params, noise):
        """Make one step."""
        step = np.where(direction > 0, params["dwmin_up"], -params["dwmin_down"])
        return w + step * (1 - params["curvature"] * w * w) * (1 + noise)


#: Name -> class, and the fields that make a device what others are not.  A
#: SoftBoundsPmaxDevice is a SoftBoundsDevice for the kernels.
DEVICES = {
    "constant": (ConstantStepDevice, {}),
    "linear": (LinearStepDevice, {}),
    "soft": (SoftBoundsDevice, {}),
    "soft_reference": (
        SoftBoundsReferenceDevice,
        {"reference_mean": -0.02, "slope_up_dtod": 0.1, "slope_down_dtod": 0.2},
    ),
    "exp": (ExpStepDevice, {"dw_min_std_slope": 0.001}),
    "damped": (DampedStepDevice, {"beta_down": 1.5, "beta_up_dtod": 0.2}),
    "pow": (PowStepDevice, {"pow_gamma": 1.7, "pow_up_down": 0.2}),
    "pow_reference": (
        PowStepReferenceDevice,
        {"pow_gamma": 0.6, "reference_mean": 0.03},
    ),
    "piecewise": (
        PiecewiseStepDevice,
        {"piecewise_up": [1.5, 1.0, 0.4, 0.2], "piecewise_down": [0.3, 0.7, 1.1, 1.2]},
    ),
    "numpy": (SquareStepDevice, {}),
}
#: Devices without write noise, and with it where they can have it.
NOISY = [
    (name, noise)
    for name, (cls, _) in DEVICES.items()
    for noise in ((0.0, 2.0) if cls.supports_write_noise else (0.0,))
]


def device_of(name, noise=0.0, **fields):
    """A device by its name, with write noise if it can have any."""
    cls, own = DEVICES[name]
    written = {"write_noise_std": noise} if cls.supports_write_noise else {}
    return cls(**{**own, **written, **fields})


def spreads(device):
    """Fields that make crosspoints differ from each other."""
    names = [field.name for field in attrs.fields(type(device))]
    return [name for name in names if name.endswith("_dtod")]


def quiet(device):
    """The same device without spread, and without noise from pulse to pulse."""
    return attrs.evolve(device, dw_min_std=0.0, **dict.fromkeys(spreads(device), 0.0))


def numbers(shape, seed=0, size=1.0):
    values = np.random.default_rng(seed).uniform(-size, size, shape)
    return values.astype(np.float32)


@pytest.fixture
def tile_of(any_backend):
    """What builds a tile of a device on each backend in turn."""

    def build(device, out_size=7, in_size=9, seed=0, **parts):
        if any_backend != "cpu" and isinstance(device, NumpyDevice):
            pytest.skip("devices in NumPy run on the CPU")
        config = SingleRPUConfig(device=device, **parts)
        tile = AnalogTile(out_size, in_size, config, rng=seed)
        return tile._to_backend(any_backend)

    return build


def fingerprint(tile):
    meta, arrays = tile.tile.state()
    return repr(meta), {name: a.tobytes() for name, a in arrays.items()}


def planes_of(tile):
    """Everything that crosspoints have, with their weights."""
    return {"weights": tile.tile.get_weights(), **tile.get_hidden_parameters()}


def stored(tile):
    """The weights that bounds are about, with write noise or without."""
    parameters = tile.get_hidden_parameters()
    return parameters.get("persistent_weights", tile.tile.get_weights())


def assert_within_bounds(tile):
    parameters = tile.get_hidden_parameters()
    weights = stored(tile)
    # Pulses obey the bounds of the state, which is the weight plus a reference.
    shift = parameters.get("reference", np.float32(0))
    high, low = parameters["max_bound"], parameters["min_bound"]
    assert (weights <= np.maximum(high, high - shift)).all()
    assert (weights >= np.minimum(low, low - shift)).all()


# ---- update, batches and shapes ----------------------------------------------------


@pytest.mark.parametrize(("device", "noise"), NOISY)
def test_batch_one_then_many(device, noise, tile_of):
    """PR 763: after a first update with one vector, later ones used one vector, too."""
    tile, twin = (tile_of(device_of(device, noise)) for _ in range(2))
    x, d = numbers((33, 9), 1), numbers((33, 7), 2)
    for one in (tile, twin):
        one.update(x[:1], d[:1])
    before = tile.tile.get_weights()
    tile.update(x[1:], d[1:])
    for b in range(1, 33):
        twin.update(x[b], d[b])
    assert fingerprint(tile) == fingerprint(twin)
    assert (tile.tile.get_weights() != before).mean() > 0.9


def pieces(tile, x, d, at):
    """Update with parts of a mini-batch, cut at these vectors."""
    for part in zip(np.split(x, at), np.split(d, at), strict=True):
        tile.update(*part)


#: Whole, one vector first, in halves, one by one; trains are of one vector each.
CUTS = {"whole": [], "first": [1], "halves": [6], "singles": range(1, 13)}


@pytest.mark.parametrize("pulses", ["random", "counted", "exact"])
@pytest.mark.parametrize(("device", "noise"), NOISY)
def test_every_kernel_choice_gives_the_same_bits(
    device, noise, pulses, tile_of, any_backend, monkeypatch
):
    """PR 763: a kernel that was right for one vector alone was kept for all.

    Instruction sets hold other numbers of crosspoints at a time, parts of a batch end
    blocks of draws elsewhere, and columns one by one leave crosspoints without
    neighbours that have pulses, too.
    """
    update = UpdateParameters(
        pulse_type={
            "random": PulseType.STOCHASTIC_COMPRESSED,
            "counted": PulseType.MEAN_COUNT,
            "exact": PulseType.NONE_WITH_DEVICE,
        }[pulses],
        update_bl_management=False,
        update_management=False,
    )
    x, d = numbers((13, 19), 1), numbers((13, 5), 2)
    x[:, ::3] *= 0.02  # few pulses beside many
    expected = None
    for isa in _cpu.available_isas() if any_backend == "cpu" else [_cpu.isa()]:
        monkeypatch.setattr(_cpu, "_isa", isa)
        first = tile_of(device_of(device, noise), 5, 19, update=update)
        assert any_backend != "cpu" or first.tile._backend.isa == isa
        first.set_learning_rate(0.02)
        for cut in CUTS.values():
            tile = first.copy()
            pieces(tile, x, d, cut)
            expected = expected or fingerprint(tile)
            assert fingerprint(tile) == expected
        if any_backend != "cpu":
            assert fingerprint(first.cpu()) == fingerprint(first)
            here = first.cpu()
            here.update(x, d)
            assert fingerprint(here) == expected
        if pulses == "exact":
            continue
        shown = planes_of(tile)
        for j in range(19):
            alone = first.copy()
            alone.update(np.where(np.arange(19) == j, x, 0), d)
            for name, plane in planes_of(alone).items():
                np.testing.assert_array_equal(plane[:, j], shown[name][:, j])


@pytest.mark.parametrize("device", DEVICES)
def test_pulse_counters_of_parts_of_a_batch(device, tile_of):
    """PR 763, for the counters: all pulses of all vectors count, up and down apart."""
    whole = tile_of(device_of(device, count_pulses=True))
    start = whole.copy()
    x, d = numbers((13, 9), 1), numbers((13, 7), 2)
    whole.update(x, d)
    down, up = whole.tile.get_pulse_counters()
    assert down.any()
    assert up.any()
    np.testing.assert_array_equal(down + up, whole.tile.state()[1]["pulse_ordinals"])
    for cut in CUTS.values():
        tile = start.copy()
        pieces(tile, x, d, cut)
        np.testing.assert_array_equal(tile.tile.get_pulse_counters(), [down, up])
    # Down where input and error have one sign, and so on.
    tile = start.copy()
    tile.update(np.ones(9), np.where(np.arange(7) < 3, 1.0, -1.0))
    down, up = tile.tile.get_pulse_counters()
    assert (down[:3] > 0).all()
    assert (up[3:] > 0).all()
    assert not down[3:].any()
    assert not up[:3].any()


def test_ordinals_of_vectors_beyond_32_bits(tile_of):
    """642: a size did not fit into an int; here, how many vectors there have been."""
    tiles_ = []
    for count in (2**32 - 3, 2**31 - 3, 2**33 - 3, 2**62 - 20):
        tile = tile_of(SoftBoundsDevice(write_noise_std=1.0))
        meta, arrays = tile.tile.state()
        meta["counters"] = {**meta["counters"], "update": count, "backward": count}
        tile.tile.set_state(meta, arrays)
        whole = tile.copy()
        x, d = numbers((13, 9), 1), numbers((13, 7), 2)
        whole.update(x, d)
        pieces(tile, x, d, CUTS["singles"])
        assert fingerprint(whole) == fingerprint(tile)
        assert whole.tile.state()[0]["counters"]["update"] == count + 13
        back = whole.backward(d)
        np.testing.assert_array_equal([tile.backward(error) for error in d], back)
        tiles_.append((whole.tile.get_weights().tobytes(), back.tobytes()))
    # No part of a number is lost: all draws differ.
    assert all(len(set(values)) == 4 for values in zip(*tiles_, strict=True))


def test_one_tile_with_changing_batches_and_shapes(tile_of):
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


def test_a_wrong_shape_after_a_good_call_is_refused(tile_of):
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


@pytest.mark.parametrize("device", DEVICES)
def test_convolution_like_updates(device, tile_of):
    """642: thousands of vectors, as images have them, against parts of all sizes."""
    tile, twin = (tile_of(device_of(device), 3, 8) for _ in range(2))
    turned = AnalogTile(3, 8, tile.rpu_config, in_trans=True, out_trans=True, rng=0)
    turned = turned._to_backend(tile.backend)
    x, d = numbers((10, 15, 17, 8), 1), numbers((10, 15, 17, 3), 2, 0.1)
    x, d = x * (numbers(x.shape, 3) > 0.5), d * (numbers(d.shape, 4) > 0.5)
    tile.update(x, d)
    pieces(twin, x.reshape(-1, 8), d.reshape(-1, 3), [1, 2, 5, 70, 71, 1500, 2549])
    turned.update(np.moveaxis(x, -1, 0), np.moveaxis(d, -1, 0))
    assert fingerprint(tile) == fingerprint(twin) == fingerprint(turned)
    counts = tile.tile.state()[1]["pulse_ordinals"]
    assert (counts > 100).all()
    assert tile.tile.state()[0]["counters"]["update"] == 2550


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
@pytest.mark.parametrize("device", DEVICES)
def test_sizes_that_fill_no_register(size, device, tile_of):
    """PR 132: random states were too few for some sizes."""
    tile = tile_of(device_of(device), *size)
    x, d = numbers((5, size[1]), 1), numbers((5, size[0]), 2)
    for _ in range(3):
        tile.update(x, d)
    assert np.isfinite(tile.forward(x)).all()
    assert_within_bounds(tile)


@pytest.mark.parametrize("device", DEVICES)
def test_update_of_one_cell_changes_only_it(device, tile_of):
    """PR 447: a wrong index."""
    tile = tile_of(device_of(device), seed=3)
    before = planes_of(tile)
    ordinals = tile.tile.state()[1]["pulse_ordinals"]
    for i, j in itertools.product(range(7), range(9)):
        x, d = np.zeros(9), np.zeros(7)
        x[j], d[i] = 1.0, -1.0
        for _ in range(3):
            tile.update(x, d)
        now, counted = planes_of(tile), tile.tile.state()[1]["pulse_ordinals"]
        changed = np.argwhere(now["weights"] != before["weights"])
        np.testing.assert_array_equal(changed, [[i, j]])
        np.testing.assert_array_equal(np.argwhere(counted != ordinals), [[i, j]])
        for name in now.keys() - {"weights"}:
            np.testing.assert_array_equal(now[name], before[name])
        before, ordinals = now, counted


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
def test_decay_ends_at_the_reset_value_of_either_sign(device, reset, tile_of):
    """755: a negative reset became 0."""
    name = device
    device = quiet(device_of(name, reset=reset, lifetime=3.0, w_max=0.8, w_min=-0.8))
    tile = tile_of(device)
    assert tile.rpu_config.device.reset == reset
    assert (tile.get_hidden_parameters()["reset_bias"] == np.float32(reset)).all()
    tile.set_weights(numbers((7, 9), 1, 0.7))
    for _ in range(100):
        tile.decay_weights()
    np.testing.assert_allclose(tile.tile.get_weights(), reset, atol=1e-6)
    tile = tile_of(quiet(device_of(name, reset=reset, reset_std=0.0)))
    tile.reset()
    assert (tile.tile.get_weights() == np.float32(reset)).all()


@pytest.mark.parametrize("perfect_bias", [False, True])
@pytest.mark.parametrize(("device", "noise"), NOISY)
def test_bounds_hold_on_every_column_after_every_call(
    device, noise, perfect_bias, tile_of
):
    """599, 604, 635: weights far outside the bounds in the last column."""
    tile = tile_of(
        device_of(
            device,
            noise,
            w_max=0.1,
            w_min=-0.1,
            dw_min=0.02,
            diffusion=0.05,
            lifetime=10.0,
            reset_std=0.2,
            perfect_bias=perfect_bias,
            drift=DriftParameter(nu=0.1, w_noise_std=0.1),
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
    bounds = tile.get_hidden_parameters()["max_bound"]
    ordinary = bounds[:, :-1] if perfect_bias else bounds
    # A spread of the slopes divides bounds, by 1 - 0.1 * 6 at least.
    assert np.abs(ordinary).max() < 0.1 * (1 + 0.3 * 6) / 0.4
    if perfect_bias:
        assert (bounds[:, -1] > 5.0).all()
        if device != "soft_reference":
            np.testing.assert_allclose(bounds[:, -1], 10.0)


def steps_at(device, w):
    """Steps up and down of a device without spread and noise, in units of its own."""
    low, high, name = device.w_min, device.w_max, type(device).__name__
    v = w + getattr(device, "reference_mean", 0.0)
    up, down = (high - v) / (high - low), (v - low) / (high - low)
    if name == "LinearStepDevice":
        return 1 - device.gamma_up * w / high, 1 - device.gamma_down * w / low
    if name.startswith("SoftBounds"):
        return 1 - v / high, 1 - v / low
    if name == "ExpStepDevice":
        z = 2 * device.a * w / (high - low) + device.b
        return (
            1 - device.A_up * np.exp(device.gamma_up * z),
            1 - device.A_down * np.exp(-device.gamma_down * z),
        )
    if name == "DampedStepDevice":
        return np.exp(-device.beta_up * down), np.exp(-device.beta_down * up)
    if name.startswith("PowStep"):
        gamma, shift = device.pow_gamma, device.pow_up_down
        return up ** (gamma * (1 + min(shift, 0))), down ** (
            gamma * (1 - max(shift, 0))
        )
    if name == "PiecewiseStepDevice":
        nodes = np.linspace(low, high, len(device.piecewise_up))
        return tuple(
            np.interp(w, nodes, values)
            for values in (device.piecewise_up, device.piecewise_down)
        )
    if name == "SquareStepDevice":
        return (1 - (w / high) ** 2,) * 2
    assert name == "ConstantStepDevice"
    return 1.0, 1.0


#: One slot for each vector: all lines that are not 0 fire at a rate of 1.
ONE_PULSE = UpdateParameters(
    desired_bl=1, update_bl_management=False, update_management=False
)


@pytest.mark.parametrize("up_down", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("device", DEVICES)
def test_up_and_down_of_asymmetric_devices(device, up_down, tile_of):
    """NeuroSim MLP 8: the formula of one direction was used for the other."""
    fields = dict(dw_min=0.01, up_down=up_down, w_max=0.6, w_min=-0.3)
    if device == "linear":
        fields |= dict(gamma_up=0.2, gamma_down=0.7)
    if device.startswith("pow"):
        fields |= dict(pow_up_down=-up_down)
    config = quiet(device_of(device, **fields))
    tile = tile_of(config, 1, 1, update=ONE_PULSE)
    tile.set_learning_rate(1.0)
    up, down = 0.01 * (1 + min(up_down, 0)), 0.01 * (1 - max(up_down, 0))
    for start in (-0.2, 0.0, 0.2):
        part_up, part_down = steps_at(config, start)
        for error, expected in ((-1.0, up * part_up), (1.0, -down * part_down)):
            tile.set_weights([[start]])
            tile.update([1.0], [error])
            moved = tile.tile.get_weights()[0, 0] - np.float32(start)
            assert moved == pytest.approx(expected, abs=1e-7)


def test_pulses_to_cross_the_range_of_weights(tile_of):
    """457: n pulses do not span the range that the formulas say."""
    device = quiet(ConstantStepDevice(w_min=-0.5, w_max=0.5, dw_min=1 / 256))
    tile = tile_of(device, 1, 1, update=ONE_PULSE)
    tile.set_learning_rate(1.0)
    tile.set_weights([[-0.5]])
    for number in range(1, 301):
        tile.update([1.0], [-1.0])
        assert tile.tile.get_weights() == min(-0.5 + number / 256, 0.5)
    assert tile.rpu_config.device.num_states() == 256


HALF = dict(w_min=-0.5, w_max=0.5, dw_min=1 / 256)
#: Device, where its steps vanish, and by what share of the way there a pulse leads.
CURVES = {
    "linear": (LinearStepDevice(gamma_up=0.5, **HALF), 1.0, 1 / 256),
    "soft": (SoftBoundsDevice(**HALF), 0.5, 1 / 128),
    "soft_reference": (
        SoftBoundsReferenceDevice(reference_mean=-0.1, **HALF),
        0.6,
        1 / 128,
    ),
    "pow": (PowStepDevice(pow_gamma=1.0, **HALF), 0.5, 1 / 256),
    "pow_reference": (
        PowStepReferenceDevice(pow_gamma=1.0, reference_mean=0.1, **HALF),
        0.4,
        1 / 256,
    ),
    "piecewise": (
        PiecewiseStepDevice(
            piecewise_up=[2.0, 1.0, 0.0], piecewise_down=[1.0] * 3, **HALF
        ),
        0.5,
        1 / 128,
    ),
    "pmax": (
        SoftBoundsPmaxDevice(
            p_max=200,
            alpha=0.01,
            range_min=-0.5,
            range_max=0.5,
            mapping=PmaxMapping.UP_CURVE,
        ),
        -0.5 + 1 / (1 - np.exp(-2.0)),
        0.01,
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_many_pulses_follow_the_closed_form(name, tile_of):
    """457, for devices whose steps shrink: the rest of the way is a geometric series."""
    device, end, share = CURVES[name]
    tile = tile_of(quiet(device), 1, 1, update=ONE_PULSE)
    tile.set_learning_rate(1.0)
    planes = tile.get_hidden_parameters()
    shift = planes.get("reference", np.zeros((1, 1)))
    start = np.maximum(-0.5, -0.5 - shift)
    tile.set_weights(start)
    high = planes["max_bound"] - shift
    for number in range(1, 201):
        tile.update([1.0], [-1.0])
        expected = np.minimum(end - (end - start) * (1 - share) ** number, high)
        np.testing.assert_allclose(tile.tile.get_weights(), expected, atol=5e-6)


@pytest.mark.parametrize("name", [name for name, noise in NOISY if noise])
def test_write_noise_with_every_other_noise_on_and_off(name, tile_of):
    """PR 417, 356: write noise was lost where the steps had none."""
    for std, dtod, on_set in itertools.product((0.0, 0.3), (0.0, 0.3), (False, True)):
        device = device_of(
            name, 5.0, dw_min_std=std, dw_min_dtod=dtod, apply_write_noise_on_set=on_set
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


@pytest.fixture
def effect_of(tile_of):
    """What one call does to weights of 0.2, with these effects switched on."""

    def effect(device, name, active):
        fields = {"reset_std": 0.0}
        for other in active:
            fields |= EFFECTS[other][0]
        noiseless = quiet(device_of(device))
        tile = tile_of(attrs.evolve(noiseless, **fields), update=UPDATE)
        tile.set_weights(np.full((7, 9), 0.2))
        EFFECTS[name][1](tile)
        if name == "write_noise":
            return tile.tile.get_weights() - stored(tile)
        return stored(tile)

    return effect


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_of_devices_toggle_independently(name, effect_of):
    """416: programming noise was only applied with drift compensation on."""
    off, on = effect_of("soft", name, []), effect_of("soft", name, [name])
    assert (on != off).any()
    others = [other for other in EFFECTS if other != name]
    for count in range(1, len(others) + 1):
        for active in itertools.combinations(others, count):
            found = effect_of("soft", name, active)
            np.testing.assert_array_equal(found, off)
            found = effect_of("soft", name, (*active, name))
            np.testing.assert_array_equal(found, on)


@pytest.mark.parametrize("device", DEVICES)
def test_each_effect_acts_alone_and_with_all_others(device, effect_of):
    """416, for every device: alone, and with all others."""
    known = {field.name for field in attrs.fields(DEVICES[device][0])}
    effects = [name for name, (fields, _) in EFFECTS.items() if known >= set(fields)]
    for name in effects:
        off, on = effect_of(device, name, []), effect_of(device, name, [name])
        assert (on != off).any(), name
        others = [other for other in effects if other != name]
        np.testing.assert_array_equal(effect_of(device, name, others), off)
        np.testing.assert_array_equal(effect_of(device, name, effects), on)


@pytest.mark.parametrize("device", DEVICES)
def test_each_spread_acts_alone_and_with_all_others(device, tile_of):
    """416, for what is drawn once: no spread needs another, and none hides one."""
    uses = dict(lifetime=5.0, diffusion=0.1, drift=DriftParameter(nu=0.1))
    silent = quiet(device_of(device, **uses))
    names = spreads(silent)
    if hasattr(silent, "reference_std"):
        names.append("reference_std")
    values = dict.fromkeys(names, 0.25)
    none = planes_of(tile_of(silent))
    every = planes_of(tile_of(attrs.evolve(silent, **values)))
    for name in names:
        alone = planes_of(tile_of(attrs.evolve(silent, **{name: 0.25})))
        without = planes_of(tile_of(attrs.evolve(silent, **{**values, name: 0.0})))
        for one, other in ((alone, none), (every, without)):
            changed = [plane for plane in one if (one[plane] != other[plane]).any()]
            assert set(changed) - {"weights"}, name


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


def test_effects_of_the_product_act_whatever_the_others_do(tile_of):
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


#: Effects of wires, lines and devices beside converters and noise.
LINE_EFFECTS = {
    "out_noise_std": {"out_noise_std": 0.5},
    "out_nonlinearity": {"out_nonlinearity": 0.5},
    "out_nonlinearity_std": {"out_nonlinearity_std": 0.5},
    "slope_calibration": {"slope_calibration": 0.5},
    "v_offset_std": {"v_offset_std": 0.3},
    "r_series": {"r_series": 0.1},
    "ir_drop": {"ir_drop": 1.0, "ir_drop_g_ratio": 100.0},
    "w_read_asymmetry_dtod": {"w_read_asymmetry_dtod": 0.3},
}
#: What these act on.
ACTS_ON = {
    "out_nonlinearity_std": {"out_nonlinearity"},
    "slope_calibration": {"out_nonlinearity", "r_series"},
}


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_effects_of_lines_act_whatever_the_others_do(noise, tile_of):
    """416, 405 to 408: each in both directions, alone and with all others."""
    x, d = numbers((6, 9), 1), numbers((6, 7), 2)
    plain = dict(inp_res=0.0, out_res=0.0, out_bound=4.0, out_noise=noise)
    plain["bound_management"] = BoundManagementType.NONE
    plain["mv_type"] = AnalogMVType.POS_NEG_SEPARATE
    names = [name for name in LINE_EFFECTS if noise or name != "out_noise_std"]
    seen = {}
    for flags in itertools.product([False, True], repeat=len(names)):
        active = [name for name, on in zip(names, flags, strict=True) if on]
        fields = dict(plain)
        for name in active:
            fields |= LINE_EFFECTS[name]
        io = IOParameters(**fields)
        tile = tile_of(IdealDevice(), forward=io, backward=io)
        tile.set_weights(numbers((7, 9), 3))
        seen[frozenset(active)] = tile.forward(x), tile.backward(d)
    for active, results in seen.items():
        for name in active:
            acts = ACTS_ON.get(name)
            for found, without in zip(results, seen[active - {name}], strict=True):
                changed = (found != without).mean() > 0.2
                assert changed == (acts is None or bool(acts & active)), (name, active)


#: How vectors can go through an array: name -> call with vectors (n, 9) and (n, 7).
PATHS = {
    "forward": lambda t, x, d: t.forward(x),
    "forward of single vectors": lambda t, x, d: np.array([t.forward(v) for v in x]),
    "forward of batches of batches": lambda t, x, d: t.forward(x.reshape(2, -1, 1, 9)),
    "forward into out": lambda t, x, d: t.forward(x, out=np.zeros((len(x), 7), "f4")),
    "forward in evaluation": lambda t, x, d: t.eval().forward(x),
    "forward features first": lambda t, x, d: t.tile.forward(
        x.T, in_trans=True, out_trans=True
    ),
    "call": lambda t, x, d: t(x),
    "backward": lambda t, x, d: t.backward(d),
    "backward of single vectors": lambda t, x, d: np.array([t.backward(v) for v in d]),
    "backward of batches of batches": lambda t, x, d: t.backward(d.reshape(2, -1, 7)),
    "backward features first": lambda t, x, d: t.tile.backward(
        d.T, in_trans=True, out_trans=True
    ),
}


#: Arrays that are read in time slices, in every way, and whether wires count.
SLICED = {
    f"{mv_type.name.lower()}{'-wires' if ir_drop else ''}": {
        "mv_type": mv_type,
        "ir_drop": ir_drop,
        "inp_res": 1 / 30,
    }
    for mv_type in (
        AnalogMVType.ONE_PASS,
        AnalogMVType.SPLIT_MODE,
        AnalogMVType.BIT_WISE,
    )
    for ir_drop in (0.0, 1.0)
}


@pytest.mark.parametrize("path", [path for path in PATHS if "backward" not in path])
@pytest.mark.parametrize("name", SLICED)
def test_every_path_of_time_slices_shows_the_noise(name, path, tile_of):
    """405 to 408, for arrays that are read in time slices: each conversion has noise."""
    io = IOParametersIRDropT(
        out_res=0.0,
        out_bound=0.0,
        out_noise=0.25,
        noise_management=NoiseManagementType.NONE,
        bound_management=BoundManagementType.NONE,
        **SLICED[name],
    )
    tile = tile_of(IdealDevice(), forward=io)
    tile.set_weights(np.zeros((7, 9)))
    shown = np.ravel(PATHS[path](tile, numbers((400, 9), 1), numbers((400, 7), 2)))
    # The significance of the bits of a product: 4 bits at this resolution.
    weights = {"split_mode": [1, 2**io.split_mode_bit_shift], "bit_wise": [1, 2, 4, 8]}
    noise = 0.25 * np.linalg.norm(weights.get(name.removesuffix("-wires"), [1]))
    statistics.assert_mean(shown / noise, 0.0, 1.0)
    statistics.assert_variance(shown / noise, 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -3e38, 1e-45, 1e-39, 0.0])
@pytest.mark.parametrize("name", SLICED)
def test_garbage_into_time_slices_terminates(name, value, tile_of):
    """642, for arrays that are read in time slices, in training and in evaluation."""
    io = IOParametersIRDropT(**SLICED[name])
    tile = tile_of(ConstantStepDevice(), forward=io)
    x = numbers((4, 9), 1)
    x[2, 3] = value
    for mode in (True, False):
        y = tile.train(mode).forward(x)
        assert np.isfinite(y[[0, 1, 3]]).all()
        # Beyond 1e30 a result may be too large for a float, but it is a number.
        assert np.isnan(y[2]).all() if not np.isfinite(value) else not np.isnan(y).any()
        assert np.isfinite(y[2]).all() or not abs(value) <= 1e30


@pytest.mark.parametrize("name", SLICED)
def test_inputs_of_any_strides_in_time_slices(name, tile_of):
    """PR 388, for arrays that are read in time slices."""
    io = IOParametersIRDropT(**SLICED[name])
    first = tile_of(ConstantStepDevice(), forward=io).eval()
    x = numbers((6, 9), 1)
    expected = first.copy().forward(x)
    for layout, given in views_of(x).items():
        found = first.copy().forward(given)
        np.testing.assert_array_equal(found, expected, err_msg=layout)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_shows_the_noise(path, tile_of):
    """405 to 408, PR 412: what convolutions called had no noise."""
    io = IOParameters(
        inp_res=0.0,
        out_res=0.0,
        out_noise=0.25,
        noise_management=NoiseManagementType.NONE,
        bound_management=BoundManagementType.NONE,
    )
    tile = tile_of(IdealDevice(), forward=io, backward=io)
    tile.set_weights(np.zeros((7, 9)))
    shown = np.ravel(PATHS[path](tile, numbers((400, 9), 1), numbers((400, 7), 2)))
    # Of some 3000 numbers: sees a mean off by 0.11 and a variance off by a quarter.
    statistics.assert_mean(shown / 0.25, 0.0, 1.0)
    statistics.assert_variance(shown / 0.25, 1.0)


# ---- what is set is what is there --------------------------------------------------


@pytest.mark.parametrize(("device", "noise"), NOISY)
def test_set_and_get_of_every_hidden_plane(device, noise, tile_of):
    """PR 313, 303, 106: planes were set, and the weights did not follow."""
    fields = dict(drift=DriftParameter(nu=0.1), lifetime=5.0, diffusion=0.1)
    device = device_of(device, noise, dw_min_std=0.0, **fields)
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
    # A reference is added to the weight and taken off again.
    np.testing.assert_allclose(
        stored(tile), before, rtol=0, atol=1e-7 if "reference" in zero else 0
    )
    tile.set_hidden_parameters({**zero, "decay_scales": np.zeros((7, 9))})
    tile.decay_weights()
    bounds = tile.get_hidden_parameters()
    np.testing.assert_array_equal(
        stored(tile),
        np.clip(bounds["reset_bias"], bounds["min_bound"], bounds["max_bound"]),
    )


def test_weights_of_any_strides(tile_of):
    """PR 388: weights that are not contiguous were set wrongly."""
    weights = numbers((7, 9), 1, 0.1)
    wide = np.zeros((14, 27), dtype=np.float32)
    wide[::-2, ::3] = weights
    row = np.broadcast_to(weights[0], (7, 9))
    tile = tile_of(quiet(ConstantStepDevice()), forward=PERFECT)
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


def test_two_products_see_the_same_weights(tile_of):
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


#: What depends on rows and columns, without noise: bits have to be the same.
DIRECTIONS = {
    "perfect": PERFECT,
    "converters": {"inp_res": 0.1, "out_res": 0.02, "inp_asymmetry": 0.1},
    "ir_drop": {"ir_drop": 1.0, "ir_drop_g_ratio": 50.0},
    "r_series": {"r_series": 0.2, "out_nonlinearity": 0.3, "slope_calibration": 0.5},
    "two_passes": {"mv_type": AnalogMVType.POS_NEG_SEPARATE, "ir_drop": 1.0},
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_forward_and_backward_are_transposes(name, tile_of):
    """CrossSim 18: rows and columns were swapped in one of the directions."""
    io = DIRECTIONS[name]
    if isinstance(io, dict):
        quiet_io = dict(out_noise=0.0, bound_management=BoundManagementType.NONE)
        io = IOParameters(**quiet_io, **io)
    weights = numbers((7, 9), 1)
    tile = tile_of(IdealDevice(), 7, 9, forward=io, backward=io)
    turned = tile_of(IdealDevice(), 9, 7, forward=io, backward=io)
    tile.set_weights(weights)
    turned.set_weights(weights.T)
    x, d = numbers((5, 9), 2), numbers((5, 7), 3)
    np.testing.assert_array_equal(tile.forward(x), turned.backward(x))
    np.testing.assert_array_equal(tile.backward(d), turned.forward(d))


@pytest.mark.parametrize(
    "wiring",
    [
        {"r_word_line": 2e3},
        {"r_bit_line": 2e3},
        {"r_word_line": 5e2, "r_bit_line": 3e3, "drive_both_ends": True},
    ],
)
def test_rows_of_wires_are_columns_of_the_transpose(wiring):
    """CrossSim 18, for the exact solution: parasitics of rows acted on columns.

    Word lines are driven before output 0 and bit lines sensed behind the last input, so
    that both sides are turned round as well.
    """
    pytest.importorskip("scipy")
    weights = numbers((5, 8), 1)
    swapped = {
        "r_word_line": wiring.get("r_bit_line", 0.0),
        "r_bit_line": wiring.get("r_word_line", 0.0),
        "sense_both_ends": wiring.get("drive_both_ends", False),
    }
    found = effective_weights(weights, g_max=5e-6, **wiring)
    turned = effective_weights(weights[::-1, ::-1].T, g_max=5e-6, **swapped)
    np.testing.assert_allclose(found, turned.T[::-1, ::-1], rtol=1e-9)
    # Rows and columns are told apart: without the swap the numbers are others.
    same = effective_weights(weights[::-1, ::-1].T, g_max=5e-6, **wiring)
    assert np.abs(found - same.T[::-1, ::-1]).max() > 1e-4


def test_products_through_wires_of_the_transpose(tile_of):
    """CrossSim 18, for tiles: forward here is backward through the transposed array."""
    pytest.importorskip("scipy")
    off = dict(
        inp_res=0.0,
        out_res=0.0,
        out_noise=0.0,
        bound_management=BoundManagementType.NONE,
    )
    weights, x, d = numbers((7, 9), 1), numbers((5, 9), 2), numbers((5, 7), 3)
    here = IOParametersNodal(r_word_line=2e3, r_bit_line=5e2, **off)
    there = IOParametersNodal(r_word_line=5e2, r_bit_line=2e3, **off)
    tile = tile_of(IdealDevice(), 7, 9, forward=here, backward=here)
    turned = tile_of(IdealDevice(), 9, 7, forward=there, backward=there)
    tile.set_weights(weights)
    turned.set_weights(weights[::-1, ::-1].T)
    y, back = tile.forward(x), tile.backward(d)
    np.testing.assert_allclose(
        turned.backward(x[:, ::-1])[:, ::-1], y, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        turned.forward(d[:, ::-1])[:, ::-1], back, rtol=0, atol=1e-6
    )
    assert np.abs(y - x @ weights.T).max() > 0.05


def views_of(values):
    """The same numbers in every kind of memory."""
    wide = np.zeros((2 * len(values), 3 * values.shape[1]), dtype=np.float32)
    wide[::-2, ::3] = values
    read_only = values.copy()
    read_only.flags.writeable = False
    return {
        "C": values.copy(),
        "F": np.asfortranarray(values),
        "sliced": wide[::-2, ::3],
        "reversed": values[::-1, ::-1].copy()[::-1, ::-1],
        "transposed": np.ascontiguousarray(values.T).T,
        "float64": values.astype(np.float64),
        "read-only": read_only,
        "foreign order": values.astype(">f4"),
    }


def test_inputs_of_any_strides(tile_of):
    """PR 388, for inputs: every kind of memory, into given memory or not."""
    first = tile_of(SoftBoundsDevice(write_noise_std=1.0))
    x, d = numbers((6, 9), 1), numbers((6, 7), 2)
    rows = np.broadcast_to(x[0], (6, 9)), np.broadcast_to(d[0], (6, 7))
    cases = [(x, d, views_of(x), views_of(d))]
    cases.append(
        (rows[0].copy(), rows[1].copy(), {"0-stride": rows[0]}, {"0-stride": rows[1]})
    )
    for plain_x, plain_d, many_x, many_d in cases:
        expected = first.copy()
        y, back = expected.forward(plain_x), expected.backward(plain_d)
        expected.update(plain_x, plain_d)
        for name, given_x in many_x.items():
            given_d = many_d[name]
            kept = np.array(given_x), np.array(given_d)
            for into in (False, True):
                tile = first.copy()
                out = [np.full((6, n), np.nan, np.float32) for n in (7, 9)]
                if into:
                    assert tile.forward(given_x, out=out[0]) is out[0]
                    assert tile.backward(given_d, out=out[1]) is out[1]
                else:
                    out = [tile.forward(given_x), tile.backward(given_d)]
                np.testing.assert_array_equal(out[0], y)
                np.testing.assert_array_equal(out[1], back)
                tile.update(given_x, given_d)
                assert fingerprint(tile) == fingerprint(expected), name
            np.testing.assert_array_equal(given_x, kept[0])
            np.testing.assert_array_equal(given_d, kept[1])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_set_and_get_of_everything_that_lines_drew(direction, tile_of):
    """PR 313, 106, for lines: what is set is read back, and is what products see."""
    tile = tile_of(IdealDevice(), forward=LINES, backward=LINES)
    tile.set_weights(numbers((7, 9), 1))
    inputs = numbers((6, 9 if direction == "forward" else 7), 2)
    read = getattr(tile, f"get_{direction}_parameters")
    first = read()
    assert len(first) == 5

    def seen():
        # With the same random numbers each time: only the lines differ.
        result = getattr(tile, direction)(inputs)
        tile.tile.uncount(direction, len(inputs))
        return result

    before = seen()
    other = "backward" if direction == "forward" else "forward"
    others = getattr(tile, f"get_{other}_parameters")()
    for name, values in first.items():
        changed = np.abs(numbers(values.shape, 3)) + np.float32(0.5)
        getattr(tile, f"set_{direction}_parameters")({name: changed})
        for plane, now in read().items():
            np.testing.assert_array_equal(
                now, changed if plane == name else first[plane]
            )
        assert (seen() != before).mean() > 0.5, name
        getattr(tile, f"set_{direction}_parameters")({name: values})
        np.testing.assert_array_equal(seen(), before)
    for name, values in getattr(tile, f"get_{other}_parameters")().items():
        np.testing.assert_array_equal(values, others[name])


# ---- state -------------------------------------------------------------------------


#: All that lines draw once, and a mean that moves on.
LINES = IOParameters(
    mv_type=AnalogMVType.POS_NEG_SEPARATE,
    noise_management=NoiseManagementType.AVERAGE_ABS_MAX,
    nm_decay=0.3,
    out_noise_std=0.3,
    out_nonlinearity=0.2,
    out_nonlinearity_std=0.3,
    slope_calibration=0.5,
    v_offset_std=0.1,
    w_read_asymmetry_dtod=0.1,
)


def run_steps(tile, first, last):
    for number in range(first, last):
        x, d = numbers((4, 9), number), numbers((4, 7), 100 + number)
        tile.forward(x)
        tile.backward(d)
        tile.eval().forward(x)
        tile.train().update(x, d)
        tile.post_update_step()
        tile.drift_weights(1.5)
    return tile


def all_configs():
    drift = DriftParameter(nu=0.1, nu_dtod=0.2, nu_std=0.1)
    kinds = {
        "pulses": PulseType.STOCHASTIC_COMPRESSED,
        "exact": PulseType.NONE_WITH_DEVICE,
        "none": PulseType.NONE,
    }
    for name, noise in NOISY:
        if name == "numpy":
            continue  # its class is not registered, so that nothing can load it
        device = device_of(name, noise, drift=drift, diffusion=0.01, lifetime=20.0)
        device.count_pulses = noise == 0.0
        for kind, pulse_type in kinds.items():
            update = UpdateParameters(pulse_type=pulse_type)
            config = SingleRPUConfig(device=device, update=update)
            yield f"{name}-{noise}-{kind}", config
    yield "lines", SingleRPUConfig(forward=LINES, backward=LINES)
    for name, fields in SLICED.items():
        yield name, SingleRPUConfig(forward=IOParametersIRDropT(**fields))
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


def test_moving_to_where_it_is_changes_nothing(tile_of):
    """PR 540: a second move zeroed the weights."""
    tile = run_steps(tile_of(ConstantStepDevice(count_pulses=True)), 0, 2)
    before = fingerprint(tile)
    assert tile._to_backend(tile.backend) is tile
    here = tile.cpu()
    assert here.cpu() is here
    there = here._to_backend(tile.backend).cpu()._to_backend(tile.backend)
    assert fingerprint(tile) == fingerprint(there) == before
    twin = tile.copy()
    assert fingerprint(run_steps(twin, 2, 4)) == fingerprint(run_steps(there, 2, 4))


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


def test_building_and_using_a_tile_disturbs_no_other(tile_of):
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


def test_unreachable_targets_of_programming_return(tile_of):
    """MemTorch 49: write and verify never returned where a target cannot be reached."""
    tile = tile_of(quiet(ConstantStepDevice(w_max=0.1, w_min=-0.1)))
    tile.set_weights(np.full((7, 9), 0.1))
    x = numbers((20, 9), 1)
    error = tile.program_weights(x_values=x, max_iter=30, tolerance=0.0)
    assert np.isfinite(error)
    assert_within_bounds(tile)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -3e38, 1e-45, 1e-39, 0.0])
@pytest.mark.parametrize("part", ["all", "one"])
def test_garbage_in_terminates(value, part, tile_of):
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


def test_random_bits_as_input_terminate(tile_of):
    """642, with every pattern of bits that memory can hold."""
    tile = tile_of(ConstantStepDevice())
    words = np.random.default_rng(1).integers(0, 2**32, (2000, 9), dtype=np.uint32)
    y = tile.forward(words.view(np.float32))
    finite = np.isfinite(words.view(np.float32)).all(axis=1)
    assert np.isnan(y[~finite]).all()
    small = (np.abs(words.view(np.float32)) <= 1e30).all(axis=1)
    assert np.isfinite(y[small]).all()
    assert (finite & ~small).any()


#: Fields that are legal and far from what anybody would choose.
EXTREMES = {
    "constant": [{}],
    "linear": [{"gamma_up": 50.0, "gamma_down": -50.0}, {"reverse_up": True}],
    "soft": [{"reverse_down": True, "reverse_offset": 0.0}, {"mult_noise": False}],
    "soft_reference": [
        {"slope_up_dtod": 10.0, "reference_mean": 100.0},
        {"subtract_symmetry_point": True, "reference_std": 10.0},
    ],
    "exp": [
        {"gamma_up": 1e3, "gamma_down": 1e3, "a": 10.0},
        {"A_up": -1.0, "gamma_up": 1e3, "b": 100.0},
    ],
    "damped": [{"beta_up": 300.0}, {"beta_down": -60.0, "beta_down_dtod": 1.0}],
    "pow": [{"pow_gamma": 20.0}, {"pow_gamma": 0.0, "pow_up_down_dtod": 5.0}],
    "pow_reference": [
        {"pow_gamma": 20.0, "reference_std": 10.0},
        {"pow_gamma": 0.2, "subtract_symmetry_point": True},
    ],
    "piecewise": [
        {"piecewise_up": [1e6] * 4},
        {"piecewise_down": [-1e6, 0.0, 1.0, 1e6]},
    ],
    "numpy": [{}],
}
EVERYWHERE = [
    {},
    {"w_max": 0.0, "w_min": 0.0},
    {"w_max": 0.0, "w_max_dtod": 0.0},
    {"up_down": 1.0, "up_down_dtod": 1.0, "enforce_consistency": False},
    {"dw_min": 1e-30},
    {"dw_min": 10.0, "dw_min_std": 10.0},
    {"w_max": 1e-30, "w_min": -1e-30},
]


@pytest.mark.parametrize("device", DEVICES)
def test_finite_in_finite_out_of_devices(device, tile_of):
    """NeuroSim V1.4 11, V2.1 20: NaN and inf came out of plausible parameters."""
    x, d = numbers((5, 9), 1), numbers((5, 7), 2)
    x[0, 0], d[1, 0] = 1e30, 1e-30
    for own, common in itertools.product(EXTREMES[device], EVERYWHERE):
        tile = tile_of(device_of(device, lifetime=2.0, **{**common, **own}))
        for rate in (0.1, -100.0):
            tile.set_learning_rate(rate)
            tile.update(x, d)
            tile.post_update_step()
        assert np.isfinite(tile.forward(x)).all(), (own, common)
        for name, plane in planes_of(tile).items():
            assert np.isfinite(plane).all(), (name, own, common)
        assert_within_bounds(tile)


@pytest.mark.parametrize("size", [1e-38, 1e-20, 1.0, 1e20])
@pytest.mark.parametrize("management", list(NoiseManagementType), ids=str)
def test_finite_in_finite_out_of_products(management, size, tile_of):
    """NeuroSim V2.1 20, for the options of products."""
    for fields in (
        {
            "out_nonlinearity": 1e3,
            "out_nonlinearity_std": 1.0,
            "slope_calibration": 1.0,
        },
        {"r_series": 1e6},
        {"v_offset_std": 100.0, "v_offset_w_min": 0.0},
        {"ir_drop": 1e6, "ir_drop_g_ratio": 1e-6},
        {"w_noise_type": WeightNoiseType.PCM_READ, "w_noise": 10.0},
        {"out_noise_std": 100.0, "out_res": 1.0, "inp_res": 1.0},
        {
            "mv_type": AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
            "w_read_asymmetry_dtod": 10.0,
            "bound_management": BoundManagementType.ITERATIVE_WORST_CASE,
        },
    ):
        io = IOParameters(noise_management=management, nm_decay=0.5, **fields)
        tile = tile_of(IdealDevice(), forward=io, backward=io)
        tile.set_weights(numbers((7, 9), 1))
        x, d = numbers((5, 9), 2) * size, numbers((5, 7), 3) * size
        x[1], d[1] = 0.0, 0.0
        assert np.isfinite(tile.forward(x)).all(), fields
        assert np.isfinite(tile.backward(d)).all(), fields
