"""How complete the reference hull is, and how good the reaction energies on it are.

    python benchmarks/hull.py [--system Li-Mn-O ...] [--sample 400] [--out runs/benchmarks/hull.md]

* Completeness: formulas on the hull of DFT formation energies (the two tables of ../shared/datasets, by formula) that
  the reference holds, by chemical system.
* Hull distances: CHGNet energies of published structures at random (fixed seed), as they are listed, against the
  reference, beside the listed energy above the hull. Where the own formula decides our hull, polymorphs are compared
  and nothing is learnt of the hull, so these are also counted apart.
* Reductions of oxides: energy and temperature in air of the first reaction that gives off oxygen.
* Conversions: average voltages against Li.
* Windows of solid electrolytes against published ones, by DFT.

Thermochemical values at 298 K: CRC Handbook of Chemistry and Physics, 97th ed. (2016), section 5; D. D. Wagman et al.,
The NBS Tables of Chemical Thermodynamic Properties (1982) for fluorides; NIST-JANAF for the entropy of Li2O2.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from redoxa.data.errors import InputError
from redoxa.data.records import Crystal, reduced_formula
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.reference import Reference, ReferenceEntry, formula_elements, load_reference
from redoxa.screening.physics.furnace import EV_PER_KJ_MOL, BOLTZMANN_eV_K
from redoxa.screening.physics.hull_energy import Competitors, agreement, formula_atoms
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.potentials.base import load_potential
from redoxa.screening.properties.conversion import convert
from redoxa.screening.properties.electrolyte import window
from redoxa.screening.properties.oxygen import AIR_ATM, LAST_K, oxygen_release, release_temperature_K
from redoxa.screening.tables.check import SYSTEMS

SEED = 20261126
TABLES = ("mp_structures.parquet", "mp20_train_compositions.parquet")
ON_HULL_eV_PER_ATOM = 1e-6

ENTHALPY_kJ_mol_ENTROPY_J_mol_K: Mapping[str, tuple[float, float]] = {
    "O2": (0.0, 205.2), "Ag": (0.0, 42.6), "Ag2O": (-31.1, 121.3), "CuO": (-157.3, 42.6), "Cu2O": (-168.6, 93.1),
    "MnO": (-385.2, 59.7), "MnO2": (-520.0, 53.1), "Mn2O3": (-959.0, 110.5), "Mn3O4": (-1387.8, 155.6),
    "CoO": (-237.9, 53.0), "Co3O4": (-891.0, 102.5), "Fe2O3": (-824.2, 87.4), "Fe3O4": (-1118.4, 146.4),
    "PbO": (-219.0, 66.5), "PbO2": (-277.4, 68.6), "Pb3O4": (-718.4, 211.3), "Li2O": (-597.9, 37.6),
    "Li2O2": (-634.3, 56.5), "Na2O": (-414.2, 75.1), "Na2O2": (-510.9, 95.0), "NaO2": (-260.2, 115.9),
    "K2O2": (-494.1, 102.1), "KO2": (-284.9, 116.7),
}  # fmt: skip
"""Of formation, and absolute."""

REDUCTIONS: Sequence[tuple[str, float, str, float]] = (
    ("MnO2", 4, "Mn2O3", 2), ("Mn2O3", 6, "Mn3O4", 4), ("Mn3O4", 2, "MnO", 6), ("CuO", 4, "Cu2O", 2),
    ("Ag2O", 2, "Ag", 4), ("Co3O4", 2, "CoO", 6), ("Fe2O3", 6, "Fe3O4", 4), ("PbO2", 3, "Pb3O4", 1),
    ("Pb3O4", 2, "PbO", 6), ("Li2O2", 2, "Li2O", 2), ("Na2O2", 2, "Na2O", 2), ("NaO2", 2, "Na2O2", 1),
    ("KO2", 2, "K2O2", 1),
)  # fmt: skip
"""Formula units of oxide and of what is left, by O2."""

FREE_ENERGY_kJ_mol: Mapping[str, float] = {
    "Li2O": -561.2, "LiF": -587.7, "CoO": -214.2, "CuO": -129.7, "Cu2O": -146.0, "MnO": -362.9, "Fe2O3": -742.2,
    "SnO2": -515.8, "FeF2": -668.6, "CoF2": -647.2, "NiF2": -604.1,
}  # fmt: skip
"""Of formation."""

CONVERSIONS = {"CoO": 2, "CuO": 2, "Cu2O": 2, "MnO": 2, "Fe2O3": 6, "SnO2": 4, "FeF2": 2, "CoF2": 2, "NiF2": 2}
"""Li by formula unit until the metal is left beside Li2O or LiF."""

WINDOWS_V = {
    "Li2S": (0.0, 2.01), "Li3PS4": (1.71, 2.31), "Li6PS5Cl": (1.71, 2.01), "Li10Ge(PS6)2": (1.71, 2.14),
    "Li7La3Zr2O12": (0.05, 2.91), "Li3PO4": (0.69, 4.21),
}  # fmt: skip
"""Y. Zhu, X. He, Y. Mo, ACS Appl. Mater. Interfaces 7, 23685 (2015); Li3PO4: W. D. Richards et al. (2016)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", action="append", help="e.g. Li-Mn-O; by default ten battery systems")
    parser.add_argument("--sample", type=int, default=400, help="structures to compute; 0 leaves hull distances out")
    parser.add_argument("--table", type=Path, help="another reference table")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    shared = shared_dir()
    if shared is None:
        raise InputError("the shared crystal data is not beside the checkout; REDOXA_SHARED names it")
    reference = load_reference(options.table)
    text = "\n\n".join(
        [
            completeness(reference, shared / "datasets", options.system or SYSTEMS),
            *([distances(reference, shared / "datasets" / TABLES[0], options.sample)] if options.sample else []),
            reductions(reference),
            conversions(reference),
            windows(reference),
        ]
    )
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


