"""What a generator is, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np

    from data.crystal import CrystalBatch
    from data.records import Crystal
    from data.symmetric import SymmetricCrystal

CellContent = dict[int, int]
"""Exact content of a cell: atomic number -> count, e.g. ``{3: 4, 26: 4, 15: 4, 8: 16}``."""

OnStep = Callable[[int, int], None]
"""Called with (done, total) as sampling goes on, for progress bars."""


@dataclass(frozen=True)
class Condition:
    """What the samples must satisfy. Every field is a hard constraint: a sample outside it is never returned.

    Attributes:
        allowed: atomic numbers that may occur; empty means every element the generator knows.
        required: atomic numbers that must occur (the working ion, say).
        contents: exact cell contents; when given, sample i has content i and n must equal its length.
        n_atoms: smallest and largest number of atoms in the cell (ignored where `contents` is given).
        charge_neutral: only compositions that common oxidation states can balance.
    """

    allowed: frozenset[int] = frozenset()
    required: frozenset[int] = frozenset()
    contents: tuple[CellContent, ...] = ()
    n_atoms: tuple[int, int] = (2, 20)
    charge_neutral: bool = False


@dataclass(frozen=True)
class Relaxed:
    """A crystal relaxed within its symmetry, and its energy."""

    crystal: Crystal
    energy_eV_per_atom: float


class Relaxer(Protocol):
    """Relaxes symmetric crystals within their symmetry; None where that fails. Screening lends one to generators."""

    def __call__(self, forms: Sequence[SymmetricCrystal], on_step: OnStep | None = None) -> list[Relaxed | None]:
        """One answer a form, in order."""
        ...


class Generator(Protocol):
    """A source of crystals.

    Same `condition` and same state of `rng` give the same samples. `sample` returns exactly n crystals that satisfy the
    condition, or raises `data.errors.GenerationError` saying which part of the condition it cannot meet. `labels` says
    in a word or two where sample i came from (prototype name, say), and is "" where there is nothing to say.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    checkpoint_sha256: str | None

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels."""
        ...
