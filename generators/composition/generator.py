"""`composition`: a model of formulas writes formulas, and the predictor of `orbits` makes a crystal of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal, reduced_formula
from redoxa.data.tables.known_materials import known_formulas
from redoxa.generators.base import Condition, Predicted, Relaxer, ShortfallError, cells_of, refuse
from redoxa.generators.composition.families import (
    DEFAULT_FAMILY,
    check_family_of,
    family_class,
    family_in,
    shipped_weights,
)
from redoxa.generators.composition.family import Aiming, Family
from redoxa.generators.composition.grammar import Formula
from redoxa.generators.electrode import gives_ions
from redoxa.generators.exchange.recipes import repeated
from redoxa.generators.orbits.formulas import nearest
from redoxa.generators.orbits.prediction import Option, shipped_predictor
from redoxa.generators.orbits.refusal import is_sane_crystal
from redoxa.generators.parallel import side_by_side

ROUND, LARGEST_ROUND = 256, 4096
"""Formulas that are written together at first, and at most."""

FRUITLESS = 4
"""Rounds, each twice the last, without a formula that was not written before, after which the model knows no more."""

PLAIN, CHANGED = 8, 4
"""Skeletons of a formula that are judged, of all cell sizes: so many that keep which orbits are alike, and that do not.
Half of what answering a single formula takes, for speed."""

TRIES, TRIES_BY_CRYSTAL = 100, 20
"""Formulas that are tried, at most: so many, and so many for each crystal wanted. Only space groups refuse many."""

AT_ONCE = 64
"""Formulas that are judged together."""


class CompositionGenerator:
    """Formulas that a model of formulas writes, each in the likeliest known skeleton with a cell of a size asked for.

    No formula comes twice. Known ones come last, where the model finds no others.

    Args:
        checkpoint: weights of any model of formulas (`composition.families`); by default those that ship.
        family: which model; where a file is named, it must be of this one.

    Attributes:
        relaxer: what relaxes the structures of given contents within the symmetry; not needed for drawing.

    Raises:
        InputError: the file is of no model of formulas or of another one, or none of the family ships.
    """

    name: ClassVar[str] = "composition"
    summary: ClassVar[str] = "a model of formulas writes formulas (--family); each takes the likeliest known skeleton"
    aims: ClassVar[frozenset[str]] = frozenset()
    cannot: ClassVar[Mapping[str, str]] = dict.fromkeys(("like", "keep", "targets"), "use `orbits`")

    def __init__(self, checkpoint: Path | None = None, family: str | None = None) -> None:
        path = checkpoint or shipped_weights(family or DEFAULT_FAMILY)
        self.family_name = family_in(path, family)
        self.family: Family = family_class(self.family_name).load(path)
        self.checkpoint_sha256: str | None = sha256_of(path)
        self.relaxer: Relaxer | None = None
        self.predictor = shipped_predictor()

    @classmethod
    def of_family(cls, family: str, checkpoint: Path | None) -> CompositionGenerator:
        """See `generators.base.HasFamilies`."""
        check_family_of(cls.name, family)
        return cls(checkpoint, family)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels, e.g. ``lstm: LiFeO2, space group 166``; see `generators.base.Generator`.

        Contents that are given are answered as `orbits` answers them.

        Raises:
            ShortfallError: only some crystals were found.
            GenerationError: the condition cannot be met.
        """
        asked = replace(condition, targets=()) if isinstance(self.family, Aiming) else condition
        refuse(self.name, asked, **self.cannot)
        if condition.contents:
            if len(condition.contents) != n:
                raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
            answers = self.predictor.answers(condition, rng, self.relaxer, on_step)
            return CrystalBatch.from_crystals([crystal for crystal, _ in answers]), [label for _, label in answers]
        found = self._drawn(n, condition, rng, on_step)
        if len(found) < n:
            raise ShortfallError(
                f"composition ({self.family_name}) found only {len(found)} of {n} crystals of different formulas; "
                "allow more elements, atoms or space groups",
                found,
            )
        return CrystalBatch.from_crystals([one.crystal for one in found]), [one.label for one in found]

    def _drawn(self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None) -> list[Predicted]:
        """Crystals of n formulas at most, the new ones before the known."""
        found: list[Predicted] = []
        known_elements = frozenset(np.flatnonzero(self.predictor.proposer.volumes_A3).tolist())
        writer = _Writer(self.family, condition, known_elements, rng)
        tries = TRIES + TRIES_BY_CRYSTAL * n
        while len(found) < n and tries > 0:
            formulas = writer.take(min(AT_ONCE, n - len(found), tries))
            if not formulas:
                break
            tries -= len(formulas)
            for one, answer in zip(formulas, self.crystals([one.formula for one in formulas], condition), strict=True):
                if answer is not None and gives_ions(answer[0], condition):
                    label = f"{self.family_name}: {one.said}, space group {answer[1]}"
                    found.append(Predicted(answer[0], label))
            if on_step is not None:
                on_step(len(found), n)
        return found

    def crystals(self, formulas: Sequence[Formula], condition: Condition) -> list[tuple[Crystal, int] | None]:
        """The likeliest crystal of each formula with its space group; None where no known skeleton suits."""
        (low, high), groups = condition.n_atoms, condition.groups
        proposals = [
            nearest(
                self.predictor, [cell for cell in cells_of(dict(formula), high) if sum(cell.values()) >= low],
                groups, PLAIN, CHANGED, least_atoms=low,
            )
            for formula in formulas
        ]  # fmt: skip
        return [self._first(options, groups) for options in self.predictor.judged(proposals)]

    def _first(self, options: Sequence[Option], groups: frozenset[int]) -> tuple[Crystal, int] | None:
        """The likeliest option of which a crystal can be made."""
        for option in options:
            built = self.predictor.built(option, groups)
            if built is not None and is_sane_crystal(built[0]):
                group = int(self.predictor.proposer.table.groups[option.proposal.index])
                return repeated(built[0], option.proposal.cells), group
        return None


