"""Cheap gates: geometry, charge, redox, hazard, cost, duplicates, novelty; and settings and limits."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from redoxa.data.records import Crystal, Verdict
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.data.tables.prototypes import load_prototypes, prototype
from redoxa.screening import GATES, PROPERTIES
from redoxa.screening.assess import plan, stage_order
from redoxa.screening.base import Model, Needs, Subject, Surroundings
from redoxa.screening.gates.hazard_cost import Hazard, MinAbundance, RawMaterialCost, element_facts
from redoxa.screening.gates.novelty import Duplicates, Novelty
from redoxa.screening.gates.redox import Redox
from redoxa.screening.gates.validity import Validity, closest_pair, widest_gap_A
from redoxa.screening.ions.removal import supercell
from redoxa.screening.physics.duplicates import DuplicateIndex
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.properties.capacity import CapacityGrav
from redoxa.screening.settings import PROPERTY_NAMES, Range, ScreenSettings
from tests.unit.screening.conftest import METALS, candidate, cubic, distorted, from_library, reference_of

REFERENCE = reference_of(METALS)
AROUND = Surroundings(ScreenSettings(), Model("m", "s", 0.03), REFERENCE, Hulls(REFERENCE))


def codes(found) -> list[tuple[str, str]]:
    return [(r.code, r.verdict.value) for r in found.reasons]


def permissive(**changes) -> Surroundings:
    return replace(AROUND, settings=ScreenSettings.permissive(**changes))


# -- validity ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", load_prototypes(), ids=lambda p: p.name)
def test_published_crystals_are_valid(entry):
    around = permissive(max_atoms=100)  # the primitive cell of Na2FePO4F holds 72
    found = Validity().evaluate(Subject(candidate(entry.crystal, entry.working_ion)), around)
    assert codes(found) == []


@pytest.mark.parametrize(
    ("crystal", "code"),
    [
        (cubic([3, 8], [[0, 0, 0], [0.2, 0, 0]], 3.5), "distance"),
        (cubic([3, 9], [[0, 0, 0], [0.5, 0.5, 0.5]], 1.6), "volume"),
        (cubic([3, 9], [[0, 0, 0], [0.5, 0.5, 0.5]], 6.0), "volume"),
        (cubic([78, 8], [[0, 0, 0], [0.5, 0.5, 0.5]], 2.4), "density"),
        (Crystal(numbers=[3, 9], frac_coords=[[0, 0, 0], [0, 0, 0.5]],
                 lattice_A=[[1.0, 0, 0], [0, 6, 0], [0, 0, 6]]), "distance"),
        (cubic([3, 3, 8], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]], 3.6), None),
    ],
)  # fmt: skip
def test_impossible_geometries_fail(crystal, code):
    found = Validity().evaluate(Subject(candidate(crystal)), AROUND)
    assert codes(found) == ([(code, "fail")] if code else [])


def test_closest_pair_sees_images_and_radii():
    # Li-Li 2.2 A apart through the cell wall; covalent radius 1.28 A
    crystal = cubic([3, 3], [[0.05, 0, 0], [0.6, 0, 0]], 4.0)
    pair, ratio, distance = closest_pair(crystal)
    assert pair == (0, 1)
    assert distance == pytest.approx(0.45 * 4)
    assert ratio == pytest.approx(0.45 * 4 / 2.56, rel=1e-3)


def test_charge_and_size_policies():
    odd = cubic([3, 8, 8], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]], 3.6)
    strange = Crystal(numbers=(3, 9, 9), frac_coords=odd.frac_coords, lattice_A=odd.lattice_A)
    assert codes(Validity().evaluate(Subject(candidate(strange)), AROUND)) == [("not_neutral", "fail")]
    assert codes(Validity().evaluate(Subject(candidate(strange)), permissive())) == [("not_neutral", "pass")]
    big = supercell(prototype("olivine LiFePO4").crystal, 3)
    found = Validity().evaluate(Subject(candidate(big)), AROUND)
    assert codes(found) == [("too_many_atoms", "undetermined")]
    assert (found.reasons[0].value, found.reasons[0].limit) == (84, 64)


def test_slabs_and_wires_are_no_crystals():
    layer = prototype("layered LiTiS2").crystal
    a, b, c = (np.array(x) for x in layer.lattice_A)
    places = np.array(layer.frac_coords) @ np.array(layer.lattice_A)
    for cell in ((a, b, c + 12 * c / np.linalg.norm(c)), (a, b + 12 * b / np.linalg.norm(b), c)):
        lattice = np.array(cell)
        slab = Crystal(
            numbers=layer.numbers, frac_coords=(places @ np.linalg.inv(lattice)).tolist(), lattice_A=lattice.tolist()
        )
        found = Validity().evaluate(Subject(candidate(slab)), AROUND)
        assert ("vacuum", "fail") in codes(found) or ("volume", "fail") in codes(found)
    widest = max(widest_gap_A(p.crystal) for p in load_prototypes())
    assert 2.5 < widest < 5.5


# -- redox and capacity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "moving", "capacity"),
    [  # capacities in mAh/g: 26801.48 n z / M
        ("O3 LiCoO2", 1, 273.8), ("olivine LiFePO4", 4, 169.9), ("olivine LiMnPO4", 4, 170.9),
        ("layered LiTiS2", 1, 225.3), ("O3 NaCoO2", 1, 235.3), ("silicate Li2MnSiO4", 4, 333.1),
        ("graphite LiC6", 1, 339.2), ("thiospinel MgTi2S4", 2, 215.9),
    ],
)  # fmt: skip
def test_theoretical_capacity(name, moving, capacity):
    subject = Subject(from_library(name))
    assert codes(Redox().evaluate(subject, AROUND)) == []
    assert subject.n_moving == moving
    assert CapacityGrav().evaluate(subject, AROUND).estimate.value == pytest.approx(capacity, rel=0.005)


def test_what_cannot_work_fails_with_its_reason():
    no_ion = Subject(candidate(prototype("O3 NaCoO2").crystal, "Li"))
    assert codes(Redox().evaluate(no_ion, AROUND)) == [("no_working_ion", "fail")]
    metal = Subject(candidate(cubic([3, 3], [[0, 0, 0], [0.5, 0.5, 0.5]], 3.5)))
    assert codes(Redox().evaluate(metal, AROUND)) == [("no_host", "fail")]
    salt = cubic([3, 9], [[0, 0, 0], [0.5, 0.5, 0.5]], 2.6)
    inert = Subject(candidate(salt))
    assert codes(Redox().evaluate(inert, AROUND)) == [("no_redox", "fail")]
    assert codes(Redox().evaluate(inert, permissive())) == [("no_insertion", "pass")]
    assert inert.converts
    assert inert.n_moving == 0


def test_half_an_ion_per_cell_takes_a_supercell():
    # Mg in MgTi4... one Ti3+ pays for half a Mg2+: two cells, one ion
    crystal = cubic([12, 22, 22, 8, 8, 8, 8], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0.5, 0, 0], [0, 0.5, 0],
                    [0, 0, 0.5], [0.5, 0.5, 0.5]], 4.6)  # fmt: skip
    subject = Subject(candidate(crystal, "Mg"))
    Redox().evaluate(subject, AROUND)
    assert subject.n_moving == 1  # MgTi2O4: two Ti3+, one Mg2+
    half = Crystal(numbers=(12, 22, 13, 8, 8, 8, 8), frac_coords=crystal.frac_coords, lattice_A=crystal.lattice_A)
    subject = Subject(candidate(half, "Mg"))
    found = Redox().evaluate(subject, AROUND)
    assert (subject.supercells, subject.n_removed) == (2, 1)
    assert "pay for 0.5" in found.notes["moving_ions"]


# -- hazard and cost ---------------------------------------------------------------------------------------------------


def test_hazard_names_the_element():
    olivine = prototype("olivine LiFePO4").crystal
    numbers = tuple(82 if z == 26 else z for z in olivine.numbers)
    lead = candidate(Crystal(numbers=numbers, frac_coords=olivine.frac_coords, lattice_A=olivine.lattice_A))
    assert codes(Hazard().evaluate(Subject(lead), AROUND)) == [("toxic", "fail")]
    assert codes(Hazard().evaluate(Subject(lead), permissive())) == [("toxic", "pass")]
    uranium = candidate(cubic([3, 92, 8, 8], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0]], 4.2))
    found = Hazard().evaluate(Subject(uranium), AROUND)
    assert codes(found) == [("radioactive", "fail")]
    assert "U" in found.reasons[0].text
    assert codes(Hazard().evaluate(Subject(from_library("O3 LiCoO2")), AROUND)) == []


def test_cost_and_abundance_by_hand():
    subject = Subject(from_library("O3 LiCoO2"))
    cost = RawMaterialCost().evaluate(subject, AROUND).estimate
    # (6.94 * 83.5 + 58.933 * 32.8 + 31.998 * 0.154) / 97.871
    assert cost.value == pytest.approx(25.72, abs=0.01)
    assert MinAbundance().evaluate(subject, AROUND).estimate.value == 20  # lithium
    synthetic = candidate(cubic([43, 8], [[0, 0, 0], [0.5, 0.5, 0.5]], 4.0))
    assert RawMaterialCost().evaluate(Subject(synthetic), AROUND).estimate is None


def test_element_table_is_whole_and_sane():
    facts = element_facts()
    for symbol in ["Li", "B", "C", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "K", "Ca", "Ti", "V", "Mn", "Fe", "Zn"]:
        assert facts[symbol].price_USD_per_kg > 0
        assert facts[symbol].abundance_mg_per_kg > 0
        assert facts[symbol].hazard == ""
    assert facts["Fe"].price_USD_per_kg < facts["Ni"].price_USD_per_kg < facts["Co"].price_USD_per_kg
    assert {e for e, f in facts.items() if f.hazard == "radioactive"} >= {"Tc", "Pm", "U", "Pu"}
    assert facts["Bi"].hazard == ""


# -- duplicates and novelty --------------------------------------------------------------------------------------------


def test_a_duplicate_is_the_later_one_in_whatever_order_it_is_asked():
    first, other = from_library("olivine LiFePO4"), from_library("O3 LiCoO2")
    twin = candidate(distorted(supercell(first.crystal, 2), 7, 0.02, 0.0))
    index = DuplicateIndex([first, other, twin])
    assert index.duplicate_of(twin) == first.id
    assert index.duplicate_of(first) is None
    assert index.duplicate_of(other) is None
    index.add(first)
    assert index.duplicate_of(twin) == first.id
    reversed_index = DuplicateIndex([twin, other, first])
    assert reversed_index.duplicate_of(first) == twin.id
    assert reversed_index.duplicate_of(twin) is None


def test_the_same_host_for_another_ion_is_no_duplicate():
    first = from_library("olivine LiFePO4")
    index = DuplicateIndex([first, candidate(distorted(first.crystal, 1, 0.01, 0), "Mg")])
    assert all(index.duplicate_of(c) is None for c in index._buckets["LiFePO4"])


def test_duplicate_gate_and_policy():
    first = from_library("layered LiTiS2")
    twin = candidate(supercell(first.crystal, 2))
    around = replace(AROUND, earlier=DuplicateIndex([first, twin]))
    found = Duplicates().evaluate(Subject(twin), around)
    assert codes(found) == [("duplicate", "fail")]
    assert found.notes["duplicate_of"] == first.id
    keep = replace(around, settings=ScreenSettings(duplicates="warn"))
    assert codes(Duplicates().evaluate(Subject(twin), keep)) == [("duplicate", "pass")]


def test_known_materials():
    known = KnownMaterials()
    known.add(prototype("olivine LiFePO4").crystal, "mp-19017", "test")
    around = replace(AROUND, known=known)
    found = Novelty().evaluate(Subject(candidate(supercell(prototype("olivine LiFePO4").crystal, 2))), around)
    assert codes(found) == [("known_material", "fail")]
    assert "mp-19017" in found.reasons[0].text
    assert codes(Novelty().evaluate(Subject(from_library("olivine LiMnPO4")), around)) == []
    lifted = replace(around, settings=ScreenSettings(known="warn"))
    assert codes(Novelty().evaluate(Subject(from_library("olivine LiFePO4")), lifted)) == [("known_material", "pass")]


# -- settings and registries -------------------------------------------------------------------------------------------


def test_defaults_limit_and_null_lifts():
    assert ScreenSettings().all_limits["stability_discharge"] == Range(max=0.15)
    lifted = ScreenSettings(limits={"stability_discharge": None, "energy_grav": {"min": 300}})
    assert "stability_discharge" not in lifted.all_limits
    assert lifted.all_limits["energy_grav"].min == 300
    assert ScreenSettings.permissive().all_limits == {}
    assert ScreenSettings(role="anode").all_limits["average_voltage"].max == 2.5


def test_settings_survive_json_and_hash_what_decides():
    settings = ScreenSettings(limits={"average_voltage": {"min": 3}, "stability_charge": None}, workers=3)
    assert ScreenSettings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.settings_hash == settings.model_copy(update={"workers": 1}).settings_hash
    assert settings.settings_hash != ScreenSettings().settings_hash
    written_out = ScreenSettings(limits={"average_voltage": {"min": 0.5, "max": 5.5}})
    assert written_out.settings_hash == ScreenSettings().settings_hash


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"limits": {"voltage": {"min": 3}}}, "Did you mean 'average_voltage'"),
        ({"limits": {"average_voltage": {"min": 4, "max": 3}}}, "min 4 is larger than max 3"),
        ({"limits": {"average_voltage": {}}}, "give min, max or both"),
        ({"limits": {"max_voltage_step": {"max": 1}}}, "profile_states"),
        ({"potential": "chgnt"}, "Did you mean 'chgnet'"),
        ({"fmax": 0.1}, "Extra inputs"),
        ({"workers": -1}, "greater than or equal to 0"),
        ({"fmax_eV_A": float("nan")}, "finite number"),
    ],
)
def test_bad_settings_are_refused(bad, words):
    with pytest.raises(ValidationError, match=words):
        ScreenSettings.model_validate(bad)


@pytest.mark.parametrize(("value", "broken"), [(2.9, 3.0), (3.0, None), (4.0, None), (4.1, 4.0)])
def test_range(value, broken):
    assert Range(min=3.0, max=4.0).broken_limit(value) == broken


def test_the_plan_holds_everything_once_in_order():
    by_need = plan()
    names = [kind.name for needs in Needs for kinds in by_need[needs].values() for kind in kinds]
    assert sorted(names) == sorted([*GATES, *PROPERTIES])
    assert tuple(PROPERTIES) == PROPERTY_NAMES
    order = stage_order()
    assert len(set(order)) == len(order)
    for before, after in [
        ("validity", "redox"), ("redox", "capacity"), ("novelty", "relax_discharged"), ("relax_discharged", "hull"),
        ("hull", "relax_charged"), ("relax_charged", "topotactic"), ("topotactic", "voltage"),
    ]:  # fmt: skip
        assert order.index(before) < order.index(after)
    for name, kind in [(k.name, k) for needs in Needs for kinds in by_need[needs].values() for k in kinds]:
        assert kind.summary
        assert hasattr(kind, "unit") == (name in PROPERTIES)


def test_settings_and_base_import_without_torch_and_pymatgen():
    code = (
        "import sys, redoxa.screening.base, redoxa.screening.settings, redoxa.screening.workers.worker;"
        "print([m for m in ('torch', 'pymatgen') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_verdict_is_the_gravest():
    from redoxa.data.records import Reason
    from redoxa.screening.base import Findings

    def reason(verdict: Verdict) -> Reason:
        return Reason(stage="s", code="c", text="t", verdict=verdict)

    assert Findings().verdict is Verdict.PASS
    assert Findings(reasons=[reason(Verdict.PASS), reason(Verdict.FAIL)]).verdict is Verdict.FAIL
    assert Findings(reasons=[reason(Verdict.UNDETERMINED), reason(Verdict.FAIL)]).verdict is Verdict.FAIL
    assert Findings(reasons=[reason(Verdict.UNDETERMINED), reason(Verdict.PASS)]).verdict is Verdict.UNDETERMINED
    assert Findings(reasons=[reason(Verdict.ERROR), reason(Verdict.FAIL)]).verdict is Verdict.ERROR


# -- direction, and what has no host ------------------------------------------------------------------------------------


def made_of(formula: str) -> Crystal:
    """Atoms of a formula in some cell: these gates look at the composition alone."""
    from ase.data import atomic_numbers
    from pymatgen.core import Composition

    counts = Composition(formula).get_el_amt_dict()
    numbers = [atomic_numbers[e] for e, n in counts.items() for _ in range(int(n))]
    return cubic(numbers, [[i / len(numbers), 0, 0] for i in range(len(numbers))], 5.0)


@pytest.mark.parametrize(
    ("formula", "inserts", "anions", "removed", "room"),
    [
        ("LiCoO2", False, False, 1, ""), ("LiMn2O4", False, False, 1, "up to 1 more Li by LiMn2O4"),
        ("Li2MnO3", False, True, 2, ""), ("LiCo2O4", False, False, 1, "up to 1 more Li by Li(CoO2)2"),
        ("Li2RuO3", False, False, 1, ""), ("Li2TiO3", False, True, 2, ""),
        ("Li4Ti5O12", True, False, 3, "up to 3 more Li by Li4Ti5O12"), ("TiO2", True, False, 1, None),
        ("Li3V2P3O12", False, False, 3, "up to 2 more Li by Li3V2(PO4)3"),
    ],
)  # fmt: skip
def test_what_holds_the_ion_is_charged_first(formula, inserts, anions, removed, room):
    subject = Subject(candidate(made_of(formula)))
    found = Redox().evaluate(subject, permissive())
    assert (subject.inserts, subject.anion_redox, subject.converts) == (inserts, anions, False)
    assert subject.n_removed / subject.supercells == pytest.approx(removed, abs=0.3)
    assert [code for code, _ in codes(found)] == (["anion_redox"] if anions else [])
    if room is not None:
        assert found.notes.get("room", "") == room


def test_a_campaign_rejects_what_its_cations_cannot_pay_for():
    for formula, code in (("Li2MnO3", "no_redox"), ("LiAlO2", "no_redox"), ("Li15Si4", "no_redox"), ("Si", "no_redox")):
        assert codes(Redox().evaluate(Subject(candidate(made_of(formula))), AROUND)) == [(code, "fail")]


@pytest.mark.parametrize("formula", ["Li2O", "Li3N", "LiF", "LiAlO2", "Si", "Li15Si4", "LiSn", "Sb", "NiO", "LiMg"])
def test_what_has_no_host_is_judged_as_conversion(formula):
    subject = Subject(candidate(made_of(formula)))
    found = Redox().evaluate(subject, permissive())
    assert codes(found) == [("no_insertion", "pass")]
    assert (subject.converts, subject.n_removed) == (True, 0)
    assert CapacityGrav().evaluate(subject, permissive()).estimate is None


def test_other_ions_that_would_leave_are_named():
    found = Redox().evaluate(Subject(candidate(made_of("LiNaCo2O4"))), permissive())
    assert found.notes["other_ions"].startswith("Na would leave as well")
    assert "other_ions" not in Redox().evaluate(Subject(candidate(made_of("LiCoO2"))), permissive()).notes
