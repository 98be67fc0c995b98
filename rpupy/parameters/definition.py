"""How a parameter class is made: its base class, the decorator, copies that stay fixed.

`fields.py` beside this has the helpers that declare a single field.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import importlib
import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import attrs

from rpupy.errors import ConfigError, StateError

from .help import inherited_fields, signature

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
elif TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        """Stand in for `typing.dataclass_transform`, which only type checkers read."""
        return lambda decorated: decorated


__all__ = [
    "Parameters",
    "config_class",
    "define",
    "frozen_copy",
    "pending_settings",
    "register_config_class",
    "thawed_copy",
]

P = TypeVar("P", bound="Parameters")


class Parameters:
    """Base of every parameter class: printing, validation, pickling, fixing.

    Subclasses are decorated with `define`. Fields are checked one by one whenever they
    are set; rules that tie several fields together are checked by `validate`.
    """

    __slots__ = ("__weakref__", "_fixed")

    # Set by frozen_copy alone; an unset slot means that fields can be assigned.
    _fixed: bool

    #: Other names of fields, which scripts may use: name -> field.
    aliases: ClassVar[dict[str, str]] = {}

    # attrs.fields of the class; attrs writes it when `define` runs.
    __attrs_attrs__: ClassVar[tuple[Any, ...]]

    def validate(self) -> None:
        """Check the rules between fields, here and in all nested parts.

        A tile calls this on its own copy of the configuration. Subclasses extend it
        and call ``super().validate()`` first.

        Raises
        ------
        ConfigError
            If a combination of fields is not legal.
        """
        cls = type(self)
        if "__attrs_attrs__" not in vars(cls):
            raise ConfigError(
                f"{cls.__name__} must be decorated with rpupy.parameters.base.define, "
                "or what its body declares is not seen"
            )
        for part in _parts(self):
            part.validate()

    def __delattr__(self, name: str) -> None:
        """Refuse: a field always has a value."""
        raise AttributeError(
            f"{type(self).__name__}.{name} cannot be deleted; assign its default"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Give the fields, and whether they are fixed, to copy and pickle."""
        state = {name: getattr(self, name) for name in _field_names(type(self))}
        state["_fixed"] = _is_fixed(self)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the fields back without checking them again."""
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Print the fields that differ from their defaults."""
        entries = [
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in _shown_fields(self)
        ]
        one_line = len(entries) <= 3 and not any("\n" in entry for entry in entries)
        return f"{type(self).__name__}({_listed(entries, one_line)})"


@dataclass_transform(kw_only_default=True)
def define(cls: type[P]) -> type[P]:
    """Turn a class body into a parameter class (slots, keyword-only, checked).

    A subclass that gives a field only a new default (``dw_min: float = 0.01``) keeps
    the checks that the field has in its base class. Classes of rpupy itself are known
    to `config_class` at once, others after `register_config_class`.

    Parameters
    ----------
    cls : type
        Subclass of `Parameters` whose fields are made by the helpers in `fields`.

    Returns
    -------
    type
        The finished class.
    """
    made: type[P] = attrs.define(
        cls,
        kw_only=True,
        repr=False,
        getstate_setstate=False,
        on_setattr=[_refuse_if_fixed, attrs.setters.convert, attrs.setters.validate],
        field_transformer=_keep_inherited_checks,
    )
    _explain_unknown_fields(made)
    if made.__doc__:
        made.__doc__ = inspect.cleandoc(made.__doc__) + inherited_fields(made)
    if made.__module__.partition(".")[0] == "rpupy":
        register_config_class(made)
    return made


def frozen_copy(config: P) -> P:
    """Copy a configuration deeply; the fields of the copy refuse to change.

    This holds at any depth, lists become tuples, and copies and pickles of the result
    refuse changes too.

    Parameters
    ----------
    config : Parameters
        Any parameter object.

    Returns
    -------
    config
        An equal object of the same class.
    """
    return _set_fixed(copy.deepcopy(config), True)


def thawed_copy(config: P) -> P:
    """Copy a configuration deeply into one that can be changed; undoes `frozen_copy`.

    Parameters
    ----------
    config : Parameters
        Any parameter object.

    Returns
    -------
    config
        An equal object of the same class.
    """
    return _set_fixed(copy.deepcopy(config), False)


# --- classes by name, for state files -------------------------------------------------

_CLASSES: dict[str, type[Parameters]] = {}


def register_config_class(cls: type[P]) -> type[P]:
    """Let state files name this class.

    Parameters
    ----------
    cls : type
        A class made by `define`.

    Returns
    -------
    type
        The class itself, so that this works as a decorator.

    Raises
    ------
    ConfigError
        If another class of that name is known. The same class defined again (a notebook
        cell run twice) replaces the former one.
    """
    known = _CLASSES.get(cls.__name__, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ConfigError(
            f"{cls.__module__}.{cls.__qualname__} must have a name of its own: "
            f"{cls.__name__} is {known.__module__}.{known.__qualname__}"
        )
    _CLASSES[cls.__name__] = cls
    return cls


def config_class(name: str) -> type[Parameters]:
    """Look up a registered parameter class.

    The presets of rpupy are loaded for a name that is not known. Nothing else is ever
    imported, whatever the name.

    Parameters
    ----------
    name : str
        Name of the class, without module.

    Returns
    -------
    type
        The class.

    Raises
    ------
    StateError
        If no class of that name is registered.
    """
    if name not in _CLASSES:
        # They are many and seldom needed, so that `import rpupy` leaves them out.
        importlib.import_module("rpupy.presets")
    try:
        return _CLASSES[name]
    except KeyError:
        raise StateError(
            f"no configuration class named {name!r} is registered; "
            "register user classes with rpupy.registry.register_device"
        ) from None


def pending_settings() -> list[tuple[str, str, str]]:
    """List the settings that are declared and not built yet.

    Returns
    -------
    list of (str, str, str)
        Class, field, and which values raise NotImplementedError.
    """
    return [
        (name, field.name, field.metadata["pending"])
        for name, cls in sorted(_CLASSES.items())
        for field in attrs.fields(cls)
        if field.metadata.get("pending") and not field.inherited
    ]


# --- details --------------------------------------------------------------------------


def _field_names(cls: type[Parameters]) -> list[str]:
    return [field.name for field in attrs.fields(cls)]


def _parts(config: Parameters) -> Iterator[Parameters]:
    for name in _field_names(type(config)):
        value = getattr(config, name)
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, Parameters):
                yield item


