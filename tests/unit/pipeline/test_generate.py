"""Options of `redoxa generate` and the folder it writes."""

from __future__ import annotations

import csv
import itertools
from functools import partial
from pathlib import Path

import pytest
from ase.io import read

from redoxa.data.chemistry import removable_ions
from redoxa.data.errors import GenerationError, InputError
from redoxa.data.fingerprint import SAME_UNRELAXED, distance, fingerprint, spacegroup
from redoxa.data.io import cif_text, read_crystals
from redoxa.data.progress import Watcher
from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import Predicted, cells_of, listed
from redoxa.generators.orbits.formulas import ties
from redoxa.pipeline.results.samples import Samples
from redoxa.pipeline.tasks.generate import generate
from redoxa.pipeline.tasks.generate_options import GenerateOptions, parse_formula, read_compositions
from redoxa.pipeline.tasks.relaxer import SymmetricRelaxer
from tests.formulas import small_mixture

OPTIONS = {
    "n": 4,
    "elements": None,
    "require": None,
    "formula": None,
    "compositions": None,
    "max_atoms": None,
    "charge_neutral": False,
}


def request(**changes: object) -> GenerateOptions:
    return GenerateOptions.read(**{**OPTIONS, **changes})  # type: ignore[arg-type]


def test_formulas_become_exact_contents() -> None:
    assert parse_formula("Na3V2(PO4)3", "x") == {11: 3, 23: 2, 15: 3, 8: 12}
    for bad in ("", "Li0.5CoO2", "LiXx2", "Li-Co", "O999"):
        with pytest.raises(InputError, match="x: "):
            parse_formula(bad, "x")


def test_a_formula_comes_in_cells_of_every_size() -> None:
    asked = request(formula="Li2Fe2P2O8", n=4)
    assert (asked.formula, asked.condition.contents) == ({3: 2, 26: 2, 15: 2, 8: 8}, ())
    cells = cells_of({3: 2, 26: 2, 15: 2, 8: 8}, asked.condition.n_atoms[1])
    assert [sum(cell.values()) for cell in cells] == [7, 14, 21, 28, 35, 42, 49, 56]
    assert request(formula="LiFePO4", max_atoms=14).condition.n_atoms[1] == 14
    with pytest.raises(InputError, match="more atoms than --max-atoms 6"):
        request(formula="LiFePO4", max_atoms=6)


