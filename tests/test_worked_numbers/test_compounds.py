"""Worked numbers of unit cells and compounds.

Devices have constant steps of 0.01 and bounds of 1, without variation and noise; reads are
perfect; arrays have 2 rows and 3 columns and start at 0 unless something else is said.
Updates of the tile are deterministic, so that a vector moves a weight by exactly
``-lr * d * x`` where that is a multiple of the step.  Where only row 0 is given, row 1 is its
negative, as the error is ``[1, -1]``.
"""

import numpy as np
import pytest

from rpupy.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    ConstantStepDevice,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    IOParameters,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    PulseType,
    ReferenceUnitCell,
    TransferCompound,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.compound import CpuCompoundTile

PERFECT = IOParameters(is_perfect=True)
DETERMINISTIC = UpdateParameters(pulse_type=PulseType.DETERMINISTIC_IMPLICIT)
#: Random trains of one slot whose probability is 1.
ONE_PULSE = UpdateParameters(
    desired_bl=1, update_management=False, update_bl_management=False
)
#: Transfers at the rate 1, counted in vectors.
PLAIN = {
    "units_in_mbatch": False,
    "fast_lr": 0.0,
    "transfer_lr": 1.0,
    "scale_transfer_lr": False,
    "transfer_forward": PERFECT,
}
BUFFERED = {
    **PLAIN,
    "transfer_update": ONE_PULSE,
    "momentum": 0.0,
    "forget_buffer": False,
}
ONES = np.ones(3)


def device(**fields):
    silent = {
        "dw_min_dtod": 0.0,
        "dw_min_std": 0.0,
        "up_down_dtod": 0.0,
        "w_max_dtod": 0.0,
        "w_min_dtod": 0.0,
        "reset_std": 0.0,
    }
    return ConstantStepDevice(
        **{"dw_min": 0.01, "w_max": 1.0, "w_min": -1.0, **silent, **fields}
    )


class Cell:
    """A core tile of one cell."""

    def __init__(self, cell, shape=(2, 3), update=DETERMINISTIC):
        digital = isinstance(cell, MixedPrecisionCompound)
        config = DigitalRankUpdateRPUConfig if digital else UnitCellRPUConfig
        config = frozen_copy(config(device=cell, update=update))
        self.tile = CpuCompoundTile(*shape, config, np.random.SeedSequence(0))
        self.shape = shape
        self.set(0.0)

    def set(self, weights):
        self.tile.set_weights(np.broadcast_to(np.float32(weights), self.shape))
        return self

    def put(self, **planes):
        """Overwrite hidden parameters: a number, or an array of them."""
        hidden = self.tile.get_hidden_parameters()
        for name, value in planes.items():
            hidden[name][...] = value
        self.tile.set_hidden_parameters(hidden)
        return self

    def vector(self, x, d=(1.0, -1.0), lr=0.02, times=1):
        self.tile.set_learning_rate(lr)
        for _ in range(times):
            self.tile.update(np.asarray(x, np.float32), np.asarray(d, np.float32))
        return self

    def has(self, **expected):
        """Compare hidden parameters, or row 0 of them, and the weight ``w``."""
        found = self.tile.get_hidden_parameters()
        found["w"] = self.tile.get_weights()
        names = {
            "a": "hidden_weights_0",
            "c": "hidden_weights_1",
            "b": "hidden_weights_2",
            "h": "buffered_FP_weight_0",
            "chi": "hidden_weights_chi",
            "mean": "running_mean_weight",
            "past": "past_mean_weight",
        }
        for name, value in expected.items():
            plane = found[names.get(name, name)]
            value = np.asarray(value, dtype=np.float64)
            if value.ndim == 1:
                plane = plane[0]
            np.testing.assert_allclose(
                plane, np.broadcast_to(value, plane.shape), atol=1e-6, err_msg=name
            )
        return self

    def state(self, name):
        meta, arrays = self.tile.state()
        return arrays[name] if name in arrays else meta["counters"][name]


