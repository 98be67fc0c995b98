"""Construction, seeds, copies, modes, maintenance and text of tiles."""

import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpupy.configs import (
    AnalogMVType,
    ConstantStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOManagedRPUConfig,
    IOParameters,
    MappingParameter,
    SingleRPUConfig,
)
from rpupy.errors import BackendUnavailableError, ConfigError
from rpupy.parameters import define
from rpupy.rpu_base import cuda
from rpupy.testing.statistics import assert_mean, assert_variance
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile
from rpupy.tiles.seeding import seed_from_dict, seed_sequence, seed_to_dict

Build = Callable[..., Tile]


# ---- construction --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "config"),
    [(AnalogTile, SingleRPUConfig), (FloatingPointTile, FloatingPointRPUConfig)],
)
def test_defaults(cls: type[Tile], config: type) -> None:
    tile = cls(10, 20)
    assert type(tile.rpu_config) is config
    assert (tile.out_size, tile.in_size, tile.shape) == (10, 20, (10, 20))
    assert tile.tile.get_weights().shape == (10, 20)
    assert np.abs(tile.get_weights()[0]).max() <= 0.1
    assert tile.get_learning_rate() == 0.1
    assert tile.training
    assert tile.bias is None and not tile.analog_bias and not tile.digital_bias
    assert (tile.device, tile.is_cuda) == ("cpu", False)
    assert config().create_tile(2, 3).shape == (2, 3)


def test_the_configuration_is_the_tile_s_own() -> None:
    config = SingleRPUConfig()
    tile = AnalogTile(2, 3, config)
    config.forward.out_noise = 0.5
    assert tile.rpu_config.forward.out_noise == 0.06
    with pytest.raises(AttributeError, match="which is fixed"):
        tile.rpu_config.forward.out_noise = 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"out_size": 0}, ValueError, "out_size must be at least 1, got 0"),
        ({"in_size": -3}, ValueError, "in_size must be at least 1, got -3"),
        ({"out_size": 2.0}, TypeError, "out_size must be an integer, got 2.0"),
        ({"in_size": True}, TypeError, "in_size must be an integer, got True"),
        ({"out_size": 2**20, "in_size": 2**20}, ValueError, r"below 2\*\*32"),
        ({"bias": 1}, TypeError, "bias must be True or False, got 1"),
        ({"in_trans": None}, TypeError, "in_trans must be True or False, got None"),
        ({"out_trans": "no"}, TypeError, "out_trans must be True or False, got 'no'"),
        ({"rng": -1}, ValueError, "rng must not be negative, got -1"),
        ({"rng": True}, TypeError, "rng must be None, an int, .* got True"),
        ({"rng": 1.5}, TypeError, "rng must be None, an int, .* got 1.5"),
        ({"rng": np.random.RandomState(1)}, TypeError, "rng must be None"),
    ],
)
@pytest.mark.parametrize("cls", [AnalogTile, FloatingPointTile])
def test_bad_arguments(
    cls: type[Tile], arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        cls(**{"out_size": 2, "in_size": 3, **arguments})


def test_an_analog_bias_does_not_make_up_for_inputs() -> None:
    config = SingleRPUConfig(mapping=MappingParameter(digital_bias=False))
    with pytest.raises(ValueError, match="in_size must be at least 1, got 0"):
        AnalogTile(2, 0, config, bias=True)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (FloatingPointRPUConfig(), r"such as SingleRPUConfig\(\), got FloatingPoint"),
        (IOManagedRPUConfig(), "got IOManagedRPUConfig"),
        (SingleRPUConfig, "got the class SingleRPUConfig"),
        (IdealDevice(), "got IdealDevice"),
        ("SingleRPUConfig", "got str"),
    ],
)
def test_bad_configurations(config: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        AnalogTile(2, 3, config)


def test_a_configuration_that_is_not_legal_as_a_whole() -> None:
    with pytest.raises(ConfigError, match=r"inp_bound must be 1.0"):
        AnalogTile(2, 3, SingleRPUConfig(forward=IOParameters(inp_bound=2.0)))


# ---- seeds ---------------------------------------------------------------------------


def _fingerprint(tile: Tile) -> list[np.ndarray]:
    """Everything that chance decides, and how the tile goes on."""
    x = np.linspace(-1, 1, 2 * tile.in_size).reshape(2, -1)
    d = np.linspace(1, -1, 2 * tile.out_size).reshape(2, -1)
    found = [*tile.get_hidden_parameters().values(), tile.get_weights()[0]]
    found += [tile(x), tile.backward(d)]
    tile.update(x, d)
    tile.post_update_step()
    found += [tile.get_weights()[0], tile(x)]
    return found


def _same(one: Tile, other: Tile) -> bool:
    """Whether two tiles are equal and continue equally (the tiles move on)."""
    return all(
        np.array_equal(a, b)
        for a, b in zip(_fingerprint(one), _fingerprint(other), strict=True)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: 17,
        lambda: np.int64(17),
        lambda: 2**200 + 5,
        lambda: np.random.SeedSequence(17, spawn_key=(3,)),
        lambda: np.random.SeedSequence([1, 2**70, 3]),
        lambda: np.random.default_rng(17),
    ],
)
def test_equal_seeds_make_twins(noisy: Build, make: Callable[[], Any]) -> None:
    assert _same(noisy(3, 4, rng=make()), noisy(3, 4, rng=make()))


