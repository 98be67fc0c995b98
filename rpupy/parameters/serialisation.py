"""Parameter objects as plain dictionaries, for state files (JSON, no pickle)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import attrs

from rpupy.errors import ConfigError, StateError

from . import enums
from .definition import Parameters, config_class

__all__ = ["from_dict", "to_dict"]


def to_dict(config: Parameters) -> dict[str, Any]:
    """Write a configuration as nested dictionaries that JSON can hold.

    Parameters
    ----------
    config : Parameters
        Any parameter object, fixed or not.

    Returns
    -------
    dict
        ``{"class": name, "fields": {field: value}}`` with every field; a nested object
        has the same form, an enum member is ``{"enum": "Type.MEMBER"}``.

    Raises
    ------
    StateError
        If the class, or that of a part, is not registered: it could not be read back.
    """
    cls = type(config)
    if config_class(cls.__name__) is not cls:
        raise StateError(
            f"{cls.__module__}.{cls.__qualname__} is not the registered class of "
            "that name; register it with rpupy.registry.register_device"
        )
    fields = {f.name: _plain(getattr(config, f.name)) for f in attrs.fields(cls)}
    return {"class": cls.__name__, "fields": fields}


def from_dict(
    data: Any, resolve: Callable[[str], type[Parameters]] = config_class
) -> Parameters:
    """Build the configuration that `to_dict` wrote.

    A field that is missing takes its default, so that files of older versions can be
    read.

    Parameters
    ----------
    data : dict
        What `to_dict` returned.
    resolve : callable
        Gives the class for a name, or raises StateError. Nothing that `data` names is
        imported or evaluated.

    Returns
    -------
    config
        A new object whose fields can be changed.

    Raises
    ------
    StateError
        If the form is not as written, or a class, field, enum member or value is not
        legal in this version.
    """
    try:
        return _object(data, resolve)
    except RecursionError:
        raise StateError("the saved configuration is nested too deeply") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Parameters):
        return to_dict(value)
    if isinstance(value, enum.Enum):
        return {"enum": str(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _object(data: Any, resolve: Callable[[str], type[Parameters]]) -> Parameters:
    if not isinstance(data, dict) or data.keys() != {"class", "fields"}:
        raise StateError("a saved configuration must have the keys class and fields")
    name, fields = data["class"], data["fields"]
    if not isinstance(name, str) or not isinstance(fields, dict):
        raise StateError("a saved configuration must hold a class name and a dict")
    cls = resolve(name)
    unknown = fields.keys() - {field.name for field in attrs.fields(cls)}
    if unknown:
        raise StateError(
            f"the saved {name} has fields that this version does not know: "
            f"{', '.join(sorted(map(str, unknown)))}"
        )
    values = {key: _value(value, resolve) for key, value in fields.items()}
    try:
        return cls(**values)
    except (ConfigError, NotImplementedError) as error:
        raise StateError(f"the saved {name} cannot be used: {error}") from error


def _value(data: Any, resolve: Callable[[str], type[Parameters]]) -> Any:
    if isinstance(data, list):
        return [_value(item, resolve) for item in data]
    if isinstance(data, dict):
        return (
            _member(data["enum"]) if data.keys() == {"enum"} else _object(data, resolve)
        )
    return data


def _member(name: Any) -> enum.Enum:
    kind, _, member = str(name).partition(".")
    if kind not in enums.__all__ or member not in getattr(enums, kind).__members__:
        raise StateError(
            f"the saved configuration names no known enum member: {name!r}"
        )
    found: enum.Enum = getattr(enums, kind)[member]
    return found
