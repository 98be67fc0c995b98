"""Rules of the mapping's settings."""

import pytest

from rpupy.parameters import MappableRPU, MappingParameter, PrePostProcessingRPU


@pytest.mark.parametrize(
    ("other", "compatible"),
    [
        ({}, True),
        ({"weight_scaling_omega": 0.6}, True),
        ({"weight_scaling_columnwise": True}, True),
        ({"weight_scaling_lr_compensation": True}, True),
        ({"digital_bias": False}, False),
        ({"max_input_size": 256}, False),
        ({"max_output_size": 0}, False),
    ],
)
def test_compatible_with(other: dict, compatible: bool) -> None:
    assert MappingParameter().compatible_with(MappingParameter(**other)) == compatible


def test_not_compatible_with_something_else() -> None:
    assert not MappingParameter().compatible_with(None)


def test_the_chain_of_bases_is_linear() -> None:
    assert MappableRPU.__bases__ == (PrePostProcessingRPU,)
