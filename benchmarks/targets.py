"""Asked against obtained: hull distances of crystals that `orbits` draws with a target, beside those drawn without.

    python benchmarks/targets.py                                       # --target stability_discharge=..0.03
    python benchmarks/targets.py --target stability_discharge=..0.03 --target average_voltage=3..4

Li with Fe, Mn, Co, Ni, V, Ti, P, O, F, S, charge-neutral, at most 20 atoms; relaxed by CHGNet within the symmetry.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.reference import load_reference
from redoxa.generators.evaluate.values import median, share
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.pipeline.evaluate.relaxation import relax_all
from redoxa.pipeline.self_training.rows import Judge, entropy
from redoxa.pipeline.tasks.generate_options import GenerateOptions
from redoxa.screening.physics.hulls import Hulls

ELEMENTS = "Li,Fe,Mn,Co,Ni,V,Ti,P,O,F,S"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--target", action="append")
    parser.add_argument("--work", type=Path, default=Path("runs/targets"))
    options = parser.parse_args()
    hulls, known = Hulls(load_reference()), load_known_materials()
    for targets in (options.target or ["stability_discharge=..0.03"], []):
        condition = GenerateOptions.read(
            n=1, elements=ELEMENTS, require="Li", formula=None, compositions=None, max_atoms=20, charge_neutral=True,
            targets=targets,
        ).condition  # fmt: skip
        started = time.process_time()
        batch, _ = OrbitsGenerator().sample(options.n, condition, np.random.default_rng(options.seed))
        spent = time.process_time() - started
        crystals = batch.to_crystals()
        outcomes = relax_all([symmetric(crystal) for crystal in crystals], options.work, 1, lambda *_: None)
        found = Judge(hulls, known, 0.1).judge(1, crystals, list(outcomes))
        print(f"{', '.join(targets) or 'without a target'}: {options.n} drawn in {spent:.0f} CPU s, "
              f"entropy of elements {entropy(c.composition for c in crystals):.2f}")  # fmt: skip
        for title, some in (("all", found), ("with a full phase", [one for one in found if one.full_phases])):
            values = [x for one in some if (x := one.above_hull_eV_per_atom) is not None]
            for limit in (0.03, 0.1):
                part = share(value <= limit for value in values)
                print(
                    f"  {title}: within {limit} eV/atom {part.value:.3f} ({part.low:.2f}-{part.high:.2f}) of {part.of}"
                )
            middle = median(values)
            print(f"  {title}: median {middle.value:.3f} ({middle.low:.3f} to {middle.high:.3f})")
        print(f"  unique, novel and within 0.1: {sum(one.msun for one in found)}", flush=True)


if __name__ == "__main__":
    main()
