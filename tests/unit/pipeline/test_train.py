from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redoxa.data.errors import InputError
from redoxa.data.io import cif_text
from redoxa.data.provenance import read_provenance, sha256_of
from redoxa.data.tables.datasets import load
from redoxa.data.tables.prototypes import load_prototypes
from redoxa.generators.composition.families import open_family
from redoxa.generators.training.loop import TrainConfig
from redoxa.pipeline.commands.app import main
from redoxa.pipeline.tasks.train import train_to_folder

SHARED_TABLES = Path(__file__).parents[4] / "shared" / "cases" / "tables"
TABLES = ("train_nested_cell", "train_no_formula", "train_tiny_ok")
GENERATORS = (
    "flow", "cells", "composition-dbm", "composition-dbn", "composition-lstm", "composition-rbm", "composition-transformer", "composition-wgan", "diffusion", "geometry",
    "orbits", "vae", "wyckoff",
)  # fmt: skip


def redoxa(*words: object) -> int:
    """Run the command; its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["redoxa", *map(str, words)])
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twenty cubic crystals of two atoms, as a file of structures."""
    cells = [np.diag([a, a, a]).ravel().tolist() for a in np.linspace(3.0, 4.0, 20)]
    rows = {
        "atomic_numbers": [[21 + i, 9] for i in range(20)],
        "frac_coords": [[0.0, 0.0, 0.0, 0.5, 0.5, 0.5]] * 20,
        "cell": cells,
        "n_atoms": 2,
        "formula": [f"M{i}F" for i in range(20)],
        "energy_above_hull": 0.0,
    }
    path = tmp_path / "some.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_weights_come_with_a_record_of_how_they_were_made_and_another_batch_size_does_not_resume(table: Path) -> None:
    out = table.parent / "run"
    config = TrainConfig(out, steps=2, decay_steps=1, save_every=1, log_every=1, seed=7, device="cpu")
    weights = train_to_folder("flow", [table], config, hosts=None, start=None, rate=2e-3, edges=480, resume=True)
    record = read_provenance(weights)
    assert record.sha256 == sha256_of(weights)
    assert [(s.name, s.sha256) for s in record.sources] == [("some.parquet", sha256_of(table))]
    said = "redoxa train --generator flow --data some.parquet --steps 2 --rate 0.002 --edges 480 --seed 7 --workers 1"
    assert record.command == said
    last = json.loads(config.log.read_text().splitlines()[-1])
    assert record.facts["step"] == last["step"] == 2
    assert record.facts["held_out_loss"] == last["held_out_loss"]
    assert last["rate"] == pytest.approx(
        2e-3 * 3 / 500 / 100
    )  # the third step of a rise over 500, at the end of the decay
    with pytest.raises(InputError, match="edges_per_batch"):
        train_to_folder("flow", [table], config, hosts=None, start=None, rate=2e-3, edges=960, resume=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty small prototypes as CIF files, and one file that is none."""
    path = tmp_path_factory.mktemp("crystals")
    small = [p for p in load_prototypes() if p.crystal.n_atoms <= 20]
    for i, each in enumerate(small[:30]):
        (path / f"{i:02d}.cif").write_text(cif_text(each.crystal))
    (path / "bad.cif").write_text("data_bad\n_cell_length_a 4\n")
    (path / "notes.txt").write_text("no crystal")
    return path


def test_a_folder_is_trained_on_and_what_the_command_names_next_generates(folder, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert redoxa("train", folder, "--steps", 20, "--out", out) == 0
    said = capsys.readouterr().err
    assert "left out" in said
    assert "bad.cif" in said
    assert "30 crystals read from 31 files" in said
    assert "27 crystals to train on; 3 of other formulas held out" in said
    assert len(load(out / "data.safetensors")) == 30
    page = (out / "losses.html").read_text()
    assert "step 20 of 20" in page
    assert page.count('class="curve train"') == page.count('class="curve held-out"') == 4
    command = next(line for line in said.splitlines() if line.startswith("next: redoxa ")).split()[2:]
    samples = tmp_path / "samples"
    assert redoxa(*command, "-n", 2, "--no-charge-neutral", "--no-energies", "--out", samples) == 0
    assert len(list(samples.glob("*.cif"))) == 2


def begun(generator: str, data: Path, out: Path) -> tuple[object, ...]:
    """Options to begin with, of what needs the weights of another network that do not ship."""
    if generator not in ("composition-dbm", "composition-dbn"):
        return ()
    lower = out / "lower"
    assert redoxa("train", data, "--generator", "composition-rbm", "--steps", 1, "--out", lower) == 0
    return "--start", lower / "composition-rbm.safetensors"


@pytest.mark.parametrize("generator", GENERATORS[1:])
def test_every_generator_learns_from_a_folder(folder, tmp_path, generator, capsys) -> None:
    start = begun(generator, folder, tmp_path)
    capsys.readouterr()
    assert redoxa("train", folder, "--generator", generator, *start, "--steps", 2, "--out", tmp_path) == 0
    assert (tmp_path / f"{generator}.safetensors").exists()
    assert "step 2 of 2" in (tmp_path / "losses.html").read_text()
    assert f"{tmp_path}/{generator}.safetensors" in capsys.readouterr().err.split("next: ")[1]


@pytest.mark.parametrize("family", ["exchange", "hmm", "independent", "mixture", "softmax"])
def test_a_floor_of_formulas_is_fitted_at_once_and_generates(folder, tmp_path, family, capsys) -> None:
    out = tmp_path / "run"
    assert redoxa("train", folder, "--generator", f"composition-{family}", "--out", out) == 0
    weights = out / f"composition-{family}.safetensors"
    said = capsys.readouterr().err
    record = read_provenance(weights)
    assert record.facts["split"] == "25 formulas to train on; 2 held out to judge the training by"
    assert "held_out_reached" in record.facts
    assert f"next: redoxa generate --generator composition --checkpoint {weights}" in said
    assert open_family(weights).name in (family, "hidden Markov")
    assert redoxa("train", folder, "--generator", f"composition-{family}", "--steps", 3, "--out", out) == 2
    assert "--steps: composition-" in capsys.readouterr().err


def test_a_table_of_formulas_alone_teaches_nothing_beside_them(tmp_path, capsys) -> None:
    table = tmp_path / "formulas.csv"
    pd.DataFrame({"formula": ["LiCoO2", "NaCl", "MgO", "TiO2", "ZnS", "GaAs", "SiO2", "LiF"]}).to_csv(table)
    assert redoxa("train", table, "--generator", "composition-dbm", "--out", tmp_path / "run") == 2
    assert "knows nothing that differs beside formulas; name tables with formation energies" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED_TABLES.is_dir(), reason="the shared cases are not on this machine")
@pytest.mark.parametrize(
    ("name", "generator"), [*((name, "flow") for name in TABLES), *((TABLES[2], name) for name in GENERATORS[1:])]
)
def test_shared_tables_train_or_are_refused_in_a_sentence(tmp_path, capsys, name, generator) -> None:
    table = SHARED_TABLES / f"{name}.parquet"
    start = begun(generator, table, tmp_path)
    capsys.readouterr()
    code = redoxa("train", "--data", table, "--generator", generator, *start, "--steps", 3, "--out", tmp_path)
    said = capsys.readouterr().err
    if generator in ("orbits", "geometry"):  # LiCoO2, LiFePO4 and TiO2, four times each
        assert code == 2
        assert "3 different crystals are too few to learn from; 8 are needed at least" in said
    else:
        assert code == 0
        assert "none held out" in said
        assert (tmp_path / f"{generator}.safetensors").exists()


def test_crystals_that_are_all_unlike_are_no_lesson_for_orbits(tmp_path, capsys) -> None:
    unlike = {p.topology: p.crystal for p in load_prototypes() if p.crystal.n_atoms <= 12}
    for i, crystal in enumerate(list(unlike.values())[:9]):
        (tmp_path / f"{i}.cif").write_text(cif_text(crystal))
    assert redoxa("train", tmp_path, "--generator", "orbits", "--steps", 2, "--out", tmp_path / "run") == 2
    assert "5 are needed at least" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{empty}",), "holds no structure files"),
        (("{table}", "{folder}"), "is a table; name it alone"),
        (("{table}", "{table}", "--generator", "wyckoff"), "is a table; name it alone"),
        (("{table}", "{folder}", "--generator", "composition-lstm"), "is a table; name it alone"),
        (("{table}", "--data", "{table}"), "crystals are named already"),
        (("{folder}/bad.cif",), "none of the 1 files holds a crystal"),
        (("{folder}/00.cif", "{folder}/01.cif"), "2 crystals are too few to learn from; 8 are needed at least"),
        (("nowhere",), "nowhere: no such file or folder"),
        ((), "name crystals to train on"),
        (("{table}", "--generator", "orbits", "--hosts", "{table}"), "--hosts: orbits learns no voltages"),
        (("{table}", "--generator", "orbits", "--start", "{table}"), "name no crystals beside it"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_a_sentence(folder, table, tmp_path, words, said, capsys) -> None:
    (tmp_path / "empty").mkdir()
    named = [word.format(folder=folder, table=table, empty=tmp_path / "empty") for word in words]
    assert redoxa("train", *named, "--steps", 1, "--out", tmp_path / "run") == 2
    assert said in capsys.readouterr().err


def test_a_folder_of_a_training_takes_no_other_data_but_forgets_what_was_refused(
    folder, table, tmp_path, capsys
) -> None:
    out = tmp_path / "run"
    assert redoxa("train", folder / "00.cif", "--steps", 1, "--out", out) == 2
    assert redoxa("train", table, "--steps", 1, "--out", out) == 0
    assert len(load(out / "data.safetensors")) == 20
    assert redoxa("train", table, "--steps", 2, "--out", out) == 0
    assert redoxa("train", out / "data.safetensors", "--steps", 3, "--out", out) == 0
    capsys.readouterr()
    assert redoxa("train", folder, "--steps", 3, "--out", out) == 2
    assert "holds a training on other data" in capsys.readouterr().err
    assert redoxa("train", table, "--start", out / "flow.safetensors", "--steps", 3, "--out", out) == 2
    assert "or begun with other weights" in capsys.readouterr().err
