"""How good the latent space of `vae` is, on crystals that it has never seen.

python -m benchmarks.latent SEQUENCES [--checkpoint FILE] [--crystals 200] [--samples 200]

SEQUENCES is what `redoxa train --generator vae` prepares; its held-out crystals have formulas of their own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from cyclopts import run

from benchmarks.wyckoff import DISCRETE, bare, decorated, template_at
from redoxa.data.crystal import CrystalBatch
from redoxa.data.symmetry.sequences import SequenceData, load_sequences
from redoxa.generators.base import Condition, Target
from redoxa.generators.vae.crystal_graph import graphs_of, joined
from redoxa.generators.vae.electrodes import electrodes_for, on_scale
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.latent import Goal, LatentSpace, goals_for, information_gap, mutual_information
from redoxa.generators.vae.network import PROPERTIES, kl_by_dimension
from redoxa.generators.vae.training import batch_of, labels_of
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.network import Context
from redoxa.generators.wyckoff.objective import Sequences, log_likelihood
from redoxa.generators.wyckoff.sampler import SampleRequest
from redoxa.generators.wyckoff.sequence import sane_crystal
from redoxa.generators.wyckoff.training import sequence_batches

ACTIVE = 0.01
"""Variance of a dimension's mean over crystals from which on it counts as active (arXiv:1509.00519)."""

WINDOW = Condition(
    required=frozenset({3}), targets=(Target("average_voltage", 3.0, 4.0), Target("capacity_grav", 120.0))
)
"""What the search is measured by."""


@dataclass(frozen=True)
class Result:
    """Nats per held-out crystal with and without its latent vector, shares of crystals, errors in units of properties.

    `rmse` is on held-out crystals with the property known, `spread` its standard deviation among them: what a constant
    would give. `anomaly_auc`: how often a real crystal is less odd than one with random elements; 0.5 is chance.
    `electrode_*`: voltages of held-out templates by CHGNet.
    `inside_*`: shares of samples that lie in all windows, by the model's own heads once they are encoded.
    """

    nats_discrete: float
    nats_discrete_with_latent: float
    same_group: float
    same_elements: float
    same_skeleton: float
    same_decorated: float
    active_dimensions: int
    kl_nats: float
    sane_at_once: float
    sane_within_tries: float
    rmse: dict[str, float]
    spread: dict[str, float]
    known: dict[str, int]
    information_gap: dict[str, float]
    best_information: dict[str, float]
    electrodes: int
    electrode_rmse_V: float
    electrode_spread_V: float
    anomaly_auc: float
    inside_searched: float
    inside_unconditioned: float


