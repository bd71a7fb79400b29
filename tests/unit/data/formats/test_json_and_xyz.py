"""Crystals in JSON and in extended XYZ."""

from __future__ import annotations

import copy
import json

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from redoxa.data.errors import StructureError
from redoxa.data.formats.extxyz import read_extxyz
from redoxa.data.formats.found import Reading
from redoxa.data.formats.json_forms import read_json

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Li", "F"], [(0, 0, 0), (0.5, 0.5, 0.5)])
PLAIN = json.loads(SALT.to_json())
CHARGED = json.loads(SALT.copy().add_oxidation_state_by_element({"Li": 1, "F": -1}).to_json())
ENTRY = json.loads(json.dumps(ComputedStructureEntry(SALT, -9.0, entry_id="mp-1138").as_dict()))
DOCUMENT = {"material_id": "mp-1138", "formula_pretty": "LiF", "structure": PLAIN}
OPTIMADE = {
    "id": "mp-1138", "type": "structures",
    "attributes": {
        "dimension_types": [1, 1, 1], "nperiodic_dimensions": 3, "structure_features": [],
        "lattice_vectors": [[4.2, 0, 0], [0, 4.2, 0], [0, 0, 4.2]],
        "cartesian_site_positions": [[4.2 * x for x in site["abc"]] for site in PLAIN["sites"]],
        "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in ("Li", "F")],
        "species_at_sites": ["Li"] * 4 + ["F"] * 4,
    },
}  # fmt: skip
PARAMETERS = copy.deepcopy(PLAIN)
del PARAMETERS["lattice"]["matrix"]


def changed(value, *path, to):
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return value


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (PLAIN, 1), (CHARGED, 1), (PARAMETERS, 1), (ENTRY, 1), (DOCUMENT, 1), ([PLAIN, CHARGED], 2), ([ENTRY] * 2, 2),
        ({"data": [DOCUMENT] * 3, "meta": {"total_doc": 3}}, 3), (OPTIMADE, 1), ({"data": OPTIMADE}, 1),
        ({"data": [OPTIMADE, OPTIMADE], "meta": {"api_version": "1.2.0"}}, 2), (OPTIMADE["attributes"], 1),
        (changed(PLAIN, "sites", 0, "species", 0, "occu", to=0.9999), 1),
    ],
)  # fmt: skip
def test_every_common_form_is_read(value, count):
    found = read_json(json.dumps(value))
    assert len(found) == count
    for one in found:
        assert isinstance(one, Reading)
        assert one.crystal.composition == {"Li": 4, "F": 4}
        assert one.crystal.volume_A3 == pytest.approx(4.2**3)
        assert bool(one.remarks) == ("0.9999" in json.dumps(value))


def test_the_names_of_documents_are_kept():
    names = [one.label for one in read_json(json.dumps([DOCUMENT, ENTRY, OPTIMADE, PLAIN]))]
    assert names == ["mp-1138", "mp-1138", "mp-1138", ""]


