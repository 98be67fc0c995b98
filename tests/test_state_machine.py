"""Three tiles through the same life, and at each step they agree.

A tile on the CPU, one whose CUDA kernels are compiled for the host, and a tile around
the reference model get the same random sequence of public calls. Between calls the first
two are copied, pickled, saved and loaded, moved to the other backend or exchanged; the
model never is. The first two have the same bits, always. The model takes over the state
of the first one before each call: counters and pulses then agree exactly, and values
within a stated number of units in the last place.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rpupy import registry, tiles
from rpupy.rpu_base import cuda
from rpupy.testing import ReferenceTile, strategies
from rpupy.testing.reference import Growth, differences, product_bound

pytestmark = pytest.mark.skipif(
    not cuda.is_host_compiled(), reason="built with RPUPY_CUDA_HOST=0"
)

HOST = "cuda_host"
#: Of numbers of order one, after one call: 5 units in the last place.
TOLERANCE = 6e-7
#: Closer than this to a decision, another rounding may turn it.
CLOSE = 1e-4
SIDES = (1, 2, 5, 9)


class ModelCore(ReferenceTile):
    """The reference model as the core of a tile."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lock = threading.RLock()

    def forward(self, *args: Any) -> Any:
        *args, out = args
        assert out is None
        return np.ascontiguousarray(super().forward(*args))

    def backward(self, *args: Any) -> Any:
        *args, out = args
        assert out is None
        return np.ascontiguousarray(super().backward(*args))


@contextlib.contextmanager
def cores_are_models() -> Iterator[None]:
    usual = registry.core_class
    registry.core_class = lambda *_: ModelCore
    try:
        yield
    finally:
        registry.core_class = usual


def everything(tile: Any) -> Any:
    """All that a tile remembers, wherever it is."""
    state = tile.__getstate__()
    arrays = {
        name: (array.dtype, array.shape, array.tobytes())
        for name, array in state["arrays"].items()
    }
    return repr(state["plain"]), arrays


def bits(result: Any) -> bytes:
    """Bits of a result; all NaN count as the same."""
    array = np.asarray(result)
    return np.where(np.isnan(array), np.float32(np.nan), array).tobytes()


