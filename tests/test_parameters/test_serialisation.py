"""Configurations survive the way through plain JSON; nothing else gets in."""

import copy
import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpupy import configs
from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IOParameters,
    SingleRPUConfig,
)
from rpupy.errors import ConfigError, StateError
from rpupy.parameters.base import (
    Parameters,
    config_class,
    define,
    from_dict,
    frozen_copy,
    register_config_class,
    to_dict,
)

CLASSES = [
    SingleRPUConfig,
    FloatingPointRPUConfig,
    configs.ConstantStepDevice,
    configs.IdealDevice,
    configs.LinearStepDevice,
    configs.SoftBoundsDevice,
    configs.SoftBoundsPmaxDevice,
    configs.PiecewiseStepDevice,
    configs.MappingParameter,
]


def values(field: attrs.Attribute) -> st.SearchStrategy:
    """Legal values of a field, from what its declaration says."""
    rule = field.metadata
    match rule["kind"]:
        case "part":
            return objects(field.default.factory)
        case "choice":
            return st.sampled_from(
                [m for m in rule["members"] if m not in rule["later"]]
            )
        case _ if rule.get("pending"):
            return st.just(field.default)
        case "flag":
            return st.booleans()
        case "reals":
            number = st.floats(width=32, allow_nan=False, allow_infinity=False)
            return st.lists(number, min_size=1, max_size=rule["most"])
        case "derived":
            return st.none() | st.floats(
                width=32, allow_nan=False, allow_infinity=False
            )
        case "text":
            return st.none() | st.text()
        case "integer":
            high = min(rule["high"], 2**128)
            return st.integers(rule["low"], int(high))
        case "real":
            low = rule["above"] if rule["low"] is None else rule["low"]
            numbers = st.floats(
                low,
                rule["high"],
                width=32,
                allow_nan=False,
                allow_infinity=False,
                allow_subnormal=False,
                exclude_min=rule["above"] is not None,
            )
            return numbers.filter(bool) if rule["nonzero"] else numbers
    raise AssertionError(rule)


def objects(cls: type[Parameters]) -> st.SearchStrategy:
    """Instances of a parameter class with any legal value in each field."""
    return st.builds(cls, **{f.name: values(f) for f in attrs.fields(cls)})


def check_round_trip(config: Parameters) -> None:
    text = json.dumps(to_dict(config), allow_nan=False)
    again = from_dict(json.loads(text))
    assert again == config
    assert str(again) == str(config)
    assert to_dict(again) == to_dict(config)
    assert to_dict(frozen_copy(config)) == to_dict(config)


@settings(deadline=None)
@given(st.sampled_from(CLASSES).flatmap(objects))
def test_round_trip(config: Parameters) -> None:
    check_round_trip(config)


@pytest.mark.parametrize("cls", CLASSES)
def test_round_trip_of_defaults(cls: type[Parameters]) -> None:
    check_round_trip(cls())


def test_form() -> None:
    data = to_dict(SingleRPUConfig())
    assert data.keys() == {"class", "fields"}
    assert data["class"] == "SingleRPUConfig"
    forward = data["fields"]["forward"]
    assert forward["class"] == "IOParameters"
    assert forward["fields"]["mv_type"] == {"enum": "AnalogMVType.ONE_PASS"}
    assert forward["fields"]["inp_bound"] == 1.0


def test_result_can_be_changed() -> None:
    again = from_dict(to_dict(frozen_copy(SingleRPUConfig())))
    again.forward.out_noise = 0.2


def test_missing_field_takes_its_default() -> None:
    data = to_dict(IOParameters(out_noise=0.5))
    del data["fields"]["out_noise"]
    assert from_dict(data) == IOParameters()


def altered(*path: str, to: object) -> dict:
    """Give a saved configuration with one entry replaced."""
    data = copy.deepcopy(to_dict(SingleRPUConfig()))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (altered("class", to="os.system"), "no configuration class named 'os.system'"),
        (altered("class", to=["SingleRPUConfig"]), "must hold a class name"),
        (altered("fields", to=[]), "must hold a class name and a dict"),
        (altered("more", to=1), "must have the keys class and fields"),
        (altered("fields", "spare", to=1), "does not know: spare"),
        (
            altered("fields", "device", to=None),
            "SingleRPUConfig.device must be of type",
        ),
        (
            altered("fields", "device", to=to_dict(IOParameters())),
            "SingleRPUConfig.device must be of type",
        ),
        (
            altered("fields", "forward", "fields", "out_noise", to=-1),
            "out_noise must be a finite number >= 0",
        ),
        (
            altered("fields", "forward", "fields", "out_noise", to={"a": 1}),
            "must have the keys class and fields",
        ),
        (
            altered("fields", "forward", "fields", "out_noise", to=[1.0]),
            "out_noise must be a finite number",
        ),
        (
            altered("fields", "runtime", "fields", "offload_input", to=True),
            "offload_input = True is not built yet",
        ),
        (
            altered("fields", "update", "fields", "pulse_type", to={"enum": "X.Y"}),
            "no known enum member: 'X.Y'",
        ),
        (
            altered("fields", "update", "fields", "pulse_type", to={"enum": ["X"]}),
            "no known enum member",
        ),
        (
            altered(
                "fields", "update", "fields", "pulse_type", to={"enum": "PulseType.X"}
            ),
            "no known enum member: 'PulseType.X'",
        ),
        (
            altered(
                "fields",
                "update",
                "fields",
                "pulse_type",
                to={"enum": "RPUDataType.FLOAT"},
            ),
            "pulse_type must be one of",
        ),
        (None, "must have the keys class and fields"),
        ("SingleRPUConfig", "must have the keys class and fields"),
    ],
)
def test_altered_files(data: object, message: str) -> None:
    with pytest.raises(StateError, match=message):
        from_dict(data)


def test_deep_nesting() -> None:
    data: object = 1
    for _ in range(100_000):
        data = [data]
    with pytest.raises(StateError, match="nested too deeply"):
        from_dict({"class": "IOParameters", "fields": {"out_noise": data}})


def test_own_lookup() -> None:
    asked = []

    def resolve(name: str) -> type[Parameters]:
        asked.append(name)
        return config_class(name)

    from_dict(to_dict(SingleRPUConfig()), resolve)
    assert asked[:2] == ["SingleRPUConfig", "RuntimeParameter"]


def test_unregistered_class_is_refused_when_saved() -> None:
    @define
    class Unknown(ConstantStepDevice):
        """Never registered."""

    with pytest.raises(StateError, match="named 'Unknown' is registered"):
        to_dict(SingleRPUConfig(device=Unknown()))


def test_namesake_is_refused_when_saved() -> None:
    def make() -> type:
        @define
        class ConstantStepDevice(configs.SoftBoundsDevice):
            """Same name as a class of the package."""

        return ConstantStepDevice

    with pytest.raises(StateError, match="is not the registered class of that name"):
        to_dict(make()())


def test_registered_user_class() -> None:
    @register_config_class
    @define
    class SerialisedDevice(ConstantStepDevice):
        """A user's device."""

        dw_min: float = 0.01

    config = SingleRPUConfig(device=SerialisedDevice(w_max=1.0))
    again = from_dict(json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert type(again.device) is SerialisedDevice


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["class", "fields", "enum"]), inner)
        ),
    )
)
def test_any_json_gives_a_clear_error(data: object) -> None:
    with pytest.raises(StateError):
        from_dict(data)
    try:
        from_dict({"class": "IOParameters", "fields": {"out_noise": data}})
    except StateError as error:
        assert error.__cause__ is None or isinstance(error.__cause__, ConfigError)
