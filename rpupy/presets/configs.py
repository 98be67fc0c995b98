"""RPU configurations of tiles: preset devices, and algorithms on them.

Products have the settings of PresetIOParameters in both directions, updates those of
PresetUpdateParameters. The sources of the numbers stand with the devices.
"""

from __future__ import annotations

from typing import Any

from rpupy.configs.compounds import (
    ChoppedTransferCompound,
    DigitalRankUpdateCell,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    TransferCompound,
    UnitCell,
    VectorUnitCell,
)
from rpupy.configs.configs import (
    DigitalRankUpdateRPUConfig,
    SingleRPUConfig,
    UnitCellRPUConfig,
)
from rpupy.configs.devices import (
    IdealDevice,
    PulsedDevice,
    SoftBoundsReferenceDevice,
)
from rpupy.parameters.base import define, part
from rpupy.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    VectorUnitCellUpdatePolicy,
)
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

from .compounds import PCMPresetUnitCell
from .devices import (
    CapacitorPresetDevice,
    EcRamMOPresetDevice,
    EcRamPresetDevice,
    GokmenVlasovPresetDevice,
    IdealizedPresetDevice,
    ReRamESPresetDevice,
    ReRamSBPresetDevice,
)
from .utils import PresetIOParameters, PresetUpdateParameters

__all__ = [
    "AGADCapacitorPreset",
    "AGADEcRamMOPreset",
    "AGADEcRamPreset",
    "AGADIdealizedPreset",
    "AGADReRamESPreset",
    "AGADReRamSBPreset",
    "Capacitor2Preset",
    "Capacitor4Preset",
    "CapacitorPreset",
    "ChoppedTTv2CapacitorPreset",
    "ChoppedTTv2EcRamMOPreset",
    "ChoppedTTv2EcRamPreset",
    "ChoppedTTv2IdealizedPreset",
    "ChoppedTTv2ReRamESPreset",
    "ChoppedTTv2ReRamSBPreset",
    "EcRam2Preset",
    "EcRam4Preset",
    "EcRamMO2Preset",
    "EcRamMO4Preset",
    "EcRamMOPreset",
    "EcRamPreset",
    "GokmenVlasovPreset",
    "Idealized2Preset",
    "Idealized4Preset",
    "IdealizedPreset",
    "MixedPrecisionCapacitorPreset",
    "MixedPrecisionEcRamMOPreset",
    "MixedPrecisionEcRamPreset",
    "MixedPrecisionGokmenVlasovPreset",
    "MixedPrecisionIdealizedPreset",
    "MixedPrecisionPCMPreset",
    "MixedPrecisionReRamESPreset",
    "MixedPrecisionReRamSBPreset",
    "PCMPreset",
    "ReRamES2Preset",
    "ReRamES4Preset",
    "ReRamESPreset",
    "ReRamSB2Preset",
    "ReRamSB4Preset",
    "ReRamSBPreset",
    "TTv2CapacitorPreset",
    "TTv2EcRamMOPreset",
    "TTv2EcRamPreset",
    "TTv2IdealizedPreset",
    "TTv2ReRamESPreset",
    "TTv2ReRamSBPreset",
    "TikiTakaCapacitorPreset",
    "TikiTakaEcRamMOPreset",
    "TikiTakaEcRamPreset",
    "TikiTakaIdealizedPreset",
    "TikiTakaReRamESPreset",
    "TikiTakaReRamSBPreset",
]

_DEVICES = (PulsedDevice, IdealDevice)


# ---- one device at each crosspoint ---------------------------------------------------


@define
class _SinglePreset(SingleRPUConfig):
    """Base of these presets: products and updates."""

    forward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    backward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    update: UpdateParameters = part(PresetUpdateParameters, kinds=(UpdateParameters,))


@define
class ReRamESPreset(_SinglePreset):
    """A tile of resistive memory (ReRAM), as exponential steps.

    The fields are those of SingleRPUConfig, with ReRamESPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(ReRamESPresetDevice, kinds=_DEVICES)


@define
class ReRamSBPreset(_SinglePreset):
    """A tile of resistive memory (ReRAM), as soft bounds.

    The fields are those of SingleRPUConfig, with ReRamSBPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(ReRamSBPresetDevice, kinds=_DEVICES)


