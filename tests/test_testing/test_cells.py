"""`check_device` on unit cells and compounds: they pass, and mistakes are found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rpupy.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    ConstantStepDevice,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    SoftBoundsDevice,
    TransferCompound,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)
from rpupy.testing import BrokenLaws, check_device, laws

sys.path.insert(0, str(Path(__file__).parent))
from test_conformance import Mutant, OtherDevice


def devices() -> list[Any]:
    return [
        SoftBoundsDevice(dw_min=0.01, write_noise_std=0.5, reset=0.05),
        ConstantStepDevice(dw_min=0.01, w_max=0.9, lifetime=50.0),
    ]


def transfer(cls: type[Any], **fields: Any) -> Any:
    return cls(
        unit_cell_devices=devices(),
        units_in_mbatch=False,
        fast_lr=0.5,
        scale_transfer_lr=False,
        **fields,
    )


CELLS: dict[str, Any] = {
    "vector": VectorUnitCell(
        unit_cell_devices=devices(),
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL,
        gamma_vec=[0.7, 0.4],
    ),
    "reference": ReferenceUnitCell(unit_cell_devices=devices()),
    "one_sided": OneSidedUnitCell(
        unit_cell_devices=[SoftBoundsDevice(dw_min=0.02)],
        refresh_every=3,
        units_in_mbatch=False,
        refresh_upper_thres=0.1,
        refresh_lower_thres=0.02,
    ),
    "ttv1": transfer(TransferCompound, gamma=0.3, with_reset_prob=0.5),
    "ttv2": transfer(BufferedTransferCompound),
    "ttv3": transfer(
        ChoppedTransferCompound, in_chop_prob=0.4, out_chop_prob=0.5, gamma=0.2
    ),
    "ttv4": transfer(DynamicTransferCompound, in_chop_prob=0.5, tail_weightening=0.5),
    "mixed": MixedPrecisionCompound(device=devices()[0]),
    "defaults": ChoppedTransferCompound(unit_cell_devices=[ConstantStepDevice()] * 2),
    "nested": VectorUnitCell(
        unit_cell_devices=[
            OneSidedUnitCell(unit_cell_devices=devices()[:1]),
            transfer(TransferCompound, gamma=0.5),
        ]
    ),
}


@pytest.mark.parametrize("name", sorted(CELLS))
def test_cells_obey(name: str) -> None:
    report = check_device(CELLS[name])
    assert set(report.held) | set(report.not_applicable) == set(laws(cells=True))
    assert len(report.held) >= len(laws(cells=True)) - 1


# ---- mistakes ------------------------------------------------------------------------


class CellMutant(Mutant):
    """Changes something behind each update."""

    def update(self, x_input: Any, d_input: Any) -> None:
        super().update(x_input, d_input)
        if self.tile.get_learning_rate() != 0:
            self.spoil()

    def spoil(self) -> None:
        raise NotImplementedError

    def array(self, name: str) -> np.ndarray:
        return self.state()[1][name]


class TransferSignWrong(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.transfer_lr = -device.transfer_lr


class GammaIgnored(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.gamma = 0.0


class SharesIgnored(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.gamma_vec = [1.0, 1.0]


class RowsForColumns(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.with_reset_prob = 0.0
        device.transfer_columns = False


class ResetForgotten(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.with_reset_prob = 0.0


class OutputsAreNotChopped(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.out_chop_prob = 0.0


class BufferIsNotReduced(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.momentum = 1.0


class GateAlwaysOpen(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.noise_gate = False


class RefreshOneLate(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.refresh_every += 1


class RefreshOfTheLargerHalf(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.refresh_lower_thres = -1.0


class ReferenceIsUpdated(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.update_policy = VectorUnitCellUpdatePolicy.ALL


class LagOfMixedPrecisionDoubled(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.transfer_every *= 2


class ReadsCountedTwice(CellMutant):
    def spoil(self) -> None:
        self.edit_counter("reads_0", lambda n: 2 * n)


class PositionNotAdvanced(CellMutant):
    def spoil(self) -> None:
        self.edit_counter("position_0", lambda _: 0)


class VectorsNotCounted(CellMutant):
    def spoil(self) -> None:
        self.edit_counter("vector_current", lambda _: 0)


class MomentumOnTheWrongArray(CellMutant):
    def spoil(self) -> None:
        mean = self.array("running_mean_weight")
        self.edit(running_mean_weight=0.5 * mean)


class PastMeanIsTheMean(CellMutant):
    def spoil(self) -> None:
        self.edit(past_mean_weight=self.array("running_mean_weight"))


class ChopperOfOneSideForgotten(CellMutant):
    def spoil(self) -> None:
        self.edit(in_chopper=np.zeros_like(self.array("in_chopper")))


class GradientsAreForgotten(CellMutant):
    def spoil(self) -> None:
        self.edit(hidden_weights_chi=np.zeros_like(self.array("hidden_weights_chi")))


class SlowArrayUnbounded(CellMutant):
    def spoil(self) -> None:
        self.edit(hidden_weights_1=3.0 + self.array("hidden_weights_1"))


class SetWeightsKeepsTheBuffer(Mutant):
    def set_weights(self, *arguments: Any, **more: Any) -> None:
        kept = {k: v for k, v in self.state()[1].items() if k.startswith("buffered")}
        super().set_weights(*arguments, **more)
        self.edit(**kept)


class ScheduleMovesAtRateZero(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        if self.tile.get_learning_rate() == 0:
            self.edit_counter("position_0", lambda n: (n + 1) % self.shape[1])
            self.edit_counter("reads_0", lambda n: n + 1)
        super().update(x_input, d_input)


class DecayOfOneDevice(Mutant):
    def decay_weights(self, alpha: float = 1.0) -> None:
        kept = self.state()[1]["hidden_weights_1"]
        super().decay_weights(alpha)
        self.edit(hidden_weights_1=kept)


class RestartsWithEachCall(Mutant):
    def update(self, x_input: Any, d_input: Any) -> None:
        self.edit_counter("one_sided_updates", lambda _: 0)
        super().update(x_input, d_input)


class SeedOfCellsIgnored(OtherDevice):
    @staticmethod
    def change(device: Any) -> None:
        device.construction_seed = 0


MISTAKES = [
    (TransferSignWrong, "ttv1", "as_specified"),
    (GammaIgnored, "ttv1", "as_specified"),
    (RowsForColumns, "ttv1", "as_specified"),
    (ResetForgotten, "ttv1", "as_specified"),
    (ReadsCountedTwice, "ttv1", "as_specified"),
    (PositionNotAdvanced, "ttv1", "as_specified"),
    (SharesIgnored, "vector", "as_specified"),
    (VectorsNotCounted, "vector", "as_specified"),
    (DecayOfOneDevice, "vector", "as_specified"),
    (ReferenceIsUpdated, "reference", "as_specified"),
    (RefreshOneLate, "one_sided", "as_specified"),
    (RefreshOfTheLargerHalf, "one_sided", "as_specified"),
    (BufferIsNotReduced, "ttv2", "as_specified"),
    (OutputsAreNotChopped, "ttv3", "as_specified"),
    (ChopperOfOneSideForgotten, "ttv3", "as_specified"),
    (MomentumOnTheWrongArray, "ttv4", "as_specified"),
    (PastMeanIsTheMean, "ttv4", "as_specified"),
    (GateAlwaysOpen, "ttv4", "as_specified"),
    (GradientsAreForgotten, "mixed", "as_specified"),
    (LagOfMixedPrecisionDoubled, "mixed", "as_specified"),
    (SetWeightsKeepsTheBuffer, "ttv2", "fresh_start"),
    (SlowArrayUnbounded, "vector", "bounds_of_devices"),
    (ScheduleMovesAtRateZero, "ttv1", "idle_updates"),
    (RestartsWithEachCall, "one_sided", "parts_of_a_batch"),
    (SeedOfCellsIgnored, "vector", "same_devices"),
]


@pytest.mark.parametrize(
    ("mutant", "cell", "law"),
    MISTAKES,
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_a_mistake_breaks_its_law(mutant: type[Mutant], cell: str, law: str) -> None:
    with pytest.raises(BrokenLaws) as caught:
        check_device(CELLS[cell], tile_factory=mutant, only=[law])
    (example,) = caught.value.report.broken
    assert example.law == law
    # It is the mistake that was seen, and not an error of the mutant.
    assert example.expected != "no exception", example.got


def test_every_law_of_cells_has_a_mistake_that_breaks_it() -> None:
    """Those that are shared with devices have theirs in test_conformance.py."""
    assert {law for *_, law in MISTAKES} == set(laws(cells=True)) - set(laws())


def test_how_a_batch_is_split_may_matter_to_aggregated_noise() -> None:
    from rpupy.configs import NoiseAggregation, UnitCellRPUConfig, UpdateParameters

    update = UpdateParameters(noise_aggregation=NoiseAggregation.BATCH)
    config = UnitCellRPUConfig(device=CELLS["ttv2"], update=update)
    report = check_device(config, only=["as_specified", "parts_of_a_batch"])
    assert set(report.not_applicable) == {"parts_of_a_batch"}
    assert set(report.held) == {"as_specified"}
