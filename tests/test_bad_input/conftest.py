"""What the tests of bad input share: tools, and that nothing is ever printed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def _load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Test modules import it by this name.
    sys.modules[name] = module
    spec.loader.exec_module(module)


_load(Path(__file__).with_name("tools.py"), "bad_input_tools")


@pytest.fixture(autouse=True)
def _silent(capfd):
    yield
    assert capfd.readouterr() == ("", "")
