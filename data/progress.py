"""How long work tells what goes on: how far it is, and what is worth a note. Nothing here prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

OnStep = Callable[[int, int], None]
"""Called with (done, total) as one piece of work goes on."""

OnProgress = Callable[[str, int, int], None]
"""Called with (what, done, total) as several pieces of work go on."""


def nothing(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def unheard(_text: str) -> None:
    """A note that nobody reads."""


@dataclass(frozen=True)
class Watcher:
    """Who is told how work goes on; by default nobody.

    Attributes:
        on_progress: gets (what, done, total).
        note: gets a line of text: what was left out, assumed or put aside.
    """

    on_progress: OnProgress = nothing
    note: Callable[[str], None] = unheard

    def step(self, what: str) -> OnStep:
        """What takes the (done, total) of one piece of work."""
        return partial(self.on_progress, what)


SILENT = Watcher()
"""Nobody watches."""