@define
class CapacitorPreset(_SinglePreset):
    """A tile of capacitors.

    The fields are those of SingleRPUConfig, with CapacitorPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(CapacitorPresetDevice, kinds=_DEVICES)


@define
class EcRamPreset(_SinglePreset):
    """A tile of electrochemical memory (ECRAM) with lithium ions.

    The fields are those of SingleRPUConfig, with EcRamPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(EcRamPresetDevice, kinds=_DEVICES)


@define
class EcRamMOPreset(_SinglePreset):
    """A tile of electrochemical memory (ECRAM) of metal oxides.

    The fields are those of SingleRPUConfig, with EcRamMOPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(EcRamMOPresetDevice, kinds=_DEVICES)


@define
class IdealizedPreset(_SinglePreset):
    """A tile of idealised devices.

    The fields are those of SingleRPUConfig, with IdealizedPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(IdealizedPresetDevice, kinds=_DEVICES)


@define
class GokmenVlasovPreset(_SinglePreset):
    """A tile of the devices of Gokmen and Vlasov (2016).

    The fields are those of SingleRPUConfig, with GokmenVlasovPresetDevice for `device`.
    """

    device: PulsedDevice | IdealDevice = part(GokmenVlasovPresetDevice, kinds=_DEVICES)


# ---- what the others are made of -----------------------------------------------------


@define
class _CellPreset(UnitCellRPUConfig):
    """Base of presets with cells: products and updates."""

    forward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    backward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    update: UpdateParameters = part(PresetUpdateParameters, kinds=(UpdateParameters,))


@define
class _DigitalPreset(DigitalRankUpdateRPUConfig):
    """Base of presets with digital updates: products and updates."""

    forward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    backward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    update: UpdateParameters = part(PresetUpdateParameters, kinds=(UpdateParameters,))


def _long_trains() -> PresetUpdateParameters:
    """Make trains of up to 100 slots, for devices with very small steps."""
    return PresetUpdateParameters(desired_bl=100)


def _single_pulses() -> PresetUpdateParameters:
    """Make writes of one pulse."""
    return PresetUpdateParameters(
        desired_bl=1, update_bl_management=False, update_management=False
    )


def _reads() -> PresetIOParameters:
    """Make reads of slices, which go without managements."""
    return PresetIOParameters(
        noise_management=NoiseManagementType.NONE,
        bound_management=BoundManagementType.NONE,
    )


def _pair(device: type[PulsedDevice]) -> list[PulsedDevice]:
    """Make a fast and a slow device; tiki-taka asks for symmetry points at 0."""
    pair = [device(), device()]
    for one in pair:
        if isinstance(one, SoftBoundsReferenceDevice):
            one.subtract_symmetry_point = True
    return pair


def _vector(device: type[PulsedDevice], count: int) -> VectorUnitCell:
    return VectorUnitCell(
        unit_cell_devices=[device() for _ in range(count)],
        update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
    )


def _tiki_taka(device: type[PulsedDevice]) -> TransferCompound:
    return TransferCompound(
        unit_cell_devices=_pair(device),
        transfer_forward=_reads(),
        transfer_update=PresetUpdateParameters(),
    )


def _buffered(cls: Any, device: type[PulsedDevice], fields: dict[str, Any]) -> Any:
    return cls(
        unit_cell_devices=_pair(device),
        transfer_forward=_reads(),
        transfer_update=_single_pulses(),
        auto_scale=True,
        **fields,
    )


def _chopped(device: type[PulsedDevice], **fields: Any) -> ChoppedTransferCompound:
    made: ChoppedTransferCompound = _buffered(ChoppedTransferCompound, device, fields)
    return made


def _agad(device: type[PulsedDevice], **fields: Any) -> DynamicTransferCompound:
    made: DynamicTransferCompound = _buffered(DynamicTransferCompound, device, fields)
    return made


def _mixed(device: type[PulsedDevice | UnitCell]) -> MixedPrecisionCompound:
    return MixedPrecisionCompound(device=device())


# ---- two devices at each crosspoint --------------------------------------------------


@define
class ReRamES2Preset(_CellPreset):
    """Two devices a crosspoint: resistive memory (ReRAM), as exponential steps.

    The fields are those of UnitCellRPUConfig, with two times ReRamESPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(ReRamESPresetDevice, 2))


@define
class ReRamSB2Preset(_CellPreset):
    """Two devices a crosspoint: resistive memory (ReRAM), as soft bounds.

    The fields are those of UnitCellRPUConfig, with two times ReRamSBPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(ReRamSBPresetDevice, 2))


