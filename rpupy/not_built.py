"""Names of the reference library that have their place here and are not built yet.

Asking for one raises NotImplementedError, as settings that are not built do: a script that
needs it stops where it imports it, with a sentence that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["NAMES", "refuse"]

#: What `rpupy.tiles`, `configs`, `parameters` and `presets` are still to have.
NAMES = frozenset(
    {
        "CudaInferenceTile",
        "InferenceRPUConfig",
        "InferenceTile",
        "StandardHWATrainingPreset",
        "WeightClipParameter",
        "WeightModifierParameter",
        "WeightRemapParameter",
    }
)


def refuse(module: str, *, everything: bool = False) -> Callable[[str], Any]:
    """Give a module the ``__getattr__`` that says what is not built.

    Parameters
    ----------
    module : str
        Full name of the module.
    everything : bool
        Whether nothing of the module is built. False: what is in `NAMES`.

    Returns
    -------
    callable
        It raises NotImplementedError for such names, and AttributeError for others.
    """

    def __getattr__(name: str) -> Any:
        # Python itself asks modules for names with underscores.
        if name in NAMES or (everything and not name.startswith("_")):
            raise NotImplementedError(
                f"{module}.{name} is not built yet; docs/features.md lists what is not"
            )
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__