# ---- 13.1: vector cells --------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "first", "vectors", "w_0", "w_1", "w"),
    [
        ("ALL", 0, 3, -0.3, -0.3, -0.3),
        ("SINGLE_FIXED", 0, 3, -0.3, 0, -0.15),
        ("SINGLE_SEQUENTIAL", 0, 1, 0, -0.1, -0.05),
        ("SINGLE_SEQUENTIAL", 0, 3, -0.1, -0.2, -0.15),
        ("SINGLE_SEQUENTIAL", 1, 1, -0.1, 0, -0.05),
    ],
)
def test_policies_of_a_vector_cell(policy, first, vectors, w_0, w_1, w):
    cell = VectorUnitCell(
        unit_cell_devices=[device(), device()],
        update_policy=VectorUnitCellUpdatePolicy[policy],
        first_update_idx=first,
    )
    x = np.array([1, 0.5, 0])
    Cell(cell).vector(x, lr=0.1, times=vectors).has(a=w_0 * x, c=w_1 * x, w=w * x)


def test_decay_of_a_vector_cell():
    cell = Cell(VectorUnitCell(unit_cell_devices=[device(lifetime=10.0), device()]))
    cell.set(0.4)
    for alpha, w in ((1.0, 0.38), (0.5, 0.371)):
        cell.tile.decay_weights(alpha)
        cell.has(w=w)


def test_trains_of_a_vector_cell_are_made_for_the_mean_step():
    cell = VectorUnitCell(unit_cell_devices=[device(), device(dw_min=0.02)])
    Cell(cell).vector(ONES, lr=0.1).has(
        a=np.full(3, -0.07), c=np.full(3, -0.14), w=np.full(3, -0.105)
    )


def test_setting_a_vector_cell_keeps_the_bounds_of_each_device():
    devices = [device(w_max=0.2), device()]
    cell = VectorUnitCell(unit_cell_devices=devices, gamma_vec=[0.5, 0.5])
    Cell(cell).set(0.3).has(w=0.25)
    cell = VectorUnitCell(unit_cell_devices=[device()] * 2, gamma_vec=[1.0, 1.0])
    Cell(cell).set(0.3).has(w=0.6)


# ---- 13.2, 13.3: reference and one-sided cells ---------------------------------------


def test_a_reference_cell():
    cell = Cell(ReferenceUnitCell(unit_cell_devices=[device()]))
    cell.set(0.3).has(a=0.3, c=0, w=0.3)
    cell.tile.set_hidden_update_index(1)
    cell.set(0.1).has(a=0.3, c=0.1, w=0.2)
    cell.tile.set_hidden_update_index(0)
    cell.vector([1, 0, 0], [1, 0], lr=0.1)
    cell.has(a=[[0.2, 0.3, 0.3], [0.3] * 3], w=[[0.1, 0.2, 0.2], [0.2] * 3])
    cell.tile.clip_weights(0.15)
    cell.has(a=0.15, c=0.1, w=0.05)


def one_sided(**fields):
    return Cell(
        OneSidedUnitCell(
            unit_cell_devices=[device(w_min=-0.6)], refresh_forward=PERFECT, **fields
        )
    )


def test_a_one_sided_cell():
    cell = one_sided().set([[0.3, -0.2, 0], [0, 0, 0.1]])
    cell.has(c=[[0.3, 0, 0], [0, 0, 0.1]], a=[[0, 0.2, 0], [0, 0, 0]])
    cell.vector([1, 0.5, -0.5], [1, 0], lr=0.1)
    cell.has(a=[0.1, 0.25, 0], c=[0.3, 0, 0.05], w=[0.2, -0.25, 0.05])
    cell.vector([1, 0.5, -0.5], [-1, 0], lr=0.1)
    cell.has(a=[0.1, 0.25, 0.05], c=[0.4, 0.05, 0.05], w=[0.3, -0.2, 0])


