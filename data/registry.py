"""One registry idea for generators, properties and drivers: a dict from a name to ``"module:Class"``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from data.errors import UnknownKindError


def load(registry: Mapping[str, str], what: str, name: str) -> Any:
    """Import and return the class registered under `name`.

    Raises:
        UnknownKindError: no such name; the message suggests the nearest one.
    """
    if name not in registry:
        raise UnknownKindError(what, name, registry)
    module, _, attribute = registry[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
