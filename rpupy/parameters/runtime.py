"""How a tile computes, apart from what it simulates."""

from .definition import Parameters, define
from .enums import RPUDataType
from .fields import choice, flag

__all__ = ["RuntimeParameter"]


@define
class RuntimeParameter(Parameters):
    """How a tile computes.

    Parameters
    ----------
    data_type : RPUDataType
        Number type of inputs, outputs and weights.
    on_the_fly_bindings : bool
        Take changes of clipping, remapping and modifier settings into account during
        training.
    offload_input, offload_gradient : bool
        Keep the inputs and errors of the next update in host memory.
    """

    data_type: RPUDataType = choice(
        RPUDataType.FLOAT, pending=(RPUDataType.DOUBLE, RPUDataType.HALF)
    )
    on_the_fly_bindings: bool = flag(False, pending=True)
    offload_input: bool = flag(False, pending=True)
    offload_gradient: bool = flag(False, pending=True)