@define
class Capacitor2Preset(_CellPreset):
    """Two devices a crosspoint: capacitors.

    The fields are those of UnitCellRPUConfig, with two times CapacitorPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(CapacitorPresetDevice, 2))


@define
class EcRam2Preset(_CellPreset):
    """Two devices a crosspoint: electrochemical memory (ECRAM) with lithium ions.

    The fields are those of UnitCellRPUConfig, with two times EcRamPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(EcRamPresetDevice, 2))


@define
class EcRamMO2Preset(_CellPreset):
    """Two devices a crosspoint: electrochemical memory (ECRAM) of metal oxides.

    The fields are those of UnitCellRPUConfig, with two times EcRamMOPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(EcRamMOPresetDevice, 2))


@define
class Idealized2Preset(_CellPreset):
    """Two devices a crosspoint: idealised devices.

    The fields are those of UnitCellRPUConfig, with two times IdealizedPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(IdealizedPresetDevice, 2))


# ---- four devices at each crosspoint -------------------------------------------------


@define
class ReRamES4Preset(_CellPreset):
    """Four devices a crosspoint: resistive memory (ReRAM), as exponential steps.

    The fields are those of UnitCellRPUConfig, with four times ReRamESPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(ReRamESPresetDevice, 4))


@define
class ReRamSB4Preset(_CellPreset):
    """Four devices a crosspoint: resistive memory (ReRAM), as soft bounds.

    The fields are those of UnitCellRPUConfig, with four times ReRamSBPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(ReRamSBPresetDevice, 4))


@define
class Capacitor4Preset(_CellPreset):
    """Four devices a crosspoint: capacitors.

    The fields are those of UnitCellRPUConfig, with four times
    CapacitorPresetDevice, which names the sources, in a VectorUnitCell. Each vector
    of an update goes to one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(CapacitorPresetDevice, 4))


@define
class EcRam4Preset(_CellPreset):
    """Four devices a crosspoint: electrochemical memory (ECRAM) with lithium ions.

    The fields are those of UnitCellRPUConfig, with four times EcRamPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(EcRamPresetDevice, 4))


