"""The strategies: what they generate is legal, varied, and small when it shrinks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from rpupy import registry
from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IOParameters,
    LinearStepDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.errors import ConfigError
from rpupy.parameters.base import define, flag, real
from rpupy.testing import strategies

DEVICES = registry.device_classes()
quick = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
searched = settings(max_examples=2000, database=None, derandomize=True)
explored = settings(searched, phases=[Phase.generate])


@quick
@given(st.data())
def test_tiles_can_be_built_and_used(data: Any) -> None:
    tile = data.draw(strategies.tiles())
    weights = data.draw(strategies.weights_for(tile))
    tile.set_weights(weights, np.zeros(tile.out_size) if tile.analog_bias else None)
    for rate, x, d in data.draw(strategies.update_sequences_for(tile, 2)):
        y, back = tile.forward(x), tile.backward(d)
        assert y.shape == np.shape(d) and back.shape == np.shape(x)
        tile.set_learning_rate(rate)
        tile.update(x, d)
    assert np.isfinite(tile.get_weights()[0]).all()


@pytest.mark.parametrize("cls", DEVICES, ids=lambda cls: cls.__name__)
def test_every_field_of_every_device_varies(cls: type) -> None:
    devices = strategies.device_configs([cls])
    seen: set[str] = set()
    expected = {
        field.name
        for field in attrs.fields(cls)
        if not field.metadata.get("pending") and field.metadata["kind"] != "derived"
    }
    usual = cls()

    def all_seen(device: Any) -> bool:
        seen.update(n for n in expected if getattr(device, n) != getattr(usual, n))
        return seen == expected

    find(devices, all_seen, settings=explored)


def test_examples_shrink_to_the_defaults() -> None:
    devices = strategies.device_configs([ConstantStepDevice])
    assert find(devices, lambda _: True, settings=searched) == ConstantStepDevice()


def test_all_devices_and_configurations_are_generated() -> None:
    for cls in DEVICES:
        found = find(
            strategies.tile_configs(),
            lambda config, cls=cls: type(config.device) is cls,
            settings=explored,
        )
        floating = cls.__name__ == "FloatingPointDevice"
        assert type(found) is (FloatingPointRPUConfig if floating else SingleRPUConfig)


def test_only_what_a_failing_example_needs_is_left() -> None:
    found = find(
        strategies.device_configs([SoftBoundsDevice]),
        lambda device: device.reverse_up and device.w_min < -1.0,
        settings=searched,
    )
    assert found == SoftBoundsDevice(reverse_up=True, w_min=-1.2)


@quick
@given(
    strategies.device_configs([ConstantStepDevice, LinearStepDevice], gamma_up=0.125),
    strategies.parameters(UpdateParameters, desired_bl=st.sampled_from([3, 4])),
    strategies.tile_configs(forward=st.just(IOParameters(is_perfect=True))),
)
def test_fields_can_be_fixed(device: Any, update: Any, config: Any) -> None:
    assert getattr(device, "gamma_up", 0.125) == 0.125
    assert update.desired_bl in (3, 4)
    if isinstance(config, SingleRPUConfig):
        assert config.forward == IOParameters(is_perfect=True)


def test_values_that_are_illegal_together_are_an_error() -> None:
    wrong = strategies.device_configs(
        [SoftBoundsDevice], reverse_up=True, mult_noise=False
    )
    with pytest.raises(ConfigError, match="mult_noise must be True"):
        find(wrong, lambda _: True, settings=explored)


def test_a_class_of_ones_own_is_covered_by_its_declaration() -> None:
    @define
    class OwnDevice(ConstantStepDevice):
        curvature: float = real(0.5, low=0.0)
        folded: bool = flag(False)

    found = find(
        strategies.device_configs([OwnDevice]),
        lambda device: device.folded and device.curvature > 0.5,
        settings=searched,
    )
    assert found == OwnDevice(folded=True, curvature=0.75)


@quick
@given(st.data())
def test_layouts_keep_the_values(data: Any) -> None:
    array = data.draw(strategies.arrays((3, 4), any_layout=False))
    again = data.draw(strategies.layouts(array))
    assert np.array_equal(np.asarray(again), array)


def test_layouts_differ() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for wanted in (
        lambda a: isinstance(a, list),
        lambda a: isinstance(a, np.ndarray) and a.strides[-1] < 0,
        lambda a: isinstance(a, np.ndarray) and a.strides[-1] > a.itemsize,
        lambda a: isinstance(a, np.ndarray) and not a.flags.writeable,
        lambda a: isinstance(a, np.ndarray) and a.dtype == np.float64,
        lambda a: isinstance(a, np.ndarray) and not a.dtype.isnative,
    ):
        find(strategies.layouts(array), wanted, settings=explored)


def test_without_hypothesis_the_error_says_so() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import rpupy.testing\n"
        "try:\n"
        "    import rpupy.testing.strategies\n"
        "except ImportError as error:\n"
        "    assert 'needs hypothesis: pip install hypothesis' in str(error)\n"
        "else:\n"
        "    raise SystemExit('imported')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_the_kit_does_not_import_hypothesis() -> None:
    code = "import sys, rpupy.testing; sys.exit('hypothesis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
