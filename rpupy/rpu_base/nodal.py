"""The weights that a product sees through wires with resistance."""

from __future__ import annotations

from typing import Any

import numpy as np

from rpupy import parasitics
from rpupy.parameters.enums import AnalogMVType
from rpupy.parameters.io import IOParametersNodal

from ._common import Floats

__all__ = ["NodalWeights", "sees_wires"]


def sees_wires(io: object) -> bool:
    """Return whether products with these parameters go through resistive wires."""
    return (
        isinstance(io, IOParametersNodal)
        and io.mv_type is AnalogMVType.NODAL
        and not io.is_perfect
    )


class NodalWeights:
    """Effective weights of one direction, solved again where weights have changed.

    Parameters
    ----------
    io : IOParametersNodal
        Resistances, conductances and ends of the wires.
    """

    def __init__(self, io: IOParametersNodal) -> None:
        self._wiring: dict[str, Any] = {
            name: getattr(io, name)
            for name in (
                "g_max",
                "w_max",
                "r_word_line",
                "r_bit_line",
                "drive_both_ends",
                "sense_both_ends",
            )
        }
        self._solved_for: Floats | None = None
        self._effective: Any = None

    def of(self, weights: Any, backend: Any) -> Any:
        """Return effective weights, as an array of the backend.

        Weights are compared, although the backend counts their versions: what is returned is
        packed anew, which is a version of its own, so that two directions with wires would
        have each other solved again without end. Next to solving, comparing costs nothing.
        """
        present = backend.read(weights)
        if self._solved_for is None or not np.array_equal(present, self._solved_for):
            solved = parasitics.effective_weights(present, **self._wiring)
            self._effective = backend.array_from(solved.astype(np.float32))
            self._solved_for = present
            backend.weights_changed()
        return self._effective