def test_other_seeds_make_other_tiles(noisy: Build) -> None:
    generator = np.random.default_rng(0)
    seeds = [0, 1, np.random.SeedSequence(0, spawn_key=(0,)), generator, generator]
    prints = [_fingerprint(noisy(3, 4, rng=rng)) for rng in (*seeds, None, None)]
    for k, one in enumerate(prints):
        for other in prints[:k]:
            # The first four are bounds and steps of devices; all are drawn.
            assert not any(np.array_equal(one[i], other[i]) for i in range(4))
            assert not np.array_equal(one[-1], other[-1])


def test_a_seed_sequence_is_as_it_was() -> None:
    seed = np.random.SeedSequence(5)
    tile = AnalogTile(2, 2, rng=seed)
    tile.spawn(3)
    assert seed.n_children_spawned == 0
    assert tile.seed.entropy == 5
    tile.seed.spawn(2)
    assert _same(AnalogTile(2, 2, rng=tile.seed), AnalogTile(2, 2, rng=5))


def test_global_random_state_is_untouched(noisy: Build) -> None:
    legacy = np.random.get_state()  # noqa: NPY002 - it is what must not change
    tile = noisy(3, 4)
    tile.read_weights()
    tile.spawn(2)
    _fingerprint(tile)
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(legacy[1], after[1]) and legacy[2:] == after[2:]


def test_the_construction_seed_fixes_the_devices_alone() -> None:
    device = ConstantStepDevice(construction_seed=3)
    config = SingleRPUConfig(device=device)
    one, two = (AnalogTile(3, 4, config, rng=k) for k in range(2))
    first, second = one.get_hidden_parameters(), two.get_hidden_parameters()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(one.get_weights()[0], two.get_weights()[0])


words = st.integers(0, 2**40)


@given(
    st.one_of(words, st.lists(words, min_size=1, max_size=5)),
    st.lists(st.integers(0, 2**32 - 1), max_size=3),
    st.integers(4, 8),
)
def test_seeds_keep_their_words(entropy: Any, key: list[int], pool: int) -> None:
    given_seed = np.random.SeedSequence(entropy, spawn_key=key, pool_size=pool)
    words = given_seed.generate_state(4)
    own = seed_sequence(given_seed)
    assert np.array_equal(own.generate_state(4), words)
    read = seed_from_dict(seed_to_dict(own))
    assert np.array_equal(read.generate_state(4), words)


def test_spawned_tiles(noisy: Build) -> None:
    tile = noisy(3, 4, bias=True, in_trans=True, rng=1).eval()
    first = tile.spawn(2)
    (third,) = tile.spawn(1)
    for child in (*first, third):
        assert type(child) is AnalogTile
        assert child.rpu_config == tile.rpu_config
        assert (child.shape, child.digital_bias) == (tile.shape, True)
        assert (child.in_trans, child.out_trans) == (True, False)
        assert not child.training
    weights = [t.get_weights()[0] for t in (tile, *first, third)]
    steps = [t.get_hidden_parameters()["dwmin_up"] for t in (tile, *first, third)]
    for k in range(4):
        for j in range(k):
            assert not np.array_equal(weights[k], weights[j])
            assert not np.array_equal(steps[k], steps[j])
    # The count goes on in a copy; a twin spawns the same.
    twin = noisy(3, 4, bias=True, in_trans=True, rng=1)
    assert np.array_equal(twin.spawn(3)[2].get_weights()[0], weights[3])
    assert np.array_equal(
        tile.copy().spawn(1)[0].get_weights()[0], tile.spawn(1)[0].get_weights()[0]
    )
    assert tile.spawn(0) == []


def test_spawned_tiles_are_not_those_of_the_user_s_children() -> None:
    seed = np.random.SeedSequence(0)
    tile = FloatingPointTile(2, 2, rng=seed)
    own, users = tile.spawn(1)[0], FloatingPointTile(2, 2, rng=seed.spawn(1)[0])
    assert not np.array_equal(own.get_weights()[0], users.get_weights()[0])