@pytest.mark.parametrize(
    ("period", "batches"),
    [
        ({"refresh_every": 2, "units_in_mbatch": False}, [1, 1]),
        ({"refresh_every": 2, "units_in_mbatch": False}, [2]),
        ({"refresh_every": 1}, [2]),
    ],
)
def test_the_refresh_of_a_one_sided_cell(period, batches):
    """Both devices of what is hit are reset, and up to 31 pulses are written again."""
    cell = one_sided(**period).put(
        hidden_weights_1=[[0.8, 0.8, 0.2], [0.3, 0.76, 0.1]],
        hidden_weights_0=[[0.3, 0.2, 0.9], [0.8, 0.51, 0.1]],
        reset_bias_0=0.0,
        reset_bias_1=0.0,
    )
    for batch in batches:
        assert cell.state("one_sided_reset") == 0 == cell.state("reset_0")
        cell.vector(np.zeros((batch, 3)), np.zeros((batch, 2)), lr=0.1)
    cell.has(
        c=[[0.31, 0.8, 0.2], [0, 0.25, 0.1]],
        a=[[0, 0.2, 0.9], [0.31, 0, 0.1]],
        w=[[0.31, 0.6, -0.7], [-0.31, 0.25, 0]],
    )


def test_a_copy_with_up_and_down_exchanged():
    first = device(w_min=-0.3, w_max=0.8, up_down=0.2)
    cell = OneSidedUnitCell(unit_cell_devices=[first], copy_inverted=True)
    Cell(cell).has(
        dwmin_up_0=0.01,
        dwmin_down_0=0.008,
        min_bound_0=-0.3,
        max_bound_0=0.8,
        dwmin_up_1=0.008,
        dwmin_down_1=0.01,
        min_bound_1=-0.8,
        max_bound_1=0.3,
    )


# ---- 13.4: TTv1 ----------------------------------------------------------------------


def ttv1(count=2, shape=(2, 3), **fields):
    fields = {**PLAIN, "transfer_update": DETERMINISTIC, **fields}
    devices = fields.pop("unit_cell_devices", [device()] * count)
    return Cell(TransferCompound(unit_cell_devices=devices, **fields), shape)


def test_trains_of_the_fast_array_are_made_for_the_mean_step():
    """0.4: five pulses of 0.01 for a step of 0.1, since the mean step is 0.02."""
    cell = ttv1(unit_cell_devices=[device(), device(dw_min=0.03)], transfer_every=0)
    cell.vector(ONES, lr=0.1).has(a=np.full(3, -0.05))


def test_ttv1_column_by_column():
    cell = ttv1(transfer_every=2)
    x = np.array([1, 0.5, -0.5])
    for t, c, position in (
        (1, [0, 0, 0], 0),
        (2, [-0.2, 0, 0], 1),
        (3, [-0.2, 0, 0], 1),
        (4, [-0.2, -0.2, 0], 2),
    ):
        cell.vector(x, lr=0.1).has(a=-0.1 * t * x, c=c, w=c)
        assert cell.state("position_0") == position


def test_ttv1_with_gamma():
    cell = ttv1(transfer_every=2, gamma=0.5).set(0.2)
    for w, c in (
        ([0.15, 0.175, 0.225], [0.2, 0.2, 0.2]),
        ([-0.1, 0.15, 0.25], [0, 0.2, 0.2]),
        ([-0.15, 0.125, 0.275], [0, 0.2, 0.2]),
        ([-0.2, -0.1, 0.3], [0, 0, 0.2]),
    ):
        cell.vector([1, 0.5, -0.5], lr=0.1).has(w=w, c=c)


def test_ttv1_row_by_row():
    cell = ttv1(transfer_columns=False)
    rows = np.zeros((2, 3))
    for row, values in (
        (0, [-0.1, -0.05, 0.05]),
        (1, [0.2, 0.1, -0.1]),
        (0, [-0.4, -0.2, 0.2]),
    ):
        rows[row] = values
        cell.vector([1, 0.5, -0.5], lr=0.1).has(c=rows)


