"""From the vectors of an update to pulse trains (update.md 3 to 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import F32, Floats, clip, resolution, round_to_grid
from .random_numbers import RandomNumbers, Stream

SLOTS_PER_WORD = 31
BLOCKS_PER_WORD = 8


def pulse_train_scales(
    update: Any, lr: float, granularity: float, x_max: Any, d_max: Any
) -> tuple[int, np.float32, np.float32]:
    """Return train length and the scales A of d and B of x for one vector.

    Everything is float32 in this order: decisions sit on exact ties.

    Parameters
    ----------
    update : UpdateParameters
        Settings of the update.
    lr : float
        Learning rate; its sign does not matter.
    granularity : float
        Mean weight step of the device.
    x_max, d_max : float
        Largest magnitudes of the vector.

    Returns
    -------
    length : int
        Number of slots; 0 if the vector makes no pulse.
    a, b : float32
        Factors that turn ``abs(d)`` and ``abs(x)`` into probabilities.
    """
    rate, g, longest = abs(F32(lr)), F32(granularity), F32(update.desired_bl)
    x_max, d_max = F32(x_max), F32(d_max)
    manages_length = update.update_bl_management
    manages_scales = update.update_management or manages_length
    nothing = (0, F32(0), F32(0))
    if rate == 0 or (manages_scales and (x_max == 0 or d_max == 0)):
        return nothing
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        if not update.fixed_bl and not manages_length and g * longest < rate:
            length = max(np.ceil(rate / g), F32(1))
            a = b = F32(1)
        else:
            length = longest
            a = b = np.sqrt(rate / (g * length))
        if manages_scales:
            d_reach = F32(update.um_grad_scale) * d_max
            needed = min(((rate * x_max) * d_reach) / g, F32(3e38))
            if manages_length:
                length = min(np.ceil(needed), longest)
                if length == 0:
                    return nothing
                a = b = np.sqrt(rate / (g * length))
            if needed > longest:
                d_reach = (d_reach * longest) / needed
            # The limits only keep the ratio of two far numbers finite.
            a = a * np.sqrt(clip(x_max / d_reach, F32(1e-38), F32(1e38)))
            b = b * np.sqrt(clip(d_reach / x_max, F32(1e-38), F32(1e38)))
    return int(length), a, b


def pulse_trains(
    update: Any,
    random: RandomNumbers,
    ordinal: int,
    values: Floats,
    scale: np.float32,
    length: int,
    stream: Stream,
    rounding: Stream,
) -> NDArray[np.bool_]:
    """Make the pulse trains of one side for one vector: shape (lines, slots)."""
    lines = np.arange(values.size)
    with np.errstate(over="ignore", under="ignore"):
        q = np.abs(values) * scale
        res = resolution(update.res)
        if res > 0:
            shift = F32(0)
            if update.sto_round:
                u = random.uniforms(rounding, lines, ordinal)
                shift = u - F32(0.5)
            q = round_to_grid(q, res, shift)
    q = np.where(values == 0, F32(0), q)
    slots = np.arange(length)
    word, slot = slots // SLOTS_PER_WORD, slots % SLOTS_PER_WORD
    bits = np.zeros((values.size, length), dtype=np.bool_)
    bits[q >= 1] = True
    chance = (q > 0) & (q < 1)
    if chance.any() and length > 0:
        words = random.words(
            stream,
            lines[chance][:, None],
            ordinal,
            draw=BLOCKS_PER_WORD * word + slot // 4,
            part=slot % 4,
            shares_block=True,
        )
        limit = np.floor(q[chance].astype(np.float64) * 2.0**32)
        bits[chance] = words < limit[:, None]
    return bits
