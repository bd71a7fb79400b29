"""`redoxa formulas`: the rows, what a failure is, and what cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from ase.data import chemical_symbols

from redoxa.generators.composition.baselines import IndependentFamily
from redoxa.generators.composition.family import LogProbability
from redoxa.generators.composition.scores import Judge
from redoxa.generators.evaluate.values import Value
from redoxa.pipeline.evaluate.formula_columns import COLLAPSE, COLUMNS, nats
from tests.formulas import shipped_formulas
from tests.unit.generators.composition.test_scores import HELD_OUT, LEARNED
from tests.unit.generators.composition.tiny import TINY, Uniform
from tests.unit.pipeline.test_cli import lines, run


def small_table(path: Path, every: int = 20) -> Path:
    """Every so manieth formula of the templates that ship."""
    texts = ["".join(f"{chemical_symbols[z]}{n}" for z, n in formula) for formula in shipped_formulas()[1][::every]]
    pd.DataFrame({"formula": texts}).to_parquet(path)
    return path


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return small_table(tmp_path / "table.parquet")


def test_models_stand_beside_the_data_and_the_floor(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    family = IndependentFamily(shipped_formulas()[0])
    family.fit(shipped_formulas()[1], 0)
    family.save(Path("mine.safetensors"))
    code, out, _ = run(
        capsys, "formulas", "independent", "mine.safetensors", "--against", str(table), "-n", "60", "--json"
    )
    rows = lines(out)
    assert code == 0
    assert {row["schema"] for row in rows} == {"redoxa.formula_score/1"}
    assert [(row["name"], row["role"]) for row in rows] == [
        ("learned formulas", "data"),
        ("held-out formulas", "data"),
        ("exchange", "floor"),
        ("independent", "model"),
        ("mine.safetensors", "model"),
    ]
    learned, held_out, exchange, independent, mine = rows
    assert learned["memorised"]["value"] == 1.0
    assert held_out["memorised"]["value"] == 0.0
    assert held_out["found"] == held_out["distinct"] > 0
    assert exchange["likelihood"]["nats"] is None
    assert 0 < independent["likelihood"]["nats"] < 60
    assert (mine["samples"], mine["text"]) == (60, "independent, trained weights")
    assert independent["doubt"] is None
    assert mine["doubt"] == "what it has learned is not recorded: it may know the held-out formulas"
    assert not Path("runs").exists()


def test_a_model_of_other_tables_may_know_the_held_out_formulas(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "train", str(table), "--generator", "composition-mixture", "--out", "run")[0] == 0
    weights = "run/composition-mixture.safetensors"
    other = small_table(Path("other.parquet"), 30)
    for named, doubt in ((table, False), (other, True)):
        code, _, err = run(capsys, "formulas", weights, "--against", str(named), "-n", "40")
        assert (code, "has learned from other tables (table.parquet)" in err) == (0, doubt)
        page = Path("runs/formulas.html").read_text(encoding="utf-8")
        assert ("it may know the held-out formulas" in page) == doubt


def test_a_model_that_fails_is_a_row_that_says_so(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.safetensors").write_text("nothing of the kind")
    code, out, err = run(capsys, "formulas", "broken.safetensors", "--against", str(table), "-n", "40")
    assert code == 1
    assert "broken.safetensors failed: broken.safetensors: cannot be read" in err
    assert "next: redoxa generate" in err
    assert "exchange" in out
    page = Path("runs/formulas.html").read_text(encoding="utf-8")
    assert "Failed: broken.safetensors: cannot be read" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["exchange"], "name the tables"),
        (["excange", "--against", "table.parquet"], "neither a model of formulas nor a file"),
        (["exchange", "--against", "none.parquet"], "none.parquet"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    table: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "formulas", *words)
    assert (code, told in err) == (2, True)


class Bounded(Uniform):
    """Tells a bound only."""

    def log_probability(self, formulas: list[tuple[tuple[int, int], ...]]) -> LogProbability:
        return LogProbability(super().log_probability(formulas).nats, "bound")


def test_numbers_are_told_with_what_they_are() -> None:
    judge = Judge(LEARNED, HELD_OUT)
    exact, bound = (nats(judge.likelihood(family)) for family in (Uniform(), Bounded()))
    assert exact.below == "exact"
    assert bound.text == f"≤ {exact.text}"
    assert nats(None).text == "–"
    score = judge.score(LEARNED)
    told = {column.head: column.show(score) for column in (*COLUMNS, *COLLAPSE)}
    assert (told["Memorised"].text, told["Novel"].text, told["Found"].below) == ("100.0 %", "0.00 %", "")
    assert told["Elements"].text == str(len(TINY.elements))
    assert score.memorised == Value(1.0, len(LEARNED), score.memorised.low, 1.0)
