"""The devices: what is drawn at construction, and what a pulse does.

`LAWS` has one class for each kernel of a pulsed device.  Its `draw` returns the planes that
the device has of its own, or of the common ones what it changes, its `pulse` the weights
after one pulse, before clipping, and its `limits` between what they are clipped then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import F32, SMALLEST_NORMAL, Floats, clip, exp, fma, power
from .random_numbers import DeviceDraw, RandomNumbers, Stream

Planes = dict[str, Floats]


class DeviceDraws:
    """The device-to-device draws of all crosspoints, by their numbers."""

    def __init__(self, random: RandomNumbers, crosspoint: NDArray[np.uint64]) -> None:
        self._random = random
        self._crosspoint = crosspoint

    def _place(self, number: DeviceDraw) -> dict[str, Any]:
        return {"draw": number // 4, "part": number % 4, "shares_block": True}

    def __call__(self, number: DeviceDraw) -> Any:
        """Return standard normals."""
        return self._random.normals(
            Stream.DEVICE, self._crosspoint, 0, **self._place(number)
        )

    def uniforms(self, number: DeviceDraw) -> Any:
        """Return uniforms in [0, 1)."""
        return self._random.uniforms(
            Stream.DEVICE, self._crosspoint, 0, **self._place(number)
        )

    def happens(self, probability: float, number: DeviceDraw) -> Any:
        """Return where an event of this probability happens."""
        return self._random.happens(
            probability, Stream.DEVICE, self._crosspoint, 0, **self._place(number)
        )


def draw_pulsed_device(p: Any, xi: DeviceDraws) -> Planes:
    """Draw what every pulsed device has."""
    one = F32(1)
    # 1 to 3: bounds, gain, asymmetry.
    high = F32(p.w_max) * fma(F32(p.w_max_dtod), xi(DeviceDraw.MAX_BOUND), one)
    low = F32(p.w_min) * fma(F32(p.w_min_dtod), xi(DeviceDraw.MIN_BOUND), one)
    if p.dw_min_dtod_log_normal:
        gain = exp(F32(p.dw_min_dtod) * xi(DeviceDraw.GAIN))
    else:
        gain = fma(F32(p.dw_min_dtod), xi(DeviceDraw.GAIN), one)
    r = F32(p.up_down_dtod) * xi(DeviceDraw.UP_DOWN)
    up = (gain + F32(min(p.up_down, 0.0)) + r) * F32(p.dw_min)
    down = (gain - F32(max(p.up_down, 0.0)) - r) * F32(p.dw_min)
    # 4: consistency.
    crossed = low > high
    if p.enforce_consistency:
        up, down = np.abs(up), np.abs(down)
        high, low = np.where(crossed, low, high), np.where(crossed, high, low)
        high, low = np.abs(high), -np.abs(low)
    else:
        middle = (high + low) * F32(0.5)
        high, low = np.where(crossed, middle, high), np.where(crossed, middle, low)
    # 5: corruption.
    if p.corrupt_devices_prob > 0.0:
        corrupt = xi.happens(p.corrupt_devices_prob, DeviceDraw.CORRUPT_CHOICE)
        u = xi.uniforms(DeviceDraw.CORRUPT_VALUE)
        limit = abs(F32(p.corrupt_devices_range))
        lowest = np.maximum(np.minimum(low, high), -limit)
        highest = np.minimum(np.maximum(low, high), limit)
        stuck = fma(highest - lowest, u, lowest)
        high, low = np.where(corrupt, stuck, high), np.where(corrupt, stuck, low)
        up = np.where(corrupt, F32(0), up)
        down = np.where(corrupt, F32(0), down)
    # 6: the perfect last column.
    if p.perfect_bias:
        up[:, -1] = down[:, -1] = F32(p.dw_min)
        high[:, -1] = F32(100) * F32(p.w_max)
        low[:, -1] = F32(100) * F32(p.w_min)
    # 7 to 10: diffusion, reset, decay, drift.  No spread, no draw.
    diffusion, lifetime = F32(max(p.diffusion, 0.0)), F32(max(p.lifetime, 0.0))
    reset_dtod = F32(max(p.reset_dtod, 0.0))
    some = any((p.diffusion_dtod, reset_dtod, p.lifetime_dtod, p.drift.nu_dtod))
    spread = [
        xi(number) if some else np.zeros_like(high)
        for number in (
            DeviceDraw.DIFFUSION,
            DeviceDraw.RESET,
            DeviceDraw.LIFETIME,
            DeviceDraw.DRIFT_NU,
        )
    ]
    rates = np.abs(diffusion * fma(F32(p.diffusion_dtod), spread[0], one))
    bias = fma(reset_dtod, spread[1], F32(p.reset))
    life = lifetime * fma(F32(p.lifetime_dtod), spread[2], one)
    with np.errstate(divide="ignore", over="ignore"):
        scales = np.where(life > 1, one - one / life, F32(0))
    if lifetime == 0:
        scales = np.ones_like(life)
    nu = np.zeros_like(high)
    if p.drift.nu > 0.0:
        nu = F32(p.drift.nu) * fma(F32(p.drift.nu_dtod), spread[3], one)
    return {
        "max_bound": high,
        "min_bound": low,
        "dwmin_up": up,
        "dwmin_down": down,
        "decay_scales": scales,
        "diffusion_rates": rates,
        "reset_bias": bias,
        "drift_nu": nu,
    }


class Law:
    """What one device has of its own; `p` is its configuration, `h` its planes."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw the planes of the device itself: none, unless a law says so."""
        return {}

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Return weights after one pulse; `noise` is ``dw_min_std * xi``."""
        raise NotImplementedError

    @classmethod
    def limits(cls, h: Planes) -> tuple[Floats, Floats]:
        """Return the range that weights have after a pulse."""
        return h["min_bound"], h["max_bound"]


def step_sizes(h: Planes, up: NDArray[np.bool_]) -> Floats:
    """Return the signed step of each crosspoint."""
    return np.where(up, h["dwmin_up"], -h["dwmin_down"])


def drawn(xi: DeviceDraws, *dtods: float) -> list[Any]:
    """Return the first normals of a device's own; zeros if it has no spread at all."""
    numbers = (DeviceDraw.OWN_0, DeviceDraw.OWN_1, DeviceDraw.OWN_2)
    return [
        xi(n) if any(dtods) else F32(0) for n, _ in zip(numbers, dtods, strict=False)
    ]