@torch.no_grad()
def encoded(space: LatentSpace, crystals: CrystalBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log variances of crystals."""
    graphs, cpu = graphs_of(crystals), torch.device("cpu")
    parts = [space.network.encode(joined(graphs[i : i + 128], cpu)) for i in range(0, len(graphs), 128)]
    return torch.cat([mean for mean, _ in parts]), torch.cat([log_variance for _, log_variance in parts])


@torch.no_grad()
def nats(space: LatentSpace, data: SequenceData, mean: torch.Tensor | None) -> float:
    """Negative log-likelihood of the discrete part of held-out crystals, from their latent vectors or from none."""
    sequences, total = Sequences(data), 0.0
    place = {row: i for i, row in enumerate(np.flatnonzero(data.crystals.held_out).tolist())}
    for rows in sequence_batches(data, sequences, True, (0,)):
        batch = sequences.take(rows, torch.zeros(len(rows), dtype=torch.bool), torch.Generator())
        latent = None if mean is None else mean[[place[row] for row in rows.tolist()]]
        given = Context(torch.zeros_like(batch.content), batch.free_order, latent)
        found = log_likelihood(space.network.decoder, batch, given)
        total -= sum(float(found[name].sum()) for name in DISCRETE)
    return total / len(place)


def reconstructed(generator: VaeGenerator, data: SequenceData, mean: torch.Tensor, count: int) -> dict[str, float]:
    """Crystals written from the latent vectors of held-out ones at low temperature: what they have in common."""
    rows = np.flatnonzero(data.crystals.held_out)[:count].tolist()
    sampler = generator.model.sampler
    request = SampleRequest([Wish(sampler.known)] * len(rows), mean[: len(rows)], temperature=0.1)
    drafts = sampler.drafts(request, torch.Generator().manual_seed(0))
    hits = np.zeros((len(rows), 4), dtype=bool)
    for i, (row, draft) in enumerate(zip(rows, drafts, strict=True)):
        if draft is None:
            continue
        truth, mine = template_at(data, row), bare(data, draft)
        same = mine.skeleton == truth.skeleton
        hits[i] = (
            mine.form.group == truth.form.group,
            mine.composition.keys() == truth.composition.keys(),
            same,
            same and decorated(mine) == decorated(truth),
        )
    names = ("same_group", "same_elements", "same_skeleton", "same_decorated")
    return dict(zip(names, hits.mean(0).tolist(), strict=True))


def sampled(generator: VaeGenerator, count: int) -> dict[str, float]:
    """Crystals from the prior: how many are sane at their first geometry, and within all tries."""
    model, noise = generator.model, torch.Generator().manual_seed(0)
    request = model.request([Wish(model.sampler.known)] * count, generator.space.network.from_prior(count, noise))
    drafts = [draft for draft in model.sampler.drafts(request, noise) if draft is not None]
    sane = np.zeros(len(drafts), dtype=bool)
    shares = []
    for _ in range(model.settings.geometries):
        left = np.flatnonzero(~sane).tolist()
        forms = model.sampler.forms([drafts[i] for i in left], request.part(left), noise)
        sane[left] = [sane_crystal(form, model.settings.limits) is not None for form in forms]
        shares.append(float(sane.mean()))
    return {"sane_at_once": shares[0], "sane_within_tries": shares[-1]}


def heads(
    space: LatentSpace, data: SequenceData, held: torch.Tensor, train: torch.Tensor
) -> dict[str, dict[str, float]]:
    """Errors of the property heads, and how far single dimensions carry single properties."""
    scale = electrodes_for(data.crystals).scale
    labels, out = on_scale(labels_of(data), scale), data.crystals.held_out
    said, true = space.properties(held).detach().numpy(), labels[out]
    information = mutual_information(train.double().numpy(), labels[~out].astype(np.float64))
    known = np.isfinite(true).sum(0)
    columns = {
        "rmse": np.sqrt(np.nanmean((said - true) ** 2, axis=0)),
        "spread": np.nanstd(true, axis=0),
        "information_gap": information_gap(information),
        "best_information": information.max(0),
    }
    found = {name: dict(zip(PROPERTIES, map(float, values), strict=True)) for name, values in columns.items()}
    return found | {"known": dict(zip(PROPERTIES, map(int, known), strict=True))}


@torch.no_grad()
def electrode_errors(space: LatentSpace, data: SequenceData) -> dict[str, float]:
    """Voltages that CHGNet gives held-out templates: how many, error of the heads and spread, V."""
    found = electrodes_for(data.crystals)
    rows = np.flatnonzero(found.held_out).tolist()
    mean, _ = space.network.encode(joined([found.graphs[i] for i in rows], torch.device("cpu")))
    true = found.labels[rows]
    known = ~true.isnan()
    errors = (space.properties(mean) - true)[known]
    rmse, spread = float(errors.square().mean().sqrt()), float(true[known].std())
    return {"electrodes": len(rows), "electrode_rmse_V": rmse, "electrode_spread_V": spread}


def strange(space: LatentSpace, data: SequenceData, count: int) -> float:
    """How often a held-out crystal is less of an anomaly than one with its elements exchanged at random."""
    crystals = batch_of(data.crystals.subset(data.crystals.held_out)).to_crystals()[:count]
    rng = np.random.default_rng(0)
    known = np.flatnonzero(space.network.decoder.known.numpy()).tolist()
    swapped = []
    for crystal in crystals:
        kinds = sorted(set(crystal.numbers))
        swap = dict(zip(kinds, rng.choice(known, len(kinds), replace=False).tolist(), strict=True))
        swapped.append(crystal.model_copy(update={"numbers": tuple(swap[z] for z in crystal.numbers)}))
    real, odd = ([one.score for one in space.anomalies(each)] for each in (crystals, swapped))
    return float(np.mean([(r < o) + 0.5 * (r == o) for r in real for o in odd]))


def searched(generator: VaeGenerator, count: int) -> dict[str, float]:
    """Share of samples inside the windows, asked for and not asked for, by the model's own heads."""
    goals: list[Goal] = goals_for(WINDOW.targets, WINDOW.required)

    def share(condition: Condition) -> float:
        batch, _ = generator.sample(count, condition, np.random.default_rng(0))
        latent = generator.space.encode(batch.to_crystals())
        return float((generator.space.penalty(latent, goals) == 0).float().mean())

    free = Condition(required=WINDOW.required)
    return {"inside_searched": share(WINDOW), "inside_unconditioned": share(free)}


def main(sequences: Path, checkpoint: Path | None = None, crystals: int = 200, samples: int = 200) -> None:
    """Measure, and print one JSON object."""
    torch.set_num_threads(1)
    data, generator = load_sequences(sequences), VaeGenerator(checkpoint)
    space, out = generator.space, data.crystals.held_out
    held, held_log_variance = encoded(space, batch_of(data.crystals.subset(out)))
    train, _ = encoded(space, batch_of(data.crystals.subset(~out)))
    result = Result(
        nats_discrete=nats(space, data, None),
        nats_discrete_with_latent=nats(space, data, held),
        **reconstructed(generator, data, held, crystals),
        active_dimensions=int((held.var(0) > ACTIVE).sum()),
        kl_nats=float(kl_by_dimension(held, held_log_variance).sum()),
        **sampled(generator, samples),
        **heads(space, data, held, train),
        **electrode_errors(space, data),
        anomaly_auc=strange(space, data, samples // 2),
        **searched(generator, max(samples // 10, 10)),
    )
    print(json.dumps(asdict(result), indent=1))


if __name__ == "__main__":
    run(main)
