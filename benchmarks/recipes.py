"""How many generated targets get a recipe, why the others get none, and that no rule refuses what is planned.

Usage: python -m benchmarks.recipes [-n 5000] [--out runs/benchmarks/recipes.md]

Crystals of five generators, each with one of six working ions inside, half of them in the elements of the default
campaign, go through the planner with the laboratory that is assumed where none is described. Every synthesis is put
into a whole request with its crystal, and all safety rules are asked. What a rule refuses then is a fault of the
planner: the count must be 0.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from redoxa.data.errors import CanBeBoughtError, GenerationError, NoPrecursorError, RedoxaError
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Crystal, Estimate, WorkingIon, reduced_formula
from redoxa.data.whole import whole
from redoxa.generators.base import generator_class
from redoxa.pipeline.campaign.spec import Chemistry
from redoxa.pipeline.tasks.generate_options import GenerateOptions
from redoxa.pipeline.tasks.sampling import drawn
from redoxa.robotics.planning.recipe import plan_recipe
from redoxa.robotics.safety.check import check

GENERATORS = ("template", "substitution", "orbits", "vae", "flow")
IONS: tuple[WorkingIon, ...] = ("Li", "Na", "K", "Mg", "Ca", "Zn")
VOLTAGE = Estimate(value=2.0, sigma=0.1, unit="V", method="assumed, for the cell", model="none")
"""Every electrolyte stands it: the question here is the powder."""


def targets(n: int) -> Iterator[tuple[str, WorkingIon, Crystal]]:
    """Generator, working ion and crystal, in equal shares; what a generator cannot give is told and left out."""
    masks = (None, ",".join(Chemistry().allowed))
    share = -(-n // (len(GENERATORS) * len(IONS) * len(masks)))
    for name in GENERATORS:
        generator = generator_class(name)(None)
        for seed, ion in enumerate(IONS):
            for mask in masks:
                request = GenerateOptions.read(
                    n=share, elements=mask and f"{mask},{ion}", require=ion, formula=None, compositions=None,
                    max_atoms=None, charge_neutral=True,
                )  # fmt: skip
                try:
                    for found in drawn(generator, share, request.condition, seed, lambda *_: None):
                        yield name, ion, found.crystal
                except GenerationError as error:
                    print(f"{name}, {ion}, {'all elements' if mask is None else 'elements of the campaign'}: {error}")


def outcome(ion: WorkingIon, crystal: Crystal) -> tuple[str, str]:
    """What became of a target, in a few words, and what stood in the way."""
    formula = reduced_formula(crystal.composition)
    predictions = {"average_voltage": VOLTAGE}
    try:
        recipe = plan_recipe(crystal, ion, predictions, 1.0)
    except CanBeBoughtError:
        return "bought, not made", ""
    except NoPrecursorError as error:
        return "an element has no precursor", " ".join(error.elements)
    except RedoxaError as error:
        rules = sorted(set(re.findall(r"\bS\d{3}\b", str(error))))
        if rules:
            return "every route is refused", " ".join(rules)
        return ("holds hydrogen" if "hydrogen" in str(error) else "no set of precursors balances"), ""
    request = ExperimentRequest(
        campaign="benchmark", round=0, candidate_id=formula, formula=formula, working_ion=ion, crystal=crystal,
        recipe=recipe, predictions=predictions, why="benchmark",
    )  # fmt: skip
    refused = [f"{finding.rule} {finding.text}" for finding in check(request) if not finding.ok]
    return ("REFUSED AFTER PLANNING", f"{formula}: {'; '.join(refused)}") if refused else ("planned", "")


def table(n: int) -> str:
    """Outcomes by generator as a Markdown table, and what stood in the way most often."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in GENERATORS}
    reasons: dict[str, Counter[str]] = {}
    seconds = 0.0
    for name, ion, crystal in targets(n):
        start = time.process_time()
        what, why = outcome(ion, crystal)
        seconds += time.process_time() - start
        counts[name][what] += 1
        if why:
            reasons.setdefault(what, Counter())[why] += 1
    total = sum(counts.values(), Counter())
    number = sum(total.values())
    lines = [
        f"{number} targets, {1e3 * seconds / number:.0f} ms of processor time each",
        "",
        f"| outcome | all | share | {' | '.join(GENERATORS)} |",
        f"|---|---|---|{'---|' * len(GENERATORS)}",
    ]
    for what, count in total.most_common():
        cells = " | ".join(str(counts[name][what]) for name in GENERATORS)
        lines.append(f"| {what} | {count} | {100 * count / number:.1f} % | {cells} |")
    for what, found in sorted(reasons.items()):
        lines += ["", f"{what}: " + ", ".join(f"{why} ({k})" for why, k in found.most_common(12))]
    refused = total["REFUSED AFTER PLANNING"]
    return "\n".join([*lines, "", f"planned, and refused by a rule afterwards: {refused}"])


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = table(options.n)
    print(text)
    if options.out is not None:
        with whole(options.out) as part:
            part.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
