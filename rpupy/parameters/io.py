"""The analog product: input and output conversion, noise, bounds."""

from __future__ import annotations

import math
from typing import Any

from rpupy.errors import ConfigError

from .definition import Parameters, define
from .effects import FULL_SCALE, Effect, Reference, Setting
from .enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from .fields import choice, flag, integer, real

__all__ = ["IOParameters", "IOParametersIRDropT", "IOParametersNodal"]

_NODAL = {"mv_type": (AnalogMVType.NODAL,)}
_OF_WIRES = Effect("ir drop", unit="ohm", choices=_NODAL)
_FOR_WIRES = Setting(needs=("r_word_line", "r_bit_line"), choices=_NODAL)
_FOR_BOUNDS = Setting(needs=("bound_management",), idle_in=("backward",))


def _step(res: float, bound: float) -> float:
    """Step of a converter; a resolution above 1 is a number of steps."""
    return 2.0 * bound * (1.0 / res if res > 1.0 else res)


def _dac_step(io: Any, reference: Reference) -> float:
    return reference.weight * _step(io.inp_res, io.inp_bound)


def _adc_step(io: Any, reference: Reference) -> float:
    return _step(io.out_res, io.out_bound)


def _inp_bound_off(io: Any) -> float:
    """Give no bound; with noise management the one that inputs are scaled into."""
    managed = io.noise_management is not NoiseManagementType.NONE
    return float(io.inp_bound) if managed else 0.0


