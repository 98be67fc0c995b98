"""Products of tiles through wires with resistance: ``mv_type=AnalogMVType.NODAL``."""

import copy
import pickle

import numpy as np
import pytest

from rpupy.configs import ConstantStepDevice, IdealDevice, SingleRPUConfig
from rpupy.configs.utils import (
    AnalogMVType,
    BoundManagementType,
    IOParameters,
    IOParametersNodal,
    NoiseManagementType,
)
from rpupy.errors import ConfigError
from rpupy.parasitics import effective_weights
from rpupy.testing.reference import ReferenceTile
from rpupy.tiles import AnalogTile

pytest.importorskip("scipy")

#: Wires only: no converters, no noise.
QUIET = {
    "inp_bound": -1.0,
    "out_bound": -1.0,
    "out_noise": 0.0,
    "noise_management": NoiseManagementType.NONE,
    "bound_management": BoundManagementType.NONE,
}
WIRING = {"r_word_line": 400.0, "r_bit_line": 900.0, "g_max": 2e-5, "w_max": 0.5}


def tile_with(forward, backward=None, device=None, size=(7, 5), rng=3):
    config = SingleRPUConfig(
        device=device or IdealDevice(),
        forward=forward,
        backward=backward or IOParameters(**QUIET),
    )
    tile = AnalogTile(*size, config, rng=rng)
    tile.set_weights(np.random.default_rng(1).uniform(-0.5, 0.5, size))
    return tile


def seen(tile):
    return effective_weights(tile.get_weights()[0], **WIRING)


def test_both_directions_see_the_effective_weights():
    wired = IOParametersNodal(**QUIET, **WIRING)
    tile = tile_with(wired, copy.deepcopy(wired))
    np.testing.assert_allclose(tile.forward(np.eye(5)).T, seen(tile), rtol=2e-6)
    np.testing.assert_allclose(tile.backward(np.eye(7)), seen(tile), rtol=2e-6)
    # The loss is what this is about.
    assert (np.abs(seen(tile)) < 0.99 * np.abs(tile.get_weights()[0])).any()


def test_a_direction_without_wires_sees_the_weights():
    tile = tile_with(IOParametersNodal(**QUIET, **WIRING))
    weights = tile.get_weights()[0]
    np.testing.assert_array_equal(tile.backward(np.eye(7)), weights)
    np.testing.assert_allclose(tile.forward(np.eye(5)).T, seen(tile), rtol=2e-6)
    np.testing.assert_array_equal(tile.backward(np.eye(7)), weights)


def test_every_change_of_weights_is_seen():
    tile = tile_with(IOParametersNodal(**QUIET, **WIRING), device=ConstantStepDevice())
    x, d = np.ones((1, 5)), np.ones((1, 7))
    changes = [
        lambda: tile.update(x, d),
        lambda: tile.set_weights(np.full((7, 5), 0.3)),
        lambda: tile.tile.clip_weights(0.1),
        lambda: tile.reset_columns(1, 2, 1.0),
    ]
    before = seen(tile)
    for change in changes:
        change()
        now = seen(tile)
        assert not np.array_equal(now, before)
        np.testing.assert_allclose(tile.forward(np.eye(5)).T, now, rtol=2e-6, atol=1e-8)
        before = now


@pytest.mark.parametrize("backend", ["cpu", "cuda_host"])
def test_converters_and_noise_act_as_without_wires(backend):
    io = IOParametersNodal(**WIRING, inp_noise=0.01)
    tile = tile_with(io, copy.deepcopy(io), device=ConstantStepDevice())
    model = ReferenceTile(7, 5, tile.rpu_config, tile.seed)
    model.set_weights(tile.get_weights()[0])
    if backend == "cuda_host":
        from rpupy import registry

        core = registry.core_class("analog", "cuda_host")
        meta, arrays = tile.tile.state()
        tile.tile = core.from_state(7, 5, tile.rpu_config, meta, arrays)
    x = np.random.default_rng(2).normal(size=(4, 5))
    np.testing.assert_allclose(tile.forward(x), model.forward(x), atol=1e-6)
    d = np.random.default_rng(3).normal(size=(4, 7))
    np.testing.assert_allclose(tile.backward(d), model.backward(d), atol=1e-6)


def test_trace_is_the_next_product():
    tile = tile_with(IOParametersNodal(**WIRING))
    x = np.random.default_rng(2).normal(size=(3, 5))
    steps = tile.trace(x)
    np.testing.assert_allclose(
        steps["product"], steps["driven"] @ seen(tile).T, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(list(steps.values())[-1], tile.forward(x))


def test_copies_go_on_alike():
    tile = tile_with(IOParametersNodal(**WIRING))
    x = np.random.default_rng(2).normal(size=(3, 5))
    tile.forward(x)
    for other in (tile.copy(), pickle.loads(pickle.dumps(tile))):
        np.testing.assert_array_equal(other.copy().forward(x), tile.copy().forward(x))


def test_wires_without_resistance_change_nothing():
    wired = tile_with(IOParametersNodal(r_word_line=0.0, r_bit_line=0.0))
    plain = tile_with(IOParameters())
    x = np.random.default_rng(2).normal(size=(6, 5))
    np.testing.assert_array_equal(wired.forward(x), plain.forward(x))


def test_other_mv_types_ignore_wires():
    io = IOParametersNodal(**WIRING, mv_type=AnalogMVType.ONE_PASS)
    x = np.random.default_rng(2).normal(size=(6, 5))
    plain = tile_with(IOParameters())
    np.testing.assert_array_equal(tile_with(io).forward(x), plain.forward(x))
    perfect = IOParametersNodal(**WIRING, is_perfect=True)
    exact = tile_with(IOParameters(is_perfect=True))
    np.testing.assert_array_equal(tile_with(perfect).forward(x), exact.forward(x))


def test_wires_are_explained():
    config = SingleRPUConfig(forward=IOParametersNodal())
    fields = {row.field for row in config.explain()}
    assert {"forward.r_word_line", "forward.r_bit_line"} <= fields
    assert config.without("ir drop").forward.r_bit_line == 0.0


def test_nodal_needs_its_own_parameters():
    with pytest.raises(ConfigError, match="mv_type must be one of"):
        IOParameters(mv_type=AnalogMVType.NODAL)


@pytest.mark.parametrize(
    ("field", "value"),
    [("r_word_line", -1.0), ("r_bit_line", np.inf), ("g_max", 0.0), ("w_max", -1.0)],
)
def test_illegal_values(field, value):
    with pytest.raises(ConfigError, match=field):
        IOParametersNodal(**{field: value})