@pytest.mark.parametrize(
    ("n", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_bad_spawns(n: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="n must"):
        AnalogTile(1, 1).spawn(n)


# ---- copies --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        Tile.copy,
        lambda tile: pickle.loads(pickle.dumps(tile)),
    ],
)
@pytest.mark.parametrize("digital", [False, True])
def test_copies_continue_identically_and_apart(
    noisy: Build, duplicate: Callable[[Tile], Tile], digital: bool
) -> None:
    tile = noisy(3, 4, bias=True, out_trans=digital, rng=3)
    if digital:
        tile.bias = [1, 2, 3]
    tile.set_learning_rate(0.07)
    for _ in range(3):
        tile.forward(np.ones(4))
        tile.update(np.ones(4), np.ones(3))
        tile.post_update_step()
    tile.eval()
    twin = duplicate(tile)
    assert twin.tile is not tile.tile
    assert twin.training is False and twin.out_trans is digital
    assert twin.get_learning_rate() == 0.07
    assert twin.rpu_config == tile.rpu_config
    if digital:
        assert np.array_equal(twin.bias, [1, 2, 3])
    before = tile.get_weights()[0]
    twin.update(np.ones(4), np.ones(3))
    assert np.array_equal(tile.get_weights()[0], before)
    tile.update(np.ones(4), np.ones(3))
    x = np.linspace(-1, 1, 4)
    assert np.array_equal(tile(x), twin(x))
    assert np.array_equal(tile.get_weights()[0], twin.get_weights()[0])
    a, b = tile.read_weights()[0], twin.read_weights()[0]
    assert np.array_equal(a, b)


@define
class Unregistered(ConstantStepDevice):
    """A device that no state file can name."""


def test_a_class_that_is_not_registered_can_be_copied() -> None:
    tile = AnalogTile(2, 3, SingleRPUConfig(device=Unregistered()), rng=0)
    assert _same(tile.copy(), tile.copy())
    assert type(tile.copy().rpu_config.device) is Unregistered


# ---- mode ----------------------------------------------------------------------------


def test_validating_never_changes_training(noisy: Build) -> None:
    def run(validate: bool) -> np.ndarray:
        tile = noisy(3, 4, rng=2)
        x = np.linspace(-1, 1, 4)
        for _ in range(4):
            y = tile(x)
            tile.backward(y)
            tile.update(x, y)
            if validate:
                assert tile.eval() is tile and tile.training is False
                tile(x)
                tile.backward(y)
                tile.read_weights()
                assert tile.train() is tile and tile.training is True
        return np.concatenate([tile(x), tile.get_weights()[0].ravel()])

    assert np.array_equal(run(False), run(True))


def test_mode_must_be_a_flag() -> None:
    with pytest.raises(TypeError, match="mode must be True or False, got 0"):
        AnalogTile(1, 1).train(0)


# ---- maintenance ---------------------------------------------------------------------


def _still(**device: Any) -> AnalogTile:
    """A 2 x 4 tile of devices without any spread."""
    quiet = ConstantStepDevice(
        **{
            "dw_min_dtod": 0,
            "w_max_dtod": 0,
            "w_min_dtod": 0,
            "up_down_dtod": 0,
            "reset_std": 0,
            "w_max": 2,
            "w_min": -2,
            **device,
        }
    )
    return AnalogTile(2, 4, SingleRPUConfig(device=quiet), rng=0)


def test_reset_wraps_around() -> None:
    tile = _still(reset=0.25)
    tile.set_weights(np.ones((2, 4)))
    tile.reset_columns(3, 2)
    assert np.array_equal(tile.get_weights()[0], [[0.25, 1, 1, 0.25]] * 2)
    tile.reset_columns(1, 0)
    assert np.array_equal(tile.get_weights()[0], [[0.25, 1, 1, 0.25]] * 2)
    tile.reset_columns(1, -1)
    assert np.array_equal(tile.get_weights()[0], np.full((2, 4), 0.25))
    tile.set_weights(np.ones((2, 4)))
    tile.reset()
    assert np.array_equal(tile.get_weights()[0], np.full((2, 4), 0.25))


def test_reset_of_a_fraction() -> None:
    config = SingleRPUConfig(device=IdealDevice(reset_std=0.0))
    tile = AnalogTile(100, 100, config, rng=4)
    tile.set_weights(np.ones((100, 100)))
    tile.reset(0.3)
    hit = tile.get_weights()[0] == 0.0
    assert_mean(hit, 0.3, np.sqrt(0.3 * 0.7), largest=0.7, false_alarm=1e-7)