@define
class IOParameters(Parameters):
    """Settings of the analog product in one direction (forward or backward).

    Inputs, outputs and weights are in normalised units: an input of 1 at the default
    `inp_bound` is full scale, and it drives an output of 1 through a weight of 1.

    Parameters
    ----------
    is_perfect : bool
        Exact product, as with ``mv_type=AnalogMVType.IDEAL``; only `out_scale` still
        acts.
    mv_type : AnalogMVType
        How the product is run on the array.
    inp_bound : float
        Range of the DAC; inputs are clipped to ``[-inp_bound, inp_bound]``. 0 or below:
        neither clipped nor rounded. Must be 1 with noise management.
    inp_noise : float
        Standard deviation of the noise on each input, after rounding and clipping.
    inp_res : float
        Step of the DAC as a fraction of its range ``2 * inp_bound``; above 1: number of
        steps; 0 or below: no rounding. The default is a DAC of 7 bit.
    inp_sto_round : bool
        Round inputs at random instead of to the nearest step.
    inp_asymmetry : float
        Negative inputs are multiplied by ``1 - inp_asymmetry``.
    out_bound : float
        Range of the ADC; 0 or below: neither clipped nor rounded.
    out_noise : float
        Standard deviation of the noise on each output, before the ADC.
    out_noise_std : float
        Relative spread of `out_noise` from output to output, drawn once.
    out_res : float
        Step of the ADC as a fraction of its range, in the form of `inp_res`. The
        default is an ADC of 9 bit.
    out_sto_round : bool
        Round outputs at random instead of to the nearest step.
    out_scale : float
        Digital factor on the result.
    out_asymmetry : float
        Negative outputs are multiplied by ``1 - out_asymmetry`` before noise and ADC;
        only positive values act.
    bound_management : BoundManagementType
        What happens when an output reaches `out_bound`; forward only. SHIFT is refused.
    noise_management : NoiseManagementType
        By what each input vector is divided before the DAC. The result is multiplied by
        the same number after the ADC.
    w_noise : float
        Strength of the weight noise, in weight units, as far as `w_noise_type` uses it.
        It is drawn for each product and leaves the stored weights as they are.
    w_noise_type : WeightNoiseType
        Law of the weight noise. ADDITIVE_CONSTANT gives each output a standard
        deviation of `w_noise` times the Euclidean norm of the input.
    ir_drop : float
        Scale of the voltage loss along the wires; 0: none.
    ir_drop_g_ratio : float
        Conductance of a wire segment over the largest of a device. The default stands
        for 0.35 ohm and 5 uS.
    out_nonlinearity : float
        Relative strength of the S-shaped compression of outputs.
    out_nonlinearity_std : float
        Relative spread of that strength from output to output, drawn once.
    slope_calibration : float
        Fraction of `out_bound` at which the compression is calibrated to slope 1; 0 or
        below: none.
    v_offset_std : float
        Standard deviation of the relative voltage offset of outputs, drawn once.
    v_offset_w_min : float
        Weight of the reference column to which that offset applies; 0: no reference.
    r_series : float
        Series resistance as a fraction of the total current.
    w_read_asymmetry_dtod : float
        Spread, from device to device, of the factor on the weights that negative inputs
        see; only where positive and negative inputs are separate passes.
    max_bm_factor : int
        Bound management ends when the input has been reduced by more than this factor.
    max_bm_res : float
        It also ends when the reduction exceeds `max_bm_res` over the step of the DAC,
        that is before the input is lost in a few steps.
    bm_test_negative_bound : bool
        Whether the lower output bound counts for bound management too.
    nm_thres : float
        For CONSTANT the divisor (1 if not positive); for ABS_MAX and MAX the largest
        divisor, if positive.
    nm_decay : float
        Rate of the running mean of AVERAGE_ABS_MAX.
    nm_assumed_wmax : float
        Largest weight that ABS_MAX_NP_SUM reckons with.
    """

    is_perfect: bool = flag(False)
    mv_type: AnalogMVType = choice(
        AnalogMVType.ONE_PASS,
        refused=(
            AnalogMVType.SPLIT_MODE,
            AnalogMVType.BIT_WISE,
            AnalogMVType.NODAL,
        ),
    )
    inp_bound: float = real(
        1.0, effect=Effect("bounds", of=FULL_SCALE, positive=True, off=_inp_bound_off)
    )
    inp_noise: float = real(0.0, low=0, effect=Effect("read noise", of=FULL_SCALE))
    inp_res: float = real(
        1 / 126,
        effect=Effect(
            "quantisation",
            size=_dac_step,
            positive=True,
            needs=("inp_bound",),
            note="step of the DAC",
        ),
    )
    inp_sto_round: bool = flag(False, effect=Setting(needs=("inp_res",)))
    inp_asymmetry: float = real(0.0, effect=Effect("asymmetry", of=FULL_SCALE))
    out_bound: float = real(12.0, effect=Effect("bounds", positive=True))
    out_noise: float = real(0.06, low=0, effect=Effect("read noise"))
    out_noise_std: float = real(
        0.0, effect=Effect("dtod", of="out_noise", positive=True, needs=("out_noise",))
    )
    out_res: float = real(
        1 / 510,
        effect=Effect(
            "quantisation",
            size=_adc_step,
            positive=True,
            needs=("out_bound",),
            note="step of the ADC",
        ),
    )
    out_sto_round: bool = flag(False, effect=Setting(needs=("out_res",)))
    out_scale: float = real(1.0, effect=Setting(off=1.0))
    out_asymmetry: float = real(
        0.0, effect=Effect("asymmetry", of=FULL_SCALE, positive=True)
    )
    bound_management: BoundManagementType = choice(
        BoundManagementType.ITERATIVE,
        refused=(BoundManagementType.SHIFT,),
        effect=Setting(needs=("out_bound",), idle_in=("backward",)),
    )
    noise_management: NoiseManagementType = choice(
        NoiseManagementType.ABS_MAX,
    )
    w_noise: float = real(
        0.0, low=0, effect=Effect("read noise", needs=("w_noise_type",))
    )
    w_noise_type: WeightNoiseType = choice(
        WeightNoiseType.NONE,
    )
    ir_drop: float = real(
        0.0, effect=Effect("ir drop", unit="of the physical loss", positive=True)
    )
    ir_drop_g_ratio: float = real(
        1 / 0.35 / 5e-6, above=0, effect=Setting(needs=("ir_drop",))
    )
    out_nonlinearity: float = real(
        0.0, effect=Effect("nonlinearity", unit="relative", positive=True)
    )
    out_nonlinearity_std: float = real(
        0.0,
        effect=Effect(
            "dtod", of="out_nonlinearity", unit="relative", needs=("out_nonlinearity",)
        ),
    )
    slope_calibration: float = real(
        0.0, effect=Setting(positive=True, needs=("out_nonlinearity", "r_series"))
    )
    v_offset_std: float = real(
        0.0, effect=Effect("ir drop", also=("dtod",), of=FULL_SCALE, positive=True)
    )
    v_offset_w_min: float = real(
        -1.0, effect=Setting(needs=("v_offset_std", "r_series"))
    )
    r_series: float = real(
        0.0, effect=Effect("ir drop", unit="of the total current", positive=True)
    )
    w_read_asymmetry_dtod: float = real(
        0.0,
        effect=Effect(
            "dtod",
            also=("asymmetry",),
            of=FULL_SCALE,
            positive=True,
            choices={
                "mv_type": (
                    AnalogMVType.POS_NEG_SEPARATE,
                    AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
                )
            },
        ),
    )
    max_bm_factor: int = integer(1000, effect=_FOR_BOUNDS)
    max_bm_res: float = real(0.25, effect=_FOR_BOUNDS)
    bm_test_negative_bound: bool = flag(True, effect=_FOR_BOUNDS)
    nm_thres: float = real(
        0.0, effect=Setting(positive=True, needs=("noise_management",))
    )
    nm_decay: float = real(
        1e-3,
        low=0,
        high=1,
        effect=Setting(
            choices={"noise_management": (NoiseManagementType.AVERAGE_ABS_MAX,)}
        ),
    )
    nm_assumed_wmax: float = real(
        0.6,
        effect=Setting(
            choices={
                "noise_management": (NoiseManagementType.ABS_MAX_NP_SUM,),
                "bound_management": (BoundManagementType.ITERATIVE_WORST_CASE,),
            }
        ),
    )

    def validate(self) -> None:
        """Check that noise management finds the input range that it assumes.

        Raises
        ------
        ConfigError
            If noise management is on and `inp_bound` is not 1.
        """
        super().validate()
        ideal = self.is_perfect or self.mv_type is AnalogMVType.IDEAL
        managed = self.noise_management is not NoiseManagementType.NONE
        if managed and not ideal and self.inp_bound != 1.0:
            raise ConfigError(
                "IOParameters.inp_bound must be 1.0 with noise_management = "
                f"{self.noise_management}, got {self.inp_bound}"
            )


