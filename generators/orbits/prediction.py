"""Structure prediction: which decorated skeleton a content takes, judged by networks and by energy.

The memory proposes decorated skeletons (`generators.exchange.proposals`); a network judges how they compare
(`judge`) and another how well their elements suit their orbits (`decorator`). Where a potential is at hand the likely
ones are relaxed within their symmetry, and the judgement counts by their energies as well. What no skeleton can hold is
left to the sequence model and to `flow` (`beyond`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, spacegroup
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.generators.base import Condition, Relaxed, Relaxer
from redoxa.generators.exchange.proposals import Proposal, Proposer, unlike_first
from redoxa.generators.exchange.recipes import repeated
from redoxa.generators.orbits.beyond import beyond_skeletons
from redoxa.generators.orbits.decoration.decorator import Decorator, load_decorator, log_likelihood
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.judge import Judge
from redoxa.generators.parallel import side_by_side

LIKELY = 0.01
"""Proposals that are given less are not relaxed."""

MOST = 5
"""Proposals of a content that are relaxed, at most."""

ALIKE_eV_per_atom = 0.01
"""Energies within about this say little: the potential errs, and not all crystals are ground states."""

TAIL = 1.4
"""Power with which the likelihood falls with the energy beyond that. Errors of a potential have heavy tails, and so do
distances of known crystals from the hull: no energy settles a question alone."""

FREER = 2.0
"""What tells orbits of one species apart or fills several cells is lower in energy more often than it is right, by this
log-likelihood for each of the two."""

BY_ELEMENTS = 0.2
"""What the log-likelihood of the elements on the orbits counts beside the judge's, which has seen part of it."""

WORTH_READING = -5.5
"""Proposals to which the judge gives a smaller log-probability count as unlikely by their elements, unread."""

BATCH = 64
"""Proposals that the decorator reads at once."""

KNOWN = 3.0
"""Added to the log-likelihood of a crystal that the memory holds with this very content: it is what is mostly meant.
The judge has learned from contents whose crystal is unknown. On held-out crystals this costs 0.2 points in 100."""

JUDGING = 4
"""Of the work where there is a potential, one part in so many is judging; for progress bars."""

Key = tuple[tuple[int, int], ...]
"""A content, sorted, to be looked up."""

Answer = tuple[Crystal, str]
"""A crystal and its label."""


@dataclass(frozen=True)
class Option:
    """A proposal with its log-probability and, where it was relaxed, what came of it."""

    proposal: Proposal
    log_probability: float
    relaxed: Relaxed | None = None


