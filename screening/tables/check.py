"""How good the reference is: figures that go into its provenance record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.data.tables.reference import Reference
from redoxa.screening.physics.hull_energy import agreement, fractions, hull_distances
from redoxa.screening.tables.energies import (
    DATASET_SETTINGS,
    LIBRARY_SETTINGS,
    MOLECULAR_ELEMENTS,
    NEAR_HULL_eV_PER_ATOM,
    Row,
    reference_entries,
)
from redoxa.screening.tables.tasks import relevance

SYSTEMS = (
    "Li-Co-O",
    "Li-Fe-P-O",
    "Li-Mn-O",
    "Na-Mn-O",
    "Na-Fe-P-O",
    "Li-Ni-Mn-O",
    "Na-V-P-O",
    "Mg-Mn-O",
    "Li-Ti-S",
    "Na-Fe-Mn-O",
)
"""Battery systems whose coverage is reported."""

SAMPLE = 3000
"""Crystals whose hull distance is compared, drawn at random."""

MP_OXYGEN_eV_PER_ATOM = -4.94669
"""Energy of oxygen in the Materials Project (MP2020), for comparison."""


def reference_facts(
    reference: Reference, rows: Sequence[Row], structures: Path, known: KnownMaterials
) -> dict[str, JsonValue]:
    """Counts, settings, relaxation drops, hull agreement, oxygen check and coverage, as JSON.

    Args:
        reference: the finished reference.
        rows: all results it was made from.
        structures: parquet with `material_id`, `formation_energy_per_atom` and `energy_above_hull`.
        known: published materials, for the coverage.
    """
    listed = _listed(structures)
    best = {e.name: e.energy_eV_per_atom for e in reference_entries(r for r in rows if r.source == structures.stem)}
    numbers = {r.name: r for r in rows if r.source == structures.stem}
    chosen = [(numbers[name].formula, energy, *listed[name]) for name, energy in best.items()]
    return {
        "energy_scale": reference.scale,
        "settings": {
            "relaxation_of_library": LIBRARY_SETTINGS.model_dump(mode="json"),
            "relaxation_of_datasets": DATASET_SETTINGS.model_dump(mode="json"),
            "near_hull_eV_per_atom": NEAR_HULL_eV_PER_ATOM,
            "unrelaxed_elements": dict(MOLECULAR_ELEMENTS),
        },
        "structures_by_source_and_kind": dict(Counter(f"{row.source}: {row.kind}" for row in rows)),
        "without_energy": [f"{r.name} {r.formula}: {r.error}" for r in rows if r.energy_eV_per_atom is None],
        "energy_lowered_by_relaxation_meV_per_atom": relaxation_drops(rows),
        "hull_distance_against_the_listed_one_meV_per_atom": hull_agreement(reference, chosen),
        "formation_energy_against_the_listed_one_meV_per_atom": oxygen_check(reference, chosen),
        "element_above_what_compounds_imply_meV_per_atom": {
            symbol: round(1000 * (reference.elements[symbol].energy_eV_per_atom - level), 1)
            for symbol, level in implied_elements(chosen).items()
            if symbol in reference.elements
        },
        **table_facts(reference, known),
    }


def table_facts(reference: Reference, known: KnownMaterials) -> dict[str, JsonValue]:
    """Counts and coverage: what the table itself tells, without the results it was made from."""
    return {
        "formulas": len(reference),
        "formulas_by_kind": dict(Counter(entry.kind for entry in reference)),
        "coverage": {system: _coverage(reference, known, system) for system in SYSTEMS},
    }


def relaxation_drops(rows: Iterable[Row]) -> JsonValue:
    """How far relaxation lowers the energy, by source: so much is an unrelaxed entry too high."""
    pairs: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.energy_eV_per_atom is not None and (row.kind == "single_point" or row.usable):
            pairs[row.crystal_hash][row.kind] = row
    drops: dict[str, list[float]] = defaultdict(list)
    for pair in pairs.values():
        if len(pair) == 2:
            before, after = pair["single_point"].energy_eV_per_atom, pair["relaxed"].energy_eV_per_atom
            drops[pair["relaxed"].source].append(1000 * ((before or 0.0) - (after or 0.0)))
    return {
        source: {
            "n": len(values),
            "median": round(float(np.median(values)), 1),
            "mean": round(float(np.mean(values)), 1),
            "90 % below": round(float(np.quantile(values, 0.9)), 1),
        }
        for source, values in drops.items()
    }


Chosen = Sequence[tuple[str, float, float, float]]
"""Formula, our energy, listed formation energy, listed distance from the hull (NaN where there is none), by atom."""


def hull_agreement(reference: Reference, chosen: Chosen) -> JsonValue:
    """Our hull distances against the listed ones, of a sample of all crystals and of the battery chemistries in it."""
    listed = [row for row in chosen if np.isfinite(row[3])]
    drawn = np.random.default_rng(0).permutation(len(listed))[:SAMPLE]
    rows = [listed[i] for i in drawn]
    ours = hull_distances(reference, [(formula, energy) for formula, energy, _, _ in rows])
    pairs = [(row[0], d, row[3]) for row, d in zip(rows, ours, strict=True) if d is not None]
    battery = [p for p in pairs if relevance(_numbers(p[0])) >= 3]
    result: dict[str, JsonValue] = {}
    for name, part in (("all", pairs), ("battery chemistries", battery)):
        found = asdict(agreement([d for _, d, _ in part], [x for _, _, x in part]))
        result[name] = {k: v if k in ("n", "same_side_of_0_1") else round(1000 * v, 1) for k, v in found.items()}
    return result


def oxygen_check(reference: Reference, chosen: Chosen) -> JsonValue:
    """Formation energies of oxides with our elements, and with the Materials Project's oxygen instead of ours."""
    elements = {symbol: entry.energy_eV_per_atom for symbol, entry in reference.elements.items()}
    result: dict[str, JsonValue] = {}
    for name, oxygen in (("O2 as in the table", elements["O"]), ("O2 of the Materials Project", MP_OXYGEN_eV_PER_ATOM)):
        levels = elements | {"O": oxygen}
        gaps = []
        for formula, energy, formation, _ in chosen:
            x = fractions(formula)
            if "O" in x and len(x) > 1 and x.keys() <= levels.keys():
                gaps.append(1000 * (energy - sum(share * levels[e] for e, share in x.items()) - formation))
        result[name] = {
            "oxygen_eV_per_atom": round(oxygen, 5),
            "oxides": len(gaps),
            "bias": round(float(np.mean(gaps)), 1),
            "mean_abs_difference": round(float(np.mean(np.abs(gaps))), 1),
        }
    return result