def test_ttv1_with_several_reads():
    cell = ttv1(n_reads_per_transfer=2)
    for c, position in (
        ([-0.04, -0.04, 0], 2),
        ([-0.12, -0.04, -0.08], 1),
        ([-0.12, -0.16, -0.2], 0),
    ):
        cell.vector(ONES, lr=0.04).has(c=c)
        assert cell.state("position_0") == position


def test_a_chain_of_three():
    """The periods are 1 and 2 as in the reference library; ours are 1 and 3 (12.5)."""
    cell = ttv1(3, gamma=0.5, transfer_every_vec=[1, 2, 0]).set(0.1)
    cell.vector(ONES, lr=0.04, times=2)
    cell.has(
        a=np.full(3, -0.08),
        c=[-0.04, -0.08, 0],
        b=[0.06, 0.1, 0.1],
        w=[0.02, 0.04, 0.08],
    )
    cell.vector(ONES, lr=0.04, times=2)
    cell.has(c=[-0.2, -0.08, -0.12], b=[0.06, 0.02, 0.1], w=[-0.08, -0.06, 0])
    chain = TransferCompound(unit_cell_devices=[device()] * 3, transfer_every=1)
    assert chain.periods(slices=3) == (1, 3, 0)


def test_periods_in_mini_batches():
    errors = [[1, -1]] * 2
    cell = ttv1(units_in_mbatch=True)
    for c in ([-0.04, 0, 0], [-0.04, -0.08, 0]):
        cell.vector(np.ones((2, 3)), errors).has(c=c)
    cell = ttv1(units_in_mbatch=True, transfer_every=0.5)
    for c in ([-0.04, 0, 0], [-0.04, -0.08, -0.12]):
        cell.vector(np.ones((3, 3)), [[1, -1]] * 3).has(c=c)


def test_own_factors_of_a_transfer_compound():
    cell = ttv1(gamma_vec=[0.2, 0.8]).set(0.4).has(a=0, c=0.5)
    cell.vector(ONES).has(c=[0.48, 0.5, 0.5], w=[0.38, 0.396, 0.396])


def test_ttv1_with_reset():
    cell = ttv1(with_reset_prob=1.0).put(reset_bias_0=0.0)
    for a, c in (
        ([0, -0.02, -0.02], [-0.02, 0, 0]),
        ([-0.02, 0, -0.04], [-0.02, -0.04, 0]),
        ([-0.04, -0.02, 0], [-0.02, -0.04, -0.06]),
    ):
        cell.vector(ONES).has(a=a, c=c)


def test_upkeep_of_a_transfer_compound():
    devices = [device(lifetime=10.0), device(lifetime=5.0)]
    cell = ttv1(unit_cell_devices=devices, gamma=0.5).set(0.4)
    cell.put(hidden_weights_0=[-0.1, -0.05, 0])
    cell.tile.decay_weights(1.0)
    cell.has(a=[-0.09, -0.045, 0], c=0.32, w=[0.275, 0.2975, 0.32])
    cell.tile.reset_columns(0, 1)
    cell.has(a=[0, -0.045, 0], c=0.32)
    cell.tile.clip_weights(0.1)
    cell.has(c=0.1, w=[0.1, 0.0775, 0.1])


# ---- 13.5: TTv2 ----------------------------------------------------------------------


def ttv2(shape=(2, 3), **fields):
    devices = fields.pop("unit_cell_devices", [device()] * 2)
    fields = {**BUFFERED, **fields}
    return Cell(BufferedTransferCompound(unit_cell_devices=devices, **fields), shape)


