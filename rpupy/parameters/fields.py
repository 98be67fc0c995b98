"""Helpers that declare one field of a parameter class, together with its checks.

Each helper returns an attrs field whose converter checks the value, whenever it is set,
and stores it in one plain type. The keywords of the helper stay readable in the field's
``metadata``, so that test strategies and tables can be derived from the declaration.
"""

from __future__ import annotations

import enum
import math
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from rpupy.errors import ConfigError

from .definition import Parameters, _is_fixed, thawed_copy
from .effects import Effect, Setting

__all__ = [
    "choice",
    "derived",
    "flag",
    "integer",
    "part",
    "parts",
    "real",
    "reals",
    "text",
]

# The kernels compute in single precision and with 32-bit integers.
FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)
INT32_MAX = 2**31 - 1

NUMBERS = (int, float, np.integer, np.floating)


def real(
    default: float,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    nonzero: bool = False,
    pending: bool = False,
    effect: Effect | Setting | None = None,
) -> Any:
    """Declare a float: any finite real number that single precision can hold.

    Parameters
    ----------
    default : float
        Default value.
    low, above, high : float, optional
        Legal range: ``low <= value``, ``above < value``, ``value <= high``.
    nonzero : bool
        Whether zero is refused.
    pending : bool
        Whether any value but the default is not built yet.
    effect : Effect or Setting, optional
        What the field does; `explain`, `without` and printing go by it.

    Returns
    -------
    attrs field
    """
    rule = "a finite number"
    if low is not None and high is not None:
        rule += f" in [{low:g}, {high:g}]"
    elif low is not None:
        rule += f" >= {low:g}"
    elif high is not None:
        rule += f" <= {high:g}"
    elif above is not None:
        rule += f" > {above:g}"
    if nonzero:
        rule += " other than 0"

    def check(value: Any, instance: Parameters, field: attrs.Attribute[Any]) -> float:
        if not isinstance(value, NUMBERS) or isinstance(value, bool):
            raise _illegal(instance, field, rule, value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if (
            not math.isfinite(number)
            or (low is not None and number < low)
            or (above is not None and number <= above)
            or (high is not None and number > high)
            or (nonzero and number == 0)
        ):
            raise _illegal(instance, field, rule, value)
        vanishes = 0 < abs(number) < FLOAT32_TINY and (nonzero or above == 0)
        if abs(number) > FLOAT32_MAX or vanishes:
            raise _illegal(instance, field, f"{rule} in single precision", value)
        if pending and number != default:
            raise _not_built(instance, field, number, default)
        return number

    return _field(
        check,
        default,
        kind="real",
        low=low,
        above=above,
        high=high,
        nonzero=nonzero,
        pending=pending and f"other than {default:g}",
        effect=effect,
    )


def reals(
    default: Sequence[float],
    *,
    most: int,
    least: int = 1,
    effect: Effect | Setting | None = None,
) -> Any:
    """Declare a list of finite real numbers that single precision can hold.

    Parameters
    ----------
    default : sequence of float
        Default values.
    most, least : int
        How many there may be, and how many there must be.
    effect : Effect or Setting, optional
        What the field does to a tile.

    Returns
    -------
    attrs field
    """
    rule = f"a list of {least} to {most} finite numbers"

    def check(
        value: Any, instance: Parameters, field: attrs.Attribute[Any]
    ) -> list[float]:
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = list(value)
        if not isinstance(value, (list, tuple)):
            raise _illegal(instance, field, rule, value)
        if not least <= len(value) <= most:
            raise _illegal(instance, field, rule, f"{len(value)} numbers")
        for number in value:
            legal = isinstance(number, NUMBERS) and not isinstance(number, bool)
            # Comparing takes integers of any size, and NaN compares as False.
            if not legal or not abs(number) <= FLOAT32_MAX:
                raise _illegal(instance, field, rule, number)
        return [float(number) for number in value]

    return _field(
        check,
        attrs.Factory(lambda: [float(v) for v in default]),
        kind="reals",
        most=most,
        hide_default=least == 0,
        effect=effect,
    )


def derived() -> Any:
    """Declare a float that other fields decide; a value that is set is not used.

    Returns
    -------
    attrs field
    """

    def check(
        value: Any, instance: Parameters, field: attrs.Attribute[Any]
    ) -> float | None:
        if value is None:
            return None
        if (
            not isinstance(value, NUMBERS)
            or isinstance(value, bool)
            or not abs(value) <= FLOAT32_MAX
        ):
            raise _illegal(instance, field, "a finite number or None", value)
        return float(value)

    return _field(check, None, kind="derived", hide_default=True)


def integer(
    default: int,
    *,
    low: int = -INT32_MAX,
    high: float = INT32_MAX,
    effect: Effect | Setting | None = None,
) -> Any:
    """Declare an int in a closed range (default: what 32 bits hold).

    Parameters
    ----------
    default : int
        Default value.
    low : int
        Smallest legal value.
    high : int or infinity
        Largest legal value.
    effect : Effect or Setting, optional
        What the field does; `explain`, `without` and printing go by it.

    Returns
    -------
    attrs field
    """
    rule = (
        f"an integer >= {low}" if high == math.inf else f"an integer in [{low}, {high}]"
    )

    def check(value: Any, instance: Parameters, field: attrs.Attribute[Any]) -> int:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or not low <= value <= high:
            raise _illegal(instance, field, rule, value)
        return int(value)

    return _field(check, default, kind="integer", low=low, high=high, effect=effect)


def flag(
    default: bool,
    *,
    pending: bool = False,
    always_show: bool = False,
    effect: Effect | Setting | None = None,
) -> Any:
    """Declare a bool.

    Parameters
    ----------
    default : bool
        Default value.
    pending : bool
        Whether the other value is not built yet.
    always_show : bool
        Whether printing shows the field at its default too.
    effect : Effect or Setting, optional
        What the field does; `explain`, `without` and printing go by it.

    Returns
    -------
    attrs field
    """

    def check(value: Any, instance: Parameters, field: attrs.Attribute[Any]) -> bool:
        if not isinstance(value, (bool, np.bool_)):
            raise _illegal(instance, field, "True or False", value)
        if pending and bool(value) != default:
            raise _not_built(instance, field, value, default)
        return bool(value)

    return _field(
        check,
        default,
        kind="flag",
        pending=pending and str(not default),
        always_show=always_show,
        effect=effect,
    )


def choice(
    default: enum.Enum,
    *,
    pending: tuple[enum.Enum, ...] = (),
    refused: tuple[enum.Enum, ...] = (),
    effect: Effect | Setting | None = None,
) -> Any:
    """Declare an enum: a member is accepted, and so is the value of one.

    Parameters
    ----------
    default : enum member
        Default value; decides the enum.
    pending : tuple of enum members
        Members that are not built yet.
    refused : tuple of enum members
        Members that exist and are never legal here.
    effect : Effect or Setting, optional
        What the field does; `explain`, `without` and printing go by it.

    Returns
    -------
    attrs field
    """
    kind = type(default)
    legal = [member for member in kind if member not in refused]
    rule = f"one of {', '.join(str(member) for member in legal)}"

    def check(
        value: Any, instance: Parameters, field: attrs.Attribute[Any]
    ) -> enum.Enum:
        member = value
        if isinstance(value, str):
            member = next((m for m in legal if m.value == value), None)
        if not isinstance(member, kind) or member in refused:
            raise _illegal(instance, field, rule, value)
        if member in pending:
            raise _not_built(
                instance, field, member, *(m for m in legal if m not in pending)
            )
        return member

    return _field(
        check,
        default,
        kind="choice",
        members=tuple(legal),
        later=pending,
        pending=", ".join(member.name for member in pending),
        effect=effect,
    )


def text(default: str | None) -> Any:
    """Declare a string, or None.

    Parameters
    ----------
    default : str or None
        Default value.

    Returns
    -------
    attrs field
    """

    def check(
        value: Any, instance: Parameters, field: attrs.Attribute[Any]
    ) -> str | None:
        if value is not None and not isinstance(value, str):
            raise _illegal(instance, field, "a string or None", value)
        return value

    return _field(check, default, kind="text")


def parts(kinds: Callable[[], tuple[type[Parameters], ...]]) -> Any:
    """Declare a list of nested parameter objects, empty by default.

    Parameters
    ----------
    kinds : callable
        Gives the classes that are accepted, with their subclasses; called when a value
        is set, so that a class may name itself.

    Returns
    -------
    attrs field
    """

    def check(
        value: Any, instance: Parameters, field: attrs.Attribute[Any]
    ) -> list[Parameters]:
        accepted = kinds()
        rule = f"a list of {' or '.join(kind.__name__ for kind in accepted)}"
        if not isinstance(value, (list, tuple)):
            raise _illegal(instance, field, rule, value)
        for entry in value:
            if not isinstance(entry, accepted):
                raise _illegal(instance, field, rule, entry)
        return [thawed_copy(v) if _is_fixed(v) else v for v in value]

    return _field(check, attrs.Factory(list), kind="parts")


def part(
    factory: type[Parameters],
    *,
    default: Callable[[], Parameters] | None = None,
    kinds: tuple[type[Parameters], ...] = (),
    compare: bool = True,
    hide_default: bool = False,
    acts_on: str = "",
) -> Any:
    """Declare a nested parameter object, made anew for each instance.

    A part of a tile's fixed configuration is copied, so that the new owner can
    change it.

    Parameters
    ----------
    factory : type
        Class of the default, built without arguments.
    default : callable, optional
        Builds the default instead.
    kinds : tuple of types
        Classes that are accepted, with their subclasses; default: `factory`.
    compare : bool
        Whether the field counts for equality.
    hide_default : bool
        Whether printing leaves the field out at its default.
    acts_on : str
        Calls that the effects of the part show in, where they name none themselves.

    Returns
    -------
    attrs field
    """
    accepted = kinds or (factory,)
    rule = f"of type {' or '.join(kind.__name__ for kind in accepted)}"

    def check(
        value: Any, instance: Parameters, field: attrs.Attribute[Any]
    ) -> Parameters:
        if not isinstance(value, accepted):
            raise _illegal(instance, field, rule, value)
        return thawed_copy(value) if _is_fixed(value) else value

    return _field(
        check,
        attrs.Factory(default or factory),
        eq=compare,
        kind="part",
        hide_default=hide_default,
        acts_on=acts_on,
    )


def _field(check: Any, default: Any, *, eq: bool = True, **metadata: Any) -> Any:
    converter: Any = attrs.Converter(check, takes_self=True, takes_field=True)
    return attrs.field(default=default, converter=converter, eq=eq, metadata=metadata)


def _name(instance: Parameters, field: attrs.Attribute[Any]) -> str:
    return f"{type(instance).__name__}.{field.name}"


def _illegal(
    instance: Parameters, field: attrs.Attribute[Any], rule: str, value: Any
) -> ConfigError:
    if isinstance(value, Parameters):
        shown = type(value).__name__
    else:
        shown = str(value) if isinstance(value, enum.Enum) else reprlib.repr(value)
    return ConfigError(f"{_name(instance, field)} must be {rule}, got {shown}")


def _not_built(
    instance: Parameters, field: attrs.Attribute[Any], value: Any, *built: Any
) -> NotImplementedError:
    return NotImplementedError(
        f"{_name(instance, field)} = {value} is not built yet; "
        f"built: {', '.join(str(item) for item in built)}"
    )