def test_floating_point_tiles_have_no_reset() -> None:
    tile = FloatingPointTile(2, 2)
    before = tile.get_weights()[0]
    with pytest.raises(NotImplementedError, match="FloatingPointDevice has no reset"):
        tile.reset()
    assert np.array_equal(tile.get_weights()[0], before)


def test_decay_to_the_reset_bias() -> None:
    tile = _still(reset=0.2, lifetime=10)
    tile.set_weights(np.ones((2, 4)))
    tile.decay_weights()
    assert tile.get_weights()[0] == pytest.approx(0.92, abs=2e-7)
    tile.set_weights(np.ones((2, 4)))
    tile.decay_weights(0.5)
    assert tile.get_weights()[0] == pytest.approx(0.96, abs=2e-7)


def test_decay_of_floating_point_tiles() -> None:
    device = FloatingPointDevice(lifetime=10)
    tile = FloatingPointTile(2, 2, FloatingPointRPUConfig(device=device))
    tile.set_weights(np.ones((2, 2)))
    tile.decay_weights(0.5)
    assert tile.get_weights()[0] == pytest.approx(0.95, abs=1e-7)


def test_diffusion_then_decay_after_an_update() -> None:
    device = FloatingPointDevice(diffusion=0.1, lifetime=10)
    tile = FloatingPointTile(100, 100, FloatingPointRPUConfig(device=device), rng=6)
    tile.set_weights(np.zeros((100, 100)))
    tile.diffuse_weights()
    assert_variance(tile.get_weights()[0], 0.1**2, false_alarm=1e-7)
    tile.post_update_step()
    # Decay comes last and takes the new diffusion along: (0.01 + 0.01) * 0.9^2.
    assert_variance(tile.get_weights()[0], 0.02 * 0.81, false_alarm=1e-7)


def test_post_update_step_without_anything_to_do(exact: Build) -> None:
    tile = exact(3, 3)
    before = tile.get_weights()[0]
    tile.post_update_step()
    assert np.array_equal(tile.get_weights()[0], before)


def test_drift_and_clip() -> None:
    device = FloatingPointDevice()
    device.drift.nu = 0.1
    tile = FloatingPointTile(1, 2, FloatingPointRPUConfig(device=device))
    tile.set_weights([[0.5, 0.5]])
    tile.drift_weights(10)
    assert tile.get_weights()[0] == pytest.approx(0.5 * 10**-0.1, abs=1e-6)
    tile.clip_weights(0.25)
    assert np.array_equal(tile.get_weights()[0], [[0.25, 0.25]])


def test_hidden_parameters() -> None:
    tile = AnalogTile(2, 3, rng=0)
    hidden = tile.get_hidden_parameters()
    assert list(hidden)[:4] == ["max_bound", "min_bound", "dwmin_up", "dwmin_down"]
    tile.set_weights(np.ones((2, 3)))
    hidden["max_bound"][...] = 0.125
    tile.set_hidden_parameters(hidden)
    assert np.array_equal(tile.get_weights()[0], np.full((2, 3), 0.125))
    tile.set_hidden_parameters({})
    with pytest.raises(ValueError, match="must have the names"):
        tile.set_hidden_parameters({"max_bound": hidden["max_bound"]})
    assert FloatingPointTile(1, 1).get_hidden_parameters() == {}


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_lines_of_exact_products_draw_nothing(exact: Build, direction: str) -> None:
    tile = exact(1, 1)
    assert getattr(tile, f"get_{direction}_parameters")() == {}
    set_parameters = getattr(tile, f"set_{direction}_parameters")
    set_parameters()
    set_parameters({})
    with pytest.raises(ValueError, match=r"lines draw nothing.*got 'v_offset'"):
        set_parameters({"v_offset": [0]}, other=[0])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_what_lines_drew_is_read_set_and_saved(direction: str, tmp_path: Path) -> None:
    io = IOParameters(
        out_noise_std=0.1,
        out_nonlinearity=0.2,
        v_offset_std=0.1,
        w_read_asymmetry_dtod=0.1,
        mv_type=AnalogMVType.POS_NEG_SEPARATE,
    )
    config = SingleRPUConfig(device=IdealDevice(), forward=io, backward=io)
    tile = AnalogTile(2, 3, config, rng=1)
    read = getattr(tile, f"get_{direction}_parameters")
    write = getattr(tile, f"set_{direction}_parameters")
    lines = (2,) if direction == "forward" else (3,)
    shapes = {name: values.shape for name, values in read().items()}
    assert shapes == {
        "out_noise_values": lines,
        "out_nonlinearity": lines,
        "out_nonlinearity_factor": (),
        "v_offset": lines,
        "w_asymmetry": (2, 3),
    }
    before = read()
    write(v_offset=np.full(lines, 0.25), out_nonlinearity_factor=2)
    assert (read()["v_offset"] == 0.25).all()
    assert read()["out_nonlinearity_factor"] == 2
    assert np.array_equal(read()["out_noise_values"], before["out_noise_values"])
    read()["v_offset"][...] = 7  # a copy
    tile.save(tmp_path / "tile.npz")
    for twin in (tile.copy(), AnalogTile.load(tmp_path / "tile.npz")):
        again = getattr(twin, f"get_{direction}_parameters")()
        for name, values in read().items():
            assert np.array_equal(again[name], values)
    for name, wrong in (("v_offset", [1.0]), ("out_noise_values", [np.nan] * lines[0])):
        with pytest.raises(ValueError, match=name):
            write({name: wrong, "out_nonlinearity_factor": 3})
    assert read()["out_nonlinearity_factor"] == 2


