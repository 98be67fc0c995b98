"""The approximations of wire resistance against the exact solution: the tables of the docs."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("scipy")

TREE = Path(__file__).parents[2]
PAGE = (TREE / "docs" / "parasitics.md").read_text()


@pytest.fixture(scope="module")
def example():
    path = TREE / "examples" / "wire_resistance.py"
    spec = importlib.util.spec_from_file_location("wire_resistance", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of_page(pattern):
    rows = re.findall(pattern, PAGE, flags=re.MULTILINE)
    assert len(rows) >= 8
    return rows


def is_row(computed, written):
    """Whether a computed row rounds to the one on the page, or nearly so."""
    loss, error = (float(cell.rstrip("%")) for cell in computed[-2:])
    assert loss == pytest.approx(float(written[-2]), abs=0.011)
    assert error == pytest.approx(float(written[-1]), abs=0.011)
    assert list(computed[:-2]) == list(written[:-2])


def test_static_model(example):
    cells = r"^\| (\d+) \| (mixed|positive) \| ([\d.]+)% \| ([\d.]+) \|$"
    for row in rows_of_page(cells):
        is_row(example.static_loss(int(row[0]), row[1]), row)


def test_ladder_of_time_slices(example):
    cells = r"^\| (\d+) \| (\d+) \| ([\d.]+)% \| ([\d.]+) \|$"
    for row in rows_of_page(cells):
        is_row(example.ladder_loss(int(row[0]), int(row[1])), row)
