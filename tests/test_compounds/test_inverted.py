"""`copy_inverted`: the second device of a one-sided cell mirrors the first one."""

from __future__ import annotations

import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    DampedStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    OneSidedUnitCell,
    PowStepDevice,
    PowStepReferenceDevice,
    SingleRPUConfig,
    SoftBoundsDevice,
    SoftBoundsReferenceDevice,
    UnitCellRPUConfig,
    UpdateParameters,
)
from rpupy.tiles import AnalogTile

SHAPE = (3, 7)
COMMON = {"dw_min": 0.02, "dw_min_std": 0.0, "up_down": 0.2, "w_min": -0.4}
#: Devices whose law is drawn, so that the copy mirrors all of it.
DEVICES = [
    ConstantStepDevice(**COMMON),
    LinearStepDevice(**COMMON, gamma_up=0.5, gamma_down=0.2, gamma_up_dtod=0.1),
    SoftBoundsDevice(**COMMON),
    SoftBoundsReferenceDevice(**COMMON, reference_std=0.05, slope_up_dtod=0.1),
    PowStepDevice(**COMMON, pow_gamma=1.3, pow_up_down=0.4),
    PowStepReferenceDevice(**COMMON, pow_gamma=1.3, reference_std=0.02),
    DampedStepDevice(**COMMON, beta_up=2.0, beta_down=1.0, beta_up_dtod=0.1),
]


def inverted(device):
    cell = OneSidedUnitCell(unit_cell_devices=[device], copy_inverted=True)
    tile = AnalogTile(*SHAPE, UnitCellRPUConfig(device=cell), rng=7)
    hidden = tile.get_hidden_parameters()
    return [
        {n[:-2]: v for n, v in hidden.items() if n.endswith(f"_{k}")} for k in (0, 1)
    ]


def under_pulses(device, drawn, direction):
    """Weights of a tile of single devices with these draws, from 0, pulse by pulse."""
    update = UpdateParameters(
        desired_bl=1, update_management=False, update_bl_management=False
    )
    tile = AnalogTile(*SHAPE, SingleRPUConfig(device=device, update=update), rng=7)
    names = tile.get_hidden_parameters()
    tile.set_hidden_parameters({name: drawn[name] for name in names})
    tile.set_weights(np.zeros(SHAPE))
    tile.set_learning_rate(1.0)
    seen = []
    for _ in range(12):
        tile.update(np.ones((1, SHAPE[1])), -direction * np.ones((1, SHAPE[0])))
        seen.append(tile.get_weights()[0])
    return np.array(seen)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: type(device).__name__)
def test_device_1_goes_up_as_device_0_goes_down(device):
    first, second = inverted(device)
    assert (first["dwmin_up"] != first["dwmin_down"]).all()
    down = under_pulses(device, first, -1)
    up = under_pulses(device, second, 1)
    assert (down[-1] < 0).all() and down[-1].mean() < -0.03
    np.testing.assert_allclose(up, -down, rtol=0, atol=1e-6)


@pytest.mark.parametrize("device", [ExpStepDevice(**COMMON), *DEVICES[:1]])
def test_steps_and_bounds_are_exchanged(device):
    first, second = inverted(device)
    np.testing.assert_array_equal(second["dwmin_up"], first["dwmin_down"])
    np.testing.assert_array_equal(second["dwmin_down"], first["dwmin_up"])
    np.testing.assert_array_equal(second["max_bound"], -first["min_bound"])
    np.testing.assert_array_equal(second["min_bound"], -first["max_bound"])


def test_without_it_both_draw_for_themselves():
    cell = OneSidedUnitCell(unit_cell_devices=DEVICES[:1])
    tile = AnalogTile(*SHAPE, UnitCellRPUConfig(device=cell), rng=7)
    hidden = tile.get_hidden_parameters()
    assert (hidden["dwmin_up_1"] != hidden["dwmin_down_0"]).all()
