"""The classes have the fields, types, defaults and flags of the golden table."""

import enum
import json
from pathlib import Path

import attrs
import pytest

import rpupy.configs
from rpupy import parameters

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "data" / "parameters_slice.json").read_text()
)

# Read from the registry instead of stored.
PROPERTIES = {"tile_class", "tile_array_class"}
# Fields beyond the table: own ones, and those of the one linear chain of bases.
OWN_FIELDS = {
    "IOParameters": {"nm_decay": 1e-3, "nm_assumed_wmax": 0.6},
    "UpdateParameters": {"noise_aggregation": parameters.NoiseAggregation.PULSE},
    "MappableRPU": {"pre_post": parameters.PrePostProcessingParameter()},
    "SoftBoundsPmaxDevice": {"mapping": parameters.PmaxMapping.REFERENCE},
}
OWN_TYPES = {
    ("InputRangeParameter", "calibration_info"): "str | None",
    ("PiecewiseStepDevice", "piecewise_down"): "list[float]",
    ("PiecewiseStepDevice", "piecewise_up"): "list[float]",
    ("SingleRPUConfig", "device"): "PulsedDevice | IdealDevice",
}
#: Members that the reference lacks.
OF_RPUPY_ALONE = {"AnalogMVType": {"NODAL": "Nodal"}}


def find(name: str) -> type:
    """Look a class up where users import it from."""
    place = rpupy.configs if hasattr(rpupy.configs, name) else parameters
    return getattr(place, name)


def default(entry: dict) -> object:
    """Build the default value that the table describes."""
    value = entry["default"]
    if isinstance(value, dict) and "$enum" in value:
        kind, member = value["$enum"].split(".")
        assert find(kind)[member].value == value["value"]
        return find(kind)[member]
    if isinstance(value, dict):
        assert value.keys() == {"$class"}
        return find(value["$class"])()
    return value


@pytest.mark.parametrize("name", GOLDEN["classes"])
def test_fields_types_and_defaults(name: str) -> None:
    cls = find(name)
    table = {k: v for k, v in GOLDEN["classes"][name].items() if k not in PROPERTIES}
    own = OWN_FIELDS.get(name, {})
    fields = attrs.fields_dict(cls)
    assert fields.keys() == table.keys() | own.keys()
    instance = cls()
    for field, value in own.items():
        assert getattr(instance, field) == value
    for field, entry in table.items():
        value = getattr(instance, field)
        assert value == default(entry)
        kind = OWN_TYPES.get((name, field), entry["type"])
        declared = fields[field].type
        declared = declared if isinstance(declared, str) else declared.__name__
        assert declared == kind
        if kind in ("bool", "int", "float") and value is not None:
            assert type(value).__name__ == kind


@pytest.mark.parametrize("name", GOLDEN["classes"])
def test_flags(name: str) -> None:
    for field in attrs.fields(find(name)):
        entry = GOLDEN["classes"][name].get(field.name, {})
        assert bool(field.eq) == entry.get("compare", True)
        assert bool(field.metadata.get("always_show")) == entry.get(
            "always_show", False
        )
        assert bool(field.metadata.get("hide_default")) == ("hide_if" in entry)


@pytest.mark.parametrize("name", GOLDEN["classes"])
def test_docstring_explains_each_field_once(name: str) -> None:
    cls = find(name)
    text = "\n".join(base.__doc__ or "" for base in cls.__mro__ if base is not object)
    named = [
        word.strip()
        for line in text.splitlines()
        if " : " in line
        for word in line.split(" : ")[0].split(",")
    ]
    for field in attrs.fields(cls):
        assert named.count(field.name) == 1, field.name


@pytest.mark.parametrize("name", GOLDEN["enums"])
def test_enums(name: str) -> None:
    kind = getattr(parameters, name)
    assert issubclass(kind, enum.Enum)
    members = {m.name: m.value for m in kind}
    assert members == GOLDEN["enums"][name] | OF_RPUPY_ALONE.get(name, {})
    assert getattr(rpupy.configs.utils, name) is kind