#: A kernel counts slices in float32, which has all whole numbers up to this.
_MOST_LEVELS = 2**24
_FOR_SLICES = Setting(needs=("ir_drop",), idle_in=("backward",))

#: Read noise of IOParametersIRDropT: factors of the powers of log10 t, highest first, of
#: what is relative to a conductance, and of what is in uS (csrc/mvm/ladder.h).
_NOISE_SLOPE = (2.1926e-4, -1.87352e-3, 6.55714e-3, -0.0146159, 0.02578764)
_NOISE_FLOOR = (
    1.11906167e-3,
    -9.08576764e-3,
    3.07015063e-2,
    -6.77079241e-2,
    0.117763144,
)


def _xdep_noise(io: Any, reference: Reference) -> float:
    """Give the noise of the largest weight where all inputs are on all the time."""
    log_t = math.log10(io.levels()) if io.inp_res > 0.0 else 0.0
    slope = floor = 0.0
    for a, b in zip(_NOISE_SLOPE, _NOISE_FLOOR, strict=True):
        slope, floor = slope * log_t + a, floor * log_t + b
    # 25 uS are the largest weight.
    std = slope + floor / 25.0
    return float(abs(io.xdep_pcm_read_noise_scale) * std * reference.weight)


@define
class IOParametersIRDropT(IOParameters):
    r"""Settings of a product with voltage loss along wires that changes in time.

    Inputs are durations of pulses, and time is cut into slices. In each slice, every
    line of the array is a ladder of resistances; the converter counts the charge of all
    slices. This happens in evaluation only: in training, and with `ir_drop` 0, the
    product is that without wires.

    Parameters
    ----------
    mv_type : AnalogMVType
        ONE_PASS: the whole duration; SPLIT_MODE: low and high bits in two products;
        BIT_WISE: a product for each bit; IDEAL. Results of several products are added
        as numbers, with the significance of their bits.
    ir_drop : float
        Scale of the resistance of wires; 0: no wires.
    ir_drop_rs : float
        Resistance of the wire between neighbouring devices, in ohm.
    ir_drop_segments : int
        Segments of the ladder; they have to divide the rows of the array
        (``mapping.max_input_size``, or its inputs if they are more).
    ir_drop_time_step_resolution_scale : float
        Factor on the number of slices, for ONE_PASS.
    ir_drop_v_read : float
        Voltage of the lines that are read, in volt.
    split_mode_bit_shift : int
        Bits of the first product of SPLIT_MODE.
    adc_quantization : bool
        Count charge in whole pulses of an oscillator.
    adc_frequency : float
        Frequency of that oscillator, in GHz.
    ir_drop_integration_sum : bool
        Add up the slices instead of using the trapezoidal rule.
    apply_xdep_pcm_read_noise : bool
        Read noise of phase-change memory that depends on the mean duration of the
        inputs, drawn for each device in each pass; in training and without wires, too.
    xdep_pcm_read_noise_scale : float
        Scale of that noise; 0: none.

    Notes
    -----
    Where the inputs of a pass are on for :math:`t` steps of the DAC on average, a device
    of conductance :math:`g` (in uS, 25 for the largest weight) has noise of standard
    deviation :math:`s\,(a(l)\,g + b(l))` with :math:`l = \log_{10} t`, and

    .. math::

        a &= 2.1926\cdot10^{-4} l^4 - 1.87352\cdot10^{-3} l^3
             + 6.55714\cdot10^{-3} l^2 - 0.0146159\, l + 0.02578764 \\
        b &= 1.11906\cdot10^{-3} l^4 - 9.08577\cdot10^{-3} l^3
             + 3.07015\cdot10^{-2} l^2 - 6.77079\cdot10^{-2} l + 0.117763

    in uS; none where :math:`g` or :math:`t` is 0. The polynomials are those of the
    reference library.
    """

    mv_type: AnalogMVType = choice(
        AnalogMVType.ONE_PASS,
        refused=(
            AnalogMVType.POS_NEG_SEPARATE,
            AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
            AnalogMVType.NODAL,
        ),
    )
    ir_drop: float = real(
        1.0,
        low=0,
        effect=Effect("ir drop", unit="of the physical loss", idle_in=("backward",)),
    )
    ir_drop_rs: float = real(0.15, low=0, effect=_FOR_SLICES)
    ir_drop_segments: int = integer(8, low=1, effect=_FOR_SLICES)
    ir_drop_time_step_resolution_scale: float = real(
        1.0, above=0, high=1, effect=_FOR_SLICES
    )
    ir_drop_v_read: float = real(0.4005, effect=_FOR_SLICES)
    split_mode_bit_shift: int = integer(
        3,
        low=1,
        effect=Setting(choices={"mv_type": (AnalogMVType.SPLIT_MODE,)}),
    )
    adc_quantization: bool = flag(True, effect=_FOR_SLICES)
    adc_frequency: float = real(
        6.24, above=0, effect=Setting(needs=("adc_quantization",))
    )
    ir_drop_integration_sum: bool = flag(False, effect=_FOR_SLICES)
    apply_xdep_pcm_read_noise: bool = flag(
        False,
        effect=Setting(idle_in=("backward",)),
    )
    xdep_pcm_read_noise_scale: float = real(
        1.0,
        effect=Effect(
            "read noise",
            size=_xdep_noise,
            needs=("apply_xdep_pcm_read_noise",),
            idle_in=("backward",),
            note="of the largest weight, with all inputs on all the time",
        ),
    )

    def has_noisy_reads(self) -> bool:
        """Tell whether conductances are noisy anew in each read."""
        return self.apply_xdep_pcm_read_noise and self.xdep_pcm_read_noise_scale != 0.0

    def levels(self) -> float:
        """Return the largest input in steps of the DAC."""
        res = 1.0 / self.inp_res if self.inp_res > 1.0 else self.inp_res
        return self.inp_bound / res / 2.0

    def bits(self) -> int:
        """Return the bits of an input, its sign included."""
        return round(math.log2(self.levels() + 1.0)) + 1

    def validate(self) -> None:
        """Check what the time slices need.

        Raises
        ------
        ConfigError
            If inputs have no levels, or not those of whole bits where bits are sent
            one by one; or if an effect is on that such arrays do not have.
        """
        super().validate()
        if self.is_perfect or self.mv_type is AnalogMVType.IDEAL:
            return
        name = type(self).__name__
        if self.inp_bound != 1.0 or self.inp_res <= 0.0:
            raise ConfigError(
                f"{name} must have inp_bound = 1.0 and inp_res > 0, got"
                f" {self.inp_bound} and {self.inp_res}"
            )
        if not self.levels() <= _MOST_LEVELS:
            raise ConfigError(
                f"{name}.inp_res must ask for at most 2**24 steps, got {self.inp_res}"
            )
        for field in (
            *("out_nonlinearity", "r_series", "v_offset_std", "out_noise_std"),
            "w_read_asymmetry_dtod",
        ):
            if getattr(self, field) > 0.0:
                raise ConfigError(
                    f"{name}.{field} must be 0, got {getattr(self, field)}"
                )
        if self.w_noise_type is not WeightNoiseType.NONE:
            raise ConfigError(
                f"{name}.w_noise_type must be NONE, got {self.w_noise_type}"
            )
        if self.mv_type is AnalogMVType.ONE_PASS:
            return
        bits = self.bits()
        if abs(self.levels() + 1.0 - 2.0 ** (bits - 1)) > 1e-3 or not 2 <= bits <= 17:
            raise ConfigError(
                f"{name}.inp_res must be 1 / (2**b - 2), 2 <= b <= 17, with mv_type ="
                f" {self.mv_type}, got {self.inp_res}"
            )
        split = self.mv_type is AnalogMVType.SPLIT_MODE
        if split and self.split_mode_bit_shift > bits - 2:
            raise ConfigError(
                f"{name}.split_mode_bit_shift must be at most {bits - 2} with {bits}"
                f" bits, got {self.split_mode_bit_shift}"
            )


