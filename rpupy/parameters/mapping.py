"""How a logical weight matrix comes to lie on tiles."""

from __future__ import annotations

import attrs

from .definition import Parameters, define
from .effects import Setting
from .fields import flag, integer, part, real
from .pre_post import PrePostProcessingRPU

__all__ = ["MappableRPU", "MappingParameter"]


@define
class MappingParameter(Parameters):
    """How weights and biases are mapped to tiles.

    Parameters
    ----------
    digital_bias : bool
        Keep the bias as a digital vector; False: as a further column of the crossbar
        whose input is always 1.
    weight_scaling_omega : float
        Weights are written divided by ``max|w| / weight_scaling_omega``, and outputs
        are multiplied by that number; 0 or below: no scaling.
    weight_scaling_columnwise : bool
        One such number for each output instead of one for the tile.
    weight_scaling_lr_compensation : bool
        Divide the learning rate by the mean scale, and the errors only by what a scale
        differs from it. The expected update stays; pulse lengths are chosen from
        different numbers.
    learn_out_scaling : bool
        Add a digital output scale that is trained.
    out_scaling_columnwise : bool
        Train one such scale for each output.
    max_input_size, max_output_size : int
        Largest tile; layers split larger matrices. 0 or below: no limit.
    """

    digital_bias: bool = flag(True)
    weight_scaling_omega: float = real(0.0, effect=Setting(positive=True))
    weight_scaling_columnwise: bool = flag(
        False, effect=Setting(needs=("weight_scaling_omega",))
    )
    weight_scaling_lr_compensation: bool = flag(
        False, effect=Setting(needs=("weight_scaling_omega",))
    )
    learn_out_scaling: bool = flag(False, pending=True)
    out_scaling_columnwise: bool = flag(False, pending=True)
    max_input_size: int = integer(512, effect=Setting())
    max_output_size: int = integer(512, effect=Setting())

    def compatible_with(self, other: MappingParameter) -> bool:
        """Whether weights mapped in one way fit a tile of the other.

        Parameters
        ----------
        other : MappingParameter
            Settings to compare with.

        Returns
        -------
        bool
            Whether all fields are equal, but for the ``weight_scaling_*`` ones.
        """
        return type(self) is type(other) and all(
            getattr(self, field.name) == getattr(other, field.name)
            for field in attrs.fields(type(self))
            if not field.name.startswith("weight_scaling_")
        )


@define
class MappableRPU(PrePostProcessingRPU):
    """Base of configurations whose weights are mapped to tiles.

    Parameters
    ----------
    mapping : MappingParameter
        How weights and biases are mapped.
    """

    mapping: MappingParameter = part(MappingParameter)
