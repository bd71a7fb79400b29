from pathlib import Path

import pytest
from pymatgen.core import Composition

from redoxa.data.errors import InputError
from redoxa.data.synthesis.catalogue import Catalogue, CataloguePrecursor, default_catalogue, read_catalogue
from redoxa.data.synthesis.formula import parse_formula


def test_the_catalogue_is_of_useful_size_and_every_entry_balances() -> None:
    # Conservation and the CAS check digit are checked on reading: an entry that breaks them cannot be read at all.
    catalogue = default_catalogue()
    assert len(catalogue.precursors) >= 140
    assert len({p.cas for p in catalogue.precursors}) == len(catalogue.precursors)
    metals = {"Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Mo", "Nb", "W", "Zr", "Sn"}
    assert all(any(m in p.solid and "O" in p.solid for p in catalogue.precursors) for m in metals)


def test_molar_masses_agree_with_pymatgen() -> None:
    for precursor in default_catalogue().precursors:
        # pymatgen's table has older atomic weights (zinc 65.409, today 65.38).
        weight = Composition({e: float(n) for e, n in precursor.amounts.items()}).weight
        assert precursor.molar_mass_g_mol == pytest.approx(weight, rel=5e-4), precursor.formula


def test_residue_and_gas_of_a_hydrated_oxalate() -> None:
    oxalate = default_catalogue().get("FeC2O4·2H2O")
    assert oxalate is not None
    assert oxalate.solid == parse_formula("FeO")
    assert oxalate.gas == {"CO": 1, "CO2": 1, "H2O": 2}


def entry(**fields: object) -> dict[str, object]:
    return {"formula": "Li2CO3", "name": "x", "cas": "554-13-2", "stable_C": 723, **fields}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"residue": {"Li2O": 1}}, "do not add up"),
        ({"residue": {"Li2O": 1}, "gas": {"CO2": 2}}, "do not add up"),
        ({"cas": "554-13-3"}, "check digit"),
        ({"cas": "lithium"}, "not a CAS number"),
        ({"hazards": ["spicy"]}, "Input should be"),
        ({"colour": "white"}, "Extra inputs"),
    ],
)
def test_a_wrong_entry_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CataloguePrecursor.model_validate(entry(**fields))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nprecursors: [{formula: Li2CO3}]\n")
    with pytest.raises(InputError, match=r"mine\.yaml"):
        read_catalogue(path)
    row = "{formula: Li2CO3, name: x, cas: 554-13-2, stable_C: 723}"
    path.write_text(f"version: 1\nprecursors: [{row}, {row}]\n")
    with pytest.raises(InputError, match="twice"):
        read_catalogue(path)


def test_without_gives_a_poorer_catalogue() -> None:
    poorer: Catalogue = default_catalogue().without(frozenset({"V2O3"}))
    assert poorer.get("V2O3") is None
    assert poorer.get("V2O5") is not None
    assert poorer.get("no such powder") is None