@dataclass(frozen=True)
class _Written:
    """A formula, and what a label says of it."""

    formula: Formula
    said: str


@dataclass
class _Writer:
    """Formulas of a model, each once.

    Attributes:
        family: the model.
        condition: what they must satisfy.
        elements: atomic numbers of which there are known crystals.
        rng: the only source of randomness.
    """

    family: Family
    condition: Condition
    elements: frozenset[int]
    rng: np.random.Generator
    _seen: set[Formula] = field(default_factory=set)
    _new: list[_Written] = field(default_factory=list)
    _known: list[_Written] = field(default_factory=list)
    _fruitless: int = 0

    def take(self, n: int) -> list[_Written]:
        """The next n formulas or fewer; known ones where there are no new ones; none where there are no more.

        Raises:
            GenerationError: the model can write none at all.
        """
        while len(self._new) < n and self._fruitless <= FRUITLESS:
            self._write(n)
        source = self._new or self._known
        taken = source[:n]
        del source[:n]
        return taken

    def _write(self, n: int) -> None:
        """One more round."""
        many = min(max(ROUND, 4 * n) << self._fruitless, LARGEST_ROUND)
        try:
            (drawn,) = side_by_side([partial(self.family.sample, many, self.condition, self.rng)])
        except GenerationError:
            if not self._seen:
                raise
            self._fruitless = FRUITLESS + 1
            return
        before = len(self._new)
        for formula in dict.fromkeys(drawn):
            if formula in self._seen:
                continue
            self._seen.add(formula)
            if self.elements.issuperset(z for z, _ in formula):
                words = reduced_formula({chemical_symbols[z]: count for z, count in formula})
                known = words in known_formulas()
                (self._known if known else self._new).append(_Written(formula, f"{words}, known" if known else words))
        self._fruitless = 0 if len(self._new) > before else self._fruitless + 1
