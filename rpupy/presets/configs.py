"""RPU configurations of tiles with one preset device at each crosspoint.

Products have the settings of PresetIOParameters in both directions, updates those of
PresetUpdateParameters. The sources of the numbers stand with the devices.
"""

from __future__ import annotations

from rpupy.configs.configs import SingleRPUConfig
from rpupy.configs.devices import IdealDevice, PulsedDevice
from rpupy.parameters.base import define, part
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

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
    "CapacitorPreset",
    "EcRamMOPreset",
    "EcRamPreset",
    "GokmenVlasovPreset",
    "IdealizedPreset",
    "ReRamESPreset",
    "ReRamSBPreset",
]

_DEVICES = (PulsedDevice, IdealDevice)


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
