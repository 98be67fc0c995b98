"""What `help` shows of a parameter class."""

import inspect
import re

import attrs
import pytest

from rpupy import configs, presets
from rpupy.configs import (
    IOParameters,
    LinearStepDevice,
    SingleRPUConfig,
    TransferCompound,
    VectorUnitCell,
)
from rpupy.parameters.base import Parameters, define, part, real

CLASSES = [
    value
    for module in (configs, presets)
    for value in (getattr(module, name) for name in module.__all__)
    if isinstance(value, type) and issubclass(value, Parameters)
]


def test_a_signature_has_types_and_defaults() -> None:
    shown = inspect.signature(LinearStepDevice).parameters
    assert shown["w_min"].annotation == "float"
    assert shown["w_min"].default == -0.6
    assert shown["w_min"].kind is inspect.Parameter.KEYWORD_ONLY
    assert str(shown["drift"]) == "drift: 'DriftParameter' = DriftParameter()"
    device = inspect.signature(SingleRPUConfig).parameters["device"]
    assert repr(device.default) == "ConstantStepDevice()"
    update = inspect.signature(TransferCompound).parameters["transfer_update"]
    assert "\n" not in repr(update.default)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_help_leads_to_every_field(cls: type[Parameters]) -> None:
    names = {field.name for field in attrs.fields(cls)} if attrs.has(cls) else set()
    assert set(inspect.signature(cls).parameters) == names
    lines = [line.strip() for line in inspect.getdoc(cls).splitlines()]
    own, _, others = "\n".join(lines).partition("\nOther Parameters\n")
    listed = {
        word
        for line in own.splitlines()
        if " : " in line
        for word in line.partition(" : ")[0].split(", ")
    }
    listed |= {
        word
        for line in others.splitlines()
        if "`" not in line
        for word in line.strip(",").split(", ")
    }
    assert names <= listed


def test_inherited_fields_are_listed_with_the_class_that_describes_them() -> None:
    text = inspect.getdoc(VectorUnitCell)
    assert text.endswith(
        "Other Parameters\n----------------\n"
        "as in `UnitCell`\n    unit_cell_devices, construction_seed"
    )
    assert "Other Parameters" not in inspect.getdoc(IOParameters)


def test_classes_of_ones_own() -> None:
    @define
    class Own(LinearStepDevice):
        """A device.

        Parameters
        ----------
        w_min, gain : float
            Bound and gain.
        """

        w_min: float = -0.5
        gain: float = real(1.0)

    text = inspect.getdoc(Own)
    others = re.findall(r"\w+", text.partition("Other Parameters")[2])
    assert "w_max" in others and "w_min" not in others

    @define
    class Silent(LinearStepDevice):
        part: IOParameters = part(IOParameters)

    assert Silent.__doc__ is None
    assert inspect.signature(Silent).parameters["part"].annotation is IOParameters
