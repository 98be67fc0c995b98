"""The Python in README.md and docs/ runs, and prints what it says.

Blocks marked ``python`` are run and blocks marked ``pycon`` are doctests; those of one
file share their names, in order, and run in an empty folder. Python that is not meant to
run alone is marked ``py``.
"""

import doctest
import importlib.util
import pkgutil
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

import rpupy
from rpupy.configs import SingleRPUConfig
from rpupy.configs.devices import PulsedDevice
from rpupy.errors import ConfigError
from rpupy.parameters.base import define, real
from rpupy.tiles import AnalogTile

TREE = Path(__file__).parents[1]
PAGES = sorted([TREE / "README.md", *TREE.glob("docs/*.md")])

pytestmark = pytest.mark.skipif(
    not (TREE / "README.md").is_file(), reason="the source tree is not here"
)


def name_of(page: Path) -> str:
    return page.relative_to(TREE).as_posix()


def blocks(text: str) -> list[tuple[str, int, str]]:
    """Return kind, first line and code of each fenced block."""
    return [
        (match[1], text.count("\n", 0, match.start(2)), match[2])
        for match in re.finditer(
            r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
        )
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_snippets_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = rpupy.get_num_threads()
    names: dict[str, Any] = {"__name__": "snippets"}
    try:
        for kind, line, code in blocks(page.read_text(encoding="utf-8")):
            if kind == "python":
                padding = "\n" * line  # so that a traceback has the line of the page
                exec(compile(padding + code, str(page), "exec"), names)
            elif kind == "pycon":
                run_doctest(code, names, page, line)
    finally:
        rpupy.set_num_threads(threads)


def run_doctest(code: str, names: dict[str, Any], page: Path, line: int) -> None:
    test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line)
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    failures: list[str] = []
    runner.run(test, out=failures.append, clear_globs=False)
    names.update(test.globs)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.fixture
def make_api() -> Any:
    spec = importlib.util.spec_from_file_location("make_api", TREE / "docs/make_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_public_names_is_what_the_sources_say(make_api: Any) -> None:
    # `python docs/make_api.py` writes it anew.
    assert make_api.PAGE.read_text(encoding="utf-8") == make_api.page()


def test_every_public_module_has_its_place(make_api: Any) -> None:
    listed = {name for names in make_api.SECTIONS.values() for name in names}
    modules = {"rpupy"} | {
        module.name
        for module in pkgutil.walk_packages(rpupy.__path__, "rpupy.")
        if "._" not in module.name and ".reference." not in module.name
    }
    assert not listed & set(make_api.ELSEWHERE)
    assert listed | set(make_api.ELSEWHERE) == modules


def test_the_page_of_the_design_has_every_room() -> None:
    text = (TREE / "docs" / "design.md").read_text(encoding="utf-8")
    files = [*TREE.glob("rpupy/*.py"), *TREE.glob("csrc/*.h")]
    files += [
        path
        for path in TREE.glob("rpupy/rpu_base/*.p*")
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi")
    ]
    assert len(files) > 30
    rooms = {f"`{path.name}`" for path in files if path.name != "__init__.py"}
    rooms |= {f"{path.name}/" for path in TREE.glob("rpupy/*/") if path.name[0] != "_"}
    for room in sorted(rooms):
        assert room in text or room[1:] in text, room


def test_pages_that_sources_name_are_there() -> None:
    pages = {path.name for path in (*TREE.glob("*.md"), *TREE.glob("docs/*.md"))}
    for folder in ("rpupy", "csrc", "cuda", "tests", "benchmarks", "examples"):
        for path in (TREE / folder).rglob("*.*"):
            if path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".h", ".inl", ".cu"):
                text = path.read_text(encoding="utf-8")
                named = re.findall(r"(?<![\w{*])([A-Za-z_]+\.md)\b", text)
                assert set(named) <= pages, path


def test_the_table_of_features_lists_what_is_pending() -> None:
    """Every setting that is declared and not built is named on the page that says so."""
    from rpupy.parameters.base import pending_settings

    text = (TREE / "docs" / "features.md").read_text(encoding="utf-8")
    listed = set(
        re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \|$", text, re.MULTILINE)
    )
    pending = {(cls, field, values) for cls, field, values in pending_settings()}
    assert {(c, f, v.strip()) for c, f, v in listed} == pending


def test_the_guide_to_a_new_device_quotes_the_sources() -> None:
    guide = (TREE / "docs" / "add_a_device.md").read_text(encoding="utf-8")
    pattern = r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$"
    quoted = dict(re.findall(pattern, guide, flags=re.DOTALL | re.MULTILINE))
    message = quoted.pop("message")
    assert len(quoted) == 3
    for name, text in quoted.items():
        assert text in (TREE / name).read_text(encoding="utf-8"), name

    @define
    class Misnamed(PulsedDevice):
        kernel: ClassVar[str] = "damped_step"
        beta_up: float = real(3.0)
        beta_down: float = real(3.0)
        beta_up_dtod: float = real(0.0)
        beta_down_spread: float = real(0.0)

    with pytest.raises(ConfigError) as raised:
        AnalogTile(1, 1, SingleRPUConfig(device=Misnamed()))
    error = raised.value
    kind = f"{type(error).__module__}.{type(error).__name__}"
    assert message.split() == f"{kind}: {error}".split()