def completeness(reference: Reference, folder: Path, systems: Sequence[str]) -> str:
    """Which formulas on the hull of DFT the reference holds."""
    listed = _formation_energies(folder)
    held_formulas = {entry.formula for entry in reference}
    lines = ["| system | formulas on the DFT hull | held | missing |", "|---|---:|---:|---|"]
    for system in systems:
        elements = set(system.split("-"))
        inside = [(f, e) for f, e in listed.items() if formula_elements(f) <= elements and len(formula_elements(f)) > 1]
        pure = [ReferenceEntry(e, 0.0, e, "", "single_point") for e in elements]
        hull = Competitors([*(ReferenceEntry(f, e, f, "", "single_point") for f, e in inside), *pure])
        on_hull = [f for f, energy in inside if energy - _level(hull, f) < ON_HULL_eV_PER_ATOM]
        missing = sorted(set(on_hull) - held_formulas)
        held = len(on_hull) - len(missing)
        lines.append(f"| {system} | {len(on_hull)} | {held} ({held / len(on_hull):.0%}) | {', '.join(missing)} |")
    return "\n".join(lines)


def distances(reference: Reference, table: Path, count: int) -> str:
    """Hull distances of published structures by CHGNet on our hull, beside the listed ones."""
    import pandas as pd

    frame = pd.read_parquet(table)
    frame = frame[frame["energy_above_hull"].notna()].sort_values("material_id").sample(count, random_state=SEED)
    potential, hulls = load_potential("chgnet"), Hulls(reference)
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for crystal, listed in zip(_crystals(frame), frame["energy_above_hull"], strict=True):
        energy = potential.compute(crystal, forces=False).energy_eV / crystal.n_atoms
        found = hulls.distance(crystal.composition, energy)
        if found is None:
            continue
        kind = "own formula on our hull" if list(found.products) == [crystal.formula] else "other phases below"
        for name in ("all", kind):
            pairs[name].append((found.value_eV_per_atom, float(listed)))
    lines = [
        "| structures | n | mean abs. difference (eV/atom) | median | bias | same side of 0.1 |",
        "|---|" + "---:|" * 5,
    ]
    for name, values in pairs.items():
        a = agreement(*zip(*values, strict=True))
        lines.append(
            f"| {name} | {a.n} | {a.mean_abs_difference:.3f} | {a.median_abs_difference:.3f} | {a.bias:+.3f} "
            f"| {a.same_side_of_0_1:.1%} |"
        )
    return "\n".join(lines)


