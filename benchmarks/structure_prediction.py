"""Structure prediction on crystals that neither the memory nor the networks have seen: `template` beside `orbits`.

    python benchmarks/structure_prediction.py                      # 1,000 crystals held out at random
    python benchmarks/structure_prediction.py --split formula      # ... and no other phase of their formula known

Of the shared crystals of at most 20 atoms some are held out; the templates that they relax to (by fingerprint) leave
the table, for the split by formula all templates of their formulas do. Both networks are trained anew on what is left.
One line a generator: match rates of all, of those with odd and of those with even places (constants were tuned on the
even ones of the random split), RMSE over matches, wall seconds; below it the misses by size and by chemistry. What was
done is kept in `--work`; fewer `--steps` and `--queries` train the networks faster and less well.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redoxa.data.fingerprint import SAME_UNRELAXED, distance, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import load_templates, write_templates
from redoxa.data.tables.datasets import shared_dir, split_by_formula
from redoxa.generators.base import Generator
from redoxa.generators.evaluate.answers import ask
from redoxa.generators.evaluate.matching import Prediction, compare, match_values
from redoxa.generators.exchange.template import TemplateGenerator
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.orbits.judge_training import JudgeConfig
from redoxa.generators.orbits.training import decorator_config, train_orbits
from redoxa.pipeline.tasks.relaxer import SymmetricRelaxer
from redoxa.screening.tables.tasks import dataset_tasks
from redoxa.screening.workers.pool import available_cores

ANSWERS = 5

STEPS = 6000
"""Of the network that puts elements on orbits, as for the weights that ship."""

CLASSES = {
    "halides": {9, 17, 35, 53},
    "oxides": {8},
    "chalcogenides": {16, 34, 52},
    "hydrides, carbides, nitrides, phosphides": {1, 6, 7, 15},
}
"""Chemistry by the first of these sets that holds an element of the crystal, whatever else it holds."""


def held_out(n: int, split: str, seed: int) -> list[Crystal]:
    """Crystals of at most 20 atoms, drawn from the shared ones."""
    shared = shared_dir()
    if shared is None:
        raise SystemExit("the shared crystals are not here (REDOXA_SHARED names their folder)")
    tasks = dataset_tasks(shared / "datasets" / "mp_structures.parquet")
    crystals = [task.crystal for task in tasks if task.crystal.n_atoms <= 20]
    if split == "formula":
        chosen = np.flatnonzero(split_by_formula([c.formula for c in crystals], n, seed))
    else:
        chosen = np.random.default_rng(seed).permutation(len(crystals))[:n]
    return [crystals[int(i)] for i in chosen]


def write_rest(path: Path, crystals: Sequence[Crystal], split: str) -> int:
    """Write the templates without those of the crystals; returns how many were left out."""
    by_formula: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in crystals:
        by_formula[crystal.formula].append(crystal)
    kept, left_out = [], 0
    for template in load_templates():
        crystal = template.form.to_crystal()
        same = by_formula.get(crystal.formula, [])
        if same and split != "formula":
            mark = fingerprint(crystal)
            same = [c for c in same if distance(fingerprint(c), mark) < SAME_UNRELAXED]
        left_out += bool(same)
        if not same:
            kept.append(template)
    write_templates(path, kept)
    return left_out


def report(name: str, generator: Generator, truths: Sequence[Crystal]) -> None:
    """Ask for each content, as often as `ANSWERS` or as there are truths of it, and print a line."""
    started = time.perf_counter()
    contents = Counter(tuple(sorted(Counter(crystal.numbers).items())) for crystal in truths)
    found = ask(generator, [(dict(key), ANSWERS) for key in contents], 0)
    wall_s = time.perf_counter() - started
    answers = dict(zip(contents, ([crystal for crystal, _ in given] for given in found), strict=True))
    ordered = [answers[tuple(sorted(Counter(crystal.numbers).items()))] for crystal in truths]
    predictions = compare(truths, ordered)
    cells = []
    for part in (predictions, predictions[::2], predictions[1::2]):
        values = match_values(part, ANSWERS)
        cells += [values[f"match_at_{depth}"].value or 0.0 for depth in (1, ANSWERS)]
    rmse = match_values(predictions, 1)["rmse_at_1"].value or 0.0
    print(f"{name:24s}" + "".join(f"{cell:9.3f}" for cell in (*cells, rmse)) + f"{wall_s:9.0f}", flush=True)
    report_misses(predictions)


def chemistry(crystal: Crystal) -> str:
    """The class of a crystal; what holds no element of any class is an intermetallic."""
    return next((name for name, anions in CLASSES.items() if anions & set(crystal.numbers)), "intermetallics")


def report_misses(predictions: Sequence[Prediction]) -> None:
    """Print the share of misses, by first and by any answer, of each size and each class."""
    sizes = ((1, 5), (6, 10), (11, 15), (16, 20))
    groups = {f"{a} to {b} atoms": [p for p in predictions if a <= p.truth.n_atoms <= b] for a, b in sizes}
    groups |= {name: [p for p in predictions if chemistry(p.truth) == name] for name in (*CLASSES, "intermetallics")}
    for name, part in groups.items():
        if part:
            missed = [sum(p.at(depth) is None for p in part) / len(part) for depth in (1, ANSWERS)]
            print(f"    missed: {name:42s}{len(part):6d}{missed[0]:9.3f}{missed[1]:9.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000, help="crystals held out")
    parser.add_argument("--split", choices=("random", "formula"), default="random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the network that puts elements on orbits")
    parser.add_argument("--queries", type=int, default=JudgeConfig().queries, help="templates that the judge learns on")
    parser.add_argument("--work", type=Path, default=Path("runs/structure_prediction"))
    options = parser.parse_args()
    work = options.work / f"{options.split}-{options.n}-{options.seed}"
    work.mkdir(parents=True, exist_ok=True)
    truths = held_out(options.n, options.split, options.seed)
    table = work / "templates.parquet"
    left_out = write_rest(table, truths, options.split)
    config = decorator_config(work, options.steps, options.seed)
    judge = JudgeConfig(queries=options.queries)
    weights, _ = train_orbits(config, judge, table, available_cores(), lambda _: None, lambda *_: None)
    print(f"{len(truths)} crystals held out ({options.split}), {left_out} templates left out; {ANSWERS} answers each")
    print(f"{'':24s}" + "".join(f"{h:>9s}" for h in ("@1", "@5", "even @1", "@5", "odd @1", "@5", "RMSE", "wall s")))
    report("template", TemplateGenerator(table), truths)
    orbits = OrbitsGenerator(weights, table)
    report("orbits, no energies", orbits, truths)
    orbits.relaxer = SymmetricRelaxer()
    report("orbits", orbits, truths)


if __name__ == "__main__":
    main()
