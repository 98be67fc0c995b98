"""What each kind of field takes, how it stores it, and what it says otherwise."""

import math
import re
from enum import Enum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpupy.errors import ConfigError
from rpupy.parameters.base import Parameters, define, frozen_copy
from rpupy.parameters.fields import choice, flag, integer, part, real, text


class Colour(Enum):
    RED = "Red"
    BLUE = "Blue"
    GREY = "Grey"


@define
class Inner(Parameters):
    level: float = real(0.0)


@define
class Sample(Parameters):
    any_real: float = real(0.5)
    noise: float = real(0.0, low=0)
    prob: float = real(0.0, low=0, high=1)
    most: float = real(0.0, high=2)
    step: float = real(1.0, above=0)
    ratio: float = real(1.0, nonzero=True)
    later: float = real(0.0, pending=True)
    count: int = integer(3)
    length: int = integer(1, low=1, high=10)
    seed: int = integer(0, low=0, high=math.inf)
    switch: bool = flag(False)
    switch_later: bool = flag(True, pending=True)
    colour: Colour = choice(Colour.RED, pending=(Colour.BLUE,), refused=(Colour.GREY,))
    remark: str | None = text(None)
    inner: Inner = part(Inner)


LEGAL = [
    ("any_real", 3, 3.0),
    ("any_real", np.float32(0.25), 0.25),
    ("any_real", np.float16(2), 2.0),
    ("any_real", np.int8(-3), -3.0),
    ("any_real", -1e-300, -1e-300),
    ("any_real", 3e38, 3e38),
    ("noise", 0, 0.0),
    ("prob", 1, 1.0),
    ("most", -5, -5.0),
    ("ratio", -0.5, -0.5),
    ("later", 0, 0.0),
    ("count", np.int64(-7), -7),
    ("length", 10, 10),
    ("seed", 2**200, 2**200),
    ("switch", np.True_, True),
    ("switch_later", True, True),
    ("colour", Colour.RED, Colour.RED),
    ("colour", "Red", Colour.RED),
    ("remark", "x", "x"),
    ("remark", None, None),
]

ILLEGAL = [
    ("any_real", True, "must be a finite number, got True"),
    ("any_real", np.True_, f"must be a finite number, got {np.True_!r}"),
    ("any_real", None, "must be a finite number, got None"),
    ("any_real", "1", "must be a finite number, got '1'"),
    ("any_real", 1j, "must be a finite number, got 1j"),
    ("any_real", np.array([1.0]), "must be a finite number, got array([1.])"),
    ("any_real", math.nan, "must be a finite number, got nan"),
    ("any_real", -math.inf, "must be a finite number, got -inf"),
    ("any_real", 1e39, "must be a finite number in single precision, got 1e+39"),
    ("any_real", 10**400, "must be a finite number, got 1000"),
    ("noise", -0.1, "must be a finite number >= 0, got -0.1"),
    ("prob", 1.5, "must be a finite number in [0, 1], got 1.5"),
    ("most", 3, "must be a finite number <= 2, got 3"),
    ("step", 0, "must be a finite number > 0, got 0"),
    ("step", 1e-50, "must be a finite number > 0 in single precision, got 1e-50"),
    ("ratio", 0.0, "must be a finite number other than 0, got 0.0"),
    ("count", 3.0, "must be an integer in [-2147483647, 2147483647], got 3.0"),
    ("count", True, "must be an integer in [-2147483647, 2147483647], got True"),
    ("count", 2**31, "must be an integer in [-2147483647, 2147483647], got 2147483648"),
    ("length", 0, "must be an integer in [1, 10], got 0"),
    ("seed", -1, "must be an integer >= 0, got -1"),
    ("switch", 1, "must be True or False, got 1"),
    ("switch", None, "must be True or False, got None"),
    ("colour", "Green", "must be one of Colour.RED, Colour.BLUE, got 'Green'"),
    ("colour", "RED", "must be one of Colour.RED, Colour.BLUE, got 'RED'"),
    ("colour", "Grey", "must be one of Colour.RED, Colour.BLUE, got 'Grey'"),
    ("colour", Colour.GREY, "must be one of Colour.RED, Colour.BLUE, got Colour.GREY"),
    ("colour", 0, "must be one of Colour.RED, Colour.BLUE, got 0"),
    ("remark", 5, "must be a string or None, got 5"),
    ("inner", Inner, "must be of type Inner, got <class"),
    ("inner", None, "must be of type Inner, got None"),
]


@pytest.mark.parametrize(("field", "value", "stored"), LEGAL)
def test_legal(field: str, value: object, stored: object) -> None:
    assigned = Sample()
    setattr(assigned, field, value)
    for sample in (assigned, Sample(**{field: value})):
        assert getattr(sample, field) == stored
        assert type(getattr(sample, field)) is type(stored)


@pytest.mark.parametrize(("field", "value", "message"), ILLEGAL)
def test_illegal(field: str, value: object, message: str) -> None:
    sample = Sample()
    before = getattr(sample, field)
    message = "^" + re.escape(f"Sample.{field} {message}")
    with pytest.raises(ConfigError, match=message):
        setattr(sample, field, value)
    assert getattr(sample, field) is before
    with pytest.raises(ConfigError, match=message):
        Sample(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("later", 0.5, "Sample.later = 0.5 is not built yet; built: 0.0"),
        ("switch_later", False, "Sample.switch_later = False is not built yet"),
        ("colour", Colour.BLUE, "Sample.colour = Colour.BLUE is not built yet"),
        ("colour", "Blue", "Sample.colour = Colour.BLUE is not built yet"),
    ],
)
def test_not_built(field: str, value: object, message: str) -> None:
    sample = Sample()
    with pytest.raises(NotImplementedError, match=re.escape(message)):
        setattr(sample, field, value)
    with pytest.raises(NotImplementedError, match=re.escape(message)):
        Sample(**{field: value})
    assert sample == Sample()


def test_illegal_comes_before_not_built() -> None:
    with pytest.raises(ConfigError):
        Sample(later=math.nan)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float32_is_stored_as_it_is(value: float) -> None:
    assert Sample(any_real=value).any_real == value


@given(st.floats())
def test_a_refused_number_changes_nothing(value: float) -> None:
    sample = Sample(step=2.0)
    try:
        sample.step = value
    except ConfigError:
        assert not 1.2e-38 < value < 3.4e38
        assert sample.step == 2.0
    else:
        assert sample.step == value > 0
        assert 0 < np.float32(value) < np.inf


def test_parts_are_new_for_each_instance_and_kept_by_reference() -> None:
    assert Sample().inner is not Sample().inner
    inner = Inner(level=2.0)
    assert Sample(inner=inner).inner is inner


def test_fixed_part_is_thawed_for_its_new_owner() -> None:
    fixed = frozen_copy(Inner(level=2.0))
    sample = Sample(inner=fixed)
    sample.inner.level = 3.0
    assert fixed.level == 2.0