@pytest.mark.parametrize(
    ("forgets", "buffers"),
    [
        (
            True,
            {
                1: [-0.002, 0, 0],
                2: [-0.002, -0.002, 0],
                4: [-0.0082, -0.002, 0],
                5: [-0.0082, -0.0052, 0],
            },
        ),
        (
            False,
            {
                1: [-0.011, 0, 0],
                2: [-0.011, -0.011, 0],
                4: [-0.082, -0.011, 0],
                5: [-0.082, -0.052, 0],
            },
        ),
    ],
)
def test_ttv2(forgets, buffers):
    """The one-pulse writes take a step at a time."""
    slow = {
        1: [-0.01, 0, 0],
        2: [-0.01, -0.01, 0],
        4: [-0.02, -0.01, 0],
        5: [-0.02, -0.02, 0],
    }
    cell = ttv2(momentum=0.1, forget_buffer=forgets)
    for t in range(1, 6):
        cell.vector([1, 0.5, 0]).has(a=[-0.02 * t, -0.01 * t, 0])
        if t in slow:
            cell.has(h=buffers[t], c=slow[t])


def test_a_threshold_of_ttv2():
    """A threshold of two steps of 0.02: a pulse for each 0.04 that comes in."""
    cell = ttv2(
        unit_cell_devices=[device(), device(dw_min=0.02)],
        thres_scale=2.0,
        transfer_lr=0.5,
    )
    for t in range(1, 8):
        # The array as it is given: its trains are made for the mean step, 0.015.
        cell.put(hidden_weights_0=[[-0.02 * t, -0.01 * t, 0], [0, 0, 0]])
        cell.vector([0, 0, 0])
        if t == 4:
            cell.has(h=[-0.01, -0.01, 0], c=[-0.02, 0, 0])
    cell.has(h=[-0.04, -0.035, 0], c=[-0.04, 0, 0])


def test_gamma_of_ttv2_scales_the_transfers():
    cell = ttv2(gamma=0.5)
    cell.vector([1, 0.5, 0]).has(h=[0, 0, 0], c=[-0.01, 0, 0], w=[-0.02, -0.005, 0])
    cell.vector([1, 0.5, 0], times=3)
    cell.has(h=[-0.03, 0, 0], c=[-0.02, -0.01, 0], w=[-0.06, -0.03, 0])


# ---- 13.6: TTv3 ----------------------------------------------------------------------


def ttv3(shape=(2, 3), update=DETERMINISTIC, **fields):
    devices = fields.pop("unit_cell_devices", [device()] * 2)
    fields = {**BUFFERED, "in_chop_prob": 0.0, **fields}
    compound = ChoppedTransferCompound(unit_cell_devices=devices, **fields)
    return Cell(compound, shape, update)


def test_ttv3_without_choppers():
    cell = ttv3()
    for t, h in ((1, [-1, 0, 0]), (2, [-1, -1, 0]), (4, [-8, -1, 0])):
        while cell.state("chopped_updates") < t:
            cell.vector([1, 0.5, 0])
        cell.has(h=h)
    cell.has(c=[-0.02, -0.01, 0])


def test_ttv3_with_regular_choppers():
    cell = ttv3(in_chop_prob=0.5, in_chop_random=False)
    table = {
        1: ([-0.02, -0.02, -0.02], [-1, 0, 0], [-0.01, 0, 0], "000", 0),
        3: ([-0.06, -0.06, -0.06], [-1, -3, -5], [-0.01, -0.01, -0.01], "000", 1),
        4: ([-0.08, -0.08, -0.08], [-8, -3, -5], [-0.02, -0.01, -0.01], "100", 1),
        5: ([-0.06, -0.1, -0.1], [-8, -12, -5], [-0.02, -0.02, -0.01], "110", 1),
        6: ([-0.04, -0.08, -0.12], [-8, -12, -16], [-0.02, -0.02, -0.02], "111", 2),
        7: ([-0.02, -0.06, -0.1], [-5, -12, -16], [-0.03, -0.02, -0.02], "111", 2),
        9: ([0.02, -0.02, -0.06], [-5, -7, -9], [-0.03, -0.03, -0.03], "111", 3),
        10: ([0.04, 0, -0.04], [-8, -7, -9], [-0.04, -0.03, -0.03], "011", 3),
    }
    for t in range(1, 11):
        cell.vector(ONES)
        if t in table:
            a, h, c, choppers, sweeps = table[t]
            cell.has(a=a, h=h, c=c)
            assert "".join(map(str, cell.state("in_chopper"))) == choppers
            assert cell.state("chopped_sweeps") == sweeps


