r"""Device configurations from measured pulse responses. Needs SciPy: extra ``fit``.

`fit_device` takes what a measurement of single pulses gives, weights (or conductances)
before the first pulse and after each, of one or many cells, and returns the
configuration of a device with the same steps, bounds, spread from cell to cell and
noise from pulse to pulse, with standard errors.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rpupy.configs.devices import (
    ConstantStepDevice,
    DampedStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    PiecewiseStepDevice,
    PowStepDevice,
    PowStepReferenceDevice,
    PulsedDevice,
    SoftBoundsDevice,
    SoftBoundsPmaxDevice,
    SoftBoundsReferenceDevice,
)
from rpupy.parameters.base import thawed_copy
from rpupy.parameters.enums import PmaxMapping
from rpupy.pulse_response import pulse_directions
from rpupy.rpu_base._common import real_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DeviceFit", "FitWarning", "fit_device"]

Array = NDArray[np.float64]
Values = dict[str, Any]

#: What standard deviations are called that every device has.
_NOISES = ("noise", "read")


class FitWarning(UserWarning):
    """Records do not determine a parameter, or the device does not explain them."""


# ---- the laws of the devices ---------------------------------------------------------
#
# A law says which numbers each cell has and which all cells share, how a pulse moves a
# weight, and which fields of the configuration follow. Every cell has `gain` and `tilt`,
# half the sum and half the difference of its steps up and down, and the bounds `high`
# and `low`; the laws add what is their own. In all functions `p` is the configuration
# from which the fit starts, whose switches hold, and `h` the numbers of the cells.


@dataclass(frozen=True)
class Start:
    """Rough numbers from the records."""

    dw: float
    low: float
    high: float

    @property
    def range(self) -> float:
        """Distance of the bounds."""
        return self.high - self.low


@dataclass(frozen=True)
class Population:
    """Means and standard deviations over cells, and what cells share."""

    mean: Values
    std: Values
    shared: Values


@dataclass(frozen=True)
class Law:
    """One device as a regression: what is fitted, and what follows for the fields."""

    #: Mean change of the weight by a pulse, and the size that `dw_min_std` multiplies.
    step: Callable[[Any, Values, Array, bool], tuple[Array, Array]]
    #: Own numbers of each cell, and of all cells together, with values to start from.
    cell: Callable[[Any, Start], Values] = lambda p, start: {}
    shared: Callable[[Any, Start], Values] = lambda p, start: {}
    #: Standard deviations beside that of cycles and that of readings.
    deviations: Callable[[Any, Start], Values] = lambda p, start: {}
    #: Fields beyond those of every pulsed device, and which replace some of those.
    fields: Callable[[Any, Values, Population], Values] = lambda p, common, pop: {}
    #: Whether a wall ends the range; otherwise steps shrink to nothing on the way there.
    hard: bool = True
    #: What is added to the weight to give the state that the bounds limit.
    offset: Callable[[Any, Values], Any] = lambda p, h: 0.0


def _scale(h: Values, up: bool) -> Any:
    return abs(h["gain"] + h["tilt"]) if up else -abs(h["gain"] - h["tilt"])


def _constant_step(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    step = _scale(h, up) + 0.0 * w
    return step, abs(step)


def _sloped(p: Any, h: Values, w: Array, up: bool, slope: Any) -> tuple[Array, Array]:
    scale = _scale(h, up)
    step = scale * (1.0 + slope * w)
    return step, abs(step) if p.mult_noise else abs(scale) + 0.0 * w


def _ahead(p: Any, up: bool, high: Any, low: Any) -> Any:
    """Bound towards which steps shrink."""
    if up:
        return low - p.reverse_offset if p.reverse_up else high
    return high + p.reverse_offset if p.reverse_down else low


def _over(numerator: Any, bound: Any) -> Any:
    """Divide by a bound; towards one at 0, steps do not shrink."""
    return numerator / np.where(bound == 0.0, np.inf, bound)


def _linear_step(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    gamma = h["gamma_up"] if up else h["gamma_down"]
    if p.mean_bound_reference:
        # The mean bounds are not known before the end: here gamma is in 1 over weight.
        bound = math.copysign(1.0, _ahead(p, up, 1.0, -1.0))
    else:
        bound = _ahead(p, up, h["high"], h["low"])
    return _sloped(p, h, w, up, _over(-gamma, bound))


def _linear_cell(p: Any, start: Start) -> Values:
    gamma = 0.2 / start.range if p.mean_bound_reference else 0.2
    return {"gamma_up": gamma, "gamma_down": gamma}


def _linear_fields(p: Any, common: Values, pop: Population) -> Values:
    found = {}
    for name, up in (("gamma_up", True), ("gamma_down", False)):
        mean, std = pop.mean[name], pop.std[name]
        if not p.allow_increasing:
            mean, std = _unfolded(mean, std)
        reference = 1.0
        if p.mean_bound_reference:
            reference = abs(_ahead(p, up, common["w_max"], common["w_min"]))
        found[name] = mean * reference
        found[f"{name}_dtod"] = std * reference
    return found


def _soft_bounds(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    bound = _ahead(p, up, h["high"], h["low"])
    return _sloped(p, h, w, up, _over(-1.0, bound))


def _pmax_fields(p: Any, common: Values, pop: Population) -> Values:
    # The inverse of SoftBoundsPmaxDevice.resolved.
    low, high = common.pop("w_min"), common.pop("w_max")
    dw_min, up_down = common.pop("dw_min"), common.pop("up_down")
    reach = high - low
    if p.mapping is PmaxMapping.REFERENCE:
        alpha = dw_min / reach
    else:
        alpha = dw_min * (1.0 + min(up_down, 0.0)) / high
    left = math.exp(-p.p_max * alpha)
    if p.mapping is PmaxMapping.BOTH_CURVES:
        reach /= 1.0 + left
        low = high - reach
    return {
        "alpha": alpha,
        "range_min": low,
        "range_max": low + reach * (1.0 - left),
    }


def _reference_of_soft_bounds(p: Any, h: Values) -> Any:
    if not p.subtract_symmetry_point:
        return p.reference_mean
    up, down = _scale(h, True), -_scale(h, False)
    return p.reference_mean + (up - down) / (up / h["high"] - down / h["low"])


def _soft_bounds_reference(
    p: Any, h: Values, w: Array, up: bool
) -> tuple[Array, Array]:
    scale = _scale(h, up)
    step = scale * (1.0 - (w + h["offset"]) / h["high" if up else "low"])
    return step, abs(step) if p.mult_noise else abs(scale) + 0.0 * w


def _steepest(p: Any, up: bool) -> float:
    """Exponent at the end of the range where the exponential term is largest."""
    return float(p.b + abs(p.a) if up else p.b - abs(p.a))


def _exp_step(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    z = 2.0 * p.a * w / (h["high"] - h["low"]) + p.b - _steepest(p, up)
    # The size at the end of the range and the steepness are nearly independent, while
    # A, the size at z = 0, is far outside of what is seen.
    if up:
        shrunk = h["A_up"] * np.exp(np.clip(h["gamma_up"] * z, -300.0, 300.0))
    else:
        shrunk = h["A_down"] * np.exp(np.clip(-h["gamma_down"] * z, -300.0, 300.0))
    step = np.maximum(1.0 - shrunk, 0.0) * _scale(h, up)
    size = abs(step) + h.get("dw_min_std_add", 0.0)
    return step, size + h.get("dw_min_std_slope", 0.0) * abs(w)


def _exp_shared(p: Any, start: Start) -> Values:
    return {
        "A_up": p.A_up * math.exp(p.gamma_up * _steepest(p, True)),
        "A_down": p.A_down * math.exp(-p.gamma_down * _steepest(p, False)),
        "gamma_up": p.gamma_up,
        "gamma_down": p.gamma_down,
    }


def _exp_fields(p: Any, common: Values, pop: Population) -> Values:
    found = _shared_fields(p, common, pop)
    for way, up, sign in (("up", True, -1.0), ("down", False, 1.0)):
        # What no record determines can be far off, but stays a number.
        power = min(sign * found[f"gamma_{way}"] * _steepest(p, up), 700.0)
        found[f"A_{way}"] *= math.exp(power)
    return found


def _exp_deviations(p: Any, start: Start) -> Values:
    # Where neither is set, the noise is another one: relative to the step alone.
    names = ("dw_min_std_add", "dw_min_std_slope")
    return {name: abs(getattr(p, name)) for name in names if getattr(p, name)}


def _shared_fields(p: Any, common: Values, pop: Population) -> Values:
    return {name: pop.shared[name] for name in pop.shared if name not in _NOISES}


def _damped_step(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    # The step in the middle of the range and the damping are nearly independent; the
    # step at the bound behind, which is the field, is not.
    damping = h["damping_up"] if up else -h["damping_down"]
    part = (w - 0.5 * (h["low"] + h["high"])) / (h["high"] - h["low"])
    step = _scale(h, up) * np.exp(np.clip(-damping * part, -300.0, 300.0))
    return step, abs(step)


def _damped_cell(p: Any, start: Start) -> Values:
    return {"damping_up": p.beta_up, "damping_down": p.beta_down}


def _damped_fields(p: Any, common: Values, pop: Population) -> Values:
    mean, std = dict(pop.mean), dict(pop.std)
    found = {}
    # To first order, the spread of damping moves half of itself in the logarithm of the
    # step in the middle, so a quarter of it in each of gain and tilt.
    moved = 0.0
    for way in ("up", "down"):
        damping, spread = mean[f"damping_{way}"], std[f"damping_{way}"]
        found[f"beta_{way}"] = damping
        found[f"beta_{way}_dtod"] = spread / abs(damping) if damping else 0.0
        moved += (0.25 * spread * mean["gain"]) ** 2
    up = (mean["gain"] + mean["tilt"]) * math.exp(0.5 * mean["damping_up"])
    down = (mean["gain"] - mean["tilt"]) * math.exp(0.5 * mean["damping_down"])
    grown = 0.5 * (up + down) / mean["gain"]
    mean["gain"], mean["tilt"] = 0.5 * (up + down), 0.5 * (up - down)
    for name in ("gain", "tilt"):
        std[name] = grown * math.sqrt(max(std[name] ** 2 - moved, 0.0))
    steps = _common_fields(p, replace(pop, mean=mean, std=std))
    return steps | found


def _powers(p: Any, h: Values, v: Array, up: bool) -> tuple[Array, Array]:
    left = h["high"] - v if up else v - h["low"]
    part = np.clip(left / (h["high"] - h["low"]), 1e-12, None)
    way = 1.0 if up else -1.0
    step = _scale(h, up) * part ** (h["pow_gain"] + way * h["pow_tilt"])
    return step, abs(step)


def _pow_step(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    return _powers(p, h, w, up)


def _pow_step_reference(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    return _powers(p, h, w + h["offset"], up)


def _reference_of_powers(p: Any, h: Values) -> Any:
    if not p.subtract_symmetry_point:
        return p.reference_mean
    if p.n_estimation_steps > 0:
        point = 0.0 * h["high"]
        for _ in range(p.n_estimation_steps):
            up, down = _powers(p, h, point, True)[0], _powers(p, h, point, False)[0]
            point = point + up + down
    else:
        low, high = h["low"] + 0.0, h["high"] + 0.0
        for _ in range(50):
            point = 0.5 * (low + high)
            up, down = _powers(p, h, point, True)[0], _powers(p, h, point, False)[0]
            low = np.where(up + down > 0.0, point, low)
            high = np.where(up + down > 0.0, high, point)
    return p.reference_mean + point


def _pow_cell(p: Any, start: Start) -> Values:
    return {"pow_gain": p.pow_gamma, "pow_tilt": 0.0}


def _pow_fields(p: Any, common: Values, pop: Population) -> Values:
    size, spread, asymmetry, own = _one_sided(
        pop.mean["pow_gain"],
        pop.std["pow_gain"],
        pop.mean["pow_tilt"],
        pop.std["pow_tilt"],
        log_normal=False,
    )
    return {
        "pow_gamma": size,
        "pow_gamma_dtod": spread,
        "pow_up_down": asymmetry,
        "pow_up_down_dtod": own,
    }


def _nodes(p: Any, h: Values, up: bool) -> Any:
    way = "up" if up else "down"
    count = len(p.piecewise_up)
    fixed = getattr(p, f"piecewise_{way}")[count // 2]
    # The node in the middle is the unit of the others: with it free, all nodes and
    # dw_min could be scaled against each other.
    return [
        fixed if k == count // 2 else h[f"piecewise_{way}[{k}]"] for k in range(count)
    ]


def _piecewise_step(p: Any, h: Values, w: Array, up: bool) -> tuple[Array, Array]:
    nodes = _nodes(p, h, up)
    last = len(nodes) - 1
    where = np.clip((w - h["low"]) / (h["high"] - h["low"]) * last, 0.0, last)
    # Hat functions: 1 at their own node and 0 at all others.
    factor = sum(
        value * np.maximum(1.0 - abs(where - k), 0.0) for k, value in enumerate(nodes)
    )
    step = _scale(h, up) * factor
    return step, abs(step)


def _piecewise_shared(p: Any, start: Start) -> Values:
    count = len(p.piecewise_up)
    return {
        f"piecewise_{way}[{k}]": getattr(p, f"piecewise_{way}")[k]
        for way in ("up", "down")
        for k in range(count)
        if k != count // 2
    }


#: The law of each device; subclasses, such as presets, have that of their base.
LAWS: dict[type[PulsedDevice], Law] = {
    ConstantStepDevice: Law(_constant_step),
    LinearStepDevice: Law(_linear_step, cell=_linear_cell, fields=_linear_fields),
    SoftBoundsDevice: Law(_soft_bounds, hard=False),
    SoftBoundsPmaxDevice: Law(_soft_bounds, fields=_pmax_fields, hard=False),
    SoftBoundsReferenceDevice: Law(
        _soft_bounds_reference, hard=False, offset=_reference_of_soft_bounds
    ),
    ExpStepDevice: Law(
        _exp_step,
        shared=_exp_shared,
        deviations=_exp_deviations,
        fields=_exp_fields,
    ),
    DampedStepDevice: Law(_damped_step, cell=_damped_cell, fields=_damped_fields),
    PowStepDevice: Law(_pow_step, cell=_pow_cell, fields=_pow_fields, hard=False),
    PowStepReferenceDevice: Law(
        _pow_step_reference,
        cell=_pow_cell,
        fields=_pow_fields,
        hard=False,
        offset=_reference_of_powers,
    ),
    PiecewiseStepDevice: Law(
        _piecewise_step, shared=_piecewise_shared, fields=_shared_fields
    ),
}


def law_of(device_class: type) -> Law | None:
    """Find the law of a device, or of the nearest of its bases that has one."""
    return next((LAWS[cls] for cls in device_class.__mro__ if cls in LAWS), None)


# ---- from the population to fields ---------------------------------------------------


def _one_sided(
    gain: float, gain_std: float, tilt: float, tilt_std: float, log_normal: bool
) -> tuple[float, float, float, float]:
    """Return size, spread, asymmetry and its spread from ``gain + tilt, gain - tilt``.

    The larger direction is the size, and the asymmetry takes from the other one.
    """
    size = max(gain + tilt, gain - tilt)
    spread = gain_std / size
    if log_normal:
        # The gain is exp(spread * xi): its mean exceeds its median.
        spread = math.sqrt(math.log1p(spread**2))
        size *= math.exp(-0.5 * spread**2)
    return size, spread, 2.0 * tilt / size, tilt_std / size


def _unfolded(mean: float, std: float) -> tuple[float, float]:
    """Return mean and spread of a normal law whose magnitude has these moments."""
    if std <= 0.0 or mean > 6.0 * std:
        return mean, std
    second = mean**2 + std**2
    low, high = 0.0, math.sqrt(second)
    # The mean of the magnitude grows with that of the normal number.
    for _ in range(60):
        mu = 0.5 * (low + high)
        s = math.sqrt(max(second - mu**2, 1e-300))
        folded = s * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * (mu / s) ** 2)
        folded += mu * math.erf(mu / (s * math.sqrt(2.0)))
        low, high = (mu, high) if folded < mean else (low, mu)
    return mu, math.sqrt(max(second - mu**2, 0.0))


def _common_fields(p: Any, pop: Population) -> Values:
    mean, std = pop.mean, pop.std
    size, spread, asymmetry, own = _one_sided(
        mean["gain"], std["gain"], mean["tilt"], std["tilt"], p.dw_min_dtod_log_normal
    )
    found = {
        "dw_min": size,
        "dw_min_dtod": spread,
        "up_down": asymmetry,
        "up_down_dtod": own,
        "dw_min_std": pop.shared["noise"],
    }
    for name, bound, sign in (("w_max", "high", 1.0), ("w_min", "low", -1.0)):
        value, width = sign * mean[bound], std[bound]
        if p.enforce_consistency:
            value, width = _unfolded(value, width)
        found[name] = sign * value
        found[f"{name}_dtod"] = width / value if value else 0.0
    if p.supports_write_noise:
        found["write_noise_std"] = pop.shared["read"] / size
    return found


# ---- the likelihood of records -------------------------------------------------------


@dataclass
class _Records:
    """Weights (n + 1, cells), and what the law needs to predict them."""

    law: Law
    device: Any
    pulses: NDArray[np.int8]
    weights: Array
    cell_names: tuple[str, ...]
    #: Shared numbers that steps depend on, then standard deviations, as logarithms.
    shared_names: tuple[str, ...]
    deviation_names: tuple[str, ...]
    #: Sizes that numbers of cells and shared numbers are given in.
    cell_units: Array
    shared_units: Array
    #: Smallest standard deviation, in weight units, that is told from 0.
    floor: float

    @property
    def least(self) -> Array:
        """Logarithms of standard deviations that are as good as none."""
        of = {"noise": 0.1 * self.floor / self.cell_units[0], "read": 0.1 * self.floor}
        return np.log([of.get(name, self.floor) for name in self.deviation_names])

    def values(self, cells: Array, shared: Array, deviations: Array) -> Values:
        """Name the numbers: arrays of shape (P, ...), (Q, ...) and (R, ...)."""
        named = dict(zip(self.deviation_names, np.exp(deviations), strict=True))
        for names, numbers, units in (
            (self.cell_names, cells, self.cell_units),
            (self.shared_names, shared, self.shared_units),
        ):
            for name, number, unit in zip(names, numbers, units, strict=True):
                named[name] = number * unit
        return named

    def predict(
        self, cells: Array, shared: Array, deviations: Array
    ) -> tuple[Array, Array, Array]:
        """Predict each weight from all readings before it.

        Parameters
        ----------
        cells, shared, deviations : ndarray
            Numbers, of shapes (P, batch, cells), (Q, batch, 1) and (R, batch, 1).

        Returns
        -------
        means : ndarray, shape (n, batch, cells)
        variances : ndarray, shape (n, batch, cells)
            As they would be without bounds.
        inside : ndarray of bool, shape (n, batch, cells)
            Where bounds play no role.

        Notes
        -----
        The extended Kalman filter of weights that read errors hide; without such
        errors, predictions from the last reading alone.
        """
        h = self.values(cells, shared, deviations)
        h["offset"] = self.law.offset(self.device, h)
        low, high = h["low"] - h["offset"], h["high"] - h["offset"]
        h["walls"] = np.minimum(low, high), np.maximum(low, high)
        n, batch = len(self.pulses), np.broadcast_shapes(low.shape, h["noise"].shape)
        means, variances = np.empty((n, *batch)), np.empty((n, *batch))
        inside = np.empty((n, *batch), dtype=bool)
        if not (h["read"] > self.floor).any() and np.isfinite(self.weights).all():
            for way in (1, -1):
                chosen = self.pulses == way
                states = np.broadcast_to(
                    self.weights[:-1][chosen][:, None], (chosen.sum(), *batch)
                )
                mean, variance, clear, _ = self._ahead(h, states, 0.0, way > 0)
                means[chosen], variances[chosen], inside[chosen] = mean, variance, clear
            return means, variances + self.floor**2, inside
        read = h["read"] ** 2 + self.floor**2
        state = np.broadcast_to(self.weights[0], batch).copy()
        spread: Any = np.broadcast_to(read, batch)
        for t, pulse in enumerate(self.pulses):
            mean, variance, inside[t], left = self._ahead(h, state, spread, pulse > 0)
            means[t], variances[t] = mean, variance + read
            error = self.weights[t + 1] - mean
            seen = np.isfinite(error)
            gain = np.where(seen, left / (left + read), 0.0)
            state = mean + gain * np.where(seen, error, 0.0)
            spread = left * (1.0 - gain)
        return means, variances, inside

    def _ahead(
        self, h: Values, state: Array, spread: Any, up: bool
    ) -> tuple[Array, Array, NDArray[np.bool_], Array]:
        """Carry mean and variance of the weight through one pulse.

        Returns the mean, the variance without bounds, whether bounds play no role, and
        the variance with them.
        """
        step, size = self.law.step(self.device, h, state, up)
        # Where steps almost vanish, noise that is relative to them does too: such
        # pulses would have nearly all the weight, and rest on the law alone.
        least = 0.03 * abs(_scale(h, up))
        variance = (h["noise"] * np.maximum(size, least)) ** 2 + self.floor**2
        if np.any(spread):
            small = 1e-6 * (self.cell_units[2] + self.cell_units[3])
            further, _ = self.law.step(self.device, h, state + small, up)
            variance = variance + spread * (1.0 + (further - step) / small) ** 2
        low, high = h["walls"]
        ahead = state + step
        std = np.sqrt(variance)
        below, above = (low - ahead) / std, (ahead - high) / std
        inside = (np.maximum(below, above) < -3.0) & (size > least)
        mean, left = _clipped(ahead, std, below, above)
        return mean, variance, inside, left


def _clipped(
    mean: Array, std: Array, below: Array, above: Array
) -> tuple[Array, Array]:
    """Return mean and variance of a normal number that bounds limit.

    `below` and `above` say how far the mean is beyond the lower and the upper bound, in
    standard deviations.
    """
    from scipy.special import ndtr

    variance = std**2
    near = (below > -8.0) | (above > -8.0)
    if not near.any():
        return mean, variance
    mean = mean.copy()
    std = std[near]
    # Beyond 40 standard deviations densities are 0.
    low, high = np.clip(below[near], -40, 40), np.clip(-above[near], -40, 40)
    at_low, at_high = ndtr(low), ndtr(-high)
    density_low = np.exp(-0.5 * low**2) / math.sqrt(2.0 * math.pi)
    density_high = np.exp(-0.5 * high**2) / math.sqrt(2.0 * math.pi)
    low_at, high_at = below[near], -above[near]
    shift = low_at * at_low + high_at * at_high + density_low - density_high
    second = low_at**2 * at_low + high_at**2 * at_high + 1.0 - at_low - at_high
    second += low * density_low - high * density_high
    mean[near] += std * shift
    variance[near] = std**2 * np.maximum(second - shift**2, 1e-12)
    return mean, variance


@dataclass
class _Terms:
    """Residuals and their derivatives at one point."""

    errors: Array  # (n, cells), 0 where there is no reading
    seen: NDArray[np.bool_]  # (n, cells)
    variances: Array  # (n, cells)
    cell_slope: Array  # (cells, P)
    cell_information: Array  # (cells, P, P)
    mixed: Array  # (cells, P, Q)
    shared_slopes: Array  # (cells, Q)
    shared_information: Array  # (cells, Q, Q)
    deviation_slopes: Array  # (cells, R)
    deviation_information: Array  # (cells, R, R)

    def with_cells_of(self, other: _Terms, chosen: NDArray[np.bool_]) -> _Terms:
        """Take over some cells from another point."""
        mixed = {}
        for item in fields(self):
            ours, theirs = getattr(self, item.name), getattr(other, item.name)
            by_pulse = item.name in ("errors", "seen", "variances")
            where = chosen if by_pulse else chosen.reshape(-1, *[1] * (ours.ndim - 1))
            mixed[item.name] = np.where(where, theirs, ours)
        return _Terms(**mixed)

    def squares(self, variances: Array) -> Array:
        """Return half the weighted sum of squares of each cell."""
        return np.asarray(0.5 * (self.errors**2 / variances).sum(axis=0))


def _terms(records: _Records, cells: Array, shared: Array, deviations: Array) -> _Terms:
    """Evaluate at `cells` (P, C), `shared` (Q,) and `deviations` (R,)."""
    delta = 1e-5
    parts, common, devs = len(cells), len(shared), len(deviations)
    many = 1 + parts + common + devs
    point = [
        np.repeat(cells[:, None], many, axis=1),
        np.repeat(shared[:, None], many, axis=1)[:, :, None],
        np.repeat(deviations[:, None], many, axis=1)[:, :, None],
    ]
    k = 1
    for numbers in point:
        for number in numbers:
            number[k] += delta
            k += 1
    means, variances, inside = records.predict(*point)
    mean, variance = means[:, 0], variances[:, 0]
    error = records.weights[1:] - mean
    seen = np.isfinite(error)
    error = np.where(seen, error, 0.0)
    root = np.where(seen, 1.0 / np.sqrt(variance), 0.0)
    first = 1 + parts + common
    slopes = (means[:, 1:first] - mean[:, None]) / delta * root[:, None]
    z = error * root
    information = np.einsum("tkc,tlc->ckl", slopes, slopes, optimize=True)
    slope = np.einsum("tkc,tc->ck", slopes, z)
    own = information[:, :parts, :parts]
    # Numbers fitted to each cell make its residuals smaller than errors are. Their
    # leverage makes up for that, as in restricted maximum likelihood.
    scale = np.einsum("ckk->c", own)[:, None, None] / parts + 1e-300
    cover = np.linalg.inv(own + 1e-8 * scale * np.eye(parts))
    leverage = np.einsum(
        "tkc,ckl,tlc->tc", slopes[:, :parts], cover, slopes[:, :parts], optimize=True
    )
    # Residuals near a bound say nothing of the noise.
    used = seen & inside[:, 0]
    of_variance = (variances[:, first:] / variance[:, None] - 1.0) / delta
    of_variance *= used[:, None]
    # Five standard deviations are not noise, but a bad guess of the step.
    excess = np.minimum(z**2, 25.0) - 1.0 + np.minimum(leverage, 1.0)
    return _Terms(
        errors=error,
        seen=seen,
        variances=variance,
        cell_slope=slope[:, :parts],
        cell_information=own,
        mixed=information[:, :parts, parts:],
        shared_slopes=slope[:, parts:],
        shared_information=information[:, parts:, parts:],
        deviation_slopes=0.5 * np.einsum("tkc,tc->ck", of_variance, excess),
        deviation_information=0.5
        * np.einsum("tkc,tlc->ckl", of_variance, of_variance, optimize=True),
    )


@dataclass
class _Estimate:
    """Numbers of all cells and shared ones, their population and their errors."""

    cells: Array  # (P, C), in units
    shared: Array  # (Q,), in units
    deviations: Array  # (R,), logarithms
    mean: Array  # (P,)
    variance: Array  # (P,)
    terms: _Terms
    cover: Array  # (C, P, P): covariance of the errors of each cell
    shared_cover: Array  # (Q, Q)
    deviation_cover: Array  # (R, R)
    least: Array  # (R,): values that are as good as none
    free: NDArray[np.bool_]  # (R,)
    converged: bool = False

    def update_covers(self, damping: Any = 0.0, shared_damping: float = 0.0) -> Array:
        """Compute the covariances; return how cells follow shared numbers (C, P, Q)."""
        terms, parts = self.terms, len(self.mean)
        own = terms.cell_information + np.diag(1.0 / self.variance)
        diagonal = np.einsum("ckk->ck", own)[:, None, :] * np.eye(parts)
        own = own + np.reshape(damping, (-1, 1, 1)) * diagonal
        self.cover = np.linalg.inv(own)
        across = np.einsum("ckl,clq->ckq", self.cover, terms.mixed)
        total = terms.shared_information.sum(axis=0) - np.einsum(
            "ckq,ckr->qr", terms.mixed, across
        )
        self.shared_cover = _inverse(total, shared_damping)
        self.deviation_cover = _inverse(
            np.where(
                np.outer(self.free, self.free),
                terms.deviation_information.sum(axis=0),
                0.0,
            )
            + np.diag(~self.free * 1.0)
        )
        return across

    def step(self, damping: Array, shared_damping: float) -> tuple[Array, Array, Array]:
        """Propose changes of cells, shared numbers and deviations."""
        across = self.update_covers(damping, shared_damping)
        slope = self.terms.cell_slope - self.pull()
        of_shared = self.terms.shared_slopes - np.einsum("ckq,ck->cq", across, slope)
        shared = self.shared_cover @ of_shared.sum(axis=0)
        cells = np.einsum("ckl,cl->kc", self.cover, slope)
        cells -= np.einsum("ckq,q->kc", across, shared)
        deviations = self.deviation_cover @ self.terms.deviation_slopes.sum(axis=0)
        stays = ~self.free | ((self.deviations <= self.least) & (deviations < 0.0))
        return cells, shared, np.where(stays, 0.0, np.clip(deviations, -1.0, 1.0))

    @property
    def standardised(self) -> Array:
        """Residuals over their standard deviations; NaN where there is no reading."""
        z = self.terms.errors / np.sqrt(self.terms.variances)
        return np.where(self.terms.seen, z, np.nan)

    def pull(self) -> Array:
        """Return the slope by which the population holds each cell, (C, P)."""
        return np.asarray(((self.cells - self.mean[:, None]).T) / self.variance)

    def loss(self, variances: Array) -> Array:
        """Return the weighted squares of each cell, those of its numbers included."""
        around = (self.cells - self.mean[:, None]) ** 2 / self.variance[:, None]
        return self.terms.squares(variances) + 0.5 * around.sum(axis=0)


def _inverse(information: Array, damping: float = 0.0) -> Array:
    if information.size == 0:
        return information
    diagonal = np.maximum(np.diag(information), 1e-12)
    inverse: Any = np.linalg.inv(information + np.diag((damping + 1e-9) * diagonal))
    return inverse


def _estimate(
    records: _Records,
    cells: Array,
    shared: Array,
    deviations: Array,
    variance: Array,
    free: NDArray[np.bool_],
    max_iterations: int = 100,
) -> _Estimate:
    """Fit cells, what they share, and the population that they come from.

    Least squares by damped Gauss-Newton steps, weighted with variances that follow from
    the residuals; once it has settled, the population is updated along with it.
    """
    count = cells.shape[1]
    empty = np.empty(0)
    now = _Estimate(
        cells=cells,
        shared=shared,
        deviations=deviations,
        mean=cells.mean(axis=1),
        variance=variance,
        terms=_terms(records, cells, shared, deviations),
        cover=empty,
        shared_cover=empty,
        deviation_cover=empty,
        least=records.least,
        free=free,
    )
    damping, shared_damping = np.full(count, 1e-3), 1e-3
    least = np.zeros(count)
    # A wall that jumps past the end of a record would be lost sight of.
    wall = 0.1 if records.law.hard else 0.5
    reach = np.array(
        [wall if name in ("high", "low") else 0.5 for name in records.cell_names]
    )[:, None]
    settled = False
    # With read noise, predictions depend on the deviations too: these then take turns
    # with the rest, so that it can be told which step was at fault.
    in_turns = bool(free[records.deviation_names.index("read")])
    for turn in range(max_iterations):
        # Until all is near, every other step leaves the shared numbers alone, so that
        # each cell can be judged by its own step.
        round_ = turn // 2 if in_turns else turn
        together = len(shared) > 0 and not settled and round_ % 2 == 1
        alone = len(shared) > 0 and not settled and not together
        step, shared_step, deviation_step = now.step(
            damping, 1e12 if alone else shared_damping
        )
        moves = abs(step / np.sqrt(np.einsum("ckk->kc", now.cover))).max(axis=0)
        shared_moves = np.concatenate(
            [
                abs(shared_step) / np.sqrt(np.diag(now.shared_cover)),
                abs(deviation_step) / np.sqrt(np.diag(now.deviation_cover)),
            ]
        )
        if in_turns and turn % 2:
            now.deviations = np.maximum(now.deviations + deviation_step, now.least)
            now.terms = _terms(records, now.cells, now.shared, now.deviations)
            continue
        if in_turns:
            deviation_step = np.zeros_like(deviation_step)
        # No step leaves the region in which the derivatives mean something.
        new = replace(
            now,
            cells=now.cells + np.clip(step, -reach, reach),
            shared=now.shared + np.clip(shared_step, -0.5, 0.5),
            deviations=np.maximum(now.deviations + deviation_step, now.least),
        )
        new.terms = _terms(records, new.cells, new.shared, new.deviations)
        before, after = (fit.loss(now.terms.variances) for fit in (now, new))
        if together and after.sum() > before.sum() * (1.0 + 1e-9):
            shared_damping *= 10.0
            now.deviations = new.deviations
            now.terms = _terms(records, now.cells, now.shared, now.deviations)
            continue
        # A cell that lost by its step goes back: a bound that it hardly touched.
        worse = (after > before * (1.0 + 1e-9)) & (moves > 0.02) & (not together)
        new.cells = np.where(worse, now.cells, new.cells)
        new.terms = new.terms.with_cells_of(now.terms, worse)
        least = np.where(worse, 2.0 * damping, 0.8 * least)
        damping = np.where(
            worse, np.maximum(10.0 * damping, 0.1), np.maximum(0.2 * damping, least)
        )
        damping = np.clip(damping, 1e-7, 1e4)
        if together or settled:
            shared_damping = 0.0 if settled else 0.2 * shared_damping
        if settled:
            new.update_covers()
            new.mean, new.variance = _population(new, now.variance)
            # What is reported has to stand still, to a small part of its error.
            error = np.sqrt(now.variance / count)
            moved = abs(new.mean - now.mean) / error
            shifted = abs(np.log(new.variance / now.variance)) * math.sqrt(count / 2)
            now = new
            if (
                max(moved.max(), shifted.max(), shared_moves.max()) < 0.1
                and np.quantile(moves, 0.8) < 0.1
            ):
                now.converged = True
                break
        else:
            large = max(np.quantile(moves, 0.9), shared_moves.max())
            settled = large < 1.0 and not alone
            new.mean = new.cells.mean(axis=1)
            now = new
    now.update_covers()
    return now


def _population(fit: _Estimate, variance: Array) -> tuple[Array, Array]:
    """Update means and variances over cells.

    The variance is that of the estimates plus the mean square of their errors, both as
    they are with the present variance. What this sum is off by grows with the square of
    the reliability of each cell, hence the division (Newton's method).
    """
    count = fit.cells.shape[1]
    mean = fit.cells.mean(axis=1)
    if count == 1:
        return mean, variance
    errors = np.einsum("ckk->k", fit.cover) / count
    around = ((fit.cells - mean[:, None]) ** 2).sum(axis=1) / (count - 1)
    part = _reliability(fit.cover, variance)
    squared = np.maximum((part**2).mean(axis=0), 1e-3)
    new = variance + 0.7 * (around + errors - variance) / squared
    # A spread below a tenth of the error of one cell is as good as none.
    least = np.where(part.mean(axis=0) < 0.01, variance, 0.4 * variance)
    return mean, np.clip(new, np.maximum(least, 1e-12), 2.5 * variance)


def _reliability(cover: Array, variance: Array) -> Array:
    """Return which part of the distance from the mean each cell shows, (C, P)."""
    own = np.einsum("ckk->ck", cover)
    return np.asarray(np.clip(1.0 - own / variance, 1e-6, 1.0))


# ---- fields and their errors ---------------------------------------------------------


def _fields(
    records: _Records, mean: Array, variance: Array, shared: Array, deviations: Array
) -> dict[str, float]:
    """Turn a population into fields of the configuration."""
    std = np.sqrt(np.maximum(variance, 0.0)) * records.cell_units
    named = records.values(mean, shared, deviations)
    named = {name: float(value) for name, value in named.items()}
    pop = Population(
        mean={name: named[name] for name in records.cell_names},
        std=dict(zip(records.cell_names, std.tolist(), strict=True)),
        shared={
            name: named[name] for name in records.shared_names + records.deviation_names
        },
    )
    found = _common_fields(records.device, pop)
    return found | records.law.fields(records.device, found, pop)


def _all_fields(
    records: _Records, fit: _Estimate
) -> tuple[dict[str, float], dict[str, float]]:
    """Return all fields, and their standard errors."""
    count = fit.cells.shape[1]
    # One cell says nothing of a spread.
    variance = fit.variance if count > 1 else np.zeros_like(fit.variance)
    best = _fields(records, fit.mean, variance, fit.shared, fit.deviations)
    if count == 1:
        return best, _errors_of_one_cell(records, fit, best)
    # Jackknife over cells: with the first-order change of the estimate where one cell is
    # left out, instead of a new fit.
    reliability = _reliability(fit.cover, fit.variance)
    part = reliability.mean(axis=0)[:, None]
    squared = (reliability**2).mean(axis=0)[:, None]
    around = fit.cells - fit.mean[:, None]
    squares = around**2 * count / (count - 1) + np.einsum("ckk->kc", fit.cover)
    excess = squares - squares.mean(axis=1, keepdims=True)
    across = np.einsum("ckl,clq->ckq", fit.cover, fit.terms.mixed)
    pulls = fit.terms.shared_slopes - np.einsum(
        "ckq,ck->cq", across, fit.terms.cell_slope - fit.pull()
    )
    shared = -pulls @ fit.shared_cover
    slopes = fit.terms.deviation_slopes
    deviations = -slopes @ fit.deviation_cover * fit.free
    means = -around / ((count - 1) * part) - across.mean(axis=0) @ shared.T / part
    variances = -excess / ((count - 1) * squared)
    without = [
        _fields(
            records,
            fit.mean + means[:, c],
            fit.variance + variances[:, c],
            fit.shared + shared[c],
            fit.deviations + deviations[c],
        )
        for c in range(count)
    ]
    found = {}
    for name in best:
        values = np.array([one[name] for one in without])
        spread = float(((values - values.mean()) ** 2).sum())
        found[name] = math.sqrt(spread * (count - 1) / count)
        if _is_spread(name):
            # A spread that came out small by chance has a small error by the same
            # chance: at least that of a normal law is taken.
            least = abs(best[name]) / math.sqrt(2.0 * (count - 1))
            found[name] = max(found[name], least)
    return best, found


def _errors_of_one_cell(
    records: _Records, fit: _Estimate, best: dict[str, float]
) -> dict[str, float]:
    terms, sizes = fit.terms, (len(fit.mean), len(fit.shared), len(fit.deviations))
    first, second = sizes[0], sizes[0] + sizes[1]
    information = np.diag(
        np.concatenate([1.0 / fit.variance, np.full(sizes[1] + sizes[2], 1e-9)])
    )
    information[:first, :first] += terms.cell_information[0]
    information[:first, first:second] = terms.mixed[0]
    information[first:second, :first] = terms.mixed[0].T
    information[first:second, first:second] += terms.shared_information[0]
    information[second:, second:] = np.linalg.inv(fit.deviation_cover)
    cover = np.linalg.inv(information)
    point = np.concatenate([fit.mean, fit.shared, fit.deviations])
    slopes = {name: np.zeros(len(point)) for name in best}
    for k in range(len(point)):
        moved = point.copy()
        moved[k] += 1e-6
        fields = _fields(
            records,
            moved[:first],
            np.zeros(first),
            moved[first:second],
            moved[second:],
        )
        for name in best:
            slopes[name][k] = (fields[name] - best[name]) / 1e-6
    return {
        name: math.sqrt(max(float(slope @ cover @ slope), 0.0))
        for name, slope in slopes.items()
    }


# ---- results -------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class DeviceFit:
    """What `fit_device` found.

    Attributes
    ----------
    config : PulsedDevice
        The device, with every field that the records determine set to its estimate.
    standard_errors : dict of str to float
        Standard error of each fitted field. With several cells they come from the
        differences between cells (jackknife), so that they hold for the population that
        the cells were taken from; with one cell they are those of this cell.
    not_determined : tuple of str
        Fields that the records say nothing of; they have the values of the start.
    read_noise : float
        Standard deviation of the errors of single readings, in weight units; 0 if none
        is seen. In `config` it is ``write_noise_std * dw_min``, if the device has that.
    read_noise_error : float
        Its standard error.
    cells : dict of str to ndarray, shape (cells,)
        Estimates for each cell: ``step_up`` and ``step_down`` at weight 0, ``w_max``,
        ``w_min``, and what the device has besides.
    pulses : ndarray of int8, shape (n,)
    weights : ndarray, shape (cells, n + 1)
        The records, in weight units; NaN where a reading is missing.
    residuals : ndarray, shape (cells, n)
        Weight after each pulse minus its prediction from all readings before, in weight
        units.
    standardised_residuals : ndarray, shape (cells, n)
        The same over their predicted standard deviation.
    stuck : ndarray of bool, shape (all cells,)
        Cells that did not move and were left out.
    misfit : float
        Largest mean of the standardised residuals in a tenth of the weights, for pulses
        up or down; near 0 where the device explains the records.
    misfit_probability : float
        How probable larger means are by chance.
    """

    config: PulsedDevice
    standard_errors: dict[str, float]
    not_determined: tuple[str, ...]
    read_noise: float
    read_noise_error: float
    cells: dict[str, Array]
    pulses: NDArray[np.int8]
    weights: Array
    residuals: Array
    standardised_residuals: Array
    stuck: NDArray[np.bool_]
    misfit: float
    misfit_probability: float

    def __repr__(self) -> str:
        """Give the fields with their standard errors as a table."""
        count, pulses = self.residuals.shape
        lines = [
            f"{type(self.config).__name__} fitted to {count} cell"
            f"{'' if count == 1 else 's'}, {pulses} pulses each"
        ]
        for name, error in self.standard_errors.items():
            value = _value(self.config, name)
            lines.append(f"  {name:<20} {value:>12.5g} +- {error:.2g}")
        lines.append(
            f"  {'(read noise)':<20} {self.read_noise:>12.5g}"
            f" +- {self.read_noise_error:.2g}"
        )
        if self.stuck.any():
            lines.append(f"  stuck cells left out: {int(self.stuck.sum())}")
        if self.not_determined:
            lines.append(f"  not determined: {', '.join(self.not_determined)}")
        lines.append(
            f"  misfit {self.misfit:.2g} standard deviations at most,"
            f" probability {self.misfit_probability:.2g}"
        )
        return "\n".join(lines)

    def plot(self, n_traces: int = 3) -> Figure:
        """Draw records with their fit, and what is left over.

        Parameters
        ----------
        n_traces : int
            Number of cells whose records are drawn.

        Returns
        -------
        matplotlib.figure.Figure
            Records and predictions one pulse ahead; standardised residuals against the
            weight, as means and standard deviations; and their histogram beside that of
            a standard normal law.
        """
        from rpupy.visualization import draw_fit

        return draw_fit(self, n_traces)


def _value(config: Any, name: str) -> float:
    base, _, index = name.partition("[")
    value = getattr(config, base)
    return float(value[int(index[:-1])] if index else value)


# ---- the fit -------------------------------------------------------------------------


def fit_device(
    device_class: type[PulsedDevice] | PulsedDevice,
    pulses: ArrayLike,
    conductances: ArrayLike,
    *,
    weight_map: tuple[float, float] | None = None,
) -> DeviceFit:
    r"""Find the configuration of a device from records of its pulse response.

    Parameters
    ----------
    device_class : type or PulsedDevice
        Class of the device, or a configuration: what is not fitted, such as the switch
        `mult_noise`, and the values that the search starts from are taken from it.
    pulses : array_like, shape (n,)
        1 for a pulse up (the weight increases), -1 for a pulse down; the same sequence
        for all cells. It should lead several times through the range.
    conductances : array_like, shape (cells, n + 1) or (n + 1,)
        Readings before the first pulse and after each; NaN where one is missing, but for
        the first. In weight units, or in others with `weight_map`.
    weight_map : (float, float), optional
        Slope and offset of the linear map ``weight = slope * conductance + offset``.

    Returns
    -------
    DeviceFit
        Its `config` is the device, its text a table with standard errors.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range; if the device has no law to
        fit; if there are too few readings; or if no cell moves.
    ImportError
        If SciPy is not installed.

    Warns
    -----
    FitWarning
        If records do not determine a field, if the search did not come to an end, or if
        the residuals show that the device does not explain the records.

    Notes
    -----
    For each cell the change of the weight is regressed on the weight before it: with
    :math:`f` for the mean step of the device, :math:`w_{t+1} = \mathrm{clip}(w_t +
    f(w_t) + \sigma s(w_t) \xi)`, and readings are :math:`w_t + \rho \xi'`. Predictions
    come from the extended Kalman filter, and the squares of their errors, weighted with
    their variances, are made least together with what those variances cost: Gaussian
    quasi-likelihood, by Fisher scoring. Cells are a sample of a population: means and
    spreads are estimated together with the cells, so that a spread does not contain the
    errors of the estimates (expectation and maximisation; Laird and Ware, Biometrics
    38:963, 1982).

    Some parameters cannot be told apart by any record, and are kept: `a` and `b` of
    ExpStepDevice (which only rescale the others), the middle nodes of
    PiecewiseStepDevice, `p_max`, and the mean of a reference, whose spread and that of
    the slopes become part of the spread of the bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from rpupy.configs import SoftBoundsDevice
    >>> from rpupy.fitting import fit_device
    >>> from rpupy.pulse_response import compute_pulse_response, tile_of_devices
    >>> pulses = np.repeat([1, -1, 1, -1], 100)
    >>> tile = tile_of_devices(SoftBoundsDevice(dw_min=0.01), 20, rng=0)
    >>> record = compute_pulse_response(tile, pulses, initial=True)
    >>> fit = fit_device(SoftBoundsDevice, pulses, record[:, :, 0].T)
    >>> bool(abs(fit.config.dw_min - 0.01) < 4 * fit.standard_errors["dw_min"])
    True
    """
    _need_scipy()
    template = _template(device_class)
    law = law_of(type(template))
    assert law is not None
    ways = pulse_directions(pulses, "pulses")
    weights = _weights(conductances, len(ways), weight_map)
    stuck = _stuck(weights)
    if stuck.all():
        raise ValueError("conductances must change with the pulses; no cell moves")
    records, fit = _best(law, template, ways, weights[~stuck].T)
    if not fit.converged:
        warnings.warn(
            "the search for the best fit did not come to an end; the device may have"
            " more parameters than the records can tell apart",
            FitWarning,
            stacklevel=2,
        )
    return _result(records, fit, weights, stuck)


def _need_scipy() -> None:
    try:
        import scipy.special  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'fits need SciPy, which is not installed: pip install "rpupy[fit]" (or pip'
            " install scipy)"
        ) from error


def _template(device_class: Any) -> Any:
    cls = device_class if isinstance(device_class, type) else type(device_class)
    if law_of(cls) is None:
        known = ", ".join(known.__name__ for known in LAWS)
        raise TypeError(
            f"device_class must be one of {known}, or a subclass of one, got"
            f" {cls.__name__}"
        )
    if isinstance(device_class, type):
        return device_class()
    template = thawed_copy(device_class)
    template.validate()
    return template


def _weights(conductances: Any, n: int, weight_map: Any) -> Array:
    try:
        values = np.array(conductances, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"conductances must be an array of real numbers: {error}"
        ) from None
    if values.ndim != 2 or values.shape[1] != n + 1 or len(values) == 0:
        raise ValueError(
            f"conductances must have shape (cells, {n + 1}) or ({n + 1},), one reading"
            f" more than there are pulses, got {np.shape(conductances)}"
        )
    if not np.isfinite(values[:, 0]).all() or np.isinf(values).any():
        raise ValueError(
            "conductances must be finite, or NaN for a missing reading after a pulse"
        )
    if n < 8 or (np.isfinite(values).sum(axis=1) < 9).any():
        raise ValueError(
            "conductances must have at least 8 readings after pulses for each cell,"
            f" got {int(np.isfinite(values[:, 1:]).sum(axis=1).min())}"
        )
    if weight_map is not None:
        slope, offset = (real_number(number, "weight_map") for number in weight_map)
        if slope == 0.0:
            raise ValueError("weight_map must have a slope other than 0")
        values = slope * values + offset
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low > high - low > 0.0 or -high > high - low > 0.0:
        raise ValueError(
            "conductances must be in weight units, in which 0 lies between the bounds,"
            f" or come with a weight_map; they are from {low:.6g} to {high:.6g}"
        )
    return values


def _stuck(weights: Array) -> NDArray[np.bool_]:
    """Return which cells stay where they are, beside what the others move."""
    moved = np.nanmax(weights, axis=1) - np.nanmin(weights, axis=1)
    typical = float(np.median(moved[moved > 0.0])) if (moved > 0.0).any() else 0.0
    return np.asarray(moved <= 0.02 * typical)


def _begin(
    law: Law, template: Any, ways: NDArray[np.int8], weights: Array, margin: float
) -> tuple[_Records, Array, Array, Array, Array]:
    """Return the records, and rough numbers for cells, shared ones and spreads."""
    smooth = _smoothed(weights)
    high, low = np.nanmax(smooth, axis=0), np.nanmin(smooth, axis=0)
    changes = np.diff(weights, axis=0)
    up, down = (_typical_step(weights, ways, way) for way in (1, -1))
    dw = max(up, -down, 1e-6 * float(np.median(high - low)))
    start = Start(dw, float(np.median(low)), float(np.median(high)))
    margin *= start.range
    own, common = law.cell(template, start), law.shared(template, start)
    # Neighbouring changes share a reading, with opposite signs.
    centred = changes - np.where(ways > 0, up, down)[:, None]
    shared_error = -float(np.nanmean(centred[1:] * centred[:-1]))
    total = float(np.nanmean(centred**2))
    read = math.sqrt(min(max(shared_error, 0.01 * total), 0.5 * total) + 1e-300)
    noise = math.sqrt(max(total - 2.0 * read**2, 0.05 * total)) / dw
    if 2.0 * read**2 < 0.1 * total:
        # Without read noise to speak of, weights at a bound are the bound.
        high, low = np.nanmax(weights, axis=0), np.nanmin(weights, axis=0)
        margin += 0.5 * dw
    floor = 1e-6 * start.range
    values = {
        "gain": np.full_like(high, dw),
        "tilt": np.zeros_like(high),
        "high": high + margin,
        "low": low - margin,
        **{name: np.full_like(high, value) for name, value in own.items()},
    }
    offset = template.reference_mean if hasattr(template, "reference_mean") else 0.0
    values["high"] = np.maximum(values["high"] + offset, 0.05 * start.range)
    values["low"] = np.minimum(values["low"] + offset, -0.05 * start.range)
    units = {"gain": dw, "tilt": dw, "high": start.range, "low": start.range}
    cell_units = [units.get(n, max(abs(own.get(n, 1.0)), 0.3)) for n in values]
    if "gamma_up" in own:
        cell_units[-2:] = [5.0 * own["gamma_up"]] * 2
    shared_units = [max(abs(value), 0.1) for value in common.values()]
    deviations = {"noise": max(noise, 1e-3), "read": max(read, floor)}
    deviations |= law.deviations(template, start)
    records = _Records(
        law=law,
        device=template,
        pulses=ways,
        weights=weights,
        cell_names=tuple(values),
        shared_names=tuple(common),
        deviation_names=tuple(deviations),
        cell_units=np.array(cell_units),
        shared_units=np.array(shared_units),
        floor=floor,
    )
    cells = np.array(list(values.values())) / records.cell_units[:, None]
    shared = np.array(list(common.values())) / records.shared_units
    logs = np.log(list(deviations.values()))
    return records, cells, shared, logs, np.full(len(values), 0.4**2)


def _smoothed(weights: Array, width: int = 9) -> Array:
    """Average over neighbouring readings, so that read errors do not set the range."""
    width = min(width, max(len(weights) // 8, 1))
    windows = np.lib.stride_tricks.sliding_window_view(weights, width, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows without a reading
        return np.asarray(np.nanmean(windows, axis=-1))


def _typical_step(weights: Array, ways: NDArray[np.int8], way: int) -> float:
    """Estimate the step in the steep part of the range, from runs of equal pulses."""
    chosen = np.flatnonzero(ways == way)
    if chosen.size == 0:
        return 0.0
    mean = np.nanmean(weights, axis=1)
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    slopes = []
    for run in runs:
        length = max(len(run) // 5, 1)
        for first in range(0, len(run) - length + 1, length):
            at = run[first]
            slopes.append((mean[at + length] - mean[at]) / length)
    return float(np.nanquantile(slopes, 0.7 if way > 0 else 0.3))


def _best(
    law: Law, template: Any, ways: NDArray[np.int8], weights: Array
) -> tuple[_Records, _Estimate]:
    """Fit from one or two starts: with bounds at the records' ends, and beyond."""
    tried = []
    for margin in (0.0, 0.15) if law.hard else (0.15, 0.0):
        records, *start = _begin(law, template, ways, weights, margin)
        fit = _fit(records, start)
        misfit, probability = _misfit(records, fit.standardised)
        tried.append((misfit, records, fit))
        if misfit <= _MISFIT or probability >= _IMPROBABLE:
            break
    _, records, fit = min(tried, key=lambda one: one[0])
    return records, fit


def _fit(records: _Records, start: list[Array]) -> _Estimate:
    """Fit with read noise where the records show any, and without where not."""
    at = records.deviation_names.index("read")
    cells, shared, deviations, variance = start
    noisy, quiet = np.ones(len(deviations), dtype=bool), deviations.copy()
    # Neighbouring changes share a reading: half of their variance is common if read
    # noise is all that there is.
    expects = 2.0 * math.exp(deviations[at]) ** 2 > 0.1 * _variance_of_changes(records)
    without: _Estimate | None = None
    if not expects:
        free = noisy.copy()
        free[at] = False
        quiet[at] = records.least[at]
        without = _estimate(records, cells, shared, quiet, variance, free)
        if not _show_read_noise(records, without):
            return without
    fit = _estimate(records, cells, shared, deviations, variance, noisy)
    if _vanishes(records, fit):
        free = noisy.copy()
        free[at] = False
        quiet[at] = records.least[at]
        fit = without or _estimate(
            records, fit.cells, fit.shared, quiet, fit.variance, free
        )
    return fit


def _variance_of_changes(records: _Records) -> float:
    changes = np.diff(records.weights, axis=0)
    up = records.pulses > 0
    return float(np.nanmean(np.nanvar(changes[up]) + np.nanvar(changes[~up])) / 2.0)


def _show_read_noise(records: _Records, fit: _Estimate) -> bool:
    """Whether neighbouring residuals are correlated as if they shared a read error."""
    z = np.where(fit.terms.seen, fit.terms.errors / np.sqrt(fit.terms.variances), 0.0)
    products = z[1:] * z[:-1]
    error = math.sqrt(max(float((products**2).sum()), 1e-300))
    return float(products.sum()) < -3.0 * error


def _vanishes(records: _Records, fit: _Estimate) -> bool:
    """Whether the read noise may as well be 0."""
    at = records.deviation_names.index("read")
    # The relative error of its square is twice that of the number.
    return bool(2.0 * math.sqrt(fit.deviation_cover[at, at]) > 1.0 / 3.0)


#: Means of standardised residuals from here on, if they are as improbable as this, say
#: that the device is another one.
_MISFIT, _IMPROBABLE = 0.15, 1e-6


def _is_spread(name: str) -> bool:
    return name.endswith("_dtod")


def _result(
    records: _Records, fit: _Estimate, weights: Array, stuck: NDArray[np.bool_]
) -> DeviceFit:
    template = records.device
    fields, errors = _all_fields(records, fit)
    lost = _lost(records, fit, fields, errors)
    count = fit.cells.shape[1]
    config = thawed_copy(template)
    taken: dict[str, float] = {}
    lists: dict[str, list[float]] = {}
    for name, value in fields.items():
        if name in lost:
            continue
        if count == 1 and _is_spread(name):
            value = 0.0
        else:
            taken[name] = errors[name]
        base, _, index = name.partition("[")
        if index:
            nodes = lists.setdefault(base, list(getattr(template, base)))
            nodes[int(index[:-1])] = value
        else:
            _assign(config, base, value)
    for base, nodes in lists.items():
        setattr(config, base, nodes)
    for name in ("reference_std", "slope_up_dtod", "slope_down_dtod"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    if stuck.any():
        part = float(stuck.mean())
        config.corrupt_devices_prob = part
        taken["corrupt_devices_prob"] = math.sqrt(part * (1.0 - part) / len(stuck))
    if lost:
        warnings.warn(
            f"the records do not determine {', '.join(lost)} of"
            f" {type(template).__name__}: the values of the start are kept",
            FitWarning,
            stacklevel=3,
        )
    residuals = np.where(fit.terms.seen, fit.terms.errors, np.nan)
    standardised = fit.standardised
    misfit, probability = _misfit(records, standardised)
    if misfit > _MISFIT and probability < _IMPROBABLE:
        warnings.warn(
            f"{type(template).__name__} does not explain the records: at some weights"
            f" the mean step is off by {misfit:.2g} of its standard deviation; see"
            " DeviceFit.plot()",
            FitWarning,
            stacklevel=3,
        )
    at = records.deviation_names.index("read")
    read = read_error = 0.0
    if fit.free[at]:
        read = math.exp(fit.deviations[at])
        read_error = read * math.sqrt(fit.deviation_cover[at, at])
    elif "write_noise_std" in taken:
        config.write_noise_std, taken["write_noise_std"] = 0.0, 0.0
    h = records.values(fit.cells, fit.shared[:, None], fit.deviations[:, None])
    numbers = {
        "step_up": abs(h["gain"] + h["tilt"]),
        "step_down": abs(h["gain"] - h["tilt"]),
        "w_max": h["high"],
        "w_min": h["low"],
        **{name: h[name] for name in records.cell_names[4:]},
    }
    return DeviceFit(
        config=config,
        standard_errors=taken,
        not_determined=tuple(lost),
        read_noise=read,
        read_noise_error=read_error,
        cells=numbers,
        pulses=records.pulses,
        weights=weights[~stuck],
        residuals=residuals.T,
        standardised_residuals=standardised.T,
        stuck=stuck,
        misfit=misfit,
        misfit_probability=probability,
    )


def _assign(config: Any, name: str, value: float) -> None:
    if name in ("w_max", "w_min") and (value < 0.0) == (name == "w_max"):
        raise ValueError(
            "conductances must be in weight units, in which 0 lies between the bounds,"
            f" or come with a weight_map; {name} would be {value:.6g}"
        )
    setattr(config, name, value)


def _lost(
    records: _Records,
    fit: _Estimate,
    fields: dict[str, float],
    errors: dict[str, float],
) -> list[str]:
    """List the fields that the records do not determine."""
    # What each cell says of its numbers beyond what the population says.
    own = np.einsum("ckk->kc", fit.cover)
    with np.errstate(divide="ignore"):
        alone = 1.0 / np.maximum(1.0 / own - 1.0 / fit.variance[:, None], 1e-300)
    weight = (1.0 / (fit.variance[:, None] + alone)).sum(axis=1)
    weak = {
        name
        for name, error in zip(
            records.cell_names, 1.0 / np.sqrt(np.maximum(weight, 1e-300)), strict=True
        )
        if error > 0.5
    }
    of = {"high": ("w_max",), "low": ("w_min",)}
    lost = [
        field
        for name in weak
        for base in of.get(name, (name,))
        for field in (base, f"{base}_dtod")
        if field in fields
    ]
    if {"gain", "tilt"} & weak:
        lost += [n for n in ("up_down", "up_down_dtod") if n in fields]
    if {"pow_gain", "pow_tilt"} & weak:
        lost += [n for n in fields if n.startswith("pow_")]
    for name in records.shared_names:
        k = records.shared_names.index(name)
        if name in fields and (
            math.sqrt(max(float(fit.shared_cover[k, k]), 0.0)) > 2.0
        ):
            lost.append(name)
    return [name for name in fields if name in set(lost)]


def _misfit(records: _Records, standardised: Array) -> tuple[float, float]:
    """Test whether residuals depend on the weight from which a pulse starts."""
    from scipy.special import gammaincc

    starts = records.weights[:-1]
    statistic, bins, largest = 0.0, 0, 0.0
    for way in (1, -1):
        chosen = records.pulses == way
        z, w = standardised[chosen].ravel(), starts[chosen].ravel()
        seen = np.isfinite(z) & np.isfinite(w)
        z, w = z[seen], w[seen]
        if z.size < 100:
            continue
        for part in np.array_split(z[np.argsort(w, kind="stable")], 10):
            statistic += len(part) * float(part.mean()) ** 2
            largest = max(largest, abs(float(part.mean())))
            bins += 1
    if bins == 0:
        return 0.0, 1.0
    return largest, float(gammaincc(0.5 * bins, 0.5 * statistic))