def implied_elements(chosen: Chosen) -> dict[str, float]:
    """Elemental energies in eV/atom that the compounds imply: our energy minus the listed formation energy, fitted.

    Least absolute deviations by iterated reweighting. An element's own energy minus this is the potential's error for
    the element.
    """
    rows = [fractions(formula) for formula, *_ in chosen]
    symbols = sorted({e for x in rows for e in x})
    matrix = np.array([[x.get(e, 0.0) for e in symbols] for x in rows])
    target = np.array([energy - formation for _, energy, formation, _ in chosen])
    weights, levels = np.ones(len(target)), np.zeros(len(symbols))
    for _ in range(30):
        root = np.sqrt(weights)
        levels = np.linalg.lstsq(matrix * root[:, None], target * root, rcond=None)[0]
        weights = 1 / np.maximum(np.abs(target - matrix @ levels), 0.01)
    return dict(zip(symbols, levels.tolist(), strict=True))


def _coverage(reference: Reference, known: KnownMaterials, system: str) -> JsonValue:
    elements = system.split("-")
    found = reference.coverage(elements, known.formulas(elements))
    return {
        "phases": found.n_phases,
        "with_all_elements": found.n_full,
        "relaxed": found.n_relaxed,
        "published_without_energy": found.n_without_energy,
    }


def _listed(structures: Path) -> dict[str, tuple[float, float]]:
    """Listed formation energy and distance from the hull by material id."""
    import pandas as pd

    frame = pd.read_parquet(structures, columns=["material_id", "formation_energy_per_atom", "energy_above_hull"])
    return {name: (float(f), float(h)) for name, f, h in frame.itertuples(index=False)}


def _numbers(formula: str) -> list[int]:
    from ase.data import atomic_numbers

    return [atomic_numbers[symbol] for symbol in fractions(formula)]
