"""Which class does what: tiles, core tiles, and the kernels of devices.

Classes stand here as import paths and are imported when they are asked for, so that a
configuration can name its tile without loading anything compiled.
"""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from rpupy.configs import devices
from rpupy.configs.devices import Device, NumpyDevice
from rpupy.errors import BackendUnavailableError, ConfigError
from rpupy.parameters.base import RPUConfigBase, register_config_class
from rpupy.parameters.enums import PulseType
from rpupy.rpu_base import cuda

__all__ = [
    "available_backends",
    "core_class",
    "core_kind",
    "counterpart",
    "device_classes",
    "kernel_name",
    "register_device",
    "tile_class",
]

D = TypeVar("D", bound=type)

#: Kind of tile -> class that users build.
_TILES = {
    "analog": "rpupy.tiles.analog:AnalogTile",
    "floating_point": "rpupy.tiles.floating_point:FloatingPointTile",
}

#: The same class with its array elsewhere: kind of tile and backend -> class.
_COUNTERPARTS = {
    ("analog", "cuda"): "rpupy.tiles.cuda:CudaAnalogTile",
    ("floating_point", "cuda"): "rpupy.tiles.cuda:CudaFloatingPointTile",
    ("analog", "cuda_host"): "rpupy.tiles.cuda:CudaHostAnalogTile",
    ("floating_point", "cuda_host"): "rpupy.tiles.cuda:CudaHostFloatingPointTile",
}

#: Kind of tile and backend -> class that owns the arrays.
_CORES = {
    ("analog", "cpu"): "rpupy.rpu_base.core:CpuTile",
    ("compound", "cpu"): "rpupy.rpu_base.compound:CpuCompoundTile",
    ("floating_point", "cpu"): "rpupy.rpu_base.core:CpuTile",
    ("analog", "cuda"): "rpupy.rpu_base.device:CudaTile",
    ("compound", "cuda"): "rpupy.rpu_base.device:CudaCompoundTile",
    ("floating_point", "cuda"): "rpupy.rpu_base.device:CudaTile",
    ("analog", "cuda_host"): "rpupy.rpu_base.device:CudaHostTile",
    ("compound", "cuda_host"): "rpupy.rpu_base.device:CudaHostCompoundTile",
    ("floating_point", "cuda_host"): "rpupy.rpu_base.device:CudaHostTile",
}

#: What owns the arrays where the device is a NumPy function.
_NUMPY_CORE = "rpupy.rpu_base.numpy_device:NumpyDeviceTile"

_BACKENDS = ("cpu", "cuda")
#: The CUDA kernels compiled for the host: for tests, and in no list that users see.
_HOST = "cuda_host"


def tile_class(config: RPUConfigBase) -> type[Any]:
    """Find the class of the tiles for a configuration.

    Parameters
    ----------
    config : RPUConfigBase
        An RPU configuration.

    Returns
    -------
    type
        Such as `rpupy.tiles.AnalogTile`.

    Raises
    ------
    TypeError
        If this is no RPU configuration.
    ConfigError
        If its class is only a base of configurations.
    """
    if not isinstance(config, RPUConfigBase):
        raise TypeError(
            f"config must be an RPU configuration, got {type(config).__name__}"
        )
    kind = config.tile_kind
    if kind is None:
        raise ConfigError(
            f"{type(config).__name__} is only a base of configurations and has no tile;"
            " take one such as SingleRPUConfig"
        )
    if kind not in _TILES:
        raise ConfigError(
            f"{type(config).__name__}.tile_kind must be one of {_listed(_TILES)},"
            f" got {kind!r}"
        )
    return _imported(_TILES[kind])


def core_class(kind: str, backend: str, device: Any = None) -> type[Any]:
    """Find the class that owns the arrays of a tile.

    Parameters
    ----------
    kind : str
        Kind of array: what `core_kind` says.
    backend : str
        ``"cpu"``, ``"cuda"``, or ``"cuda_host"``: the CUDA kernels compiled for the
        host, for tests.
    device : Device, optional
        Device of the configuration; a `NumpyDevice` has a class of its own.

    Returns
    -------
    type
        Such as `rpupy.rpu_base.core.CpuTile`.

    Raises
    ------
    NotImplementedError
        If the device is a `NumpyDevice` and the backend not ``"cpu"``.
    ValueError
        If there is no such kind or backend.
    BackendUnavailableError
        If the backend cannot be used here; the message says why.
    """
    kinds = {kind for kind, _ in _CORES}
    if kind not in kinds:
        raise ValueError(f"kind must be one of {_listed(kinds)}, got {kind!r}")
    _check_available(backend)
    if isinstance(device, NumpyDevice):
        if backend != "cpu":
            raise NotImplementedError(
                f"{type(device).__name__} is a NumpyDevice and runs on CPU tiles only,"
                f" not on {backend}; write it in C++ for that (docs/add_a_device.md)"
            )
        return _imported(_NUMPY_CORE)
    return _imported(_CORES[kind, backend])


