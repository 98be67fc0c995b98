"""Cells have the fields of the reference library, and refuse what cannot be built."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

import rpupy.configs as configs
from rpupy.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    ConstantStepDevice,
    DynamicTransferCompound,
    FloatingPointDevice,
    IdealDevice,
    IOParametersNodal,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    PulseType,
    ReferenceUnitCell,
    SingleRPUConfig,
    SoftBoundsDevice,
    TransferCompound,
    UnitCell,
    UnitCellRPUConfig,
    UpdateParameters,
    VectorUnitCell,
    build_config,
)
from rpupy.errors import ConfigError
from rpupy.tiles import AnalogTile

DEFAULTS = json.loads(
    (Path(__file__).parents[1] / "data" / "compounds.json").read_text()
)
TWO = [SoftBoundsDevice(), SoftBoundsDevice()]
OWN = {
    "DynamicTransferCompound": {"noise_gate"},
    # Which the reference library has below its Python classes.
    "MixedPrecisionCompound": {"compute_sparsity"},
}


def default(entry):
    if isinstance(entry, dict) and "$enum" in entry:
        kind, member = entry["$enum"].split(".")
        return getattr(configs, kind)[member]
    if isinstance(entry, dict):
        fields = {name: value for name, value in entry.items() if name != "$class"}
        return getattr(configs, entry["$class"])(**fields)
    return entry


@pytest.mark.parametrize("name", DEFAULTS)
def test_fields_and_defaults_are_those_of_the_reference(name):
    cls = getattr(configs, name)
    fields = {field.name for field in attrs.fields(cls)}
    assert fields == DEFAULTS[name].keys() | OWN.get(name, set())
    for field, entry in DEFAULTS[name].items():
        assert getattr(cls(), field) == default(entry), field


def test_compounds_are_found_where_scripts_import_them():
    from rpupy.configs import compounds, devices

    for name in compounds.__all__:
        assert getattr(devices, name) is getattr(compounds, name)
    with pytest.raises(AttributeError, match="NoSuchDevice"):
        _ = devices.NoSuchDevice


def test_the_former_name_of_a_field():
    cell = TransferCompound(unit_cell_devices=TWO, n_cols_per_transfer=3)
    assert cell.n_reads_per_transfer == cell.n_cols_per_transfer == 3
    cell.n_cols_per_transfer = 2
    assert cell.n_reads_per_transfer == 2
    with pytest.raises(TypeError, match="one of"):
        TransferCompound(n_cols_per_transfer=1, n_reads_per_transfer=1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: UnitCell(), "only a base"),
        (lambda: VectorUnitCell(), "have at least 1 devices, got 0"),
        (lambda: VectorUnitCell(unit_cell_devices=TWO, gamma_vec=[1]), "2 numbers"),
        (lambda: VectorUnitCell(unit_cell_devices=TWO, first_update_idx=2), "below"),
        (lambda: VectorUnitCell(unit_cell_devices=[IdealDevice()]), "IdealDevice"),
        (
            lambda: VectorUnitCell(unit_cell_devices=[FloatingPointDevice()]),
            "PulsedDevice or UnitCell",
        ),
        (lambda: ReferenceUnitCell(), "at least 1"),
        (lambda: OneSidedUnitCell(), "1 to 2 devices"),
        (lambda: OneSidedUnitCell(unit_cell_devices=[*TWO, TWO[0]]), "1 to 2"),
        (
            lambda: OneSidedUnitCell(
                unit_cell_devices=[SoftBoundsDevice(), ConstantStepDevice()]
            ),
            "of one class",
        ),
        (
            lambda: OneSidedUnitCell(
                unit_cell_devices=[VectorUnitCell(unit_cell_devices=TWO)]
            ),
            "of one class",
        ),
        (lambda: TransferCompound(unit_cell_devices=TWO[:1]), "at least 2"),
        (
            lambda: TransferCompound(unit_cell_devices=[*TWO, ConstantStepDevice()]),
            "equal the second",
        ),
        (lambda: TransferCompound(unit_cell_devices=TWO, gamma_vec=[1, 0]), "than 0"),
        (
            lambda: TransferCompound(
                unit_cell_devices=TWO, with_reset_prob=0.1, transfer_columns=False
            ),
            "be 0 where rows",
        ),
        (
            lambda: BufferedTransferCompound(
                unit_cell_devices=TWO,
                transfer_update=UpdateParameters(pulse_type=PulseType.NONE),
            ),
            "type with pulses",
        ),
        (lambda: ChoppedTransferCompound(unit_cell_devices=[*TWO, TWO[1]]), "2 dev"),
        (
            lambda: ChoppedTransferCompound(
                unit_cell_devices=TWO, n_reads_per_transfer=2
            ),
            "be 1",
        ),
        (
            lambda: ChoppedTransferCompound(
                unit_cell_devices=TWO, auto_scale=True, fast_lr=0.0
            ),
            "auto_scale",
        ),
        (
            lambda: ChoppedTransferCompound(
                unit_cell_devices=TWO, transfer_every=-1, units_in_mbatch=True
            ),
            "below 0",
        ),
        (
            lambda: DynamicTransferCompound(unit_cell_devices=TWO, auto_momentum=1.0),
            "auto_momentum",
        ),
        (lambda: DynamicTransferCompound(in_chop_prob=0.0), "in_chop_prob"),
        (lambda: MixedPrecisionCompound(), "at least 1 devices"),
    ],
)
def test_what_cannot_be_built(make, match):
    with pytest.raises(ConfigError, match=match):
        make().validate()


def test_what_is_not_built():
    config = UnitCellRPUConfig(device=VectorUnitCell(unit_cell_devices=TWO))
    config.update.pulse_type = PulseType.NONE_WITH_DEVICE
    with pytest.raises(NotImplementedError, match="NONE_WITH_DEVICE"):
        AnalogTile(2, 3, config)
    wires = IOParametersNodal(r_word_line=1.0)
    cell = TransferCompound(unit_cell_devices=TWO, transfer_forward=wires)
    with pytest.raises(NotImplementedError, match="transfer_forward"):
        AnalogTile(2, 3, UnitCellRPUConfig(device=cell))


def test_unequal_arrays_have_periods_by_the_number_of_slices():
    three = [SoftBoundsDevice()] * 3
    cell = TransferCompound(unit_cell_devices=three, n_reads_per_transfer=2)
    assert cell.periods(6) == (1.0, 3.0, 0.0)
    cell.no_self_transfer = False
    assert cell.periods(6) == (1.0, 3.0, 9.0)


@pytest.mark.parametrize(
    ("algorithm", "cell"),
    [
        ("SGD", None),
        ("tiki-taka", TransferCompound),
        ("ttv1", TransferCompound),
        ("ttv2", ChoppedTransferCompound),
        ("c-ttv2", ChoppedTransferCompound),
        ("TTv3", ChoppedTransferCompound),
        ("agad", DynamicTransferCompound),
        ("mp", MixedPrecisionCompound),
    ],
)
def test_build_config(algorithm, cell):
    config = build_config(algorithm, SoftBoundsDevice, construction_seed=5)
    assert config.device.construction_seed == 5
    if cell is None:
        assert type(config) is SingleRPUConfig
    else:
        assert type(config.device) is cell
    tile = AnalogTile(2, 3, config, rng=0)
    tile.update([[1.0, 2.0, 3.0]], [[1.0, -1.0]])


def test_build_config_of_several_devices():
    config = build_config("sgd", SoftBoundsDevice(dw_min=0.01), n_devices=3)
    assert len(config.device.unit_cell_devices) == 3
    assert config.device.update_policy is configs.VectorUnitCellUpdatePolicy(
        "SingleRandom"
    )
    with pytest.raises(ConfigError, match="algorithm"):
        build_config("sgdm", SoftBoundsDevice)
