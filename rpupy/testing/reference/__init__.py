"""The reference model: a tile in plain NumPy that replays the kernels' random numbers.

`ReferenceTile` follows the specification (docs/semantics.md, and the docstrings of the
configuration classes) one rule at a time, with no thought of speed.
What it shares with the compiled kernels is the layout of random numbers
(``csrc/rng.h``) and the order in which float32 operations round.  Everything else is
written a second time, so that the two can be compared: pulses, counters and every other
decision agree exactly, weights and outputs within a few units in the last place, since
logarithms, powers and normal numbers are computed in float64 here.
"""

from .arithmetic import fma, round_to_grid
from .comparison import Growth, differences, product_bound
from .random_numbers import (
    Draw,
    RandomNumbers,
    Stream,
    normal_of_words,
    philox4x32,
)
from .tile import ReferenceTile
from .trains import pulse_train_scales

__all__ = [
    "Draw",
    "Growth",
    "RandomNumbers",
    "ReferenceTile",
    "Stream",
    "differences",
    "fma",
    "normal_of_words",
    "philox4x32",
    "product_bound",
    "pulse_train_scales",
    "round_to_grid",
]
