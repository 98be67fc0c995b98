"""Unit cells and compounds on CUDA tiles: the bits of the CPU, and failed calls."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from rpupy import registry, tiles
from rpupy.configs import (
    ConstantStepDevice,
    NoiseAggregation,
    SingleRPUConfig,
    UpdateParameters,
)
from rpupy.errors import CudaError

sys.path.insert(0, str(Path(__file__).parents[1] / "test_compounds"))
from cells import ALL, CELLS, SHAPE, config

#: One of each kind, with what is special to it.
KINDS = ["vector", "refreshed", "ttv1_reset", "ttv2", "ttv3", "gated", "mixed"]


def built(name: str, shape: tuple[int, int] = SHAPE, **fields: Any) -> tiles.Tile:
    made = config(ALL[name])
    for field, value in fields.items():
        setattr(made, field, value)
    tile = tiles.AnalogTile(*shape, made, rng=3)
    tile.set_learning_rate(0.05)
    return tile


def vectors(
    batch: int, shape: tuple[int, int] = SHAPE, seed: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0.2, 0.6, (batch, shape[1])).astype(np.float32)
    d = rng.normal(-0.1, 0.6, (batch, shape[0])).astype(np.float32)
    x[batch // 2] = 0.0
    return x, d


def same(a: tiles.Tile, b: tiles.Tile) -> None:
    meta_a, arrays_a = a.tile.state()
    meta_b, arrays_b = b.tile.state()
    assert meta_a == meta_b
    assert list(arrays_a) == list(arrays_b)
    for name, array in arrays_a.items():
        assert array.tobytes() == arrays_b[name].tobytes(), name


def equal(a: tiles.Tile, b: tiles.Tile) -> bool:
    try:
        same(a, b)
    except AssertionError:
        return False
    return True


def on_device(tile: tiles.Tile, array: np.ndarray) -> Any:
    return tile.tile._backend.array_from(array)


# ---- equal bits ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_training_gives_the_same_bits(name: str, backend: str) -> None:
    here = built(name)
    there = here._to_backend(backend)
    assert type(there.tile) is registry.core_class("compound", backend)
    for step, batch in enumerate((1, 45, 3)):
        x, d = vectors(batch, seed=step)
        results = []
        for tile in (here, there):
            y = tile.forward(x)
            tile.update(x, d)
            tile.post_update_step()
            results.append((y.tobytes(), tile.backward(d).tobytes()))
        assert results[0] == results[1]
        same(here, there)


@pytest.mark.parametrize("name", CELLS)
def test_a_batch_in_parts_gives_the_same_bits(name: str, backend: str) -> None:
    here = built(name)
    there = here._to_backend(backend)
    x, d = vectors(29)
    here.update(x, d)
    for first, last in ((0, 1), (1, 12), (12, 13), (13, 29)):
        there.update(x[first:last], d[first:last])
    same(here, there)


@pytest.mark.parametrize("name", KINDS)
def test_one_vector_after_the_other_gives_the_same_bits(
    name: str, backend: str
) -> None:
    here = built(name)
    there = here._to_backend(backend)
    there.tile._stepwise = True
    x, d = vectors(45)
    here.update(x, d)
    there.update(x, d)
    same(here, there)


@pytest.mark.parametrize("name", [*KINDS, "ttv1_rows", "ttv3_auto"])
def test_arrays_of_several_tiles_of_the_kernels(name: str, backend: str) -> None:
    shape = (40, 70)
    here = built(name, shape)
    there = here._to_backend(backend)
    x, d = vectors(30, shape)
    here.update(x, d)
    there.update(x, d)
    same(here, there)


@pytest.mark.parametrize("rate", [0.3, -0.3])
def test_long_trains(rate: float, backend: str) -> None:
    # Rates of single vectors are known on the device only, the longest train nowhere.
    update = UpdateParameters(
        fixed_bl=False, update_bl_management=False, update_management=False
    )
    for name in ("ttv3_auto", "vector"):
        here = built(name, (3, 4), update=update)
        here.set_learning_rate(rate)
        there = here._to_backend(backend)
        x, d = vectors(5, (3, 4))
        here.update(x, d)
        there.update(x, d)
        same(here, there)


@pytest.mark.parametrize("name", ALL)
def test_one_draw_of_noise_for_a_mini_batch_gives_the_same_bits(
    name: str, backend: str
) -> None:
    at_once = {"noise_aggregation": NoiseAggregation.BATCH}
    cell = copy.deepcopy(ALL[name])
    for node in nodes(cell):
        for field in ("transfer_update", "refresh_update"):
            if hasattr(node, field):
                setattr(node, field, attrs.evolve(getattr(node, field), **at_once))
    made = config(cell)
    made.update = UpdateParameters(
        **at_once, desired_bl=100, update_bl_management=False
    )
    here = tiles.AnalogTile(*SHAPE, made, rng=3)
    here.set_learning_rate(0.05)
    there = here._to_backend(backend)
    for batch in (300, 3):
        x, d = vectors(batch)
        here.update(x, d)
        there.update(x, d)
        same(here, there)


@pytest.mark.parametrize("batch", [1, 3, 9])
def test_signs_of_zero_in_a_digital_matrix(batch: int, backend: str) -> None:
    # lr d is -0; that of a product with it decides, however few the vectors are.
    tile = built("mixed")
    tile.set_learning_rate(1e-30)
    there = tile._to_backend(backend)
    x = np.full((batch, SHAPE[1]), -1.0, dtype=np.float32)
    d = np.full((batch, SHAPE[0]), -1e-30, dtype=np.float32)
    x[:, ::2] = 1.0
    start = np.full(SHAPE, -0.0, dtype=np.float32)
    for each in (tile, there):
        core = each.tile
        core._backend.write(core._arrays["hidden_weights_chi"], start)
        each.update(x, d)
    same(tile, there)
    chi = tile.get_hidden_parameters()["hidden_weights_chi"]
    assert (np.signbit(chi) == (x[0] > 0.0)).all() and not chi.any()


@pytest.mark.parametrize("number", [-0.0, 0.0])
def test_a_reset_bias_keeps_the_sign_of_a_zero(number: float, backend: str) -> None:
    tile = tiles.AnalogTile(
        *SHAPE, SingleRPUConfig(device=ConstantStepDevice(reset_std=0.0)), rng=1
    )
    parameters = tile.get_hidden_parameters()
    parameters["reset_bias"] = np.full(SHAPE, number, dtype=np.float32)
    tile.set_hidden_parameters(parameters)
    there = tile._to_backend(backend)
    for each in (tile, there):
        each.reset()
    same(tile, there)


def nodes(cell: Any) -> list[Any]:
    """Return a cell and all cells and devices inside of it."""
    parts = getattr(cell, "unit_cell_devices", None) or [getattr(cell, "device", None)]
    return [cell, *(n for part in parts if part is not None for n in nodes(part))]


@pytest.mark.parametrize("name", ALL)
def test_construction_gives_the_same_bits(name: str, backend: str) -> None:
    cls = registry.counterpart("analog", backend)
    same(
        cls(*SHAPE, config(ALL[name]), rng=3),
        tiles.AnalogTile(*SHAPE, config(ALL[name]), rng=3),
    )


@pytest.mark.parametrize("name", ALL)
def test_saving_here_and_going_on_there(
    name: str, backend: str, tmp_path: Path
) -> None:
    here = built(name)
    x, d = vectors(7)
    here.update(x, d)
    here.save(tmp_path / "tile.npz")
    cls = registry.counterpart("analog", backend)
    there = cls.load(tmp_path / "tile.npz")
    for step in range(3):
        there.update(x, d)
        here.update(x, d)
        if step == 1:
            there.save(tmp_path / "there.npz")
            there = tiles.load(tmp_path / "there.npz")._to_backend(backend)
    same(here, there)
    same(here, there.cpu())


@pytest.mark.parametrize("name", ALL)
def test_everything_but_updates_gives_the_same_bits(name: str, backend: str) -> None:
    here = built(name)
    there = here._to_backend(backend)
    weights = np.random.default_rng(1).uniform(-0.4, 0.4, SHAPE).astype(np.float32)
    x, d = vectors(9)
    hidden = here.get_hidden_parameters()
    calls: list[Callable[[Any], Any]] = [
        lambda t: t.update(x, d),
        lambda t: t.set_weights(weights),
        lambda t: t.update(x, d),
        lambda t: t.decay_weights(0.7),
        lambda t: t.diffuse_weights(),
        lambda t: t.drift_weights(3.0),
        lambda t: t.reset_columns(17, 5, 0.5),
        lambda t: t.reset(),
        lambda t: t.clip_weights(0.2),
        lambda t: t.set_hidden_parameters(hidden),
        lambda t: t.tile.set_weights_uniform_random(-0.3, 0.2),
        lambda t: t.tile.set_hidden_update_index(0),
        lambda t: t.update(x, d),
    ]
    for number, call in enumerate(calls):
        call(here)
        call(there)
        assert equal(here, there), number
    for key, value in there.get_hidden_parameters().items():
        assert value.tobytes() == here.get_hidden_parameters()[key].tobytes(), key


@pytest.mark.parametrize("name", KINDS)
def test_the_order_of_threads_between_barriers_does_not_matter(
    name: str, host: Any
) -> None:
    here = built(name)
    there = here._to_backend("cuda_host")
    host.run_threads_backwards(True)
    x, d = vectors(17)
    here.update(x, d)
    there.update(x, d)
    same(here, there)


@pytest.mark.parametrize("name", ["ttv3", "mixed"])
def test_arrays_on_the_device(name: str, backend: str) -> None:
    here = built(name)
    there = here._to_backend(backend)
    x, d = vectors(6)
    y = there.forward(on_device(there, x))
    assert y.numpy().tobytes() == here.forward(x).tobytes()
    there.update(on_device(there, x), on_device(there, d))
    there.update(on_device(there, x), d)
    here.update(x, d)
    here.update(x, d)
    same(here, there)


# ---- what the host does --------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ALL if name != "ttv2_into_cell"])
def test_an_update_does_not_wait_for_the_device(name: str, host: Any) -> None:
    """The runtime is asked for as much, whatever happens in the mini-batch."""
    tile = built(name)._to_backend("cuda_host")
    tile.update(*vectors(45))
    asked = set()
    for batch in (1, 44, 45):
        x, d = vectors(batch)
        host.fail_call(1000)
        tile.update(x, d)
        asked.add(1000 - host.fail_call(None))
    # Two copies and a wait; launches are not counted.
    assert asked == {3}


def failing_calls(tile: tiles.Tile) -> dict[str, Callable[[], Any]]:
    x, d = vectors(9)
    weights = np.full(SHAPE, 0.1, dtype=np.float32)
    hidden = {k: v * np.float32(0.5) for k, v in tile.get_hidden_parameters().items()}
    return {
        "update": lambda: tile.update(x, d),
        "update, there": lambda: tile.update(on_device(tile, x), d),
        "set_weights": lambda: tile.set_weights(weights),
        "uniform": lambda: tile.tile.set_weights_uniform_random(-0.1, 0.1),
        "hidden": lambda: tile.set_hidden_parameters(hidden),
        "state": lambda: tile.tile.set_state(*tile.tile.state()),
    }


@pytest.mark.parametrize("name", ["refreshed", "ttv2_into_cell", "ttv3"])
def test_a_call_that_fails_changes_nothing(name: str, host: Any) -> None:
    tile = built(name)._to_backend("cuda_host")
    tile.update(*vectors(9))
    before = tile.cpu()
    failures = 0
    for what, call in failing_calls(tile).items():
        number = 0
        while True:
            host.fail_call(number)
            try:
                call()
            except CudaError as error:
                assert error.status == "cudaErrorUnknown"
                host.fail_call(None)
                assert equal(tile, before), (what, number)
                number += 1
            else:
                assert host.fail_call(None) >= 0
                break
        assert number > 2, what
        failures += number
        tile = before._to_backend("cuda_host")
        call = failing_calls(tile)[what]
    assert failures > 30


@pytest.mark.parametrize("name", ["refreshed", "ttv2_into_cell", "ttv3", "mixed"])
def test_out_of_memory_leaves_the_tile_as_it_was(name: str, host: Any) -> None:
    tile = built(name)._to_backend("cuda_host")
    before = tile.cpu()
    for what, call in failing_calls(tile).items():
        for extra in (0, 700, 2000):
            host.set_memory_limit(host.memory_used() + extra)
            try:
                with pytest.raises(CudaError, match="out of memory"):
                    call()
            finally:
                host.set_memory_limit(None)
            assert equal(tile, before), (what, extra)


def test_no_copy_is_left_unfinished(host: Any) -> None:
    tile = built("ttv3")._to_backend("cuda_host")
    x, d = vectors(9)
    there = on_device(tile, x)
    for call in (
        lambda: tile.update(x, d),
        lambda: tile.update(there, d),
        lambda: tile.set_weights(np.zeros(SHAPE, dtype=np.float32)),
        tile.copy,
        tile.cpu,
    ):
        call()
        assert host.unfinished_copies() == 0


def test_memory_is_given_back(host: Any) -> None:
    before = host.memory_used()
    tile = built("gated", (20, 30))._to_backend("cuda_host")
    tile.update(*vectors(9, (20, 30)))
    tile.set_weights(np.zeros((20, 30), dtype=np.float32))
    assert tile.tile.working_bytes() > 0
    del tile
    assert host.memory_used() == before