def inverse_width(h: Planes) -> tuple[NDArray[np.bool_], Floats]:
    """Return which ranges are empty, and the inverse of the width of the others."""
    width = h["max_bound"] - h["min_bound"]
    empty = width < SMALLEST_NORMAL
    return empty, F32(1) / np.where(empty, F32(1), width)


class ConstantStep(Law):
    """The step is the same everywhere."""

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by the step of the direction."""
        scale = step_sizes(h, up)
        return fma(scale, noise, scale) + w


class LinearStep(Law):
    """The step is a linear function of the weight."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw slopes from `gamma_up` and `gamma_down`."""
        gammas = [F32(p.gamma_up), F32(p.gamma_down)]
        dtods = [F32(p.gamma_up_dtod), F32(p.gamma_down_dtod)]
        if any(dtods):
            numbers = (DeviceDraw.OWN_0, DeviceDraw.OWN_1)
            gammas = [
                fma(dtod, xi(number), gamma)
                for dtod, number, gamma in zip(dtods, numbers, gammas, strict=True)
            ]
        if not p.allow_increasing:
            gammas = [np.abs(gamma) for gamma in gammas]
        return cls.slopes(p, h, gammas, not p.mean_bound_reference)

    @staticmethod
    def slopes(p: Any, h: Planes, gammas: list[Any], own_bounds: bool) -> Planes:
        """Return the slopes with which steps shrink to (1 - gamma) at the bounds."""
        high = h["max_bound"] if own_bounds else F32(p.w_max)
        low = h["min_bound"] if own_bounds else F32(p.w_min)
        offset = F32(p.reverse_offset)
        up_reference = low - offset if p.reverse_up else high
        down_reference = high + offset if p.reverse_down else low
        planes = {}
        for name, gamma, scale, reference in (
            ("slope_up", gammas[0], h["dwmin_up"], up_reference),
            ("slope_down", gammas[1], h["dwmin_down"], down_reference),
        ):
            zero = reference == 0
            slope = -(gamma * scale / np.where(zero, F32(1), reference))
            planes[name] = np.where(zero, F32(0), slope)
        return planes

    @staticmethod
    def tangent(
        p: Any, h: Planes, w: Floats, up: NDArray[np.bool_]
    ) -> tuple[Floats, Floats, Floats, Any]:
        """Return ``slope * w + scale``, its slope, the size of noise, its slope."""
        scale = step_sizes(h, up)
        slope = np.where(up, h["slope_up"], -h["slope_down"])
        step = fma(slope, w, scale)
        # Additive noise keeps its size at w = 0.
        return (
            (step, slope, step, slope) if p.mult_noise else (step, slope, scale, F32(0))
        )

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by the step at the weight."""
        step, _, size, _ = cls.tangent(p, h, w, up)
        return fma(size, noise, step) + w


class SoftBounds(LinearStep):
    """A linear step that vanishes at the bounds."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Slopes of gamma 1, towards the bounds of each crosspoint."""
        return cls.slopes(p, h, [F32(1), F32(1)], own_bounds=True)