def test_ttv3_with_choppers_that_always_flip():
    cell = ttv3(in_chop_prob=1.0)
    for a, h in (
        ([-0.02, -0.02, -0.02], [-1, 0, 0]),
        ([0, -0.04, -0.04], [-1, -3, 0]),
        ([0.02, -0.02, -0.06], [-1, -3, -5]),
        ([0.04, 0, -0.04], [-4, -3, -5]),
        ([0.02, 0.02, -0.02], [-4, -4, -5]),
    ):
        cell.vector(ONES).has(a=a, h=h)


def test_output_choppers_flip_behind_a_sweep():
    cell = ttv3(out_chop_prob=1.0)
    cell.vector(ONES, times=2)
    assert not cell.state("out_chopper").any()
    assert cell.vector(ONES).state("out_chopper").all()
    cell.vector(ONES).has(a=np.full(3, -0.04), h=[2, -3, -5], c=[0, -0.01, -0.01])
    cell.vector(ONES).has(h=[2, 0, -5], c=[0, -0.02, -0.01])


def test_auto_granularity():
    cell = ttv3(auto_granularity=6.0)
    cell.vector(ONES).has(h=[0, 0, 0])
    cell.vector(ONES).has(h=[0, -1, 0])


def test_corrected_gradient_magnitudes():
    fields = {
        "unit_cell_devices": [device(), device(dw_min=0.02)],
        "fast_lr": 0.05,
        "correct_gradient_magnitudes": True,
    }
    x = [1, 0.4, 0.2]
    ttv3(**fields).vector(x).has(
        a=[-0.03, -0.01, -0.01], h=[-29, 0, 0], c=[-0.02, 0, 0]
    )
    scaled = ttv3(**fields, **{"scale_transfer_lr": True})
    scaled.vector(x).has(h=[-0.6, 0, 0])
    scaled.vector(x).has(h=[-0.6, -0.4, 0])
    ttv3(**fields, auto_granularity=6.0).vector(x).has(h=[-14, 0, 0])


def test_auto_scale():
    update = UpdateParameters(
        pulse_type=PulseType.DETERMINISTIC_IMPLICIT, desired_bl=10
    )
    cell = ttv3(
        unit_cell_devices=[device(dw_min=0.001)] * 2,
        update=update,
        fast_lr=1.0,
        auto_scale=True,
        auto_momentum=0.5,
    )
    for x, d, running in (
        ([0.5, 0.1, 0], [0.2, -0.1], [0.5, 0.2, 0.1]),
        ([1, 0, 0], [0.4, 0], [0.75, 0.3, 0.0444444]),
        ([0, 0, 0], [0.4, 0], [0.75, 0.35, 0.0380952]),
        ([[1, 0, 0]] * 2, [[0.8, 0]] * 2, [0.859375, 0.546875, 0.0212780]),
    ):
        cell.vector(x, d)
        np.testing.assert_allclose(cell.state("running"), running, rtol=1e-5)


