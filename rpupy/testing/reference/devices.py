"""The devices: what is drawn at construction, and what a pulse does (devices.md).

`LAWS` has one class for each kernel of a pulsed device.  Its `draw` returns the planes that
the device has of its own, its `pulse` the weights after one pulse, before clipping.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .arithmetic import F32, Floats, exp, fma
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
    """Draw what every pulsed device has (devices.md 2.3)."""
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


class Law(Protocol):
    """What one device has of its own; `p` is its configuration, `h` its planes."""

    @staticmethod
    def draw(p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw the planes of the device itself."""

    @staticmethod
    def pulse(
        p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Return weights after one pulse; `noise` is ``dw_min_std * xi``."""


class ConstantStep:
    """The step is the same everywhere (devices.md 3.2)."""

    @staticmethod
    def draw(p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Nothing of its own."""
        return {}

    @staticmethod
    def pulse(
        p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by the step of the direction."""
        scale = np.where(up, h["dwmin_up"], -h["dwmin_down"])
        return fma(scale, noise, scale) + w


class LinearStep:
    """The step is a linear function of the weight (devices.md 3.3)."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Draw slopes from `gamma_up` and `gamma_down`."""
        gammas = [F32(p.gamma_up), F32(p.gamma_down)]
        dtods = [F32(p.gamma_up_dtod), F32(p.gamma_down_dtod)]
        if any(dtods):
            numbers = (DeviceDraw.SLOPE_UP, DeviceDraw.SLOPE_DOWN)
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
    ) -> tuple[Floats, Floats, Floats]:
        """Return ``slope * w + scale``, its slope, and what noise is relative to."""
        scale = np.where(up, h["dwmin_up"], -h["dwmin_down"])
        slope = np.where(up, h["slope_up"], -h["slope_down"])
        step = fma(slope, w, scale)
        # Additive noise keeps its size at w = 0.
        return step, slope, step if p.mult_noise else scale

    @classmethod
    def pulse(
        cls, p: Any, h: Planes, w: Floats, up: NDArray[np.bool_], noise: Floats
    ) -> Floats:
        """Move by the step at the weight."""
        step, _, size = cls.tangent(p, h, w, up)
        return fma(size, noise, step) + w


class SoftBounds(LinearStep):
    """A linear step that vanishes at the bounds (devices.md 3.4)."""

    @classmethod
    def draw(cls, p: Any, h: Planes, xi: DeviceDraws) -> Planes:
        """Slopes of gamma 1, towards the bounds of each crosspoint."""
        return cls.slopes(p, h, [F32(1), F32(1)], own_bounds=True)


#: The law of each kernel.
LAWS: dict[str, type[Law]] = {
    "constant_step": ConstantStep,
    "linear_step": LinearStep,
    "soft_bounds": SoftBounds,
}
