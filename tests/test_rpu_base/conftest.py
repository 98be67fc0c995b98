"""Core tiles for the tests of this folder."""

from __future__ import annotations

import numpy as np
import pytest

import rpupy
from rpupy.configs import FloatingPointRPUConfig, SingleRPUConfig
from rpupy.parameters.base import frozen_copy
from rpupy.rpu_base.core import CpuTile


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = rpupy.get_num_threads()
    yield
    rpupy.set_num_threads(before)


@pytest.fixture
def core():
    """Build a core tile: ``core(out_size, in_size, device=None, seed=0, **parts)``."""

    def build(out_size, in_size, device=None, seed=0, cls=CpuTile, **parts):
        if device is None:
            config = FloatingPointRPUConfig()
        else:
            config = SingleRPUConfig(device=device, **parts)
        config.validate()
        return cls(out_size, in_size, frozen_copy(config), np.random.SeedSequence(seed))

    return build
