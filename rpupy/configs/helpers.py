"""Configurations for training by the name of the algorithm."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rpupy.errors import ConfigError
from rpupy.parameters.enums import (
    BoundManagementType,
    NoiseManagementType,
    VectorUnitCellUpdatePolicy,
)
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

from .compounds import (
    ChoppedTransferCompound,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    TransferCompound,
    VectorUnitCell,
)
from .configs import (
    DigitalRankUpdateRPUConfig,
    IOManagedRPUConfig,
    SingleRPUConfig,
    UnitCellRPUConfig,
)

__all__ = ["build_config"]


def build_config(
    algorithm: str,
    device: Any,
    io_parameters: Any = IOParameters,
    up_parameters: Any = UpdateParameters,
    n_devices: int = 1,
    construction_seed: int = 0,
    **kwargs: Any,
) -> IOManagedRPUConfig:
    """Build the configuration of a training algorithm.

    Parameters
    ----------
    algorithm : str
        ``"sgd"``; ``"tiki-taka"``, ``"tt"`` or ``"ttv1"``; ``"ttv2"``;
        ``"chopped-ttv2"``, ``"c-ttv2"`` or ``"ttv3"``; ``"agad"`` or ``"ttv4"``;
        ``"mp"`` or ``"mixed-precision"``. Capitals do not matter.
    device : PulsedDevice, or a class or function that makes one
        The resistive device, used wherever the algorithm has one.
    io_parameters : IOParameters, or a class or function that makes them
        Forward and backward products, and reads of transfers.
    up_parameters : UpdateParameters, or a class or function that makes them
        Update, and writes of transfers.
    n_devices : int
        With ``"sgd"``: devices at each crosspoint, of which one is drawn for each vector.
    construction_seed : int
        Seed of the draws of all devices; 0: they follow the seed of the tile.
    **kwargs
        Further fields of the RPU configuration.

    Returns
    -------
    IOManagedRPUConfig
        Such as a UnitCellRPUConfig.

    Raises
    ------
    ConfigError
        If there is no such algorithm.

    Examples
    --------
    >>> from rpupy.configs import SoftBoundsDevice, build_config
    >>> build_config("ttv2", SoftBoundsDevice).update.desired_bl
    5
    """

    def io(**fields: Any) -> IOParameters:
        return _made(io_parameters, **fields)

    def up(**fields: Any) -> UpdateParameters:
        return _made(up_parameters, **fields)

    def devices(count: int) -> list[Any]:
        return [_made(device) for _ in range(count)]

    def config(cls: Any, cell: Any, update: UpdateParameters) -> IOManagedRPUConfig:
        fields = {"forward": io(), "backward": io(), "update": update, **kwargs}
        made: IOManagedRPUConfig = cls(device=cell, **fields)
        return made

    unmanaged = {
        "noise_management": NoiseManagementType.NONE,
        "bound_management": BoundManagementType.NONE,
    }
    single_pulse = {
        "desired_bl": 1,
        "update_bl_management": False,
        "update_management": False,
    }
    name = algorithm.lower() if isinstance(algorithm, str) else algorithm
    if name == "sgd" and n_devices == 1:
        single = _made(device, construction_seed=construction_seed)
        return config(SingleRPUConfig, single, up())
    if name == "sgd":
        cell = VectorUnitCell(
            unit_cell_devices=devices(n_devices),
            update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM,
            construction_seed=construction_seed,
        )
        return config(UnitCellRPUConfig, cell, up())
    if name in ("tiki-taka", "tt", "ttv1"):
        transfer = TransferCompound(
            unit_cell_devices=devices(2),
            transfer_forward=io(**unmanaged),
            transfer_update=up(),
            units_in_mbatch=True,
            construction_seed=construction_seed,
        )
        return config(UnitCellRPUConfig, transfer, up())
    if name in ("ttv2", "chopped-ttv2", "c-ttv2", "ttv3"):
        chops = name != "ttv2"
        chopped = ChoppedTransferCompound(
            unit_cell_devices=devices(2),
            transfer_forward=io(**unmanaged),
            transfer_update=up(**single_pulse),
            in_chop_prob=0.1 if chops else 0.0,
            units_in_mbatch=False,
            fast_lr=0.1 if chops else 1.0,
            auto_scale=chops,
            construction_seed=construction_seed,
        )
        return config(UnitCellRPUConfig, chopped, up(desired_bl=5))
    if name in ("agad", "ttv4"):
        dynamic = DynamicTransferCompound(
            unit_cell_devices=devices(2),
            transfer_forward=io(),
            transfer_update=up(
                desired_bl=1, update_bl_management=True, update_management=True
            ),
            fast_lr=0.1,
            auto_scale=True,
            units_in_mbatch=False,
            construction_seed=construction_seed,
        )
        return config(UnitCellRPUConfig, dynamic, up(desired_bl=5))
    if name in ("mp", "mixed-precision"):
        mixed = MixedPrecisionCompound(
            device=_made(device), construction_seed=construction_seed
        )
        return config(DigitalRankUpdateRPUConfig, mixed, up())
    raise ConfigError(
        "algorithm must be one of sgd, tiki-taka (tt, ttv1), ttv2, chopped-ttv2 (c-ttv2,"
        f" ttv3), agad (ttv4), mp (mixed-precision), got {algorithm!r}"
    )


def _made(source: Any, **fields: Any) -> Any:
    """Build from a class or function, or copy, and set fields."""
    factory: Callable[[], Any] | None = source if callable(source) else None
    made = factory() if factory is not None else copy.deepcopy(source)
    for name, value in fields.items():
        setattr(made, name, value)
    return made
