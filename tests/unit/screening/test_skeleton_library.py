"""The library of templates, from rows as the reference build writes them."""

from __future__ import annotations

from pathlib import Path

from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.tables.energies import LITHIATED, Row
from redoxa.screening.tables.skeleton_library import build_templates


def row(crystal: Crystal, key: str, source: str = "mp_structures", converged: bool = True) -> Row:
    return Row(
        key=key, crystal_hash=key, formula=crystal.formula, n_atoms=crystal.n_atoms, name=key, source=source,
        kind="relaxed", energy_eV_per_atom=-5.0, converged=converged, crystal=crystal.model_dump(mode="json"),
    )  # fmt: skip


def strained(crystal: Crystal, factor: float) -> Crystal:
    structure = to_structure(crystal)
    structure.scale_lattice(structure.volume * factor)
    return from_structure(structure)


def test_equal_crystals_are_one_template_and_the_rest_is_accounted_for(tmp_path: Path) -> None:
    layered, sulfide = prototype("O3 LiCoO2").crystal, prototype("layered LiTiS2").crystal
    rows = [
        row(layered, "one"),
        row(strained(layered, 1.01), "nearly the same"),
        row(strained(layered, 1.3), "another"),
        row(sulfide, "sulfide"),
        row(sulfide, "not converged", converged=False),
        row(sulfide, "lithiated", source=LITHIATED),
        row(prototype("olivine LiFePO4").crystal, "too large"),
        row(prototype("olivine LiMnPO4").crystal, "large, but of the library", source="prototypes"),
    ]
    out = tmp_path / "templates.parquet"
    facts = build_templates(out, rows)
    assert (facts.crystals, facts.templates, facts.skeletons) == (6, 4, 3)
    assert facts.set_aside == {"not converged": 1}
    templates = list(load_templates(out))
    assert sorted(t.count for t in templates) == [1, 1, 1, 2]
    assert sum({25, 15} <= set(t.composition) for t in templates) == 1
