"""Reference energies: lookup, coverage, hulls, and scales that are never mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.errors import InputError
from redoxa.data.provenance import Source, provenance_path, read_provenance, sha256_of, write_provenance
from redoxa.data.tables.reference import Reference, ReferenceEntry, energy_scale, load_reference, write_table

SCALE = energy_scale("PBE", "toy-1")


def entry(formula: str, energy_eV_per_atom: float, name: str = "", **more: object) -> ReferenceEntry:
    fields = {"source": "test", "kind": "relaxed", **more}
    return ReferenceEntry(formula, energy_eV_per_atom, name or formula, **fields)  # type: ignore[arg-type]


def toy() -> Reference:
    return Reference(
        [
            entry("Li", -2.0),
            entry("Li", -1.9, "worse", kind="single_point"),
            entry("Fe", -8.0),
            entry("O2", -5.0),
            entry("Li2O", -5.0),
            entry("Fe2O3", -7.0, kind="single_point"),
            entry("LiFeO2", -6.6),
        ],
        SCALE,
    )


def test_the_lowest_of_a_formula_stays_with_its_polymorphs() -> None:
    lithium = toy().elements["Li"]
    assert (lithium.energy_eV_per_atom, lithium.name, lithium.polymorphs) == (-2.0, "Li", 2)
    assert toy().ion_metal_energy("Li") == -2.0


def test_entries_of_a_system_hold_its_subsystems_only() -> None:
    assert [e.formula for e in toy().entries(["Li", "O"])] == ["Li", "Li2O", "O2"]
    assert len(toy().entries(["Li", "Fe", "O", "P"])) == len(toy()) == 6


def test_coverage() -> None:
    coverage = toy().coverage(["O", "Fe", "Li"], published=["Li2O", "LiFe5O8", "Li5FeO4"])
    assert (coverage.n_phases, coverage.n_full, coverage.n_relaxed, coverage.n_without_energy) == (6, 1, 5, 2)
    assert coverage.text == (
        "against 6 reference phases in Fe-Li-O, 1 of them with all its elements; "
        "2 more published formulas have no reference energy"
    )


def test_a_missing_element_means_no_hull() -> None:
    assert toy().coverage(["Li", "Po"]).missing == ("Po",)
    with pytest.raises(InputError, match="no reference energy for Po"):
        toy().pd_entries(["Li", "Po"])
    with pytest.raises(InputError, match="no elemental K"):
        toy().ion_metal_energy("K")


def test_hull_distance_by_hand() -> None:
    """LiFeO2 from 1/4 Li2O (3 of 8 atoms) and 1/4 Fe2O3 (5 of 8): hull at -(3*5 + 5*7)/8 = -6.25 eV/atom."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    without = [e for e in toy().pd_entries(["Li", "Fe", "O"]) if e.name != "LiFeO2"]
    candidate = PDEntry("LiFeO2", 4 * -6.20)
    assert PhaseDiagram(without).get_e_above_hull(candidate, allow_negative=True) == pytest.approx(0.05)
    full = PhaseDiagram(toy().pd_entries(["Li", "Fe", "O"]))
    assert full.get_e_above_hull(candidate) == pytest.approx(0.40)


def test_scales_are_never_mixed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    write_table(ours, toy(), SCALE)
    write_table(theirs, [entry("Li", -1.9)], energy_scale("PBE", "toy-2"))
    with pytest.raises(InputError, match="Scales are never mixed") as caught:
        load_reference(ours, extra=[theirs])
    assert "theirs.parquet" in str(caught.value)
    with pytest.raises(InputError, match="never mixed"):
        toy().merged(Reference([], "r2SCAN by toy-1"))
    with pytest.raises(InputError, match="never mixed"):
        toy().require_scale("PBE by toy-2")
    toy().require_scale(SCALE)


def test_tables_survive_writing_and_merge(tmp_path: Path) -> None:
    ours, more = tmp_path / "ours.parquet", tmp_path / "more.parquet"
    write_table(ours, toy(), SCALE)
    write_table(more, [entry("LiFeO2", -6.7, "user"), entry("LiFe5O8", -7.1, "user")], SCALE)
    again = load_reference(ours)
    assert again.scale == SCALE
    assert sorted(again, key=lambda e: e.formula) == sorted(toy(), key=lambda e: e.formula)
    merged = load_reference(ours, extra=[more])
    lowest = {e.formula: e for e in merged.entries(["Li", "Fe", "O"])}
    assert (lowest["LiFeO2"].name, lowest["LiFeO2"].polymorphs) == ("user", 2)
    assert merged.coverage(["Li", "Fe", "O"]).n_full == 2


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(InputError, match="cannot be read"):
        load_reference(tmp_path / "none.parquet")
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"formula": ["Li"]}), foreign)
    with pytest.raises(InputError, match="lacks energy_eV_per_atom"):
        load_reference(foreign)


def test_provenance_says_what_made_a_file(tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    write_table(file, toy(), SCALE)
    source = Source(name="toy", attribution="nobody", rows=7)
    record = write_provenance(file, "make it", (source,), packages=("pyarrow", "no-such-package"), facts={"n": 7})
    assert record.sha256 == sha256_of(file)
    assert set(record.versions) == {"python", "pyarrow"}
    assert read_provenance(file) == record
    assert provenance_path(file) == tmp_path / "table.json"
    with pytest.raises(InputError, match="provenance"):
        read_provenance(tmp_path / "other.parquet")


def test_shipped_reference() -> None:
    """CHGNet 0.3.0: bcc Li -1.8802 and Na -1.2889 eV/atom, 9R some meV lower; solid O2 near the MP's -4.947."""
    reference = load_reference()
    assert "chgnet-0.3.0" in reference.scale
    assert reference.ion_metal_energy("Li") == pytest.approx(-1.882, abs=0.003)
    assert reference.ion_metal_energy("Na") == pytest.approx(-1.293, abs=0.005)
    assert reference.ion_metal_energy("O") == pytest.approx(-4.94, abs=0.02)
    for element in [
        "Li",
        "Na",
        "K",
        "Mg",
        "Ca",
        "Zn",
        "Al",
        "Ti",
        "V",
        "Cr",
        "Mn",
        "Fe",
        "Co",
        "Ni",
        "Cu",
        "Nb",
        "Mo",
        "O",
        "F",
        "S",
        "P",
        "Si",
        "B",
        "C",
        "N",
        "Cl",
    ]:
        assert element in reference.elements
    coverage = reference.coverage(["Li", "Fe", "P", "O"])
    assert coverage.n_phases > 40
    assert coverage.n_full >= 3
    assert {"Li2O", "Li3PO4", "Fe2O3", "LiFePO4"} <= {e.formula for e in reference.entries(["Li", "Fe", "P", "O"])}


def test_shipped_files_match_their_provenance() -> None:
    from importlib.resources import as_file, files

    for name in ("reference_chgnet.parquet", "known_materials.parquet"):
        with as_file(files("redoxa.data") / "assets" / name) as path:
            record = read_provenance(path)
            assert record.sha256 == sha256_of(path)
            assert path.stat().st_size < 3_000_000
            assert any("Materials Project" in source.attribution for source in record.sources)