class Predictor:
    """Answers contents.

    Args:
        proposer: the memory.
        judge: compares proposals.
        decorator: likelihood of elements on orbits.
    """

    def __init__(self, proposer: Proposer, judge: Judge, decorator: Decorator) -> None:
        self.proposer, self.judge, self.decorator = proposer, judge, decorator

    def answers(
        self, condition: Condition, rng: np.random.Generator, relaxer: Relaxer | None, on_step: OnStep | None
    ) -> list[Answer]:
        """One answer for each of the condition's contents; the j-th request of one content gets the j-th best.

        Labels say the space group, how likely the skeleton is found, and the energy after relaxation if there is one.

        Raises:
            GenerationError: a content for which no (further) skeleton is known is too large for `flow`, or is to have
                a certain space group.
        """
        keys: list[Key] = [tuple(sorted(content.items())) for content in condition.contents]
        wanted = Counter(keys)
        total = len(wanted) if relaxer is None else JUDGING * len(wanted)
        proposals: list[list[Proposal]] = []
        for key in wanted:
            known_too = self._proposals(key, condition.groups)
            proposals.append(unlike(known_too) if condition.unlike_known else known_too)
            if on_step is not None:
                on_step(len(proposals), total)
        options = dict(zip(wanted, self.judged(proposals), strict=True))
        # These first: this refuses what it cannot do before anything is relaxed.
        short = [key for key, count in wanted.items() for _ in range(count - len(options[key]))]
        further = beyond_skeletons(short, condition.groups, rng)
        if relaxer is not None:

            def relaxed(done: int, of: int) -> None:
                if on_step is not None:
                    on_step(len(wanted) + (total - len(wanted)) * done // max(of, 1), total)

            self._relax(options, wanted, relaxer, relaxed)
        groups = condition.groups
        answers = {
            key: unlike_first(itertools.chain(self._crystals(options[key], groups), further.get(key, [])))
            for key in wanted
        }
        if condition.unlike_known:
            answers = {key: _unknown(found) for key, found in answers.items()}
        pairs = [(key, next(answers[key], None)) for key in keys]
        unbuilt = beyond_skeletons([key for key, answer in pairs if answer is None], groups, rng)
        return [answer or unbuilt[key].pop() for key, answer in pairs]

    def _proposals(self, key: Key, groups: frozenset[int]) -> list[Proposal]:
        found = self.proposer.proposals(dict(key))
        return [p for p in found if not groups or int(self.proposer.table.groups[p.index]) in groups]

    def judged(self, contents: Sequence[list[Proposal]]) -> list[list[Option]]:
        """The proposals of each content with their log-probabilities, the likeliest first."""
        chances = [self.judge.log_probabilities(self.proposer, found) if found else np.empty(0) for found in contents]
        read = [np.flatnonzero(chance > WORTH_READING) for chance in chances]
        by_elements = iter(
            self._by_elements([found[i] for found, rows in zip(contents, read, strict=True) for i in rows])
        )
        judged = []
        for found, chance, rows in zip(contents, chances, read, strict=True):
            if found:
                scores = np.array(list(itertools.islice(by_elements, len(rows))))
                scores = np.nan_to_num(scores, nan=np.nanmin([*scores, 0.0]))
                elements = np.full(len(found), scores.min())
                elements[rows] = scores
                chance = chance + KNOWN * np.array([p.distances[0] == 0.0 for p in found]) + BY_ELEMENTS * elements
                chance -= np.logaddexp.reduce(chance)
            options = [Option(p, float(x)) for p, x in zip(found, chance, strict=True)]
            judged.append(sorted(options, key=lambda option: -option.log_probability))
        return judged

    def _by_elements(self, proposals: Sequence[Proposal]) -> Floats:
        """Log-likelihood of the elements on the orbits of each proposal, nats [p]; nan for what is no crystal."""
        scores = np.full(len(proposals), np.nan)
        by_size: dict[int, list[int]] = defaultdict(list)
        for place, proposal in enumerate(proposals):
            by_size[len(proposal.numbers)].append(place)
        batches = [same[i : i + BATCH] for same in by_size.values() for i in range(0, len(same), BATCH)]
        if batches:
            read = side_by_side([partial(self._read, [proposals[i] for i in batch]) for batch in batches])
            for batch, found in zip(batches, read, strict=True):
                scores[batch] = found
        return scores

    def _read(self, proposals: Sequence[Proposal]) -> Floats:
        """The same for proposals of equally many orbits."""
        graphs: list[OrbitGraph] = []
        scores, places = np.full(len(proposals), np.nan), []
        for place, proposal in enumerate(proposals):
            try:
                graphs.append(OrbitGraph.of(self.proposer.form(proposal)))
                places.append(place)
            except StructureError:
                continue
        if places:
            types = torch.tensor([proposals[i].numbers for i in places])
            generator = torch.Generator().manual_seed(0)  # a content is judged alike whenever it is asked for
            with torch.inference_mode():
                found = log_likelihood(self.decorator, types, GraphBatch.of(graphs), generator)
            scores[places] = found.numpy()
        return scores

    def _relax(self, options: dict[Key, list[Option]], wanted: Counter[Key], relaxer: Relaxer, on_step: OnStep) -> None:
        """Relax the likely options of each content, and rank them by likelihood and energy, before all others."""
        chosen: dict[Key, int] = {}
        forms: list[SymmetricCrystal] = []
        for key, judged in options.items():
            likely = sum(option.log_probability >= math.log(LIKELY) for option in judged)
            chosen[key] = max(min(likely, MOST), min(wanted[key], len(judged)))
            forms += [self.proposer.form(option.proposal) for option in judged[: chosen[key]]]
        relaxed = iter(relaxer(forms, on_step))
        for key, judged in options.items():
            tried = [replace(option, relaxed=next(relaxed)) for option in judged[: chosen[key]]]
            lowest = min((o.relaxed.energy_eV_per_atom for o in tried if o.relaxed is not None), default=0.0)
            options[key] = sorted(tried, key=lambda option: -score(option, lowest)) + judged[chosen[key] :]

    def _crystals(self, options: Sequence[Option], groups: frozenset[int]) -> Iterator[Answer]:
        """Crystals and labels, one an option, without those that cannot be built or have another space group."""
        for option in options:
            if (answer := self.built(option, groups)) is not None:
                yield repeated(answer[0], option.proposal.cells), answer[1]

    def built(self, option: Option, groups: frozenset[int]) -> Answer | None:
        """One cell of an option; None where it cannot be built or has none of the space groups."""
        form = self.proposer.form(option.proposal)
        label = f"space group {form.group}, p = {math.exp(option.log_probability):.2g}"
        try:
            crystal = form.to_crystal()
        except StructureError:
            return None
        if option.relaxed is not None:
            crystal = option.relaxed.crystal
            label += f", {option.relaxed.energy_eV_per_atom:.3f} eV/atom"
        return None if groups and spacegroup(crystal, 0.01) not in groups else (crystal, label)


def unlike(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Those that are no template of the memory as it is."""
    return [proposal for proposal in proposals if proposal.distances[0] > 0.0]


def _unknown(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Those that are no known crystals."""
    return (answer for answer in answers if not is_known(answer[0]))


def is_known(crystal: Crystal) -> bool:
    """Whether a known crystal of its formula lies near."""
    match = _known_materials().nearest(crystal, SAME_UNRELAXED)
    return match is not None and match.level == "structure"


_known_materials = cache(load_known_materials)


def predictor_of(weights: Path, templates: Path | None = None) -> Predictor:
    """The predictor of a checkpoint of `orbits` and a table of templates, by default the one that ships.

    Raises:
        data.errors.InputError: a file cannot be used.
    """
    return Predictor(Proposer(load_templates(templates)), Judge(weights), load_decorator(weights))


@cache
def shipped_predictor() -> Predictor:
    """The predictor that ships, read once for all generators of a process."""
    return predictor_of(shipped("orbits.safetensors"))


def score(option: Option, lowest_eV_per_atom: float) -> float:
    """Log-likelihood with the energy, up to a constant of the content; without an energy, last."""
    if option.relaxed is None:
        return -math.inf
    above = (option.relaxed.energy_eV_per_atom - lowest_eV_per_atom) / ALIKE_eV_per_atom
    freer = bool(option.proposal.changes) + (option.proposal.cells > 1)
    return option.log_probability - TAIL * math.log1p(above) - FREER * freer
