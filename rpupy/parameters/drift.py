"""Power-law drift of the weights with time."""

import math
from typing import Any

from .definition import Parameters, define
from .effects import Effect, Reference, Setting
from .fields import real

__all__ = ["DriftParameter", "SimpleDriftParameter"]

_WITH_DRIFT = Setting(needs=("nu",))
_DECADE = "weight units per decade of time"


def _decade(exponent: float, reference: Reference) -> float:
    """Change of the largest weight in a decade of time, to first order."""
    return reference.weight * math.log(10.0) * abs(exponent)


def _of_exponent(part: Any, reference: Reference) -> float:
    return _decade(part.nu, reference)


@define
class SimpleDriftParameter(Parameters):
    r"""Drift with one exponent for all weights.

    A weight that was :math:`w_0` when it last changed is, after the time ``t``,

    .. math:: w(t) = w_0 \max(t / t_0, 1)^{-\nu}

    and only an explicit ``drift_weights(delta_t)`` lets time pass.

    Parameters
    ----------
    nu : float
        Exponent; 0 switches drift off.
    t_0 : float
        Time from writing to the first read, in the unit of ``delta_t`` (milliseconds by
        convention), above 0. Nothing drifts before it has passed.
    reset_tol : float
        A weight that has changed by more than this since the last call, in weight
        units, starts anew.

    References
    ----------
    Le Gallo et al., Adv. Electron. Mater. 4:1700627 (2018),
    doi:10.1002/aelm.201700627, for the power law in phase-change memory.
    """

    nu: float = real(
        0.0,
        effect=Effect(
            "drift",
            acts_on="drift",
            size=_of_exponent,
            unit=_DECADE,
        ),
    )
    t_0: float = real(1.0, above=0, effect=_WITH_DRIFT)
    reset_tol: float = real(1e-7, low=0, effect=_WITH_DRIFT)


@define
class DriftParameter(SimpleDriftParameter):
    r"""Drift with exponents that differ between devices, calls and states.

    The conductance ``g`` drifts, not the weight. With ``w = wg_ratio * (g - g_offset) +
    w_offset`` and :math:`q = \max(t / t_0, 1)^{-\nu'}` the weight is

    .. math:: w(t) = w_0\, q + (g_\mathrm{offset}\, r_{wg} + w_\mathrm{offset}) (q - 1)

    where :math:`\nu' = \nu_{ij} (1 + \nu_\mathrm{std} \xi) - \nu_k (\ln((w -
    w_\mathrm{offset}) / r_{wg} + g_\mathrm{offset}) - \log g_0)`. The exponents
    :math:`\nu_{ij} = \nu (1 + \nu_\mathrm{dtod} \xi)` are drawn once, when the tile is
    built. Devices drift only if `nu` is above 0.

    Parameters
    ----------
    nu_dtod : float
        Relative spread of the exponent from device to device.
    nu_std : float
        Relative spread of the exponent from call to call.
    wg_ratio : float
        Weight units for each unit of conductance, not 0.
    g_offset : float
        Smallest conductance.
    w_offset : float
        Weight of a device at the smallest conductance.
    nu_k : float
        Decrease of the exponent with the logarithm of the conductance; 0: none.
    log_g0 : float
        Logarithm of the conductance at which `nu_k` changes nothing.
    w_noise_std : float
        Standard deviation, in weight units, of the noise that each call adds.
    """

    nu_dtod: float = real(
        0.0,
        effect=Effect(
            "dtod", of=_of_exponent, unit=_DECADE, acts_on="drift", needs=("nu",)
        ),
    )
    nu_std: float = real(
        0.0,
        effect=Effect(
            "ctoc", of=_of_exponent, unit=_DECADE, acts_on="drift", needs=("nu",)
        ),
    )
    wg_ratio: float = real(1.0, nonzero=True, effect=_WITH_DRIFT)
    g_offset: float = real(0.0, effect=_WITH_DRIFT)
    w_offset: float = real(0.0, effect=_WITH_DRIFT)
    nu_k: float = real(
        0.0,
        effect=Effect(
            "drift",
            size=lambda part, reference: _decade(part.nu_k, reference),
            unit=_DECADE,
            acts_on="drift",
            needs=("nu",),
            note="where the logarithm of the conductance differs by 1",
        ),
    )
    log_g0: float = real(0.0, effect=Setting(needs=("nu_k",)))
    w_noise_std: float = real(
        0.0, effect=Effect("ctoc", acts_on="drift", needs=("nu",))
    )
