"""Self-training against the same budget without it: what each round of `orbits` gives.

    python benchmarks/self_training.py                     # two rounds of 150, a final sample of 200, two arms
    python benchmarks/self_training.py --seed 1

Li with Fe, Mn, Co, Ni, V, Ti, P, O, F, S, charge-neutral, at most 20 atoms. Both arms draw the same first round;
neither draws a crystal again that it drew before. Crystals are relaxed within their symmetry; of the final samples,
`--full` that count are relaxed with all atoms free as well. Everything is kept in `--work`, so that it goes on.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from redoxa.generators.evaluate.values import share
from redoxa.generators.orbits.self_training import FineTuning
from redoxa.pipeline.commands.self_train import print_rounds
from redoxa.pipeline.evaluate.relaxation import relax_all
from redoxa.pipeline.self_training.files import write_outcome
from redoxa.pipeline.self_training.loop import Outcome, Plan, self_train
from redoxa.pipeline.self_training.rows import Found
from redoxa.pipeline.tasks.generate_options import GenerateOptions

ELEMENTS = "Li,Fe,Mn,Co,Ni,V,Ti,P,O,F,S"


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def arm(name: str, tuning: FineTuning | None, options: argparse.Namespace) -> Outcome:
    """One arm: all rounds, and its table on stdout."""
    condition = GenerateOptions.read(
        n=1, elements=ELEMENTS, require="Li", formula=None, compositions=None, max_atoms=20, charge_neutral=True
    ).condition
    out = options.work / f"{name}-{options.seed}"
    plan = Plan(2, options.n, options.final, condition, 0.1, tuning, False, None, out, options.seed, 1)
    outcome = self_train(plan, quiet)
    write_outcome(plan, outcome)
    print(f"\n{name}")
    print_rounds(outcome, as_json=False)
    return outcome


def confirm(name: str, found: list[Found], options: argparse.Namespace) -> None:
    """How many of the near crystals are near with all atoms free."""
    some = [one for one in found if one.msun and one.relaxed is not None][: options.full]
    if not some:
        return
    ended = relax_all([one.relaxed for one in some if one.relaxed], options.work / "full", 1, lambda *_: None)
    drops = [
        (one.energy_eV_per_atom or 0.0) - end.relaxation.energy_eV_per_atom
        for one, end in zip(some, ended, strict=True)
        if end.relaxation is not None and end.relaxation.converged
    ]
    drops.sort()
    middle, most, many = 1000 * drops[len(drops) // 2], 1000 * drops[-1], sum(drop > 0.02 for drop in drops)
    print(
        f"{name}: {len(drops)} of {len(some)} converge with all atoms free; the energy falls by {middle:.1f} meV/atom"
    )
    print(f"(median), {most:.0f} at most, in {many} by more than 20")


def compare(learned: list[Found], control: list[Found]) -> None:
    """Differences of shares between two samples, with standard errors."""
    tests = {
        "near": lambda one: one.near,
        "near, full phase": lambda one: one.near and one.full_phases > 0,
        "within 0.03": lambda one: one.above_hull_eV_per_atom is not None and one.above_hull_eV_per_atom <= 0.03,
        "unique": lambda one: one.unique,
        "M.S.U.N.": lambda one: one.msun,
        "M.S.U.N. with a full phase": lambda one: one.kept,
    }
    for name, test in tests.items():
        a, b = share(map(test, learned)), share(map(test, control))
        p, q = a.value or 0.0, b.value or 0.0
        error = math.sqrt(p * (1 - p) / max(a.of, 1) + q * (1 - q) / max(b.of, 1))
        print(f"{name:28s} learned {p:.3f}  control {q:.3f}  difference {p - q:+.3f} +- {error:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=150, help="crystals of a round")
    parser.add_argument("--final", type=int, default=200)
    parser.add_argument("--full", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=FineTuning().rate)
    parser.add_argument("--steps", type=int, default=FineTuning().steps)
    parser.add_argument("--share", type=float, default=FineTuning().share)
    parser.add_argument("--work", type=Path, default=Path("runs/self_training"))
    options = parser.parse_args()
    tuning = FineTuning(options.steps, options.rate, options.share)
    learned, control = arm("learned", tuning, options), arm("control", None, options)
    for title, rounds in (("\nrounds after the first learning", slice(1, None)), ("\nfinal sample", slice(2, None))):
        print(title)
        compare(*([one for found in outcome.found[rounds] for one in found] for outcome in (learned, control)))
    for name, outcome in (("learned", learned), ("control", control)):
        hits = sum(one.msun for found in outcome.found for one in found)
        spent = sum(sum(cost.values()) for cost in outcome.cpu_s)
        print(f"{name}: {hits} unique novel near crystals in {spent:.0f} CPU s, {60 * hits / spent:.1f} a CPU minute")
        confirm(name, outcome.found[-1], options)
    (options.work / "done.json").write_text(json.dumps(vars(options), default=str))


if __name__ == "__main__":
    main()
