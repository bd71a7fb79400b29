"""Models of formulas beside one another, trained here with several seeds: likelihood, formulas found again, likeness.

    python benchmarks/compositions.py                      # all; half an hour on one core, --families takes some
    python benchmarks/compositions.py --steps 0            # without networks
    python benchmarks/compositions.py --seeds 3            # mean and standard deviation of nats and found over seeds

Formulas: all of at most 20 atoms and six elements in the three tables of the shared data, each once; a tenth is held
out by a seed, and nothing is tuned on it. Likelihoods are in nats by formula, given the grammar (reduced, 20 atoms, six
elements); exchange has none for what it cannot reach. `found` is how many held-out formulas are among the samples, and
their share of all distinct ones that were not learned, with its 95 % interval. Neutral: common oxidation states balance
it, and it is no alloy. The Frechet distance is between ten numbers of formulas (mean and spread of
electronegativity, radius, period and Mendeleev number, elements, largest share), in units of the held-out ones' spread.
Each row but nats and found with several seeds is that of the first. `redoxa formulas` judges trained models by more.

The second table hides one element of held-out formulas: nats of the true one among all elements in its place, all else
given, by the probabilities of these formulas; and the processor time of an answer. It needs no log Z.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pyarrow import parquet

from redoxa.data.tables.datasets import SPLIT_SEED, shared_dir
from redoxa.generators.composition.adversarial.family import WganFamily
from redoxa.generators.composition.adversarial.network import WganConfig
from redoxa.generators.composition.adversarial.training import WGAN
from redoxa.generators.composition.autoregressive import MarkovFamily
from redoxa.generators.composition.baselines import ExchangeFamily, IndependentFamily, MixtureFamily
from redoxa.generators.composition.boltzmann.family import RbmFamily
from redoxa.generators.composition.boltzmann.network import RbmConfig
from redoxa.generators.composition.boltzmann.softmax import SoftmaxFamily
from redoxa.generators.composition.boltzmann.training import RBM
from redoxa.generators.composition.boltzmann.training import STEPS as RBM_STEPS
from redoxa.generators.composition.family import Family
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of
from redoxa.generators.composition.network import Cell, NetworkConfig
from redoxa.generators.composition.scores import FormulaScore, Judge, spread_over_seeds
from redoxa.generators.composition.sequence import SequenceFamily
from redoxa.generators.training.loop import TrainConfig
from redoxa.pipeline.evaluate.formula_columns import COLUMNS, nats

TABLES = ("mp20_train_compositions", "mp_structures", "li_electrodes")
RATES: dict[Cell, float] = {"lstm": 2e-3, "attention": 1e-3}


@dataclass(frozen=True)
class Data:
    """Formulas to learn and to judge by."""

    grammar: Grammar
    learned: list[Formula]
    held_out: list[Formula]


def read(folder: Path) -> Data:
    """All formulas, a tenth of them held out."""
    formulas = set()
    for name in TABLES:
        column = parquet.read_table(folder / "datasets" / f"{name}.parquet", columns=["atomic_numbers"])
        cells = column["atomic_numbers"].to_pylist()
        formulas |= {formula_of(dict(Counter(numbers))) for numbers in cells if len(numbers) <= 20}
    grammar = Grammar.of({z for formula in formulas for z, _ in formula})
    ours = sorted(filter(grammar.holds, formulas))
    print(f"{len(ours):,} formulas; {len(formulas) - len(ours)} of more than {grammar.slots} elements left out")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(ours)).tolist()
    tenth = round(len(ours) / 10)
    return Data(grammar, [ours[i] for i in order[tenth:]], [ours[i] for i in order[:tenth]])


TOLD = ("Found", "Distinct", "New family", "Neutral", "Fréchet", "Recall", "Coverage", "CPU s")


def line(name: str, scores: Sequence[FormulaScore], fit_cpu_s: float | None = None) -> None:
    """One row of the table: the scores of the first seed, and what nats and found come to over all of them."""
    first = scores[0]
    likelihood = nats(first.likelihood)
    cells = [likelihood.text if likelihood.text != "infinite" else f"inf, {likelihood.below}"]
    cells += [column.show(first).text for column in COLUMNS if column.head in TOLD]
    cells.append("" if fit_cpu_s is None else f"{fit_cpu_s:.1f}")
    print(f"{name:20s} {cells[0]:>36s}" + "".join(f"{cell:>11s}" for cell in cells[1:]), flush=True)
    hits = first.hits
    if hits.value is not None and hits.low is not None and hits.high is not None:
        shares = [100 * x for x in (hits.value, hits.low, hits.high)]
        print(" " * 21 + "found of different novel ones: {:.2f} % ({:.2f}-{:.2f})".format(*shares), flush=True)
    if len(scores) > 1:
        known = [s.likelihood.nats for s in scores if s.likelihood and s.likelihood.nats is not None]
        told = {"found": [float(s.found) for s in scores]} | ({"nats": known} if len(known) == len(scores) else {})
        words = ", ".join("{} {:.2f} +/- {:.2f}".format(what, *spread_over_seeds(x)) for what, x in told.items())
        print(" " * 21 + f"over {len(scores)} seeds: {words}", flush=True)


def learn(family: Family, data: Data, seed: int) -> float:
    """Learn, and return the processor seconds."""
    start = time.process_time()
    family.fit(data.learned, seed)
    return time.process_time() - start


def judge_completion(families: list[Family], data: Data, n: int) -> None:
    """Print how well one hidden element is told from all others that may stand in its place."""
    rng, tasks = np.random.default_rng(SPLIT_SEED), []
    for i in rng.choice(len(data.held_out), min(n, len(data.held_out)), replace=False).tolist():
        formula = data.held_out[i]
        hidden, count = formula[int(rng.integers(len(formula)))]
        rest = {z: m for z, m in formula if z != hidden}
        free = [z for z in data.grammar.elements if z not in rest]
        tasks.append((free.index(hidden), [formula_of(rest | {z: count}) for z in free]))
    tasks = [(truth, some) for truth, some in tasks if all(map(data.grammar.holds, some))]
    print(f"\none hidden element of {len(tasks)} held-out formulas", "nats", "first", "CPU ms each", sep="  ")
    for family in families:
        start, nats, first = time.process_time(), [], 0
        for truth, some in tasks:
            logs = family.log_probability(some).nats
            nats.append(float(np.logaddexp.reduce(logs) - logs[truth]))
            first += int(logs.argmax() == truth)
        spent = (time.process_time() - start) / len(tasks)
        told = f"{np.mean(nats):8.3f} +- {np.std(nats) / len(tasks) ** 0.5:.3f}"
        print(f"{family.name:20s} {told} {first / len(tasks):7.3f} {1000 * spent:8.2f}", flush=True)


def schedule(out: Path, steps: int, rate: float) -> TrainConfig:
    """How networks are trained here."""
    return TrainConfig(
        out, steps=steps, decay_steps=max(1, steps // 2), warmup_steps=min(200, steps // 3), rate=rate, device="cpu",
        save_every=steps,
    )  # fmt: skip


SIMPLE = (IndependentFamily, MixtureFamily, MarkovFamily, SoftmaxFamily, ExchangeFamily)
"""Floors, which are fitted at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="samples of each")
    parser.add_argument("--steps", type=int, default=3000, help="of each network; 0 for none")
    parser.add_argument("--seed", type=int, default=0, help="of learning and sampling, the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings of each")
    parser.add_argument("--cells", nargs="*", choices=list(RATES), default=list(RATES))
    parser.add_argument("--families", nargs="*", choices=["simple", "rbm", "wgan", "sequence"], help="all by default")
    parser.add_argument("--rbm-steps", type=int, default=RBM_STEPS, help="of the Boltzmann machine; 0 for none")
    parser.add_argument("--wgan-steps", type=int, default=WGAN.steps, help="of the adversarial family; 0 for none")
    parser.add_argument("--hidden", type=int, default=300, help="held-out formulas of which an element is hidden")
    parser.add_argument("--work", type=Path, default=Path("runs/compositions"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = shared_dir()
    if folder is None:
        parser.error("the shared crystal data is not beside the checkout")
    data = read(folder)
    seeds = range(options.seed, options.seed + max(1, options.seeds))
    judges = {seed: Judge(data.learned, data.held_out, seed) for seed in seeds}
    print(f"{'family':20s} {'nats held out':>36s}" + "".join(f"{head:>11s}" for head in (*TOLD, "CPU s fit")))
    line("learned formulas", [judges[options.seed].score(data.learned)])
    line("held-out formulas", [judges[options.seed].score(data.held_out)])
    families = options.families or ["simple", "rbm", "wgan", "sequence"]
    for kind in SIMPLE if "simple" in families else ():
        judge(kind(data.grammar), data, judges, options.n)
    telling: list[Family] = []
    if "rbm" in families and options.rbm_steps:
        config = schedule(options.work / f"rbm-{options.rbm_steps}", options.rbm_steps, RBM.rate or 1e-3)
        telling.append(RbmFamily(data.grammar, RbmConfig(), replace(config, clip=RBM.clip or 1.0)))
        judge(telling[-1], data, judges, options.n)
    if "wgan" in families and options.wgan_steps:
        config = schedule(options.work / f"wgan-{options.wgan_steps}", options.wgan_steps, WGAN.rate or 1e-3)
        judge(WganFamily(data.grammar, WganConfig(), replace(config, clip=WGAN.clip or 1.0)), data, judges, options.n)
    for cell in options.cells if options.steps and "sequence" in families else []:
        config = schedule(options.work / f"{cell}-{options.steps}", options.steps, RATES[cell])
        network = SequenceFamily(data.grammar, NetworkConfig(cell), config)
        judge_network(network, data, judges, options.n)
        telling.append(network)
    if telling and options.hidden:
        judge_completion(telling, data, options.hidden)


def judge(family: Family, data: Data, judges: dict[int, Judge], n: int) -> None:
    """Train a model with each seed, and print it."""
    scores, cpu_s = [], []
    for seed, one in judges.items():
        cpu_s.append(learn(family, data, seed))
        scores.append(one.judge(family, n))
    line(family.name, scores, cpu_s[0])


def judge_network(network: SequenceFamily, data: Data, judges: dict[int, Judge], n: int) -> None:
    """Train a network with each seed, and print it as it is and at a lower temperature."""
    scores: dict[float, list[FormulaScore]] = {0.7: [], 1.0: []}  # it is left as it is
    cpu_s = []
    for seed, one in judges.items():
        cpu_s.append(learn(network, data, seed))
        for temperature, found in scores.items():
            network.temperature = temperature
            found.append(one.judge(network, n))
    line(network.name, scores[1.0], cpu_s[0])
    line(f"{network.name}, T = 0.7", scores[0.7], cpu_s[0])


if __name__ == "__main__":
    main()
