"""The stubs of the CUDA modules name what the modules have, with the same parameters."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import rpupy

FOLDER = Path(rpupy.__file__).parent / "rpu_base"


def stub_names(body: list[ast.stmt]) -> dict[str, Any]:
    """Names -> parameters of a function, names of a class; None for what is imported."""
    found: dict[str, Any] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            is_property = any(
                isinstance(d, ast.Name) and d.id == "property"
                for d in node.decorator_list
            )
            given = node.args
            names = [a.arg for a in (*given.args, *given.kwonlyargs)]
            found[node.name] = "property" if is_property else names
        elif isinstance(node, ast.ClassDef):
            found[node.name] = stub_names(node.body)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("rpupy"):
            found |= {alias.asname: None for alias in node.names}
    return {name: what for name, what in found.items() if not name.startswith("_")}


def names_of(thing: Any) -> dict[str, Any]:
    """Return the same of a module or class."""
    found: dict[str, Any] = {}
    for name, value in vars(thing).items():
        if name.startswith("_") or inspect.ismodule(value) or name == "CudaError":
            continue
        if isinstance(value, type):
            found[name] = names_of(value)
        elif callable(value):
            found[name] = list(inspect.signature(value).parameters)
        else:
            found[name] = "property"
    return found


def test_stubs_and_module_agree(host: Any) -> None:
    shared = stub_names(ast.parse((FOLDER / "_cuda.pyi").read_text()).body)
    hooks = stub_names(ast.parse((FOLDER / "_cuda_host.pyi").read_text()).body)
    assert {name for name, what in hooks.items() if what is None} == set(shared)
    assert names_of(host) == {**hooks, **shared}
