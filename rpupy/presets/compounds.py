"""Unit cells with the numbers of measured or proposed ones."""

from __future__ import annotations

from typing import Any

import attrs

from rpupy.configs.compounds import OneSidedUnitCell
from rpupy.parameters.base import define, part
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

from .devices import PCMPresetDevice
from .utils import PresetIOParameters, PresetUpdateParameters

__all__ = ["PCMPresetUnitCell"]


@define
class PCMPresetUnitCell(OneSidedUnitCell):
    """Two devices of phase-change memory (PCM) for each weight, which only go up.

    Behind each mini-batch the crosspoints where both devices are high are reset and
    written again. The fields are those of OneSidedUnitCell.

    References
    ----------
    Nandakumar et al., Front. Neurosci. 14:406 (2020), doi:10.3389/fnins.2020.00406.
    """

    unit_cell_devices: list[Any] = attrs.Factory(
        lambda: [PCMPresetDevice(), PCMPresetDevice()]
    )
    refresh_every: int = 1
    refresh_forward: IOParameters = part(PresetIOParameters, kinds=(IOParameters,))
    refresh_update: UpdateParameters = part(
        PresetUpdateParameters, kinds=(UpdateParameters,)
    )
