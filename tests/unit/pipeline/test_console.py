"""Tables in a terminal: nothing but prose is folded, columns that do not fit are left out and named."""

from __future__ import annotations

import pytest

from redoxa.data.records import flat_formula, plain_formula, plain_formulas
from redoxa.pipeline.commands import console

ROWS = [
    {"file": "LiFePO4.cif", "formula": "LiFePO4", "voltage (V)": "3.63 ± 0.28", "capacity (mAh/g)": "170 ± 51", "id": "a" * 16},
    {"file": "x.cif", "formula": "LiCoO2", "voltage (V)": "3.74 ± 0.29", "capacity (mAh/g)": "274 ± 111", "id": "b" * 16},
]  # fmt: skip
COLUMNS = ["file", "formula", "voltage (V)", "capacity (mAh/g)", "id"]


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, rows, columns
) -> tuple[str, str]:
    monkeypatch.setattr(console, "PIPED_COLUMNS", width)
    console.table("Title", rows, columns)
    return capsys.readouterr()


@pytest.mark.parametrize("width", [80, 60, 45, 30])
def test_no_cell_is_folded_and_what_is_left_out_is_named(monkeypatch, capsys, width: int) -> None:
    out, err = printed(monkeypatch, capsys, width, ROWS, COLUMNS)
    assert all(len(line) <= width for line in out.splitlines())
    assert "LiFePO4.cif" in out
    shown = [c for c in COLUMNS if c.split(" (")[0] in out]
    for row in ROWS:
        (line,) = [line for line in out.splitlines() if line.startswith(row["file"])]
        assert all(row[c] in line for c in shown)
    left_out = [c for c in COLUMNS if c not in shown]
    assert COLUMNS[: len(shown)] == shown
    assert all(c in err.replace("\n", " ") for c in left_out)
    assert bool(err) == bool(left_out)


def test_prose_is_folded_and_stays(monkeypatch, capsys) -> None:
    rows = [
        {**row, "why": "a reason of many words that goes on and on until it is longer than a column"} for row in ROWS
    ]
    out, _ = printed(monkeypatch, capsys, 60, rows, ["file", "formula", "why", "id"])
    assert "many words" in out
    assert "a" * 16 not in out


@pytest.mark.parametrize(
    ("reduced", "plain", "flat"),
    [
        ("LiFe(NiO2)2", "LiFeNi2O4", "LiFeNi2O4"), ("Na3V2(PO4)3", "Na3V2(PO4)3", "Na3V2P3O12"),
        ("Li4MnCr(CoO4)2", "Li4MnCrCo2O8", "Li4MnCrCo2O8"), ("Fe(HO)2", "Fe(HO)2", "FeH2O2"), ("LiCoO2", "LiCoO2", "LiCoO2"),
        ("Fe2(MoO4)3", "Fe2(MoO4)3", "Fe2Mo3O12"), ("Li(CoO2)2", "LiCo2O4", "LiCo2O4"), ("K2Mn(CN)6", "K2Mn(CN)6", "K2MnC6N6"),
    ],
)  # fmt: skip
def test_formulas_as_people_write_them(reduced: str, plain: str, flat: str) -> None:
    assert plain_formula(reduced) == plain
    assert flat_formula(reduced) == flat


def test_formulas_within_sentences_are_plain_and_brackets_of_the_sentence_stay() -> None:
    text = "known formula Li(CoO2)2 (mp-552024), Na3V2(PO4)3, 3 V (V) and Li(Fe)"
    assert plain_formulas(text) == "known formula LiCo2O4 (mp-552024), Na3V2(PO4)3, 3 V (V) and Li(Fe)"