@define
class EcRamMO4Preset(_CellPreset):
    """Four devices a crosspoint: electrochemical memory (ECRAM) of metal oxides.

    The fields are those of UnitCellRPUConfig, with four times EcRamMOPresetDevice,
    which names the sources, in a VectorUnitCell. Each vector of an update goes to
    one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(EcRamMOPresetDevice, 4))


@define
class Idealized4Preset(_CellPreset):
    """Four devices a crosspoint: idealised devices.

    The fields are those of UnitCellRPUConfig, with four times
    IdealizedPresetDevice, which names the sources, in a VectorUnitCell. Each vector
    of an update goes to one of them, drawn at random.
    """

    device: UnitCell = part(UnitCell, default=lambda: _vector(IdealizedPresetDevice, 4))


# ---- PCM, two devices for each weight ------------------------------------------------


@define
class PCMPreset(_CellPreset):
    """A tile of phase-change memory (PCM), in pairs that are refreshed.

    The fields are those of UnitCellRPUConfig, with PCMPresetUnitCell, which names
    the sources, for `device`.
    """

    device: UnitCell = part(PCMPresetUnitCell, kinds=(UnitCell,))


# ---- tiki-taka (TTv1) ----------------------------------------------------------------


@define
class TikiTakaReRamESPreset(_CellPreset):
    """TTv1 on resistive memory (ReRAM), as exponential steps.

    The fields are those of UnitCellRPUConfig, with ReRamESPresetDevice in both
    arrays of a TransferCompound. Sources: Gokmen and Haensch (2020),
    doi:10.3389/fnins.2020.00103, and those of the device.
    """

    device: UnitCell = part(UnitCell, default=lambda: _tiki_taka(ReRamESPresetDevice))


@define
class TikiTakaReRamSBPreset(_CellPreset):
    """TTv1 on resistive memory (ReRAM), as soft bounds.

    The fields are those of UnitCellRPUConfig, with ReRamSBPresetDevice in both
    arrays of a TransferCompound. Sources: Gokmen and Haensch (2020),
    doi:10.3389/fnins.2020.00103, and those of the device.
    """

    device: UnitCell = part(UnitCell, default=lambda: _tiki_taka(ReRamSBPresetDevice))


@define
class TikiTakaCapacitorPreset(_CellPreset):
    """TTv1 on capacitors.

    The fields are those of UnitCellRPUConfig, with CapacitorPresetDevice in both
    arrays of a TransferCompound. Sources: Gokmen and Haensch (2020),
    doi:10.3389/fnins.2020.00103, and those of the device.
    """

    device: UnitCell = part(UnitCell, default=lambda: _tiki_taka(CapacitorPresetDevice))


@define
class TikiTakaEcRamPreset(_CellPreset):
    """TTv1 on electrochemical memory (ECRAM) with lithium ions.

    The fields are those of UnitCellRPUConfig, with EcRamPresetDevice in both arrays
    of a TransferCompound. Sources: Gokmen and Haensch (2020),
    doi:10.3389/fnins.2020.00103, and those of the device.
    """

    device: UnitCell = part(UnitCell, default=lambda: _tiki_taka(EcRamPresetDevice))


@define
class TikiTakaEcRamMOPreset(_CellPreset):
    """TTv1 on electrochemical memory (ECRAM) of metal oxides.

    The fields are those of UnitCellRPUConfig, with EcRamMOPresetDevice in both
    arrays of a TransferCompound. Sources: Gokmen and Haensch (2020),
    doi:10.3389/fnins.2020.00103, and those of the device.
    """

    device: UnitCell = part(UnitCell, default=lambda: _tiki_taka(EcRamMOPresetDevice))


@define
class TikiTakaIdealizedPreset(_CellPreset):
    """TTv1 on idealised devices.

    The fields are those of UnitCellRPUConfig, with IdealizedPresetDevice in both
    arrays of a TransferCompound. Sources: Gokmen and Haensch (2020),
    doi:10.3389/fnins.2020.00103, and those of the device.
    """

    device: UnitCell = part(UnitCell, default=lambda: _tiki_taka(IdealizedPresetDevice))


# ---- TTv2 ----------------------------------------------------------------------------


@define
class TTv2ReRamESPreset(_CellPreset):
    """TTv2 on resistive memory (ReRAM), as exponential steps.

    The fields are those of UnitCellRPUConfig, with ReRamESPresetDevice in both
    arrays of a ChoppedTransferCompound without choppers. Sources: Gokmen (2021),
    doi:10.3389/frai.2021.699148, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            ReRamESPresetDevice,
            in_chop_prob=0.0,
            fast_lr=0.5,
            auto_granularity=1000,
        ),
    )


@define
class TTv2ReRamSBPreset(_CellPreset):
    """TTv2 on resistive memory (ReRAM), as soft bounds.

    The fields are those of UnitCellRPUConfig, with ReRamSBPresetDevice in both
    arrays of a ChoppedTransferCompound without choppers. Sources: Gokmen (2021),
    doi:10.3389/frai.2021.699148, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            ReRamSBPresetDevice,
            in_chop_prob=0.0,
            fast_lr=0.5,
            auto_granularity=1000,
        ),
    )


@define
class TTv2CapacitorPreset(_CellPreset):
    """TTv2 on capacitors.

    The fields are those of UnitCellRPUConfig, with CapacitorPresetDevice in both
    arrays of a ChoppedTransferCompound without choppers. Sources: Gokmen (2021),
    doi:10.3389/frai.2021.699148, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            CapacitorPresetDevice,
            in_chop_prob=0.0,
            fast_lr=0.1,
            auto_granularity=1000,
        ),
    )


@define
class TTv2EcRamPreset(_CellPreset):
    """TTv2 on electrochemical memory (ECRAM) with lithium ions.

    The fields are those of UnitCellRPUConfig, with EcRamPresetDevice in both arrays
    of a ChoppedTransferCompound without choppers. Sources: Gokmen (2021),
    doi:10.3389/frai.2021.699148, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            EcRamPresetDevice,
            in_chop_prob=0.0,
            fast_lr=0.1,
            auto_granularity=500,
        ),
    )


@define
class TTv2EcRamMOPreset(_CellPreset):
    """TTv2 on electrochemical memory (ECRAM) of metal oxides.

    The fields are those of UnitCellRPUConfig, with EcRamMOPresetDevice in both
    arrays of a ChoppedTransferCompound without choppers. Sources: Gokmen (2021),
    doi:10.3389/frai.2021.699148, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            EcRamMOPresetDevice,
            in_chop_prob=0.0,
            fast_lr=0.1,
            auto_granularity=500,
        ),
    )


