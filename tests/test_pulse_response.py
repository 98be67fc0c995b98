"""Records of devices under pulses: the numbers behind the plots."""

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    LinearStepDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.parameters import PulseType
from rpupy.pulse_response import (
    compute_pulse_response,
    compute_pulse_statistics,
    estimate_n_steps,
    pulse_directions,
    tile_of_devices,
    without_spread,
)
from rpupy.testing.statistics import assert_variance
from rpupy.tiles import AnalogTile, FloatingPointTile

UPS_AND_DOWNS = [1] * 30 + [-1] * 45 + [1, -1] * 10


def quiet(cls, **fields):
    return without_spread(cls(**fields))


def test_soft_bounds_follow_their_closed_form():
    device = quiet(SoftBoundsDevice, dw_min=0.02, w_min=-0.6, w_max=0.8)
    tile = tile_of_devices(device, 2, w_init=[0.0, 0.4], rng=0)
    record = compute_pulse_response(tile, [1] * 20 + [-1] * 20, initial=True)[:, :, 0]
    k = np.arange(21)[:, None]
    up = 0.8 - (0.8 - np.array([0.0, 0.4])) * (1 - 0.02 / 0.8) ** k
    down = -0.6 + (up[-1] + 0.6) * (1 - 0.02 / 0.6) ** k
    np.testing.assert_allclose(record[:21], up, atol=2e-6)
    np.testing.assert_allclose(record[20:], down, atol=2e-6)


def test_the_tile_stays_as_it_is_and_its_update_does_not_matter():
    config = SingleRPUConfig(device=LinearStepDevice(write_noise_std=1.0))
    tile = AnalogTile(3, 4, config, rng=1)
    before = tile.__getstate__()
    record = compute_pulse_response(tile, UPS_AND_DOWNS)
    after = tile.__getstate__()
    assert record.shape == (len(UPS_AND_DOWNS), 3, 4)
    assert before["plain"] == after["plain"]
    for name, array in before["arrays"].items():
        np.testing.assert_array_equal(array, after["arrays"][name])

    config.update.pulse_type = PulseType.NONE_WITH_DEVICE
    config.update.desired_bl = 7
    other = AnalogTile(3, 4, config, rng=1)
    np.testing.assert_array_equal(record, compute_pulse_response(other, UPS_AND_DOWNS))


def test_records_continue_the_weights_of_the_tile():
    tile = AnalogTile(2, 3, SingleRPUConfig(device=SoftBoundsDevice()), rng=0)
    record = compute_pulse_response(tile, UPS_AND_DOWNS, initial=True)
    np.testing.assert_array_equal(record[0], tile.tile.get_weights())
    np.testing.assert_array_equal(
        record[1:], compute_pulse_response(tile, UPS_AND_DOWNS)
    )
    steps = np.diff(record[:31], axis=0)
    assert (steps.mean(axis=0) > 0).all()
    assert (np.diff(record[31:76], axis=0).mean(axis=0) < 0).all()


def test_an_analog_bias_is_a_column_too():
    config = SingleRPUConfig(device=ConstantStepDevice())
    config.mapping.digital_bias = False
    tile = AnalogTile(2, 3, config, bias=True, rng=0)
    assert compute_pulse_response(tile, [1, 1]).shape == (2, 2, 4)


def test_reading_by_products_adds_the_noise_that_is_asked_for():
    device = quiet(ConstantStepDevice, dw_min=0.001)
    tile = tile_of_devices(device, 50, w_noise=0.05, w_init=0.0, rng=0)
    exact = compute_pulse_response(tile, [1] * 100)
    read = compute_pulse_response(tile, [1] * 100, use_forward=True)
    assert_variance(read - exact, 0.05**2)
    config = SingleRPUConfig(device=device, forward=IOParameters(is_perfect=True))
    tile = AnalogTile(2, 3, config, rng=0)
    np.testing.assert_allclose(
        compute_pulse_response(tile, [1, -1], use_forward=True),
        compute_pulse_response(tile, [1, -1]),
        atol=1e-6,
    )


