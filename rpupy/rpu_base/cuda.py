"""Whether the CUDA kernels are there and can run.

The compiled module `rpupy.rpu_base._cuda` is imported only when one of these functions
is called, so that importing rpupy neither needs a GPU nor says anything about one.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType

__all__ = ["is_available", "is_compiled", "is_host_compiled", "why_unavailable"]

_MODULE = "rpupy.rpu_base._cuda"


@functools.cache
def _load() -> tuple[ModuleType | None, str]:
    """Return the compiled module, or None and why it cannot be imported."""
    try:
        return importlib.import_module(_MODULE), ""
    except ModuleNotFoundError as error:
        if error.name != _MODULE:
            raise
        return None, ""
    except ImportError as error:
        return None, f"the CUDA kernels cannot be loaded: {error}"


def is_compiled() -> bool:
    """Whether this rpupy was built with CUDA.

    Returns
    -------
    bool
        True also if the kernels are there and cannot run on this machine.
    """
    module, trouble = _load()
    return module is not None or trouble != ""


def is_available() -> bool:
    """Whether tiles can be moved to a GPU.

    Returns
    -------
    bool
    """
    return why_unavailable() == ""


def why_unavailable() -> str:
    """Say why tiles cannot be moved to a GPU.

    Returns
    -------
    str
        One sentence without a full stop; empty if they can.
    """
    module, trouble = _load()
    if module is None:
        return trouble or "rpupy was built without CUDA"
    said = str(module.why_unavailable())
    # The runtime says the same of an old driver and of none.
    return f"{said}, or there is no driver" if "driver version" in said else said


def is_host_compiled() -> bool:
    """Whether the CUDA kernels are there as a host module, which only tests use.

    Returns
    -------
    bool
    """
    return importlib.util.find_spec(f"{_MODULE}_host") is not None