class ExpStep(Law):
    """The step falls exponentially on the way to a bound."""

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by ``s * max(1 - A exp(gamma z), 0)``, with one of two kinds of noise."""
        empty, inverse = inverse_width(h)
        z = fma(inverse * (F32(2) * F32(p.a)), w, F32(p.b))
        factor = np.where(up, F32(-p.A_up), F32(-p.A_down))
        gamma = np.where(up, F32(p.gamma_up), F32(-p.gamma_down))
        part = np.maximum(fma(factor, exp(gamma * z), F32(1)), F32(0))
        step = part * step_sizes(h, up)
        spread = step
        if p.dw_min_std_add != 0 or p.dw_min_std_slope != 0:
            slope, add = F32(p.dw_min_std_slope), F32(p.dw_min_std_add)
            spread = np.abs(step) + fma(slope, np.abs(w), add)
        return np.where(empty, w, fma(spread, noise, step) + w)


class DampedStep(Law):
    """The step falls exponentially with the distance from the bound behind."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw the damping of each direction."""
        spread = drawn(xi, p.beta_up_dtod, p.beta_down_dtod)
        shape = h["max_bound"].shape
        return {
            f"damping_{direction}": np.array(
                np.broadcast_to(F32(beta) * fma(F32(dtod), z, F32(1)), shape)
            )
            for direction, beta, dtod, z in (
                ("up", p.beta_up, p.beta_up_dtod, spread[0]),
                ("down", p.beta_down, p.beta_down_dtod, spread[1]),
            )
        }

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by ``s * exp(-damping * distance)``."""
        _, inverse = inverse_width(h)
        distance = np.where(up, w - h["min_bound"], h["max_bound"] - w)
        damping = np.where(up, h["damping_up"], h["damping_down"])
        step = step_sizes(h, up) * exp(-(damping * (distance * inverse)))
        return fma(step, noise, step) + w


class PowStep(Law):
    """The step is a power of the distance to the bound."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw the exponents, as steps are drawn."""
        return cls.exponents(p, drawn(xi, p.pow_gamma_dtod, p.pow_up_down_dtod), h)

    @staticmethod
    def exponents(p: Any, spread: list[Any], h: Planes) -> Planes:
        """Return the exponents that these normals give."""
        gain = fma(F32(p.pow_gamma_dtod), spread[0], F32(1))
        r = F32(p.pow_up_down_dtod) * spread[1]
        up = (gain + F32(min(p.pow_up_down, 0.0)) + r) * F32(p.pow_gamma)
        down = (gain - F32(max(p.pow_up_down, 0.0)) - r) * F32(p.pow_gamma)
        if p.enforce_consistency:
            up, down = np.abs(up), np.abs(down)
        shape = h["max_bound"].shape
        names = ("gamma_up", "gamma_down")
        return {
            name: np.array(np.broadcast_to(gamma, shape))
            for name, gamma in zip(names, (up, down), strict=True)
        }

    @staticmethod
    def step(h: Planes, v: Floats, up: NDArray[np.bool_]) -> Floats:
        """Return the mean step from the state `v`."""
        empty, inverse = inverse_width(h)
        distance = np.where(up, h["max_bound"] - v, v - h["min_bound"])
        gamma = np.where(up, h["gamma_up"], h["gamma_down"])
        part = power(distance * inverse, gamma)
        return np.where(empty, F32(0), part * step_sizes(h, up))

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by a power of the relative distance to the bound ahead."""
        step = cls.step(h, w, up)
        return fma(step, noise, step) + w


class PiecewiseStep(Law):
    """The step is a piecewise linear function of the weight."""

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by the step times what the nodes of the direction say."""
        nodes = np.asarray([p.piecewise_up, p.piecewise_down], dtype=np.float32)
        which = np.where(up, 0, 1)
        factor = nodes[which, 0]
        last = nodes.shape[1] - 1
        if last > 0:
            empty, inverse = inverse_width(h)
            inverse = np.where(empty, F32(0), inverse)
            q = np.maximum((w - h["min_bound"]) * (inverse * F32(last)), F32(0))
            node = np.minimum(q, F32(last - 1)).astype(np.int64)
            t = np.minimum(q - node.astype(np.float32), F32(1))
            left, right = nodes[which, node], nodes[which, node + 1]
            factor = fma(t, right, fma(-t, left, left))
        step = factor * step_sizes(h, up)
        return fma(step, noise, step) + w


