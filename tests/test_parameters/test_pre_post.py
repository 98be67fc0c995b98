"""Settings of the digital processing."""

import pytest

from rpupy.parameters import InputRangeParameter, PrePostProcessingRPU, RPUConfigBase


def test_input_range_is_not_built() -> None:
    with pytest.raises(NotImplementedError, match=r"InputRangeParameter.enable = True"):
        InputRangeParameter(enable=True)


def test_the_chain_of_bases_is_linear() -> None:
    assert PrePostProcessingRPU.__bases__ == (RPUConfigBase,)
