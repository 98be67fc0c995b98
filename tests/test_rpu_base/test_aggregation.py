"""One draw of noise for a mini-batch, against one for each pulse.

All crosspoints of a tile are alike here and get the same pulses, so that they are one large
sample. Statistical tests fail without a reason at most once in a million times each, and
say in their docstring what they would notice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from rpupy.configs import (
    ConstantStepDevice,
    LinearStepDevice,
    NoiseAggregation,
    SingleRPUConfig,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.parameters import PulseType
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base import plane
from rpupy.rpu_base.core import CpuTile
from rpupy.testing.statistics import (
    assert_distribution,
    assert_mean,
    assert_same_distribution,
    assert_variance,
)

SHAPE = (300, 300)
ALIKE = {
    "dw_min": 0.001,
    "dw_min_dtod": 0.0,
    "up_down": 0.2,
    "up_down_dtod": 0.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
}
#: Pulses of each vector; down below 0.
PULSES = (10, 31, -7, 1, 25, -31, -2, 14, 31, -20)


def make_tile(
    device: Any, aggregation: NoiseAggregation, start: float, seed: int, shape: Any
) -> CpuTile:
    config = SingleRPUConfig(
        device=device, update=UpdateParameters(noise_aggregation=aggregation)
    )
    tile = CpuTile(*shape, frozen_copy(config), np.random.SeedSequence(seed))
    tile.set_weights(np.full(shape, start))
    tile.set_learning_rate(device.dw_min)
    return tile


def updated(
    device: Any,
    aggregation: NoiseAggregation,
    start: float = 0.0,
    seed: int = 1,
    pulses: Any = PULSES,
) -> Any:
    """Weights after certain pulses: a probability of 1 in as many slots."""
    tile = make_tile(device, aggregation, start, seed, SHAPE)
    d = -np.asarray(pulses, dtype=np.float32)
    tile.update(np.ones((d.size, SHAPE[1])), np.tile(d[:, None], SHAPE[0]))
    assert (tile._arrays["pulse_ordinals"] == np.abs(d).sum()).all()
    return tile.get_weights().astype(np.float64)


def test_constant_steps_have_the_exact_law() -> None:
    """A normal law: mean off by 0.03 of its deviation or distance of 0.01 is seen."""
    device = ConstantStepDevice(**ALIKE, dw_min_std=0.5, w_max=10, w_min=-10)
    ups = sum(n for n in PULSES if n > 0)
    downs = -sum(n for n in PULSES if n < 0)
    mean = 0.001 * (ups - 0.8 * downs)
    std = 0.5 * 0.001 * np.sqrt(ups + 0.8**2 * downs)
    weights = updated(device, NoiseAggregation.BATCH)
    assert_mean(weights, mean, std)
    assert_variance(weights, std**2)
    assert_distribution(weights, stats.norm(mean, std).cdf)


@pytest.mark.parametrize(
    ("device", "start"),
    [
        (SoftBoundsDevice(**ALIKE, dw_min_std=0.3), 0.2),
        (SoftBoundsDevice(**ALIKE, dw_min_std=2.0), -0.1),
        (SoftBoundsDevice(**ALIKE, mult_noise=False), -0.3),
        (LinearStepDevice(**ALIKE, gamma_up=0.6, gamma_down=-0.4), 0.1),
        (
            LinearStepDevice(
                **ALIKE, gamma_up=-1.0, allow_increasing=True, mult_noise=False
            ),
            0.1,
        ),
    ],
    ids=lambda value: getattr(type(value), "__name__", ""),
)
def test_linear_steps_have_the_law_of_single_pulses(device: Any, start: float) -> None:
    """A mean off by 0.04 deviations, a variance by 4 %, a distance of 0.015 is seen."""
    whole = [
        updated(device, way, start, seed=k) for k, way in enumerate(NoiseAggregation)
    ]
    exact, together = whole
    std = exact.std()
    assert not np.array_equal(exact, together)
    assert_mean(together - exact.mean(), 0.0, np.sqrt(2) * std)
    # The variance of the sample that stands for the law is itself uncertain.
    assert_variance(together / std, 1.0, kurtosis=5.0)
    assert_same_distribution(exact, together)
    assert abs(stats.skew(together.ravel()) - stats.skew(exact.ravel())) < 0.06


@pytest.mark.parametrize("kind", [ConstantStepDevice, SoftBoundsDevice])
def test_pulses_near_a_bound_are_those_of_the_exact_form(kind: Any) -> None:
    device = kind(**(ALIKE | {"dw_min": 0.01}), w_max=0.05, w_min=-0.05)
    exact, together = (updated(device, way) for way in NoiseAggregation)
    assert np.array_equal(exact, together)


def test_bounds_hold_and_the_law_is_kept_where_some_touch_them() -> None:
    """Spread of devices and random pulses: a distance of 0.015 is seen."""
    found = []
    for way in NoiseAggregation:
        device = ConstantStepDevice(w_max=0.1, w_min=-0.1, dw_min_std=1.0)
        device.construction_seed = 7
        tile = make_tile(device, way, 0.05, 1, SHAPE)
        tile.set_learning_rate(0.01)
        rng = np.random.default_rng(3)
        for _ in range(3):
            x = rng.standard_normal((20, SHAPE[1]))
            tile.update(x, 0.1 * rng.standard_normal((20, SHAPE[0])))
        low, high = (tile._arrays[name] for name in ("min_bound", "max_bound"))
        weights = tile.get_weights()
        assert (weights >= low).all() and (weights <= high).all()
        found.append((weights, tile._arrays["pulse_ordinals"]))
    (exact, one), (together, other) = found
    assert np.array_equal(one, other)  # the pulses are the same ones
    same = exact == together
    assert 0.01 < same.mean() < 0.9  # both ways were taken
    assert_same_distribution(exact, together)


def test_without_noise_nothing_is_drawn_and_steps_add_up() -> None:
    for kind in (ConstantStepDevice, LinearStepDevice):
        device = kind(**ALIKE, dw_min_std=0.0)
        exact, together = (updated(device, way) for way in NoiseAggregation)
        # One by one, 172 steps round 172 times.
        np.testing.assert_allclose(together, exact, atol=2e-6)
        # Linear steps have a spread of slopes between devices.
        assert kind is LinearStepDevice or (together == together[0, 0]).all()


def test_portions_are_those_of_the_parameters() -> None:
    """A mini-batch of 300 vectors is 128, 128 and 44, given at once or cut there."""
    rng = np.random.default_rng(1)
    x, d = rng.standard_normal((300, 7)), rng.standard_normal((300, 5))
    weights = []
    for cuts in ([300], [128, 256, 300], [100, 300]):
        device = ConstantStepDevice(w_max=10, w_min=-10)
        tile = make_tile(device, NoiseAggregation.BATCH, 0.0, 1, (5, 7))
        first = 0
        for last in cuts:
            tile.update(x[first:last], d[first:last])
            first = last
        weights.append(tile.get_weights())
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_devices_without_such_a_form_are_refused(monkeypatch: Any) -> None:
    update = UpdateParameters(noise_aggregation=NoiseAggregation.BATCH)
    config = SingleRPUConfig(device=SoftBoundsDevice(), update=update)
    CpuTile(2, 3, frozen_copy(config), np.random.SeedSequence(1))
    monkeypatch.setattr(plane._cpu, "AGGREGATING", frozenset({"constant_step"}))
    message = r"noise_aggregation = .*BATCH is not built for SoftBoundsDevice"
    with pytest.raises(NotImplementedError, match=message):
        CpuTile(2, 3, frozen_copy(config), np.random.SeedSequence(1))
    config.update.pulse_type = PulseType.NONE_WITH_DEVICE  # which has no such noise
    CpuTile(2, 3, frozen_copy(config), np.random.SeedSequence(1))
