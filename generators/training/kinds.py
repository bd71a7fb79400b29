"""What `redoxa train` asks of a network that can be trained: declared beside its task, and named in `TRAININGS`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from redoxa.data.errors import InputError
from redoxa.data.registry import load
from redoxa.generators import TRAININGS

if TYPE_CHECKING:
    from redoxa.generators.training.loop import Task

Option = Literal["start", "rate", "edges", "hosts", "steps", "workers"]
"""Options of `redoxa train` that not every network takes."""

Fit = Callable[[Path, int, Path], dict[str, float]]
"""Learns at once from the prepared file with a seed, writes the weights, and tells figures of the held-out data."""

MakeTask = Callable[[Path, Path | None, int | None], Callable[[], "Task[Any]"]]
"""From the prepared file, the weights to begin with and the pairs of atoms in a batch, both None for the default."""

RANDOM: Final = "random weights"

_WITHOUT: Final[dict[Option, str]] = {
    "start": "{} begins with random weights; leave it out",
    "rate": "{} has a fixed one; leave it out",
    "hosts": "{} learns no voltages; leave it out",
}

STEPWISE: Final[frozenset[Option]] = frozenset({"steps", "workers"})
"""Options that all take but what is fitted at once."""


@dataclass(frozen=True)
class Training:
    """How a network is trained by the command.

    Attributes:
        name: for ``--generator``.
        steps: optimiser steps in all, unless others are asked for; 0 of what is fitted at once.
        takes: options that it takes beside those that all do, and `STEPWISE` ones.
        learns: formulas (tables without positions do), materials (formulas and what is known of them, likewise),
            cells (of tables with or without positions), crystals, their symmetric forms as sequences, or templates, by
            default those that ship.
        task: makes what the common loop trains; None of what learns templates, whose trainings are of many parts, and
            of what is fitted at once.
        fit: of what is fitted at once, else None.
        rate: highest learning rate, unless another is asked for; None for that of the loop.
        clip: largest norm of the gradient; None likewise.
        begins_with: unless weights are named.
        shipped: file that ``--start shipped`` names; None for that of its own name.
        finish: what is done to the file of weights after the last step; doing it again changes nothing.
        next: what to do with the weights; ``{0}`` is the name and ``{1}`` the file.
    """

    name: str
    steps: int
    takes: frozenset[Option]
    learns: Literal["formulas", "materials", "cells", "crystals", "sequences", "templates"]
    task: MakeTask | None = None
    fit: Fit | None = None
    rate: float | None = None
    clip: float | None = None
    begins_with: str = RANDOM
    shipped: str | None = None
    finish: Callable[[Path], None] | None = None
    next: str = "redoxa generate --generator {0} --checkpoint {1}"

    @property
    def several_tables(self) -> bool:
        """Whether it learns from several tables, which need no positions."""
        return self.learns in ("formulas", "materials", "cells")

    @property
    def options(self) -> frozenset[Option]:
        """Those of `Option` that it takes."""
        return self.takes if self.fit else self.takes | STEPWISE

    def check(self, given: Collection[Option]) -> None:
        """Refuse an option that this network does not take.

        Raises:
            InputError: which, and why.
        """
        for option in given:
            if option in self.options:
                continue
            if self.fit:
                raise InputError(f"--{option}: {self.name} is fitted at once, without; leave it out")
            if option in _WITHOUT:
                raise InputError(f"--{option}: {_WITHOUT[option].format(self.name)}")
            having = " and ".join(name for name in TRAININGS if option in training_of(name).options)
            raise InputError(f"--{option} is of {having}; leave it out to train {self.name}")


def training_of(name: str) -> Training:
    """The training of this name.

    Raises:
        data.errors.UnknownKindError: none has it; the message suggests the nearest one.
    """
    training: Training = load(TRAININGS, "network to train", name)
    return training
