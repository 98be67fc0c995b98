"""Unit cells and compounds against their model in plain NumPy, which stands on the specification.

As in `tests/test_reference_model.py`, the model takes over the state of the tile before
each call that is compared, so that a difference is one of that call.  Pulses, steps of
buffers, choppers, positions and counters agree exactly, values within `TOLERANCE` times
what pulses let errors grow by.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpupy.configs import (
    ConstantStepDevice,
    LinearStepDevice,
    NoiseAggregation,
    PulseType,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.testing.reference import (
    Growth,
    ReferenceTile,
    differences,
    product_bound,
)
from rpupy.testing.reference.comparison import TOLERANCE
from rpupy.testing.strategies import (
    cell_configs,
    device_configs,
    parameters,
    shapes,
    tile_configs,
)
from rpupy.tiles import AnalogTile

sys.path.insert(0, str(Path(__file__).parent))
from cells import ALL, config

#: Closer than this to a decision, another rounding of a normal number may turn it.
CLOSE = 1e-5


class Pair:
    """A tile and the model of its core."""

    def __init__(self, shape, rpu_config, seed=0):
        self.whole = AnalogTile(*shape, rpu_config, rng=seed)
        self.model = ReferenceTile(*shape, self.whole.rpu_config, self.whole.seed)
        self.agree(tolerance=1e-5)

    @property
    def tile(self):
        return self.whole.tile

    def agree(self, context="", tolerance=TOLERANCE):
        """Compare everything, and let the model go on from the state of the tile."""
        meta, arrays = self.tile.state()
        found = differences(meta, arrays, self.model, tolerance)
        assert not found, (context, found)
        self.model.adopt(meta, arrays)

    def call(self, name, *arguments):
        """Call a method of both, and compare."""
        for one in (self.tile, self.model):
            getattr(one, name)(*arguments)
        self.agree(name, 20 * TOLERANCE)

    def multiply(self, name, values, is_test):
        """Compare a product, but where a decision was a matter of rounding."""
        found, expected = (
            getattr(one, name)(values, is_test=is_test)
            for one in (self.tile, self.model)
        )
        bound = product_bound(self.model, values.shape[-1])
        bound += 2.0**-24 * np.abs(expected)
        clear = self.model.tie_distance > CLOSE
        assert (np.abs(found - expected) <= bound)[clear].all()
        self.agree(name)

    def update(self, x, d, rate):
        """Update both; False where they differ and a decision was too close to tell."""
        growth = Growth(self.model)
        for one in (self.tile, self.model):
            one.set_learning_rate(rate)
            one.update(x, d)
        try:
            self.agree("update", growth.allowed())
        except AssertionError:
            if self.model.tie_distance.min(initial=np.inf) >= CLOSE:
                raise
            self.model.adopt(*self.tile.state())
            return False
        return True

    def replace(self, way):
        """Go on with a copy; what becomes of the first one does not matter to it."""
        former = self.whole
        self.whole = way(former)
        former.set_weights(np.zeros(former.shape))
        self.agree("a copy")


def through_a_file(tile):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tile.npz"
        tile.save(path)
        return AnalogTile.load(path)


WAYS = {
    "copy": lambda tile: tile.copy(),
    "pickle": lambda tile: pickle.loads(pickle.dumps(tile)),
    "file": through_a_file,
}


def vectors(rng, shape, batch):
    x = rng.uniform(-1, 1, (batch, shape[1])).astype(np.float32)
    d = rng.uniform(-1, 1, (batch, shape[0])).astype(np.float32)
    for values in (x, d):
        values[rng.random(values.shape) < 0.2] = 0
    return x, d


@pytest.mark.parametrize("aggregation", NoiseAggregation)
@pytest.mark.parametrize("name", ALL)
def test_every_cell_is_as_specified(name, aggregation):
    shape = (3, 4)
    full = config(ALL[name])
    full.update.noise_aggregation = aggregation
    pair = Pair(shape, full)
    rng = np.random.default_rng(1)
    if aggregation is NoiseAggregation.BATCH:
        # Portions end after 128 vectors, and where something looks at them.
        assert pair.update(*vectors(rng, shape, 150), 0.05)
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
    update=parameters(UpdateParameters, pulse_type=TRAINS),
)


STEPS = (
    *("update", "update", "update", "set", "upkeep", "hidden", "index"),
    *("forward", "backward", "copy", "pickle", "file"),
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
    pair = Pair(shape, rpu_config, data.draw(st.integers(0, 9)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    steps = data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8))
    for step in steps:
        if step == "update":
            rate = data.draw(st.sampled_from([0.05, 0.3, -0.1, 0.005]))
            # Beyond 128 vectors, a mini-batch is several portions.
            batch = data.draw(st.sampled_from([1, 2, 5, 5, 5, 130]))
            pair.update(*vectors(rng, shape, batch), rate)
        elif step in ("forward", "backward"):
            side = shape[1] if step == "forward" else shape[0]
            values = vectors(rng, (side, side), 2)[0]
            pair.multiply(step, values, data.draw(st.booleans()))
        elif step in WAYS:
            pair.replace(WAYS[step])
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
