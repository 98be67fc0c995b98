"""Tables of effects, and configurations without some of them."""

import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    LinearStepDevice,
    NoiseManagementType,
    PulseType,
    SingleRPUConfig,
    SoftBoundsDevice,
    WeightNoiseType,
)
from rpupy.errors import ConfigError
from rpupy.parameters import definition
from rpupy.parameters.base import define, frozen_copy, integer
from rpupy.parameters.effects import ALIASES, GROUPS, Effect, Setting
from rpupy.parameters.explain import ActiveEffect, Explanation, explain, without
from rpupy.registry import device_classes
from rpupy.tiles import AnalogTile

CLASSES = sorted(
    (cls for cls in definition._CLASSES.values() if cls.__module__[:6] == "rpupy."),
    key=lambda cls: cls.__name__,
)


def row(explanation: Explanation, field: str) -> ActiveEffect:
    return next(row for row in explanation if row.field == field)


def fields(explanation: Explanation) -> set[str]:
    return {row.field for row in explanation}


# --- every field is classified --------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_number_says_what_it_does(cls: type) -> None:
    """A field without this would be missing from tables and survive ablations."""
    for field in attrs.fields(cls):
        if field.metadata.get("kind") in ("real", "integer"):
            assert isinstance(field.metadata.get("effect"), Setting), (
                f"{cls.__name__}.{field.name} must say what it does. In its declaration, "
                f"add effect=Effect(GROUP, of=..., acts_on=...) if it is the size of an "
                f"effect, with one of the groups {', '.join(GROUPS)}, or "
                "effect=Setting(needs=(...)) if it is none by itself. Both are in "
                "rpupy/parameters/effects.py; its neighbours show how."
            )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_declarations_name_fields_that_exist(cls: type) -> None:
    names = {field.name for field in attrs.fields(cls)}
    for field in attrs.fields(cls):
        facts = field.metadata.get("effect")
        if facts is not None:
            assert set(facts.needs) <= names, (cls.__name__, field.name)
            if isinstance(getattr(facts, "of", None), str):
                assert facts.of in names, (cls.__name__, field.name)