@define
class TTv2IdealizedPreset(_CellPreset):
    """TTv2 on idealised devices.

    The fields are those of UnitCellRPUConfig, with IdealizedPresetDevice in both
    arrays of a ChoppedTransferCompound without choppers. Sources: Gokmen (2021),
    doi:10.3389/frai.2021.699148, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            IdealizedPresetDevice,
            in_chop_prob=0.0,
            fast_lr=0.1,
            auto_granularity=500,
        ),
    )


# ---- chopped TTv2 (TTv3) -------------------------------------------------------------


@define
class ChoppedTTv2ReRamESPreset(_CellPreset):
    """TTv3 on resistive memory (ReRAM), as exponential steps.

    The fields are those of UnitCellRPUConfig, with ReRamESPresetDevice in both
    arrays of a ChoppedTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            ReRamESPresetDevice,
            in_chop_prob=0.01,
            fast_lr=0.5,
            auto_granularity=1000,
        ),
    )


@define
class ChoppedTTv2ReRamSBPreset(_CellPreset):
    """TTv3 on resistive memory (ReRAM), as soft bounds.

    The fields are those of UnitCellRPUConfig, with ReRamSBPresetDevice in both
    arrays of a ChoppedTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            ReRamSBPresetDevice,
            in_chop_prob=0.01,
            fast_lr=0.5,
            auto_granularity=1000,
        ),
    )


@define
class ChoppedTTv2CapacitorPreset(_CellPreset):
    """TTv3 on capacitors.

    The fields are those of UnitCellRPUConfig, with CapacitorPresetDevice in both
    arrays of a ChoppedTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            CapacitorPresetDevice,
            in_chop_prob=0.01,
            fast_lr=0.1,
            auto_granularity=1000,
        ),
    )


@define
class ChoppedTTv2EcRamPreset(_CellPreset):
    """TTv3 on electrochemical memory (ECRAM) with lithium ions.

    The fields are those of UnitCellRPUConfig, with EcRamPresetDevice in both arrays
    of a ChoppedTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            EcRamPresetDevice,
            in_chop_prob=0.01,
            auto_granularity=500,
        ),
    )


@define
class ChoppedTTv2EcRamMOPreset(_CellPreset):
    """TTv3 on electrochemical memory (ECRAM) of metal oxides.

    The fields are those of UnitCellRPUConfig, with EcRamMOPresetDevice in both
    arrays of a ChoppedTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            EcRamMOPresetDevice,
            in_chop_prob=0.001,
            fast_lr=0.1,
            auto_granularity=500,
        ),
    )


@define
class ChoppedTTv2IdealizedPreset(_CellPreset):
    """TTv3 on idealised devices.

    The fields are those of UnitCellRPUConfig, with IdealizedPresetDevice in both
    arrays of a ChoppedTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _chopped(
            IdealizedPresetDevice,
            in_chop_prob=0.001,
            fast_lr=0.1,
            auto_granularity=500,
        ),
    )


# ---- AGAD (TTv4) ---------------------------------------------------------------------


@define
class AGADReRamESPreset(_CellPreset):
    """TTv4 on resistive memory (ReRAM), as exponential steps.

    The fields are those of UnitCellRPUConfig, with ReRamESPresetDevice in both
    arrays of a DynamicTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _agad(
            ReRamESPresetDevice,
            in_chop_prob=0.02,
            fast_lr=0.5,
            auto_granularity=1000,
        ),
    )


@define
class AGADReRamSBPreset(_CellPreset):
    """TTv4 on resistive memory (ReRAM), as soft bounds.

    The fields are those of UnitCellRPUConfig, with ReRamSBPresetDevice in both
    arrays of a DynamicTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _agad(
            ReRamSBPresetDevice,
            in_chop_prob=0.02,
            fast_lr=0.5,
            auto_granularity=1000,
        ),
    )


@define
class AGADCapacitorPreset(_CellPreset):
    """TTv4 on capacitors.

    The fields are those of UnitCellRPUConfig, with CapacitorPresetDevice in both
    arrays of a DynamicTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _agad(
            CapacitorPresetDevice,
            in_chop_prob=0.01,
            fast_lr=0.1,
            auto_granularity=1000,
            tail_weightening=20.0,
        ),
    )