SPECIES = ("attributes", "species", 0)


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (changed(PLAIN, "lattice", "pbc", to=[True, True, False]), "periodic in 2 of 3 directions: a slab"),
        (changed(OPTIMADE, "attributes", "dimension_types", to=[0, 0, 1]), "periodic in 1 of 3 directions: a wire"),
        (changed(OPTIMADE, "attributes", "structure_features", to=["implicit_atoms"]), "atoms without positions"),
        (changed(OPTIMADE, *SPECIES, "attached", to=["H"]), "attached atoms"),
        (changed(OPTIMADE, *SPECIES, "concentration", to=[0.5]), "partial occupancies"),
        (changed(OPTIMADE, *SPECIES, "chemical_symbols", to=["X"]), "'X' is not an element"),
        (changed(PLAIN, "sites", 0, "species", 0, "occu", to=0.5), "partial occupancies"),
        (changed(PLAIN, "sites", 0, "species", 0, "element", to="X0+"), "not an element"),
        (changed(PLAIN, "sites", 0, "abc", to=[0, 0, float("nan")]), "finite numbers"),
        (changed(PLAIN, "sites", 0, "abc", to=[0, 0]), "finite numbers"),
        (changed(PLAIN, "lattice", "matrix", to=[[1e400] * 3] * 3), "finite numbers"),
        (changed(PLAIN, "lattice", to=None), "cannot be read|NoneType"),
        ({"sites": PLAIN["sites"]}, "is a molecule"),
        ({**PLAIN, "sites": PLAIN["sites"] * 100}, "800 atoms; at most 200"),
        ([1, 2], "entry 1 of the list holds no structure"),
    ],
)
def test_what_cannot_be_a_crystal_is_refused(value, pattern):
    found = read_json(json.dumps(value))
    assert isinstance(found[0], StructureError)
    with pytest.raises(StructureError, match=pattern):
        raise found[0]


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a": 1}', "[]", "3", '{"structure": 1}', "1" * 10_000])
def test_what_holds_none_is_refused(text):
    with pytest.raises(StructureError, match=r"is not JSON|holds no structure"):
        read_json(text)


def test_no_class_that_a_file_names_is_called():
    site = {
        **PLAIN["sites"][0],
        "properties": {"a": {"@module": "subprocess", "@class": "Popen", "args": ["touch", "x"]}},
    }
    (found,) = read_json(json.dumps({**PLAIN, "sites": [site, *PLAIN["sites"][1:]]}))
    assert isinstance(found, Reading)


COMMENT = 'Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 pbc="T T T"'


def frame(first="Na", second="Cl", comment=COMMENT, count=2, rest=""):
    return f"{count}\n{comment}\n{first} 0 0 0{rest}\n{second} 1.5 1.5 1.5{rest}\n"


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        (frame(), 0), (frame("Na+", "Cl-"), 0), (frame("Na1+", "Cl1-"), 0), (frame("NA", "CL"), 2),
        (frame(comment=COMMENT.replace('pbc="T T T"', "")), 0),
        (frame(comment=COMMENT.replace("pos:R:3", "pos:R:3:forces:R:3") + " energy=-3.0", rest=" 0 0 0.1"), 0),
        (frame(comment=COMMENT.replace("species:S:1", "Z:I:1"), first="11", second="17"), 0),
        (frame().replace("\n", "\r\n"), 0),
    ],
)  # fmt: skip
def test_frames(text, remarks):
    (found,) = read_extxyz(text)
    assert isinstance(found, Reading), found
    assert found.crystal.composition == {"Na": 1, "Cl": 1}
    assert found.crystal.frac_coords == ((0, 0, 0), (0.5, 0.5, 0.5))
    assert len(found.remarks) == remarks


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (frame(comment=COMMENT.replace('"T T T"', '"T T F"')), "a slab"),
        (frame(comment="Properties=species:S:1:pos:R:3"), "no periodic cell"),
        (frame(comment=COMMENT.replace("3 0 0 0 3 0", "3 0 0 3 0 0")), "has no volume"),
        (frame("Xq"), "'Xq' is not an element"),
        (frame(comment=COMMENT.replace("3 0 0 0", "nan 0 0 0")), "finite|no periodic cell"),
        (frame(count=3), "is to hold 3 atoms"),
        (frame(count=2000000000), "is to hold 2000000000 atoms"),
        (frame(count="two"), "begins with its number of atoms"),
        ("0\n" + COMMENT + "\n", "no atoms|cannot be read"),
    ],
)
def test_frames_that_are_no_crystals(text, pattern):
    (found,) = read_extxyz(text)
    with pytest.raises(StructureError, match=pattern):
        raise found


def test_deuterium_in_a_frame():
    (found,) = read_extxyz(frame("D", "Cl"))
    assert found.crystal.composition == {"H": 1, "Cl": 1}
    assert found.remarks == ("deuterium was read as hydrogen",)
