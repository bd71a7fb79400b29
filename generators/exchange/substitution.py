"""Ion exchange and element substitution on published electrode prototypes: the baseline every model must beat.

A sample is a prototype whose working ion, metals, polyanion centres or anions are replaced by their chemical kin: ions
by ions, metals by metals of about the same Shannon radius in a state at most one unit away, and so on
(`generators.exchange.similarity`). The lattice is scaled isotropically by the ratio of the mean sum of cation and
anion radii (`data.chemistry.radius_scale`). Where whole species are used up, one or two further metals
take part of the sites of an ordered supercell.

The idea is that of data-mined ionic substitution: G. Hautier et al., Inorg. Chem. 50, 656 (2011),
doi:10.1021/ic102031h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import Prototype, load_prototypes
from redoxa.generators.base import Condition, Predicted, ShortfallError, refuse
from redoxa.generators.exchange.recipes import SwapRecipe, mixed_recipes, mixing_patterns, plain_recipes

TEMPERATURE = 1.5
"""How far chance may outweigh likeness, in units of the similarity cost."""

Key = tuple[str, str, tuple[tuple[str, int], ...]]


@dataclass(frozen=True)
class _Wanted:
    """A condition in element symbols."""

    allowed: frozenset[str]
    required: frozenset[str]
    n_atoms: tuple[int, int]
    charge_neutral: bool

    @classmethod
    def of(cls, condition: Condition) -> _Wanted:
        symbols = [frozenset(chemical_symbols[z] for z in s) for s in (condition.allowed, condition.required)]
        if symbols[0] and not symbols[1] <= symbols[0]:
            raise GenerationError(f"{', '.join(sorted(symbols[1] - symbols[0]))} is required but not allowed")
        return cls(symbols[0], symbols[1], condition.n_atoms, condition.charge_neutral)


class SubstitutionGenerator:
    """Substitutes elements in the electrode prototypes of `data/library/electrodes.yaml`; nothing is learned.

    Args:
        checkpoint: ignored; there for the sake of the registry.
    """

    name: ClassVar[str] = "substitution"
    summary: ClassVar[str] = "ion exchange and element substitution on published electrode prototypes"
    models: ClassVar[tuple[str, ...]] = ("substitution",)
    aims: ClassVar[frozenset[str]] = frozenset()
    cannot: ClassVar[Mapping[str, str]] = {
        "groups": "use `orbits` or `template`", "like": "use `orbits`", "targets": "use `orbits`",
    }  # fmt: skip

    def __init__(self, checkpoint: Path | None = None) -> None:
        del checkpoint
        self.checkpoint_sha256: str | None = None
        self._prototypes = load_prototypes("electrodes")

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n distinct crystals and their labels, e.g. ``olivine LiFePO4: Fe->Mn``.

        No two have the same composition, working ion and topology, and none is a compound of the library itself unless
        nothing else is left. Exact contents are met by the nearest templates, as `template` does it.

        Raises:
            GenerationError: the condition leaves fewer than n crystals, or no template has an asked-for content.
        """
        refuse(self.name, condition, **self.cannot)
        if condition.contents:
            from redoxa.generators.exchange.template import (
                TemplateGenerator,  # its table is read where it is needed only
            )

            return TemplateGenerator().sample(n, condition, rng, on_step)
        crystals: list[Crystal] = []
        labels: list[str] = []
        for recipe in self._search(condition, rng):
            if len(crystals) == n:
                break
            crystals.append(recipe.build())
            labels.append(recipe.label())
            if on_step:
                on_step(len(crystals), n)
        if len(crystals) < n:
            raise ShortfallError(
                f"substitution knows only {len(crystals)} crystals that satisfy the condition, {n} were asked for; "
                "allow more elements or more atoms, or use another generator",
                list(map(Predicted, crystals, labels)),
            )
        return CrystalBatch.from_crystals(crystals), labels

    def _search(self, condition: Condition, rng: np.random.Generator) -> Iterator[SwapRecipe]:
        """Distinct recipes that satisfy the condition, in an order that `rng` decides and likeness sways."""
        wanted = _Wanted.of(condition)
        parents = [self._prototypes[i] for i in rng.permutation(len(self._prototypes))]
        plain = {p.name: _shuffled(plain_recipes(p, wanted.allowed, wanted.n_atoms), rng) for p in parents}
        seed = int(rng.integers(2**63))
        stages: list[tuple[Callable[[Prototype], Iterator[SwapRecipe]], bool]] = [
            (lambda p: iter(plain[p.name]), True),
            (lambda p: _mixed(p, plain[p.name], wanted, seed), True),
        ]
        if not wanted.charge_neutral:
            stages += [(stage, False) for stage, _ in stages]
        published = {_key(p, p.crystal.composition) for p in self._prototypes}
        seen = set(published)
        for stage, balanced in stages:
            yield from _accept(_take_turns([stage(p) for p in parents]), wanted, balanced, seen)
        rest = sorted((r for p in parents for r in plain[p.name]), key=lambda r: r.cost)
        yield from _accept(iter(rest), wanted, True, seen - published)


def _key(parent: Prototype, composition: dict[str, int], ion: str | None = None) -> Key:
    """What makes two children the same: topology, working ion, reduced composition."""
    divisor = int(np.gcd.reduce(list(composition.values())))
    return parent.topology, ion or parent.working_ion, tuple(sorted((e, n // divisor) for e, n in composition.items()))


def _accept(recipes: Iterator[SwapRecipe], wanted: _Wanted, balanced: bool, seen: set[Key]) -> Iterator[SwapRecipe]:
    """Let through what the condition wants and `seen` does not hold."""
    for recipe in recipes:
        composition = recipe.composition()
        if not wanted.required <= composition.keys():
            continue
        key = _key(recipe.prototype, composition, recipe.swap.get(recipe.prototype.working_ion))
        if key in seen or is_charge_balanced(composition) is not balanced:
            continue
        seen.add(key)
        yield recipe


def _shuffled(recipes: list[SwapRecipe], rng: np.random.Generator) -> list[SwapRecipe]:
    """Order by likeness with Gumbel noise: a draw without replacement with weights exp(-cost / TEMPERATURE)."""
    noisy = np.array([r.cost for r in recipes]) / TEMPERATURE - rng.gumbel(size=len(recipes))
    return [recipes[i] for i in np.argsort(noisy, kind="stable")]


def _mixed(parent: Prototype, plain: list[SwapRecipe], wanted: _Wanted, seed: int) -> Iterator[SwapRecipe]:
    """Mixed children of each plain one in turn: first one pattern of each, then the next pattern."""
    patterns = mixing_patterns(parent, wanted.n_atoms)
    # Seeded by name, so that what one prototype gives does not hang on how many the others gave before.
    rng = np.random.default_rng([seed, *parent.name.encode()])
    for pattern in (group[i] for group in patterns for i in rng.permutation(len(group))):
        yield from _take_turns([mixed_recipes(recipe, pattern, wanted.allowed) for recipe in plain])


def _take_turns(sources: list[Iterator[SwapRecipe]]) -> Iterator[SwapRecipe]:
    """One of each source in turn until all are empty."""
    while sources:
        alive = []
        for source in sources:
            recipe = next(source, None)
            if recipe is not None:
                alive.append(source)
                yield recipe
        sources = alive
