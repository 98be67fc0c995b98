"""Configurations of cells for the tests beside this, each with its options on."""

from __future__ import annotations

from typing import Any

from rpupy.configs import (
    AnalogMVType,
    BufferedTransferCompound,
    ChoppedTransferCompound,
    ConstantStepDevice,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    IOParameters,
    LinearStepDevice,
    MixedPrecisionCompound,
    NoiseManagementType,
    OneSidedUnitCell,
    ReferenceUnitCell,
    SoftBoundsDevice,
    TransferCompound,
    UnitCellRPUConfig,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)

SHAPE = (5, 19)


def devices(dw_min: float = 0.01) -> list[Any]:
    """Two devices of different kinds; the first shows its weight with an error."""
    return [
        SoftBoundsDevice(dw_min=dw_min, write_noise_std=0.5, reset=0.05),
        ConstantStepDevice(dw_min=dw_min, w_max=0.9, lifetime=50.0),
    ]


def transfer(cls: type[Any] = TransferCompound, **fields: Any) -> Any:
    """A transfer compound whose schedule counts vectors."""
    return cls(
        unit_cell_devices=devices(),
        units_in_mbatch=False,
        fast_lr=0.5,
        scale_transfer_lr=False,
        **fields,
    )


def single(policy: str) -> VectorUnitCell:
    """A vector cell of three devices that are updated one at a time."""
    return VectorUnitCell(
        unit_cell_devices=[*devices(), LinearStepDevice(dw_min=0.01)],
        update_policy=VectorUnitCellUpdatePolicy[policy],
        first_update_idx=1,
    )


def one_sided(**fields: Any) -> OneSidedUnitCell:
    """A one-sided cell."""
    return OneSidedUnitCell(
        unit_cell_devices=[SoftBoundsDevice(dw_min=0.02, write_noise_std=0.3)], **fields
    )


#: Reads whose lines differ, and such that have negative inputs, too.
LINES = IOParameters(
    out_noise_std=0.3,
    out_nonlinearity=0.2,
    out_nonlinearity_std=0.3,
    slope_calibration=0.5,
    v_offset_std=0.2,
    r_series=0.1,
)
PASSES = IOParameters(
    inp_noise=0.5,
    mv_type=AnalogMVType.POS_NEG_SEPARATE,
    w_read_asymmetry_dtod=0.3,
    v_offset_std=0.2,
    noise_management=NoiseManagementType.AVERAGE_ABS_MAX,
)

