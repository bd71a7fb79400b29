"""How many good new crystals a second of processor time gives, by every generator, and before and after what helps.

    python benchmarks/yield.py                                          # open chemistry, three seeds, all generators
    python benchmarks/yield.py orbits --require Li --elements Li,Fe,Mn,Co,Ni,V,Ti,P,O,F,S
    python benchmarks/yield.py orbits template composition --together   # and all of them as one source
    python benchmarks/yield.py orbits --shake                           # how many of the good ones lie on saddles

One refusal for all (known formulas, and what repeats an earlier sample, are drawn again), the first samples relaxed by
CHGNet to 0.05 eV/A. Counted are M.S.U.N. (converged, unique, novel, at most 0.1 eV/atom above the hull of the phases
that ship), those of a system with a phase of all their elements, and of these the families of formulas (every
transition metal written M) that no known material has, each once. Seconds are processor time of drawing, refused draws
included, and of relaxation. What is done is kept in `--work`, so that a killed run goes on.

With `--shake` the M.S.U.N. of the first source are relaxed on, all atoms free, to 0.01 eV/A: once as they are, and once
after every atom was moved by normal numbers of 0.05 A. What then lies lower was no minimum but a saddle.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterials, load_known_materials
from redoxa.data.tables.reference import load_reference
from redoxa.data.whole import whole
from redoxa.generators import GENERATORS
from redoxa.generators.base import Condition, Generator, generator_class, make_generator
from redoxa.generators.evaluate.families import Families, family
from redoxa.generators.evaluate.table import Sample
from redoxa.generators.evaluate.values import wilson
from redoxa.pipeline.evaluate.relaxation import relax_all
from redoxa.pipeline.evaluate.sources import Drawer, Source
from redoxa.pipeline.evaluate.stability import relaxed_rows
from redoxa.pipeline.tasks.generate_options import GenerateOptions
from redoxa.screening.compute.relax import RelaxSettings
from redoxa.screening.physics.hulls import Hulls

WAYS = {"free": RelaxSettings(symmetry_first=False), "symmetry first": RelaxSettings()}
"""How crystals are relaxed: all atoms free at once, or within the symmetry before."""

FINE = RelaxSettings(fmax_eV_A=0.01, max_steps=1000, symmetry_first=False)
SHAKEN_A = 0.05
LOWER_eV_PER_ATOM = (0.002, 0.01)

TOGETHER = "together"

BEST_OF = "orbits, best of 2"
"""Twice as many are drawn, and the half kept that the energy model puts nearest to the hull."""


@dataclass(frozen=True)
class Gated(Source):
    """`orbits` that chooses."""

    def generator(self) -> Generator:
        """See `Source`."""
        return make_generator(generator_class("orbits"), best_of=2)


@dataclass(frozen=True)
class Yield:
    """What the relaxed samples of one seed gave, and their processor time."""

    relaxed: int
    msun: int
    full: int
    families: int
    draw_s: float
    relax_s: float
    good: list[Crystal]
    """The M.S.U.N. ones, relaxed."""

    def rate(self, what: str) -> float:
        """Hits in a thousand seconds."""
        return 1000 * int(getattr(self, what)) / (self.draw_s + self.relax_s)


class Judge:
    """Relaxes and counts."""

    def __init__(self, work: Path, relax: int) -> None:
        self.work, self.relax = work, relax
        self.known: KnownMaterials = load_known_materials()
        self.hulls, self.families = Hulls(load_reference()), Families(self.known)

    def drawn(self, source: Source, condition: Condition, n: int, seed: int) -> tuple[list[Sample], float]:
        """The first samples, and what drawing them cost."""
        folder = self.work / "best-of-2" if isinstance(source, Gated) else self.work
        drawn = Drawer(folder, seed, self.known).draw(source, n, condition, lambda *_: None)
        first = list(drawn.samples[: self.relax])
        return first, (drawn.cpu_s or 0.0) * len(first) / max(len(drawn.samples), 1)

    def count(self, samples: Sequence[Sample], draw_s: float, way: str) -> Yield:
        """Relax in one way, and count."""
        crystals = [one.crystal for one in samples if one.crystal is not None]
        ended = iter(relax_all(crystals, self.work / way.replace(" ", "-"), 1, lambda *_: None, WAYS[way]))
        outcomes = [next(ended) if one.crystal is not None else None for one in samples]
        rows = relaxed_rows(samples, outcomes, self.hulls, self.known)
        pairs = [
            (one.relaxation.crystal, row) for one, row in zip(outcomes, rows, strict=True) if one and one.relaxation
        ]
        good = [crystal for crystal, row in pairs if row.msun]
        full = [crystal for crystal, row in pairs if row.msun and row.hull_phases_full]
        new = {family(crystal.composition) for crystal in full if not self.families.knows(crystal.composition)}
        seconds = sum(row.relax_seconds for row in rows)
        return Yield(len(samples), len(good), len(full), len(new), draw_s, seconds, good)

    def drops_eV_per_atom(self, good: Sequence[Crystal]) -> list[float]:
        """How much lower each lies after it was shaken; what does not converge says nothing."""
        rng = np.random.default_rng(20261130)
        pairs = [one for crystal in good for one in (crystal, shaken(crystal, rng))]
        ended = [one.relaxation for one in relax_all(pairs, self.work / "shaken", 1, lambda *_: None, FINE)]
        return [
            (a.energy_eV - b.energy_eV) / a.crystal.n_atoms
            for a, b in zip(ended[::2], ended[1::2], strict=True)
            if a is not None and b is not None and a.converged and b.converged
        ]


def shaken(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """With every atom moved."""
    moved = rng.normal(0, SHAKEN_A, (crystal.n_atoms, 3)) @ np.linalg.inv(np.array(crystal.lattice_A))
    return Crystal(
        numbers=crystal.numbers, frac_coords=(np.array(crystal.frac_coords) + moved).tolist(),
        lattice_A=crystal.lattice_A,
    )  # fmt: skip


def told(values: Sequence[float], digits: int = 0) -> str:
    """Mean and standard deviation over seeds."""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def table(found: dict[tuple[str, str], list[Yield]]) -> str:
    """One row a source and way."""
    lines = [
        "| source | relaxed | M.S.U.N. of relaxed | draw (s) | relax (s) "
        "| M.S.U.N. in 1000 s | full phase | new families | ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (source, way), yields in found.items():
        before = found.get((source, next(iter(WAYS))), yields)
        ratio = [a.rate("msun") / b.rate("msun") for a, b in zip(yields, before, strict=True) if b.msun]
        share = [one.msun / one.relaxed for one in yields]
        costs = [[getattr(one, part) / one.relaxed for one in yields] for part in ("draw_s", "relax_s")]
        rates = [[one.rate(what) for one in yields] for what in ("msun", "full", "families")]
        cells = [told(share, 2), *(told(cost, 3) for cost in costs), *map(told, rates), told(ratio, 2) if ratio else ""]
        lines.append(f"| {source} | {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def saddles(judge: Judge, found: dict[tuple[str, str], list[Yield]], source: str) -> str:
    """One row a way of relaxing: what lies lower by more than a limit once it was shaken, with 95 % intervals."""
    heads = " | ".join(f"lower by {1000 * limit:g} meV/atom" for limit in LOWER_eV_PER_ATOM)
    lines = [f"| {source} | M.S.U.N. | converged | {heads} | largest (meV/atom) |", "|---|---:|---:|---:|---:|---:|"]
    for way in WAYS:
        good = [crystal for one in found[source, way] for crystal in one.good]
        drops = np.array(judge.drops_eV_per_atom(good))
        cells = []
        for limit in LOWER_eV_PER_ATOM:
            count = int((drops > limit).sum())
            low, high = wilson(count, len(drops))
            cells.append(f"{count / len(drops):.2f} ({low:.2f}-{high:.2f})")
        lines.append(f"| {way} | {len(good)} | {len(drops)} | {' | '.join(cells)} | {1000 * drops.max():.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=[*GENERATORS, BEST_OF], help="as `redoxa evaluate` takes them")
    parser.add_argument("-n", type=int, default=40, help="samples of each source and seed")
    parser.add_argument("--relax", type=int, default=30, help="of these that are relaxed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--elements", default="")
    parser.add_argument("--require", default="")
    parser.add_argument("--together", action="store_true", help="all sources as one, besides")
    parser.add_argument("--shake", action="store_true", help="the good ones of the first source, besides")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/yield"))
    options = parser.parse_args()
    condition = GenerateOptions.read(
        n=1, elements=options.elements or None, require=options.require or None, formula=None, compositions=None,
        max_atoms=20, charge_neutral=bool(options.require),
    ).condition  # fmt: skip
    judge = Judge(options.work, options.relax)
    found: dict[tuple[str, str], list[Yield]] = {}
    pooled: list[tuple[list[Sample], float]] = [([], 0.0) for _ in range(options.seeds)]
    for name in options.sources:
        source = Gated(name, "orbits", None) if name == BEST_OF else Source.parse(name)
        drawn = [judge.drawn(source, condition, options.n, seed) for seed in range(options.seeds)]
        pooled = [(a + b, s + t) for (a, s), (b, t) in zip(pooled, drawn, strict=True)]
        for way in WAYS:
            found[name, way] = [judge.count(samples, cost, way) for samples, cost in drawn]
        print(table({key: row for key, row in found.items() if key[0] == name}).splitlines()[2:], flush=True)
    if options.together:
        for way in WAYS:
            found[TOGETHER, way] = [judge.count(samples, cost, way) for samples, cost in pooled]
    text = table(found)
    if options.shake:
        text += "\n\n" + saddles(judge, found, options.sources[0])
    with whole(options.work / "yield.md") as draft:
        draft.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