class WithReference(Law):
    """The state is the weight plus a reference."""

    @classmethod
    def limits(cls, h: Planes) -> tuple[Floats, Floats]:
        """Return the range in which the state is within its bounds."""
        reference = h["reference"]
        return h["min_bound"] - reference, h["max_bound"] - reference

    @staticmethod
    def reference(p: Any, xi: Any, h: Planes, point: Any) -> Planes:
        """Return the reference, and the reset bias that moves with it."""
        own = fma(F32(p.reference_std), xi, F32(p.reference_mean))
        planes = {"reference": np.array(np.broadcast_to(own, h["max_bound"].shape))}
        if p.subtract_symmetry_point:
            sound = (h["max_bound"] > 0) & (h["min_bound"] < 0)
            point = np.where(sound, point, F32(0))
            planes["reference"] = planes["reference"] + point
            planes["reset_bias"] = h["reset_bias"] + point
        return planes


class SoftBoundsReference(WithReference):
    """Soft bounds of the weight plus a reference."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw bounds of other slopes, and the reference."""
        xi_up, xi_down, xi_reference = drawn(
            xi, p.slope_up_dtod, p.slope_down_dtod, p.reference_std
        )
        high, low = h["max_bound"], h["min_bound"]
        sound = (high > 0) & (low < 0)
        with np.errstate(divide="ignore", over="ignore"):
            far = high / np.abs(fma(F32(p.slope_up_dtod), xi_up, F32(1)))
            deep = low / np.abs(fma(F32(p.slope_down_dtod), xi_down, F32(1)))
        largest = np.finfo(np.float32).max
        planes = {
            "max_bound": np.where(sound, np.minimum(far, largest), high),
            "min_bound": np.where(sound, np.maximum(deep, -largest), low),
        }
        up, down = h["dwmin_up"], h["dwmin_down"]
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = up / planes["max_bound"] - down / planes["min_bound"]
            point = np.where(slopes == 0, F32(0), (up - down) / slopes)
        return planes | cls.reference(p, xi_reference, h | planes, point)

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by ``s * (1 - v / bound)``; additive noise keeps its size at v = 0."""
        bound = np.where(up, h["max_bound"], h["min_bound"])
        flat = np.where(up, bound, -bound) < SMALLEST_NORMAL
        inverse = np.where(flat, F32(0), F32(1) / np.where(flat, F32(1), bound))
        scale = step_sizes(h, up)
        step = scale * fma(-(w + h["reference"]), inverse, F32(1))
        return fma(step if p.mult_noise else scale, noise, step) + w


class PowStepReference(WithReference):
    """Power steps of the weight plus a reference."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw the exponents and the reference."""
        *spread, xi_reference = drawn(
            xi, p.pow_gamma_dtod, p.pow_up_down_dtod, p.reference_std
        )
        planes = PowStep.exponents(p, spread, h)
        point: Any = F32(0)
        if p.subtract_symmetry_point:
            h = h | planes
            n = p.n_estimation_steps
            point = cls.walk(n, h) if n > 0 else cls.root(h)
        return planes | cls.reference(p, xi_reference, h, point)

    @staticmethod
    def pair(h: Planes, v: Floats) -> Floats:
        """Return what a pulse up and a pulse down move together."""
        up = np.ones(v.shape, dtype=bool)
        return PowStep.step(h, v, up) + PowStep.step(h, v, ~up)

    @classmethod
    def walk(cls, pairs: int, h: Planes) -> Floats:
        """Return where pairs of pulses lead from 0."""
        v = np.zeros_like(h["max_bound"])
        for _ in range(pairs):
            v = clip(v + cls.pair(h, v), h["min_bound"], h["max_bound"])
        return v

    @classmethod
    def root(cls, h: Planes) -> Floats:
        """Return where both steps are equal, by bisection; 0 where they never are."""
        low, high = h["min_bound"], h["max_bound"]
        exists = (cls.pair(h, low) > 0) & (cls.pair(h, high) < 0)
        middle = np.zeros_like(low)
        for _ in range(32):
            middle = (low + high) * F32(0.5)
            below = cls.pair(h, middle) > 0
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(exists, middle, F32(0))

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Bring the state into its bounds, then move as PowStep does."""
        w = clip(w, *cls.limits(h))
        step = PowStep.step(h, w + h["reference"], up)
        return fma(step, noise, step) + w


#: The law of each kernel.
LAWS: dict[str, type[Law]] = {
    "constant_step": ConstantStep,
    "damped_step": DampedStep,
    "exp_step": ExpStep,
    "linear_step": LinearStep,
    "piecewise_step": PiecewiseStep,
    "pow_step": PowStep,
    "pow_step_reference": PowStepReference,
    "soft_bounds": SoftBounds,
    "soft_bounds_reference": SoftBoundsReference,
}