def test_no_buffer():
    """The reads 0.05 and 0.2 of the specification are 5 and 20 steps but for rounding.

    In single precision they fall short of that. So they are first made 1 % larger, and
    then left as they are, where a step less may be written of each.
    """
    fields = {"no_buffer": True, "transfer_update": DETERMINISTIC}
    cell = ttv3(**fields)
    for t in range(1, 5):
        cell.put(hidden_weights_0=[[-0.0505 * t, 0, 0], [0.0202 * t, 0, 0]])
        cell.vector([0, 0, 0])
        if t == 1:
            cell.has(c=[[-0.05, 0, 0], [0.02, 0, 0]])
    cell.has(c=[[-0.25, 0, 0], [0.1, 0, 0]])
    cell = ttv3(**fields).vector([1, 0.5, 0], [1, -0.5], lr=0.05, times=4)
    cell.has(a=[[-0.2, -0.08, 0], [0.08, 0.04, 0]])
    found = cell.tile.get_hidden_parameters()["hidden_weights_1"][:, 0]
    assert -0.2501 <= found[0] <= -0.2299 and 0.0799 <= found[1] <= 0.1001


def test_ttv3_row_by_row():
    cell = ttv3(transfer_columns=False, in_chop_prob=1.0)
    for a, h, c in (
        ([-0.02, 0.02], [-1, 0], [-0.01, 0]),
        ([0, 0.04], [-1, 3], [-0.01, 0.01]),
        ([0.02, 0.02], [-2, 3], [-0.02, 0.01]),
    ):
        planes = {"a": a, "h": h, "c": c}
        cell.vector(ONES)
        cell.has(**{k: np.outer(v, ONES) for k, v in planes.items()})


def test_residual_learning():
    cell = ttv3(gamma=0.5, in_chop_prob=1.0).vector(ONES, [1, 0.5])
    cell.has(
        a=[[-0.02] * 3, [-0.01] * 3],
        c=[[-0.01, 0, 0], [0, 0, 0]],
        w=[[0, -0.01, -0.01], [0.005, -0.005, -0.005]],
    )
    assert cell.state("in_chopper").tolist() == [1, 0, 0]
    cell = ttv3(gamma=0.5)
    for w in ([-0.02, -0.005, 0], [-0.03, -0.02, 0], [-0.04, -0.025, 0]):
        cell.vector([1, 0.5, 0]).has(w=w)


# ---- 13.7: TTv4 ----------------------------------------------------------------------


def ttv4(**fields):
    """A single crosspoint, without the noise gate, which the reference library lacks."""
    fields = {
        **BUFFERED,
        "in_chop_prob": 0.5,
        "tail_weightening": 1.0,
        "noise_gate": False,
        **fields,
    }
    compound = DynamicTransferCompound(unit_cell_devices=[device()] * 2, **fields)
    return Cell(compound, (1, 1))


def test_ttv4():
    cell = ttv4()
    for a, c, h, mean, past, chopper in (
        (-0.02, 0, -1, -0.01, 0, 0),
        (-0.04, 0, -4, -0.025, 0, 1),
        (-0.02, 0, -3.5, -0.0225, -0.025, 1),
        (0, -0.01, -5, -0.01125, -0.025, 0),
        (-0.02, -0.02, -4.875, -0.015625, -0.01125, 0),
        (-0.04, -0.03, -6.75, -0.0278125, -0.01125, 1),
        (-0.02, -0.04, -6.53125, -0.02390625, -0.0278125, 1),
        (0, -0.05, -8.3125, -0.011953125, -0.0278125, 0),
    ):
        cell.vector([1], [1]).has(
            a=a, c=c, buffered_FP_weight=h, mean=mean, past=past, w=c
        )
        assert cell.state("in_chopper") == chopper


@pytest.mark.parametrize(
    ("fields", "buffer"),
    [
        ({"tail_weightening": 5.0}, [-1, -4, -5, -8, -9, -12, -13, -16]),
        ({"buffer_cap": 2.0}, [-1, -2, -1.5, -2, -1.875, -2]),
        (
            {"experimental_correct_accumulation": True},
            [-1, -2, -1.5, -1.75, -1.625, -2.0625],
        ),
    ],
)
def test_options_of_ttv4(fields, buffer):
    cell = ttv4(**fields)
    for t, h in enumerate(buffer, start=1):
        cell.vector([1], [1]).has(buffered_FP_weight=h)
        if "tail_weightening" in fields:
            cell.has(c=-0.01 * max(t - 3, 0))


