"""Devices of one's own in NumPy: a twin of SoftBoundsDevice gives the same bits."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import rpupy
from rpupy.configs import SingleRPUConfig, SoftBoundsDevice
from rpupy.configs.devices import NumpyDevice
from rpupy.errors import ConfigError, StateError
from rpupy.parameters import PulseType, UpdateParameters, define
from rpupy.parameters import definition as definitions
from rpupy.parameters.effects import Effect
from rpupy.parameters.fields import real
from rpupy.registry import core_class, register_device
from rpupy.rpu_base import _cpu, cuda, numpy_device
from rpupy.testing import check_device
from rpupy.testing.reference.arithmetic import fma
from rpupy.tiles import AnalogTile, load

SHAPE = (5, 11)
LONG: dict[str, Any] = {"desired_bl": 70, "update_bl_management": False}


@register_device
@define
class TwinDevice(NumpyDevice):
    """The law of SoftBoundsDevice, operation by operation."""

    cell_parameters: ClassVar[tuple[str, ...]] = ("slope_up", "slope_down")

    def draw(self, params: Mapping[str, Any], draws: Any) -> dict[str, Any]:
        """Draw nothing: the slopes follow from steps and bounds."""
        return {
            "slope_up": -(params["dwmin_up"] / params["max_bound"]),
            "slope_down": -(params["dwmin_down"] / params["min_bound"]),
        }

    def pulse(self, w: Any, direction: Any, params: Any, noise: Any) -> Any:
        """Take a step that vanishes at the bound, with noise on all of it."""
        up = direction > 0
        scale = np.where(up, params["dwmin_up"], -params["dwmin_down"])
        slope = np.where(up, params["slope_up"], -params["slope_down"])
        step = fma(slope, w, scale)
        return fma(step, noise, step) + w


@register_device
@define
class DrawingDevice(NumpyDevice):
    """A device with draws of its own."""

    cell_parameters: ClassVar[tuple[str, ...]] = ("gain", "chance")

    gain_dtod: float = real(0.3, effect=Effect("dtod", of="dw_min", acts_on="update"))

    chance_dtod: float = real(1.0, effect=Effect("dtod", of="dw_min"))

    def draw(self, params: Mapping[str, Any], draws: Any) -> dict[str, Any]:
        """Draw a normal and a uniform number."""
        gain = 1 + np.float32(self.gain_dtod) * draws.normal(0)
        chance = np.float32(self.chance_dtod) * draws.uniform(6)
        return {"gain": gain, "chance": chance}

    def pulse(self, w: Any, direction: Any, params: Any, noise: Any) -> Any:
        """Take a step of a size that each crosspoint drew."""
        step = np.where(direction > 0, params["dwmin_up"], -params["dwmin_down"])
        return w + step * params["gain"] * (1 + params["chance"]) * (1 + noise)


def config_of(device: Any, **update: Any) -> SingleRPUConfig:
    return SingleRPUConfig(device=device, update=UpdateParameters(**update))


def batch_of(size: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, SHAPE[1])).astype(np.float32)
    d = rng.normal(size=(size, SHAPE[0])).astype(np.float32)
    d[size // 2] = 0
    return x, d


def train(device: Any, steps: int = 3, **update: Any) -> AnalogTile:
    tile = AnalogTile(*SHAPE, config_of(device, **update), rng=7)
    tile.set_learning_rate(0.1)
    for step in range(steps):
        tile.update(*batch_of(6, step))
        tile.post_update_step()
    return tile


def assert_same(one: AnalogTile, two: AnalogTile) -> None:
    """Compare all arrays and counters, bit for bit."""
    meta, arrays = one.tile.state()
    other_meta, other_arrays = two.tile.state()
    assert meta == other_meta
    assert arrays.keys() == other_arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(
            array.view(np.uint32), other_arrays[name].view(np.uint32)
        ), name


# --- the twin -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "update"),
    [
        ({}, {}),
        ({"dw_min": 0.05, "dw_min_std": 2.0}, {}),
        ({"write_noise_std": 1.5}, {}),
        ({"dw_min_std": 0.0, "lifetime": 20.0, "diffusion": 0.01}, {}),
        ({"construction_seed": 3, "corrupt_devices_prob": 0.2}, {}),
        ({}, {"desired_bl": 70, "update_bl_management": False}),
        ({}, {"update_bl_management": False, "update_management": False}),
        ({}, {"sto_round": True, "res": 0.05}),
        ({}, {"pulse_type": PulseType.NONE_WITH_DEVICE}),
        ({"count_pulses": True}, {"pulse_type": PulseType.STOCHASTIC}),
        ({"count_pulses": True}, {"pulse_type": PulseType.MEAN_COUNT, **LONG}),
        (
            {"count_pulses": True},
            {"pulse_type": PulseType.DETERMINISTIC_IMPLICIT, "x_res_implicit": 0.05},
        ),
    ],
)
def test_the_twin_has_the_bits_of_the_kernel(
    fields: dict[str, Any], update: dict[str, Any]
) -> None:
    assert_same(
        train(TwinDevice(**fields), **update),
        train(SoftBoundsDevice(**fields), **update),
    )


def test_ascent_and_long_trains_have_the_bits_of_the_kernel() -> None:
    update = {"fixed_bl": False, "update_bl_management": False}
    tiles = []
    for device in (TwinDevice(), SoftBoundsDevice()):
        tile = AnalogTile(*SHAPE, config_of(device, **update), rng=1)
        tile.set_learning_rate(-6.0)  # 6000 slots
        tile.update(*batch_of(2))
        tiles.append(tile)
    assert_same(*tiles)


@pytest.mark.parametrize("isa", _cpu.available_isas())
def test_each_instruction_set_counts_and_draws_alike(isa: str) -> None:
    tile = train(TwinDevice(), steps=1)
    core = tile.tile
    x, d = batch_of(4)
    best = core._backend
    other = _cpu.CpuBackend(*SHAPE, core._key, isa)
    arguments = (core._update, x, d, 4, 0.5, 1e-3, 9, 1, 3, 1)
    counts = best.count_pulses(*arguments)
    assert np.array_equal(counts, other.count_pulses(*arguments))
    assert counts.shape == (4, 3, SHAPE[1])
    assert np.all(counts * np.sign(-d[:, 1:4, None] * x[:, None, :]) >= 0)
    crosspoints = np.arange(40, dtype=np.uint32)
    ordinals = crosspoints * np.uint32(3)
    z = best.pulse_normals(crosspoints, ordinals, 1)
    assert np.array_equal(z, other.pulse_normals(crosspoints, ordinals, 1))
    counters = np.zeros((40, 4), dtype=np.uint32)
    counters[:, 0], counters[:, 1] = crosspoints, ordinals >> 2
    counters[:, 3] = 9 << 24
    normals = _cpu.words_to_normals(_cpu.draw_words(counters, core._key))
    assert np.array_equal(z, normals[np.arange(40), ordinals & 3])


@pytest.mark.parametrize(
    "device",
    [
        TwinDevice(write_noise_std=1.0, lifetime=7.0, diffusion=0.01, up_down=0.2),
        DrawingDevice(construction_seed=5, corrupt_devices_prob=0.05),
    ],
    ids=repr,
)
def test_it_obeys_the_laws_of_all_devices(device: Any) -> None:
    report = check_device(device)
    assert not report.broken
    assert len(report.held) >= 30


# --- the promises of every tile -------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 13, 40])
def test_chunks_change_no_bit(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    whole = train(TwinDevice(write_noise_std=1.0))
    monkeypatch.setattr(numpy_device, "_MAX_COUNTS", limit)
    assert_same(whole, train(TwinDevice(write_noise_std=1.0)))


def test_batches_in_parts_threads_and_files_change_no_bit(tmp_path: Path) -> None:
    config = config_of(DrawingDevice(write_noise_std=0.5))
    whole, parts = (AnalogTile(*SHAPE, config, rng=3) for _ in range(2))
    x, d = batch_of(7)
    whole.update(x, d)
    threads = rpupy.get_num_threads()
    try:
        rpupy.set_num_threads(2)
        parts.update(x[:2], d[:2])
        parts.save(tmp_path / "tile.npz")
        parts = load(tmp_path / "tile.npz")  # type: ignore[assignment]
        parts = pickle.loads(pickle.dumps(parts)).copy()
        parts.update(x[2:], d[2:])
    finally:
        rpupy.set_num_threads(threads)
    assert_same(whole, parts)


def test_weights_stay_within_their_bounds() -> None:
    tile = train(DrawingDevice(dw_min=0.2, dw_min_std=3.0))
    hidden = tile.get_hidden_parameters()
    weights = tile.get_weights()[0]
    assert np.all(weights <= hidden["max_bound"])
    assert np.all(weights >= hidden["min_bound"])


# --- draws ----------------------------------------------------------------------------


def test_draws_are_those_of_kernels() -> None:
    tile = AnalogTile(*SHAPE, config_of(DrawingDevice()), rng=3)
    counters = np.zeros((SHAPE[0] * SHAPE[1], 4), dtype=np.uint32)
    counters[:, 0] = np.arange(len(counters))
    counters[:, 3] = 3  # numbers 12 to 15 of the stream of devices
    words = _cpu.draw_words(counters, tile.tile._key)
    hidden = tile.get_hidden_parameters()
    gain = 1 + np.float32(0.3) * _cpu.words_to_normals(words)[:, 0]
    assert np.array_equal(hidden["gain"].ravel(), gain)
    counters[:, 3] = 4
    words = _cpu.draw_words(counters, tile.tile._key)
    chance = (words[:, 2] >> 8).astype(np.float32) / np.float32(2**24)
    assert np.array_equal(hidden["chance"].ravel(), chance)
    assert list(hidden)[-2:] == ["gain", "chance"]


def test_hidden_parameters_can_be_replaced() -> None:
    tile = AnalogTile(1, 3, config_of(DrawingDevice(dw_min_std=0.0)), rng=3)
    hidden = tile.get_hidden_parameters()
    hidden["gain"][:] = 2
    hidden["chance"][:] = 0
    hidden["dwmin_up"][:] = 0.001
    tile.set_hidden_parameters(hidden)
    tile.set_weights(np.zeros((1, 3)))
    tile.set_learning_rate(0.001)
    tile.update(np.ones(3), [-1.0])
    assert np.array_equal(tile.get_weights()[0], np.full((1, 3), np.float32(0.002)))


def test_effects_of_the_class_are_explained() -> None:
    config = config_of(DrawingDevice())
    assert "device.gain_dtod" in {row.field for row in config.explain()}
    assert config.without("dtod").device.gain_dtod == 0


# --- errors ---------------------------------------------------------------------------


@pytest.mark.skipif(not cuda.is_host_compiled(), reason="RPUPY_CUDA_HOST=0")
def test_other_backends_are_refused() -> None:
    tile = AnalogTile(2, 2, config_of(TwinDevice()), rng=0)
    message = (
        r"TwinDevice is a NumpyDevice and runs on CPU tiles only, not on cuda_host"
    )
    with pytest.raises(NotImplementedError, match=message):
        tile._to_backend("cuda_host")
    with pytest.raises(NotImplementedError, match=message):
        core_class("analog", "cuda_host", TwinDevice())
    assert tile.cpu() is tile


def test_a_base_is_no_device() -> None:
    with pytest.raises(ConfigError, match="NumpyDevice is only a base"):
        AnalogTile(2, 2, config_of(NumpyDevice()))


def device_with(**members: Any) -> NumpyDevice:
    """Build a device of a class with these members."""
    law = {"pulse": lambda self, w, direction, params, noise: w}
    made: Any = define(type("Made", (NumpyDevice,), {**law, **members}))
    return made()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "a"), "tuple of different names"),
        (["a"], "tuple of different names"),
        (("a b",), "tuple of different names"),
        (("max_bound",), "differ from the names of all devices, got .'max_bound'"),
        (("a",), r"draw must return a mapping with the names \['a'\], got \[\]"),
    ],
)
def test_names_are_checked(names: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AnalogTile(2, 2, config_of(device_with(cell_parameters=names)))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros(3), ValueError, r"draw\(\)\['a'\] must have shape \(2, 2\)"),
        (np.full((2, 2), np.nan), ValueError, r"draw\(\)\['a'\] must be finite"),
        (np.array([["a", "b"]] * 2), TypeError, "must be an array of real numbers"),
    ],
)
def test_draws_are_checked(value: Any, error: type[Exception], message: str) -> None:
    device = device_with(
        cell_parameters=("a",), draw=lambda self, params, draws: {"a": value}
    )
    with pytest.raises(error, match=message):
        AnalogTile(2, 2, config_of(device))


@pytest.mark.parametrize(
    ("law", "error", "message"),
    [
        (lambda w: w * np.nan, ValueError, "pulse must return numbers, got NaN"),
        (lambda w: w[:-1], ValueError, r"must return floats of shape \(4,\), got"),
        (lambda w: w.astype(int), ValueError, "must return floats of shape"),
        (lambda w: 1 / 0, ZeroDivisionError, "division by zero"),
    ],
)
def test_a_law_that_fails_changes_nothing(
    law: Any, error: type[Exception], message: str
) -> None:
    calls = []

    def pulse(self: Any, w: Any, direction: Any, params: Any, noise: Any) -> Any:
        calls.append(len(w))
        return w + direction if len(calls) < 3 else law(w)

    tile = AnalogTile(2, 2, config_of(device_with(pulse=pulse)), rng=0)
    tile.set_learning_rate(0.01)
    before = tile.copy()
    with pytest.raises(error, match=message):
        tile.update(np.ones((4, 2)), np.ones((4, 2)))
    assert_same(tile, before)


def test_a_law_cannot_change_what_it_is_given() -> None:
    def pulse(self: Any, w: Any, direction: Any, params: Any, noise: Any) -> Any:
        params["max_bound"][:] = 5
        return w

    tile = AnalogTile(2, 2, config_of(device_with(pulse=pulse)), rng=0)
    with pytest.raises(ValueError, match="read-only"):
        tile.update(np.ones(2), np.ones(2))


def test_a_class_that_is_not_registered_cannot_be_saved_or_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = AnalogTile(2, 2, config_of(device_with()), rng=0)
    with pytest.raises(StateError, match="register"):
        tile.save(tmp_path / "tile.npz")
    AnalogTile(2, 2, config_of(TwinDevice()), rng=0).save(tmp_path / "tile.npz")
    monkeypatch.delitem(definitions._CLASSES, "TwinDevice")
    with pytest.raises(StateError, match="named 'TwinDevice' is registered; register"):
        load(tmp_path / "tile.npz")


# --- a law without fused operations ---------------------------------------------------


@register_device
@define
class PlainTwinDevice(TwinDevice):
    """The law of SoftBoundsDevice as one writes it in NumPy."""

    def pulse(self, w: Any, direction: Any, params: Any, noise: Any) -> Any:
        """Take a step that vanishes at the bound."""
        up = direction > 0
        bound = np.where(up, params["max_bound"], params["min_bound"])
        step = np.where(up, params["dwmin_up"], -params["dwmin_down"])
        return w + step * (1 - w / bound) * (1 + noise)


def test_a_plain_law_differs_from_the_kernel_by_roundings_only() -> None:
    plain = train(PlainTwinDevice())
    kernel = train(SoftBoundsDevice())
    pulses = plain.tile.state()[1]["pulse_ordinals"]
    assert np.array_equal(pulses, kernel.tile.state()[1]["pulse_ordinals"])
    # Each pulse rounds a weight below 1 at most once more, by half of 2**-24, and a step
    # that is hundreds of times smaller a few times more.
    error = np.abs(plain.get_weights()[0] - kernel.get_weights()[0])
    assert np.all(error <= pulses * 2.0**-24)
    assert pulses.max() > 20
