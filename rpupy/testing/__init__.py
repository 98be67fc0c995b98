"""Tools for tests, of rpupy itself and of code that uses it.

`reference` has a slow model of a tile that is written to be read, `statistics` has
bounds for tests with random outcomes, and `check_device` tries on a device the laws that
hold for all of them.  `rpupy.testing.strategies`, which needs hypothesis and is not
imported here, generates configurations, tiles and inputs.  The rest of the package
imports none of these.
"""

from . import reference, statistics
from .conformance import BrokenLaw, BrokenLaws, Report, check_device, laws
from .reference import ReferenceTile

__all__ = [
    "BrokenLaw",
    "BrokenLaws",
    "ReferenceTile",
    "Report",
    "check_device",
    "laws",
    "reference",
    "statistics",
]
