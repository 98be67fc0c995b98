"""NumPy-first simulator of analog crossbar arrays (resistive processing units).

Tiles are in `rpupy.tiles`, their configurations in `rpupy.configs`; the README has a tour.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    import rpupy.rpu_base._cpu  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "rpupy.rpu_base._cpu":
        raise
    raise ImportError(
        "rpupy is not built here: run `pip install .` (or `pip install -e .`) in the"
        " source tree, or start Python in another folder to use an installed rpupy"
    ) from None

# The configuration classes have to be known before a state file is read.
from rpupy import configs as configs
from rpupy.about import config_info, show_config
from rpupy.threads import get_num_threads, set_num_threads

try:
    __version__ = version("rpupy")
except PackageNotFoundError:  # a tree that was built in place but not installed
    __version__ = "unknown"

__all__ = [
    "__version__",
    "config_info",
    "get_num_threads",
    "set_num_threads",
    "show_config",
]