def reductions(reference: Reference) -> str:
    """First reactions that give off oxygen."""
    lines = ["| reaction on the hull | eV/O2 | tabulated | error | in air (K) | tabulated |", "|---|" + "---:|" * 5]
    errors, shifts = [], []
    for oxide, n, left, m in REDUCTIONS:
        found = oxygen_release(*_case(reference, oxide), reference.ion_metal_energy("O"))
        if found is None:
            lines.append(f"| {oxide}: not in the reference | | | | | |")
            continue
        table = ENTHALPY_kJ_mol_ENTROPY_J_mol_K
        enthalpy, entropy = (m * table[left][i] + table["O2"][i] - n * table[oxide][i] for i in (0, 1))
        measured_eV = enthalpy * EV_PER_KJ_MOL
        per_K = entropy * EV_PER_KJ_MOL / 1000 - BOLTZMANN_eV_K * float(np.log(AIR_ATM))
        measured_K = min(measured_eV / per_K, LAST_K)
        ours_K = release_temperature_K(found.energy_eV_per_O2)
        errors.append(found.energy_eV_per_O2 - measured_eV)
        shifts.append(ours_K - measured_K)
        lines.append(
            f"| {found.reaction} | {found.energy_eV_per_O2:.2f} | {measured_eV:.2f} | {errors[-1]:+.2f} "
            f"| {ours_K:.0f} | {measured_K:.0f} |"
        )
    return (
        "\n".join(lines)
        + f"\n\nRMS error {_rms(errors):.2f} eV/O2 (bias {np.mean(errors):+.2f}), {_rms(shifts):.0f} K."
    )


def conversions(reference: Reference) -> str:
    """Average voltages against Li down to the metal."""
    lines = ["| host | V | tabulated | error (eV/atom) |", "|---|---:|---:|---:|"]
    errors = []
    for host, n in CONVERSIONS.items():
        phases, formula, energy = _case(reference, host, "Li")
        found = convert(phases, formula, energy, "Li", reference.ion_metal_energy("Li"), n)
        if found is None:
            continue
        product = "LiF" if "F" in formula_atoms(host) else "Li2O"
        units = n / formula_atoms(product)["Li"]
        measured_V = (FREE_ENERGY_kJ_mol[host] - units * FREE_ENERGY_kJ_mol[product]) * EV_PER_KJ_MOL / n
        errors.append((found.average_V - measured_V) * n / (sum(formula_atoms(host).values()) + n))
        lines.append(f"| {host} | {found.average_V:.2f} | {measured_V:.2f} | {errors[-1]:+.3f} |")
    return "\n".join(lines) + f"\n\nRMS error {_rms(errors):.3f} eV/atom."


def windows(reference: Reference) -> str:
    """Windows against Li."""
    lines = ["| electrolyte | reduced below (V) | published | oxidised above (V) | published |", "|---|" + "---:|" * 4]
    for formula, (low, high) in WINDOWS_V.items():
        phases = Competitors(reference.entries({*formula_atoms(formula), "Li"}))
        found = window(phases, formula, "Li", reference.ion_metal_energy("Li"))
        if found is not None:
            lines.append(f"| {formula} | {found.reduction_V:.2f} | {low:.2f} | {found.oxidation_V:.2f} | {high:.2f} |")
    return "\n".join(lines)


def _case(reference: Reference, formula: str, *others: str) -> tuple[Competitors, str, float]:
    entries = reference.entries({*formula_atoms(formula), *others})
    own = next((e.energy_eV_per_atom for e in entries if e.formula == formula), None)
    phases = Competitors(entries)
    return phases, formula, _level(phases, formula) if own is None else own


def _level(phases: Competitors, formula: str) -> float:
    found = phases.mixture(formula_atoms(formula))
    if found is None:
        raise InputError(f"no phases make up {formula}")
    return found.energy_eV / sum(formula_atoms(formula).values())


def _formation_energies(folder: Path) -> dict[str, float]:
    """The lowest formation energy by atom of each formula in both tables."""
    import pandas as pd
    from ase.data import chemical_symbols

    lowest: dict[str, float] = {}
    for table in TABLES:
        frame = pd.read_parquet(folder / table, columns=["atomic_numbers", "formation_energy_per_atom"])
        for numbers, energy in frame.itertuples(index=False):
            symbols, counts = np.unique([chemical_symbols[z] for z in numbers], return_counts=True)
            formula = reduced_formula(dict(zip(symbols.tolist(), counts.tolist(), strict=True)))
            lowest[formula] = min(float(energy), lowest.get(formula, np.inf))
    return lowest


def _crystals(frame: object) -> Iterator[Crystal]:
    for numbers, fracs, cell in frame[["atomic_numbers", "frac_coords", "cell"]].itertuples(index=False):
        lattice = np.reshape(cell, (3, 3)).tolist()
        yield Crystal(numbers=numbers, frac_coords=np.reshape(fracs, (-1, 3)).tolist(), lattice_A=lattice)


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
