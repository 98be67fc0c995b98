"""The damped-step device of Querlioz et al. (2013)."""

import numpy as np
import pytest

from rpupy.configs import DampedStepDevice, SingleRPUConfig, UpdateParameters
from rpupy.tiles import AnalogTile

PLAIN = {
    **{"dw_min_dtod": 0.0, "dw_min_std": 0.0, "up_down_dtod": 0.0},
    **{"w_max_dtod": 0.0, "w_min_dtod": 0.0},
}


def pulsed(tile, weights, direction):
    """Give one pulse to each crosspoint of a row."""
    tile.set_weights(weights)
    tile.update(np.ones(tile.in_size), [direction])
    return tile.get_weights()[0]


def test_the_step_falls_exponentially_from_the_bound_behind():
    device = DampedStepDevice(
        **PLAIN, dw_min=0.01, w_min=-0.6, w_max=0.8, beta_up=3.0, beta_down=2.0
    )
    update = UpdateParameters(
        desired_bl=1, update_management=False, update_bl_management=False
    )
    tile = AnalogTile(1, 5, SingleRPUConfig(device=device, update=update), rng=0)
    tile.set_learning_rate(1e3)  # every slot is a pulse
    weights = np.array([[-0.6, -0.2, 0.0, 0.4, 0.8]])
    place = (weights + 0.6) / 1.4
    up = np.minimum(0.01 * np.exp(-3.0 * place), 0.8 - weights)
    down = np.minimum(0.01 * np.exp(-2.0 * (1.0 - place)), weights + 0.6)
    found = pulsed(tile, weights, -1.0)
    np.testing.assert_allclose(found, weights + up, rtol=0, atol=1e-7)
    found = pulsed(tile, weights, 1.0)
    np.testing.assert_allclose(found, weights - down, rtol=0, atol=1e-7)


@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_many_pulses_follow_the_logarithm_of_their_number(beta):
    """dw/dn = s exp(-beta w) from the lower bound gives w = ln(1 + beta s n) / beta."""
    device = DampedStepDevice(
        **PLAIN, dw_min=1e-4, w_min=0.0, w_max=1.0, beta_up=beta, beta_down=beta
    )
    update = UpdateParameters(
        desired_bl=1000, update_management=False, update_bl_management=False
    )
    tile = AnalogTile(1, 1, SingleRPUConfig(device=device, update=update), rng=0)
    tile.set_learning_rate(1e3)
    tile.set_weights([[0.0]])
    for pulses in (1000, 2000, 3000):
        tile.update([1.0], [-1.0])
        n = 1e-4 * pulses
        expected = np.log1p(beta * n) / beta if beta else n
        np.testing.assert_allclose(tile.get_weights()[0], [[expected]], atol=2e-4)


def test_each_device_draws_its_damping():
    device = DampedStepDevice(beta_up=2.0, beta_up_dtod=0.1)
    hidden = AnalogTile(50, 50, SingleRPUConfig(device=device), rng=0)
    planes = hidden.get_hidden_parameters()
    assert (planes["damping_down"] == 3.0).all()
    assert 0.1 < planes["damping_up"].std() < 0.3
    assert abs(planes["damping_up"].mean() - 2.0) < 0.05
