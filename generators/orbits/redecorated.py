"""A content on the orbits of any known skeleton, whatever its species were: what no exchange of species gives.

Where all elements of a skeleton are hidden, the decorator says how likely each element is on each orbit. These sums,
which do not depend on the content, sort all assignments of the content to the orbits; the first few are then sorted by
their likelihood proper. By Bayes, how often a skeleton occurs counts as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data.errors import StructureError
from data.skeletons import TemplateTable
from data.symmetric import SymmetricCrystal
from data.wyckoff import Floats, Integers
from generators.base import CellContent
from generators.exchange.proposals import Proposal, assignments
from generators.graph import MASK
from generators.orbits.decorator import Decorator, log_likelihood
from generators.orbits.orbit_graph import GraphBatch, OrbitGraph

GEOMETRIES = 2
"""Templates that lend their geometry to a skeleton without elements: those of the most source crystals."""

MOST_ORBITS = 8
"""Larger skeletons take too many assignments."""

BY_GEOMETRY, BY_LIKELIHOOD = 8, 12
"""Assignments that are kept of each geometry, and of all for the likelihood proper."""


@dataclass(frozen=True)
class Redecorated:
    """A proposal and its log-probability: elements given the skeleton, times skeleton; nats, up to a constant."""

    proposal: Proposal
    log_probability: float


@dataclass(frozen=True)
class _Geometry:
    """A template without its elements.

    Attributes:
        index: in the table.
        graph: of its orbits.
        order: of its orbits, by descending size.
        sizes: atoms of each, in this order.
        log_elements: logarithm of the likelihood of each element on each, in this order [o,N_TYPES].
        log_prior: logarithm of how many templates have this skeleton.
    """

    index: int
    graph: OrbitGraph
    order: Integers
    sizes: tuple[int, ...]
    log_elements: Floats
    log_prior: float


class Redecorator:
    """Puts contents on the skeletons of a table.

    Args:
        table: of templates.
        decorator: likelihood of elements on orbits.
    """

    def __init__(self, table: TemplateTable, decorator: Decorator) -> None:
        self.table, self.decorator = table, decorator
        self._atoms = table.compositions.sum(1)
        self._geometries: dict[int, list[_Geometry]] = {}

    def proposals(self, content: CellContent, known: Collection[str], most: int) -> list[Redecorated]:
        """The likeliest decorations of one cell, the likeliest first.

        Args:
            content: atoms by atomic number.
            known: decorated skeletons (as `repr`) that are not to be proposed.
            most: how many, at most.
        """
        elements = sorted(content, key=lambda z: (-content[z], z))
        counts = tuple(content[z] for z in elements)
        rows: list[tuple[float, _Geometry, tuple[int, ...]]] = []
        for geometry in self._of(sum(counts)):
            assigned = assignments(geometry.sizes, counts)
            if not len(assigned):
                continue
            likely = geometry.log_elements[:, elements]
            scores = likely[np.arange(len(geometry.sizes)), assigned].sum(1) + geometry.log_prior
            for k in np.argsort(-scores, kind="stable")[:BY_GEOMETRY].tolist():
                numbers = np.empty(len(geometry.sizes), dtype=np.int64)
                numbers[geometry.order] = np.array(elements)[assigned[k]]
                rows.append((float(scores[k]), geometry, tuple(numbers.tolist())))
        chosen = self._distinct(sorted(rows, key=lambda row: -row[0]), known)
        found = [
            Redecorated(Proposal(geometry.index, numbers, 1, (), 0), score + geometry.log_prior)
            for (geometry, numbers), score in zip(chosen, self._likelihoods(chosen), strict=True)
        ]
        return sorted(found, key=lambda r: -r.log_probability)[:most]

    def _distinct(
        self, rows: Sequence[tuple[float, _Geometry, tuple[int, ...]]], known: Collection[str]
    ) -> list[tuple[_Geometry, tuple[int, ...]]]:
        """The first `BY_LIKELIHOOD` that are neither known nor equal."""
        seen, chosen = set(known), []
        for _, geometry, numbers in rows:
            key = repr(self.table[geometry.index].decorated(numbers))
            if key not in seen:
                seen.add(key)
                chosen.append((geometry, numbers))
                if len(chosen) == BY_LIKELIHOOD:
                    break
        return chosen

    def _likelihoods(self, chosen: Sequence[tuple[_Geometry, tuple[int, ...]]]) -> Floats:
        """Log-likelihood of the elements given the geometry, nats [c]."""
        scores = np.zeros(len(chosen))
        generator = torch.Generator().manual_seed(0)  # a content is judged alike whenever it is asked for
        by_size: dict[int, list[int]] = defaultdict(list)
        for place, (_, numbers) in enumerate(chosen):
            by_size[len(numbers)].append(place)
        for places in by_size.values():
            graphs = GraphBatch.of([chosen[i][0].graph for i in places])
            types = torch.tensor([chosen[i][1] for i in places])
            with torch.inference_mode():
                scores[places] = log_likelihood(self.decorator, types, graphs, generator, orders=1).numpy()
        return scores

    def _of(self, atoms: int) -> list[_Geometry]:
        """Geometries of so many atoms; worked out when they are first asked for."""
        if atoms not in self._geometries:
            same: dict[object, list[int]] = defaultdict(list)
            for index in np.flatnonzero(self._atoms == atoms).tolist():
                if self.table.first_orbit[index + 1] - self.table.first_orbit[index] <= MOST_ORBITS:
                    template = self.table[index]
                    same[template.form.group, min("".join(sorted(x)) for x in template.letters)].append(index)
            found: list[_Geometry] = []
            for indices in same.values():
                for index in sorted(indices, key=lambda i: -self.table.counts[i])[:GEOMETRIES]:
                    found += self._geometry(index, float(np.log(len(indices))))
            self._geometries[atoms] = found
        return self._geometries[atoms]

    def _geometry(self, index: int, log_prior: float) -> list[_Geometry]:
        """One geometry, or none where two sites lie in one place."""
        form: SymmetricCrystal = self.table[index].form
        try:
            graph = OrbitGraph.of(form)
        except StructureError:
            return []
        order = np.argsort(-graph.atoms, kind="stable")
        hidden = torch.full((1, len(graph.atoms)), MASK)
        with torch.inference_mode():
            logits, _ = self.decorator(hidden, GraphBatch.of([graph]))
        log_elements = logits[0].log_softmax(-1).double().numpy()[order]
        return [_Geometry(index, graph, order, tuple(graph.atoms[order].tolist()), log_elements, log_prior)]