@define
class IOParametersNodal(IOParameters):
    """Settings of a product through wires with resistance, solved exactly.

    Weights are pairs of conductances, positive ones in one array and negative ones in
    another, between word lines (inputs) and bit lines (outputs) whose segments have
    resistance. The nodal equations are solved anew whenever weights have changed
    (`rpupy.parasitics`, which needs SciPy), and give the weights that all products then
    multiply by; converters and noise are those of `IOParameters`.

    Backward, bit lines are driven and word lines sensed, at the same ends. With the same
    resistances in ``forward`` and ``backward`` both directions see the same weights.

    Parameters
    ----------
    mv_type : AnalogMVType
        NODAL; anything else ignores the wires.
    r_word_line, r_bit_line : float
        Resistance of a segment of a wire between two crosspoints, in ohms.
    g_max : float
        Conductance of a weight of size `w_max`, in siemens.
    w_max : float
        Weight of the largest conductance; larger weights conduct more.
    drive_both_ends, sense_both_ends : bool
        Whether word lines, and bit lines, are connected at both of their ends.

    Notes
    -----
    LAPACK solves the equations, whose last bits differ between machines; so, unlike all
    else, products in this mode are the same on one machine only.
    """

    mv_type: AnalogMVType = choice(
        AnalogMVType.NODAL,
        refused=(AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE),
    )
    r_word_line: float = real(0.35, low=0, effect=_OF_WIRES)
    r_bit_line: float = real(0.35, low=0, effect=_OF_WIRES)
    g_max: float = real(5e-6, above=0, effect=_FOR_WIRES)
    w_max: float = real(1.0, above=0, effect=_FOR_WIRES)
    drive_both_ends: bool = flag(False, effect=_FOR_WIRES)
    sense_both_ends: bool = flag(False, effect=_FOR_WIRES)
