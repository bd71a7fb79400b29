"""How good the Wyckoff sequence model is on crystals that it has never seen.

python -m benchmarks.wyckoff SEQUENCES [--checkpoint FILE] [--compositions 300] [--samples 500]

SEQUENCES is what `redoxa train --generator wyckoff` prepares; its held-out crystals have formulas of their own.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from cyclopts import run

from redoxa.data.symmetry.sequences import SequenceData, load_sequences
from redoxa.data.symmetry.skeletons import Template, template_of
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.generators.wyckoff.grammar import Draft, Wish
from redoxa.generators.wyckoff.objective import Sequences, context_for, log_likelihood
from redoxa.generators.wyckoff.sequence import WyckoffModel, sane_crystal
from redoxa.generators.wyckoff.training import sequence_batches

DISCRETE = ("group", "element", "position")


@dataclass(frozen=True)
class Result:
    """Nats per held-out crystal; shares of samples; shares of held-out crystals found for their composition."""

    nats_discrete: float
    nats_discrete_given_composition: float
    nats_cell: float
    nats_coordinates: float
    samples: int
    sane_at_once: float
    new_skeleton: float
    sane_at_once_of_new: float
    sane_within_tries_of_new: float
    compositions: int
    found_first: float
    found_among_20: float
    skeleton_among_20: float
    known_skeleton: float
    found_among_20_of_new_skeletons: float
    seconds_per_20_drafts: float


def template_at(data: SequenceData, crystal: int) -> Template:
    """The canonical form of a crystal, as far as skeleton and elements go."""
    here = data.orbits(int(data.first_form[crystal]))
    return bare(data, Draft(int(data.groups[crystal]), data.positions[here].tolist(), data.numbers[here].tolist()))


def bare(data: SequenceData, draft: Draft) -> Template:
    """A draft without its numbers."""
    orbits = [Orbit(data.table.letter(p), z, ()) for p, z in zip(draft.positions, draft.numbers, strict=True)]
    return template_of(SymmetricCrystal(draft.group, tuple(orbits), (1.0, 1.0, 1.0)))


def decorated(template: Template) -> str:
    """Equal for equal skeletons with equal elements."""
    return repr(template.decorated([orbit.number for orbit in template.form.orbits]))


@torch.no_grad()
def nats(model: WyckoffModel, data: SequenceData, told: bool) -> dict[str, float]:
    """Mean negative log-likelihood of the canonical forms of held-out crystals, by its parts."""
    sequences, total, sums = Sequences(data), 0, dict.fromkeys((*DISCRETE, "cell", "free"), 0.0)
    for rows in sequence_batches(data, sequences, True, (0,)):
        batch = sequences.take(rows, torch.zeros(len(rows), dtype=torch.bool), torch.Generator())
        given = context_for(batch, torch.full((len(rows),), told))
        for name, value in log_likelihood(model.sampler.network, batch, given).items():
            sums[name] -= float(value.sum())
        total += len(rows)
    return {name: value / total for name, value in sums.items()}


def sampled(model: WyckoffModel, known: set[object], data: SequenceData, count: int) -> dict[str, float]:
    """Free samples: how many are sane at their first geometry, and how many skeletons are new."""
    generator = torch.Generator().manual_seed(0)
    request = model.request([Wish(model.sampler.known)] * count)
    drafts = [draft for draft in model.sampler.drafts(request, generator) if draft is not None]
    new = np.array([bare(data, draft).skeleton not in known for draft in drafts])
    first = model.sampler.forms(drafts, request, generator)
    sane = np.array([sane_crystal(form, model.settings.limits) is not None for form in first])
    tries = sane.copy()
    for _ in range(model.settings.geometries - 1):
        left = np.flatnonzero(~tries).tolist()
        forms = model.sampler.forms([drafts[i] for i in left], request.part(left), generator)
        tries[left] = [sane_crystal(form, model.settings.limits) is not None for form in forms]
    return {
        "samples": len(drafts),
        "sane_at_once": float(sane.mean()),
        "new_skeleton": float(new.mean()),
        "sane_at_once_of_new": float(sane[new].mean()),
        "sane_within_tries_of_new": float(tries[new].mean()),
    }


def predicted(model: WyckoffModel, known: set[object], data: SequenceData, count: int) -> dict[str, float]:
    """Held-out crystals: is their skeleton with its elements among 20 drafts for their composition?"""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(data.crystals.held_out))[:count]
    generator = torch.Generator().manual_seed(0)
    first, any_of, skeleton, familiar = [], [], [], []
    start = time.perf_counter()
    for row in rows.tolist():
        truth = template_at(data, row)
        wish = Wish(model.sampler.known, content=truth.composition)
        drafts = [draft for draft in model.sampler.drafts(model.request([wish] * 20), generator) if draft is not None]
        drafts.sort(key=lambda draft: -draft.log_probability)
        templates = [bare(data, draft) for draft in drafts]
        found = [decorated(template) == decorated(truth) for template in templates]
        first.append(found[0])
        any_of.append(any(found))
        skeleton.append(any(template.skeleton == truth.skeleton for template in templates))
        familiar.append(truth.skeleton in known)
    new = ~np.array(familiar)
    return {
        "compositions": len(rows),
        "found_first": float(np.mean(first)),
        "found_among_20": float(np.mean(any_of)),
        "skeleton_among_20": float(np.mean(skeleton)),
        "known_skeleton": float(np.mean(familiar)),
        "found_among_20_of_new_skeletons": float(np.array(any_of)[new].mean()) if new.any() else float("nan"),
        "seconds_per_20_drafts": (time.perf_counter() - start) / len(rows),
    }


def main(sequences: Path, checkpoint: Path | None = None, compositions: int = 300, samples: int = 500) -> None:
    """Measure, and print one JSON object."""
    torch.set_num_threads(1)
    data, model = load_sequences(sequences), WyckoffModel.load(checkpoint)
    known: set[object] = {template_at(data, row).skeleton for row in np.flatnonzero(~data.crystals.held_out).tolist()}
    free, told = nats(model, data, False), nats(model, data, True)
    result = Result(
        nats_discrete=sum(free[name] for name in DISCRETE),
        nats_discrete_given_composition=sum(told[name] for name in DISCRETE),
        nats_cell=free["cell"],
        nats_coordinates=free["free"],
        **sampled(model, known, data, samples),
        **predicted(model, known, data, compositions),
    )
    print(json.dumps(asdict(result), indent=1))


if __name__ == "__main__":
    run(main)
