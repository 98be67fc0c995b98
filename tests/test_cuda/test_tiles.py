"""CUDA tiles as Python objects: moving, copying, arrays of others, running out of memory."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import threading
from typing import Any

import numpy as np
import pytest

from rpupy import registry, tiles
from rpupy.configs import SingleRPUConfig, SoftBoundsDevice
from rpupy.errors import CudaError
from rpupy.rpu_base import cuda


def config(**mapping: Any) -> SingleRPUConfig:
    made = SingleRPUConfig(device=SoftBoundsDevice(write_noise_std=1.0, diffusion=0.01))
    for name, value in mapping.items():
        setattr(made.mapping, name, value)
    return made


@pytest.fixture
def tile(backend: str) -> tiles.Tile:
    made = tiles.AnalogTile(5, 7, config(), bias=True, rng=1)
    made.set_learning_rate(0.03)
    made.eval()
    return made._to_backend(backend)


def equal(a: tiles.Tile, b: tiles.Tile) -> bool:
    one, two = a.__getstate__(), b.__getstate__()
    return one["plain"] == two["plain"] and all(
        array.tobytes() == two["arrays"][name].tobytes()
        for name, array in one["arrays"].items()
    )


def test_moving_is_lossless_and_idempotent(tile: tiles.Tile, backend: str) -> None:
    assert tile._to_backend(backend) is tile
    assert tile.device == f"{backend}:0"
    assert tile.backend == tile.tile.backend_name == backend
    here = tile.cpu()
    assert here.cpu() is here
    assert type(here) is tiles.AnalogTile
    assert (here.device, here.is_cuda) == ("cpu", False)
    assert (tile.is_cuda, here.training, here.get_learning_rate()) == (
        backend == "cuda",
        False,
        0.03,
    )
    assert equal(here, tile)
    assert equal(here._to_backend(backend), here)
    tile.diffuse_weights()
    assert not equal(here, tile), "a moved tile shares nothing with the one before"


@pytest.mark.parametrize("kind", ["analog", "floating_point"])
def test_registry(kind: str, backend: str) -> None:
    assert registry.core_class(kind, backend).backend_name == backend
    assert registry.counterpart(kind, backend).backend == backend


def test_copies_continue_alike(tile: tiles.Tile) -> None:
    twins = [tile.copy(), copy.deepcopy(tile), pickle.loads(pickle.dumps(tile))]
    core = copy.deepcopy(tile.tile)
    x = np.linspace(-1, 1, 7, dtype=np.float32)
    wanted = tile.forward(x)
    for twin in twins:
        assert type(twin) is type(tile)
        assert np.array_equal(twin.forward(x), wanted)
    assert np.array_equal(core.get_weights(), tile.tile.get_weights())
    assert [type(t) for t in tile.spawn(2)] == [type(tile)] * 2


def test_loading_into_a_class_of_the_backend(tile: tiles.Tile, tmp_path: Any) -> None:
    tile.save(tmp_path / "tile")
    assert type(tiles.load(tmp_path / "tile")) is tiles.AnalogTile
    loaded = type(tile).load(tmp_path / "tile")
    assert type(loaded) is type(tile)
    assert equal(loaded, tile)


@pytest.mark.skipif(cuda.is_available(), reason="CUDA is available")
def test_what_does_not_work_without_a_gpu_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"CUDA is not available: \w+"):
        tiles.CudaAnalogTile(2, 3)


@pytest.mark.parametrize("device", ["cuda:x", "cpu", "gpu:0", -1, "cuda:-1"])
def test_bad_devices(device: Any) -> None:
    with pytest.raises(ValueError, match="device must"):
        tiles.AnalogTile(2, 3).cuda(device)
    with pytest.raises(TypeError, match="device must"):
        tiles.AnalogTile(2, 3).cuda(1.5)


def test_a_device_that_is_not_there(backend: str) -> None:
    with pytest.raises(CudaError, match="cudaErrorInvalidDevice") as caught:
        tiles.AnalogTile(2, 3)._to_backend(backend, 99)
    assert caught.value.status == "cudaErrorInvalidDevice"
    assert "place.h" in caught.value.place


# ---- memory --------------------------------------------------------------------------


def test_out_of_memory_leaves_the_tile_as_it_was(host: Any) -> None:
    tile = tiles.AnalogTile(5, 7, config(), rng=1)._to_backend("cuda_host")
    before = tile.cpu()
    x = np.ones((400, 7), dtype=np.float32)
    d = np.ones((400, 5), dtype=np.float32)
    hidden = tile.get_hidden_parameters()
    calls = [
        lambda: tile.forward(x),
        lambda: tile.backward(d),
        lambda: tile.update(x, d),
        lambda: tile.set_hidden_parameters(hidden),
        lambda: tile.tile.set_state(*tile.tile.state()),
        lambda: tile.copy(),
        lambda: before._to_backend("cuda_host"),
    ]
    for extra in (0, 100):
        for call in calls:
            host.set_memory_limit(host.memory_used() + extra)
            with pytest.raises(CudaError, match="out of memory"):
                call()
            host.set_memory_limit(None)
            assert equal(tile, before)


def test_memory_is_given_back(host: Any) -> None:
    before = host.memory_used()
    tile = tiles.AnalogTile(50, 70, config(), rng=1)._to_backend("cuda_host")
    assert host.memory_used() >= before + 4 * 50 * 70
    assert tile.tile.working_bytes() == 0
    tile.forward(np.ones(70))
    assert tile.tile.working_bytes() > 0
    del tile
    assert host.memory_used() == before


def test_no_copy_is_left_unfinished(host: Any) -> None:
    # The caller may change its array, which may be pinned memory, when the call is over.
    tile = tiles.AnalogTile(5, 7, config(weight_scaling_omega=0.5), rng=1)
    tile = tile._to_backend("cuda_host")
    x, d = np.ones((3, 7), dtype=np.float32), np.ones((3, 5), dtype=np.float32)
    there = on_device(tile, x)
    calls = {
        "update": lambda: tile.update(x, d),
        "update, one side": lambda: tile.update(there, d),
        "forward": lambda: tile.forward(x),
        "forward, there": lambda: tile.forward(there).numpy(),
        "backward": lambda: tile.backward(d),
        "set_weights": lambda: tile.set_weights(np.ones((5, 7), dtype=np.float32)),
        "hidden": lambda: tile.set_hidden_parameters(tile.get_hidden_parameters()),
        "copy": tile.copy,
        "cpu": tile.cpu,
    }
    for name, call in calls.items():
        call()
        assert host.unfinished_copies() == 0, name
    with pytest.raises(CudaError, match="out of memory"):
        host.set_memory_limit(host.memory_used() + 30000)
        tile.update(np.ones((600, 7), dtype=np.float32), np.ones((600, 5)))
    assert host.unfinished_copies() == 0


def test_out_of_memory_behind_the_product(host: Any) -> None:
    # The last array that a call needs: the result in the caller's layout, or scaled.
    made = config(digital_bias=False, weight_scaling_omega=0.5)
    first = {"bias": True, "in_trans": True, "out_trans": True}
    for options in (first, {}):
        tile = tiles.AnalogTile(5, 7, made, rng=1, **options)._to_backend("cuda_host")
        shape = (7, 300) if options else (300, 7)
        there = on_device(tile, np.ones(shape))
        tile.forward(there)  # reserves what stays
        before, used, steps = tile.cpu(), host.memory_used(), 0
        while True:
            host.set_memory_limit(used + 3000 * steps)
            try:
                tile.forward(there)
            except CudaError:
                host.set_memory_limit(None)
                assert equal(tile, before)
                steps += 1
            else:
                break
        host.set_memory_limit(None)
        assert steps == (8 if options else 4)


def test_every_status_is_looked_at(host: Any) -> None:
    def life() -> None:
        tile = tiles.AnalogTile(5, 7, config(), rng=1)._to_backend("cuda_host")
        x = np.ones((3, 7), dtype=np.float32)
        y = tile.forward(x)
        tile.update(on_device(tile, x), on_device(tile, y))
        tile.update(x, y)
        tile.diffuse_weights()
        tile.set_weights(np.zeros((5, 7)))
        tile.forward(on_device(tile, x)).numpy()
        tile.cpu()

    failed = 0
    while True:
        host.fail_call(failed)
        try:
            life()
        except CudaError as error:
            assert error.status == "cudaErrorUnknown"
            assert re.search(r"\w+\.(h|cu):\d+$", error.place), error.place
            assert "unknown error" in str(error) and "cuda" in str(error)
        else:
            # The call that was to fail has not come.
            assert host.fail_call(None) >= 0
            break
        failed += 1
    assert failed > 60
    gc.collect()
    assert host.unfinished_copies() == 0


# ---- several devices -----------------------------------------------------------------


def test_several_devices(host: Any) -> None:
    host.set_device_count(3)
    here = tiles.AnalogTile(5, 7, config(), rng=1)
    there = [here._to_backend("cuda_host", number) for number in (0, 2, 1)]
    assert [tile.device for tile in there] == [f"cuda_host:{k}" for k in (0, 2, 1)]
    assert there[1]._to_backend("cuda_host") is there[1]
    again = there[1]._to_backend("cuda_host", 1)
    assert again.device == "cuda_host:1"
    assert again.copy().device == pickle.loads(pickle.dumps(again)).device
    x, d = np.ones((2, 7), dtype=np.float32), np.ones((2, 5), dtype=np.float32)
    here.update(x, d)
    for tile in (*there, again):
        tile.update(on_device(tile, x), d)
        assert equal(tile, here)
    with pytest.raises(ValueError, match="x_input must be on device 2, got device 0"):
        there[1].forward(on_device(there[0], x))
    # What was current stays so: a new tile comes to stand on the first device.
    assert tiles.AnalogTile(2, 2)._to_backend("cuda_host").device == "cuda_host:0"


def test_tiles_in_several_threads(host: Any) -> None:
    host.set_device_count(2)
    x, d = np.ones((30, 70), dtype=np.float32), np.ones((30, 50), dtype=np.float32)

    def train(seed: int, backend: str, place: int | None = None) -> tiles.Tile:
        tile = tiles.AnalogTile(50, 70, config(), rng=seed)._to_backend(backend, place)
        for _ in range(3):
            tile.update(x, d)
            tile.forward(x)
        return tile

    found: dict[int, tiles.Tile] = {}
    workers = [
        threading.Thread(
            target=lambda k=k: found.__setitem__(k, train(k, "cuda_host", k % 2))
        )
        for k in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert all(equal(found[k], train(k, "cpu")) for k in range(4))


# ---- arrays on the device ------------------------------------------------------------


def on_device(tile: tiles.Tile, array: Any) -> Any:
    return tile.tile._backend.array_from(np.ascontiguousarray(array, dtype=np.float32))


@pytest.mark.parametrize("trans", [False, True])
@pytest.mark.parametrize("digital", [True, False])
def test_arrays_on_the_device_are_used_in_place(
    digital: bool, trans: bool, backend: str
) -> None:
    made = config(digital_bias=digital, weight_scaling_omega=0.5)
    here = tiles.AnalogTile(
        5, 7, made, bias=True, in_trans=trans, out_trans=trans, rng=1
    )
    rng = np.random.default_rng(1)
    here.set_weights(rng.standard_normal((5, 7)), rng.standard_normal(5))
    there = here._to_backend(backend)
    x = rng.standard_normal((7, 3, 2) if trans else (3, 2, 7)).astype(np.float32)
    d = rng.standard_normal((5, 3, 2) if trans else (3, 2, 5)).astype(np.float32)
    for _ in range(2):
        y = there.forward(on_device(there, x))
        back = there.backward(on_device(there, d))
        assert type(y) is type(back) is type(on_device(there, x))
        assert y.numpy().tobytes() == here.forward(x).tobytes()
        assert back.numpy().tobytes() == here.backward(d).tobytes()
        there.update(on_device(there, x), on_device(there, d))
        here.update(x, d)
        assert equal(here, there)
    # One side on the device, the other on the host.
    there.update(on_device(there, x), d)
    here.update(x, d)
    assert equal(here, there)


def test_empty_batches_on_the_device(tile: tiles.Tile) -> None:
    before = tile.cpu()
    y = tile.forward(on_device(tile, np.zeros((0, 7))))
    assert y.shape == (0, 5)
    tile.update(on_device(tile, np.zeros((0, 7))), on_device(tile, np.zeros((0, 5))))
    assert equal(tile, before)


def test_bad_arrays_on_the_device(tile: tiles.Tile) -> None:
    before = tile.cpu()
    good = on_device(tile, np.ones((2, 7)))
    with pytest.raises(ValueError, match=r"x_input must have shape \(..., 7\)"):
        tile.forward(on_device(tile, np.ones((2, 6))))
    with pytest.raises(TypeError, match="out must be None"):
        tile.forward(good, out=np.empty((2, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="d_input must be finite"):
        tile.update(good, on_device(tile, np.full((2, 5), np.inf)))
    with pytest.raises(ValueError, match="leading shape"):
        tile.update(good, on_device(tile, np.ones((3, 5))))
    backend = tile.tile._backend
    with pytest.raises(TypeError, match="x_input must be of float32"):
        tile.forward(backend.array_from(np.ones((2, 7))))

    class Strided:
        """An array on the device whose rows are reversed."""

        def __getattr__(self, name: str) -> Any:
            if not name.endswith("_array_interface__"):
                raise AttributeError(name)
            return {**getattr(good, name), "strides": (-28, 4)}

    with pytest.raises(ValueError, match="x_input must be in C order"):
        tile.forward(Strided())
    assert equal(tile, before)


class Foreign:
    """An array on the device that another library describes, with its stream."""

    def __init__(self, array: Any, **changes: Any) -> None:
        self.array, self.changes = array, changes

    def __getattr__(self, name: str) -> Any:
        if not name.endswith("_array_interface__"):
            raise AttributeError(name)
        return {**getattr(self.array, name), **self.changes}


def test_the_stream_of_an_array_is_waited_for(host: Any) -> None:
    tile = tiles.AnalogTile(5, 7, config(), rng=1)._to_backend("cuda_host")
    x = on_device(tile, np.ones((2, 7)))
    wanted = tile.copy().forward(x).numpy()
    for stream in (1, 2, 0x7F001234):  # the legacy stream, that of the thread, a handle
        tile = tile.copy()
        assert tile.copy().forward(Foreign(x, stream=stream)).numpy().shape == (2, 5)
        assert host.waited_for() == stream
    # Without a stream there is nothing to wait for.
    assert np.array_equal(tile.copy().forward(Foreign(x)).numpy(), wanted)
    assert host.waited_for() == 0x7F001234
    with pytest.raises(ValueError, match="x_input must be on device 0, got memory of"):
        outside = np.ones((2, 7), dtype=np.float32)
        tile.forward(Foreign(x, data=(outside.ctypes.data, False)))


class Tensor:
    """A tensor of another library on a device that NumPy does not know: DLPack."""

    def __init__(self, array: Any, number: int = 0, **given: Any) -> None:
        self.array, self.number, self.given = array, number, given
        self.streams: list[int] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return 12, self.number

    def __dlpack__(self, *, stream: int) -> Any:
        self.streams.append(stream)
        return self.given.get("capsule", self.array.__dlpack__())


def test_tensors_are_used_in_place(host: Any) -> None:
    tile = tiles.AnalogTile(5, 7, config(), rng=1)._to_backend("cuda_host")
    here = tile.cpu()
    x = np.linspace(-1, 1, 14, dtype=np.float32).reshape(2, 7)
    tensor = Tensor(on_device(tile, x))
    used = host.memory_used()
    y = tile.forward(tensor)
    assert y.numpy().tobytes() == here.forward(x).tobytes()
    # The producer is told our stream, so that it can let it wait.
    assert tensor.streams == [tile.tile._backend.stream.handle] and tensor.streams[0]
    tile.update(tensor, np.ones((2, 5)))
    here.update(x, np.ones((2, 5)))
    assert equal(tile, here)
    del y, tensor
    assert host.memory_used() <= used + tile.tile.working_bytes()
    with pytest.raises(ValueError, match="x_input must be on device 0, got 1"):
        tile.forward(Tensor(on_device(tile, x), number=1))
    with pytest.raises(TypeError, match="x_input must hand over a DLPack tensor"):
        tile.forward(Tensor(on_device(tile, x), capsule="no capsule"))
    with pytest.raises(TypeError, match="x_input must be of float32"):
        words = tile.tile._backend.array_from(np.ones((2, 7), dtype=np.uint32))
        tile.forward(Tensor(words))
    assert equal(tile, here)


def test_results_speak_the_protocols(host: Any) -> None:
    tile = tiles.AnalogTile(5, 7, config(), rng=1)._to_backend("cuda_host")
    result = tile.forward(on_device(tile, np.ones((2, 7))))
    assert result.__dlpack_device__() == (1, 0)
    assert not hasattr(result, "__cuda_array_interface__")
    described = result.__rpupy_host_array_interface__
    assert (described["shape"], described["typestr"]) == ((2, 5), "<f4")
    used = host.memory_used()
    shared = np.from_dlpack(result)
    numbers = result.numpy()
    del result
    assert host.memory_used() == used, "the memory lives as long as NumPy's view"
    assert np.array_equal(shared, numbers)
    del shared
    assert host.memory_used() < used


def test_an_unused_capsule_releases_the_array(host: Any) -> None:
    tile = tiles.AnalogTile(5, 7, config(), rng=1)._to_backend("cuda_host")
    used = host.memory_used()
    capsule = tile.tile._backend.empty((1000,)).__dlpack__()
    assert host.memory_used() > used
    del capsule
    assert host.memory_used() == used
