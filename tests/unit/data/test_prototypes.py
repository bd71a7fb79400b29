from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import spglib
from pymatgen.core import Composition, Structure
from pymatgen.core.lattice import Lattice

from redoxa.data.chemistry import REDOX_ACTIVE, is_charge_balanced, oxidation_states
from redoxa.data.errors import InputError, UnknownKindError
from redoxa.data.structures import density_g_cm3, to_structure
from redoxa.data.tables.prototypes import Prototype, build_crystal, load_prototypes, prototype

ELECTRODES = load_prototypes()
each_electrode = pytest.mark.parametrize("entry", ELECTRODES, ids=[p.name for p in ELECTRODES])

# What a bond between these may measure in Angstrom (Shannon radii with room for distortion).
SHORTEST = {
    ("O", "O"): 2.1, ("F", "F"): 2.1, ("S", "S"): 2.9, ("P", "O"): 1.45, ("Si", "O"): 1.55, ("B", "O"): 1.3,
    ("C", "C"): 1.40, ("S", "O"): 1.40, ("C", "N"): 1.1,
}  # fmt: skip


def spglib_cell(entry: Prototype) -> tuple[object, object, object]:
    return entry.crystal.lattice_A, entry.crystal.frac_coords, entry.crystal.numbers


@each_electrode
def test_space_group_and_primitive_cell(entry: Prototype) -> None:
    typed = entry.space_group.split(":")[0]
    found = spglib.get_symmetry_dataset(spglib_cell(entry), symprec=1e-3)
    expected = next(
        k for k in map(spglib.get_spacegroup_type, range(1, 531))
        if typed in (k.international_short, "".join(p for p in k.international_full.split() if p != "1"))
    )  # fmt: skip
    assert found.number == expected.number, found.international
    assert len(spglib.find_primitive(spglib_cell(entry), symprec=1e-3)[2]) == entry.crystal.n_atoms


@each_electrode
def test_content(entry: Prototype) -> None:
    assert entry.crystal.formula == Composition(entry.formula).reduced_formula
    assert entry.working_ion in entry.crystal.composition
    assert is_charge_balanced(entry.crystal.composition)
    assert entry.source
    if entry.anchor:
        anchor = Composition(entry.anchor).fractional_composition
        assert anchor.almost_equals(Composition(entry.formula).fractional_composition)
    ions = {i for i, z in enumerate(to_structure(entry.crystal).species) if z.symbol == entry.working_ion}
    assert set(entry.leaving) < ions


@each_electrode
def test_geometry_is_that_of_a_crystal(entry: Prototype) -> None:
    structure = to_structure(entry.crystal)
    states = oxidation_states(entry.crystal.composition)
    assert states is not None
    assert 5.5 < entry.crystal.volume_A3 / entry.crystal.n_atoms < 26
    assert 1.5 < density_g_cm3(entry.crystal) < 8.5
    for site in structure:
        symbol = site.specie.symbol
        near = structure.get_neighbors(site, 3.4)
        opposite = sorted(n.nn_distance for n in near if states[n.specie.symbol] * states[symbol] < 0)
        assert opposite, f"{symbol} has no neighbour of the other charge within 3.4 A"
        assert 1.1 < opposite[0] < 3.3
        if symbol in REDOX_ACTIVE - {"C"}:
            ligands = [n for n in near if n.specie.symbol in ("O", "F", "S", "N", "C")]
            assert sum(n.nn_distance < 2.75 for n in ligands) >= 4
        for other in near:
            pair = (symbol, other.specie.symbol)
            assert other.nn_distance > SHORTEST.get(pair, SHORTEST.get(pair[::-1], 1.1)), (pair, other.nn_distance)
            if states[pair[0]] > 0 and states[pair[1]] > 0 and "C" not in pair and "N" not in pair:
                assert other.nn_distance > 2.0, (pair, other.nn_distance)


def test_cells_are_small() -> None:
    """Up to 40 atoms, but for three electrodes of which no smaller cell is known."""
    large = {p.name for p in ELECTRODES if p.crystal.n_atoms > 40}
    assert large == {
        "P4_332 ordered spinel LiNi0.5Mn1.5O4",
        "lithiated spinel Li7Ti5O12",
        "fluoride phosphate Na2FePO4F",
    }


ANCHORS = [
    "LiCoO2", "LiMnO2", "LiNi0.5Mn1.5O4", "LiMnPO4", "LiNiPO4", "LiVPO5", "LiTiS2", "Li7Ti5O12", "Li2MnSiO4", "LiFeBO3",
    "LiC6", "LiMoS2", "NaCoO2", "NaMnO2", "NaCrO2", "Na3V2(PO4)3", "Na2FePO4F", "Na3V2(PO4)2F3", "NaTiS2",
    "K2MnFe(CN)6", "KC8", "Mg2Mo6S8", "MgTi2S4",
]  # fmt: skip


@pytest.mark.parametrize("discharged", ANCHORS)
def test_measured_electrodes_can_be_built(discharged: str) -> None:
    matching = [p for p in ELECTRODES if p.anchor == discharged]
    assert len(matching) == 1
    ions = int(matching[0].crystal.composition[matching[0].working_ion])
    assert len(matching[0].leaving) < ions


