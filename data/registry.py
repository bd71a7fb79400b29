"""One registry idea for generators, properties, drivers and potentials: a dict from a name to ``"module:Class"``.

An installed package adds kinds of its own by entry points in the group ``redoxa.generators`` (``redoxa.properties``,
``redoxa.drivers``, ``redoxa.potentials``), without touching ours.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redoxa.data.errors import BrokenKindError, UnknownKindError


def registered(group: str, own: Mapping[str, str]) -> dict[str, str]:
    """Our kinds, and behind them those that installed packages offer; a name that is ours stays ours (`redoxa doctor`).

    Args:
        group: ``generators``, ``properties``, ``drivers`` or ``potentials``.
        own: name -> ``"module:Class"``.
    """
    offered = {found.name: found.value for found in importlib.metadata.entry_points(group=f"redoxa.{group}")}
    return {**own, **offered, **own}


def load(registry: Mapping[str, str], what: str, name: str) -> Any:
    """Import and return what is registered under `name`; a function beside each Protocol says of which type it is.

    Raises:
        UnknownKindError: no such name; the message suggests the nearest one.
        BrokenKindError: it cannot be imported.
    """
    if name not in registry:
        raise UnknownKindError(what, name, registry)
    module, _, attribute = registry[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BrokenKindError(what, name, registry[name], error) from error


def summary(registry: Mapping[str, str], what: str, name: str) -> str:
    """The line that a registered class says of itself, read from its file where it is written out there.

    Importing every generator takes seconds and torch; only a class that makes its line is imported.
    """
    module, _, attribute = registry[name].partition(":")
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of a package that is there in part: loading says so
        found = None
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
