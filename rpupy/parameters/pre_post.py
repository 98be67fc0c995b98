"""Digital processing around the analog product."""

from __future__ import annotations

from .base import RPUConfigBase
from .definition import Parameters, define
from .effects import Setting
from .fields import flag, integer, part, real, text

__all__ = [
    "InputRangeParameter",
    "PrePostProcessingParameter",
    "PrePostProcessingRPU",
]


@define
class InputRangeParameter(Parameters):
    """A static or learnt range for the inputs of a tile.

    Inputs are clipped to the range and divided by it, outputs multiplied by it.

    Parameters
    ----------
    enable : bool
        Use an input range.
    learn_input_range : bool
        Train the range; False: keep it.
    init_value : float
        First value of the range, in units of the input.
    init_from_data : int
        Number of batches at the start of training in which the range follows the data;
        0: none.
    init_std_alpha : float
        The range then approaches this many standard deviations of the inputs.
    decay : float
        Rate at which the range shrinks while hardly anything is clipped.
    input_min_percentage : float
        Fraction of unclipped inputs above which it shrinks.
    manage_output_clipping : bool
        Let the range grow when outputs are clipped; needs a forward product without
        noise and bound management.
    output_min_percentage : float
        Fraction of unclipped outputs below which it grows.
    gradient_scale : float
        Factor on the gradient of the range, with `gradient_relative`.
    gradient_relative : bool
        Multiply the gradient by the range, so that steps are relative to it.
    calibration_info : str, optional
        Remark on how the range was calibrated.
    """

    enable: bool = flag(False, pending=True, always_show=True)
    learn_input_range: bool = flag(True, effect=Setting(needs=("enable",)))
    init_value: float = real(3.0, effect=Setting(needs=("enable",)))
    init_from_data: int = integer(100, effect=Setting(needs=("enable",)))
    init_std_alpha: float = real(3.0, effect=Setting(needs=("enable",)))
    decay: float = real(0.001, effect=Setting(needs=("enable",)))
    input_min_percentage: float = real(0.95, effect=Setting(needs=("enable",)))
    manage_output_clipping: bool = flag(False, effect=Setting(needs=("enable",)))
    output_min_percentage: float = real(0.95, effect=Setting(needs=("enable",)))
    gradient_scale: float = real(1.0, effect=Setting(needs=("enable",)))
    gradient_relative: bool = flag(True, effect=Setting(needs=("enable",)))
    calibration_info: str | None = text(None)


@define
class PrePostProcessingParameter(Parameters):
    """Digital processing of inputs and outputs.

    Parameters
    ----------
    input_range : InputRangeParameter
        Range of the inputs.
    """

    input_range: InputRangeParameter = part(InputRangeParameter)


@define
class PrePostProcessingRPU(RPUConfigBase):
    """Base of configurations with digital processing around the tile.

    Parameters
    ----------
    pre_post : PrePostProcessingParameter
        Digital processing of inputs and outputs.
    """

    pre_post: PrePostProcessingParameter = part(PrePostProcessingParameter)