LEAVING = {
    # atoms that leave the primitive cell, by the charged formulas of the literature
    "NASICON Na3V2(PO4)3": ("NaV2(PO4)3", 4),
    "fluoride phosphate Na3V2(PO4)2F3": ("NaV2P2O8F3", 2),
    "fluoride phosphate Na2FePO4F": ("NaFePO4F", 8),
    "lithiated spinel Li7Ti5O12": ("Li4Ti5O12", 6),
}


@pytest.mark.parametrize(("name", "expected"), LEAVING.items(), ids=list(LEAVING))
def test_what_leaves_on_charge(name: str, expected: tuple[str, int]) -> None:
    entry = prototype(name)
    charged = to_structure(entry.crystal)
    charged.remove_sites(list(entry.leaving))
    assert len(entry.leaving) == expected[1]
    assert charged.composition.reduced_formula == Composition(expected[0]).reduced_formula


def test_library_covers_ions_and_families() -> None:
    names = [p.name for p in ELECTRODES]
    assert len(names) == len(set(names)) >= 30
    assert {p.working_ion for p in ELECTRODES} >= {"Li", "Na", "K", "Mg", "Ca", "Zn"}
    assert {p.family for p in ELECTRODES} >= {"layered oxide", "spinel", "olivine", "maricite", "silicate", "sulfide"}


DENSITIES = {
    # g/cm3: PDF cards and handbooks
    "O3 LiCoO2": 5.05, "olivine LiFePO4": 3.60, "olivine LiMnPO4": 3.43, "spinel LiMn2O4": 4.28,
    "maricite NaFePO4": 3.69,    "graphite LiC6": 2.21, "layered LiTiS2": 3.08, "perovskite KFeF3": 3.60, "spinel ZnMn2O4": 5.25,
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), DENSITIES.items(), ids=list(DENSITIES))
def test_densities_of_the_literature(name: str, expected: float) -> None:
    assert density_g_cm3(prototype(name).crystal) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("space_group", "cell", "labels", "coords"),
    [
        ("Fm-3m", (4.2, 4.2, 4.2, 90, 90, 90), ["Mg", "O"], [(0, 0, 0), (0.5, 0.5, 0.5)]),
        ("R-3m:H", (2.8, 2.8, 14.0, 90, 90, 120), ["Li", "Co", "O"], [(0, 0, 0), (0, 0, 0.5), (0, 0, 0.24)]),
        ("Fd-3m:2", (8.2, 8.2, 8.2, 90, 90, 90), ["Li", "Mn", "O"], [(1 / 8,) * 3, (1 / 2,) * 3, (0.263,) * 3]),
        ("C2/m", (5.4, 2.8, 5.4, 90, 116, 90), ["Mn", "O"], [(0, 0, 0), (0.272, 0, 0.771)]),
    ],
)
def test_building_agrees_with_pymatgen(
    space_group: str, cell: tuple[float, ...], labels: list[str], coords: list[tuple[float, ...]]
) -> None:
    crystal, origins = build_crystal(space_group, cell, labels, coords)
    reference = Structure.from_spacegroup(space_group, Lattice.from_parameters(*cell), labels, coords)
    primitive = reference.get_primitive_structure()
    mine = to_structure(crystal)
    assert mine.composition == primitive.composition
    assert mine.volume == pytest.approx(primitive.volume, rel=1e-5)
    shells = [np.sort([n.nn_distance for site in s for n in s.get_neighbors(site, 3.5)]) for s in (mine, primitive)]
    np.testing.assert_allclose(*shells, atol=1e-4)
    assert [labels[o] for o in origins] == [s.specie.symbol for s in mine]
    assert Counter(origins).keys() == set(range(len(labels)))


def test_bad_entries_are_refused_by_name() -> None:
    cube = (4.0, 4.0, 4.0, 90, 90, 90)
    with pytest.raises(InputError, match="'Fm-3n' is not a space group"):
        build_crystal("Fm-3n", cube, ["Mg"], [(0, 0, 0)])
    with pytest.raises(InputError, match="not compatible with Fm-3m"):
        build_crystal("Fm-3m", (4.0, 4.0, 4.1, 90, 90, 90), ["Mg"], [(0, 0, 0)])
    with pytest.raises(InputError, match=r"site 1 .* falls on another"):
        build_crystal("Fm-3m", cube, ["Mg", "O"], [(0, 0, 0), (0.5, 0.5, 0)])
    with pytest.raises(UnknownKindError, match="olivine LiFePO4"):
        prototype("olivine LiFePO")
    with pytest.raises(UnknownKindError, match="electrodes"):
        load_prototypes("electrode")


def test_loading_is_light() -> None:
    import subprocess
    import sys

    code = "import sys, redoxa.data.tables.prototypes as p; p.load_prototypes(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@each_electrode
def test_forces_are_small(entry: Prototype) -> None:
    """An interatomic potential that never saw the typed coordinates finds each atom close to its place."""
    from chgnet.model import CHGNet

    forces = CHGNet.load(verbose=False, use_device="cpu").predict_structure(to_structure(entry.crystal))["f"]
    limit = 1.6 if entry.coordinates == "published" else 0.3
    assert np.linalg.norm(forces, axis=1).max() < limit
