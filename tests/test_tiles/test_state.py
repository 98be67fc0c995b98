"""State files: what they keep, and what becomes of damaged ones."""

import io
import itertools
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rpupy
from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    LinearStepDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.errors import StateError
from rpupy.parameters import define
from rpupy.registry import register_device
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile, load, state

Build = Callable[..., Tile]


def _drifting(device: Any) -> Any:
    device.drift.nu = 0.1
    return device


CONFIGS = {
    "default": SingleRPUConfig(),
    "linear": SingleRPUConfig(
        device=_drifting(LinearStepDevice(write_noise_std=0.5, lifetime=50))
    ),
    "soft": SingleRPUConfig(device=SoftBoundsDevice(diffusion=0.01, lifetime_dtod=0.1)),
    "floating": FloatingPointRPUConfig(
        device=_drifting(FloatingPointDevice(lifetime=20, diffusion=0.01))
    ),
}


def _aged(name: str, analog: bool = False) -> Tile:
    """A tile in which everything that can move has moved."""
    config = CONFIGS[name].tile_class(1, 1, CONFIGS[name]).rpu_config
    from rpupy.parameters import thawed_copy

    config = thawed_copy(config)
    config.mapping.digital_bias = not analog
    config.mapping.weight_scaling_omega = 0.3
    config.mapping.weight_scaling_columnwise = True
    tile = config.tile_class(3, 4, config, True, True, False, rng=[3, 4][analog])
    tile.set_weights(np.linspace(-1, 1, 12).reshape(3, 4), [1, 2, 3])
    tile.set_learning_rate(0.0123)
    tile.program_weights(max_iter=2)
    for _ in range(3):
        tile(np.linspace(-1, 1, 4))
        tile.backward(np.ones(3))
        tile.update(np.linspace(-1, 1, 4), [1, 0, -1])
        tile.post_update_step()
        tile.drift_weights(2.0)
        tile.read_weights()
    tile.spawn(2)
    return tile.eval()


def _go_on(tile: Tile) -> list[np.ndarray]:
    """What the tile does next: everything, noisily."""
    found = [tile.spawn(1)[0].get_weights()[0], tile.read_weights()[0]]
    rng = np.random.default_rng(0)
    for mode in (False, True):
        tile.train(mode)
        for _ in range(10):
            x, d = rng.standard_normal((4, 2)), rng.standard_normal((2, 3))
            found += [tile(x), tile.backward(d)]
            tile.update(x, d)
            tile.post_update_step()
            tile.drift_weights(1.5)
            found.append(tile.get_weights()[0])
    tile.program_weights(max_iter=2)
    return [*found, tile.get_weights()[0]]


def _equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tile.npz"


# ---- what a file keeps ---------------------------------------------------------------


@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_loaded_tile_goes_on_exactly(path: Path, name: str, analog: bool) -> None:
    tile = _aged(name, analog)
    tile.save(path)
    loaded = load(path)
    assert type(loaded) is type(tile)
    assert loaded.rpu_config == tile.rpu_config
    with pytest.raises(AttributeError, match="fixed"):
        loaded.rpu_config.device.lifetime = 3
    assert (loaded.in_trans, loaded.out_trans) == (True, False)
    assert loaded.training is False
    assert loaded.get_learning_rate() == 0.0123
    assert np.array_equal(loaded.get_scales(), tile.get_scales())
    assert loaded.analog_bias is analog
    reference = loaded.reference_combined_weights
    assert np.array_equal(reference, tile.reference_combined_weights)
    for a, b in zip(loaded.get_weights(), tile.get_weights(), strict=True):
        assert np.array_equal(a, b)
    hidden, known = loaded.get_hidden_parameters(), tile.get_hidden_parameters()
    assert list(hidden) == list(known)
    assert _equal(list(hidden.values()), list(known.values()))
    assert _equal(_go_on(loaded), _go_on(tile))


def test_what_is_loaded_can_be_written(path: Path) -> None:
    tile = _aged("default")
    tile.save(path)
    loaded = load(path)
    loaded.bias = [3, 2, 1]
    loaded.set_weights(np.zeros((3, 4)), [1, 1, 1])
    loaded.set_hidden_parameters(loaded.get_hidden_parameters())
    assert np.array_equal(loaded.bias, [1, 1, 1])


