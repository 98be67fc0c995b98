"""The parameter classes and enums that a configuration is written with."""

# ruff: noqa: F403 - a name is listed once, in the module that defines it.

from typing import TYPE_CHECKING

from rpupy.not_built import refuse
from rpupy.parameters import drift, enums, io, mapping, pre_post, runtime, training
from rpupy.parameters.drift import *
from rpupy.parameters.enums import *
from rpupy.parameters.io import *
from rpupy.parameters.mapping import *
from rpupy.parameters.pre_post import *
from rpupy.parameters.runtime import *
from rpupy.parameters.training import *

__all__ = []
__all__ += drift.__all__
__all__ += enums.__all__
__all__ += io.__all__
__all__ += mapping.__all__
__all__ += pre_post.__all__
__all__ += runtime.__all__
__all__ += training.__all__

if not TYPE_CHECKING:  # a checker would take every name to be there
    __getattr__ = refuse(__name__)
