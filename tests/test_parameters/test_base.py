"""The way from a configuration to its tile."""

import subprocess
import sys
import types

import pytest

import rpupy
from rpupy.configs import FloatingPointRPUConfig, SingleRPUConfig
from rpupy.parameters.base import RPUConfigBase


class FakeTile:
    """Keeps what it was built with."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.args, self.kwargs = args, kwargs


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Put a registry in place that knows one tile."""
    module = types.ModuleType("rpupy.registry")
    module.tile_class = lambda config: FakeTile
    monkeypatch.setitem(sys.modules, "rpupy.registry", module)
    monkeypatch.setattr(rpupy, "registry", module, raising=False)
    return module


def test_tile_class_asks_the_registry_each_time(registry: types.ModuleType) -> None:
    config = SingleRPUConfig()
    assert config.tile_class is FakeTile
    registry.tile_class = lambda config: int
    assert config.tile_class is int


def test_create_tile(registry: types.ModuleType) -> None:
    config = SingleRPUConfig()
    tile = config.create_tile(3, 4, bias=True)
    assert tile.args == (3, 4)
    assert tile.kwargs == {"bias": True, "rpu_config": config}
    assert tile.kwargs["rpu_config"] is config


def test_compatible_with(registry: types.ModuleType) -> None:
    assert SingleRPUConfig().compatible_with("FakeTile")
    assert not SingleRPUConfig().compatible_with("AnalogTile")


def test_tile_kinds() -> None:
    assert RPUConfigBase.tile_kind is None
    assert SingleRPUConfig.tile_kind == "analog"
    assert FloatingPointRPUConfig.tile_kind == "floating_point"


def test_tile_class_cannot_be_assigned() -> None:
    with pytest.raises(AttributeError, match="tile_class"):
        SingleRPUConfig().tile_class = FakeTile


def test_tile_arrays_are_not_built() -> None:
    with pytest.raises(NotImplementedError, match="tile arrays"):
        _ = SingleRPUConfig().tile_array_class


def test_configs_import_nothing_compiled() -> None:
    """The configuration layer itself needs no kernels, tiles or registry."""
    code = (
        "import sys, types, attrs, numpy\n"
        f"package = types.ModuleType('rpupy'); package.__path__ = {[*rpupy.__path__]}\n"
        "sys.modules['rpupy'] = package\n"
        "before = set(sys.modules)\n"
        "import rpupy.configs\n"
        "new = set(sys.modules) - before - set(sys.stdlib_module_names)\n"
        "rooms = ('rpupy.configs', 'rpupy.parameters', 'rpupy.errors')\n"
        "rooms = (*rooms, 'rpupy.not_built')  # names alone\n"
        "assert not [n for n in new if not n.startswith(rooms)], new\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
