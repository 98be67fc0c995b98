"""The enums that parameter fields take."""

from enum import Enum

__all__ = [
    "AnalogContextDataViewMode",
    "AnalogMVType",
    "BoundManagementType",
    "CountLRFeedbackPolicy",
    "NoiseAggregation",
    "NoiseManagementType",
    "PmaxMapping",
    "PulseType",
    "RPUDataType",
    "VectorUnitCellUpdatePolicy",
    "WeightClipType",
    "WeightModifierType",
    "WeightNoiseType",
    "WeightRemapType",
]


class RPUDataType(Enum):
    """Number type in which a tile computes: single, double or half precision."""

    FLOAT = "float"
    DOUBLE = "double"
    HALF = "half"


class AnalogContextDataViewMode(Enum):
    """What the context of a layer shows as its data.

    Only sizes (PLACEHOLDER), the scaled weights read-only (DATA_VIEW), or a buffer of
    its own in the shape of the layer's weights (BUFFER).
    """

    PLACEHOLDER = "placeholder"
    DATA_VIEW = "data_view"
    BUFFER = "buffer"


class BoundManagementType(Enum):
    """What happens when an output reaches the bound of the ADC.

    It stays clipped (NONE), or the product is repeated with the input halved until
    the output fits: from the scale of noise management on (ITERATIVE), or going on
    from a scale for the worst case in the second round (ITERATIVE_WORST_CASE). SHIFT
    is a name without an algorithm, kept so that old scripts fail with a clear error.
    """

    NONE = "None"
    ITERATIVE = "Iterative"
    ITERATIVE_WORST_CASE = "IterativeWorstCase"
    SHIFT = "Shift"


class NoiseManagementType(Enum):
    """By what an input vector is divided before the DAC.

    By nothing (NONE), its largest magnitude (ABS_MAX), its largest value (MAX), a
    constant (CONSTANT), a running mean of largest magnitudes (AVERAGE_ABS_MAX), or at
    least the output that the positive or the negative inputs could cause
    (ABS_MAX_NP_SUM).
    """

    NONE = "None"
    ABS_MAX = "AbsMax"
    ABS_MAX_NP_SUM = "AbsMaxNPSum"
    MAX = "Max"
    CONSTANT = "Constant"
    AVERAGE_ABS_MAX = "AverageAbsMax"


class WeightNoiseType(Enum):
    """Law of the read noise of the weights.

    No noise, the same spread for each weight (ADDITIVE_CONSTANT), or a variance that
    grows with the weight's magnitude (PCM_READ).
    """

    NONE = "None"
    ADDITIVE_CONSTANT = "AdditiveConstant"
    PCM_READ = "PCMRead"


class PulseType(Enum):
    """How the outer product of an update reaches the devices.

    NONE is exact on ideal devices and NONE_WITH_DEVICE is exact and then clipped to
    the bounds of each device. The others send pulses: coincidences of random trains
    with the sign in the train (STOCHASTIC_COMPRESSED) or in two passes (STOCHASTIC),
    the expected number of coincidences (MEAN_COUNT), or a deterministic pattern
    (DETERMINISTIC_IMPLICIT).
    """

    NONE = "None"
    STOCHASTIC_COMPRESSED = "StochasticCompressed"
    STOCHASTIC = "Stochastic"
    NONE_WITH_DEVICE = "NoneWithDevice"
    MEAN_COUNT = "MeanCount"
    DETERMINISTIC_IMPLICIT = "DeterministicImplicit"


class NoiseAggregation(Enum):
    """How the cycle-to-cycle noise of an update is drawn.

    PULSE draws a number for each pulse and is exact; BATCH draws one for all pulses
    that a crosspoint gets in a mini-batch and is exact in mean and variance away from
    the bounds.
    """

    PULSE = "Pulse"
    BATCH = "Batch"


class WeightModifierType(Enum):
    """How the weights are disturbed during hardware-aware training."""

    NONE = "None"
    DISCRETIZE = "Discretize"
    MULT_NORMAL = "MultNormal"
    ADD_NORMAL = "AddNormal"
    DISCRETIZE_ADD_NORMAL = "DiscretizeAddNormal"
    DOREFA = "DoReFa"
    POLY = "Poly"
    PCM_NOISE = "PCMNoise"
    PROG_NOISE = "ProgNoise"
    DROP_CONNECT = "DropConnect"
    COPY = "Copy"


class WeightClipType(Enum):
    """How the weights are clipped during hardware-aware training."""

    NONE = "None"
    FIXED_VALUE = "FixedValue"
    LAYER_GAUSSIAN = "LayerGaussian"
    AVERAGE_CHANNEL_MAX = "AverageChannelMax"


class WeightRemapType(Enum):
    """Over what the largest weight is taken when it moves to the digital scales."""

    NONE = "None"
    LAYERWISE_SYMMETRIC = "LayerwiseSymmetric"
    CHANNELWISE_SYMMETRIC = "ChannelwiseSymmetric"


class VectorUnitCellUpdatePolicy(Enum):
    """Which devices of a unit cell an update goes to.

    To all, to one that stays the same, to each in turn, or to one drawn at random.
    """

    ALL = "All"
    SINGLE_FIXED = "SingleFixed"
    SINGLE_SEQUENTIAL = "SingleSequential"
    SINGLE_RANDOM = "SingleRandom"


class AnalogMVType(Enum):
    """How one matrix-vector product is run on the array.

    IDEAL is exact. ONE_PASS drives both signs at once. POS_NEG_SEPARATE drives
    positive and negative inputs in two passes and subtracts before the ADC,
    POS_NEG_SEPARATE_DIGITAL_SUM after it. SPLIT_MODE sends high and low bits of the
    input in two phases and BIT_WISE one bit at a time. NODAL is ONE_PASS through wires
    with resistance, whose currents are exact (`IOParametersNodal`).
    """

    IDEAL = "Ideal"
    ONE_PASS = "OnePass"
    POS_NEG_SEPARATE = "PosNegSeparate"
    POS_NEG_SEPARATE_DIGITAL_SUM = "PosNegSeparateDigitalSum"
    SPLIT_MODE = "SplitMode"
    BIT_WISE = "BitWise"
    NODAL = "Nodal"


class PmaxMapping(Enum):
    """How SoftBoundsPmaxDevice finds steps and bounds from its pulse-response curve.

    REFERENCE does as the reference library does, whose devices leave that curve.
    UP_CURVE gives the curve for pulses up, with a lower bound at the start of the
    range. BOTH_CURVES gives it in both directions: `p_max` pulses lead from one end of
    the range to the other, up as well as down.
    """

    REFERENCE = "Reference"
    UP_CURVE = "UpCurve"
    BOTH_CURVES = "BothCurves"


class CountLRFeedbackPolicy(Enum):
    """Not used by any class; here so that old scripts import."""

    NONE = "None"
    PAST_MOMENTUM = "PastMomentum"
    EXTERN = "Extern"