PAGE = Path(__file__).parents[2] / "docs" / "effects.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the source tree is not here")
def test_the_page_lists_the_groups() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([\w ]+)` \| (.+) \|$", text, re.M)) == GROUPS
    assert all(f"`{alias}` stands for" in text for alias in ALIASES)


def test_a_group_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match=r"group must be one of 'dtod'.* got 'dtdo'"):
        Effect("dtdo")


# --- the table ------------------------------------------------------------------------


def test_sizes_are_in_weight_units() -> None:
    device = LinearStepDevice(
        dw_min=0.002,
        dw_min_dtod=-0.2,
        dw_min_std=0.5,
        w_max=0.4,
        w_min=-0.8,
        w_max_dtod=0.1,
        up_down=0.25,
        gamma_up=0.5,
        write_noise_std=3.0,
        lifetime=50.0,
        diffusion=0.001,
    )
    config = SingleRPUConfig(device=device)
    config.forward.inp_noise = 0.01
    config.forward.w_noise = 0.03
    config.forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT
    config.backward.out_res = 100
    table = config.explain()
    sizes = {row.field: row.size for row in table}
    expected = {
        "device.dw_min_dtod": 0.2 * 0.002,
        "device.dw_min_std": 0.5 * 0.002,
        "device.w_max_dtod": 0.1 * 0.4,
        "device.up_down": 0.25 * 0.002,
        "device.gamma_up": 0.5 * 0.002,
        "device.write_noise_std": 3 * 0.002,
        "device.lifetime": 0.8 / 50,
        "device.diffusion": 0.001,
        "forward.inp_noise": 0.01 * 0.8,  # on the largest weight
        "forward.inp_res": 2 / 126 * 0.8,
        "forward.w_noise": 0.03,
        "forward.out_noise": 0.06,
        "backward.out_res": 2 * 12 / 100,
    }
    for name, size in expected.items():
        assert sizes[name] == pytest.approx(size, rel=1e-12), name
    assert row(table, "device.dw_min_std").acts_on == "update"
    assert row(table, "forward.out_noise").acts_on == "forward"
    assert row(table, "backward.out_noise").acts_on == "backward"
    assert row(table, "device.lifetime").acts_on == "decay"
    assert {row.unit for row in table} == {"weight units"}


def test_what_is_off_has_no_row() -> None:
    table = SingleRPUConfig().explain()
    off = {"device.lifetime", "device.up_down", "forward.inp_noise", "device.drift.nu"}
    assert not off & fields(table)
    assert {"device.dw_min_dtod", "forward.out_noise"} <= fields(table)
    assert not table.unused


def test_the_table_is_a_sequence_with_a_text() -> None:
    table = SingleRPUConfig().explain()
    assert len(table) == len(list(table)) == len(table.rows) > 10
    assert table[0] == table.rows[0]
    assert table[:2] == table.rows[:2]
    text = str(table)
    assert re.match(r"effect +field +size +unit +acts on", text)
    assert re.search(
        r"^ctoc +device.dw_min_std +0.0003 +weight units +update$", text, re.M
    )
    assert "not used" not in text


def test_an_exact_tile_has_no_effects() -> None:
    config = FloatingPointRPUConfig()
    assert list(config.explain()) == []
    assert str(config.explain()) == "no effects: the tile is exact"


def test_a_tile_explains_its_own_configuration() -> None:
    config = SingleRPUConfig(device=SoftBoundsDevice())
    tile = AnalogTile(2, 3, config, rng=0)
    before = tile.copy()
    assert tile.explain() == config.explain()
    config.forward.out_noise = 0.5
    assert row(tile.explain(), "forward.out_noise").size == 0.06
    x = np.ones((1, 3), dtype=np.float32)
    assert np.array_equal(tile.forward(x), before.forward(x))


# --- settings that do nothing ---------------------------------------------------------


def reason(config: object, field: str) -> str:
    found = [u.reason for u in explain(config).unused if u.field == field]
    return found[0] if found else ""


def test_unused_settings_say_why() -> None:
    config = SingleRPUConfig(device=SoftBoundsDevice(reverse_offset=0.2))
    config.forward.out_bound = -1
    config.forward.out_res = 0.01
    config.forward.out_sto_round = True
    config.backward.max_bm_factor = 3
    config.forward.w_noise = 0.1
    config.update.sto_round = True
    config.device.drift.t_0 = 2.0
    expected = {
        "forward.out_res": "out_bound is -1",
        "forward.out_sto_round": "out_bound is -1",
        "backward.max_bm_factor": "it does nothing in backward",
        "forward.w_noise": "w_noise_type is NONE",
        "update.sto_round": "res is 0 and x_res_implicit is 0 and d_res_implicit is 0",
        "device.reverse_offset": "reverse_up is False and reverse_down is False",
        "device.drift.t_0": "nu is 0",
    }
    found = {u.field: u.reason for u in config.explain().unused}
    assert found == expected
    assert "forward.out_res = 0.01: out_bound is -1" in str(config.explain())


def test_each_pulse_type_has_its_resolutions() -> None:
    config = SingleRPUConfig()
    config.update.res = config.update.x_res_implicit = 0.1
    config.update.sto_round = True
    assert reason(config, "update.res") == ""
    assert (
        reason(config, "update.x_res_implicit") == "pulse_type is STOCHASTIC_COMPRESSED"
    )
    config.update.pulse_type = PulseType.DETERMINISTIC_IMPLICIT
    assert reason(config, "update.res") == "pulse_type is DETERMINISTIC_IMPLICIT"
    assert reason(config, "update.x_res_implicit") == ""
    assert reason(config, "update.sto_round") == ""


def test_perfect_products_use_nothing_else() -> None:
    config = SingleRPUConfig()
    config.forward.is_perfect = True
    config.forward.out_noise = 0.1
    config.forward.out_scale = 2.0
    assert reason(config, "forward.out_noise") == "is_perfect is True"
    assert reason(config, "forward.out_scale") == ""
    assert not any(row.acts_on == "forward" for row in config.explain())


def test_exact_updates_leave_pulses_unused() -> None:
    device = ConstantStepDevice(dw_min_std=0.1, w_max=0.5, lifetime=10.0)
    config = SingleRPUConfig(device=device)
    config.update.desired_bl = 7
    config.update.pulse_type = PulseType.NONE_WITH_DEVICE
    assert "NONE_WITH_DEVICE" in reason(config, "device.dw_min_std")
    assert reason(config, "update.desired_bl") == "pulse_type is NONE_WITH_DEVICE"
    assert "device.w_max" in fields(config.explain())
    config.update.pulse_type = PulseType.NONE
    assert "weights are exact" in reason(config, "device.w_max")
    assert "device.lifetime" in fields(config.explain())


def test_an_exact_device_makes_no_use_of_the_update() -> None:
    config = SingleRPUConfig(device=IdealDevice())
    config.update.desired_bl = 7
    assert reason(config, "update.desired_bl") == "IdealDevice is updated exactly"
    assert fields(config.explain()) >= {"device.reset_std", "forward.out_noise"}


# --- batches in parts -----------------------------------------------------------------


def test_what_makes_a_split_of_a_batch_matter_is_named() -> None:
    @define
    class Splitting(SingleRPUConfig):
        every: int = integer(0, effect=Setting(splits="it counts mini-batches"))

    config = Splitting()
    assert config.explain().batch_split == ()
    config.every = 3
    assert config.explain().batch_split == (("every", "it counts mini-batches"),)
    assert "  every: it counts mini-batches" in str(config.explain())


# --- without --------------------------------------------------------------------------


def test_groups_are_switched_off_in_a_copy() -> None:
    device = SoftBoundsDevice(write_noise_std=1.0, up_down=0.2, lifetime=100.0)
    config = frozen_copy(SingleRPUConfig(device=device))
    bare = config.without("dtod", "noise")
    gone = fields(config.explain()) - fields(bare.explain())
    assert gone == {
        "forward.out_noise",
        "backward.out_noise",
        "device.dw_min_dtod",
        "device.dw_min_std",
        "device.reset_std",
        "device.up_down_dtod",
        "device.w_max_dtod",
        "device.w_min_dtod",
        "device.write_noise_std",
    }
    assert config.device.write_noise_std == 1.0
    bare.device.lifetime = 0.0  # the copy of a fixed configuration can be changed


@pytest.mark.parametrize("group", sorted({*GROUPS, *ALIASES} - {"steps"}))
def test_a_group_that_is_off_has_no_rows(group: str) -> None:
    device = ConstantStepDevice(
        up_down=0.1, lifetime=9.0, diffusion=0.1, reset=0.1, corrupt_devices_prob=0.1
    )
    device.drift.nu = 0.1
    config = SingleRPUConfig(device=device)
    config.forward.noise_management = NoiseManagementType.NONE
    config.backward.noise_management = NoiseManagementType.NONE
    bare = config.without(group.replace(" ", "_"))
    bare.validate()
    members = set(ALIASES.get(group, (group,)))
    assert not [row for row in bare.explain() if row.effect in members]
    others = fields(config.explain()) - fields(bare.explain())
    named = {r.field for r in config.explain() if r.effect in members}
    also = {
        "forward.inp_res",
        "backward.inp_res",
        "forward.out_res",
        "backward.out_res",
    }
    assert others - named <= also | {"device.up_down_dtod"}
    AnalogTile(2, 2, bare, rng=0)


@pytest.mark.parametrize("cls", device_classes(), ids=lambda cls: cls.__name__)
def test_every_device_has_a_table_and_goes_without(cls: type) -> None:
    config: Any = FloatingPointRPUConfig()
    if cls is not FloatingPointDevice:
        config = SingleRPUConfig(device=cls())
    for row in config.explain():
        assert row.effect in GROUPS and row.size > 0 and row.acts_on, row
        try:
            bare = config.without(row.field)
        except ConfigError as error:
            assert "belongs to the law of the device" in str(error)
        else:
            bare.validate()
            gone = fields(config.explain()) - fields(bare.explain())
            kept_range = row.field.endswith("inp_bound")
            assert row.field in gone or kept_range, row


def test_noise_management_keeps_the_range_that_inputs_are_scaled_into() -> None:
    bare = SingleRPUConfig().without("bounds")
    bare.validate()
    assert bare.forward.inp_bound == 1.0
    assert bare.forward.out_bound == 0.0


def test_single_fields_are_switched_off() -> None:
    config = SingleRPUConfig()
    everywhere = config.without("out_noise")
    assert (everywhere.forward.out_noise, everywhere.backward.out_noise) == (0, 0)
    one = config.without("backward.out_noise", "dw_min_std")
    assert (one.forward.out_noise, one.backward.out_noise) == (0.06, 0)
    assert one.device.dw_min_std == 0


def test_without_nothing_is_a_copy() -> None:
    config = SingleRPUConfig()
    assert config.without() == config
    assert config.without("write noise") == config  # this device has none


def test_names_that_are_not_known_are_refused() -> None:
    config = SingleRPUConfig()
    with pytest.raises(ConfigError, match="got 'dtdo'; did you mean 'dtod'"):
        config.without("dtdo")
    with pytest.raises(ConfigError, match=r"corrupt devices.*dw_min_std.*got 'ctc'"):
        config.without("dtod", "ctc")
    with pytest.raises(ConfigError, match="got 'desired_bl'"):
        config.without("desired_bl")
    with pytest.raises(TypeError, match="must be names, got 3"):
        config.without(3)  # type: ignore[arg-type]
    assert config == SingleRPUConfig()


def test_the_law_of_a_device_cannot_be_switched_off() -> None:
    config = SingleRPUConfig(device=SoftBoundsDevice())
    with pytest.raises(ConfigError, match=r"SoftBoundsDevice.w_max cannot be switched"):
        without(config, "weight bounds")
    hard = SingleRPUConfig(device=ConstantStepDevice()).without("weight bounds")
    tile = AnalogTile(2, 3, hard, rng=0)
    tile.set_weights(np.full((2, 3), 50.0))
    assert tile.get_weights()[0].max() == 50.0
