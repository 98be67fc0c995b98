"""Layers and optimisers: not built yet, as asking for one says."""

from typing import TYPE_CHECKING

from rpupy.not_built import refuse

__all__: list[str] = []

if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__, everything=True)
