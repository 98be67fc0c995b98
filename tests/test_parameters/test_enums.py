"""The enums that the golden table does not have, and the list of all."""

import enum

from rpupy.parameters import enums


def test_all_lists_every_enum() -> None:
    found = {
        name
        for name, value in vars(enums).items()
        if isinstance(value, enum.EnumMeta) and value is not enum.Enum
    }
    assert found == set(enums.__all__)


def test_noise_aggregation() -> None:
    members = {m.name: m.value for m in enums.NoiseAggregation}
    assert members == {"PULSE": "Pulse", "BATCH": "Batch"}