class Tiles(RuleBasedStateMachine):
    """Random lives of a tile."""

    configs = strategies.tile_configs()

    @initialize(data=st.data())
    def build(self, data: Any) -> None:
        config = data.draw(self.configs, "configuration")
        size = data.draw(strategies.shapes(SIDES), "size")
        flags = data.draw(st.tuples(*[st.booleans()] * 3), "bias, in_trans, out_trans")
        seed = data.draw(st.integers(0, 2**32), "seed")
        cls = config.tile_class
        there = registry.counterpart(cls.tile_kind, HOST)
        self.tile = cls(*size, config, *flags, rng=seed)
        self.twin = there(*size, config, *flags, rng=seed)
        with cores_are_models():
            self.model = cls(*size, config, *flags, rng=seed)
        self.device = self.tile.rpu_config.device
        self.pulsed = bool(self.tile.get_hidden_parameters())
        self.rates = [2.0**-6]
        if self.pulsed:
            unit = self.granularity(self.device)
            self.rates = [unit, 8 * unit, -2 * unit, 40 * unit, 0.0]
        self.agree(20 * TOLERANCE)

    def granularity(self, device: Any) -> float:
        """Return the step of a device, or of the first one in a cell."""
        if hasattr(device, "members"):
            return self.granularity(device.members()[0])
        return float(device.weight_granularity())

    # ---- agreement -------------------------------------------------------------------

    def everywhere(self, method: str, *args: Any, **more: Any) -> list[Any]:
        """Call a method of all three tiles."""
        return [
            getattr(tile, method)(*args, **more)
            for tile in (self.tile, self.twin, self.model)
        ]

    def agree(self, tolerance: Any = TOLERANCE) -> None:
        """Compare all three, and let the model go on from what the first one has."""
        assert everything(self.tile) == everything(self.twin)
        found = differences(*self.tile.tile.state(), self.model.tile, tolerance)
        assert not found, found
        self.close(self.tile.mapping_scales, self.model.mapping_scales, TOLERANCE)
        self.close(self.tile.bias, self.model.bias, TOLERANCE)
        self.adopt()

    @staticmethod
    def close(found: Any, expected: Any, tolerance: Any) -> None:
        assert (found is None) == (expected is None)
        if found is not None:
            with np.errstate(invalid="ignore"):
                error = np.abs(found - expected) / (1 + np.abs(expected))
            assert np.all((error <= tolerance) | (found == expected))

    def adopt(self) -> None:
        self.model.tile.adopt(*self.tile.tile.state())
        scales, bias = self.tile.mapping_scales, self.tile.bias
        self.model._hold(
            None if scales is None else scales.copy(),
            None if bias is None else bias.copy(),
        )

    def same_products(self, back: bool, values: Any) -> None:
        """Compare products, but where a decision was a matter of rounding."""
        y, z, model = self.everywhere("backward" if back else "forward", values)
        assert bits(y) == bits(z)
        assert y.shape == model.shape
        tile, core = self.tile, self.model.tile
        inputs, outputs = (tile.in_size, tile.out_size)[:: -1 if back else 1]
        outputs_first = tile.in_trans if back else tile.out_trans
        rows, expected = (
            np.moveaxis(a, 0, -1) if outputs_first else a for a in (y, model)
        )
        rows = rows.reshape(-1, outputs)
        expected = expected.reshape(rows.shape)
        # An analog bias is an input more, and an output that is not shown.
        bound = product_bound(core, inputs + 1)[:, :outputs]
        scales = tile.mapping_scales
        if scales is not None:
            bound = bound * (scales.max() if back else scales)
        # Scales and the digital bias: a product and a sum.
        bound = bound + 2.0**-23 * (np.abs(expected) + self.largest_bias())
        clear = core.tie_distance > CLOSE
        error = np.abs(rows - expected)[clear]
        assert np.all(error <= bound[clear]), (error.max(), bound[clear].min())
        self.agree()

    def largest_bias(self) -> float:
        bias = self.tile.bias
        return 0.0 if bias is None else float(np.abs(bias).max())

    # ---- products and updates --------------------------------------------------------

    @rule(data=st.data())
    def forward(self, data: Any) -> None:
        self.same_products(False, data.draw(strategies.inputs_for(self.tile)))

    @rule(data=st.data())
    def backward(self, data: Any) -> None:
        self.same_products(True, data.draw(strategies.errors_for(self.tile)))

    @rule(data=st.data())
    def update(self, data: Any) -> None:
        rate = data.draw(st.sampled_from(self.rates), "learning rate")
        x, d = data.draw(strategies.updates_for(self.tile))
        self.everywhere("set_learning_rate", rate)
        growth = Growth(self.model.tile)
        self.everywhere("update", x, d)
        self.agree_unless_close(growth.allowed())

    def agree_unless_close(self, tolerance: Any) -> None:
        """Compare, but where a decision of a cell was a matter of rounding."""
        closest = self.model.tile.tie_distance.min(initial=np.inf)
        try:
            self.agree(tolerance)
        except AssertionError:
            if not hasattr(self.device, "members") or closest >= CLOSE:
                raise
            assert everything(self.tile) == everything(self.twin)
            self.adopt()

    # ---- weights and parameters ------------------------------------------------------

    @rule(data=st.data(), scaled=st.booleans())
    def set_weights(self, data: Any, scaled: bool) -> None:
        weights = data.draw(strategies.weights_for(self.tile))
        bias = None
        if self.tile.analog_bias or self.tile.digital_bias:
            bias = data.draw(strategies.arrays((self.tile.out_size,)))
        self.everywhere("set_weights", weights, bias, scaled)
        self.agree()

    @rule()
    def get_weights(self) -> None:
        for scaled in (True, False):
            one, two, model = self.everywhere("get_weights", scaled)
            assert bits(one[0]) == bits(two[0])
            self.close(one[0], model[0], TOLERANCE)
            self.close(one[1], model[1], TOLERANCE)
        self.agree()

    @rule(omega=st.sampled_from([1.0, 0.25, 0.0]))
    def remap_weights(self, omega: float) -> None:
        self.everywhere("remap_weights", omega)
        self.agree(2 * TOLERANCE)

    @precondition(lambda self: self.pulsed)
    @rule(factor=st.sampled_from([0.5, 1.0, 2.0, 3.0]), data=st.data())
    def set_hidden_parameters(self, factor: float, data: Any) -> None:
        planes = self.tile.get_hidden_parameters()
        name = data.draw(st.sampled_from(sorted(planes)), "plane")
        planes[name] *= np.float32(factor)
        self.everywhere("set_hidden_parameters", planes)
        mine, twin, model = self.everywhere("get_hidden_parameters")
        assert list(mine) == list(twin) == list(model)
        for other, plane in mine.items():
            assert bits(plane) == bits(twin[other])
            if other.startswith("hidden_weights"):  # behind write noise, drawn anew
                self.close(plane, model[other], TOLERANCE)
            else:
                assert bits(plane) == bits(model[other])
        self.agree()

    # ---- maintenance -----------------------------------------------------------------

    @rule(alpha=st.sampled_from([1.0, 0.5, 0.0, -0.5, 20.0]))
    def decay_weights(self, alpha: float) -> None:
        self.everywhere("decay_weights", alpha)
        # A large alpha is a factor on the rounding error of the scale.
        self.agree(20 * TOLERANCE)

    @rule()
    def diffuse_weights(self) -> None:
        self.everywhere("diffuse_weights")
        self.agree()

    @rule(time=st.sampled_from([1.0, 0.0, 3.0, 100.0]))
    def drift_weights(self, time: float) -> None:
        self.everywhere("drift_weights", time)
        self.agree(20 * TOLERANCE)

    @precondition(lambda self: hasattr(self.device, "reset_std"))
    @rule(
        start=st.integers(-3, 12),
        number=st.integers(-1, 12),
        probability=st.sampled_from([1.0, 0.5, 0.0]),
    )
    def reset_columns(self, start: int, number: int, probability: float) -> None:
        self.everywhere("reset_columns", start, number, probability)
        self.agree()

    @rule(limit=st.sampled_from([-1.0, 0.0, 0.05, 0.5]))
    def clip_weights(self, limit: float) -> None:
        self.everywhere("clip_weights", limit)
        self.agree()

    @rule()
    def post_update_step(self) -> None:
        self.everywhere("post_update_step")
        self.agree(20 * TOLERANCE)

    @rule(mode=st.booleans())
    def train(self, mode: bool) -> None:
        self.everywhere("train", mode)
        self.agree()

    # ---- calls that the model cannot follow step by step ------------------------------

    @rule(iterations=st.integers(1, 3))
    def program_weights(self, iterations: int) -> None:
        errors = [
            tile.program_weights(max_iter=iterations) for tile in (self.tile, self.twin)
        ]
        assert errors[0] == errors[1]
        self.left_behind()

    @rule()
    def read_weights(self) -> None:
        found = [tile.read_weights() for tile in (self.tile, self.twin)]
        assert bits(found[0][0]) == bits(found[1][0])
        self.left_behind()

    @rule(number=st.integers(0, 2))
    def spawn(self, number: int) -> None:
        pairs = zip(self.tile.spawn(number), self.twin.spawn(number), strict=True)
        for one, two in pairs:
            assert everything(one) == everything(two)
        self.left_behind()

    def left_behind(self) -> None:
        assert everything(self.tile) == everything(self.twin)
        self.adopt()

    # ---- copies and moves: nothing may change ----------------------------------------

    def replace(self, way: Any, twin: bool) -> None:
        name = "twin" if twin else "tile"
        former = getattr(self, name)
        before = everything(former)
        latter = way(former)
        assert latter is not former
        assert type(latter) is type(former)
        setattr(self, name, latter)
        # What happens to the one that is left has no effect on the other.
        former.set_weights(
            np.zeros(former.shape),
            np.zeros(former.out_size) if former.analog_bias else None,
        )
        former.diffuse_weights()
        assert everything(latter) == before

    @rule(twin=st.booleans())
    def copy(self, twin: bool) -> None:
        self.replace(lambda tile: tile.copy(), twin)

    @rule(twin=st.booleans())
    def deepcopy(self, twin: bool) -> None:
        self.replace(copy.deepcopy, twin)

    @rule(twin=st.booleans())
    def pickle(self, twin: bool) -> None:
        self.replace(lambda tile: pickle.loads(pickle.dumps(tile)), twin)

    @rule(twin=st.booleans())
    def save_and_load(self, twin: bool) -> None:
        def through_a_file(tile: Any) -> Any:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "tile.npz"
                tile.save(path)
                return tiles.load(path)._to_backend(tile.backend)

        self.replace(through_a_file, twin)

    @rule(twin=st.booleans())
    def there_and_back(self, twin: bool) -> None:
        def away(tile: Any) -> Any:
            home = tile.backend
            other = tile._to_backend(HOST if home == "cpu" else "cpu")
            assert other._to_backend(other.backend) is other
            return other._to_backend(home)

        self.replace(away, twin)

    @rule()
    def exchange(self) -> None:
        self.tile, self.twin = self.twin.cpu(), self.tile._to_backend(HOST)

    @rule()
    def refused(self) -> None:
        for tile in (self.tile, self.twin):
            for call in (
                lambda tile=tile: tile.forward(np.zeros(tile.in_size + 1)),
                lambda tile=tile: tile.update(np.full(tile.in_size, np.nan), 0.0),
                lambda tile=tile: tile.set_weights(np.full(tile.shape, np.inf)),
                lambda tile=tile: tile.drift_weights(-1.0),
            ):
                with pytest.raises(ValueError, match="must"):
                    call()
        self.agree()


class Cells(Tiles):
    """Random lives of a tile with a unit cell or a compound."""

    configs = strategies.tile_configs(strategies.cell_configs())

    @rule(index=st.integers(0, 2))
    def set_hidden_update_index(self, index: int) -> None:
        if index < len(self.device.members()):
            self.everywhere("set_hidden_update_index", index)
            found = self.everywhere("get_hidden_update_index")
            assert found[0] == found[1] == found[2]
            self.agree()


TestTiles = Tiles.TestCase
TestCells = Cells.TestCase
# A step costs as much as several examples of other tests.
TestTiles.settings = TestCells.settings = settings(
    max_examples=max(settings.default.max_examples // 2, 1),
    stateful_step_count=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
