"""What a new crystal is refused for: known, drawn before, against the condition, or no crystal at all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from ase.data import chemical_symbols

from redoxa.data.chemistry import is_charge_balanced, removable_ions
from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, Fingerprint, distance, fingerprint, spacegroup
from redoxa.data.records import Crystal, reduced_formula
from redoxa.data.symmetry.skeletons import Template
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Integers
from redoxa.data.tables.known_materials import KnownMaterials, known_formulas, load_known_materials
from redoxa.generators.base import Condition
from redoxa.generators.electrode import working_ion
from redoxa.generators.exchange.proposals import Proposer, decorate
from redoxa.generators.graph import N_TYPES
from redoxa.generators.orbits.blanks import Blank
from redoxa.generators.sanity import SanityLimits, is_sane

READ_AT_A = (0.01, 0.1)
"""Tolerances at which a new skeleton must show its own space group, lest it be a known one of higher symmetry."""


class Library:
    """What is known already: the templates, and the larger table of known materials, read when it is asked for."""

    def __init__(self, proposer: Proposer) -> None:
        self.proposer = proposer

    @cached_property
    def _templates(self) -> dict[bytes, list[int]]:
        """Templates by reduced composition."""
        rows = self.proposer.table.compositions
        reduced = rows // np.gcd.reduce(rows, axis=1, keepdims=True)
        found: dict[bytes, list[int]] = defaultdict(list)
        for index, row in enumerate(reduced):
            found[row.tobytes()].append(index)
        return found

    @cached_property
    def _materials(self) -> KnownMaterials:
        return load_known_materials()

    def same(self, counts: Integers) -> list[int]:
        """Templates of a composition [104], by their places in the table."""
        return self._templates.get((counts // np.gcd.reduce(counts)).tobytes(), [])

    def knows(self, content: dict[str, int], templates: Sequence[int]) -> bool:
        """Whether a formula is known: of a content by symbol, and the templates that have it."""
        return bool(templates) or reduced_formula(content) in known_formulas()

    def decorated(self, index: int) -> str:
        """The decorated skeleton of a template."""
        template = self.proposer.table[index]
        return repr(template.decorated([orbit.number for orbit in template.form.orbits]))

    def holds(self, mark: Fingerprint) -> bool:
        """Whether a known material lies near a crystal."""
        match = self._materials.nearest(mark, SAME_UNRELAXED)
        return match is not None and match.level == "structure"


class Refusal:
    """What is drawn again.

    Args:
        library: what is known; a crystal around a given one (`like`) may be known.
        condition: what is asked for.

    Attributes:
        known_formulas: whether a known formula may be drawn in a form that is not known.
    """

    def __init__(self, library: Library, condition: Condition) -> None:
        self.library, self.condition = library, condition
        self._ion = working_ion(condition) if condition.of_electrode else ""
        self.known_formulas = False
        self._seen: set[str] = set()
        self._before: dict[str, list[Crystal]] = defaultdict(list)
        self._marks: dict[str, list[Fingerprint]] = defaultdict(list)

    def fits(self, template: Template, numbers: tuple[int, ...]) -> bool:
        """Whether a template with these elements on its orbits may become a crystal, geometry aside."""
        if not self.condition.required <= set(numbers):
            return False
        key = repr(template.decorated(numbers))
        if key in self._seen:
            return False
        counts = np.bincount(numbers, template.atoms, N_TYPES).astype(np.int64)
        content = {chemical_symbols[z]: int(counts[z]) for z in np.flatnonzero(counts).tolist()}
        if not is_charge_balanced(content, alloys=not self.condition.charge_neutral):
            return False
        if self._ion and removable_ions(content, self._ion) <= 0.0:
            return False
        if self.condition.like is None:
            same = self.library.same(counts)
            if self.library.knows(content, same):
                return self.known_formulas and all(key != self.library.decorated(index) for index in same)
        return True

    def form(self, blank: Blank, numbers: tuple[int, ...], log_scale: float) -> SymmetricCrystal | None:
        """A blank with elements that fit; None where the same was drawn before.

        Args:
            blank: the skeleton.
            numbers: on its orbits.
            log_scale: logarithm of its volume over that of the template scaled to its elements.
        """
        key = repr(blank.template.decorated(numbers))
        if key in self._seen:
            return None
        self._seen.add(key)
        form = decorate(blank.template, numbers, self.library.proposer.volumes_A3)
        return replace(form, lengths_A=tuple(x * math.exp(log_scale / 3) for x in form.lengths_A))

    def crystal(self, form: SymmetricCrystal, *, new: bool = False) -> Crystal | None:
        """The crystal of a form, or None where it is none, or has another symmetry than it should, or is not new.

        Args:
            form: with its elements.
            new: whether its skeleton is to be one that no template has.
        """
        try:
            crystal = form.to_crystal()
        except StructureError:
            return None
        if not is_sane_crystal(crystal):
            return None
        groups = self.condition.groups
        if groups and spacegroup(crystal, 0.01) not in groups:
            return None
        if new and any(spacegroup(crystal, tolerance_A) != form.group for tolerance_A in READ_AT_A):
            return None
        return crystal if self._unlike(crystal) else None

    def _unlike(self, crystal: Crystal) -> bool:
        """Whether it differs from all before and from the known ones: skeletons may differ by a mere distortion."""
        formula = crystal.formula
        before, marks = self._before[formula], self._marks[formula]
        known = self.condition.like is None and formula in known_formulas()
        if before or known:
            mark = fingerprint(crystal)
            marks += map(fingerprint, before[len(marks) :])
            if any(distance(mark, other) <= SAME_UNRELAXED for other in marks) or (known and self.library.holds(mark)):
                return False
            marks.append(mark)
        before.append(crystal)
        return True


def is_sane_crystal(crystal: Crystal) -> bool:
    """Whether it passes the gates of `generators.sanity`."""
    types, coords, lattice = (torch.tensor([x]) for x in (crystal.numbers, crystal.frac_coords, crystal.lattice_A))
    return bool(is_sane(types, coords, lattice, SanityLimits())[0])
