"""Formation energies from few labels: whether a code that was learned without labels helps a ridge regression.

    python -m benchmarks.few_labels                          # trains both machines first; ten minutes on one core
    python -m benchmarks.few_labels --rbm FILE               # with a trained first machine
    python -m benchmarks.few_labels --dbn FILE               # with both

Both machines learn all formulas of `benchmarks/compositions.py` but its held-out tenth, without labels. The label of a
formula is the lowest formation energy of its crystals in `mp20_train_compositions.parquet`. Labels are drawn among
learned formulas, the same for all rows; errors are those of all held-out formulas that have one. Columns of features
are scaled by all learned formulas, and kinds of features that stand side by side count alike. The strength of the ridge
is found by five-fold cross validation of the labels alone.

Baselines are the numbers of the elements (mean and spread of four properties, elements, largest share) and these with
the share of each element; the better one in the mean, for each number of labels, is what all others are compared with.
The code of random weights is that of a machine before it learns: what is better than that was brought by learning.
Differences are paired by the labels, with the 95 % interval of their mean (Student's t over seeds); the held-out
formulas are the same for all.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from scipy.stats import t as student

from benchmarks.compositions import Data, read
from redoxa.data.tables.datasets import shared_dir
from redoxa.generators.composition.boltzmann.deep import Dbn, DbnConfig, load_dbn
from redoxa.generators.composition.boltzmann.deep_training import DBN, DbnTask
from redoxa.generators.composition.boltzmann.network import Rbm, RbmConfig, load_rbm
from redoxa.generators.composition.boltzmann.training import RBM, RbmTask
from redoxa.generators.composition.grammar import Formula, formula_of
from redoxa.generators.composition.scores import formula_numbers
from redoxa.generators.training.kinds import Training
from redoxa.generators.training.loop import TrainConfig, train

Floats = NDArray[np.float64]

LABELS = (50, 100, 300, 1000)
FOLDS = 5
STRENGTHS = np.logspace(-7, 2, 28)
"""Of the ridge, by label and by the mean square of a row."""

NUMBERS, SHARES = "numbers", "numbers + shares"
ROWS: dict[str, tuple[str, ...]] = {
    NUMBERS: ("numbers",),
    SHARES: ("numbers", "shares"),
    "code of random weights": ("random",),
    "RBM code": ("rbm",),
    "DBN code (both layers)": ("rbm", "second"),
    "DBN code, second layer": ("second",),
    "numbers + shares + random code": ("numbers", "shares", "random"),
    "numbers + shares + RBM code": ("numbers", "shares", "rbm"),
    "numbers + shares + DBN code": ("numbers", "shares", "rbm", "second"),
}
"""Name -> kinds of features."""


def energies(folder: Path) -> dict[Formula, float]:
    """Formation energy of the lowest crystal of each formula, in eV/atom."""
    columns = ["atomic_numbers", "formation_energy_per_atom"]
    table = parquet.read_table(folder / "datasets" / "mp20_train_compositions.parquet", columns=columns).to_pydict()
    found: dict[Formula, float] = {}
    for numbers, energy in zip(*(table[column] for column in columns), strict=True):
        if energy is not None and math.isfinite(energy):
            formula = formula_of(dict(Counter(numbers)))
            found[formula] = min(energy, found.get(formula, math.inf))
    return found


def schedule(kind: Training, out: Path, steps: int) -> TrainConfig:
    """How a machine is trained here."""
    return TrainConfig(
        out, steps=steps, decay_steps=max(1, steps // 2), warmup_steps=min(200, steps // 3), rate=kind.rate or 1e-3,
        clip=kind.clip or 1.0, device="cpu", save_every=1000,
    )  # fmt: skip


def machines(data: Data, options: argparse.Namespace) -> Dbn:
    """Both machines, read or trained on learned formulas; what was begun is gone on with."""
    if options.dbn:
        return load_dbn(options.dbn)
    start = time.process_time()
    learned, rbm = tuple(data.learned), options.rbm
    if rbm is None:
        task = partial(RbmTask, data.grammar, learned, (), RbmConfig())
        rbm = train(task, schedule(RBM, options.work / f"rbm-{options.rbm_steps}", options.rbm_steps), resume=True)
    first = time.process_time()
    above = partial(DbnTask, load_rbm(rbm), learned, (), DbnConfig())
    dbn = train(above, schedule(DBN, options.work / f"dbn-{options.dbn_steps}", options.dbn_steps), resume=True)
    print(f"pretraining: {first - start:.0f} CPU s of the RBM, {time.process_time() - first:.0f} of the second machine")
    return load_dbn(dbn)


def features_of(formulas: list[Formula], dbn: Dbn, random: Rbm) -> dict[str, Floats]:
    """Each kind of features [n,columns]; prints what they cost."""
    slots, found = torch.from_numpy(dbn.grammar.encode(formulas)), {}
    untrained = Dbn(dbn.config, random)
    kinds = {
        "numbers": lambda: formula_numbers(formulas),
        "shares": lambda: (counts := dbn.grammar.counts(formulas)) / counts.sum(1, keepdims=True),
        "random": lambda: untrained.recognised(slots).double().numpy(),
        "rbm": lambda: dbn.recognised(slots).double().numpy(),
        "second": lambda: dbn.code(slots)[:, dbn.lower.config.hidden :].double().numpy(),
    }
    for name, make in kinds.items():
        start = time.process_time()
        found[name] = make()
        print(f"{name}: {found[name].shape[1]} columns, {time.process_time() - start:.2f} CPU s of all formulas")
    return found


def scaled(features: Floats, learned: int) -> Floats:
    """Columns of mean 0 over the first rows, and rows of mean square 1; what never varies there is left out."""
    spread = features[:learned].std(0)
    kept = spread > 1e-9
    return (features[:, kept] - features[:learned, kept].mean(0)) / spread[kept] / math.sqrt(kept.sum())


def ridge(known: Floats, labels: Floats, asked: Floats, strengths: Floats) -> Floats:
    """Predictions for rows asked for, at each strength [strengths,n]."""
    middle, mean = known.mean(0), labels.mean()
    u, s, v = np.linalg.svd(known - middle, full_matrices=False)
    inside, outside = u.T @ (labels - mean), (asked - middle) @ v.T
    weights = s * inside / (s**2 + strengths[:, None] * len(labels) * np.mean(np.sum(known**2, 1)))
    return np.asarray(weights @ outside.T + mean)


def strength_of(known: Floats, labels: Floats, rng: np.random.Generator) -> Floats:
    """The strength of the least error in cross validation [1]."""
    folds, errors = rng.permutation(len(labels)) % FOLDS, np.zeros(len(STRENGTHS))
    for fold in range(FOLDS):
        out = folds == fold
        errors += np.square(ridge(known[~out], labels[~out], known[out], STRENGTHS) - labels[out]).sum(1)
    return STRENGTHS[[int(errors.argmin())]]


def difference(one: Floats, other: Floats) -> str:
    """Mean of the paired differences, and its 95 % interval."""
    apart = one - other
    half = float(student.ppf(0.975, len(apart) - 1)) * apart.std(ddof=1) / math.sqrt(len(apart))
    return f"{apart.mean():+.3f} ({apart.mean() - half:+.3f} to {apart.mean() + half:+.3f})"


def judge(features: dict[str, Floats], labels: Floats, learned: Floats, held: Floats, n: int, seeds: int) -> None:
    """Rows of the table with n labels; `learned` and `held` are the rows of formulas that have one."""
    errors: dict[str, list[float]] = {name: [] for name in ROWS}
    spent = dict.fromkeys(ROWS, 0.0)
    for seed in range(seeds):
        some = np.random.default_rng(seed).choice(learned, n, replace=False)
        for name, kinds in ROWS.items():
            start, table = time.process_time(), np.hstack([features[kind] for kind in kinds])
            strength = strength_of(table[some], labels[some], np.random.default_rng(seed))
            told = ridge(table[some], labels[some], table[held], strength)[0]
            errors[name].append(float(np.sqrt(np.mean((told - labels[held]) ** 2))))
            spent[name] += (time.process_time() - start) / seeds
    arrays = {name: np.array(values) for name, values in errors.items()}
    baseline = min((NUMBERS, SHARES), key=lambda name: float(arrays[name].mean()))
    for name, values in arrays.items():
        told = f"{values.mean():.3f} +- {values.std(ddof=1):.3f}"
        apart = "the baseline" if name == baseline else difference(values, arrays[baseline])
        print(f"{n:6d}  {name:32s} {told:>16s}  {apart:>28s} {spent[name]:8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rbm", type=Path, help="weights of the first machine, of learned formulas alone")
    parser.add_argument("--dbn", type=Path, help="weights of both")
    parser.add_argument("--rbm-steps", type=int, default=RBM.steps)
    parser.add_argument("--dbn-steps", type=int, default=DBN.steps)
    parser.add_argument("--labels", type=int, nargs="*", default=LABELS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/few-labels"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = shared_dir()
    if folder is None:
        parser.error("the shared crystal data is not beside the checkout")
    data, known = read(folder), energies(folder)
    dbn = machines(data, options)
    if dbn.grammar != data.grammar:
        parser.error("these weights are of other formulas")
    torch.manual_seed(0)
    random = Rbm(dbn.lower.config, data.grammar)
    formulas = [*data.learned, *data.held_out]
    features = {n: scaled(x, len(data.learned)) for n, x in features_of(formulas, dbn, random).items()}
    labels = np.array([known.get(formula, math.nan) for formula in formulas])
    rows = np.flatnonzero(np.isfinite(labels))
    learned, held = rows[rows < len(data.learned)], rows[rows >= len(data.learned)]
    print(f"{len(learned):,} formulas with a label to draw from, {len(held):,} to judge by; these spread by", end=" ")
    print(f"{labels[held].std():.3f} eV/atom\n")
    print(f"{'labels':>6s}  {'features':32s} {'RMSE, eV/atom':>16s}  {'less the baseline (95 %)':>28s} {'CPU s':>8s}")
    for n in options.labels:
        judge(features, labels, learned, held, n, options.seeds)


if __name__ == "__main__":
    main()
