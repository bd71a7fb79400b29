"""Training of what foresees distances from the hull, on labelled templates and new crystals: under a minute.

A hull is only as good as the phases that are known: templates are learned from where another phase holds all their
elements, and so are new crystals counted in what is reported. New crystals, which is what is drawn, are few and weigh
more; of them all are learned from. What lies far from the hull on either side is all the same here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from redoxa.data.symmetry.skeletons import TemplateTable
from redoxa.data.tables.datasets import split_by_formula
from redoxa.data.tables.template_labels import StabilityLabel
from redoxa.generators.orbits.decorator import Decorator
from redoxa.generators.orbits.decorator_training import DecoratorTask
from redoxa.generators.orbits.surrogate import Ensemble, see_whole, stability_ensemble
from redoxa.generators.orbits.surrogate_training import fit

EPOCHS, BATCH = 10, 128

NEW_WEIGHT = 12
"""What a new crystal counts against a template."""

RANGE_eV_PER_ATOM = (-0.15, 0.4)
"""Labels beyond are drawn to these ends."""

NEAR_eV_PER_ATOM = 0.1


@dataclass(frozen=True)
class Foresight:
    """How good foreseen distances are on formulas that were held out.

    Attributes:
        n: crystals.
        mae_eV_per_atom: mean absolute error, of labels inside the range.
        spread_eV_per_atom: what always saying the median would err.
        rank: Spearman's correlation.
        auc_near: chance that of two crystals, one within 0.1 eV/atom and one not, the first is foreseen nearer.
    """

    n: int
    mae_eV_per_atom: float
    spread_eV_per_atom: float
    rank: float
    auc_near: float


def train_stability(
    table: TemplateTable,
    graphs: Path,
    labels: Sequence[StabilityLabel],
    decorator: Decorator,
    holdout: float = 0.2,
    seed: int = 0,
) -> tuple[Ensemble, dict[str, Foresight]]:
    """Train on most formulas, and say how good it is on the others.

    Args:
        table: of templates.
        graphs: of them (`decorator_training.prepare_graphs`).
        labels: of templates and of new crystals.
        decorator: through which crystals are seen.
        holdout: share of the labels that are held out, by formula.
        seed: of the split, the weights and the order.

    Returns:
        The networks, and how good they are on held-out templates ("templates") and new crystals ("new").
    """
    first = table.first_orbit
    own = [tuple(table.orbit_numbers[first[x.template] : first[x.template + 1]].tolist()) for x in labels]
    new = torch.tensor([label.numbers != numbers for label, numbers in zip(labels, own, strict=True)])
    full = torch.tensor([label.full_phases > 0 for label in labels])
    seen = _seen(graphs, labels, decorator)
    answers = torch.tensor([[label.above_hull_eV_per_atom] for label in labels]).clamp(*RANGE_eV_PER_ATOM)
    held_out = torch.from_numpy(split_by_formula(_formulas(table, labels), int(holdout * len(labels)), seed))
    rows = torch.nonzero(~held_out & (full | new)).squeeze(1)
    rows = rows.repeat_interleave(torch.where(new[rows], NEW_WEIGHT, 1))
    torch.manual_seed(seed)
    network = stability_ensemble(decorator.config.hidden)
    fit(network, seen[rows], answers[rows], EPOCHS, BATCH)
    with torch.inference_mode():
        foreseen = network(seen).mean(0)
    parts = {"templates": held_out & full & ~new, "new": held_out & full & new}
    return network, {name: foresight(foreseen[part, 0], answers[part, 0]) for name, part in parts.items()}


def foresight(foreseen: torch.Tensor, answers: torch.Tensor) -> Foresight:
    """Compare foreseen distances with labels [n]; in eV/atom."""
    p, y = foreseen.double().numpy(), answers.double().numpy()
    if len(y) < 2:
        return Foresight(len(y), *[float("nan")] * 4)
    near, far = p[y <= NEAR_eV_PER_ATOM], p[y > NEAR_eV_PER_ATOM]
    wins = (near[:, None] < far).mean() + (near[:, None] == far).mean() / 2 if len(near) and len(far) else float("nan")
    errors = float(np.abs(p - y).mean()), float(np.abs(y - np.median(y)).mean())
    return Foresight(len(y), *errors, float(spearmanr(p, y).statistic), float(wins))


def _formulas(table: TemplateTable, labels: Sequence[StabilityLabel]) -> list[str]:
    """Something that equal reduced compositions have in common."""
    found = []
    for label in labels:
        here = slice(table.first_orbit[label.template], table.first_orbit[label.template + 1])
        counts = np.bincount(label.numbers, table.orbit_atoms[here], table.compositions.shape[1]).astype(np.int64)
        found.append((counts // np.gcd.reduce(counts)).tobytes().hex())
    return found


def _seen(graphs: Path, labels: Sequence[StabilityLabel], decorator: Decorator) -> torch.Tensor:
    """What is seen of labelled crystals [labels,f]."""
    task = DecoratorTask(graphs, decorator.config)
    orbits = np.array([len(label.numbers) for label in labels])
    found: list[torch.Tensor | None] = [None] * len(labels)
    for count in np.unique(orbits).tolist():
        for places in np.array_split(np.flatnonzero(orbits == count), -(-int((orbits == count).sum()) // 256)):
            batch, _ = task.take(torch.tensor([labels[i].template for i in places]), torch.device("cpu"))
            types = torch.tensor([labels[i].numbers for i in places])
            for i, row in zip(places.tolist(), see_whole(decorator, types, batch), strict=True):
                found[i] = row
    return torch.stack([row for row in found if row is not None])
