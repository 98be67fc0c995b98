"""Presets have the numbers of the golden table, name their sources, and work."""

import json
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

import rpupy.configs
from rpupy import parameters, presets
from rpupy.configs import PulsedDevice
from rpupy.pulse_response import compute_pulse_response, tile_of_devices
from rpupy.testing import check_device
from rpupy.tiles import AnalogTile, load

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "data" / "presets_slice.json").read_text()
)
DEVICES = [name for name in GOLDEN["presets"] if name.endswith("PresetDevice")]
CONFIGS = [name for name in GOLDEN["presets"] if name.endswith("Preset")]


def find(name):
    for place in (presets, rpupy.configs, parameters):
        if hasattr(place, name):
            return getattr(place, name)
    raise LookupError(name)


def fields_of(value):
    return {f.name: getattr(value, f.name) for f in attrs.fields(type(value))}


def test_the_table_has_every_preset():
    assert sorted(GOLDEN["presets"]) == sorted(presets.__all__)


def check(value, wanted, name):
    """Assert that a value is what the table describes, in every field."""
    if isinstance(wanted, list):
        assert len(value) == len(wanted), name
        for k, (item, entry) in enumerate(zip(value, wanted, strict=True)):
            check(item, entry, f"{name}[{k}]")
    elif not isinstance(wanted, dict):
        assert value == wanted, name
    elif "$enum" in wanted:
        kind, member = wanted["$enum"].split(".")
        assert value is find(kind)[member], name
    else:
        plain = find(wanted["$class"])
        assert type(value) is find(wanted.get("$preset", wanted["$class"])), name
        check_fields(value, plain(), wanted, name)


def check_fields(value, plain, wanted, name):
    """Assert that fields have the numbers of the table, the others those of `plain`."""
    fields = fields_of(value)
    assert fields.keys() >= {key for key in wanted if not key.startswith("$")}
    for field, item in fields.items():
        entry = wanted.get(field, getattr(plain, field))
        check(item, entry, f"{name}.{field}")


@pytest.mark.parametrize("name", GOLDEN["presets"])
def test_numbers(name):
    entry = GOLDEN["presets"][name]
    made, parent = getattr(presets, name)(), find(entry["parent"])
    assert isinstance(made, parent)
    check_fields(made, parent(), entry["overrides"], name)
    for field, wanted in entry.get("all_values", {}).items():
        check(getattr(made, field), wanted, f"{name}.{field}")


def test_a_wrong_number_is_seen():
    wanted = GOLDEN["presets"]["TTv2EcRamPreset"]["overrides"]
    config = presets.TTv2EcRamPreset()
    config.device.unit_cell_devices[1].gamma_up = 0.1154
    with pytest.raises(AssertionError, match=r"unit_cell_devices\[1\]\.gamma_up"):
        check_fields(config, rpupy.configs.UnitCellRPUConfig(), wanted, "TTv2")


def test_instances_share_nothing():
    one, two = presets.AGADEcRamPreset(), presets.AGADEcRamPreset()
    one.device.unit_cell_devices[0].dw_min = 0.5
    one.device.transfer_update.desired_bl = 7
    assert one.device.unit_cell_devices[1].dw_min == 0.002
    assert two == presets.AGADEcRamPreset() != one


@pytest.mark.parametrize("name", [n for n in GOLDEN["presets"] if n not in CONFIGS])
def test_docstrings_name_the_sources(name):
    text = getattr(presets, name).__doc__
    for key in GOLDEN["presets"][name]["sources"]:
        source = GOLDEN["sources"][key]
        first = source["authors"].split(",")[0].removesuffix(" et al.").split()[-1]
        assert first in text
        assert "doi:" in text or "arXiv:" in text
    assert "ields" in text and "are those of" in " ".join(text.split())


@pytest.mark.parametrize("name", CONFIGS)
def test_docstrings_of_configurations_name_device_and_algorithm(name):
    entry = GOLDEN["presets"][name]
    text = " ".join(getattr(presets, name).__doc__.split())
    assert f"The fields are those of {entry['parent']}" in text
    inner = entry["overrides"]["device"]
    inner = inner.get("device") or inner.get("unit_cell_devices", [inner])[0]
    assert inner["$preset"] in text or name == "PCMPreset"
    cited_there = GOLDEN["presets"][inner["$preset"]]["sources"]
    for key in set(entry["sources"]) - set(cited_there):
        source = GOLDEN["sources"][key]
        first = source["authors"].split(",")[0].removesuffix(" et al.").split()[-1]
        assert first in text and f"({source['year']}), doi:" in text


@pytest.mark.parametrize("name", DEVICES)
def test_nominal_states(name):
    device = getattr(presets, name)()
    states = (device.w_max - device.w_min) / device.dw_min
    assert states == pytest.approx(GOLDEN["presets"][name]["nominal_states"], rel=1e-3)