# ---- elsewhere -----------------------------------------------------------------------


@pytest.mark.skipif(cuda.is_available(), reason="CUDA is available")
def test_cuda_without_cuda(exact: Build) -> None:
    tile = exact(2, 2)
    with pytest.raises(BackendUnavailableError, match=cuda.why_unavailable()):
        tile.cuda()
    assert tile.cpu() is tile


def test_compatible_configurations() -> None:
    tile = AnalogTile(1, 1)
    other = SingleRPUConfig(device=IdealDevice())
    other.mapping.weight_scaling_omega = 0.5
    assert tile.compatible_with(other) == (True, "")
    good, message = tile.compatible_with(FloatingPointRPUConfig())
    assert not good and "must be a SingleRPUConfig, got Floating" in message
    good, message = tile.compatible_with(
        SingleRPUConfig(mapping=MappingParameter(digital_bias=False))
    )
    assert not good and "rpu_config.mapping must be like" in message


def test_several_threads_take_turns(noisy: Build) -> None:
    tile = noisy(8, 8, rng=0)
    x = np.linspace(-1, 1, 8)
    expected = {}
    twin = tile.copy()
    for _ in range(4 * 50):
        expected[twin(x).tobytes()] = None
    got = []

    def work() -> None:
        for _ in range(50):
            y = tile(x)
            got.append(y.tobytes())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(expected)


# ---- text ----------------------------------------------------------------------------


def test_repr() -> None:
    tile = AnalogTile(3, 4, bias=True)
    assert repr(tile) == (
        "AnalogTile(3, 4, SingleRPUConfig, bias: digital,"
        " tile: CpuTile[ConstantStepDevice](3, 4))"
    )
    assert tile.get_brief_info() == tile.tile.get_brief_info()


def test_str_lists_what_acts_and_nothing_else() -> None:
    config = SingleRPUConfig(
        forward=IOParameters(is_perfect=True),
        device=ConstantStepDevice(lifetime=7.5, dw_min_std=0.0),
    )
    text = str(AnalogTile(3, 4, config, in_trans=True))
    lines = [line.strip() for line in text.splitlines()]
    for shown in (
        "out_size: 3, in_size: 4",
        "in_trans: True, out_trans: False",
        "bias: none",
        "mapping scales: none",
        "is_perfect: True",
        "out_noise: 0.06",
        "noise_management: ABS_MAX",
        "desired_bl: 31",
        "dw_min: 0.001",
        "lifetime: 7.5",
        "w_min: -0.6",
    ):
        assert lines.count(shown) == 1, shown
    for hidden in (
        "dw_min_std",
        "nu",
        "bound_management",  # without effect in the backward product
        "nm_decay",
        "corrupt_devices_range",
        "w_noise",
        "lifetime_dtod",
        "input_range",
    ):
        assert not any(line.startswith(hidden) for line in lines), hidden


def test_str_of_other_tiles() -> None:
    config = FloatingPointRPUConfig(device=FloatingPointDevice(diffusion=0.5))
    config.mapping.weight_scaling_omega = 0.6
    config.device.drift.nu = 0.1
    lines = str(FloatingPointTile(1, 2, config)).splitlines()
    assert "    diffusion: 0.5" in lines
    assert "    weight_scaling_omega: 0.6" in lines
    assert "      nu: 0.1" in lines
    assert "  mapping scales: one" in lines
    ideal = SingleRPUConfig(device=IdealDevice())
    assert "update" not in str(AnalogTile(1, 2, ideal))
