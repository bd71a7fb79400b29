from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redoxa.data.errors import InputError
from redoxa.data.tables.datasets import LABELS, load, prepare, reduce_cell, shared_dir, split_by_formula

RNG = np.random.default_rng(0)


def random_skewed_cell() -> tuple[np.ndarray, np.ndarray]:
    """A reasonable cell and the same lattice in long, skewed vectors."""
    cell = np.diag(RNG.uniform(3, 8, 3)) + RNG.uniform(-1, 1, (3, 3))
    skew = np.eye(3)
    for _ in range(6):
        i, j = RNG.permutation(3)[:2]
        skew[i] += RNG.integers(-1, 2) * skew[j]
    return cell, skew @ cell


@pytest.mark.parametrize("_", range(10))
def test_reduced_cell_is_the_same_crystal_in_shorter_vectors(_):
    from pymatgen.core import Lattice, Structure

    cell, skewed = random_skewed_cell()
    frac = RNG.random((3, 3))
    reduced, moved = reduce_cell(skewed, frac)
    before = Structure(Lattice(skewed), ["Li", "Co", "O"], frac)
    after = Structure(Lattice(reduced), ["Li", "Co", "O"], moved)
    assert np.linalg.det(reduced) == pytest.approx(abs(np.linalg.det(cell)))
    lengths = np.linalg.norm(reduced, axis=1)
    assert (np.diff(lengths) > -1e-3).all()
    niggli = np.sort(before.lattice.get_niggli_reduced_lattice().abc)
    assert lengths == pytest.approx(niggli, abs=0.02)
    assert after.distance_matrix == pytest.approx(before.distance_matrix, abs=1e-6)


def test_reduced_angles_are_all_acute_or_all_obtuse():
    for _ in range(20):
        _, skewed = random_skewed_cell()
        reduced, _ = reduce_cell(skewed, np.zeros((1, 3)))
        gram = reduced @ reduced.T
        dots = np.array([gram[0, 1], gram[0, 2], gram[1, 2]])
        assert (dots >= -0.1).all() or (dots <= 0.1).all()
        assert np.linalg.det(reduced) > 0


def test_split_keeps_every_formula_on_one_side_and_meets_the_count():
    formulas = [f"F{i}" for i in RNG.integers(0, 60, 300)]
    held_out = split_by_formula(formulas, 40, seed=3)
    inside = {f for f, h in zip(formulas, held_out, strict=True) if h}
    outside = {f for f, h in zip(formulas, held_out, strict=True) if not h}
    assert not inside & outside
    assert held_out.sum() == 40
    assert (held_out == split_by_formula(formulas, 40, seed=3)).all()
    assert (held_out != split_by_formula(formulas, 40, seed=4)).any()
    assert split_by_formula(formulas, None, seed=3).sum() == len(formulas) // 10


def test_of_few_crystals_one_is_held_out_and_never_all():
    assert split_by_formula(list("abcde"), None, seed=0).sum() == 1
    assert split_by_formula(["a"], None, seed=0).sum() == 0
    assert split_by_formula(list("aabb"), None, seed=0).sum() == 0  # one of two equal formulas would leak
    assert split_by_formula(list("abcde"), 20, seed=0).sum() == 4


def source_frame() -> pd.DataFrame:
    rows = []
    for i, (numbers, formula, above) in enumerate(
        [
            ([3, 8], "LiO", 0.0),
            ([11, 8, 8], "NaO2", 0.1),
            ([3] * 30, "Li", 0.0),
            ([26, 8], "FeO", 2.0),
            ([26], "Fe", None),
        ]
    ):
        cell = np.eye(3) * (4 + i)
        rows.append(
            {
                "atomic_numbers": numbers,
                "frac_coords": np.linspace(0, 1.5, 3 * len(numbers)).astype(np.float32),
                "cell": cell.ravel(),
                "energy_above_hull": above,
                "n_atoms": len(numbers),
                "formula": formula,
            }
        )
    return pd.DataFrame(rows)


def test_prepare_leaves_out_large_and_unstable_crystals_and_reads_back(tmp_path):
    source, out = tmp_path / "source.parquet", tmp_path / "data.safetensors"
    source_frame().to_parquet(source)
    made = prepare(source, out, holdout=1, seed=0)
    read = load(out)
    assert read.counts.tolist() == [2, 3, 1]
    assert read.numbers.tolist() == [3, 8, 11, 8, 8, 26]
    assert read.held_out.sum() == 1
    assert (read.frac_coords == made.frac_coords).all()
    assert (read.frac_coords >= 0).all()
    assert (read.frac_coords < 1).all()
    kept = read.subset(~read.held_out)
    assert len(kept) == 2
    assert sum(len(numbers) for numbers, _, _ in kept) == kept.start[-1]
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


@pytest.mark.parametrize("content", [b"", b"not a tensor file", None])
def test_unreadable_data_is_an_input_error(tmp_path, content):
    path = tmp_path / "data.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.safetensors"):
        load(path)


def test_labels_of_all_sources_are_kept_and_absent_ones_are_nan(tmp_path):
    source, hosts, out = (tmp_path / name for name in ("source.parquet", "hosts.parquet", "data.safetensors"))
    source_frame().to_parquet(source)
    electrodes = source_frame().iloc[:1].drop(columns=["energy_above_hull"])
    electrodes.assign(li_voltage_V_vs_Li=3.4, na_voltage_V_vs_Na=3.1).to_parquet(hosts)
    prepare(source, out, holdout=1, seed=0, hosts=hosts)
    labels = load(out).labels
    assert labels.shape == (4, len(LABELS))
    assert labels[:, 1].tolist() == pytest.approx([0.0, 0.1, np.nan, np.nan], nan_ok=True)
    assert labels[:, 2:].tolist()[-1] == pytest.approx([3.4, 3.1])
    assert np.isnan(labels[:, 0]).all()