# ---- 13.8: mixed precision -----------------------------------------------------------


def mixed(**fields):
    fields = {"device": device(), **fields}
    return Cell(MixedPrecisionCompound(**fields))


X, D = np.array([1, 0.25, 0.04]), np.array([1, -0.5])


def test_mixed_precision():
    """5 steps of 0.01 in 0.05 are a tie of float32, as the specification says."""
    cell = mixed().vector(X, D, lr=0.1)
    cell.has(w=0, chi=[[0.1, 0.025, 0.004], [-0.05, -0.0125, -0.002]])
    for w, chi in (
        (
            [[-0.2, -0.05, 0], [0.1, 0.02, 0]],
            [[0, 0, 0.008], [0, -0.005, -0.004]],
        ),
        (
            [[-0.3, -0.07, -0.01], [0.15, 0.03, 0]],
            [[0, 0.005, 0.002], [0, -0.0075, -0.006]],
        ),
        (
            [[-0.4, -0.1, -0.01], [0.2, 0.05, 0]],
            [[0, 0, 0.006], [0, 0, -0.008]],
        ),
    ):
        cell.vector(X, D, lr=0.1).has(w=w, chi=chi)


def test_mini_batches_of_mixed_precision():
    cell = mixed()
    for w, chi in (
        ([0, 0, 0], [0.2, 0.05, 0.008]),
        ([-0.3, -0.07, -0.01], [0.1, 0.03, 0.006]),
        ([-0.5, -0.12, -0.02], None),
    ):
        cell.vector([X] * 2, [D] * 2, lr=0.1).has(w=w)
        if chi is not None:
            cell.has(chi=chi)


def test_rows_of_mixed_precision():
    rows = np.zeros((2, 3))
    cell = mixed(n_rows_per_transfer=1).vector(X, D, lr=0.1)
    for row, values in (
        (0, [-0.2, -0.05, 0]),
        (1, [0.15, 0.03, 0]),
        (0, [-0.4, -0.1, -0.01]),
    ):
        rows[row] = values
        cell.vector(X, D, lr=0.1).has(w=rows)


def test_periods_and_rates_of_mixed_precision():
    cell = mixed(transfer_every=2).vector(X, D, lr=0.1, times=2).has(w=0)
    cell.vector(X, D, lr=0.1).has(w=[-0.3, -0.07, -0.01])
    cell = mixed(transfer_lr=0.5, granularity=0.05).vector(X, D, lr=0.1, times=2)
    cell.has(w=[-0.1, -0.02, 0], chi=[0, 0, 0.008])


def test_bins_of_mixed_precision():
    exact = {"stoc_round_x": False, "stoc_round_d": False}
    x, d = [1, 0.3, 0.2], [1, -0.4]
    cell = mixed(n_x_bins=5, n_d_bins=3, **exact).vector(x, d, lr=0.1)
    cell.has(chi=[[0.1, 0.05, 0], [0, 0, 0]])
    cell = mixed(n_x_bins=4, n_d_bins=4, **exact).vector(x, d, lr=0.1)
    cell.has(chi=[[0.1, 0.05, 0], [-0.05, -0.025, 0]])


def test_more_pulses_than_a_train_has():
    cell = mixed().vector([0.4, 0.25, 0.04], D, lr=1.0).vector([0, 0, 0], D, lr=1.0)
    cell.has(w=[-0.31, -0.19, -0.03], chi=[0, 0, 0])


def test_a_vector_cell_in_mixed_precision():
    devices = VectorUnitCell(unit_cell_devices=[device(), device(dw_min=0.03)])
    cell = mixed(device=devices).vector(X, D, lr=0.1, times=2)
    cell.has(w=[-0.2, -0.04, 0], chi=[0, 0.01, 0.008])
