"""Names that are not built say so, and stop saying so once they are."""

import importlib
from pathlib import Path

import pytest

from rpupy.not_built import NAMES

MODULES = (
    "rpupy.tiles",
    "rpupy.configs",
    "rpupy.configs.configs",
    "rpupy.configs.utils",
    "rpupy.parameters",
    "rpupy.presets",
)
EMPTY = ("rpupy.nn", "rpupy.inference", "rpupy.linalg")
FEATURES = Path(__file__).parents[1] / "docs" / "features.md"


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("module", MODULES)
def test_a_name_that_is_not_built_says_so(module: str, name: str) -> None:
    assert name not in vars(importlib.import_module(module))
    with pytest.raises(NotImplementedError, match=f"{module}.{name} is not built yet"):
        exec(f"from {module} import {name}", {})


@pytest.mark.parametrize("module", EMPTY)
def test_empty_modules_say_so(module: str) -> None:
    with pytest.raises(NotImplementedError, match=f"{module}.AnalogLinear is not"):
        exec(f"from {module} import AnalogLinear", {})
    names: dict[str, object] = {}
    exec(f"from {module} import *", names)
    assert set(names) == {"__builtins__"}
    assert not hasattr(importlib.import_module(module), "__wrapped__")


@pytest.mark.parametrize("module", MODULES)
def test_other_names_are_errors_as_ever(module: str) -> None:
    assert not hasattr(importlib.import_module(module), "Nonsense")
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec(f"from {module} import Nonsense", {})


@pytest.mark.skipif(not FEATURES.is_file(), reason="the source tree is not here")
def test_the_page_of_features_lists_them() -> None:
    text = FEATURES.read_text(encoding="utf-8")
    for name in (*NAMES, *EMPTY):
        assert f"`{name}`" in text, name
