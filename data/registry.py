"""One registry idea for generators, properties and drivers: a dict from a name to ``"module:Class"``."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redoxa.data.errors import UnknownKindError


def load(registry: Mapping[str, str], what: str, name: str) -> Any:
    """Import and return the class registered under `name`.

    Raises:
        UnknownKindError: no such name; the message suggests the nearest one.
    """
    if name not in registry:
        raise UnknownKindError(what, name, registry)
    module, _, attribute = registry[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def summary(registry: Mapping[str, str], what: str, name: str) -> str:
    """The line that a registered class says of itself, read from its file where it is written out there.

    Importing every generator takes seconds and torch; only a class that makes its line is imported.
    """
    module, _, attribute = registry[name].partition(":")
    found = importlib.util.find_spec(module)
    if found is not None and found.origin is not None:
        written = _written(ast.parse(Path(found.origin).read_text(encoding="utf-8")), attribute)
        if written is not None:
            return written
    kind_loaded = load(registry, what, name)
    return getattr(kind_loaded, "summary", None) or (inspect.getdoc(kind_loaded) or "").split("\n")[0]


def _written(tree: ast.Module, attribute: str) -> str | None:
    """The literal that a class of a module has as its `summary`."""
    for kind in tree.body:
        if not isinstance(kind, ast.ClassDef) or kind.name != attribute:
            continue
        for line in kind.body:
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                continue
            if line.target.id == "summary" and isinstance(line.value, ast.Constant):
                return str(line.value.value)
    return None
