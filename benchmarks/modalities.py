"""What is hidden of held-out materials, told by a deep Boltzmann machine, by dedicated networks, and by the marginal.

    python -m benchmarks.modalities --start FILE            # FILE: a composition-rbm of the learned formulas alone
    python -m benchmarks.modalities --dbm FILE              # a machine trained by it before
    python -m benchmarks.modalities --voltages              # the learned ones, and those that screening computes

Formulas and their split are those of `benchmarks/compositions.py`; nothing is tuned on the held-out tenth, and the
machine on formulas to begin with must not have learned it either. For each modality: nats of the true bin, from the
formula with all other modalities that are known, and from the formula alone. A dedicated network is trained for each
modality and each of both cases: two layers of 384 units on shares of elements, of groups and of periods, which elements
there are and how many atoms, and the other modalities in bins; stopped early on a tenth of the learned formulas.
Differences (machine less network) are paired by formula; after +- stand standard errors.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from benchmarks.compositions import TABLES, Data, read
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.materials import NAMES, VOLTAGE, Modality, known_of, modalities_of
from redoxa.generators.composition.boltzmann.multimodal import DbmConfig
from redoxa.generators.composition.boltzmann.multimodal_family import DbmFamily
from redoxa.generators.composition.boltzmann.multimodal_training import DBM, DbmTask, Materials
from redoxa.generators.composition.boltzmann.network import load_rbm
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of
from redoxa.generators.composition.network import ElementVectors
from redoxa.generators.training.loop import TrainConfig, train

Floats = NDArray[np.float64]

WIDTH, DROP, PATIENCE, EPOCHS = 384, 0.3, 6, 60
"""Of the dedicated networks."""


@dataclass(frozen=True)
class Known:
    """Materials to learn and to judge by, in bins."""

    grammar: Grammar
    modalities: tuple[Modality, ...]
    learned: Materials
    held_out: Materials


def values_of(folder: Path) -> dict[Formula, Floats]:
    """What the tables know of each formula, by `NAMES`."""
    known = known_of([folder / "datasets" / f"{name}.parquet" for name in TABLES])
    return {formula_of(dict(content)): values for content, values in known.items()}


def binned(data: Data, folder: Path) -> Known:
    """What the tables know of all formulas; the edges of bins are quantiles of the learned ones."""
    by_formula = values_of(folder)
    nothing = np.full(len(NAMES), np.nan)

    def values(formulas: list[Formula]) -> Floats:
        return np.stack([by_formula.get(formula, nothing) for formula in formulas])

    modalities = modalities_of(values(data.learned))

    def materials(formulas: list[Formula]) -> Materials:
        table = values(formulas)
        bins = [one.bins_of(table[:, NAMES.index(one.name)]) for one in modalities]
        return Materials(tuple(formulas), np.stack(bins, 1))

    return Known(data.grammar, modalities, materials(data.learned), materials(data.held_out))


def some(materials: Materials, rows: NDArray[np.int64]) -> Materials:
    """Some of them."""
    return Materials(tuple(materials.formulas[i] for i in rows.tolist()), materials.bins[rows])


def features(known: Known, materials: Materials, k: int, alone: bool) -> torch.Tensor:
    """What a dedicated network of a modality is given [n,columns]."""
    vectors = ElementVectors(known.grammar, 1)
    groups, periods = (one_hot(vectors.get_buffer(name)[1:]).float() for name in ("groups", "periods"))
    counts = torch.from_numpy(known.grammar.counts(list(materials.formulas))).float()
    shares = counts / counts.sum(1, keepdim=True)
    parts = [shares, shares @ groups, shares @ periods, (counts > 0).float(), counts.sum(1, keepdim=True)]
    for j, one in enumerate(known.modalities):
        if j != k and not alone:
            parts.append(one_hot(torch.from_numpy(materials.bins[:, j]) + 1, one.bins + 1).float())
    return torch.cat(parts, 1)


def batches(n: int) -> Iterator[torch.Tensor]:
    yield from torch.randperm(n).split(256 if n > 3000 else 32)


def dedicated(known: Known, k: int, alone: bool, asked: Materials) -> Floats:
    """Log probabilities of the bins of a modality [n,bins], by a network trained for it alone."""
    torch.manual_seed(0)
    learned = some(known.learned, np.flatnonzero(known.learned.bins[:, k] >= 0))
    x, y = features(known, learned, k, alone), torch.from_numpy(learned.bins[:, k])
    middle, spread, tenth = x.mean(0), x.std(0), len(x) // 10  # learned ones are in random order
    spread = torch.where(spread > 0, spread + 0.03, torch.inf)  # what never or hardly varies would be huge elsewhere
    x = (x - middle) / spread
    layers = [nn.Linear(x.shape[1], WIDTH), nn.SiLU(), nn.Dropout(DROP), nn.Linear(WIDTH, WIDTH), nn.SiLU()]
    network = nn.Sequential(*layers, nn.Dropout(DROP), nn.Linear(WIDTH, known.modalities[k].bins))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    told = (features(known, asked, k, alone) - middle) / spread
    best, since, logs = math.inf, 0, torch.zeros(0)
    for _ in range(EPOCHS):
        network.train()
        for rows in batches(len(x) - tenth):
            optimiser.zero_grad()
            torch.autograd.backward(cross_entropy(network(x[tenth + rows]), y[tenth + rows]))
            optimiser.step()
        network.eval()
        with torch.no_grad():
            loss = float(cross_entropy(network(x[:tenth]), y[:tenth]))
            since += 1
            if loss < best:
                best, since, logs = loss, 0, network(told).log_softmax(1)
        if since > PATIENCE:
            break
    return logs.double().numpy()


def mean_of(nats: Floats) -> str:
    return f"{nats.mean():6.3f} +- {nats.std(ddof=1) / math.sqrt(len(nats)):.3f}"


def judge(known: Known, family: DbmFamily) -> None:
    """Print the table."""
    print(f"{'hidden':30s} {'given':8s} {'n':>5s} {'marginal':>16s} {'network':>16s} {'machine':>16s}  difference")
    for k, one in enumerate(known.modalities):
        asked = some(known.held_out, np.flatnonzero(known.held_out.bins[:, k] >= 0))
        truth, rows = asked.bins[:, k], np.arange(len(asked))
        usual = np.bincount(known.learned.bins[:, k][known.learned.bins[:, k] >= 0], minlength=one.bins)
        marginal = -np.log(usual / usual.sum())[truth]
        for alone in (False, True):
            given = Materials.plain(asked.formulas, len(known.modalities)) if alone else asked
            network = -dedicated(known, k, alone, asked)[rows, truth]
            machine = -np.log(family.tell(one.name, given))[rows, truth]
            cells = " ".join(f"{mean_of(nats):>16s}" for nats in (marginal, network, machine))
            told = f"{one.name:30s} {'formula' if alone else 'all':8s} {len(asked):5d} {cells}"
            print(f"{told}  {mean_of(machine - network)}", flush=True)


def machine_of(known: Known, options: argparse.Namespace) -> DbmFamily:
    """Read, or trained on learned materials; what was begun is gone on with."""
    if options.dbm is not None:
        return DbmFamily.load(options.dbm)
    start, nothing = load_rbm(options.start), Materials.plain((), len(known.modalities))
    task = partial(DbmTask, start, known.modalities, known.learned, nothing, DbmConfig())
    config = TrainConfig(
        options.work / f"dbm-{options.steps}-{options.seed}", steps=options.steps,
        decay_steps=max(1, 3 * options.steps // 5), warmup_steps=min(500, options.steps // 3), seed=options.seed,
        device="cpu",
    )  # fmt: skip
    return DbmFamily.load(train(task, config, resume=True))


def compare_voltages(known: dict[Formula, Floats]) -> None:
    """Print the line from voltages of the tables to those that the templates were labelled with."""
    labels, templates = pd.read_parquet(shipped("electrode_labels.parquet")), load_templates()
    ours: dict[Formula, list[float]] = defaultdict(list)
    for place, ion, volts in zip(labels["template"], labels["ion"], labels["voltage_V"], strict=True):
        if ion == 3:
            ours[formula_of(templates[int(place)].composition)].append(float(volts))
    pairs = [(known[f][NAMES.index(VOLTAGE)], np.median(volts)) for f, volts in ours.items() if f in known]
    theirs, mine = np.array([pair for pair in pairs if np.isfinite(pair[0])]).T
    slope, offset = np.polyfit(theirs, mine, 1)
    spread = (mine - offset - slope * theirs).std(ddof=2)
    print(f"{len(mine)} formulas: {offset:.3f} V + {slope:.3f} times that of the tables, within {spread:.2f} V")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, help="weights of composition-rbm, of learned formulas alone")
    parser.add_argument("--dbm", type=Path, help="weights of the machine, of learned materials alone")
    parser.add_argument("--steps", type=int, default=DBM.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--voltages", action="store_true", help="compare voltages instead")
    parser.add_argument("--work", type=Path, default=Path("runs/modalities"))
    options = parser.parse_args()
    if not options.voltages and (options.start is None) == (options.dbm is None):
        parser.error("name weights by --start or by --dbm")
    torch.set_num_threads(1)
    folder = shared_dir()
    if folder is None:
        parser.error("the shared crystal data is not beside the checkout")
    if options.voltages:
        compare_voltages(values_of(folder))
        return
    known = binned(read(folder), folder)
    family = machine_of(known, options)
    if family.modalities != known.modalities:
        parser.error("these weights are of other materials")
    judge(known, family)


if __name__ == "__main__":
    main()
