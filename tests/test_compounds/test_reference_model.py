"""Unit cells and compounds against their model in plain NumPy, which stands on the specification.

As in `tests/test_reference_model.py`, the model takes over the state of the tile before
each call that is compared, so that a difference is one of that call.  Pulses, steps of
buffers, choppers, positions and counters agree exactly, values within `TOLERANCE`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rpupy.configs import (
    ConstantStepDevice,
    LinearStepDevice,
    PulseType,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.compound import CpuCompoundTile
from rpupy.testing.reference import ReferenceTile
from rpupy.testing.strategies import (
    cell_configs,
    device_configs,
    parameters,
    shapes,
    tile_configs,
)

sys.path.insert(0, str(Path(__file__).parent))
from cells import ALL, config

TOLERANCE = 6e-7
#: Closer than this to a decision, another rounding of a normal number may turn it.
CLOSE = 1e-5


class Pair:
    """A core tile and its model."""

    def __init__(self, shape, rpu_config, seed=0):
        rpu_config = frozen_copy(rpu_config)
        seeds = np.random.SeedSequence(seed)
        self.tile = CpuCompoundTile(*shape, rpu_config, seeds)
        self.model = ReferenceTile(*shape, rpu_config, seeds)
        self.agree()

    def agree(self, context=""):
        """Compare everything, and let the model go on from the state of the tile."""
        meta, arrays = self.tile.state()
        counts = self.model.counters
        differ = {
            k: (n, counts[k]) for k, n in meta["counters"].items() if n != counts[k]
        }
        assert not differ and len(counts) == len(meta["counters"]), (context, differ)
        mine = self.model.arrays()
        # Lines and slopes of devices are compared in tests/test_reference_model.py.
        apart = {n for n in arrays if n.startswith(("forward", "backward", "slope"))}
        assert set(arrays) - apart <= set(mine), context
        for name in set(arrays) - apart:
            expected = np.asarray(mine[name])
            if expected.dtype == np.float32:
                with np.errstate(invalid="ignore"):
                    error = np.abs(arrays[name] - expected) / (1 + np.abs(expected))
                assert np.nanmax(error, initial=0) <= TOLERANCE, (context, name)
            else:
                np.testing.assert_array_equal(
                    np.broadcast_to(arrays[name], expected.shape),
                    expected,
                    err_msg=f"{context}: {name}",
                )
        self.model.adopt(meta, arrays)

    def call(self, name, *arguments):
        """Call a method of both, and compare."""
        for one in (self.tile, self.model):
            getattr(one, name)(*arguments)
        self.agree(name)

    def update(self, x, d, rate):
        """Update both; False where they differ and a decision was too close to tell."""
        for one in (self.tile, self.model):
            one.set_learning_rate(rate)
            one.update(x, d)
        try:
            self.agree("update")
        except AssertionError:
            if self.model.tie_distance.min(initial=np.inf) >= CLOSE:
                raise
            return False
        return True


def vectors(rng, shape, batch):
    x = rng.uniform(-1, 1, (batch, shape[1])).astype(np.float32)
    d = rng.uniform(-1, 1, (batch, shape[0])).astype(np.float32)
    for values in (x, d):
        values[rng.random(values.shape) < 0.2] = 0
    return x, d


@pytest.mark.parametrize("name", ALL)
def test_every_cell_is_as_specified(name):
    shape = (3, 4)
    pair = Pair(shape, config(ALL[name]))
    rng = np.random.default_rng(1)
    for step in range(4):
        assert pair.update(*vectors(rng, shape, 4), (0.05, 0.2, -0.1)[step % 3])
    pair.call("set_weights", rng.normal(0, 0.3, shape).astype(np.float32))
    assert pair.update(*vectors(rng, shape, 9), 0.1)
    pair.call("decay_weights", 0.5)
    pair.call("diffuse_weights")
    pair.call("clip_weights", 0.4)
    pair.call("reset_columns", 1, 2, 0.5)
    pair.call("set_hidden_parameters", pair.tile.get_hidden_parameters())
    assert pair.update(*vectors(rng, shape, 2), 0.1)
    for one in (pair.tile, pair.model):
        assert one.get_hidden_update_index() == pair.model.get_hidden_update_index()
        assert list(one.get_hidden_parameters()) == one.get_hidden_parameter_names()


#: Devices whose steps are sums and products, which round alike in the model.
DEVICES = device_configs(
    [ConstantStepDevice, LinearStepDevice, SoftBoundsDevice],
    dw_min=st.sampled_from([0.01, 0.03, 0.001]),
    dw_min_dtod_log_normal=False,
    gamma_up=st.sampled_from([0.0, 0.5]),
    gamma_down=st.sampled_from([0.0, 0.5]),
)
TRAINS = st.sampled_from([kind for kind in PulseType if "NoneW" not in kind.value][1:])
CONFIGS = tile_configs(
    cell_configs(devices=DEVICES),
    update=parameters(
        UpdateParameters,
        pulse_type=TRAINS,
        noise_aggregation=UpdateParameters().noise_aggregation,
    ),
)


@settings(
    deadline=None,
    # An example is several updates in plain NumPy.
    max_examples=max(8, settings.default.max_examples // 5),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_random_cells_are_as_specified(data):
    rpu_config = data.draw(CONFIGS)
    shape = data.draw(shapes((2, 1, 3, 5)))
    try:
        pair = Pair(shape, rpu_config, data.draw(st.integers(0, 9)))
    except NotImplementedError:
        assume(False)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    steps = data.draw(
        st.lists(
            st.sampled_from(
                ["update", "update", "update", "set", "upkeep", "hidden", "index"]
            ),
            min_size=1,
            max_size=6,
        )
    )
    for step in steps:
        if step == "update":
            rate = data.draw(st.sampled_from([0.05, 0.3, -0.1, 0.005]))
            x, d = vectors(rng, shape, data.draw(st.sampled_from([1, 2, 5])))
            if not pair.update(x, d, rate):
                pair.model.adopt(*pair.tile.state())
        elif step == "set":
            pair.call("set_weights", rng.normal(0, 0.3, shape).astype(np.float32))
        elif step == "upkeep":
            pair.call("decay_weights", 0.5)
            pair.call("diffuse_weights")
            pair.call("drift_weights", 2.0)
            pair.call("clip_weights", 0.4)
            pair.call("reset_columns", 1, 2, 0.5)
        elif step == "hidden":
            pair.call("set_hidden_parameters", pair.tile.get_hidden_parameters())
        else:
            pair.call("set_hidden_update_index", 0)
