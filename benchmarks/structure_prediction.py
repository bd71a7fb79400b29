"""Structure prediction on crystals that neither the memory nor the networks have seen: `template` beside `orbits`.

    python benchmarks/structure_prediction.py                      # 1,000 crystals held out at random
    python benchmarks/structure_prediction.py --split formula      # ... and no other phase of their formula known

Of the shared crystals of at most 20 atoms some are held out; the templates that they relax to (by fingerprint) leave
the table, for the split by formula all templates of their formulas do. Both networks are trained anew on what is left.

Of each generator, with 95 % intervals and how many crystals they rest on: (a) the match rate of its first answers;
(b) that of crystals whose formula the memory does not hold; (c) METRe where several crystals held out have one content
and do not match one another: each counts where any of as many answers matches it. (d) is (a) of `orbits` without
energies, a row of its own. Then match rates of even and of odd places (constants were tuned on the even ones of the
random split), RMSE over matches, seconds of processor time, workers included; then misses by size and by chemistry.

What was done is kept in `--work`: networks, and whatever was relaxed, so that a killed run goes on. Fewer `--steps`
and `--queries` train the networks faster and less well.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from redoxa.data.fingerprint import SAME_UNRELAXED, distance, fingerprint
from redoxa.data.processor_time import processor_s
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal, content_hash
from redoxa.data.symmetry.skeletons import TemplateTable, load_templates, write_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.tables.datasets import shared_dir, split_by_formula
from redoxa.generators.base import CellContent, Generator, Relaxed
from redoxa.generators.evaluate.answers import ask
from redoxa.generators.evaluate.matching import Prediction, compare, match_values
from redoxa.generators.evaluate.values import Value, share
from redoxa.generators.exchange.template import TemplateGenerator
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.generators.orbits.judge_training import JudgeConfig
from redoxa.generators.orbits.training import decorator_config, train_orbits
from redoxa.screening.tables.tasks import dataset_tasks
from redoxa.screening.workers.pool import available_cores, relax_many

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


Key = tuple[tuple[int, int], ...]
"""A content, sorted."""


def content_key(content: CellContent) -> Key:
    return tuple(sorted(content.items()))


def formula_key(content: Mapping[int, int]) -> Key:
    """The reduced formula of a content."""
    divisor = math.gcd(*content.values())
    return tuple(sorted((z, count // divisor) for z, count in content.items()))


@dataclass(frozen=True)
class HeldOut:
    """Crystals held out, and what is asked of them.

    Attributes:
        truths: the crystals.
        unknown: whether the memory holds nothing of the formula of each.
        polymorphs: places of those that share one content and do not match one another, where there are several.
    """

    truths: Sequence[Crystal]
    unknown: list[bool]
    polymorphs: list[list[int]]

    @classmethod
    def of(cls, truths: Sequence[Crystal], memory: TemplateTable) -> HeldOut:
        """What a memory does not hold is looked up by reduced formula."""
        known = {formula_key({int(z): int(row[z]) for z in np.flatnonzero(row)}) for row in memory.compositions}
        by_content: dict[Key, list[int]] = defaultdict(list)
        for place, crystal in enumerate(truths):
            by_content[content_key(Counter(crystal.numbers))].append(place)
        unlike = [different(truths, places) for places in by_content.values() if len(places) > 1]
        unknown = [formula_key(Counter(crystal.numbers)) not in known for crystal in truths]
        return cls(truths, unknown, [places for places in unlike if len(places) > 1])


def different(truths: Sequence[Crystal], places: Iterable[int]) -> list[int]:
    """Places of the crystals that match none before them."""
    kept: list[int] = []
    for place in places:
        (against,) = compare([truths[place]], [[truths[other] for other in kept]])
        if against.at(len(kept)) is None:
            kept.append(place)
    return kept


def numbers_of(predictions: Sequence[Prediction], held: HeldOut) -> dict[str, Value]:
    """The three numbers of one generator, with their intervals."""
    first = [p.at(1) is not None for p in predictions]
    return {
        "(a) match@1, all": share(first),
        "(b) match@1, formula not in the memory": share(
            hit for hit, unknown in zip(first, held.unknown, strict=True) if unknown
        ),
        "(c) METRe, several polymorphs held out": share(
            predictions[place].at(len(places)) is not None for places in held.polymorphs for place in places
        ),
    }


@dataclass
class KeptRelaxer:
    """A `generators.base.Relaxer` on worker processes that keeps what it relaxed in a file, a line each.

    Attributes:
        file: lines of JSON; those of a killed run are used.
        spared_s: processor time of what was asked for and had been relaxed by an earlier run.
    """

    file: Path
    spared_s: float = 0.0
    _known: dict[str, Relaxed | None] = field(default_factory=dict)
    _earlier_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.file.exists():
            return
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("}\n")]  # the last may have been cut short by a kill
        self.file.write_text("".join(whole), encoding="utf-8")
        for row in map(json.loads, whole):
            energy = row["energy_eV_per_atom"]
            found = None if energy is None else Relaxed(Crystal.model_validate(row["crystal"]), energy)
            self._known[row["form"]], self._earlier_s[row["form"]] = found, row["processor_s"]

    def __call__(self, forms: Sequence[SymmetricCrystal], on_step: OnStep | None = None) -> list[Relaxed | None]:
        """One answer a form, in order; None where the potential finds no crystal."""
        keys = [content_hash(asdict(form)) for form in forms]
        self.spared_s += sum(self._earlier_s.pop(key, 0.0) for key in keys)  # what is asked for again costs nothing
        missing = {key: form for key, form in zip(keys, forms, strict=True) if key not in self._known}
        if missing:
            self._relax(missing)
        if on_step is not None:
            on_step(len(forms), len(forms))
        return [self._known[key] for key in keys]

    def _relax(self, missing: Mapping[str, SymmetricCrystal]) -> None:
        order = list(missing)
        with self.file.open("a", encoding="utf-8") as sink:
            for index, finished in relax_many(list(missing.values())):
                done = finished.relaxation
                relaxed = None if done is None else Relaxed(done.crystal, done.energy_eV_per_atom)
                self._known[order[index]] = relaxed
                if finished.died:
                    continue  # another run may have more memory
                row = {
                    "form": order[index],
                    "processor_s": 0.0 if done is None else done.seconds,
                    "energy_eV_per_atom": None if relaxed is None else relaxed.energy_eV_per_atom,
                    "crystal": None if relaxed is None else relaxed.crystal.model_dump(mode="json"),
                }
                sink.write(json.dumps(row) + "\n")
                sink.flush()


def report(name: str, generator: Generator, held: HeldOut, relaxer: KeptRelaxer | None = None) -> None:
    """Ask for each content, as often as `ANSWERS` or as there are truths of it, and print what came of it."""
    started = processor_s()
    contents = Counter(content_key(Counter(crystal.numbers)) for crystal in held.truths)
    found = ask(generator, [(dict(key), max(ANSWERS, count)) for key, count in contents.items()], 0)
    spent_s = processor_s() - started + (relaxer.spared_s if relaxer is not None else 0.0)
    answers = dict(zip(contents, ([crystal for crystal, _ in given] for given in found), strict=True))
    predictions = compare(held.truths, [answers[content_key(Counter(crystal.numbers))] for crystal in held.truths])
    cells = []
    for part in (predictions[::2], predictions[1::2]):
        values = match_values(part, ANSWERS)
        cells += [values[f"match_at_{depth}"].value or 0.0 for depth in (1, ANSWERS)]
    rmse = match_values(predictions, 1)["rmse_at_1"].value or 0.0
    print(f"{name:24s}" + "".join(f"{cell:9.3f}" for cell in (*cells, rmse)) + f"{spent_s:12.0f}", flush=True)
    for what, value in numbers_of(predictions, held).items():
        print(f"    {what:46s}{in_words(value)}", flush=True)
    report_misses(predictions)


def in_words(value: Value) -> str:
    """A share with its 95 % interval, and of how many crystals it is one."""
    if value.value is None:
        return "no such crystals"
    return f"{value.value:9.3f} ({value.low:.3f} to {value.high:.3f}) of {value.of}"


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
    held = HeldOut.of(truths, load_templates(table))
    print(f"{len(truths)} crystals held out ({options.split}), {left_out} templates left out; {ANSWERS} answers each")
    heads = "".join(f"{head:>9s}" for head in ("even @1", "@5", "odd @1", "@5", "RMSE"))
    print(f"{'':24s}{heads}{'processor s':>12s}")
    report("template", TemplateGenerator(table), held)
    orbits = OrbitsGenerator(weights, table)
    report("(d) orbits, no energies", orbits, held)
    orbits.relaxer = relaxer = KeptRelaxer(work / "relaxed.jsonl")
    report("orbits", orbits, held, relaxer)


if __name__ == "__main__":
    main()