def test_saving_changes_nothing_and_gives_the_same_bytes(path: Path) -> None:
    tile = _aged("linear")
    twin = tile.copy()
    tile.save(path)
    first = path.read_bytes()
    load(path).save(path)
    assert path.read_bytes() == first
    assert _equal(_go_on(tile), _go_on(twin))


def test_the_file_is_an_archive_that_numpy_reads(path: Path) -> None:
    tile = AnalogTile(3, 4, rng=0)
    tile.save(path)
    with np.load(path, allow_pickle=False) as archive:
        assert np.array_equal(archive["core.weights"], tile.get_weights()[0])
        content = json.loads(archive["state.json"])
    assert content["format"] == "rpupy-tile"
    assert content["format_version"] == 1
    assert content["rpupy"] == rpupy.__version__
    assert content["tile_class"] == "AnalogTile"
    assert content["config"]["class"] == "SingleRPUConfig"


def test_seeds_of_all_kinds_are_kept(path: Path) -> None:
    seeds = [
        None,
        2**9000,
        [1, 2**70],
        np.random.SeedSequence(3, spawn_key=(1, 2), pool_size=7),
    ]
    for rng in seeds:
        seed = rng if not isinstance(rng, list) else np.random.SeedSequence(rng)
        tile = FloatingPointTile(2, 2, rng=seed)
        tile.save(path)
        loaded = load(path)
        words = loaded.seed.generate_state(4)
        assert np.array_equal(words, tile.seed.generate_state(4))


def test_classes_of_tiles(path: Path) -> None:
    tile = FloatingPointTile(2, 2)
    tile.save(path)
    assert type(FloatingPointTile.load(path)) is FloatingPointTile
    with pytest.raises(StateError, match="holds a FloatingPointTile, not a AnalogTile"):
        AnalogTile.load(path)


class OwnTile(FloatingPointTile):
    """A class of a user."""


def test_a_class_of_one_s_own_loads_what_it_saved(path: Path) -> None:
    OwnTile(2, 2).save(path)
    assert type(OwnTile.load(path)) is OwnTile
    with pytest.raises(StateError, match="its class is 'OwnTile', which is not regis"):
        load(path)


@register_device
@define
class OwnDevice(ConstantStepDevice):
    """A device of a user."""

    dw_min: float = 0.005


@define
class HiddenDevice(ConstantStepDevice):
    """A device that nobody registered."""


def test_devices_of_one_s_own(path: Path) -> None:
    AnalogTile(1, 1, SingleRPUConfig(device=OwnDevice())).save(path)
    assert type(load(path).rpu_config.device) is OwnDevice
    before = path.read_bytes()
    tile = AnalogTile(1, 1, SingleRPUConfig(device=HiddenDevice()))
    with pytest.raises(StateError, match="HiddenDevice"):
        tile.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["tile.npz"]