def _is_fixed(config: Parameters) -> bool:
    return getattr(config, "_fixed", False)


def _set_fixed(value: Any, fixed: bool) -> Any:
    if isinstance(value, Parameters):
        for name in _field_names(type(value)):
            part = _set_fixed(getattr(value, name), fixed)
            object.__setattr__(value, name, part)
        object.__setattr__(value, "_fixed", fixed)
    elif isinstance(value, (list, tuple)):
        return (tuple if fixed else list)(_set_fixed(item, fixed) for item in value)
    return value


def _refuse_if_fixed(
    instance: Parameters, field: attrs.Attribute[Any], value: Any
) -> Any:
    if _is_fixed(instance):
        raise dataclasses.FrozenInstanceError(
            f"{type(instance).__name__}.{field.name} belongs to the configuration of a "
            "tile, which is fixed; change a copy (rpupy.parameters.base.thawed_copy) "
            "and build a new tile"
        )
    return value


def _keep_inherited_checks(cls: type, fields: list[Any]) -> list[Any]:
    """Give a field that only has a new default the checks of the field it replaces."""
    kept = []
    for field in fields:
        if isinstance(field.default, Parameters):
            raise ConfigError(
                f"{cls.__name__}.{field.name} must not share one mutable default; "
                "declare it with part(factory)"
            )
        if field.inherited and field.name in vars(cls):
            raise ConfigError(
                f"{cls.__name__}.{field.name} must be declared with its type to get "
                f"another default ({field.name}: {field.type} = ...)"
            )
        if not field.inherited and field.converter is None:
            for base in cls.__mro__[1:]:
                declared = getattr(base, "__attrs_attrs__", ())
                former = next((f for f in declared if f.name == field.name), None)
                if former is not None:
                    field = former.evolve(default=field.default, inherited=False)
                    break
        kept.append(field)
    return kept


def _explain_unknown_fields(cls: type[Parameters]) -> None:
    """Let construction and assignment name an unknown field and a near one."""
    known = frozenset(field.alias for field in attrs.fields(cls))
    init: Any = cls.__init__
    assign: Any = cls.__setattr__

    def explain(name: str) -> str:
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{cls.__name__} has no field {name!r}{hint}"

    @functools.wraps(init)
    def __init__(self: Parameters, *args: Any, **fields: Any) -> None:
        for alias in cls.aliases.keys() & fields.keys():
            if cls.aliases[alias] in fields:
                raise TypeError(
                    f"{cls.__name__} must get one of {alias} and {cls.aliases[alias]}"
                )
            fields[cls.aliases[alias]] = fields.pop(alias)
        for name in fields:
            if name not in known:
                raise TypeError(explain(name))
        init(self, *args, **fields)

    @functools.wraps(assign)
    def __setattr__(self: Parameters, name: str, value: Any) -> None:
        name = cls.aliases.get(name, name)
        if not hasattr(type(self), name):
            raise AttributeError(explain(name))
        assign(self, name, value)

    shown: Any = __init__
    shown.__signature__ = signature(cls)
    wrapped: Any = cls
    for alias, field in cls.aliases.items():
        setattr(wrapped, alias, property(operator.attrgetter(field)))
    wrapped.__init__ = __init__
    wrapped.__setattr__ = __setattr__


def _shown_fields(config: Parameters) -> Iterator[attrs.Attribute[Any]]:
    perfect = getattr(config, "is_perfect", False)
    for field in attrs.fields(type(config)):
        if perfect:
            shown = field.name == "is_perfect"
        elif field.metadata.get("always_show"):
            shown = True
        elif not isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
            shown = getattr(config, field.name) != field.default
        elif field.metadata.get("hide_default"):
            value = getattr(config, field.name)
            # Lists of a fixed configuration are tuples.
            value = list(value) if isinstance(value, tuple) else value
            shown = value != field.default.factory()
        else:
            shown = True
        if shown:
            yield field


def _text(value: Any) -> str:
    if isinstance(value, Parameters):
        return repr(value)
    if isinstance(value, (list, tuple)):
        start, end = "[]" if isinstance(value, list) else "()"
        return start + _listed([_text(item) for item in value], not value) + end
    return repr(value) if isinstance(value, str) else str(value)


def _listed(entries: list[str], one_line: bool) -> str:
    if one_line:
        return ", ".join(entries)
    lines = ",\n".join(entries).replace("\n", "\n    ")
    return f"\n    {lines}\n"
