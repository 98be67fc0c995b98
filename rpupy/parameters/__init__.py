"""The small parts of a configuration, as classes with checked fields.

The helpers that declare fields of own classes are in `rpupy.parameters.fields`.
"""

from typing import TYPE_CHECKING

from rpupy.not_built import refuse

from .base import (
    Parameters,
    RPUConfigBase,
    config_class,
    define,
    from_dict,
    frozen_copy,
    pending_settings,
    register_config_class,
    thawed_copy,
    to_dict,
)
from .drift import (
    DriftParameter,
    SimpleDriftParameter,
)
from .enums import (
    AnalogContextDataViewMode,
    AnalogMVType,
    BoundManagementType,
    CountLRFeedbackPolicy,
    NoiseAggregation,
    NoiseManagementType,
    PmaxMapping,
    PulseType,
    RPUDataType,
    VectorUnitCellUpdatePolicy,
    WeightClipType,
    WeightModifierType,
    WeightNoiseType,
    WeightRemapType,
)
from .io import (
    IOParameters,
    IOParametersIRDropT,
    IOParametersNodal,
)
from .mapping import (
    MappableRPU,
    MappingParameter,
)
from .pre_post import (
    InputRangeParameter,
    PrePostProcessingParameter,
    PrePostProcessingRPU,
)
from .runtime import (
    RuntimeParameter,
)
from .training import (
    UpdateParameters,
)

__all__ = [
    "AnalogContextDataViewMode",
    "AnalogMVType",
    "BoundManagementType",
    "CountLRFeedbackPolicy",
    "DriftParameter",
    "IOParameters",
    "IOParametersIRDropT",
    "IOParametersNodal",
    "InputRangeParameter",
    "MappableRPU",
    "MappingParameter",
    "NoiseAggregation",
    "NoiseManagementType",
    "Parameters",
    "PmaxMapping",
    "PrePostProcessingParameter",
    "PrePostProcessingRPU",
    "PulseType",
    "RPUConfigBase",
    "RPUDataType",
    "RuntimeParameter",
    "SimpleDriftParameter",
    "UpdateParameters",
    "VectorUnitCellUpdatePolicy",
    "WeightClipType",
    "WeightModifierType",
    "WeightNoiseType",
    "WeightRemapType",
    "config_class",
    "define",
    "from_dict",
    "frozen_copy",
    "pending_settings",
    "register_config_class",
    "thawed_copy",
    "to_dict",
]

if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__)