def test_unreadable_source_is_an_input_error(tmp_path):
    source = tmp_path / "source.parquet"
    source_frame().drop(columns=["cell"]).to_parquet(source)
    with pytest.raises(InputError, match=r"source\.parquet"):
        prepare(source, tmp_path / "out.safetensors")


def written(frame: pd.DataFrame, path):
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def as_lists(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{name: [np.ravel(x).tolist() for x in frame[name]] for name in ("frac_coords", "cell")})


@pytest.mark.parametrize("form", ["nested.parquet", "flat.csv", "nested.csv", "arrays.csv", "bare.parquet"])
def test_every_form_of_a_table_gives_the_same_crystals(tmp_path, form):
    flat = as_lists(source_frame())
    expected = prepare(written(flat, tmp_path / "plain.parquet"), tmp_path / "plain.safetensors")
    kind, suffix = form.split(".")
    frame = flat
    if kind == "nested":
        nested = {n: [np.reshape(x, (-1, 3)).tolist() for x in flat[n]] for n in ("frac_coords", "cell")}
        frame = flat.assign(**nested)
    elif kind == "arrays":  # what pandas makes of arrays: [[0. 0.5] [1. 1.5]]
        frame = flat.assign(cell=[np.reshape(x, (3, 3)) for x in flat["cell"]])
        frame["atomic_numbers"] = [list(np.array(x)) for x in flat["atomic_numbers"]]  # [np.int64(3), np.int64(8)]
    elif kind == "bare":
        frame = flat.drop(columns=["n_atoms", "formula"]).rename(
            columns={"energy_above_hull": "hull_distance_eV_per_atom"}
        )
    found = prepare(written(frame, tmp_path / f"table.{suffix}"), tmp_path / "table.safetensors")
    for name in ("numbers", "frac_coords", "cells", "start", "labels"):
        assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True), name


def test_rows_that_cannot_be_used_are_left_out_and_said(tmp_path):
    frame = as_lists(pd.concat([source_frame()] * 2, ignore_index=True))
    columns = {name: frame[name].to_list() for name in ("frac_coords", "cell", "atomic_numbers")}
    columns["frac_coords"][0] = [0.0, 0.5]
    columns["cell"][1] = [0.1, 0, 0, 0, 0.1, 0, 0, 0, 0.1]
    columns["atomic_numbers"][5] = [3, 200]
    columns["frac_coords"][8] = [0.2, 0.0, 0.0, 1.2, 0.0, 0.0]
    columns["cell"][6] = None
    columns["cell"][9] = [4.0, 0, 0, 0, 4.0, 0, 0, 0, float("nan")]
    frame = frame.assign(**columns)
    notes = []
    found = prepare(written(frame, tmp_path / "t.parquet"), tmp_path / "t.safetensors", on_note=notes.append)
    assert found.numbers.tolist() == [26]
    said = "\n".join(notes)
    for part in (
        "three numbers for each atom",
        "Angstrom",
        "from 1 to 103",
        "not finite",
        "more than 20 atoms",
        "0.3 eV",
    ):
        assert part in said
    assert notes[-1].startswith("1 crystals to train on; none held out")


def test_equal_contents_stay_on_one_side_whatever_they_are_called(tmp_path):
    row = {"frac_coords": [0.0] * 3 + [0.5] * 3, "cell": (np.eye(3) * 4).ravel().tolist()}
    rows = [row | {"atomic_numbers": [3 + i // 2, 8], "formula": f"name{i}"} for i in range(40)]
    rows += [{**row, "atomic_numbers": [3, 3, 8, 8], "frac_coords": [*row["frac_coords"], *[0.25] * 6]}]
    made = prepare(written(pd.DataFrame(rows), tmp_path / "t.parquet"), tmp_path / "t.safetensors")
    sides = {}
    for (numbers, _, _), held in zip(made, made.held_out, strict=True):
        sides.setdefault(int(numbers[0]), set()).add(bool(held))
    assert all(len(side) == 1 for side in sides.values())
    assert made.held_out.sum() == 4


@pytest.mark.parametrize(
    ("columns", "said"), [({}, "lacks the columns"), ({"energy_above_hull": "low"}, "a property is no number")]
)
def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path, columns, said):
    frame = as_lists(source_frame()).assign(**columns) if columns else pd.DataFrame({"formula": ["LiF"]})
    with pytest.raises(InputError, match=said):
        prepare(written(frame, tmp_path / "t.parquet"), tmp_path / "t.safetensors")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"broken\.parquet: cannot be read"):
        prepare(broken, tmp_path / "t.safetensors")


SHARED_TABLES = Path(__file__).parents[4] / "shared" / "cases" / "tables"


@pytest.mark.skipif(not SHARED_TABLES.is_dir(), reason="the shared cases are not on this machine")
@pytest.mark.parametrize("name", ["train_nested_cell", "train_no_formula", "train_tiny_ok"])
def test_shared_tables_of_twelve_are_read(tmp_path, name):
    notes = []
    made = prepare(SHARED_TABLES / f"{name}.parquet", tmp_path / "t.safetensors", on_note=notes.append)
    assert made.counts.tolist() == [12] * 8  # LiCoO2 and TiO2; olivines of 28 atoms are too large
    assert not made.held_out.any()
    assert "left out 4 of 12 crystals, of more than 20 atoms" in notes[0]
    assert "none held out" in notes[1]


def test_shared_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("REDOXA_SHARED", str(tmp_path))
    assert shared_dir() is None
    (tmp_path / "datasets").mkdir()
    assert shared_dir() == tmp_path
