"""Configurations with the numbers of measured or proposed devices, and their sources."""

# ruff: noqa: F403 - a name is listed once, in the module that defines it.

from typing import TYPE_CHECKING

from rpupy.not_built import refuse

from . import compounds, configs, devices, utils
from .compounds import *
from .configs import *
from .devices import *
from .utils import *

__all__ = []
__all__ += compounds.__all__
__all__ += configs.__all__
__all__ += devices.__all__
__all__ += utils.__all__

if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__)
