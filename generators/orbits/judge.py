"""Which decorated skeleton fits a content: a small network over what the memory says of each proposal.

It sees how far the elements are from those of the nearest templates (in several element properties), how many
templates give the same skeleton and how near they are, whether the very formula is known, and the size, symmetry and
freedom of the skeleton. It is trained on the memory itself: each template is asked for with itself left out
(`generators.orbits.judge_training`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from redoxa.data.errors import InputError
from redoxa.data.symmetry.skeletons import HEAVIEST
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.exchange.proposals import Proposal, Proposer

REACHES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Mendeleev numbers over which the vote of a template becomes e times weaker; one share of votes for each."""

FAR = 40.0
"""Stands for the distance of a template that is not there."""


def features(proposer: Proposer, proposals: Sequence[Proposal]) -> Floats:
    """What the judge sees of the proposals for one content [p, f], dimensionless, of order one."""
    table, elements = proposer.table, element_properties()
    nearest = np.array([p.distances[0] for p in proposals])
    votes = np.array([[np.exp(-np.array(p.distances) / reach).sum() for reach in REACHES] for p in proposals])
    rows = []
    for rank, proposal in enumerate(proposals):
        here = slice(table.first_orbit[proposal.index], table.first_orbit[proposal.index + 1])
        old, atoms = table.orbit_numbers[here], table.orbit_atoms[here]
        new, share = np.array(proposal.numbers), atoms / atoms.sum()
        change = np.abs(elements[old] - elements[new])
        further = [*proposal.distances[1:3], FAR, FAR][:2]
        rows.append(
            [
                nearest[rank] / 20,
                (nearest[rank] - nearest.min()) / 20,
                rank / 10,
                float(rank == 0),
                np.log(len(proposal.distances)),
                further[0] / 20,
                further[1] / 20,
                float(nearest[rank] == 0),
                float((nearest == 0).sum()) / 3,
                float(proposal.cells > 1),
                float(proposal.changes),
                float((old == new) @ share),
                *(share @ change),
                *change.max(0),
                len(old) / 10,
                float(table.orbit_free[here].sum()) / 10,
                np.log(table.groups[proposal.index]),
                np.log(table.counts[proposal.index]),
                np.log(atoms.sum()),
                float(proposer.volumes_A3[new] @ share) / 20,
                table.volumes_A3[proposal.index] / atoms.sum() / float(proposer.volumes_A3[old] @ share),
                *(votes[rank] / votes.sum(0)),
                *(np.log(votes[rank] + 1e-4) / 5),
            ]
        )
    return np.array(rows, dtype=np.float64)


@cache
def element_properties() -> Floats:
    """Row, group, electronegativity, covalent and ionic radius, Mendeleev number, extreme oxidation states [104, 8]."""
    from ase.data import covalent_radii
    from pymatgen.core import Element

    nothing = (2, 10, 18)  # helium, neon and argon have no electronegativity; pymatgen warns when asked
    rows = [[0.0] * 8]
    for z in range(1, HEAVIEST + 1):
        element = Element.from_Z(z)
        states = element.common_oxidation_states or (0,)
        rows.append(
            [
                element.row / 7,
                element.group / 18,
                0.0 if z in nothing else element.X / 4,
                covalent_radii[z] / 2,
                float(element.average_ionic_radius) / 1.5,
                element.mendeleev_no / 103,
                min(states) / 4,
                max(states) / 7,
            ]
        )
    return np.array(rows, dtype=np.float64)


class Judge:
    """Log-probabilities over the proposals for a content.

    Args:
        path: checkpoint of `orbits`.

    Raises:
        InputError: the file is missing or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        try:
            tensors = load_file(path)
            self._mean, self._spread = tensors["judge.mean"], tensors["judge.spread"]
            self._layers = [(tensors[f"judge.weight{i}"], tensors[f"judge.bias{i}"]) for i in range(3)]
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(f"{path}: cannot be read as the weights of a judge ({error})") from error

    def log_probabilities(self, proposer: Proposer, proposals: Sequence[Proposal]) -> Floats:
        """Of each proposal being the crystal that is meant, given that one of them is [p]."""
        x = (features(proposer, proposals) - self._mean) / self._spread
        for i, (weight, bias) in enumerate(self._layers):
            x = x @ weight.T + bias
            if i + 1 < len(self._layers):
                x = x / (1.0 + np.exp(-x))
        logits = np.asarray(x[:, 0])
        top = logits.max()
        return np.asarray(logits - top - np.log(np.exp(logits - top).sum()))
