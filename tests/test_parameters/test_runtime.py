"""Settings of how a tile computes."""

import pytest

from rpupy.parameters import RPUDataType, RuntimeParameter


@pytest.mark.parametrize("data_type", [RPUDataType.DOUBLE, "half"])
def test_only_single_precision_is_built(data_type: object) -> None:
    with pytest.raises(NotImplementedError, match=r"RuntimeParameter.data_type"):
        RuntimeParameter(data_type=data_type)
    assert RuntimeParameter(data_type="float").data_type is RPUDataType.FLOAT
