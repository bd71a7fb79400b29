from __future__ import annotations

import numpy as np
import pytest
import spglib
from ase.build import bulk
from pymatgen.core import Composition

import redoxa.data.tables.reference_phases as phases
from redoxa.data.chemistry import OXIDATION_STATES, is_charge_balanced, radius_scale
from redoxa.data.errors import InputError
from redoxa.data.structures import density_g_cm3, to_structure
from redoxa.data.tables.prototypes import load_prototypes, read_library
from redoxa.data.tables.reference_phases import SIMPLE_METALS, Family, load_reference_structures

PHASES = dict(load_reference_structures())
FAMILIES = [Family.model_validate(raw) for raw in read_library("reference")]


def test_names_are_unique_and_many() -> None:
    assert len(list(load_reference_structures())) == len(PHASES) > 900
    assert max(c.n_atoms for c in PHASES.values()) <= 42


@pytest.mark.parametrize("family", FAMILIES, ids=[f.type for f in FAMILIES])
def test_first_compound_has_the_typed_symmetry(family: Family) -> None:
    name, crystal = next((n, c) for n, c in PHASES.items() if n.rsplit(" ", 1)[0] == family.type)
    found = spglib.get_symmetry_dataset((crystal.lattice_A, crystal.frac_coords, crystal.numbers), symprec=1e-3)
    typed = family.space_group.split(":")[0]
    kinds = map(spglib.get_spacegroup_type, range(1, 531))
    expected = next(
        k for k in kinds
        if typed in (k.international_short, "".join(p for p in k.international_full.split() if p != "1"))
    )  # fmt: skip
    assert found.number == expected.number, (name, found.international)
    assert family.source


def test_no_atoms_overlap() -> None:
    shortest = {}
    for name, crystal in PHASES.items():
        structure = to_structure(crystal)
        distances = structure.distance_matrix + 99.0 * np.eye(len(structure))
        limit = 0.7 if "H" in crystal.composition else 1.05
        if distances.min() < limit:
            shortest[name] = float(distances.min())
    assert not shortest


def test_every_stable_element_is_there() -> None:
    elements = {next(iter(c.composition)) for c in PHASES.values() if len(c.composition) == 1}
    wanted = set(OXIDATION_STATES) - {"Pm", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am"}
    assert elements >= wanted


def test_simple_metals_are_those_of_ase() -> None:
    for structure, symbols in SIMPLE_METALS.items():
        for symbol in symbols:
            if (symbol, structure) == ("C", "diamond"):
                continue
            mine = PHASES[f"{structure} {symbol}"]
            assert mine.volume_A3 == pytest.approx(bulk(symbol, structure).get_volume(), rel=1e-5), symbol


DENSITIES = {
    # g/cm3, handbooks
    "rock salt MgO": 3.58, "antifluorite Li2O": 2.01, "fluorite CaF2": 3.18, "rutile TiO2": 4.25, "anatase TiO2": 3.89,
    "corundum Fe2O3": 5.26, "spinel M3X4 Co3O4": 6.11, "V2O5 V2O5": 3.36, "alpha-quartz SiO2": 2.65, "pyrite FeS2": 5.01,
    "Li2CO3 Li2CO3": 2.10, "calcite CaCO3": 2.71, "beta-Li3PO4 Li3PO4": 2.47, "olivine M2SiO4 Mg2SiO4": 3.22,
    "wurtzite ZnO": 5.68, "MoS2 (2H) MoS2": 5.00, "black P P": 2.71, "alpha-S8 S": 2.07, "graphite C": 2.26, "Li3N Li3N": 1.30,
    "tenorite CuO": 6.51, "berlinite AlPO4": 2.62, "alpha-Mn Mn": 7.47, "ilmenite TiFeO3": 4.79, "LiNbO3 LiNbO3": 4.64,
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), DENSITIES.items(), ids=list(DENSITIES))
def test_densities_of_the_literature(name: str, expected: float) -> None:
    assert density_g_cm3(PHASES[name]) == pytest.approx(expected, rel=0.02)


def test_radii_predict_unknown_cells() -> None:
    # V2O5-type bronze of potassium has no typed cell: that of the sodium compound, scaled by its radii
    sodium, potassium = PHASES["V2O5 bronze (alpha') NaV2O5"], PHASES["V2O5 bronze (alpha') KV2O5"]
    factor = radius_scale(sodium.composition, potassium.composition)
    assert 1.02 < factor < 1.08
    assert potassium.volume_A3 == pytest.approx(sodium.volume_A3 * factor**3, rel=1e-5)


@pytest.mark.parametrize(("old", "new"), [("MgO", "CaO"), ("LiF", "KF"), ("NaCl", "LiF"), ("MgS", "CaS")])
def test_radius_rule_against_measured_rock_salts(old: str, new: str) -> None:
    before, after = (PHASES[f"rock salt {f}"] for f in (old, new))
    measured = (after.volume_A3 / before.volume_A3) ** (1 / 3)
    assert radius_scale(before.composition, after.composition) == pytest.approx(measured, rel=0.04)


def test_most_ionic_phases_are_balanced() -> None:
    oxides = [c for c in PHASES.values() if "O" in c.composition and len(c.composition) > 2]
    unbalanced = {c.formula for c in oxides if not is_charge_balanced(c.composition)}
    assert len(unbalanced) < 0.03 * len(oxides), unbalanced


def test_hull_of_well_known_electrodes_is_covered() -> None:
    known = [*PHASES.values(), *(p.crystal for p in load_prototypes())]
    have = {Composition(c.formula).reduced_formula for c in known}
    needed = (
        "Li2O Li2O2 FeO Fe2O3 Fe3O4 P2O5 Li3PO4 FePO4 Fe2P2O7 LiFeO2 Na2O NaFeO2 MnO MnO2 Mn2O3 Mn3O4 Mn5O8 Li2MnO3"
    )
    needed += " CoO Co3O4 NiO Li2NiO2 TiO2 Ti2O3 V2O3 VO2 V2O5 Na3PO4 MgO MgMn2O4 Li2S TiS2 MoS2 K2O KF FeF2 FeF3 FeSO4"
    missing = {f for f in needed.split() if Composition(f).reduced_formula not in have}
    assert not missing


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (("Mg",), r"1 elements for the placeholders \['A', 'X'\]"),
        (("Mg", "O", 1.0, 2.0, 3.0, 4.0), "one to three lattice lengths"),
        (("Mg", "Qq"), "Qq"),
    ],
)
def test_bad_rows_are_refused(row: tuple[str | float, ...], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {
        "type": "rock salt", "source": "-", "space_group": "Fm-3m", "cell": [4.2, 4.2, 4.2, 90, 90, 90],
        "sites": [["A", 0, 0, 0], ["X", "1/2", "1/2", "1/2"]], "of": [row],
    }  # fmt: skip
    monkeypatch.setattr(phases, "read_library", lambda library: [bad])
    with pytest.raises(InputError, match=f"reference phase rock salt: .*{text}"):
        list(load_reference_structures())
