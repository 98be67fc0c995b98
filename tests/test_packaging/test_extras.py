"""One command installs what the tests and the examples import, so that none of them skips."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
PROJECT = TREE / "pyproject.toml"
#: What is installed under another name than it is imported by.
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
#: Names under which tests load files of one another.
LOADED = ("same_bits_", "bad_input_")
#: Tools that are run by hand.
BY_HAND = ("make_badcrossbar.py",)


def normal(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(extra: str) -> set[str]:
    """Return what an extra installs by name, extras that it names among them."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    names = set()
    for requirement in (*project["dependencies"], *listed(project, extra)):
        name, others = re.match(r"([\w.-]+)(?:\[(.*?)\])?", requirement).groups()
        if name == "rpupy":
            for other in others.split(","):
                names |= required(other)
        else:
            names.add(normal(name))
    return names


def listed(project: dict, extra: str) -> list[str]:
    return project["optional-dependencies"][extra]


def imported(path: Path) -> Iterator[str]:
    """Yield the packages of others that a file imports, or skips without."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and "importorskip" in ast.unparse(node.func):
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        yield from (name.partition(".")[0] for name in names)


@pytest.mark.skipif(not PROJECT.is_file(), reason="the source tree is not here")
@pytest.mark.parametrize(
    ("folder", "extras"), [("tests", ("test", "lint")), ("examples", ("examples",))]
)
def test_an_extra_has_all_that_is_imported(
    folder: str, extras: tuple[str, ...]
) -> None:
    files = [p for p in (TREE / folder).rglob("*.py") if p.name not in BY_HAND]
    tools = TREE.glob("benchmarks/*.py")
    ours = {"rpupy", *(path.stem for path in (*files, *tools))}
    ours |= sys.stdlib_module_names
    needed = {
        normal(DISTRIBUTIONS.get(name, name))
        for path in files
        for name in imported(path)
        if name not in ours and not name.startswith(LOADED)
    }
    assert len(needed) > 3
    installed = set().union(*map(required, extras))
    assert needed <= installed, needed - installed
