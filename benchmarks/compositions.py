"""Models of formulas beside one another: likelihood, formulas found again, neutrality, likeness to the data, time.

    python benchmarks/compositions.py                      # all, with networks of 3,000 steps; five minutes on one core
    python benchmarks/compositions.py --steps 0            # without networks

Formulas: all of at most 20 atoms and six elements in the three tables of the shared data, each once; a tenth is held
out by a seed, and nothing is tuned on it. Likelihoods are in nats by formula, given the grammar (reduced, 20 atoms, six
elements); exchange has none for what it cannot reach. `found` is how many held-out formulas are among the samples, and
their share of all distinct ones that were not learned, with its 95 % interval. Neutral: common oxidation states balance
it, and it is no alloy. The Frechet distance is between ten numbers of formulas (mean and spread of
electronegativity, radius, period and Mendeleev number, elements, largest share), in units of the held-out ones' spread.

The second table hides one element of held-out formulas: nats of the true one among all elements in its place, all else
given, by the probabilities of these formulas; and the processor time of an answer. It needs no log Z.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pyarrow import parquet

from redoxa.data.tables.datasets import SPLIT_SEED, shared_dir
from redoxa.generators.base import Condition
from redoxa.generators.composition.autoregressive import MarkovFamily
from redoxa.generators.composition.baselines import ExchangeFamily, IndependentFamily, MixtureFamily
from redoxa.generators.composition.boltzmann.family import RbmFamily
from redoxa.generators.composition.boltzmann.network import RbmConfig
from redoxa.generators.composition.boltzmann.training import RBM
from redoxa.generators.composition.boltzmann.training import STEPS as RBM_STEPS
from redoxa.generators.composition.family import Family
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of, is_neutral
from redoxa.generators.composition.network import Cell, NetworkConfig
from redoxa.generators.composition.sequence import SequenceFamily
from redoxa.generators.evaluate.descriptor import element_numbers
from redoxa.generators.evaluate.distances import frechet
from redoxa.generators.evaluate.values import share
from redoxa.generators.training.loop import TrainConfig

TABLES = ("mp20_train_compositions", "mp_structures", "li_electrodes")
RATES: dict[Cell, float] = {"lstm": 2e-3, "attention": 1e-3}
ANY = Condition(n_atoms=(1, 20))


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


def numbers_of(formulas: list[Formula]) -> NDArray[np.float64]:
    """Ten numbers of each formula [n,10]."""
    rows = []
    for formula in formulas:
        weights = np.array([n for _, n in formula], float) / sum(n for _, n in formula)
        table = np.array([element_numbers(z) for z, _ in formula])
        means = weights @ table
        spreads = np.sqrt(np.maximum(weights @ table**2 - means**2, 0.0))
        rows.append([*means, *spreads, len(formula), weights.max()])
    return np.array(rows)


def line(name: str, nats: str, samples: list[Formula], data: Data, cpu_s: str) -> None:
    """One row of the table."""
    learned, held_out = set(data.learned), set(data.held_out)
    novel = set(samples) - learned
    found = share(formula in held_out for formula in novel)
    interval = f"{100 * (found.value or 0):5.2f} % ({100 * (found.low or 0):.2f}-{100 * (found.high or 0):.2f})"
    neutral = sum(map(is_neutral, samples)) / len(samples)
    real = numbers_of(data.held_out)
    distance = frechet(numbers_of(samples) / real.std(0), real / real.std(0))
    count = len(held_out & novel)
    print(f"{name:20s} {nats:>16s} {count:6d} {interval:>24s} {neutral:7.3f} {distance:8.3f} {cpu_s:>12s}", flush=True)


def judge(family: Family, data: Data, n: int, seed: int, fit: bool = True, name: str = "") -> None:
    """Learn, judge and print."""
    start = time.process_time()
    if fit:
        family.fit(data.learned, seed)
    fitted = time.process_time()
    samples = family.sample(n, ANY, np.random.default_rng(SPLIT_SEED))
    sampled = time.process_time()
    nats = family.log_probability(data.held_out).nats
    known = np.isfinite(nats)
    told = f"{-nats.mean():.2f}" if known.all() else f"inf ({100 * known.mean():.1f} % known)"
    cpu_s = f"{fitted - start:.1f} + {sampled - fitted:.1f}"
    line(name or family.name, told, samples, data, cpu_s)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="samples of each")
    parser.add_argument("--steps", type=int, default=3000, help="of each network; 0 for none")
    parser.add_argument("--seed", type=int, default=0, help="of learning")
    parser.add_argument("--cells", nargs="*", choices=list(RATES), default=list(RATES))
    parser.add_argument("--families", nargs="*", choices=["simple", "rbm", "sequence"], help="all by default")
    parser.add_argument("--rbm-steps", type=int, default=RBM_STEPS, help="of the Boltzmann machine; 0 for none")
    parser.add_argument("--hidden", type=int, default=300, help="held-out formulas of which an element is hidden")
    parser.add_argument("--work", type=Path, default=Path("runs/compositions"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = shared_dir()
    if folder is None:
        parser.error("the shared crystal data is not beside the checkout")
    data = read(folder)
    header = ("family", "nats held out", "found", "of novel (95 %)", "neutral", "Frechet", "CPU s")
    print("{:20s} {:>16s} {:>6s} {:>24s} {:>7s} {:>8s} {:>12s}".format(*header))
    line("learned formulas", "", data.learned, data, "")
    line("held-out formulas", "", data.held_out, data, "")
    families = options.families or ["simple", "rbm", "sequence"]
    telling: list[Family] = []
    for family in (IndependentFamily, MixtureFamily, MarkovFamily, ExchangeFamily) if "simple" in families else ():
        judge(family(data.grammar), data, options.n, options.seed)
    if "rbm" in families and options.rbm_steps:
        config = replace(
            schedule(options.work / f"rbm-{options.rbm_steps}", options.rbm_steps, RBM.rate or 1e-3),
            clip=RBM.clip or 1.0,
        )
        telling.append(RbmFamily(data.grammar, RbmConfig(), config))
        judge(telling[-1], data, options.n, options.seed)
    for cell in options.cells if options.steps and "sequence" in families else []:
        config = schedule(options.work / f"{cell}-{options.steps}", options.steps, RATES[cell])
        network = SequenceFamily(data.grammar, NetworkConfig(cell), config)
        judge(network, data, options.n, options.seed)
        network.temperature = 0.7
        judge(network, data, options.n, options.seed, fit=False, name=f"{network.name}, T = 0.7")
        network.temperature = 1.0
        telling.append(network)
    if telling and options.hidden:
        judge_completion(telling, data, options.hidden)


if __name__ == "__main__":
    main()
