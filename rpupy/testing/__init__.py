"""Tools for tests, of rpupy itself and of code that uses it.

`reference` has a slow model of a tile that is written to be read, `statistics` has
bounds for tests with random outcomes.  The rest of the package imports neither.
"""

from . import reference, statistics
from .reference import ReferenceTile

__all__ = ["ReferenceTile", "reference", "statistics"]