def sampled(generator: str, options: GenerateOptions, seed: int, out: Path, **how: object) -> Samples:
    """Samples, and the folder of them."""
    made = generate(generator, options, seed, **how)  # type: ignore[arg-type]
    made.write(out)
    return made


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relaxations without workers, which take seconds to start."""
    monkeypatch.setattr("redoxa.pipeline.tasks.generate.SymmetricRelaxer", partial(SymmetricRelaxer, workers=1))


@pytest.mark.parametrize(
    ("formula", "groups"),
    [
        ("MgO", {225}),
        ("LiCoO2", {166}),
        pytest.param("LiFePO4", {62}, marks=pytest.mark.slow),
        pytest.param("LiMn2O4", {227}, marks=pytest.mark.slow),
        pytest.param("TiO2", {136, 141}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("in_this_process")
def test_the_known_structure_is_the_first_or_second_answer(formula: str, groups: set[int], tmp_path: Path) -> None:
    sampled("orbits", request(formula=formula, n=2), 0, tmp_path)
    rows = list(csv.DictReader((tmp_path / "samples.csv").open()))
    assert groups & {int(row["space_group"]) for row in rows}
    assert all(-12 < float(row["energy_eV_per_atom"]) < -4 and 0 < float(row["probability"]) <= 1 for row in rows)
    assert 0 < sum(float(row["probability_with_energy"]) for row in rows) <= 1 + 1e-9


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_nasicon_is_found_with_its_sodium_in_order(tmp_path: Path) -> None:
    sampled("orbits", request(formula="Na3V2(PO4)3", n=2), 0, tmp_path)
    frame = read(tmp_path / "samples.extxyz", index=0)
    del frame[[atom.index for atom in frame if atom.symbol == "Na"]]
    host = Crystal(numbers=frame.numbers, frac_coords=frame.get_scaled_positions(), lattice_A=frame.cell[:])
    assert spacegroup(host, 0.5) == 167


def test_fewer_answers_than_asked_for_are_all_there_is(tmp_path: Path) -> None:
    asked = request(formula="Na3V2(PO4)3", n=40)
    made = sampled("orbits", asked, 0, tmp_path, energies=False)
    assert 2 < len(made) < 40
    assert f"only {len(made)} different structures were found, 40 were asked for" in made.notes
    marks = [fingerprint(found.crystal) for found in read_crystals(tmp_path / "samples.extxyz")]
    assert all(distance(a, b) > SAME_UNRELAXED for a, b in itertools.combinations(marks, 2))


@pytest.mark.parametrize("what", ["formula", "compositions"])
def test_another_polymorph_is_unlike_every_known_crystal_of_the_formula(what: str, tmp_path: Path) -> None:
    (tmp_path / "cells").write_text("LiCoO2\n" * 3)
    asked = {"formula": "LiCoO2", "n": 3} if what == "formula" else {"compositions": tmp_path / "cells"}
    plain, other = (
        sampled("orbits", request(**asked, another_polymorph=another), 0, tmp_path / str(another), energies=False)
        for another in (False, True)
    )
    known = load_known_materials()
    levels = [[known.nearest(one.crystal, SAME_UNRELAXED) for one in made] for made in (plain, other)]
    assert len(other) == 3
    assert any(match is not None and match.level == "structure" for match in levels[0])
    assert all(match is not None and match.level == "formula" for match in levels[1])


def test_another_polymorph_is_of_a_formula_and_of_a_generator_that_knows_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name one with --formula or --compositions"):
        request(another_polymorph=True)
    with pytest.raises(GenerationError, match="use `orbits`"):
        sampled("template", request(formula="LiCoO2", another_polymorph=True), 0, tmp_path)


def test_answers_within_15_meV_are_a_tie_with_probabilities() -> None:
    def answer(energy_eV_per_atom: float, chance: float) -> Predicted:
        values = {"energy_eV_per_atom": energy_eV_per_atom, "probability_with_energy": chance}
        return Predicted(prototype("O3 LiCoO2").crystal, "", values)

    (note,) = ties([answer(-5.0, 0.5), answer(-5.02, 0.2), answer(-4.986, 0.3)])
    assert note.startswith("answers 1 and 3 lie within 15 meV/atom of the first")
    assert note.endswith("their probabilities, energies included, are 0.50, 0.30")
    assert ties([answer(-5.0, 0.9), answer(-4.98, 0.1)]) == []
    assert ties([Predicted(prototype("O3 LiCoO2").crystal, "")] * 2) == []


def test_what_the_budget_leaves_out_is_named(tmp_path: Path) -> None:
    made = sampled("orbits", request(formula="LiCoO2", n=3), 0, tmp_path, budget_s=0.0)
    assert any("16 of 16 likely structures do not fit into 0 s" in line for line in made.notes)
    assert any("cells of 20, 24, " in line for line in made.notes)


def test_a_generator_that_cannot_compare_sizes_takes_them_in_turn(tmp_path: Path) -> None:
    made = sampled("template", request(formula="LiFePO4", n=8), 0, tmp_path)
    rows = list(csv.DictReader((tmp_path / "samples.csv").open()))
    assert [int(row["n_atoms"]) for row in rows][:3] == [7, 14, 28]
    assert any("smallest cell first" in line for line in made.notes)


def test_compositions_are_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "c.txt"
    file.write_text("# three\nLi4Fe4P4O16\n\nLiCoO2\nLi2Co2O4\n")
    made = request(compositions=file)
    assert made.n == 3
    assert made.condition.contents[2] == {3: 2, 27: 2, 8: 4}
    file.write_text("LiCoO2\nLiCoOO2x\n")
    with pytest.raises(InputError, match=r"c\.txt:2: "):
        read_compositions(file)
    file.write_text("\n")
    with pytest.raises(InputError, match="holds no compositions"):
        read_compositions(file)


def test_options_that_contradict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude one another"):
        request(formula="LiCoO2", compositions=tmp_path / "c.txt")
    with pytest.raises(InputError, match="not within --elements"):
        request(elements="Li,O", require="Na")
    with pytest.raises(InputError, match="outside --elements"):
        request(elements="Li,O", formula="LiCoO2")
    with pytest.raises(InputError, match="'Lo' is not an element symbol"):
        request(elements="Lo,O")


def test_three_files_in_the_same_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = request(n=5, elements="Li,Mn,Fe,Co,O", require="Li", max_atoms=12)
    for _ in range(2):  # the second time replaces the first
        assert len(sampled("substitution", asked, 3, out)) == 5
    rows = list(csv.DictReader((out / "samples.csv").open()))
    frames = read(out / "samples.extxyz", index=":")
    cifs = sorted(out.glob("*.cif"))
    assert [r["file"] for r in rows] == [c.name for c in cifs] == [f.info["label"] for f in frames]
    for row, frame, cif in zip(rows, frames, cifs, strict=True):
        assert len(frame) == int(row["n_atoms"]) <= 12
        assert {*frame.get_chemical_symbols()} <= {"Li", "Mn", "Fe", "Co", "O"}
        assert "Li" in frame.get_chemical_symbols()
        assert sorted(read(cif).get_atomic_numbers()) == sorted(frame.numbers) or len(read(cif)) % len(frame) == 0


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(InputError, match="give another folder"):
        sampled("substitution", request(), 0, tmp_path)


def test_earlier_samples_stay_until_new_ones_are_complete(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = request(n=3, elements="Li,Mn,Fe,Co,O", require="Li")
    sampled("substitution", asked, 0, out)
    (out / "0000_theirs.cif").write_text("somebody's")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fails(*_: object) -> None:
        raise GenerationError("the second command fails")

    with pytest.raises(GenerationError):
        sampled("substitution", asked, 1, out, watcher=Watcher(fails))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    sampled("substitution", request(n=1, elements="Na,Ti,O"), 1, out)
    names = {path.name for path in out.iterdir()}
    assert len(names) == 4
    assert "0000_theirs.cif" in names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("table", ["file\n../precious.cif\n", "a,b\n1,2\n", "file\n\n"])
def test_a_table_of_samples_deletes_nothing_outside_its_folder(tmp_path: Path, table: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "samples.csv").write_text(table)
    (tmp_path / "precious.cif").write_text("precious")
    try:
        sampled("substitution", request(n=1), 0, out)
    except InputError:
        assert table.startswith("a,b")
    assert (tmp_path / "precious.cif").exists()


def test_space_groups_targets_and_a_crystal_to_be_like(tmp_path: Path) -> None:
    aims = ["average_voltage=3..4.5", "capacity_grav=150.."]
    found = request(space_groups="62, trigonal", require="Na", targets=aims).condition
    assert found.groups == {62, *range(143, 168)}
    assert [(t.property, t.low, t.high) for t in found.targets] == [
        ("average_voltage", 3.0, 4.5),
        ("capacity_grav", 150.0, None),
    ]
    olivine = prototype("olivine LiFePO4").crystal
    file = tmp_path / "olivine.cif"
    file.write_text(cif_text(olivine), encoding="utf-8")
    found = request(like=file, drop="Li", keep="Fe,P,O", require="Na").condition
    assert found.like is not None
    assert found.like.formula == "FePO4"
    assert found.keep == {26, 15, 8}


def test_where_an_electrode_is_aimed_at_other_working_ions_are_left_out() -> None:
    ions = {3, 11, 12, 13, 19, 20, 30}
    aim = {"targets": ["average_voltage=3..4"], "require": "Na"}
    assert request(**aim).condition.allowed & ions == {11}
    assert request(**aim | {"elements": "Na,K,Fe,F"}).condition.allowed == {9, 11, 19, 26}
    assert request(**aim | {"require": "Na,Ti"}).condition.allowed >= {8, 11, 22}
    assert request(require="Na", targets=["stability_discharge=..0.05"]).condition.allowed == frozenset()


@pytest.mark.slow
def test_an_electrode_can_be_oxidised_and_what_is_foreseen_is_in_the_table(tmp_path: Path) -> None:
    asked = request(n=6, require="Na", targets=["average_voltage=3..4"])
    sampled("orbits", asked, 0, tmp_path)
    rows = list(csv.DictReader((tmp_path / "samples.csv").open()))
    assert all(3 <= float(row["foreseen_average_voltage_V"]) <= 4 for row in rows)
    for crystal in (found.crystal for found in read_crystals(tmp_path / "samples.extxyz")):
        assert removable_ions(crystal.composition, "Na") > 0
        assert not {3, 12, 13, 19, 20, 30} & set(crystal.numbers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space_groups": "0"}, "--space-groups: '0'"),
        ({"space_groups": "cubical"}, "--space-groups: 'cubical'"),
        ({"targets": ["voltage=3..4"]}, "'voltage' is none of average_voltage"),
        ({"targets": ["average_voltage=3"]}, "names no range"),
        ({"targets": ["average_voltage=nan..4"]}, "must have finite ends"),
        ({"targets": ["average_voltage=3..inf"]}, "must have finite ends"),
        ({"targets": ["average_voltage=.."]}, "names neither end"),
        ({"targets": ["average_voltage=3..4"]}, "working ion with --require, e.g. --require Li .found: none"),
        ({"targets": ["capacity_grav=9.."], "require": "Li,Na"}, "found: Li, Na"),
        ({"formula": "Og2O"}, "Og is not an element up to Lr"),
        ({"require": "Og"}, "not an element symbol up to Lr"),
        ({"formula": "Li" * 50_000}, "has 100000 characters"),
        ({"formula": "(" * 90 + "Li" + ")9" * 54}, "is not a formula"),
        ({"formula": "(" * 60 + "Li" + ")9" * 60}, "is not a formula"),
        ({"formula": "Li1" + "0" * 30 + "O2"}, "at most 60"),
        ({"formula": "Li1e308O1e308"}, "has inf atoms; at most 60"),
        ({"formula": "Li1e400"}, "whole numbers"),
        ({"targets": ["average_voltage=4..3"]}, "ends before it begins"),
        ({"keep": "Fe"}, "--like"),
    ],
)
def test_unusable_conditions_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        request(**changes)


def test_sizes_in_words() -> None:
    assert listed([49, 7, 21, 35, 7]) == "7, 21, 35 and 49"
    assert listed([3, *range(9, 61), 4]) == "3, 4 and 9 to 60"
    assert listed([28]) == "28"


def test_a_family_is_taken_by_who_has_some(tmp_path: Path) -> None:
    weights = small_mixture(tmp_path / "mixture.safetensors")
    asked = request(elements="Li,Mn,Fe,O,S", require="Li", max_atoms=10, n=3)
    made = sampled("composition", asked, 0, tmp_path / "out", checkpoint=weights, family="mixture")
    assert made.generator == "composition (mixture)"
    assert all(one.label.startswith("mixture: ") for one in made)
    plain = generate("composition", asked, 0, weights)
    assert plain.generator == "composition"
    assert [one.crystal for one in plain] == [one.crystal for one in made]
    with pytest.raises(InputError, match="holds a model of the family mixture; hmm was asked for"):
        generate("composition", asked, 0, weights, family="hmm")
    with pytest.raises(InputError, match="substitution has no families; leave family out"):
        generate("substitution", asked, 0, family="hmm")


def test_the_best_of_several_is_taken_by_who_can() -> None:
    asked = request(elements="Li,Mn,Fe,O", require="Li", max_atoms=8, n=2)
    assert len(generate("orbits", asked, 0, best_of=3)) == 2
    with pytest.raises(InputError, match="substitution cannot choose the best of several"):
        generate("substitution", asked, 0, best_of=2)
    with pytest.raises(InputError, match="--best-of: a formula is answered"):
        generate("orbits", request(formula="LiFeO2", n=1), 0, best_of=2)
