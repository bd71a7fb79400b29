"""`orbits`: structure prediction among all known skeletons, judged by a network and by their energy.

For a given content, the memory proposes decorated skeletons (`generators.proposals`), a network judges them
(`generators.judge`), and where a potential is at hand the likely ones are relaxed within their symmetry: the judgement
then counts by their energies as well. What no skeleton can hold is left to `flow`. Without a content, contents come
from random substitution in the same memory.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from data.crystal import CrystalBatch
from data.errors import GenerationError, StructureError
from data.records import Crystal
from data.symmetric import SymmetricCrystal
from generators.base import Condition, OnStep, Relaxed, Relaxer
from generators.judge import Judge
from generators.proposals import Proposal, Proposer, unlike_first
from generators.recipes import repeated
from generators.template import TemplateGenerator

LIKELY = 0.01
"""Proposals that the judge gives less are not relaxed."""

MOST = 5
"""Proposals of a content that are relaxed, at most."""

TRUST_eV_per_atom = 0.03
"""An energy higher by this makes a proposal e times less likely: what the potential and the ground state leave open."""

KNOWN = 3.0
"""Added to the log-likelihood of a crystal that the memory holds with this very content: it is what is mostly meant.
The judge has learned from contents whose crystal is unknown. On held-out crystals this costs 0.2 points in 100."""

Key = tuple[tuple[int, int], ...]
"""A content, sorted, to be looked up."""


@dataclass(frozen=True)
class _Option:
    """A proposal with its log-probability and, where it was relaxed, what came of it."""

    proposal: Proposal
    log_probability: float
    relaxed: Relaxed | None = None


class OrbitsGenerator:
    """Elements on the orbits of known skeletons, the best judged first.

    Args:
        checkpoint: weights of the judge; by default those that ship.
        templates: table of templates; by default the one that ships.

    Attributes:
        relaxer: what relaxes within the symmetry; without one the judgement stands alone.
    """

    name: ClassVar[str] = "orbits"
    summary: ClassVar[str] = "elements on the orbits of known skeletons, judged by a network and by energy"

    def __init__(self, checkpoint: Path | None = None, templates: Path | None = None) -> None:
        self.relaxer: Relaxer | None = None
        self._substitution = TemplateGenerator(templates)
        self.proposer = Proposer(self._substitution.templates)
        self.judge = Judge(checkpoint)
        self.checkpoint_sha256: str | None = self.judge.sha256

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels; see `generators.base.Generator`.

        The j-th request of one content gets the j-th best answer. Labels say the space group, how likely the judge
        finds the skeleton, and the energy after relaxation where there is one.

        Raises:
            GenerationError: a content for which no skeleton is known is too large for `flow`, or too few contents
                satisfy the condition.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        contents = condition.contents
        if not contents:
            drawn, _ = self._substitution.sample(n, condition, rng)
            contents = tuple(dict(Counter(crystal.numbers)) for crystal in drawn.to_crystals())
        keys = [tuple(sorted(content.items())) for content in contents]
        wanted = Counter(keys)
        options: dict[Key, list[_Option]] = {}
        for key in wanted:
            options[key] = self._judged(self.proposer.proposals(dict(key)))
            if on_step is not None and self.relaxer is None:
                on_step(len(options), len(wanted))
        # Noise first: it refuses what is too large for it before anything is relaxed.
        short = [key for key, count in wanted.items() for _ in range(count - len(options[key]))]
        noise = _from_noise(short, rng)
        if self.relaxer is not None:
            self._relax(options, wanted, on_step)
        answers = {
            key: itertools.chain(unlike_first(self._crystals(options[key])), noise.get(key, [])) for key in wanted
        }
        found = [(key, next(answers[key], None)) for key in keys]
        unbuilt = _from_noise([key for key, answer in found if answer is None], rng)
        pairs = [answer or unbuilt[key].pop() for key, answer in found]
        return CrystalBatch.from_crystals([crystal for crystal, _ in pairs]), [label for _, label in pairs]

    def _judged(self, proposals: list[Proposal]) -> list[_Option]:
        """Proposals with their log-probabilities, the likeliest first."""
        if not proposals:
            return []
        known = np.array([p.distances[0] == 0.0 for p in proposals])
        chances = self.judge.log_probabilities(self.proposer, proposals) + KNOWN * known
        chances -= np.logaddexp.reduce(chances)
        options = [_Option(p, float(chance)) for p, chance in zip(proposals, chances, strict=True)]
        return sorted(options, key=lambda option: -option.log_probability)

    def _relax(self, options: dict[Key, list[_Option]], wanted: Counter[Key], on_step: OnStep | None) -> None:
        """Relax the likely options of each content, and rank them by likelihood and energy, before all others."""
        chosen: dict[Key, int] = {}
        forms: list[SymmetricCrystal] = []
        for key, judged in options.items():
            likely = sum(option.log_probability >= math.log(LIKELY) for option in judged)
            chosen[key] = max(min(likely, MOST), min(wanted[key], len(judged)))
            forms += [self.proposer.form(option.proposal) for option in judged[: chosen[key]]]
        relaxed = iter(self.relaxer(forms, on_step) if self.relaxer is not None else [])
        for key, judged in options.items():
            tried = [replace(option, relaxed=next(relaxed)) for option in judged[: chosen[key]]]
            options[key] = sorted(tried, key=lambda option: -_score(option)) + judged[chosen[key] :]

    def _crystals(self, options: Sequence[_Option]) -> Iterator[tuple[Crystal, str]]:
        """Crystals and labels, one an option, without those that cannot be built."""
        for option in options:
            proposal = option.proposal
            form = self.proposer.form(proposal)
            label = f"space group {form.group}, p = {math.exp(option.log_probability):.2g}"
            try:
                crystal = form.to_crystal()
            except StructureError:
                continue
            if option.relaxed is not None:
                crystal = option.relaxed.crystal
                label += f", {option.relaxed.energy_eV_per_atom:.3f} eV/atom"
            yield repeated(crystal, proposal.cells), label


def _from_noise(contents: Sequence[Key], rng: np.random.Generator) -> dict[Key, list[tuple[Crystal, str]]]:
    """Crystals by content, for contents that no (further) skeleton can hold."""
    found: dict[Key, list[tuple[Crystal, str]]] = defaultdict(list)
    if contents:
        from generators.flow import FlowGenerator

        batch, _ = FlowGenerator().sample(len(contents), Condition(contents=tuple(map(dict, contents))), rng)
        for key, crystal in zip(contents, batch.to_crystals(), strict=True):
            found[key].append((crystal, "no further skeleton is known: from noise by flow"))
    return found


def _score(option: _Option) -> float:
    """Log-likelihood with the energy, up to a constant of the content; without an energy, last."""
    if option.relaxed is None:
        return -math.inf
    return option.log_probability - option.relaxed.energy_eV_per_atom / TRUST_eV_per_atom