#: By a name; none of them depends on how a batch is split.
CELLS: dict[str, Any] = {
    "vector": VectorUnitCell(unit_cell_devices=devices(), gamma_vec=[0.7, 0.3]),
    "fixed": single("SINGLE_FIXED"),
    "sequential": single("SINGLE_SEQUENTIAL"),
    "random": single("SINGLE_RANDOM"),
    "reference": ReferenceUnitCell(unit_cell_devices=devices()),
    "one_sided": one_sided(),
    "refreshed": one_sided(
        refresh_every=3,
        units_in_mbatch=False,
        refresh_upper_thres=0.1,
        refresh_lower_thres=0.02,
    ),
    "ttv1": transfer(transfer_every=2, gamma=0.3, n_reads_per_transfer=3),
    "ttv1_reset": transfer(with_reset_prob=0.5, random_selection=True),
    "ttv1_rows": transfer(transfer_columns=False, n_reads_per_transfer=2),
    "ttv1_noisy_inputs": transfer(transfer_forward=IOParameters(inp_noise=0.1)),
    "chain": TransferCompound(
        unit_cell_devices=[devices()[0], devices()[1], devices()[1]],
        transfer_every_vec=[1, 2, 0],
        units_in_mbatch=False,
        gamma=0.5,
        no_self_transfer=False,
    ),
    "ttv2": transfer(BufferedTransferCompound, transfer_lr=0.5, with_reset_prob=0.3),
    "ttv3": transfer(
        ChoppedTransferCompound, in_chop_prob=0.4, out_chop_prob=0.3, gamma=0.2
    ),
    "ttv3_rows": transfer(
        ChoppedTransferCompound,
        transfer_columns=False,
        in_chop_prob=0.6,
        out_chop_prob=0.5,
        correct_gradient_magnitudes=True,
        gamma=0.2,
    ),
    "ttv4": transfer(DynamicTransferCompound, in_chop_prob=0.5, tail_weightening=0.5),
    "ttv4_rows": transfer(
        DynamicTransferCompound,
        transfer_columns=False,
        in_chop_random=True,
        out_chop_prob=0.3,
        in_chop_prob=0.5,
        forget_buffer=False,
        buffer_cap=2.0,
    ),
    "gated": transfer(
        DynamicTransferCompound,
        in_chop_random=False,
        in_chop_prob=0.5,
        noise_gate=True,
        tail_weightening=1.0,
    ),
    "refreshed_noisy_inputs": one_sided(
        refresh_every=5,
        units_in_mbatch=False,
        refresh_upper_thres=0.1,
        refresh_lower_thres=0.02,
        refresh_forward=IOParameters(inp_noise=0.1, out_bound=0.1),
    ),
    "ten": VectorUnitCell(unit_cell_devices=[*devices() * 5]),
    "ttv2_into_cell": BufferedTransferCompound(
        unit_cell_devices=[devices()[0], single("SINGLE_SEQUENTIAL")],
        units_in_mbatch=False,
        scale_transfer_lr=False,
        fast_lr=0.05,
        thres_scale=12.0,
    ),
    "ttv2_of_cell": BufferedTransferCompound(
        unit_cell_devices=[one_sided(), devices()[1]],
        units_in_mbatch=False,
        scale_transfer_lr=False,
    ),
    "ttv3_of_ttv3": ChoppedTransferCompound(
        unit_cell_devices=[
            transfer(ChoppedTransferCompound, in_chop_prob=0.3, gamma=0.5),
            devices()[1],
        ],
        in_chop_prob=0.4,
    ),
    "ttv1_lines": transfer(transfer_forward=LINES, n_reads_per_transfer=3),
    "ttv3_rows_lines": transfer(
        ChoppedTransferCompound,
        transfer_columns=False,
        in_chop_prob=0.4,
        transfer_forward=PASSES,
    ),
    "refreshed_lines": one_sided(
        refresh_every=3,
        units_in_mbatch=False,
        refresh_upper_thres=0.1,
        refresh_lower_thres=0.02,
        refresh_forward=PASSES,
    ),
    "nested": VectorUnitCell(
        unit_cell_devices=[
            one_sided(refresh_every=2, units_in_mbatch=False, refresh_upper_thres=0.1),
            transfer(gamma=0.5),
        ],
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    ),
    "nested_fast": TransferCompound(
        unit_cell_devices=[one_sided(), devices()[1]],
        units_in_mbatch=False,
        with_reset_prob=0.5,
    ),
}

#: Those that depend on it.
WHOLE: dict[str, Any] = {
    "refreshed_mbatch": one_sided(
        refresh_every=1, refresh_upper_thres=0.1, refresh_lower_thres=0.02
    ),
    "ttv1_mbatch": TransferCompound(
        unit_cell_devices=devices(), transfer_every=0.3, n_reads_per_transfer=2
    ),
    "ttv3_auto": transfer(
        ChoppedTransferCompound, auto_scale=True, auto_momentum=0.9, auto_granularity=50
    ),
    "mixed": MixedPrecisionCompound(
        device=devices()[0], n_x_bins=5, n_d_bins=7, transfer_every=1
    ),
    "mixed_rows": MixedPrecisionCompound(
        device=VectorUnitCell(unit_cell_devices=devices()),
        n_rows_per_transfer=2,
        random_row=True,
    ),
    "mixed_transfer": MixedPrecisionCompound(device=transfer(gamma=0.5)),
}

ALL = {**CELLS, **WHOLE}


def config(cell: Any) -> Any:
    """Configuration of a tile with this cell."""
    digital = isinstance(cell, MixedPrecisionCompound)
    cls = DigitalRankUpdateRPUConfig if digital else UnitCellRPUConfig
    return cls(device=cell)