def test_devices_start_at_their_lower_bounds():
    tile = tile_of_devices(SoftBoundsDevice(), 30, rng=0)
    np.testing.assert_array_equal(
        tile.get_weights()[0], tile.get_hidden_parameters()["min_bound"]
    )
    config = SingleRPUConfig(device=SoftBoundsDevice())
    assert tile_of_devices(config, 4, rng=0).rpu_config == config


@pytest.mark.parametrize(
    ("device", "steps"),
    [
        (ConstantStepDevice(), 1200),
        (ConstantStepDevice(dw_min=0.7), 2),
        (ConstantStepDevice(w_min=0.0, w_max=0.0), 1),
    ],
)
def test_estimated_number_of_steps(device, steps):
    assert estimate_n_steps(device) == steps
    assert estimate_n_steps(SingleRPUConfig(device=device)) == steps


def test_without_spread():
    device = LinearStepDevice(dw_min=0.002, write_noise_std=3, gamma_up=0.2)
    bare = without_spread(device)
    assert bare.dw_min == 0.002 and bare.gamma_up == 0.2
    assert bare.dw_min_std == bare.w_max_dtod == bare.write_noise_std == 0.0
    assert device.dw_min_std == 0.3


def test_statistics_find_the_law_of_the_steps(rng):
    # Steps of soft bounds with noise, from weights all over the range.
    weights = rng.uniform(-1, 1, 40_000)
    steps = 0.01 * (1 - weights) * (1 + 0.5 * rng.standard_normal(40_000))
    trace = np.stack([weights, weights + steps])
    nodes = np.linspace(-0.8, 0.8, 9)
    mean, std = compute_pulse_statistics(nodes, trace, [1], True, smoothness=0.1)
    law = 0.01 * (1 - nodes)
    # About 1000 steps a node: five standard errors, below 1e-5 for all together.
    np.testing.assert_allclose(mean, law, atol=5 * 0.01 * 0.5 * 2 / np.sqrt(1000))
    np.testing.assert_allclose(std, 0.5 * law, rtol=5 / np.sqrt(2000))
    mean, std = compute_pulse_statistics(nodes, trace, [1], False)
    assert np.isnan(mean).all() and np.isnan(std).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: pulse_directions([1, 0.5]), ValueError, r"1 \(up\) and -1 .* 0.5"),
        (lambda t: pulse_directions([]), ValueError, "T of at least 1"),
        (lambda t: pulse_directions([[1]]), ValueError, r"got \(1, 1\)"),
        (lambda t: pulse_directions(["up"]), TypeError, "real numbers"),
        (lambda t: compute_pulse_response(3, [1]), TypeError, "analog_tile .* got int"),
        (
            lambda t: compute_pulse_response(
                FloatingPointTile(1, 1, FloatingPointRPUConfig(), rng=0), [1]
            ),
            TypeError,
            "tile of pulsed devices.*FloatingPointDevice",
        ),
        (lambda t: tile_of_devices(IdealDevice(), 1), TypeError, "got IdealDevice"),
        (
            lambda t: tile_of_devices(ConstantStepDevice, 1),
            TypeError,
            "got ConstantStepDevice",
        ),
        (lambda t: tile_of_devices(t, 0), ValueError, "n_traces must be at least 1"),
        (lambda t: tile_of_devices(t, 2, w_noise=-1), ValueError, "w_noise .* -1"),
        (
            lambda t: tile_of_devices(SingleRPUConfig(), 2, w_noise=0.1),
            ValueError,
            "w_noise must be 0 with a configuration",
        ),
        (lambda t: tile_of_devices(t, 2, w_init=[1, 2, 3]), ValueError, r"w_init .*3"),
        (lambda t: estimate_n_steps(IdealDevice()), TypeError, "pulsed device"),
        (
            lambda t: compute_pulse_statistics([0, 0], [0, 1], [1], True),
            ValueError,
            "w_nodes .* increasing",
        ),
        (
            lambda t: compute_pulse_statistics([0, 1], [0, 1, 2], [1], True),
            ValueError,
            r"w_trace .* got \(3,\)",
        ),
        (
            lambda t: compute_pulse_statistics([0, 1], [0, 1], [1], True, 0.0),
            ValueError,
            "smoothness must be above 0",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(ConstantStepDevice())
