"""The analog matrix as a linear operator: not built yet, as asking for it says."""

from typing import TYPE_CHECKING

from rpupy.not_built import refuse

__all__: list[str] = []

if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__, everything=True)
