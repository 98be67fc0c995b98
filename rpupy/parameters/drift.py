"""Power-law drift of the weights with time."""

from .definition import Parameters, define
from .fields import real

__all__ = ["DriftParameter", "SimpleDriftParameter"]


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

    nu: float = real(0.0)
    t_0: float = real(1.0, above=0)
    reset_tol: float = real(1e-7, low=0)


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

    nu_dtod: float = real(0.0)
    nu_std: float = real(0.0)
    wg_ratio: float = real(1.0, nonzero=True)
    g_offset: float = real(0.0)
    w_offset: float = real(0.0)
    nu_k: float = real(0.0)
    log_g0: float = real(0.0)
    w_noise_std: float = real(0.0)
