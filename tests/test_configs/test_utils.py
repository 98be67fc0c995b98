"""`configs.utils` has the parameter classes and enums under their usual names."""

from rpupy import parameters
from rpupy.configs import utils
from rpupy.parameters import drift, enums, io, mapping, pre_post, runtime, training


def test_all_small_parts_are_there() -> None:
    names = set()
    for module in (drift, enums, io, mapping, pre_post, runtime, training):
        names |= set(module.__all__)
        for name in module.__all__:
            assert getattr(utils, name) is getattr(module, name)
            assert getattr(parameters, name) is getattr(module, name)
    assert names == set(utils.__all__)
    assert names <= set(parameters.__all__)
