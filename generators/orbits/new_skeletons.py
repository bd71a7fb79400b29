"""Skeletons that no template has, with a geometry: written by the sequence model, judged by the decorator.

The sequence model (`generators.wyckoff`) writes orbits and, for those that no template occupies together, several
geometries, of which the one is kept where the decorator is surest. The elements that were written with them are only
a draft: the decorator draws them anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from redoxa.data.symmetry.skeletons import Template
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.base import Condition
from redoxa.generators.exchange.proposals import Proposer
from redoxa.generators.orbits.blanks import Blank, batches, open_blank
from redoxa.generators.orbits.decoration.decorator import Decorator, Drawing
from redoxa.generators.wyckoff.grammar import Draft, Wish
from redoxa.generators.wyckoff.sequence import WyckoffModel, sane_crystal

GEOMETRIES = 3
"""Cells and coordinates that a skeleton gets; the decorator chooses among them."""

DRAFTS_BY_BLANK = 5
"""Skeletons written for each that is wanted: one in three has new orbits, and every other of these a sane geometry."""

LEAST, MOST = 32, 128
"""Skeletons written together."""

SANE = 0.4
"""New skeletons that get a sane geometry, about; no more than needed are given any."""

AT_ONCE = 96
"""Most new skeletons of one call."""

HIGHER_THAN_P1 = frozenset(range(2, 231))


class Writer:
    """Writes new skeletons.

    Args:
        proposer: the memory, whose orbits are not new.
        network: which elements go where.
        model: the sequence model; called when it is first needed.
    """

    def __init__(self, proposer: Proposer, network: Decorator, model: Callable[[], WyckoffModel]) -> None:
        self.proposer, self.network, self._load = proposer, network, model
        self._model: WyckoffModel | None = None

    @property
    def model(self) -> WyckoffModel:
        """The sequence model."""
        self._model = self._model or self._load()
        return self._model

    def blanks(self, condition: Condition, drawing: Drawing, n: int, generator: torch.Generator) -> list[Blank]:
        """New skeletons with open orbits: n, fewer where they are hard to write, none where there can be none."""
        found: list[Blank] = []
        while len(found) < min(n, AT_ONCE):
            more = self._written(condition, drawing, n - len(found), generator)
            if not more:
                break
            found += more
        return found[:n]

    def _written(self, condition: Condition, drawing: Drawing, n: int, generator: torch.Generator) -> list[Blank]:
        """New skeletons from one batch of drafts."""
        drafts = self._drafts(condition, drawing, n, generator)[: math.ceil(n / SANE)]
        if not drafts:
            return []
        many = [draft for draft in drafts for _ in range(GEOMETRIES)]
        wish = Wish(self.model.sampler.known)
        forms = self.model.sampler.forms(many, self.model.request([wish] * len(many)), generator)
        shaped = [(i // GEOMETRIES, blank) for i, form in enumerate(forms) for blank in self._shaped(form)]
        scores = self._sureness([blank for _, blank in shaped], drawing).tolist()
        best: dict[int, tuple[float, Blank]] = {}
        for (draft, blank), score in zip(shaped, scores, strict=True):
            if draft not in best or score > best[draft][0]:
                best[draft] = score, blank
        return [blank for _, blank in best.values()]

    def _drafts(self, condition: Condition, drawing: Drawing, n: int, generator: torch.Generator) -> list[Draft]:
        """Skeletons as asked for, with orbits that no template has."""
        allowed = frozenset(np.flatnonzero(drawing.allowed.numpy()).tolist()) & self.model.sampler.known
        groups = condition.groups or HIGHER_THAN_P1
        wish = Wish(allowed, condition.required & allowed, atoms=condition.n_atoms, groups=groups)
        count = min(max(DRAFTS_BY_BLANK * n, LEAST), MOST)
        written = self.model.sampler.drafts(self.model.request([wish] * count), generator)
        return [draft for draft in written if draft is not None and self._is_new(draft)]

    def _is_new(self, draft: Draft) -> bool:
        """Whether no template has these orbits; only then every choice of elements gives a new skeleton."""
        table = self.model.sampler.table
        places = draft.positions
        orbits = sorted(zip(table.atoms[places].tolist(), table.free[places].tolist(), strict=True))
        return (draft.group, tuple(orbits)) not in self.proposer.table.orbit_sets

    def _shaped(self, form: SymmetricCrystal) -> Iterator[Blank]:
        """A form as a blank; nothing where it is no crystal with the elements it was written with."""
        if sane_crystal(form, self.model.settings.limits) is None:
            return
        table = self.model.sampler.table
        letters = "".join(orbit.letter for orbit in form.orbits)
        atoms = tuple(int(table.atoms[table.index(form.group, letter)]) for letter in letters)
        # Other choices of origin take long to work out, and what equals a known skeleton is not here.
        template = Template(form, atoms, (letters,))
        yield open_blank(template, self.proposer.volumes_A3, new=True)

    def _sureness(self, blanks: Sequence[Blank], drawing: Drawing) -> Floats:
        """How sure the network is of the elements, each orbit on its own: negative entropy by orbit in nats [n]."""
        found = np.zeros(len(blanks))
        for places, types, graphs in batches(blanks):
            with torch.inference_mode():
                logits = self.network(types, graphs)[0]
            logs = logits[..., drawing.allowed].log_softmax(-1)
            found[places] = (logs.exp() * logs).sum(-1).mean(1).numpy()
        return found
