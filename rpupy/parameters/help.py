"""What `help` shows of a parameter class: a signature with types, and inherited fields."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["inherited_fields", "signature"]

_OTHERS = "\n\nOther Parameters\n----------------\n"
#: A line such as ``w_min, w_max : float`` in the first section of parameters.
_ENTRY = re.compile(r"^(\w+(?:, \w+)*) : ", re.MULTILINE)


class _Made:
    """A default that each object gets anew; prints as what is made."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __repr__(self) -> str:
        return " ".join(repr(self.make()).split())


def signature(cls: type[Any]) -> inspect.Signature:
    """Give the constructor with the types and defaults of the fields.

    attrs itself shows what the converters take, which is anything.

    Parameters
    ----------
    cls : type
        A class that attrs has made.

    Returns
    -------
    inspect.Signature
    """
    entries = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for field in attrs.fields(cls):
        default = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = _Made(default.factory)
        entries.append(
            inspect.Parameter(
                field.alias,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=field.type,
            )
        )
    return inspect.Signature(entries, return_annotation=None)


def inherited_fields(cls: type[Any]) -> str:
    """Say which class describes the fields that the docstring of `cls` leaves out.

    Parameters
    ----------
    cls : type
        A class that attrs has made.

    Returns
    -------
    str
        A section for the end of the docstring; empty if nothing is left out.
    """
    left = [field.name for field in attrs.fields(cls)]
    rows = []
    for base in cls.__mro__:
        described = _described(base)
        names = [name for name in left if name in described]
        if names and base is not cls:
            listed = textwrap.indent(textwrap.fill(", ".join(names), 76), "    ")
            rows.append(f"as in `{base.__name__}`\n{listed}")
        left = [name for name in left if name not in described]
    return _OTHERS + "\n".join(rows) if rows else ""


def _described(cls: type[Any]) -> set[str]:
    """List the parameters that the docstring of a class describes itself."""
    text = inspect.cleandoc(vars(cls).get("__doc__") or "").partition(_OTHERS)[0]
    return {name for entry in _ENTRY.findall(text) for name in entry.split(", ")}
