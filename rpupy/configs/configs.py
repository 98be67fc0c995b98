"""RPU configurations: all settings of one tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rpupy.not_built import refuse
from rpupy.parameters.base import define, part
from rpupy.parameters.io import IOParameters
from rpupy.parameters.mapping import MappableRPU
from rpupy.parameters.training import UpdateParameters

from .compounds import DigitalRankUpdateCell, UnitCell
from .devices import (
    ConstantStepDevice,
    FloatingPointDevice,
    IdealDevice,
    PulsedDevice,
)

__all__ = [
    "DigitalRankUpdateRPUConfig",
    "FloatingPointRPUConfig",
    "IOManagedRPUConfig",
    "SingleRPUConfig",
    "UnitCellRPUConfig",
]


@define
class FloatingPointRPUConfig(MappableRPU):
    """Configuration of a tile with exact products and updates.

    Parameters
    ----------
    device : FloatingPointDevice
        Decay, diffusion and drift of the weights.

    Examples
    --------
    >>> from rpupy.configs import FloatingPointDevice, FloatingPointRPUConfig
    >>> config = FloatingPointRPUConfig(device=FloatingPointDevice(lifetime=100))
    >>> config.device.lifetime
    100.0
    """

    tile_kind: ClassVar[str | None] = "floating_point"

    device: FloatingPointDevice = part(FloatingPointDevice)


@define
class IOManagedRPUConfig(MappableRPU):
    """Base of configurations whose products pass through converters.

    Parameters
    ----------
    forward : IOParameters
        Product with the weights.
    backward : IOParameters
        Product with the transposed weights; its bound management has no effect.
    update : UpdateParameters
        Pulses of the update.
    """

    forward: IOParameters = part(IOParameters, acts_on="forward")
    backward: IOParameters = part(IOParameters, acts_on="backward")
    update: UpdateParameters = part(UpdateParameters, acts_on="update")


@define
class SingleRPUConfig(IOManagedRPUConfig):
    """Configuration of a tile with one resistive device at each crosspoint.

    Parameters
    ----------
    device : PulsedDevice or IdealDevice
        The resistive device.

    Examples
    --------
    >>> from rpupy.configs import SingleRPUConfig, SoftBoundsDevice
    >>> config = SingleRPUConfig(device=SoftBoundsDevice(dw_min=0.002))
    >>> config.forward.out_noise = 0.1
    >>> config.device
    SoftBoundsDevice(dw_min=0.002)
    """

    tile_kind: ClassVar[str | None] = "analog"

    device: PulsedDevice | IdealDevice = part(
        ConstantStepDevice, kinds=(PulsedDevice, IdealDevice)
    )


@define
class UnitCellRPUConfig(IOManagedRPUConfig):
    """Configuration of a tile with several resistive devices at each crosspoint.

    Parameters
    ----------
    device : UnitCell
        A unit cell, or a compound of devices. The default has no devices, and no tile
        can be built with it.

    Examples
    --------
    >>> from rpupy.configs import SoftBoundsDevice, TransferCompound, UnitCellRPUConfig
    >>> devices = [SoftBoundsDevice(), SoftBoundsDevice()]
    >>> config = UnitCellRPUConfig(device=TransferCompound(unit_cell_devices=devices))
    >>> config.device.transfer_every = 2
    """

    tile_kind: ClassVar[str | None] = "analog"
    core_kind: ClassVar[str] = "compound"

    device: UnitCell = part(UnitCell)


@define
class DigitalRankUpdateRPUConfig(IOManagedRPUConfig):
    """Configuration of a tile whose updates are computed digitally.

    Parameters
    ----------
    device : DigitalRankUpdateCell
        The compound, such as MixedPrecisionCompound. The default is only a base, and no
        tile can be built with it.

    Examples
    --------
    >>> from rpupy.configs import (
    ...     DigitalRankUpdateRPUConfig,
    ...     MixedPrecisionCompound,
    ...     SoftBoundsDevice,
    ... )
    >>> compound = MixedPrecisionCompound(device=SoftBoundsDevice(), granularity=0.001)
    >>> config = DigitalRankUpdateRPUConfig(device=compound)
    """

    tile_kind: ClassVar[str | None] = "analog"
    core_kind: ClassVar[str] = "compound"

    device: DigitalRankUpdateCell = part(DigitalRankUpdateCell)


if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__)
