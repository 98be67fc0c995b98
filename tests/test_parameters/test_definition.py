"""Parameter classes as such: construction, printing, copies, names."""

import copy
import inspect
import pickle
import re

import attrs
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    IOParameters,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
    UpdateParameters,
)
from rpupy.errors import ConfigError, StateError
from rpupy.parameters import (
    DriftParameter,
    InputRangeParameter,
    PrePostProcessingParameter,
    RuntimeParameter,
)
from rpupy.parameters.base import (
    Parameters,
    config_class,
    define,
    frozen_copy,
    part,
    pending_settings,
    real,
    register_config_class,
    text,
    thawed_copy,
)


@define
class Listing(Parameters):
    values: list = attrs.field(factory=list, eq=tuple)
    devices: list = attrs.field(factory=list, eq=tuple)
    remark: str | None = text(None)


def config() -> SingleRPUConfig:
    """Build a configuration with a non-default value at each depth."""
    made = SingleRPUConfig(device=SoftBoundsDevice(dw_min=0.002))
    made.forward.out_noise = 0.1
    made.device.drift.nu = 0.05
    return made


# --- construction and assignment ------------------------------------------------------


def test_unknown_field_is_named_with_the_likely_one() -> None:
    message = "IOParameters has no field 'inp_nose'; did you mean 'inp_noise'?"
    with pytest.raises(TypeError, match=re.escape(message)):
        IOParameters(inp_nose=0.1)
    io = IOParameters()
    with pytest.raises(AttributeError, match=re.escape(message)):
        io.inp_nose = 0.1
    with pytest.raises(AttributeError, match=r"has no field 'zzz'$"):
        io.zzz = 0.1


def test_keywords_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        IOParameters(True)


def test_signature_shows_the_fields() -> None:
    assert list(inspect.signature(DriftParameter).parameters)[:2] == ["nu", "t_0"]


def test_no_dict_and_no_hash() -> None:
    for part_ in (config(), config().forward, config().device):
        assert not hasattr(part_, "__dict__")
        with pytest.raises(TypeError, match="unhashable"):
            hash(part_)


def test_fields_cannot_be_deleted() -> None:
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del config().forward.out_noise


def test_equality() -> None:
    assert config() == config()
    other = config()
    other.backward.out_noise = 0.5
    assert other != config()
    assert ConstantStepDevice() != SoftBoundsDevice()
    assert config() != "config"


def test_runtime_does_not_count_for_equality() -> None:
    assert not attrs.fields(SingleRPUConfig).runtime.eq


# --- subclasses -----------------------------------------------------------------------


def test_new_default_keeps_checks() -> None:
    @define
    class Preset(ConstantStepDevice):
        """Other numbers."""

        dw_min: float = 0.01

    assert Preset().dw_min == 0.01
    assert str(Preset()) == "Preset()"
    with pytest.raises(ConfigError, match=r"Preset.dw_min must be a finite number > 0"):
        Preset(dw_min=-1)


def test_a_pending_default_stays_refused() -> None:
    @define
    class Offloading(RuntimeParameter):
        """Asks for what is not built."""

        offload_input: bool = True

    with pytest.raises(NotImplementedError, match=r"Offloading.offload_input = True"):
        Offloading()
    with pytest.raises(NotImplementedError, match=r"offload_gradient = True"):
        Offloading(offload_input=False, offload_gradient=True)


def test_default_without_type_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"dw_min: float = \.\.\."):

        @define
        class Preset(ConstantStepDevice):
            dw_min = 0.01


def test_shared_default_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"Preset.drift must not share"):

        @define
        class Preset(ConstantStepDevice):
            drift: DriftParameter = DriftParameter(nu=0.1)


def test_undecorated_subclass_is_refused_by_validate() -> None:
    class Plain(ConstantStepDevice):
        pass

    with pytest.raises(ConfigError, match="Plain must be decorated"):
        SingleRPUConfig(device=Plain()).validate()


