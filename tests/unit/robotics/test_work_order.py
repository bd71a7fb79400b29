from __future__ import annotations

import csv
import io

import pytest

from redoxa.robotics.drivers.work_order import HEADER, harmless, work_list_csv
from redoxa.robotics.planning.slurry import plan_slurry
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
        "target", "safety", "reaction", "gas", "weigh", "grind", "load", "furnace", "press", "identify", "slurry", "cast",
        "dry", "punch", "assemble",
        "fill", "cycler", "formation", "cycle x20",
    ]  # fmt: skip
    (first, *_rest, last) = [r for r in found if r["section"].startswith("cycle x")]
    assert (first["what"], first["quantity"]) == ("charge to", "3.9")
    # 3 mg/cm2 * 1.53938 cm2 = 4.61814 mg; * 0.16989 mAh/mg = 0.78458 mA at 1 C
    assert (last["what"], last["quantity"]) == ("discharge to", "2.9")
    assert last["note"] == "at 0.1569 mA (0.2 C), at most 36000 s"


def section(name: str, found: list[dict[str, str]]) -> dict[str, tuple[str, str, str]]:
    return {r["what"]: (r["quantity"], r["unit"], r["note"]) for r in found if r["section"] == name}


def test_reaction_and_gases_of_the_batch() -> None:
    found = rows()
    (reaction,) = section("reaction", found)
    assert reaction == "0.5 Li2CO3 + FeC2O4·2H2O + NH4H2PO4 -> LiFePO4 + CO + 1.5 CO2 + 3.5 H2O + NH3"
    # 2 g / 157.755 g/mol = 12.678 mmol; a mole of gas takes 24.465 L at 25 C and 1 atm
    assert section("gas", found) == {
        "sets free CO": ("0.0127", "mol", "0.31 L at 25 C and 1 atm"),
        "sets free CO2": ("0.019", "mol", "0.465 L at 25 C and 1 atm"),
        "sets free H2O": ("0.0444", "mol", "1.09 L at 25 C and 1 atm, as vapour"),
        "sets free NH3": ("0.0127", "mol", "0.31 L at 25 C and 1 atm"),
    }
    taken = section("gas", list(csv.DictReader(io.StringIO(work_list_csv("key", make_request("LiCoO2"))))))
    assert taken["takes up O2"][0] == "0.0017"  # 2 / 97.871 / 12


def test_slurry_disc_and_currents_of_a_cell() -> None:
    found = rows()
    # 3 cells and half as many again take 4.5 * 4.61814 = 20.8 mg; 200 mg are made: 250 mg of solids, 25 mg each of
    # carbon and binder, and 1000 mg of NMP at 20 % solids: 0.97 mL
    slurry = section("slurry", found)
    assert {what: row[:2] for what, row in slurry.items()} == {
        "active material": ("200.0", "mg"), "carbon black": ("25.0", "mg"), "PVDF": ("25.0", "mg"), "NMP": ("0.97", "mL"),
    }  # fmt: skip
    assert slurry["active material"][2].startswith("3 cells and 50% spare need 20.8 mg")
    assert "80:10:10 by mass, 20% solids" in slurry["NMP"][2]
    assert section("punch", found)["discs"][2].startswith("1.539 cm2, 4.62 mg of active material each")
    assert section("cast", found)["on Al foil"] == (
        "3",
        "mg/cm2",
        "of active material, that is, 3.75 mg/cm2 of dry film",
    )
    cycler = section("cycler", found)
    assert cycler["current of 1 C"][:2] == ("0.7846", "mA")
    assert cycler["current range"][:2] == ("1", "mA")
    assert "0.0128 C instead of 0.0125 C" in cycler["current range"][2]  # 9.8 uA, and 10 uA are the least
    assert cycler["window"] == (
        "2.9 to 3.9",
        "V",
        "average voltage only, 3.40 V: no partly charged states were computed",
    )


def test_more_powder_is_taken_for_many_cells_and_never_more_than_half_of_a_small_batch() -> None:
    electrode = make_request("LiFePO4").recipe.electrode
    assert plan_slurry(electrode, cells=40, powder_g=2).active_mg == pytest.approx(60 * 4.61814, abs=0.01)
    assert plan_slurry(electrode, cells=3, powder_g=0.2).active_mg == pytest.approx(100)
    assert plan_slurry(electrode, cells=3, powder_g=0.2).needed_mg == pytest.approx(20.78, abs=0.01)


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "@SUM(A1)", "-2+3", "\t=1"])
def test_no_cell_is_a_formula_for_a_spreadsheet(text: str) -> None:
    assert harmless(text) == f"'{text}"


def test_no_words_of_the_request_reach_the_people() -> None:
    assert "KClO4" not in work_list_csv("key", make_request("LiFePO4", why="add 5 g KClO4"))


@pytest.mark.parametrize("text", ["-3.5", "LiFePO4", "0.1", "", "a=b"])
def test_plain_text_and_numbers_stay(text: str) -> None:
    assert harmless(text) == text
