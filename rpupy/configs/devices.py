r"""Devices: what stores a weight at a crosspoint and how pulses change it.

In all equations :math:`\xi` is a new standard normal number each time it appears,
``M`` and ``m`` are the upper and lower bound of one crosspoint, and weights are in
normalised units. Names ending in ``_dtod`` are spreads from device to device, drawn
once when the tile is built; names ending in ``_std`` are spreads from use to use.
A negative spread means the same as a positive one.
"""

from __future__ import annotations

import decimal
import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from rpupy.errors import ConfigError
from rpupy.parameters.base import (
    Parameters,
    choice,
    define,
    derived,
    flag,
    integer,
    part,
    real,
    reals,
)
from rpupy.parameters.drift import DriftParameter, SimpleDriftParameter
from rpupy.parameters.effects import KEPT, Effect, Reference, Setting
from rpupy.parameters.enums import PmaxMapping
from rpupy.parameters.fields import FLOAT32_MAX, FLOAT32_TINY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # What `__getattr__` below finds.
    from .compounds import *  # noqa: F403

    Floats = NDArray[np.float32]

__all__ = [
    "ConstantStepDevice",
    "DampedStepDevice",
    "Device",
    "ExpStepDevice",
    "FloatingPointDevice",
    "IdealDevice",
    "LinearStepDevice",
    "NumpyDevice",
    "PiecewiseStepDevice",
    "PowStepDevice",
    "PowStepReferenceDevice",
    "PulsedDevice",
    "SlopedStepDevice",
    "SoftBoundsDevice",
    "SoftBoundsPmaxDevice",
    "SoftBoundsReferenceDevice",
    "WriteNoiseDevice",
]


#: What `decimal` rounds is the same on every machine, which `math.exp` does not promise.
_EXACT = decimal.Context(prec=60, traps=[])


def _exp(power: float) -> decimal.Decimal:
    """Give e**power, with the power limited so that a float can hold it."""
    return _EXACT.exp(decimal.Decimal(min(max(power, -700.0), 700.0)))


def _decay_rate(device: Any, reference: Reference) -> float:
    """Loss of the largest weight in a decay call."""
    return reference.weight / max(device.lifetime, 1.0)


_DECAY = Effect("decay", size=_decay_rate, positive=True, acts_on="decay")
_WEIGHT_BOUND = Effect("weight bounds", off=KEPT, acts_on="all writes")

#: Mean bound, in weight units, that stands for none.
UNBOUNDED = 1e6


def _hard_bound(off: float) -> Effect:
    return Effect("weight bounds", off=off, acts_on="all writes")


_STEP = Effect(
    "steps",
    off=KEPT,
    acts_on="update",
    note=lambda device: inspect.cleandoc(type(device).__doc__ or "").split("\n")[0],
)
_SLOPE = Effect(
    "nonlinearity",
    of="dw_min",
    acts_on="update",
    note="change of the step at the bound",
)
_SLOPE_DTOD = Effect("dtod", also=("nonlinearity",), of="dw_min", acts_on="update")
_CURVE = Effect(
    "steps",
    off=KEPT,
    size=lambda device, reference: device.resolved().dw_min,
    acts_on="update",
    note=_STEP.note,
)
_EXPONENTIAL = Effect(
    "nonlinearity",
    of="dw_min",
    acts_on="update",
    note="size of the exponential part of the step",
)
_DAMPING = Effect(
    "nonlinearity",
    unit="of the exponent",
    acts_on="update",
    note="logarithm of the ratio of the steps at both bounds",
)
_DAMPING_DTOD = Effect(
    "dtod", also=("nonlinearity",), unit="of the damping", acts_on="update"
)
_POWER = Effect(
    "nonlinearity",
    size=lambda device, reference: device.dw_min,
    acts_on="update",
    note=_SLOPE.note,
)
_POWER_DTOD = Effect(
    "dtod",
    also=("nonlinearity",),
    unit="of the exponent",
    acts_on="update",
    needs=("pow_gamma",),
)
_POWER_ASYMMETRY = Effect(
    "asymmetry", unit="of the exponent", acts_on="update", needs=("pow_gamma",)
)
_POWER_ASYMMETRY_DTOD = Effect(
    "dtod",
    also=("asymmetry",),
    unit="of the exponent",
    acts_on="update",
    needs=("pow_gamma",),
)
_REFERENCE = Effect("asymmetry", acts_on="update", note="shift of the steps")
_REFERENCE_SPREAD = Effect("dtod", also=("asymmetry",), acts_on="update")