@pytest.mark.parametrize("name", DEVICES)
def test_pulses_up_raise_and_pulses_down_lower_the_weight(name):
    device = getattr(presets, name)()
    tile = tile_of_devices(device, 300, w_init=0.3, rng=0)
    steps = max(int(0.2 * device.num_states()), 1)
    record = compute_pulse_response(tile, [1] * steps + [-1] * steps, initial=True)
    start, up, down = record[[0, steps, -1]].mean(axis=(1, 2))
    assert start < up > down


@pytest.mark.parametrize("name", CONFIGS)
def test_tiles_of_presets_train_and_are_saved(name, tmp_path):
    tile = AnalogTile(3, 4, getattr(presets, name)(), rng=0)
    x = np.linspace(-1, 1, 8).reshape(2, 4)

    def planes():
        hidden = {
            n: v for n, v in tile.get_hidden_parameters().items() if "weight" in n
        }
        return {"weights": tile.get_weights()[0], **hidden}

    before = planes()
    for _ in range(2):  # mixed precision writes behind the first vector of the second
        tile.update(x, tile.forward(x))
    # The slow array of TTv2 to TTv4 has not got a pulse yet.
    assert any((array != before[name]).any() for name, array in planes().items())
    tile.save(tmp_path / "tile.npz")
    same = load(tmp_path / "tile.npz")
    assert same.rpu_config == tile.rpu_config
    assert type(same.rpu_config) is getattr(presets, name)
    np.testing.assert_array_equal(same.forward(x), tile.forward(x))


def test_fields_can_be_set_and_are_checked():
    device = presets.ReRamESPresetDevice(dw_min=0.01)
    assert device.dw_min == 0.01 and device.write_noise_std == 75.0
    assert repr(device) == "ReRamESPresetDevice(dw_min=0.01)"
    with pytest.raises(ValueError, match=r"ReRamESPresetDevice\.dw_min must be"):
        device.dw_min = -1.0
    config = presets.EcRamPreset(device=presets.CapacitorPresetDevice())
    assert config.device.lifetime == 1e6
    with pytest.raises(ValueError, match=r"EcRamPreset\.device must be"):
        config.device = 3


def test_presets_are_loaded_when_a_file_needs_them(tmp_path):
    presets_file = tmp_path / "tile.npz"
    AnalogTile(2, 2, presets.EcRamPreset(), rng=0).save(presets_file)
    code = (
        "import sys\n"
        "from rpupy.tiles import load\n"
        "assert 'rpupy.presets' not in sys.modules\n"
        f"print(type(load({str(presets_file)!r}).rpu_config.device).__name__)"
    )
    path = str(Path(rpupy.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "EcRamPresetDevice\n", done.stderr


def test_all_devices_are_pulsed():
    for name in DEVICES:
        assert issubclass(getattr(presets, name), PulsedDevice)
        getattr(presets, name)().validate()


PAGE = Path(__file__).parents[2] / "docs" / "presets.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the source tree is not here")
def test_the_page_has_the_numbers():
    rows = {
        cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) > 10
    }
    assert sorted(rows) == sorted(DEVICES)
    columns = "dw_min dw_min_dtod dw_min_std up_down w_min w_max".split()
    for name, (_, *numbers, states, _) in rows.items():
        device = getattr(presets, name)()
        wanted = [getattr(device, column) for column in columns]
        wanted.append(getattr(device, "write_noise_std", 0.0))
        assert [float(number) for number in numbers] == wanted
        assert int(states) == round((device.w_max - device.w_min) / device.dw_min)
    text = PAGE.read_text(encoding="utf-8")
    for name in DEVICES:
        cls = getattr(presets, name)
        plain = cls.__mro__[1]()
        (row,) = (
            s
            for s in text.splitlines()
            if s.startswith(f"| `{name}` |") and s.count("|") == 3
        )
        for field, value in fields_of(cls()).items():
            if field not in (*columns, "write_noise_std"):
                shown = f"`{field}` {value!r}".replace(repr(0.3 / 0.75), "0.4")
                assert (shown in row) == (value != getattr(plain, field))


@pytest.mark.skipif(not PAGE.is_file(), reason="the source tree is not here")
def test_the_page_has_the_numbers_of_compounds():
    text = PAGE.read_text(encoding="utf-8")
    rows = {
        cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]]
        for line in text.splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) == 8
    }
    wanted = [n for n in CONFIGS if n.startswith(("TTv2", "ChoppedTTv2", "AGAD"))]
    assert sorted(rows) == sorted(wanted)
    for name, (*numbers, tail, slots) in rows.items():
        config = getattr(presets, name)()
        cell = config.device
        assert [float(n) for n in numbers] == [
            cell.fast_lr,
            cell.in_chop_prob,
            cell.auto_granularity,
        ]
        assert tail == f"{getattr(cell, 'tail_weightening', ''):}".removesuffix(".0")
        assert int(slots) == config.update.desired_bl


@pytest.mark.parametrize("name", DEVICES)
def test_presets_obey_the_laws_of_devices(name):
    # The first step of this one is 1 - A_up = 28 times dw_min, for which trains are made.
    skip = ("granularity",) if name == "PCMPresetDevice" else ()
    report = check_device(getattr(presets, name)(), skip=skip)
    assert len(report.held) >= 30
