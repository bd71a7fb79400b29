from __future__ import annotations

import csv
import io

import pytest

from robotics.work_order import HEADER, harmless, work_list_csv
from tests.unit.robotics.samples import make_request


def rows(**fields: object) -> list[dict[str, str]]:
    text = work_list_csv("key", make_request("LiFePO4", **fields))
    return list(csv.DictReader(io.StringIO(text)))


def test_the_work_list_holds_every_step_in_order() -> None:
    found = rows()
    assert tuple(found[0]) == HEADER
    assert [int(r["step"]) for r in found] == list(range(1, len(found) + 1))
    weigh = {r["what"]: (r["quantity"], r["unit"]) for r in found if r["section"] == "weigh"}
    assert weigh == {
        "lithium carbonate (Li2CO3)": ("0.4777", "g"),
        "iron(II) oxalate dihydrate (FeC2O4·2H2O)": ("2.2807", "g"),
        "ammonium dihydrogen phosphate (NH4H2PO4)": ("1.4583", "g"),
        "sucrose (C12H22O11)": ("0.1425", "g"),
    }
    assert [r["quantity"] for r in found if r["section"] == "furnace"] == ["350", "25", "680", "25"]
    sections = list(dict.fromkeys(r["section"] for r in found))
    assert sections == [
        "target", "safety", "weigh", "grind", "load", "furnace", "press", "identify", "slurry", "cast", "dry", "punch", "assemble",
        "fill", "cycler", "formation", "cycle x20",
    ]  # fmt: skip
    (first, *_rest, last) = [r for r in found if r["section"].startswith("cycle x")]
    assert (first["what"], first["quantity"]) == ("charge to", "3.9")
    assert (last["what"], last["quantity"], last["note"]) == ("discharge to", "2.9", "at 0.2 C, at most 36000 s")


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "@SUM(A1)", "-2+3", "\t=1"])
def test_no_cell_is_a_formula_for_a_spreadsheet(text: str) -> None:
    assert harmless(text) == f"'{text}"


def test_no_words_of_the_request_reach_the_people() -> None:
    assert "KClO4" not in work_list_csv("key", make_request("LiFePO4", why="add 5 g KClO4"))


@pytest.mark.parametrize("text", ["-3.5", "LiFePO4", "0.1", "", "a=b"])
def test_plain_text_and_numbers_stay(text: str) -> None:
    assert harmless(text) == text
