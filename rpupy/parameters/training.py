"""The update: pulse trains and their lengths."""

from __future__ import annotations

from typing import Any

from .definition import Parameters, define
from .effects import Effect, Setting
from .enums import NoiseAggregation, PulseType
from .fields import choice, flag, integer, real

__all__ = ["UpdateParameters"]

#: Rounding of the probability of a pulse; one pulse is what it can be wrong by.
_PROBABILITY = Effect(
    "quantisation",
    positive=True,
    size=lambda part, reference: reference.step,
    note="at most: a pulse more or less in a slot",
)


def _mean_of_zeros(config: Any) -> str:
    """Give what a split of a batch changes where zeros are counted."""
    node = getattr(getattr(config, "device", None), "node", "")
    chopped = node in ("chopped", "dynamic")
    return (
        "the rate of the mean share of zeros goes by the mini-batch" if chopped else ""
    )


# A pulse train is packed into words of 31 slots and a sign; a vector has room for 8192.
MAX_PULSES = 8192 * 31


@define
class UpdateParameters(Parameters):
    r"""How the outer product of an update becomes pulses.

    Line ``j`` fires in each of BL slots with probability :math:`B |x_j|`, line ``i``
    with :math:`A |d_i|`, and a device gets a pulse in each slot in which both fire.
    With :math:`A B = \eta / (g\,BL)`, for the learning rate :math:`\eta` and the mean
    step ``g`` of the device, the expected change is :math:`-\eta\, d_i x_j` as long as
    neither probability exceeds 1. BL, A and B are chosen for each vector of a batch.

    Parameters
    ----------
    desired_bl : int
        Number of slots BL, 1 to 253952; the largest one with `update_bl_management`.
    fixed_bl : bool
        False: without `update_bl_management`, a learning rate above ``g * desired_bl``
        takes more slots (``ceil(lr / g)``) instead of higher probabilities.
    pulse_type : PulseType
        Pulsed or exact update.
    res : float
        Step to which the probabilities are rounded; above 1: number of steps; 0 or
        below: no rounding.
    x_res_implicit, d_res_implicit : float
        The same for inputs and errors of DETERMINISTIC_IMPLICIT, which has no use for
        `res`.
    d_sparsity : bool
        Count the zeros in the errors, as they are behind `res`: for the last vector, and
        as a running mean in chopped and dynamic compounds (``tile.get_sparsity()``). No
        weight depends on it.
    sto_round : bool
        Round probabilities at random instead of to the nearest step.
    update_bl_management : bool
        Take as few slots as the largest product of the vector needs. Includes
        `update_management`.
    update_management : bool
        Move probability between the two sides so that the largest input and the largest
        error fire equally often.
    um_grad_scale : float
        Factor on the largest error in both managements; below 1, large errors saturate
        earlier.
    noise_aggregation : NoiseAggregation
        Whether cycle-to-cycle noise is drawn for each pulse or once for a mini-batch.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333, for
    stochastic pulse trains; Gokmen, Onen and Haensch, Front. Neurosci. 11:538 (2017),
    doi:10.3389/fnins.2017.00538, for the managements.
    """

    desired_bl: int = integer(31, low=1, high=MAX_PULSES, effect=Setting())
    fixed_bl: bool = flag(True)
    pulse_type: PulseType = choice(PulseType.STOCHASTIC_COMPRESSED)
    res: float = real(0.0, effect=_PROBABILITY)
    x_res_implicit: float = real(0.0, effect=_PROBABILITY)
    d_res_implicit: float = real(0.0, effect=_PROBABILITY)
    d_sparsity: bool = flag(False, effect=Setting(splits=_mean_of_zeros))
    sto_round: bool = flag(
        False, effect=Setting(needs=("res", "x_res_implicit", "d_res_implicit"))
    )
    update_bl_management: bool = flag(True)
    update_management: bool = flag(True)
    um_grad_scale: float = real(
        1.0,
        above=0,
        effect=Setting(needs=("update_management", "update_bl_management")),
    )
    noise_aggregation: NoiseAggregation = choice(
        NoiseAggregation.PULSE,
        effect=Setting(
            off=NoiseAggregation.PULSE,
            splits="cycle-to-cycle noise is drawn once for each mini-batch",
        ),
    )