def _nodes(name: str) -> Effect:
    def largest_change(device: Any, _: Reference) -> float:
        nodes = getattr(device, name)
        middle = nodes[len(nodes) // 2]
        return device.dw_min * max(abs(node - middle) for node in nodes)

    return Effect(
        "nonlinearity",
        off=KEPT,
        size=largest_change,
        acts_on="update",
        note="largest change of the step from its middle node",
    )


class Device(Parameters):
    """What all devices have in common; no fields of its own."""

    __slots__ = ()

    #: Name of the kernel that computes this device; empty for a class that is a base.
    kernel: ClassVar[str] = ""
    #: Whether the weights that products see can differ from the stored ones.
    supports_write_noise: ClassVar[bool] = False

    diffusion: float
    lifetime: float

    def resolved(self) -> Device:
        """Give the device that kernels compute: this one, if it describes no other."""
        return self

    def requires_diffusion(self) -> bool:
        """Whether a diffusion step follows each mini-batch."""
        return self.diffusion > 0

    def requires_decay(self) -> bool:
        """Whether a decay step follows each mini-batch."""
        return self.lifetime > 0

    def validate(self) -> None:
        """Check that this is a device and not only the base of some."""
        super().validate()
        if not self.kernel:
            raise ConfigError(
                f"{type(self).__name__} is only a base for devices and has no kernel; "
                "take a device such as ConstantStepDevice"
            )


@define
class FloatingPointDevice(Device):
    r"""Weights that are updated exactly, without bounds.

    An update is :math:`W \leftarrow W - \eta\, d x^T`. A decay step multiplies all
    weights by ``1 - alpha / lifetime``, a diffusion step adds ``diffusion`` times
    :math:`\xi`. Nothing is drawn when the tile is built.

    Parameters
    ----------
    diffusion : float
        Standard deviation of a diffusion step, in weight units; 0 or below: none.
    lifetime : float
        Number of decay steps in which a weight falls to ``1/e``; 1 or below: no decay.
    drift : SimpleDriftParameter
        Power-law drift.

    Notes
    -----
    Phenomenological.
    """

    kernel: ClassVar[str] = "floating_point"

    diffusion: float = real(
        0.0, effect=Effect("diffusion", positive=True, acts_on="diffusion")
    )
    lifetime: float = real(0.0, effect=_DECAY)
    drift: SimpleDriftParameter = part(SimpleDriftParameter)

    def validate(self) -> None:
        """Check that the drift asks for nothing that these weights do not have.

        Raises
        ------
        ConfigError
            If `drift` is a DriftParameter whose further fields are set.
        """
        super().validate()
        drift = self.drift
        if isinstance(drift, DriftParameter) and drift != DriftParameter(
            nu=drift.nu, t_0=drift.t_0, reset_tol=drift.reset_tol
        ):
            raise ConfigError(
                "FloatingPointDevice.drift must set nu, t_0 and reset_tol alone "
                f"(SimpleDriftParameter), got {drift}"
            )


@define
class IdealDevice(Device):
    """Weights that are updated exactly, on a tile with an analog product.

    Update, decay and diffusion are those of FloatingPointDevice. A reset sets weights
    to ``reset_std`` times a standard normal number. There are no bounds, and nothing is
    drawn when the tile is built.

    Parameters
    ----------
    construction_seed : int
        Without effect here.
    diffusion : float
        Standard deviation of a diffusion step, in weight units; 0 or below: none.
    lifetime : float
        Number of decay steps in which a weight falls to ``1/e``; 1 or below: no decay.
    reset_std : float
        Standard deviation of the weights after a reset, in weight units.

    Notes
    -----
    Phenomenological.
    """

    kernel: ClassVar[str] = "ideal"

    construction_seed: int = integer(0, low=0, high=math.inf, effect=Setting())
    diffusion: float = real(
        0.0, effect=Effect("diffusion", positive=True, acts_on="diffusion")
    )
    lifetime: float = real(0.0, effect=_DECAY)
    reset_std: float = real(0.01, effect=Effect("ctoc", positive=True, acts_on="reset"))


@define
class PulsedDevice(Device):
    r"""Base of all devices that change by pulses.

    When the tile is built, each crosspoint draws its bounds and the size of its steps:

    .. math::

        M = w_\mathrm{max} (1 + w_\mathrm{max,dtod} \xi), \quad
        m = w_\mathrm{min} (1 + w_\mathrm{min,dtod} \xi)

        s_\uparrow = dw_\mathrm{min} (g + \min(u, 0) + r), \quad
        s_\downarrow = dw_\mathrm{min} (g - \max(u, 0) - r)

    with the gain :math:`g = 1 + dw_\mathrm{min,dtod} \xi` and the asymmetry :math:`r =
    u_\mathrm{dtod} \xi`, each shared by both directions, and ``u`` for `up_down`. After
    each pulse the weight is clipped to its bounds.

    Parameters
    ----------
    construction_seed : int
        Seed of all draws of the device; 0: they follow the seed of the tile. Tiles of
        one shape with the same other seed get identical devices.
    corrupt_devices_prob : float
        Probability that a device is stuck: no steps, and both bounds at one value.
    corrupt_devices_range : float
        That value is uniform over the part of the device's range that is at most this
        far from 0, in weight units.
    diffusion : float
        Standard deviation of a diffusion step, in weight units; 0 or below: none.
    diffusion_dtod : float
        Relative spread of `diffusion`; the magnitude of the result is used.
    drift : DriftParameter
        Power-law drift, on request only.
    dw_min : float
        Mean weight step of a pulse at weight 0, in weight units, above 0.
    dw_min_dtod : float
        Relative spread of the steps.
    dw_min_dtod_log_normal : bool
        Make the gain :math:`\exp(dw_\mathrm{min,dtod} \xi)` instead. Its median is 1
        and its mean is larger.
    dw_min_std : float
        Relative spread of the step from pulse to pulse.
    enforce_consistency : bool
        Make all drawn steps positive and order the bounds around 0. False: steps stay
        as drawn, and a device whose bounds cross is stuck half-way between them.
    lifetime : float
        Number of decay steps in which the distance to the reset value falls to ``1/e``;
        0 or below: no decay. Up to 1: one step is enough.
    lifetime_dtod : float
        Relative spread of `lifetime`.
    perfect_bias : bool
        Give the devices of the last column steps of `dw_min` in both directions and
        bounds 100 times as wide.
    reset : float
        Mean value after a reset and at the end of decay, in weight units.
    reset_dtod : float
        Spread of that value, in weight units.
    reset_std : float
        Spread from reset to reset, in weight units.
    up_down : float
        One-sided asymmetry, as a fraction of `dw_min`: positive values shorten the
        steps down, negative ones the steps up.
    up_down_dtod : float
        Spread of the asymmetry, as a fraction of `dw_min`.
    w_max, w_min : float
        Mean bounds, in weight units. ``w_min <= 0 <= w_max``.
    w_max_dtod, w_min_dtod : float
        Relative spreads of the bounds.
    count_pulses : bool
        Count the pulses of each crosspoint, up and down apart.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333. The
    default spreads are those of that paper.
    """

    construction_seed: int = integer(0, low=0, high=math.inf, effect=Setting())
    corrupt_devices_prob: float = real(
        0.0,
        low=0,
        high=1,
        effect=Effect("corrupt devices", unit="of the devices", acts_on="all writes"),
    )
    corrupt_devices_range: float = real(
        0.1, effect=Setting(needs=("corrupt_devices_prob",))
    )
    diffusion: float = real(
        0.0, effect=Effect("diffusion", positive=True, acts_on="diffusion")
    )
    diffusion_dtod: float = real(
        0.0,
        effect=Effect(
            "dtod", of="diffusion", acts_on="diffusion", needs=("diffusion",)
        ),
    )
    drift: DriftParameter = part(DriftParameter, hide_default=True)
    dw_min: float = real(0.001, above=0, effect=_STEP)
    dw_min_dtod: float = real(0.3, effect=Effect("dtod", of="dw_min", acts_on="update"))
    dw_min_dtod_log_normal: bool = flag(False, effect=Setting(needs=("dw_min_dtod",)))
    dw_min_std: float = real(0.3, effect=Effect("ctoc", of="dw_min", acts_on="update"))
    enforce_consistency: bool = flag(True)
    lifetime: float = real(0.0, effect=_DECAY)
    lifetime_dtod: float = real(
        0.0, effect=Effect("dtod", of=_decay_rate, acts_on="decay", needs=("lifetime",))
    )
    perfect_bias: bool = flag(False)
    reset: float = real(0.0, effect=Effect("reset", acts_on="reset, decay"))
    reset_dtod: float = real(0.0, effect=Effect("dtod", acts_on="reset, decay"))
    reset_std: float = real(0.01, effect=Effect("ctoc", positive=True, acts_on="reset"))
    up_down: float = real(
        0.0, effect=Effect("asymmetry", of="dw_min", acts_on="update")
    )
    up_down_dtod: float = real(
        0.01, effect=Effect("dtod", also=("asymmetry",), of="dw_min", acts_on="update")
    )
    w_max: float = real(0.6, effect=_WEIGHT_BOUND)
    w_max_dtod: float = real(
        0.3, effect=Effect("dtod", of="w_max", acts_on="all writes")
    )
    w_min: float = real(-0.6, effect=_WEIGHT_BOUND)
    w_min_dtod: float = real(
        0.3, effect=Effect("dtod", of="w_min", acts_on="all writes")
    )
    count_pulses: bool = flag(False)

    def validate(self) -> None:
        """Check that the range of the weight contains 0, and that a pulse moves it.

        Raises
        ------
        ConfigError
            If `w_min` is above 0 or `w_max` below, or if the weight granularity is not
            a number above 0.
        """
        super().validate()
        if not self.w_min <= 0 <= self.w_max:
            raise ConfigError(
                f"{type(self).__name__}.w_min and w_max must satisfy w_min <= 0 <= "
                f"w_max, got {self.w_min} and {self.w_max}"
            )
        granularity = self.weight_granularity()
        if not FLOAT32_TINY <= granularity <= FLOAT32_MAX:
            raise ConfigError(
                f"{type(self).__name__} must have a weight granularity above 0 (the "
                f"mean step of a pulse at weight 0), got {granularity:g}"
            )

    def weight_granularity(self) -> float:
        """Give the mean change of a weight at 0 by a pulse, which sets pulse rates."""
        return self.dw_min

    def num_states(self) -> float:
        """Count the steps of that size between the mean bounds."""
        return (self.w_max - self.w_min) / self.weight_granularity()


@define
class ConstantStepDevice(PulsedDevice):
    r"""Steps that do not depend on the weight.

    .. math::

        w \leftarrow w + s_\uparrow (1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow (1 + \sigma \xi)

    for a pulse up and down, with :math:`\sigma` for `dw_min_std`. Fields, draws and
    defaults are those of PulsedDevice.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333.
    """

    kernel: ClassVar[str] = "constant_step"

    # Only here the steps refer to no bound, so that bounds can be taken away.
    w_max: float = real(0.6, effect=_hard_bound(UNBOUNDED))
    w_min: float = real(-0.6, effect=_hard_bound(-UNBOUNDED))


@define
class WriteNoiseDevice(PulsedDevice):
    r"""Base of pulsed devices that may show their weight with an error.

    Pulses, decay and bounds then act on a persistent weight, and products see it plus
    ``write_noise_std * dw_min`` times :math:`\xi`, drawn anew whenever the device is
    touched.

    Parameters
    ----------
    write_noise_std : float
        Standard deviation of that error in units of `dw_min`; 0 or below: none.
    apply_write_noise_on_set : bool
        Add the error when weights are set, too.
    """

    supports_write_noise: ClassVar[bool] = True

    write_noise_std: float = real(
        0.0,
        effect=Effect("write noise", of="dw_min", positive=True, acts_on="all writes"),
    )
    apply_write_noise_on_set: bool = flag(
        True, effect=Setting(needs=("write_noise_std",))
    )


@define
class SlopedStepDevice(WriteNoiseDevice):
    """Base of devices whose step is linear in the weight.

    Parameters
    ----------
    mult_noise : bool
        Let the cycle-to-cycle noise multiply the whole step; False: it is as strong as
        at weight 0 everywhere.
    reverse_up, reverse_down : bool
        Turn the slope round: the step is smallest at the bound where it would be
        largest. Needs `mult_noise`.
    reverse_offset : float
        Distance, in weight units, by which that bound is moved outwards so that the
        step does not vanish there.
    """

    mult_noise: bool = flag(True)
    reverse_up: bool = flag(False)
    reverse_down: bool = flag(False)
    reverse_offset: float = real(
        0.01, effect=Setting(needs=("reverse_up", "reverse_down"))
    )

    def validate(self) -> None:
        """Check that reversed slopes come with multiplicative noise.

        Raises
        ------
        ConfigError
            If `reverse_up` or `reverse_down` is set without `mult_noise`.
        """
        super().validate()
        if (self.reverse_up or self.reverse_down) and not self.mult_noise:
            raise ConfigError(
                f"{type(self).__name__}.mult_noise must be True with reverse_up or "
                "reverse_down, got False"
            )


@define
class LinearStepDevice(SlopedStepDevice):
    r"""Steps that shrink linearly on the way to a bound.

    .. math::

        w \leftarrow w + s_\uparrow (1 - \Gamma_\uparrow w / R_\uparrow)
        (1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow (1 - \Gamma_\downarrow w / R_\downarrow)
        (1 + \sigma \xi)

    with :math:`\sigma` for `dw_min_std`; without `mult_noise` the noise is
    :math:`s \sigma \xi` alone. Each crosspoint draws :math:`\Gamma = |\gamma +
    \gamma_\mathrm{dtod} \xi|` once for each direction. ``R`` is the bound ahead, or
    with `reverse_up` or `reverse_down` the one behind, moved outwards by
    `reverse_offset`.

    Parameters
    ----------
    gamma_up, gamma_down : float
        Fraction by which the step has shrunk at the bound.
    gamma_up_dtod, gamma_down_dtod : float
        Spread of those fractions, not relative to them.
    allow_increasing : bool
        Keep the sign of a drawn slope, so that some steps grow towards the bound.
    mean_bound_reference : bool
        Take the mean bounds for ``R``; False: the bounds of each device.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333, for
    the role of asymmetric steps. The linear form is phenomenological.
    """

    kernel: ClassVar[str] = "linear_step"

    gamma_up: float = real(0.0, effect=_SLOPE)
    gamma_down: float = real(0.0, effect=_SLOPE)
    gamma_up_dtod: float = real(0.05, effect=_SLOPE_DTOD)
    gamma_down_dtod: float = real(0.05, effect=_SLOPE_DTOD)
    allow_increasing: bool = flag(False)
    mean_bound_reference: bool = flag(True)


@define
class SoftBoundsDevice(SlopedStepDevice):
    r"""Steps that vanish at the bounds of each device.

    .. math::

        w \leftarrow w + s_\uparrow (1 - w / M)(1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow (1 - w / m)(1 + \sigma \xi)

    This is LinearStepDevice with slope 1, without spread of the slope, and with the
    bounds of each device as reference. Towards a bound of 0 the step is constant.

    References
    ----------
    Fusi and Abbott, Nat. Neurosci. 10:485 (2007), doi:10.1038/nn1859, for soft bounds;
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333.
    """

    kernel: ClassVar[str] = "soft_bounds"


@define
class SoftBoundsPmaxDevice(SoftBoundsDevice):
    r"""Soft bounds described by a curve of pulses up.

    The curve starts at `range_min` and reaches `range_max` after `p_max` pulses:

    .. math::

        w(p) = r_\mathrm{min} + B (1 - e^{-\alpha p}), \quad
        B = \frac{r_\mathrm{max} - r_\mathrm{min}}{1 - e^{-\alpha p_\mathrm{max}}}

    `dw_min`, `up_down`, `w_min` and `w_max` follow from it and are not used if they are
    set. The upper bound is :math:`r_\mathrm{min} + B`. The rest depends on `mapping`:

    * ``REFERENCE``: the lower bound is :math:`r_\mathrm{min}`, `dw_min` is
      :math:`\alpha B` and `up_down` is :math:`1 + 2 r_\mathrm{min} / B`. This is what
      the reference library does. It means steps that differ in both directions, while
      `up_down` shortens one alone, so its devices leave the curve: with the defaults,
      1000 pulses from -1 lead to 1.36 instead of 1.
    * ``UP_CURVE``: the lower bound is the same, and the steps at 0 are :math:`\alpha M`
      up and :math:`\alpha |m|` down. Pulses up follow the curve, up to terms of the
      order of `alpha`.
    * ``BOTH_CURVES``: with these steps, the lower bound is :math:`r_\mathrm{max} - B`,
      so that pulses down follow the mirrored curve, from `range_max` to `range_min`.

    Parameters
    ----------
    p_max : int
        Pulses from one end of the range to the other.
    alpha : float
        Curvature: the part of the distance to the bound that one pulse takes.
    range_min, range_max : float
        The range, in weight units, with `range_min` up to 0.
    mapping : PmaxMapping
        Which steps and bounds the curve gives.

    References
    ----------
    As SoftBoundsDevice. The form of the curve is that of the fits in Chen, Peng and Yu,
    IEEE TCAD 37:3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    dw_min: float = derived()
    up_down: float = derived()
    w_max: float = derived()
    w_min: float = derived()
    p_max: int = integer(1000, low=1, effect=Setting())
    alpha: float = real(0.0005, above=0, effect=_CURVE)
    range_min: float = real(-1.0, high=0, effect=_WEIGHT_BOUND)
    range_max: float = real(1.0, effect=_WEIGHT_BOUND)
    mapping: PmaxMapping = choice(PmaxMapping.REFERENCE)

    def resolved(self) -> SoftBoundsDevice:
        """Give the soft-bounds device that this one describes."""
        shared = {f.name: getattr(self, f.name) for f in attrs.fields(SoftBoundsDevice)}
        reached = float(_EXACT.subtract(1, _exp(-self.p_max * self.alpha)))
        range_ = (self.range_max - self.range_min) / reached
        low, high = self.range_min, self.range_min + range_
        if self.mapping is PmaxMapping.BOTH_CURVES:
            low = self.range_max - range_
        if self.mapping is PmaxMapping.REFERENCE:
            dw_min, up_down = range_ * self.alpha, 1.0 + 2.0 * low / range_
        elif high >= -low:
            dw_min, up_down = self.alpha * high, 1.0 + low / high
        else:
            dw_min, up_down = -self.alpha * low, -(1.0 + high / low)
        shared |= {"w_min": low, "w_max": high, "dw_min": dw_min, "up_down": up_down}
        return SoftBoundsDevice(**shared)

    def validate(self) -> None:
        """Check the curve, and the device that it describes.

        Raises
        ------
        ConfigError
            If `range_min` is not below `range_max`, or what follows is no device.
        """
        if not self.range_min < self.range_max:
            raise ConfigError(
                "SoftBoundsPmaxDevice.range_min must be below range_max, got "
                f"{self.range_min} and {self.range_max}"
            )
        self.resolved().validate()

    def weight_granularity(self) -> float:
        """Give the mean change of a weight at 0 by a pulse, which sets pulse rates."""
        return self.resolved().weight_granularity()

    def num_states(self) -> float:
        """Count the steps of that size between the mean bounds."""
        return self.resolved().num_states()


@define
class SoftBoundsReferenceDevice(WriteNoiseDevice):
    r"""Soft bounds of the weight plus a reference.

    The state is :math:`v = w + r`, with a reference ``r`` that each crosspoint draws
    once as :math:`r_\mathrm{mean} + r_\mathrm{std} \xi`. A pulse up or down is

    .. math::

        v \leftarrow v + s_\uparrow (1 - v / M + \sigma \xi), \quad
        v \leftarrow v - s_\downarrow (1 - v / m + \sigma \xi)

    with :math:`\sigma` for `dw_min_std`, after which ``v`` is clipped to its bounds.
    Towards a bound of 0 the step is constant. All other operations clip ``w`` to the
    bounds. Each crosspoint divides its bounds once by :math:`|1 + slope_\mathrm{dtod}
    \xi|`, one number for each bound, which multiplies the slope.

    Parameters
    ----------
    mult_noise : bool
        Let the cycle-to-cycle noise multiply the whole step: :math:`s (1 - v / M)(1 +
        \sigma \xi)`. False: it is as strong everywhere as at ``v = 0``.
    slope_up_dtod, slope_down_dtod : float
        Relative spread of the slopes.
    reference_mean : float
        Mean of the reference, in weight units.
    reference_std : float
        Spread of the reference from device to device, in weight units.
    subtract_symmetry_point : bool
        Add to the reference the state in which steps up and down are equal,
        :math:`(s_\uparrow - s_\downarrow) / (s_\uparrow / M - s_\downarrow / m)`, so that
        this is at weight 0. The value after a reset moves by as much.

    References
    ----------
    Fusi and Abbott, Nat. Neurosci. 10:485 (2007), doi:10.1038/nn1859, for soft bounds;
    Gokmen and Haensch, Front. Neurosci. 14:103 (2020), doi:10.3389/fnins.2020.00103,
    for the symmetry point.
    """

    kernel: ClassVar[str] = "soft_bounds_reference"

    mult_noise: bool = flag(False)
    slope_up_dtod: float = real(0.0, effect=_SLOPE_DTOD)
    slope_down_dtod: float = real(0.0, effect=_SLOPE_DTOD)
    reference_mean: float = real(0.0, effect=_REFERENCE)
    reference_std: float = real(0.0, effect=_REFERENCE_SPREAD)
    subtract_symmetry_point: bool = flag(False)


@define
class ExpStepDevice(WriteNoiseDevice):
    r"""Steps that fall exponentially on the way to a bound.

    .. math::

        w \leftarrow w + s_\uparrow y_\uparrow (1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow y_\downarrow (1 + \sigma \xi)

        y_\uparrow = \max(1 - A_\uparrow e^{\gamma_\uparrow z}, 0), \quad
        y_\downarrow = \max(1 - A_\downarrow e^{-\gamma_\downarrow z}, 0), \quad
        z = \frac{2 a w}{M - m} + b

    with :math:`\sigma` for `dw_min_std`. With `dw_min_std_add` or `dw_min_std_slope` the
    noise is :math:`\sigma (s y + n_\mathrm{add} + n_\mathrm{slope} |w|) \xi` instead. A
    device whose bounds meet does not move. Nothing is drawn beyond what PulsedDevice
    draws.

    Parameters
    ----------
    A_up, A_down : float
        Size of the exponential term.
    gamma_up, gamma_down : float
        Its steepness.
    a : float
        Scale of the weight in the exponent, in units of half its range.
    b : float
        Offset of the exponent.
    dw_min_std_add : float
        Part of the cycle-to-cycle noise that is the same everywhere, in weight units.
    dw_min_std_slope : float
        Part of it that grows with the weight.

    References
    ----------
    Gong et al., Nat. Commun. 9:2102 (2018), doi:10.1038/s41467-018-04485-1. The
    defaults are fits to the ReRAM of that paper.
    """

    kernel: ClassVar[str] = "exp_step"

    A_up: float = real(0.00081, effect=_EXPONENTIAL)
    A_down: float = real(0.36833, effect=_EXPONENTIAL)
    gamma_up: float = real(12.44625, effect=Setting(needs=("A_up",)))
    gamma_down: float = real(12.78785, effect=Setting(needs=("A_down",)))
    a: float = real(0.244, effect=Setting(needs=("A_up", "A_down")))
    b: float = real(0.2425, effect=Setting(needs=("A_up", "A_down")))
    dw_min_std_add: float = real(
        0.0,
        effect=Effect(
            "ctoc",
            of=lambda device, reference: device.dw_min_std,
            acts_on="update",
            needs=("dw_min_std",),
        ),
    )
    dw_min_std_slope: float = real(
        0.0,
        effect=Effect(
            "ctoc",
            of=lambda device, reference: device.dw_min_std * reference.weight,
            acts_on="update",
            needs=("dw_min_std",),
            note="at the largest weight",
        ),
    )

    def weight_granularity(self) -> float:
        """Give the mean step down at weight 0; `dw_min` where there is none."""
        part = 1.0 - self.A_down * float(_exp(-self.gamma_down * self.b))
        step = (1.0 - max(self.up_down, 0.0)) * self.dw_min * max(part, 0.0)
        return step if step > 0 else self.dw_min


@define
class DampedStepDevice(WriteNoiseDevice):
    r"""Steps that fall exponentially with the distance from the bound behind.

    .. math::

        w \leftarrow w + s_\uparrow e^{-\beta_\uparrow (w - m) / (M - m)}
        (1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow e^{-\beta_\downarrow (M - w) / (M - m)}
        (1 + \sigma \xi)

    with :math:`\sigma` for `dw_min_std`. So `dw_min` is the step with which a device
    leaves a bound, and :math:`e^{-\beta}` of it is left at the other one. Each
    crosspoint draws its damping once, as :math:`\beta (1 + \beta_\mathrm{dtod} \xi)`
    for each direction. They are the hidden parameters ``damping_up`` and
    ``damping_down``.

    Parameters
    ----------
    beta_up, beta_down : float
        Damping of the steps over the whole range; 0: constant steps, below 0: steps
        that grow.
    beta_up_dtod, beta_down_dtod : float
        Relative spread of the damping.

    References
    ----------
    Querlioz, Bichler, Dollfus and Gamrat, IEEE Trans. Nanotechnol. 12:288 (2013),
    doi:10.1109/TNANO.2013.2250995: the form of the steps, and a damping of 3. The
    defaults of all other fields are those of PulsedDevice.
    """

    kernel: ClassVar[str] = "damped_step"

    beta_up: float = real(3.0, effect=_DAMPING)
    beta_down: float = real(3.0, effect=_DAMPING)
    beta_up_dtod: float = real(0.0, effect=_DAMPING_DTOD)
    beta_down_dtod: float = real(0.0, effect=_DAMPING_DTOD)

    def weight_granularity(self) -> float:
        """Give the mean step at weight 0, over both directions."""
        place = -self.w_min / ((self.w_max - self.w_min) or 1.0)
        up = _exp(-self.beta_up * place)
        down = _exp(-self.beta_down * (1.0 - place))
        return self.dw_min * float(up + down) / 2.0


@define
class PowStepDevice(WriteNoiseDevice):
    r"""Steps that are a power of the distance to the bound.

    .. math::

        w \leftarrow w + s_\uparrow \left( \frac{M - w}{M - m} \right)^{\gamma_\uparrow}
        (1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow \left( \frac{w - m}{M - m}
        \right)^{\gamma_\downarrow} (1 + \sigma \xi)

    with :math:`\sigma` for `dw_min_std`. The step at weight 0 is not `dw_min`. A device
    whose bounds meet does not move. Each crosspoint draws its exponents once:

    .. math::

        \gamma_\uparrow = \gamma (h + \min(u, 0) + r), \quad
        \gamma_\downarrow = \gamma (h - \max(u, 0) - r), \quad
        h = 1 + \gamma_\mathrm{dtod} \xi, \quad r = u_\mathrm{dtod} \xi

    with ``u`` for `pow_up_down`, and their magnitudes with `enforce_consistency`.

    Parameters
    ----------
    pow_gamma : float
        Mean exponent, 0 or above.
    pow_gamma_dtod : float
        Relative spread of the exponents.
    pow_up_down : float
        One-sided asymmetry, as a fraction of `pow_gamma`: positive values lower the
        exponent of steps down, negative ones that of steps up.
    pow_up_down_dtod : float
        Spread of the asymmetry.

    References
    ----------
    Fusi and Abbott, Nat. Neurosci. 10:485 (2007), doi:10.1038/nn1859; Frascaroli et
    al., Sci. Rep. 8:7178 (2018), doi:10.1038/s41598-018-25376-x, for such steps in
    measured devices.
    """

    kernel: ClassVar[str] = "pow_step"

    pow_gamma: float = real(1.0, low=0, effect=_POWER)
    pow_gamma_dtod: float = real(0.1, effect=_POWER_DTOD)
    pow_up_down: float = real(0.0, effect=_POWER_ASYMMETRY)
    pow_up_down_dtod: float = real(0.0, effect=_POWER_ASYMMETRY_DTOD)

    def weight_granularity(self) -> float:
        """Give the mean step in the middle of the range, which sets pulse rates."""
        return _middle_step(self.dw_min, self.pow_gamma)


@define
class PowStepReferenceDevice(PulsedDevice):
    r"""Steps that are a power of the distance of the weight plus a reference.

    The state is :math:`v = w + r`, with a reference ``r`` that each crosspoint draws
    once as :math:`r_\mathrm{mean} + r_\mathrm{std} \xi`. Pulses move ``v`` as they move
    the weight of PowStepDevice, and ``v`` is clipped to its bounds before and after
    each. All other operations clip ``w`` to the bounds. Exponents are drawn as there.

    Parameters
    ----------
    pow_gamma : float
        Mean exponent, 0 or above.
    pow_gamma_dtod : float
        Relative spread of the exponents.
    pow_up_down : float
        One-sided asymmetry, as a fraction of `pow_gamma`: positive values lower the
        exponent of steps down, negative ones that of steps up.
    pow_up_down_dtod : float
        Spread of the asymmetry.
    subtract_symmetry_point : bool
        Add to the reference the state in which steps up and down are equal, so that
        this is at weight 0. The value after a reset moves by as much.
    n_estimation_steps : int
        That state is where so many pairs of pulses up and down lead from 0; 0 or below:
        where they would lead in the end.
    reference_mean : float
        Mean of the reference, in weight units.
    reference_std : float
        Spread of the reference from device to device, in weight units.

    References
    ----------
    As PowStepDevice; Gokmen and Haensch, Front. Neurosci. 14:103 (2020),
    doi:10.3389/fnins.2020.00103, for the symmetry point.
    """

    kernel: ClassVar[str] = "pow_step_reference"

    pow_gamma: float = real(1.0, low=0, effect=_POWER)
    pow_gamma_dtod: float = real(0.1, effect=_POWER_DTOD)
    pow_up_down: float = real(0.0, effect=_POWER_ASYMMETRY)
    pow_up_down_dtod: float = real(0.0, effect=_POWER_ASYMMETRY_DTOD)
    subtract_symmetry_point: bool = flag(False)
    # Kernels count in float32.
    n_estimation_steps: int = integer(
        -1, high=2**24, effect=Setting(needs=("subtract_symmetry_point",))
    )
    reference_mean: float = real(0.0, effect=_REFERENCE)
    reference_std: float = real(0.0, effect=_REFERENCE_SPREAD)

    def weight_granularity(self) -> float:
        """Give the mean step in the middle of the range, which sets pulse rates."""
        return _middle_step(self.dw_min, self.pow_gamma)


def _middle_step(dw_min: float, gamma: float) -> float:
    return dw_min * float(_EXACT.power(2, -decimal.Decimal(gamma)))


@define
class PiecewiseStepDevice(WriteNoiseDevice):
    r"""Steps that are piecewise linear in the weight, as a table gives them.

    .. math::

        w \leftarrow w + s_\uparrow f_\uparrow(w) (1 + \sigma \xi), \quad
        w \leftarrow w - s_\downarrow f_\downarrow(w) (1 + \sigma \xi)

    with :math:`\sigma` for `dw_min_std`. The nodes of ``f`` are spread evenly over the
    range of each device, the first at its lower bound and the last at its upper one;
    between them ``f`` is linear. One node alone makes the step constant. Nothing is
    drawn beyond what PulsedDevice draws.

    Parameters
    ----------
    piecewise_up, piecewise_down : list of float
        Values of ``f`` at the nodes, equally many in both directions and at most 128,
        in units of the step of the device. They may be 0 or negative, but not the
        middle node up (number n // 2, counted from 0), since `weight_granularity`
        takes it for the mean step.

    Notes
    -----
    Phenomenological: for tables of measured steps.
    """

    kernel: ClassVar[str] = "piecewise_step"

    # As many as the kernel has room for (csrc/devices/piecewise_step.h).
    piecewise_up: list[float] = reals([1.0], most=128, effect=_nodes("piecewise_up"))
    piecewise_down: list[float] = reals(
        [1.0], most=128, effect=_nodes("piecewise_down")
    )

    def validate(self) -> None:
        """Check that both directions have equally many nodes.

        Raises
        ------
        ConfigError
            If they do not, or if a list was changed to something that is not legal.
        """
        up, down = self.piecewise_up, self.piecewise_down
        PiecewiseStepDevice(piecewise_up=up, piecewise_down=down)
        if len(up) != len(down):
            raise ConfigError(
                "PiecewiseStepDevice.piecewise_up and piecewise_down must have equally "
                f"many values, got {len(up)} and {len(down)}"
            )
        super().validate()

    def weight_granularity(self) -> float:
        """Give the mean step up at the middle node, which sets pulse rates."""
        return self.dw_min * self.piecewise_up[len(self.piecewise_up) // 2]


@define
class NumpyDevice(WriteNoiseDevice):
    r"""Base of devices of one's own, whose law is a function of NumPy arrays.

    A subclass gives `pulse`, and `draw` if its crosspoints have parameters of their own.
    All else is as for every pulsed device: pulse trains, random numbers, clipping to the
    bounds after each pulse, write noise, decay, diffusion, reset and drift. It runs on
    CPU tiles, alone at each crosspoint; docs/own_device.md has a complete example.

    Notes
    -----
    Results are the same bits for every machine as long as `pulse` and `draw` keep to
    ``+ - * /``, square roots, comparisons and selection in float32. NumPy's `exp`, `log`
    and `power` differ in their last bits between machines.
    """

    #: Names of the parameters that each crosspoint has besides those of all devices.
    cell_parameters: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Name the kernel of a class that has a law; without one it is only a base."""
        super().__init_subclass__()
        if cls.pulse is not NumpyDevice.pulse:
            cls.kernel = "numpy"

    def draw(self, params: Mapping[str, Floats], draws: Any) -> Mapping[str, Floats]:
        """Draw the parameters of all crosspoints, once, when a tile is built.

        Parameters
        ----------
        params : mapping of str to ndarray of float32, shape (out, in)
            What all pulsed devices have: `max_bound`, `min_bound`, `dwmin_up` and
            `dwmin_down`. Read-only.
        draws : DeviceDraws
            ``draws.normal(k)`` and ``draws.uniform(k)`` give an array of random numbers,
            one for each crosspoint. Use each number ``k`` = 0, 1, ... for one purpose.

        Returns
        -------
        mapping of str to array_like, shape (out, in)
            An entry for each name in `cell_parameters`.
        """
        return {}

    def pulse(
        self, w: Floats, direction: Floats, params: Mapping[str, Floats], noise: Floats
    ) -> Floats:
        """Give the weights after one pulse on each of ``n`` crosspoints.

        The caller clips the result to the bounds.

        Parameters
        ----------
        w : ndarray of float32, shape (n,)
            Weights.
        direction : ndarray of float32, shape (n,)
            1 for a pulse up, -1 for one down.
        params : mapping of str to ndarray of float32, shape (n,)
            `max_bound`, `min_bound`, `dwmin_up`, `dwmin_down`, and those of
            `cell_parameters`. Read-only.
        noise : ndarray of float32, shape (n,)
            `dw_min_std` times a standard normal number of this pulse.

        Returns
        -------
        ndarray, shape (n,)
        """
        raise NotImplementedError(f"{type(self).__name__} must define pulse")

    def validate(self) -> None:
        """Check that the class has a law, and usable names.

        Raises
        ------
        ConfigError
            If `pulse` is missing or `cell_parameters` is no tuple of different names.
        """
        cls, names = type(self), self.cell_parameters
        if not cls.kernel:
            raise ConfigError(
                f"{cls.__name__} is only a base for devices; a device of one's own "
                "subclasses it and defines pulse(w, direction, params, noise)"
            )
        super().validate()
        if (
            not isinstance(names, tuple)
            or not all(isinstance(name, str) and name.isidentifier() for name in names)
            or len(set(names)) < len(names)
        ):
            raise ConfigError(
                f"{cls.__name__}.cell_parameters must be a tuple of different names, "
                f"got {names!r}"
            )


if not TYPE_CHECKING:  # a checker would take every name to be there

    def __getattr__(name: str) -> Any:
        """Find unit cells and compounds here, too, where scripts look for them."""
        from . import compounds

        if name in compounds.__all__:
            return getattr(compounds, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
