"""What samples are compared with as a distribution: the shipped templates, real crystals as CHGNet relaxes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import Fingerprint, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.structures import density_g_cm3
from redoxa.data.symmetry.skeletons import Template
from redoxa.data.symmetry.wyckoff import centring, space_group
from redoxa.generators.base import Condition
from redoxa.generators.evaluate.commonest import commonest_group
from redoxa.generators.evaluate.descriptor import descriptor
from redoxa.generators.evaluate.families import transition_metals
from redoxa.generators.evaluate.symmetry import LOOSE_A, group_and_primitive
from redoxa.generators.evaluate.validity import is_smact_valid
from redoxa.generators.evaluate.values import Value, mean, share

SIZE = 1000
"""Crystals drawn. More costs 20 ms each and changes no distance by more than the samples' own noise."""

FEWEST = 200
"""Below this many templates that satisfy the condition, all templates are taken."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Portrait:
    """What of a crystal enters the distributions; `numbers` are the atomic numbers of its elements."""

    mark: Fingerprint
    composition: Mapping[str, int]
    numbers: frozenset[int]
    density_g_cm3: float
    n_elements: int
    group: int
    charge_balanced: bool
    smact_valid: bool
    vector: Floats


@dataclass(frozen=True)
class ReferenceSet:
    """Portraits of real crystals.

    Attributes:
        portraits: one a crystal.
        text: what they are in words.
        held_out: how new each would be, had the table not known it; empty where it was not asked.
    """

    portraits: tuple[Portrait, ...]
    text: str
    held_out: Mapping[str, Value] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Value]:
        """The metrics of samples that have a meaning for real crystals."""
        return {
            "charge_balanced": share(p.charge_balanced for p in self.portraits),
            "smact_valid": share(p.smact_valid for p in self.portraits),
            "p1": share(p.group <= 1 for p in self.portraits),
            "elements": mean([p.n_elements for p in self.portraits]),
            "two_metals": share(transition_metals(p.composition) > 1 for p in self.portraits),
            **commonest_group([p.group for p in self.portraits]),
            **self.held_out,
        }


def portrait(crystal: Crystal, mark: Fingerprint, group: int, primitive_atoms: int) -> Portrait:
    """The portrait of a crystal whose fingerprint, space group and primitive cell are known."""
    operations = len(space_group(group).rotations) // centring(group) if group else 1
    vector = descriptor(crystal, mark, operations, primitive_atoms)
    content, numbers = crystal.composition, frozenset(crystal.numbers)
    neutral, smact = is_charge_balanced(content), is_smact_valid(content)
    return Portrait(mark, content, numbers, density_g_cm3(crystal), len(numbers), group, neutral, smact, vector)


def from_templates(
    templates: Sequence[Template], condition: Condition, seed: int, on_step: Callable[[int, int], None] | None = None
) -> ReferenceSet:
    """Draw templates, each by how many source crystals relax to it.

    Args:
        templates: the library.
        condition: elements and size that the samples were asked for; the templates that satisfy it are drawn from,
            where there are at least `FEWEST`.
        seed: of the draw.
        on_step: called with (done, total).
    """
    fit = [t for t in templates if _satisfies(t, condition)]
    narrowed = FEWEST <= len(fit) < len(templates)
    pool = fit if len(fit) >= FEWEST else list(templates)
    weights = np.array([t.count for t in pool], dtype=float)
    rng = np.random.default_rng(seed)
    size = min(SIZE, len(pool))
    portraits = []
    for done, i in enumerate(rng.choice(len(pool), size, replace=False, p=weights / weights.sum())):
        template = pool[int(i)]
        crystal = template.form.to_crystal()
        portraits.append(portrait(crystal, fingerprint(crystal), template.form.group, crystal.n_atoms))
        if on_step is not None:
            on_step(done + 1, size)
    which = "that satisfy the condition" if narrowed else "in all"
    text = f"{size} of the {len(pool)} shipped templates {which}: crystals of the Materials Project, relaxed by CHGNet"
    return ReferenceSet(tuple(portraits), text)


def from_crystals(crystals: Sequence[Crystal], text: str) -> ReferenceSet:
    """Portraits of given crystals; those without a fingerprint are left out."""
    portraits = []
    for crystal in crystals:
        try:
            mark = fingerprint(crystal)
        except StructureError:
            continue
        portraits.append(portrait(crystal, mark, *group_and_primitive(crystal, LOOSE_A)))
    return ReferenceSet(tuple(portraits), text)


def _satisfies(template: Template, condition: Condition) -> bool:
    elements = template.composition.keys()
    low, high = condition.n_atoms
    inside = not condition.allowed or elements <= condition.allowed
    return inside and condition.required <= elements and low <= sum(template.atoms) <= high
