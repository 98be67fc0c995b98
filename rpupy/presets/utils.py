"""Settings of products and updates that presets share."""

from __future__ import annotations

from rpupy.parameters.base import define
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters

__all__ = ["PresetIOParameters", "PresetUpdateParameters", "StandardIOParameters"]


@define
class PresetIOParameters(IOParameters):
    """Products of presets for training: 7 bit in, 9 bit out, a range of 20.

    The fields are those of IOParameters.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333, for
    converters of 7 and 9 bit.
    """

    out_bound: float = 20.0
    out_noise: float = 0.1


@define
class StandardIOParameters(IOParameters):
    """Products of hardware-aware training for inference: 8 bit in and out.

    The fields are those of IOParameters.

    References
    ----------
    Rasch et al., Nat. Commun. 14:5282 (2023), doi:10.1038/s41467-023-40770-4.
    """

    inp_res: float = 1 / 254
    out_bound: float = 10.0
    out_noise: float = 0.04
    out_res: float = 1 / 254


@define
class PresetUpdateParameters(UpdateParameters):
    """Updates of presets: stochastic trains of up to 31 slots, with both managements.

    Fields and defaults are those of UpdateParameters.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333.
    """