@define
class AGADEcRamPreset(_CellPreset):
    """TTv4 on electrochemical memory (ECRAM) with lithium ions.

    The fields are those of UnitCellRPUConfig, with EcRamPresetDevice in both arrays
    of a DynamicTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    device: UnitCell = part(
        UnitCell,
        default=lambda: _agad(
            EcRamPresetDevice,
            in_chop_prob=0.005,
            fast_lr=0.1,
            auto_granularity=750,
            tail_weightening=50.0,
        ),
    )


@define
class AGADEcRamMOPreset(_CellPreset):
    """TTv4 on electrochemical memory (ECRAM) of metal oxides.

    The fields are those of UnitCellRPUConfig, with EcRamMOPresetDevice in both
    arrays of a DynamicTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _agad(
            EcRamMOPresetDevice,
            in_chop_prob=0.005,
            fast_lr=0.1,
            auto_granularity=500,
            tail_weightening=50.0,
        ),
    )


@define
class AGADIdealizedPreset(_CellPreset):
    """TTv4 on idealised devices.

    The fields are those of UnitCellRPUConfig, with IdealizedPresetDevice in both
    arrays of a DynamicTransferCompound. Sources: Rasch et al. (2024),
    doi:10.1038/s41467-024-51221-z, and those of the device.
    """

    update: UpdateParameters = part(
        PresetUpdateParameters, default=_long_trains, kinds=(UpdateParameters,)
    )
    device: UnitCell = part(
        UnitCell,
        default=lambda: _agad(
            IdealizedPresetDevice,
            in_chop_prob=0.005,
            fast_lr=0.1,
            auto_granularity=500,
            tail_weightening=50.0,
        ),
    )


# ---- mixed precision -----------------------------------------------------------------


@define
class MixedPrecisionReRamESPreset(_DigitalPreset):
    """Mixed precision on resistive memory (ReRAM), as exponential steps.

    The fields are those of DigitalRankUpdateRPUConfig, with ReRamESPresetDevice in
    a MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(ReRamESPresetDevice),
    )


@define
class MixedPrecisionReRamSBPreset(_DigitalPreset):
    """Mixed precision on resistive memory (ReRAM), as soft bounds.

    The fields are those of DigitalRankUpdateRPUConfig, with ReRamSBPresetDevice in
    a MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(ReRamSBPresetDevice),
    )


@define
class MixedPrecisionCapacitorPreset(_DigitalPreset):
    """Mixed precision on capacitors.

    The fields are those of DigitalRankUpdateRPUConfig, with CapacitorPresetDevice
    in a MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(CapacitorPresetDevice),
    )


@define
class MixedPrecisionEcRamPreset(_DigitalPreset):
    """Mixed precision on electrochemical memory (ECRAM) with lithium ions.

    The fields are those of DigitalRankUpdateRPUConfig, with EcRamPresetDevice in a
    MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(EcRamPresetDevice),
    )


@define
class MixedPrecisionEcRamMOPreset(_DigitalPreset):
    """Mixed precision on electrochemical memory (ECRAM) of metal oxides.

    The fields are those of DigitalRankUpdateRPUConfig, with EcRamMOPresetDevice in
    a MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(EcRamMOPresetDevice),
    )


@define
class MixedPrecisionIdealizedPreset(_DigitalPreset):
    """Mixed precision on idealised devices.

    The fields are those of DigitalRankUpdateRPUConfig, with IdealizedPresetDevice
    in a MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(IdealizedPresetDevice),
    )


@define
class MixedPrecisionGokmenVlasovPreset(_DigitalPreset):
    """Mixed precision on the devices of Gokmen and Vlasov (2016).

    The fields are those of DigitalRankUpdateRPUConfig, with
    GokmenVlasovPresetDevice in a MixedPrecisionCompound. Sources: Nandakumar et al.
    (2020), doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(GokmenVlasovPresetDevice),
    )


@define
class MixedPrecisionPCMPreset(_DigitalPreset):
    """Mixed precision on phase-change memory (PCM), in pairs.

    The fields are those of DigitalRankUpdateRPUConfig, with PCMPresetUnitCell in a
    MixedPrecisionCompound. Sources: Nandakumar et al. (2020),
    doi:10.3389/fnins.2020.00406, and those of the device.
    """

    device: DigitalRankUpdateCell = part(
        DigitalRankUpdateCell,
        default=lambda: _mixed(PCMPresetUnitCell),
    )
