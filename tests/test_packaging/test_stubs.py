"""The stub of the compiled module names what the module has, with the same parameters."""

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import rpupy
from rpupy.rpu_base import _cpu

STUB = Path(rpupy.__file__).parent / "rpu_base" / "_cpu.pyi"
Entries = dict[str, Any]


def stub_entries(body: list[ast.stmt]) -> Entries:
    """Read public names of a stub: a value (None), a function or property, or a class."""
    entries: Entries = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            entries[node.target.id] = None
        elif isinstance(node, ast.FunctionDef):
            is_property = any(
                isinstance(d, ast.Name) and d.id == "property"
                for d in node.decorator_list
            )
            entries[node.name] = "property" if is_property else stub_parameters(node)
        elif isinstance(node, ast.ClassDef):
            entries[node.name] = stub_entries(node.body)
    return {
        k: v for k, v in entries.items() if not k.startswith("_") or k == "__init__"
    }


def stub_parameters(function: ast.FunctionDef) -> list[tuple[str, str]]:
    """Names and defaults, keyword-only parameters behind a star."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[Any] = [None] * (len(positional) - len(given.defaults))
    pairs = list(zip(positional, [*defaults, *given.defaults], strict=True))
    if given.kwonlyargs:
        pairs.append((ast.arg("*"), None))
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return [(p.arg, "" if d is None else ast.unparse(d)) for p, d in pairs]


def parameters(function: Any) -> list[tuple[str, str]]:
    """Return the same of a compiled function."""
    found: list[tuple[str, str]] = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not any(name == "*" for name, _ in found):
            found.append(("*", ""))
        found.append((p.name, "" if p.default is p.empty else repr(p.default)))
    return found


def module_entries(module: ModuleType) -> Entries:
    """Read the public names of the module, apart from what it imported."""
    entries: Entries = {}
    for name, value in vars(module).items():
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if isinstance(value, type):
            if value.__module__ == module.__name__:
                entries[name] = class_entries(value)
        else:
            entries[name] = parameters(value) if callable(value) else None
    return entries


def class_entries(cls: type) -> Entries:
    """Read the public members of a compiled class."""
    entries: Entries = {}
    for name, value in vars(cls).items():
        if not name.startswith("__"):
            entries[name] = parameters(value) if callable(value) else "property"
    return entries


def test_stub_and_module_agree() -> None:
    stub = stub_entries(ast.parse(STUB.read_text()).body)
    module = module_entries(_cpu)
    # Arguments of a constructor written in C stand in the documentation alone.
    for name, entry in stub.items():
        if isinstance(entry, dict):
            entry.pop("__init__", None)
            assert entry == module[name]
    assert stub == module
