"""Cron lines, checked by the parser that Prefect will read them with."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import cast

NAME = "redoxa_croniter"


def _croniter() -> ModuleType:
    """Prefect's own copy of croniter, loaded without Prefect, which would read its settings too early."""
    if NAME not in sys.modules:
        prefect = importlib.util.find_spec("prefect")
        folder = Path((prefect and prefect.origin) or "").parent / "_vendor" / "croniter"
        spec = importlib.util.spec_from_file_location(
            NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"{folder}: Prefect's cron parser is not there")
        sys.modules[NAME] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[NAME]


def check_cron(text: str) -> str:
    """The line itself, where Prefect can keep to it.

    Raises:
        ValueError: it is no cron line.
    """
    if not _croniter().croniter.is_valid(text) or {"r", "h"} & set(text.lower().split()):
        raise ValueError(
            f"'{text}' is no cron line. Write minute, hour, day, month and weekday, e.g. '0 2 * * *' for every night "
            "at two, or every_minutes: 60"
        )
    return text


def last_due(text: str, before: datetime) -> datetime:
    """The last moment at or before one at which a cron line was due."""
    return cast(datetime, _croniter().croniter(text, before + timedelta(seconds=1)).get_prev(datetime))
