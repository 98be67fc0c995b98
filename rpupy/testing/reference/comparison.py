"""How far a core tile and its model may be apart, and where they are further.

Counters, pulses, choppers and all other decisions are the same.  Values differ by what
logarithms, powers and normal numbers differ by in another precision, and by what
follows from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .plane import Plane
from .tile import ReferenceTile

#: Of numbers of order one: five units in the last place.
TOLERANCE = 6e-7
#: Half a unit in the last place of 1.
_UNIT = 2.0**-24
#: Units by which numbers differ that went into a sum: normal numbers, draws of lines.
_OF_A_TERM = 16
#: What is found by following slopes, which can be as large as one likes.
_ILL_CONDITIONED = ("slope", "reference", "reset_bias")


def planes_of(model: ReferenceTile) -> list[Plane]:
    """Return all planes of devices of a model, in their order."""
    root = model.root
    return [root] if isinstance(root, Plane) else list(root.place.made)


class Growth:
    """By how much the pulses of an update let errors of weights grow.

    Parameters
    ----------
    model : ReferenceTile
        Before the update.
    """

    def __init__(self, model: ReferenceTile) -> None:
        self.model = model
        self.before = [plane.pulse_ordinals.copy() for plane in planes_of(model)]

    def allowed(self) -> dict[str, Any]:
        """Return tolerances by the suffix of each plane, and of all together as None.

        Each pulse rounds, and multiplies what there is by one plus the slope of steps.
        """
        found: dict[str | None, Any] = {}
        worst: Any = 1.0
        for plane, before in zip(planes_of(self.model), self.before, strict=True):
            pulses = (plane.pulse_ordinals - before).astype(np.int64)
            slopes = [
                np.abs(plane.hidden.get(f"slope_{way}", 0.0)) for way in ("up", "down")
            ]
            noise = abs(getattr(plane.device, "dw_min_std", 0.0))
            factor = 1.0 + np.maximum(*slopes) * (1.0 + noise)
            with np.errstate(over="ignore"):
                growth = (1.0 + pulses / 10.0) * factor ** np.minimum(pulses, 200)
            found[plane.suffix] = TOLERANCE * growth
            worst = np.maximum(worst, growth)
        return {**found, None: TOLERANCE * worst}  # type: ignore[dict-item]


def differences(
    meta: Mapping[str, Any],
    arrays: Mapping[str, Any],
    model: ReferenceTile,
    tolerance: Any = TOLERANCE,
) -> list[str]:
    """Compare the state of a core tile with that of a model.

    Parameters
    ----------
    meta, arrays : mapping
        What `state` of the core tile returned.
    model : ReferenceTile
        Of the same configuration.
    tolerance : float, ndarray or dict
        Of numbers of order one, and relative to larger ones; a dict as of `Growth`.

    Returns
    -------
    list of str
        What differs, in words.  Slopes and references of devices are left out: how
        exact they are depends on bounds.
    """
    found = []
    counts = model.counters
    if meta["counters"] != counts:
        apart = {
            name: (meta["counters"].get(name), counts.get(name))
            for name in {*meta["counters"], *counts}
            if meta["counters"].get(name) != counts.get(name)
        }
        found.append(f"counters: {apart}")
    mine = model.arrays()
    for name, array in arrays.items():
        if name.startswith(("forward_", "backward_", *_ILL_CONDITIONED)):
            continue
        if name not in mine:
            found.append(f"{name}: the model has none")
            continue
        expected = np.asarray(mine[name])
        if expected.dtype == np.float32:
            with np.errstate(invalid="ignore"):
                error = np.abs(array - expected) / (1.0 + np.abs(expected))
            worst = error - _tolerance_of(name, tolerance)
            same = (array == expected) | (np.isnan(array) & np.isnan(expected))
            if not np.all(same | (worst <= 0.0)):
                found.append(f"{name}: off by {np.nanmax(error):.3g}")
        elif not np.array_equal(np.broadcast_to(array, expected.shape), expected):
            found.append(f"{name}: {array} and not {expected}")
    return found


def _tolerance_of(name: str, tolerance: Any) -> Any:
    if not isinstance(tolerance, dict):
        return tolerance
    for suffix in tolerance:
        if suffix is not None and name in (
            f"weights{suffix}",
            f"hidden_weights{suffix}",
            f"persistent_weights{suffix}",
        ):
            return tolerance[suffix]
    return np.max(tolerance[None])


def product_bound(model: ReferenceTile, inputs: int) -> np.ndarray:
    """Return how far outputs of the last product may be from those of a core tile.

    An output is a sum.  What goes into it (weights times inputs, and noise) is exact to
    some units in the last place, and adding up `inputs` of them rounds as often; all that
    is relative to the magnitudes of what is added, also where the sum itself is small.

    Parameters
    ----------
    model : ReferenceTile
        Which multiplied.
    inputs : int
        Lines of the input side.

    Returns
    -------
    ndarray of float64, shape (batch, outputs)
    """
    return np.asarray((inputs + _OF_A_TERM) * _UNIT * model.terms)
