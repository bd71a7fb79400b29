"""Ions into empty hosts, and in the place of other ions."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.chemistry import insertable_ions
from redoxa.data.errors import InputError
from redoxa.data.records import Crystal, Verdict
from redoxa.data.tables.prototypes import load_prototypes, prototype
from redoxa.screening.funnel import Context, screen
from redoxa.screening.ions.empty_sites import empty_sites
from redoxa.screening.ions.insertion import APART_A, exchanged, fillings
from redoxa.screening.ions.removal import ion_sites, supercell, without
from redoxa.screening.settings import ScreenSettings
from redoxa.screening.workers.pool import InlinePool
from tests.unit.screening.conftest import METALS, candidate, distorted, reference_of

HOSTS = [p.name for p in load_prototypes() if not p.leaving]
ELEMENTS = {**METALS, "Ti": -7.9, "S": -4.1, "O2": -4.95, "Co": -7.1}


def host_of(name: str) -> Crystal:
    entry = prototype(name)
    return without(entry.crystal, ion_sites(entry.crystal, entry.working_ion))


def apart_A(crystal: Crystal, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from pymatgen.core import Lattice

    return np.asarray(Lattice(crystal.lattice_A).get_all_distances(a, b))


@pytest.mark.parametrize("name", HOSTS)
def test_the_published_sites_are_found_in_the_emptied_host(name):
    entry = prototype(name)
    published = np.array(entry.crystal.frac_coords)[ion_sites(entry.crystal, entry.working_ion)]
    found = np.array([site.frac for site in empty_sites(host_of(name), entry.working_ion)])
    assert apart_A(entry.crystal, published, found).min(1).max() < 0.5


def test_places_do_not_depend_on_origin_orientation_and_order():
    host = host_of("anatase LiTiO2")
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    other = Crystal(
        numbers=host.numbers[::-1],
        frac_coords=[[x + 0.21 for x in row] for row in host.frac_coords[::-1]],
        lattice_A=(np.array(host.lattice_A) @ turn).tolist(),
    )
    a, b = (sorted((s.clearance_A, s.bond_valence) for s in empty_sites(h, "Li")) for h in (host, other))
    assert np.allclose(a, b, atol=1e-3)


def test_a_close_packed_salt_has_no_room_for_potassium():
    salt = prototype("perovskite KFeF3").crystal
    assert empty_sites(salt, "K") == []


@pytest.mark.parametrize(
    ("name", "ions"),
    [
        ("anatase LiTiO2", 2),
        ("layered LiTiS2", 1),
        ("olivine LiFePO4", 4),
        ("thiospinel MgTi2S4", 2),
        ("graphite LiC6", 1),
    ],
)
def test_as_many_ions_enter_as_one_electron_by_redox_atom_pays_for(name, ions):
    assert insertable_ions(host_of(name).composition, prototype(name).working_ion) == pytest.approx(ions)


def test_fillings_are_distinct_and_keep_the_ions_apart():
    host = host_of("anatase LiTiO2")
    made = fillings(host, "Li", 2, most=4)
    assert len(made) > 1
    for crystal, moving in made:
        assert crystal.numbers[: host.n_atoms] == host.numbers
        assert [crystal.numbers[i] for i in moving] == [3, 3]
        ions = np.array(crystal.frac_coords)[list(moving)]
        assert apart_A(crystal, ions, ions)[0, 1] >= APART_A


def test_an_empty_host_gives_the_voltage_of_the_filled_one(chgnet):
    filled = candidate(prototype("layered LiTiS2").crystal)
    empty = candidate(distorted(host_of("layered LiTiS2"), 4, 0.03, 0.01))
    settings = ScreenSettings.permissive(workers=1)
    with Context(reference_of(ELEMENTS), pool=InlinePool("chgnet")) as context:
        found = {r.candidate_id: r for r in screen([filled, empty], settings, context)}
    removed, inserted = found[filled.id], found[empty.id]
    assert removed.verdict is inserted.verdict is Verdict.PASS
    for name in ("average_voltage", "capacity_grav", "capacity_vol", "max_delta_volume"):
        assert inserted.estimates[name].value == pytest.approx(removed.estimates[name].value, rel=0.02, abs=0.02)
    assert inserted.crystals["discharged"].composition == {"Ti": 1, "S": 2, "Li": 1}
    assert inserted.crystals["charged"].composition == {"Ti": 1, "S": 2}


def test_without_insertion_an_empty_host_is_refused():
    with Context(reference_of(ELEMENTS)) as context:
        (result,) = screen([candidate(host_of("layered LiTiS2"))], ScreenSettings(workers=1), context)
    assert result.reasons[-1].code == "no_working_ion"


def test_exchange_at_the_same_charge():
    sodium = exchanged(prototype("O3 LiCoO2").crystal, "Li", "Na")
    assert sodium.composition == {"Na": 1, "Co": 1, "O": 2}
    assert sodium.volume_A3 == pytest.approx(37.6, rel=0.08)  # NaCoO2, Takahashi 2003
    magnesium = exchanged(prototype("O3 LiCoO2").crystal, "Li", "Mg")
    assert magnesium.composition == {"Mg": 1, "Co": 2, "O": 4}
    olivine = exchanged(prototype("olivine LiFePO4").crystal, "Li", "Al")
    assert olivine.composition["Al"] * 3 == olivine.composition["P"]


def test_exchange_is_refused_where_it_has_no_meaning():
    with pytest.raises(InputError, match="holds no Na"):
        exchanged(prototype("O3 LiCoO2").crystal, "Na", "K")
    with pytest.raises(InputError, match="cannot be filled"):
        exchanged(prototype("spinel MgMn2O4").crystal, "Mg", "Li")
    both = supercell(prototype("O3 LiCoO2").crystal, 2)
    mixed = both.model_copy(update={"numbers": (3, 11, *both.numbers[2:])})
    with pytest.raises(InputError, match="holds Na already"):
        exchanged(mixed, "Li", "Na")