# --- printing -------------------------------------------------------------------------


def test_prints_only_what_differs() -> None:
    assert str(IOParameters()) == "IOParameters()"
    assert str(IOParameters(inp_noise=0.5)) == "IOParameters(inp_noise=0.5)"
    update = UpdateParameters(pulse_type=PulseType.NONE)
    assert str(update) == "UpdateParameters(pulse_type=PulseType.NONE)"
    assert repr(update) == str(update)


def test_always_show_and_hidden_default_parts() -> None:
    assert str(InputRangeParameter()) == "InputRangeParameter(enable=False)"
    assert str(ConstantStepDevice()) == "ConstantStepDevice()"
    device = ConstantStepDevice(drift=DriftParameter(nu=0.1))
    assert str(device) == "ConstantStepDevice(drift=DriftParameter(nu=0.1))"
    assert (
        str(PrePostProcessingParameter())
        == "PrePostProcessingParameter(input_range=InputRangeParameter(enable=False))"
    )


def test_perfect_io_prints_nothing_else() -> None:
    io = IOParameters(is_perfect=True, inp_noise=0.5)
    assert str(io) == "IOParameters(is_perfect=True)"


def test_three_entries_on_one_line_four_on_lines() -> None:
    drift = DriftParameter(nu=0.1, nu_std=0.2, nu_k=0.3)
    assert str(drift) == "DriftParameter(nu=0.1, nu_std=0.2, nu_k=0.3)"
    drift.log_g0 = 0.4
    assert str(drift) == (
        "DriftParameter(\n"
        "    nu=0.1,\n    nu_std=0.2,\n    nu_k=0.3,\n    log_g0=0.4\n"
        ")"
    )


def test_nested_lines_are_indented() -> None:
    made = SingleRPUConfig(
        forward=IOParameters(inp_noise=1, out_noise=1, inp_bound=2, out_bound=2)
    )
    assert str(made) == (
        "SingleRPUConfig(\n"
        "    runtime=RuntimeParameter(),\n"
        "    pre_post=PrePostProcessingParameter("
        "input_range=InputRangeParameter(enable=False)),\n"
        "    mapping=MappingParameter(),\n"
        "    forward=IOParameters(\n"
        "        inp_bound=2.0,\n"
        "        inp_noise=1.0,\n"
        "        out_bound=2.0,\n"
        "        out_noise=1.0\n"
        "    ),\n"
        "    backward=IOParameters(),\n"
        "    update=UpdateParameters(),\n"
        "    device=ConstantStepDevice()\n"
        ")"
    )


def test_lists_are_printed_by_element() -> None:
    made = Listing(values=[1, 2], remark="a\nb")
    assert str(made) == (
        "Listing(\n    values=[\n        1,\n        2\n    ],\n"
        "    devices=[],\n    remark='a\\nb'\n)"
    )


# --- copies ---------------------------------------------------------------------------


def test_frozen_copy_refuses_at_any_depth() -> None:
    original = config()
    fixed = frozen_copy(original)
    assert fixed == original
    assert str(fixed) == str(original)
    for owner, name in [
        (fixed, "device"),
        (fixed.forward, "out_noise"),
        (fixed.device.drift, "nu"),
        (fixed.pre_post.input_range, "decay"),
    ]:
        before = getattr(owner, name)
        message = f"{type(owner).__name__}.{name} belongs to the configuration of a"
        with pytest.raises(AttributeError, match=message):
            setattr(owner, name, before)
        with pytest.raises(AttributeError):
            delattr(owner, name)
    original.forward.out_noise = 0.7
    assert fixed.forward.out_noise == 0.1