# ---- writing -------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["write_array", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    tile = AnalogTile(2, 2, rng=0)
    tile.save(path)
    before = path.read_bytes()
    tile.update([1, 1], [1, 1])

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    owner = np.lib.format if where == "write_array" else os
    monkeypatch.setattr(owner, where, fail)
    with pytest.raises(OSError, match="no space left"):
        tile.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["tile.npz"]


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile = FloatingPointTile(1, 1)
    monkeypatch.chdir(tmp_path)
    tile.save("bare")
    tile.save(b"bytes")
    os.symlink("bare", "link")
    tile.save("link")
    assert os.path.islink("link")
    assert sorted(os.listdir()) == ["bare", "bytes", "link"]
    for name in os.listdir():
        load(name)
    mask = os.umask(0)
    os.umask(mask)
    assert os.stat("bare").st_mode & 0o777 == 0o666 & ~mask
    with pytest.raises(FileNotFoundError):
        tile.save(tmp_path / "nowhere" / "tile")
    with pytest.raises(FileNotFoundError):
        load("nothing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


# ---- damage --------------------------------------------------------------------------


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("state") / "tile.npz"
    _aged("linear").save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def _refused(folder: Path, data: bytes, match: str = "") -> None:
    path = folder / "damaged.npz"
    path.write_bytes(data)
    with pytest.raises(StateError, match=match or "cannot be loaded") as caught:
        load(path)
    assert str(caught.value).startswith(f"{path} cannot be loaded: ")
    assert len(str(caught.value)) > len(f"{path} cannot be loaded: ")


def _json(saved: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with other JSON, everything else being as it should."""
    members = _members(saved)
    content = json.loads(members["state.json"])
    changed = change(content)
    members["state.json"] = json.dumps(content if changed is None else changed).encode()
    return _pack(members)


def test_repacking_alone_does_no_harm(folder: Path, saved: bytes) -> None:
    path = folder / "whole.npz"
    path.write_bytes(_json(saved, lambda content: None))
    assert _equal(_go_on(load(path)), _go_on(_aged("linear")))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_truncated_files(folder: Path, saved: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(saved) - 1))
    _refused(folder, saved[:length])


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bits(folder: Path, saved: bytes, data: st.DataObject) -> None:
    """A flipped bit is found, or it was one that says nothing, such as a date."""
    damaged = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(saved) * 8 - 1))
        damaged[at // 8] ^= 1 << at % 8
    path = folder / "flipped.npz"
    path.write_bytes(damaged)
    try:
        loaded = load(path)
    except StateError as error:
        assert str(path) in str(error)
    else:
        loaded.save(path)
        assert path.read_bytes() == saved


def test_every_bit_of_the_directory(folder: Path, saved: bytes) -> None:
    """As above, for the part of the file that tells where everything is."""
    path = folder / "directory.npz"
    start = saved.index(b"PK\x01\x02")
    found = 0
    for at in range(start, len(saved), 3):
        damaged = bytearray(saved)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            loaded = load(path)
        except StateError:
            found += 1
        else:
            loaded.save(path)
            assert path.read_bytes() == saved
    assert found > 0


def test_swapped_members(folder: Path, saved: bytes) -> None:
    members = _members(saved)
    names = [name for name in members if name.endswith(".npy")]
    for one, other in itertools.pairwise(names):
        if members[one] == members[other]:
            continue
        swapped = {**members, one: members[other], other: members[one]}
        _refused(folder, _pack(swapped), "its array .* (differs|is not the one)")


def test_missing_spare_and_double_members(folder: Path, saved: bytes) -> None:
    members = _members(saved)
    for name in members:
        fewer = {key: data for key, data in members.items() if key != name}
        _refused(folder, _pack(fewer), "no member|not the arrays that it lists")
    spare = {**members, "more.npy": members["bias.npy"]}
    _refused(folder, _pack(spare), "not the arrays that it lists")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("bias.npy", members["bias.npy"])
    _refused(folder, stream.getvalue(), "two members bias.npy")


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 1000, pickle.dumps([1, 2])])
def test_other_files(folder: Path, data: bytes) -> None:
    _refused(folder, data)


def test_compressed_members(folder: Path, saved: bytes) -> None:
    _refused(folder, _pack(_members(saved), zipfile.ZIP_DEFLATED), "compressed")


def test_newer_files(folder: Path, saved: bytes) -> None:
    def renew(content: dict[str, Any]) -> Any:
        # All that a newer version need keep.
        return {"format": "rpupy-tile", "format_version": 2, "rpupy": "7.5"}

    _refused(folder, _json(saved, renew), r"format_version 2 .* rpupy 7\.5; loading it")


def _set(*keys: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *way, last = keys
        for key in way:
            content = content[key]
        content[last] = to

    return change


def _drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *way, last = keys
        for key in way:
            content = content[key]
        del content[last]

    return change


DEVICE = ("config", "fields", "device")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set("format", to="other"), "not of the format rpupy-tile"),
        (_set("format_version", to="1"), "format_version is '1'"),
        (_set("format_version", to=True), "format_version is True"),
        (_set("format_version", to=0), "format_version is 0"),
        (_set("tile_class", to="os.system"), "its class is 'os.system'"),
        (
            _set("tile_class", to="FloatingPointTile"),
            "its class is 'FloatingPointTile'",
        ),
        (_set("tile_class", to=["AnalogTile"]), "its class is"),
        (_set("config", to=None), "configuration must have"),
        (_set("config", "class", to="Nobody"), "no configuration class named 'Nobody'"),
        (_set("config", "class", to="FloatingPointRPUConfig"), "fields"),
        (_set(*DEVICE, "class", to="StrangeDevice"), "named 'StrangeDevice'"),
        (_set(*DEVICE, "class", to="IOParameters"), "fields"),
        (_set(*DEVICE, "fields", "w_min", to=1.0), "w_min"),
        (_set(*DEVICE, "fields", "dw_min", to=-1.0), "dw_min"),
        (_set(*DEVICE, "fields", "dw_min", to=float("nan")), "holds NaN"),
        (_set(*DEVICE, "fields", "dw_min", to=float("inf")), "holds Infinity"),
        (_set(*DEVICE, "fields", "write_noise_std", to=0.0), "the arrays must be"),
        (
            _set("config", to={"class": "LinearStepDevice", "fields": {}}),
            "no configurat",
        ),
        (_set("tile", to=[]), "data of the tile"),
        (_set("tile", "out_size", to=4), "bias|shape"),
        (_set("tile", "out_size", to=10**30), "shape"),
        (_set("tile", "in_size", to=5), "shape"),
        (_set("tile", "in_size", to=0), "in_size must be an integer of at least 1"),
        (_set("tile", "in_size", to=4.0), "in_size must be an integer"),
        (_set("tile", "bias", to=1), "bias must be true or false"),
        (_set("tile", "bias", to=False), "a digital bias must be there exactly"),
        (_set("tile", "spawned", to=-1), "spawned must be an integer of at least 0"),
        (_set("tile", "seed", "entropy", to="0xq"), "seed cannot be read"),
        (_set("tile", "seed", "entropy", to=-1), "seed cannot be read"),
        (_set("tile", "seed", "spawn_key", to=[-1]), "seed cannot be read"),
        (_set("tile", "seed", "pool_size", to=10**9), "pool_size"),
        (_set("tile", "seed", to={}), "seed cannot be read"),
        (_set("tile", "more", to=1), "data of the tile"),
        (_drop("tile", "training"), "data of the tile"),
        (_drop("core"), "core"),
        (_drop("arrays"), "no list of arrays"),
        (_set("arrays", to=[]), "list of arrays has the wrong form"),
        (_set("arrays", "bias", to=None), ""),
        (_set("arrays", "bias", "dtype", to="|O"), "differs from the list"),
        (_set("arrays", "bias", "shape", to=[2]), "differs from the list"),
        (_set("arrays", "bias", "sha256", to=""), "is not the one that was saved"),
        (_set("core", to=None), ""),
        (_set("core", "key", to=[1]), ""),
        (_set("core", "key", to=[1, 2**40]), ""),
        (_set("core", "key", to=[]), ""),
        (_set("core", "learning_rate", to="x"), "learning_rate"),
        (_set("core", "learning_rate", to=10**400), ""),
        (_set("core", "counters", "update", to=-1), "update"),
        (_set("core", "counters", to={}), "counters"),
        (_drop("core", "key"), ""),
    ],
)
def test_altered_json(
    folder: Path, saved: bytes, change: Callable[[dict[str, Any]], Any], match: str
) -> None:
    _refused(folder, _json(saved, change), match)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"1", b"\xff", b'"' * 9, b"[" * 10**5, b"9" * 10**4]
)
def test_text_that_is_no_state(folder: Path, saved: bytes, text: bytes) -> None:
    _refused(folder, _pack({**_members(saved), "state.json": text}))


def _with_array(saved: bytes, name: str, array: np.ndarray) -> bytes:
    """The file with another array, listed as it should be."""
    members = _members(saved)
    content = json.loads(members["state.json"])
    del content["arrays"][name], members[f"{name}.npy"]
    stream = io.BytesIO()
    state._write_archive(stream, {}, {name: array})
    packed = _members(stream.getvalue())
    content["arrays"] |= json.loads(packed["state.json"])["arrays"]
    packed["state.json"] = json.dumps(content).encode()
    return _pack({**members, **packed})


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("bias", np.zeros(4, np.float32), "bias has the wrong type or shape"),
        ("bias", np.zeros(3), "bias has the wrong type or shape"),
        ("bias", np.full(3, np.nan, np.float32), "bias must be finite"),
        ("mapping_scales", np.zeros(3, np.float32), "mapping_scales must be above 0"),
        (
            "reference_combined_weights",
            np.zeros((3, 5), np.float32),
            "wrong type",
        ),
        ("core.weights", np.zeros((3, 4)), "weights must be float32"),
        ("core.weights", np.zeros((4, 3), np.float32), "weights must be float32"),
        ("core.weights", np.full((3, 4), np.inf, np.float32), "weights must be finite"),
        ("core.pulse_ordinals", np.zeros((3, 4), np.int32), "pulse_ordinals must be"),
    ],
)
def test_altered_arrays(
    folder: Path, saved: bytes, name: str, array: np.ndarray, match: str
) -> None:
    _refused(folder, _with_array(saved, name, array), match)


def test_arrays_of_an_unknown_name(folder: Path, saved: bytes) -> None:
    members = _members(saved)
    content = json.loads(members["state.json"])
    members["strange.npy"] = members["bias.npy"]
    content["arrays"]["strange"] = content["arrays"]["bias"]
    members["state.json"] = json.dumps(content).encode()
    _refused(folder, _pack(members), "no array is called strange")


class Bomb:
    """What must never be unpickled."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_pickles_are_never_opened(folder: Path, saved: bytes) -> None:
    members = _members(saved)
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    content = json.loads(members["state.json"])
    content["arrays"]["bias"] |= {"dtype": "|O", "shape": [1]}
    members["state.json"] = json.dumps(content).encode()
    _refused(folder, _pack({**members, "bias.npy": stream.getvalue()}), "numbers")


def _header(shape: str, dtype: str = "<f4", order: str = "False") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "header",
    [
        _header("(3,)", order="True"),
        _header("(3, 10**9)"),
        _header("(3)"),
        _header("(-3,)"),
        _header("(3,)", dtype="<U9"),
        b"\x93NUMPY\x02\x00" + _header("(3,)")[8:],
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUM",
        b"",
    ],
)
def test_strange_headers(folder: Path, saved: bytes, header: bytes) -> None:
    members = {**_members(saved), "bias.npy": header + b"\0" * 12}
    _refused(folder, _pack(members))


@pytest.mark.parametrize("out_size", [10**6, 10**9, 2**62])
def test_huge_declared_sizes_take_no_memory(
    folder: Path, saved: bytes, out_size: int
) -> None:
    """A file of some kilobytes that claims terabytes, consistently everywhere."""
    members = _members(saved)
    content = json.loads(members["state.json"])
    content["tile"]["out_size"] = out_size
    for name, entry in content["arrays"].items():
        shape = [out_size if n == 3 else n for n in entry["shape"]]
        entry["shape"] = shape
        if shape:
            text = "(" + "".join(f"{n}, " for n in shape) + ")"
            members[f"{name}.npy"] = _header(text, entry["dtype"]) + b"\0" * 64
    members["state.json"] = json.dumps(content).encode()
    data = _pack(members)
    tracemalloc.start()
    try:
        _refused(folder, data, "shorter or longer than its shape")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Twice the file, and what Python and zipfile take for themselves.
    assert peak < 2 * len(data) + 2**19


def test_loading_takes_about_twice_the_file(path: Path) -> None:
    AnalogTile(300, 400, rng=0).save(path)
    load(path)
    tracemalloc.start()
    try:
        load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * path.stat().st_size + 2**20


def test_pulse_counters_are_saved_and_go_on(tmp_path):
    device = ConstantStepDevice(count_pulses=True)
    tile = AnalogTile(3, 5, SingleRPUConfig(device=device), rng=1)
    rng = np.random.default_rng(1)
    x, d = rng.standard_normal((2, 5)), rng.standard_normal((2, 3))
    tile.update(x, d)
    before = tile.get_pulse_counters()
    assert before.dtype == np.int64 and before.shape == (2, 3, 5)
    assert np.array_equal(before.sum(axis=0), tile.tile._arrays["pulse_ordinals"])
    tile.save(tmp_path / "tile.npz")
    loaded = load(tmp_path / "tile.npz")
    before[...] = -1  # a copy
    for other in (loaded, tile.copy()):
        other.update(x, d)
    tile.update(x, d)
    for other in (loaded, tile):
        counted = other.get_pulse_counters()
        assert np.array_equal(counted.sum(axis=0), tile.tile._arrays["pulse_ordinals"])
    assert np.array_equal(loaded.get_pulse_counters(), tile.get_pulse_counters())
    assert AnalogTile(3, 5).get_pulse_counters().shape == (0, 3, 5)
