"""Training of the electrode's surrogate on the labelled templates: seconds, so that it is done whole each time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from redoxa.data.symmetry.skeletons import TemplateTable
from redoxa.data.tables.datasets import split_by_formula
from redoxa.data.tables.template_labels import RANGE_V, ElectrodeLabel
from redoxa.generators.orbits.decoration.decorator import Decorator
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.foresight.surrogate import PROPERTIES, Ensemble, electrode_ensemble, see

EPOCHS, BATCH, RATE, DECAY = 60, 64, 4e-3, 0.1


def train_surrogate(
    table: TemplateTable, labels: Sequence[ElectrodeLabel], decorator: Decorator, holdout: float = 0.1, seed: int = 0
) -> tuple[Ensemble, dict[str, float]]:
    """Train on most formulas, and say how good it is on the others.

    Args:
        table: of templates.
        labels: of some of them.
        decorator: through which crystals are seen.
        holdout: share of the labels that are held out, by formula.
        seed: of the split, the weights and the order.

    Returns:
        The network, and the held-out mean absolute errors by property.
    """
    labels = [label for label in labels if RANGE_V[0] < label.voltage_V < RANGE_V[1]]
    seen = _seen(table, labels, decorator)
    answers = torch.tensor([[getattr(label, name) for name in PROPERTIES] for label in labels])
    reduced = [row // np.gcd.reduce(row) for row in table.compositions[[label.template for label in labels]]]
    held_out = torch.from_numpy(
        split_by_formula([row.tobytes().hex() for row in reduced], int(holdout * len(labels)), seed)
    )
    torch.manual_seed(seed)
    network = electrode_ensemble(decorator.config.hidden)
    fit(network, seen[~held_out], answers[~held_out])
    with torch.inference_mode():
        errors = (network(seen[held_out]).mean(0) - answers[held_out]).abs().mean(0)
    return network, dict(zip(PROPERTIES, errors.tolist(), strict=True))


def fit(network: Ensemble, seen: torch.Tensor, answers: torch.Tensor, epochs: int = EPOCHS, batch: int = BATCH) -> None:
    """Fit the scales and the weights to answers [n,outputs] for pictures [n,f]."""
    network.mean.copy_(seen.mean(0))
    network.spread.copy_(seen.std(0) + 1e-3)
    network.scale.copy_(answers.std(0))
    steps = epochs * -(-len(seen) // batch)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(seen)), batch):
            errors = (network(seen[rows]) - answers[rows]) / network.scale
            loss = functional.smooth_l1_loss(errors, torch.zeros_like(errors), beta=0.2)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    network.eval()


def _seen(table: TemplateTable, labels: Sequence[ElectrodeLabel], decorator: Decorator) -> torch.Tensor:
    """What the surrogate sees of labelled templates [labels,f]."""
    found: dict[int, torch.Tensor] = {}
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        by_size[int(np.diff(table.first_orbit)[label.template])].append(place)
    for places in by_size.values():
        forms = [table[labels[place].template].form for place in places]
        types = torch.tensor([[orbit.number for orbit in form.orbits] for form in forms])
        ions = torch.tensor([labels[place].ion for place in places])
        graphs = GraphBatch.of([OrbitGraph.of(form) for form in forms])
        found |= dict(zip(places, see(decorator, types, graphs, ions), strict=True))
    return torch.stack([found[place] for place in range(len(labels))])