def test_lists_become_tuples_and_lists_again() -> None:
    original = Listing(values=[1, [2]], devices=[ConstantStepDevice()])
    fixed = frozen_copy(original)
    assert fixed.values == (1, (2,))
    assert isinstance(fixed.devices, tuple)
    with pytest.raises(AttributeError, match="fixed"):
        fixed.devices[0].dw_min = 0.1
    free = thawed_copy(fixed)
    assert free == original
    assert free.values == [1, [2]]
    free.devices[0].dw_min = 0.1


def copiers() -> list:
    """List the ways to copy that must keep whether an object is fixed."""
    ways = [copy.copy, copy.deepcopy]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        ways.append(lambda obj, p=protocol: pickle.loads(pickle.dumps(obj, p)))
    return ways


@pytest.mark.parametrize("way", copiers())
def test_copies_keep_values_and_fixedness(way) -> None:
    free = way(config())
    assert free == config()
    free.device.dw_min = 0.5
    free.update = UpdateParameters(desired_bl=5)
    fixed = way(frozen_copy(config()))
    assert fixed == config()
    with pytest.raises(AttributeError, match="fixed"):
        fixed.device.dw_min = 0.5
    with pytest.raises(AttributeError, match="fixed"):
        fixed.update = UpdateParameters()


def test_thawed_copy_can_be_changed() -> None:
    fixed = frozen_copy(config())
    free = thawed_copy(fixed)
    free.device.drift.nu = 0.5
    free.runtime = RuntimeParameter()
    assert fixed.device.drift.nu == 0.05


def test_evolve_of_a_fixed_configuration_can_be_changed() -> None:
    free = attrs.evolve(frozen_copy(config()), device=ConstantStepDevice())
    free.forward.out_noise = 0.3
    free.device.dw_min = 0.3


# --- names and pending settings -------------------------------------------------------


def test_classes_of_the_package_are_registered() -> None:
    assert config_class("SingleRPUConfig") is SingleRPUConfig
    with pytest.raises(StateError, match="no configuration class named 'Listing'"):
        config_class("Listing")


def test_a_name_cannot_be_taken_twice() -> None:
    def make() -> type:
        @define
        class ConstantStepDevice(SoftBoundsDevice):
            """Same name as a class of the package."""

        return ConstantStepDevice

    with pytest.raises(ConfigError, match="ConstantStepDevice must have a name of its"):
        register_config_class(make())
    assert config_class("ConstantStepDevice") is ConstantStepDevice


def test_a_class_can_be_defined_again() -> None:
    def make() -> type:
        @register_config_class
        @define
        class MadeTwice(ConstantStepDevice):
            """Stands for a notebook cell that runs twice."""

        return MadeTwice

    first, second = make(), make()
    assert config_class("MadeTwice") is second is not first


def test_pending_settings_are_those_that_raise() -> None:
    rows = pending_settings()
    assert ("RuntimeParameter", "offload_input", "True") in rows
    assert ("RuntimeParameter", "data_type", "DOUBLE, HALF") in rows
    assert not any(name == "ConstantStepDevice" for name, *_ in rows)
    for name, field, values in rows:
        if values == "True":
            with pytest.raises(NotImplementedError, match=f"{name}.{field} = True"):
                config_class(name)(**{field: True})
        elif values.startswith("other than"):
            with pytest.raises(NotImplementedError, match=f"{name}.{field} = 0.25"):
                config_class(name)(**{field: 0.25})
        else:
            kind = type(getattr(config_class(name)(), field))
            for member in values.split(", "):
                with pytest.raises(NotImplementedError, match=f"{name}.{field} = "):
                    config_class(name)(**{field: kind[member]})


def test_user_class_with_own_field() -> None:
    @define
    class Outer(Parameters):
        gain: float = real(2.0, above=0)
        io: IOParameters = part(IOParameters)

    outer = Outer(gain=3)
    outer.io.out_noise = 0.0
    outer.validate()
    outer.io.inp_bound = 2.0
    with pytest.raises(ConfigError, match=r"inp_bound must be 1.0"):
        outer.validate()
