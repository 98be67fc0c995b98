"""Write docs/api.md: every public name with the first line of its docstring.

    python docs/make_api.py

A test fails where the page is not what this writes, or where a module is in neither list below.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).with_name("api.md")

#: Heading -> modules whose ``__all__`` it lists. A name stands where it is listed first.
SECTIONS = {
    "The package": ["rpupy"],
    "Tiles": ["rpupy.tiles"],
    "RPU configurations": ["rpupy.configs.configs", "rpupy.configs.helpers"],
    "Devices": ["rpupy.configs.devices"],
    "Unit cells and compounds": ["rpupy.configs.compounds"],
    "Parts of a configuration": ["rpupy.configs.utils"],
    "Parameter classes of one's own": [
        "rpupy.parameters.base",
        "rpupy.parameters.effects",
        "rpupy.parameters.explain",
    ],
    "Presets": [
        "rpupy.presets.devices",
        "rpupy.presets.compounds",
        "rpupy.presets.utils",
    ],
    "Events": ["rpupy.events"],
    "Responses, pictures, fits": [
        "rpupy.pulse_response",
        "rpupy.visualization",
        "rpupy.fitting",
    ],
    "Wires": ["rpupy.parasitics"],
    "Below the tile": ["rpupy.rpu_base.core", "rpupy.registry", "rpupy.rpu_base.cuda"],
    "Errors": ["rpupy.errors"],
    "Tests": [
        "rpupy.testing",
        "rpupy.testing.reference",
        "rpupy.testing.statistics",
        "rpupy.testing.strategies",
    ],
}

#: Classes whose methods are listed, too.
WITH_METHODS = ("Tile", "RPUConfigBase", "CoreTile", "Explanation", "Events")

#: Public modules without a section: their names are listed by way of another module, or are not
#: for users.
ELSEWHERE = (
    "rpupy.about",
    "rpupy.configs",
    "rpupy.inference",
    "rpupy.linalg",
    "rpupy.nn",
    "rpupy.not_built",
    "rpupy.parameters",
    "rpupy.parameters.definition",
    "rpupy.parameters.drift",
    "rpupy.parameters.enums",
    "rpupy.parameters.fields",
    "rpupy.parameters.help",
    "rpupy.parameters.in_use",
    "rpupy.parameters.io",
    "rpupy.parameters.mapping",
    "rpupy.parameters.pre_post",
    "rpupy.parameters.runtime",
    "rpupy.parameters.serialisation",
    "rpupy.parameters.training",
    "rpupy.presets",
    "rpupy.presets.configs",
    "rpupy.rpu_base",
    "rpupy.rpu_base.compound",
    "rpupy.rpu_base.device",
    "rpupy.rpu_base.nodal",
    "rpupy.rpu_base.numpy_device",
    "rpupy.rpu_base.periphery",
    "rpupy.rpu_base.plane",
    "rpupy.rpu_base.sliced",
    "rpupy.testing.bench",
    "rpupy.testing.cell_laws",
    "rpupy.testing.conformance",
    "rpupy.testing.laws",
    "rpupy.threads",
    "rpupy.tiles.analog",
    "rpupy.tiles.base",
    "rpupy.tiles.cuda",
    "rpupy.tiles.floating_point",
    "rpupy.tiles.periphery",
    "rpupy.tiles.programming",
    "rpupy.tiles.seeding",
    "rpupy.tiles.state",
)

HEAD = """\
# Public names

What each name is, in a line; `help(name)` has parameters, shapes, units and errors. Everything in
`rpupy.configs.*` can be imported from `rpupy.configs`, and the parts and enums from
`rpupy.parameters` as well. The 52 preset configurations are in [presets.md](presets.md).
`python docs/make_api.py` writes this page.
"""


def first_line(module: ModuleType, name: str, value: Any) -> str:
    """Return the first line of a docstring, or of the comment ``#:`` above other values."""
    if name == "__version__":
        line = "The version, a text."
    elif isinstance(value, (type, ModuleType)) or inspect.isroutine(value):
        line = inspect.getdoc(value) or ""
    elif isinstance(value, property):
        line = value.fget.__doc__ or ""
    else:
        above = rf"^#: (.*)\n(?:#:.*\n)*{name}\b"
        found = re.search(above, inspect.getsource(module), re.MULTILINE)
        line = found[1] if found else ""
    line = line.partition("\n")[0].strip()
    if not line:
        raise ValueError(f"{module.__name__}.{name} must have a docstring or a comment")
    line = re.sub(r":math:`([^`]*)`", r"$\1$", line)
    return line.replace("``", "`").replace("|", "\\|")


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class and of its bases, each once."""
    seen = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("rpupy."):
            continue
        for name, value in vars(base).items():
            shown = isinstance(value, (property, classmethod)) or inspect.isfunction(
                value
            )
            if shown and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, value


def row(module: ModuleType, name: str, value: Any, prefix: str = "") -> str:
    """Return a row of a table."""
    function = getattr(value, "__func__", value)
    call = "()" if inspect.isroutine(function) else ""
    return f"| `{prefix}{name}{call}` | {first_line(module, name, function)} |"


def page() -> str:
    """Return the text of the page."""
    lines, seen = [HEAD], set()
    for heading, modules in SECTIONS.items():
        lines.append(f"## {heading}\n")
        for module_name in modules:
            module = importlib.import_module(module_name)
            names = [name for name in module.__all__ if name not in seen]
            seen.update(names)
            about = first_line(module, module_name, module)
            lines += [f"`{module_name}`: {about}\n", "| name | |", "|---|---|"]
            for name in names:
                value = getattr(module, name)
                lines.append(row(module, name, value))
                if name in WITH_METHODS:
                    for method, function in members(value):
                        lines.append(row(module, method, function, "."))
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