def core_kind(config: RPUConfigBase) -> str:
    """Name the kind of array that a configuration asks for.

    Parameters
    ----------
    config : RPUConfigBase
        An RPU configuration.

    Returns
    -------
    str
        The kind of its tiles, or ``"compound"`` for several devices at a crosspoint.
    """
    update = getattr(config, "update", None)
    if update is not None and update.pulse_type is PulseType.NONE:
        return str(config.tile_kind)
    return str(getattr(config, "core_kind", config.tile_kind))


def counterpart(kind: str, backend: str) -> type[Any]:
    """Find the class of tiles of a kind whose array is elsewhere.

    Parameters
    ----------
    kind : str
        Kind of tile: the `tile_kind` of a configuration.
    backend : str
        As in `core_class`.

    Returns
    -------
    type
        Such as `rpupy.tiles.CudaAnalogTile`.

    Raises
    ------
    ValueError
        If there is no such kind or backend.
    BackendUnavailableError
        If the backend cannot be used here; the message says why.
    """
    _check_backend(kind, backend)
    return _imported(_TILES[kind] if backend == "cpu" else _COUNTERPARTS[kind, backend])


def _check_backend(kind: str, backend: str) -> None:
    if kind not in _TILES:
        raise ValueError(f"kind must be one of {_listed(_TILES)}, got {kind!r}")
    _check_available(backend)


def _check_available(backend: str) -> None:
    if backend not in (*_BACKENDS, _HOST):
        raise ValueError(
            f"backend must be one of {_listed(_BACKENDS)}, got {backend!r}"
        )
    if backend == "cuda" and not cuda.is_available():
        raise BackendUnavailableError(
            f"CUDA is not available: {cuda.why_unavailable()}"
        )
    if backend == _HOST and not cuda.is_host_compiled():
        raise BackendUnavailableError(
            "the CUDA kernels were not compiled for the host: RPUPY_CUDA_HOST=0"
        )


def available_backends() -> tuple[str, ...]:
    """List the backends that can be used here.

    Returns
    -------
    tuple of str
        ``"cpu"``, and ``"cuda"`` if there is a GPU that rpupy was built for.
    """
    return _BACKENDS if cuda.is_available() else ("cpu",)


def kernel_name(device: Any) -> str:
    """Name the kernel of a device configuration.

    Parameters
    ----------
    device : Device or type
        A device configuration, or its class.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        If it names none. Whether a kernel of that name exists is checked where a core
        tile is built.
    """
    name = getattr(device, "kernel", "")
    if not isinstance(name, str) or not name:
        cls = device if isinstance(device, type) else type(device)
        raise ConfigError(
            f"{cls.__name__}.kernel must be the name of a kernel, got {name!r}"
        )
    return name


def device_classes() -> tuple[type[Device], ...]:
    """List the device configurations of rpupy that have a kernel.

    Returns
    -------
    tuple of type
        Every class that `rpupy.configs.devices` exports, but for those that are only a
        base of others, in alphabetic order.
    """
    exported = (getattr(devices, name) for name in sorted(devices.__all__))
    return tuple(cls for cls in exported if issubclass(cls, Device) and cls.kernel)


def register_device(config_class: D) -> D:
    """Make a device configuration of one's own known to rpupy, for state files.

    Any subclass of a device works in a tile as it is. State files hold names of
    classes, though, and a name is only ever looked up among registered classes:
    register the class in the script that loads the file, too.

    Parameters
    ----------
    config_class : type
        Subclass of `rpupy.configs.devices.Device`, decorated with
        `rpupy.parameters.define`, whose class attribute `kernel` names a kernel that
        exists. Fields and kernel are compared where a core tile is built.

    Returns
    -------
    type
        The class itself, so that this works as a decorator.

    Raises
    ------
    TypeError
        If this is not the class of a device.
    ConfigError
        If it was not made by `define`, names no kernel, or takes the name of another
        class.

    Examples
    --------
    >>> from rpupy.configs import ConstantStepDevice
    >>> from rpupy.parameters import define
    >>> from rpupy.registry import register_device
    >>> @register_device
    ... @define
    ... class CoarseDevice(ConstantStepDevice):
    ...     dw_min: float = 0.01
    >>> CoarseDevice().dw_min
    0.01
    """
    if not (isinstance(config_class, type) and issubclass(config_class, Device)):
        raise TypeError(
            f"config_class must be a subclass of Device, got {config_class!r}"
        )
    if "__attrs_attrs__" not in vars(config_class):
        raise ConfigError(
            f"{config_class.__name__} must be decorated with rpupy.parameters.define"
        )
    kernel_name(config_class)
    register_config_class(config_class)
    return config_class


def _imported(path: str) -> type[Any]:
    module, _, name = path.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names))
