"""What a flow gives `vae` as its prior that one Gaussian does not, the network as it is.

python -m benchmarks.latent_prior DATA [--checkpoint FILE] [--samples 2000] [--out FILE]

DATA is what `redoxa train --generator vae` prepares first (`data.safetensors`); its held-out crystals have formulas of
their own. Without a flow in the checkpoint one is fitted; with `--out` the network is written with it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols
from cyclopts import run
from numpy.typing import NDArray

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.tables.datasets import load
from redoxa.generators.vae.checkpoint import save_vae
from redoxa.generators.vae.crystal_graph import graphs_of
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.network import Vae
from redoxa.generators.vae.prior import Encoded, FlowPrior, fit_prior, standard_log_density
from redoxa.generators.vae.training import batch_of, encoded
from redoxa.generators.wyckoff.grammar import Draft, Wish
from redoxa.generators.wyckoff.sequence import sane_crystal

DRAWS = 16
"""Of each held-out crystal, over which the bound is averaged."""

AT_ONCE = 250
"""Crystals that are written together, with a seed of their own."""

Vectors = Callable[[int, torch.Generator], torch.Tensor]


def of_samples(values: NDArray[np.float64]) -> list[float]:
    """Mean and 95 % interval."""
    mean, error = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return [round(x, 3) for x in (mean, mean - error, mean + error)]


def gains(prior: FlowPrior, crystals: Encoded) -> NDArray[np.float64]:
    """By how much the bound of each crystal rises, in nats: all else of it does not hang on the prior."""
    generator, rows = torch.Generator().manual_seed(0), torch.arange(len(crystals.means))
    found = []
    for _ in range(DRAWS):
        white = crystals.draw(rows, generator)
        found.append(prior.log_density(white) - standard_log_density(white))
    return torch.stack(found).mean(0).double().numpy()


def written(generator: VaeGenerator, vectors: Vectors, count: int) -> NDArray[np.float64]:
    """Of crystals written from vectors: sane at the first geometry, within all, charge-balanced [n,3]."""
    model, found = generator.model, []
    for seed in range(count // AT_ONCE):
        latent = vectors(AT_ONCE, torch.Generator().manual_seed(seed))
        noise = torch.Generator().manual_seed(1000 + seed)
        request = model.request([Wish(model.sampler.known)] * len(latent), latent)
        drafts = [draft for draft in model.sampler.drafts(request, noise) if draft is not None]
        sane = np.zeros(len(drafts), dtype=bool)
        shares = []
        for _ in range(model.settings.geometries):
            left = np.flatnonzero(~sane).tolist()
            forms = model.sampler.forms([drafts[i] for i in left], request.part(left), noise)
            sane[left] = [sane_crystal(form, model.settings.limits) is not None for form in forms]
            shares.append(sane.copy())
        balanced = [is_charge_balanced(content(generator, draft)) for draft in drafts]
        found.append(np.stack([shares[0], shares[-1], balanced], axis=1).astype(np.float64))
    return np.concatenate(found)


def content(generator: VaeGenerator, draft: Draft) -> Counter[str]:
    """Atoms of the conventional cell by element."""
    found: Counter[str] = Counter()
    for position, number in zip(draft.positions, draft.numbers, strict=True):
        found[chemical_symbols[number]] += int(generator.model.sampler.table.atoms[position])
    return found


def encoder_s(network: Vae, crystals: Encoded) -> Vectors:
    """Vectors that the encoder draws of real crystals: the best that any prior could give."""

    def vectors(count: int, generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(crystals.means), (count,), generator=generator)
        return network.coloured(crystals.draw(rows, generator))

    return vectors


def main(data: Path, checkpoint: Path | None = None, samples: int = 2000, out: Path | None = None) -> None:
    """Fit, measure, and print one JSON object."""
    torch.set_num_threads(1)
    crystals, generator = load(data), VaeGenerator(checkpoint)
    plain = generator.space.network.with_prior(None)
    known = encoded(plain, graphs_of(batch_of(crystals.subset(~crystals.held_out))))
    held_out = encoded(plain, graphs_of(batch_of(crystals.subset(crystals.held_out))))
    since = time.perf_counter()
    prior = generator.space.network.prior or fit_prior(known)
    if prior is None:
        raise SystemExit("one Gaussian is as good")
    result: dict[str, object] = {"fit_s": round(time.perf_counter() - since, 1)}
    network = plain.with_prior(prior)
    if out is not None:
        save_vae(out, network)
    result["bound_gained_nats"] = of_samples(gains(prior, held_out))
    sides = {"gaussian": plain.from_prior, "flow": network.from_prior, "encoder": encoder_s(plain, known)}
    shares = {name: written(generator, vectors, samples) for name, vectors in sides.items()}
    for place, what in enumerate(("sane_at_once", "sane_within_tries", "charge_balanced")):
        result[what] = {name: of_samples(found[:, place]) for name, found in shares.items()}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    run(main)
