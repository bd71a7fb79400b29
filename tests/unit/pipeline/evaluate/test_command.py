"""`redoxa evaluate`: the files it writes, files it reads, and mistakes."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redoxa.data.io import cif_text, write_extxyz
from redoxa.data.structures import primitive
from redoxa.generators.evaluate import reference_set
from redoxa.generators.evaluate.catalogue import metrics
from tests.unit.generators.evaluate.crystals import caesium_chloride, rocksalt, shaken, zincblende
from tests.unit.pipeline.test_cli import run

LI, O, NA, CL, K, BR = 3, 8, 11, 17, 19, 35
BROKEN = "data_broken\n_cell_length_a 4.0\nloop_\n_atom_site_label\nNonsense here and there\n"


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reference_set, "SIZE", 60)


def folder(name: str, **crystals: object) -> Path:
    """A folder with a CIF for each crystal, or a file with a text."""
    path = Path(name)
    path.mkdir()
    for stem, content in crystals.items():
        (path / f"{stem}.cif").write_text(content if isinstance(content, str) else cif_text(content))  # type: ignore[arg-type]
    return path


class Page(HTMLParser):
    """Ids, inner links, addresses and unclosed tags of a page."""

    VOID = {"meta", "link", "br", "line", "path", "rect", "circle", "input", "img", "hr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        href = found.get("href") or ""
        (self.links if href.startswith("#") else self.addresses).append(href)
        self.addresses.append(found.get("src") or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def check_page(path: Path) -> str:
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(not a or a.startswith("data:") for a in page.addresses)
    assert "default-src 'none'" in unescape(text)
    assert "<script src" not in text
    return text


def test_a_generator(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys, "evaluate", "template", "-n", "70", "--ion", "Li", "--elements", "Li,Mn,Fe,O,P,F", "--out", "out"
    )
    assert code == 0
    assert "Symmetry as meant" in out
    made = json.loads(Path("out/scorecard.json").read_text())
    assert set(made) == {
        "schema", "created", "mode", "settings", "reference", "truths", "truths_known", "versions", "seconds", "metrics",
        "sources",
    }  # fmt: skip
    assert made["mode"] == "de novo"
    (source,) = made["sources"]
    assert source["samples"] == 70
    values = source["values"]
    assert set(values) <= set(made["metrics"]) == {m.name for _, m in metrics(1)}
    assert set(values) >= {
        "valid_structure", "charge_balanced", "smact_valid", "unique", "novel", "novel_formula", "novel_skeleton",
        "novel_structure", "p1", "symmetry_kept", "wasserstein_density", "wasserstein_elements", "frechet",
        "cpu_s_per_sample", "js_space_group", "sane",
    }  # fmt: skip
    for name, value in values.items():
        assert set(value) == {"value", "of", "low", "high"}
        if made["metrics"][name]["unit"] == "share":
            assert 0 <= value["low"] <= value["value"] <= value["high"] <= 1
    assert values["symmetry_kept"]["value"] == 1.0
    assert values["unique"]["value"] == 1.0
    assert values["novel_skeleton"]["value"] == 0.0  # it makes nothing but known skeletons
    frame = pd.read_parquet("out/samples.parquet")
    assert len(frame) == 70
    assert frame["formula"].str.contains("Li").all()
    assert values["valid_structure"]["value"] == pytest.approx(frame["valid_structure"].mean())
    text = check_page(Path("out/scorecard.html"))
    for _, metric in metrics(1):
        if metric.name in values:
            assert str(metric.title) in text


def test_the_same_samples_again_without_sampling(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    args = ("evaluate", "substitution", "-n", "5", "--out", "out", "--json")
    first = json.loads(run(capsys, *args)[1])
    monkeypatch.setattr(
        "redoxa.generators.exchange.substitution.SubstitutionGenerator.sample", None
    )  # would be an error to call
    again = json.loads(run(capsys, *args)[1])
    assert again["sources"] == first["sources"]


def test_several_seeds_under_one_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("-n", "70", "--out", "out", "--seeds", "2", "--refuse-known")
    code, out, err = run(capsys, "evaluate", "template", *args)
    assert code == 0
    assert "±" in out
    assert "real crystals" in out
    assert "for every generator alike" in err
    made = json.loads(Path("out/scorecard.json").read_text())
    assert made["settings"]["seed"] == "0 to 1"
    (source,) = made["sources"]
    values = source["values"]
    assert values["novel_formula"]["value"] == 1.0
    assert values["novel_formula"]["deviation"] == 0.0
    assert values["frechet"]["deviation"] > 0.0
    assert set(values) >= {
        "novel_family", "memorised", "memorised_family", "nearest_known_median", "two_metals", "commonest_group",
        "commonest_group_share", "precision", "recall", "density", "coverage", "vendi", "vendi_real",
        "vendi_ratio", "js_elements",
    }  # fmt: skip
    real = made["reference"]["values"]
    assert set(real) >= {"novel_family", "memorised", "two_metals", "commonest_group", "commonest_group_share"}
    assert 0.0 < real["novel_family"]["value"] < 1.0
    assert set(source["elements"]) == {"over", "under"}
    assert len(pd.read_parquet("out/samples.parquet")) == 70
    assert len(list(Path("out/work").glob("drawn-template-*.json"))) == 2
    text = check_page(Path("out/scorecard.html"))
    assert "standard deviation over seeds 0 to 1" in text
    assert "Ratios between generators are given only under the same refusal" in text


def test_without_one_refusal_no_ratio_is_fair(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "evaluate", "substitution", "-n", "5", "--out", "out", "--json")
    assert "no ratio between them is fair" in json.loads(out)["settings"]["refusal"]


def test_a_folder_with_a_broken_file(capsys: pytest.CaptureFixture[str]) -> None:
    salt = rocksalt(NA, CL, 5.64)
    made = folder("made", a9=salt, a10=shaken(salt, 1, 0.02), b=zincblende(K, BR, 7.0), broken=BROKEN, empty="")
    (made / "notes.txt").write_text("not a structure")
    code, out, err = run(capsys, "evaluate", made, "--out", "out", "--json")
    assert code == 0
    assert "Traceback" not in err
    (source,) = json.loads(out)["sources"]
    values = source["values"]
    assert values["readable"]["value"] == pytest.approx(3 / 5)
    assert values["valid_structure"]["value"] == pytest.approx(3 / 5)
    assert values["unique"]["value"] == pytest.approx(2 / 5)  # a10 is a9 again
    assert "cpu_s_per_sample" not in values
    frame = pd.read_parquet("out/samples.parquet").set_index("name")
    assert list(frame.index) == ["a9.cif", "a10.cif", "b.cif", "broken.cif", "empty.cif"]
    assert frame.loc["a10.cif", "duplicate_of"] == 0
    assert "the cell length b is not given" in frame.loc["broken.cif", "reasons"]
    assert "empty" in frame.loc["empty.cif", "reasons"]
    assert frame.loc["b.cif", "novel_structure"] in ("known", "new", "undecided")
    assert "broken.cif" in check_page(Path("out/scorecard.html"))


def test_one_source_that_fails_ends_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    folder("made", one=rocksalt(NA, CL, 5.64))
    Path("empty").mkdir()
    sources = ("empty", "made", "substitution")
    args = ("evaluate", *sources, "-n", "4", "--elements", "Li,O", "--ion", "Li", "--out", "out")
    code, out, err = run(capsys, *args)
    assert code == 1
    assert "empty: holds no structure files" in out
    assert "empty failed: empty: holds no structure files" in err
    card = json.loads(Path("out/scorecard.json").read_text())
    failed = {source["name"]: source["failed"] for source in card["sources"]}
    assert failed["made"] is None
    assert "holds no structure files" in failed["empty"]
    assert "substitution knows only 0 crystals" in failed["substitution"]
    assert [bool(source["values"]) for source in card["sources"]] == [False, True, False]
    assert set(pd.read_parquet("out/samples.parquet")["source"]) == {"made"}
    page = check_page(Path("out/scorecard.html"))
    assert "Failed: only 0 of 4: substitution knows only 0 crystals" in page


def test_answers_of_one_source_are_judged_though_another_fails(capsys: pytest.CaptureFixture[str]) -> None:
    truth = folder("truth", x=rocksalt(NA, CL, 5.64), y=rocksalt(K, BR, 6.6))
    good = folder("good", x=rocksalt(NA, CL, 5.64), y=rocksalt(K, BR, 6.6))
    odd = folder("odd", z=rocksalt(K, BR, 6.6))
    code, out, _ = run(capsys, "evaluate", odd, good, "--truth", truth, "--out", "out", "--json")
    first, second = json.loads(out)["sources"]
    assert (code, second["values"]["match_at_1"]["value"], second["failed"]) == (1, 1.0, None)
    assert "1 structures are no 1 answers to each of 2 truths" in first["failed"]
    assert set(pd.read_parquet("out/predictions.parquet")["source"]) == {str(good)}
    check_page(Path("out/scorecard.html"))


def test_a_shortfall_is_told_beside_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(
        capsys, "evaluate", "substitution", "-n", "500", "--elements", "Li,O,Mn", "--ion", "Li", "--max-atoms", "8",
        "--charge-neutral", "--out", "out", "--json",
    )  # fmt: skip
    (source,) = json.loads(out)["sources"]
    assert 0 < source["samples"] < 500
    assert f"only {source['samples']} of 500: substitution knows only" in source["what"]


def test_a_folder_of_generate_is_read_once_with_its_labels(capsys: pytest.CaptureFixture[str]) -> None:
    salt, blende = rocksalt(NA, CL, 5.64), zincblende(K, BR, 7.0)
    made = folder("made", one=salt, two=blende)
    write_extxyz(made / "samples.extxyz", [salt, blende], ["one.cif", "two.cif"])
    pd.DataFrame({"label": ["space group 225: as it is", "space group 227: K->Br"]}).to_csv(made / "samples.csv")
    _, out, _ = run(capsys, "evaluate", "made", "substitution", "-n", "4", "--out", "out", "--json")
    first, second = json.loads(out)["sources"]
    assert (first["samples"], second["samples"]) == (2, 4)
    assert (first["values"]["symmetry_kept"]["value"], first["values"]["symmetry_kept"]["of"]) == (0.5, 2)
    assert "readable" not in second["values"]
    assert "space group 227 was meant, 216 found" in pd.read_parquet("out/samples.parquet")["reasons"][1]


def test_predictions_in_files_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    salt, cscl, bromide = rocksalt(NA, CL, 5.64), caesium_chloride(NA, CL, 3.4), rocksalt(K, BR, 6.6)
    truth = folder("truth", one=salt, two=cscl, three=bromide)
    made = folder("made", one_0=cscl, one_1=salt, two_0=cscl, three_0=shaken(bromide, 0, 0.05))
    code, out, _ = run(
        capsys, "evaluate", made, "--truth", truth, "--samples-per-composition", 2, "--out", "out", "--json"
    )
    assert code == 0
    values = json.loads(out)["sources"][0]["values"]
    assert values["match_at_1"]["value"] == pytest.approx(2 / 3)
    assert values["match_at_2"]["value"] == 1.0
    assert values["metre"]["value"] == 1.0
    assert 0 < values["rmse_at_2"]["value"] < 0.05
    assert values["answered"]["value"] == 1.0
    frame = pd.read_parquet("out/predictions.parquet").set_index("truth")
    assert frame.loc["two.cif", "rms_1"] == pytest.approx(0.0, abs=1e-5)
    assert pd.isna(frame.loc["two.cif", "rms_2"])
    assert "match@1" in check_page(Path("out/scorecard.html"))


def test_predictions_in_one_file_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    salt, cscl = rocksalt(NA, CL, 5.64), caesium_chloride(NA, CL, 3.4)
    write_extxyz(Path("truth.extxyz"), [salt, cscl], ["", ""])
    write_extxyz(Path("made.extxyz"), [shaken(cscl, 0, 0.02), shaken(cscl, 1, 0.02)], ["", ""])
    _, out, _ = run(capsys, "evaluate", "made.extxyz", "--truth", "truth.extxyz", "--out", "out", "--json")
    values = json.loads(out)["sources"][0]["values"]
    assert values["match_at_1"]["value"] == 0.5


def test_a_generator_that_knows_not_every_composition(capsys: pytest.CaptureFixture[str]) -> None:
    """Truths in a table; the template generator knows rocksalt, but nothing of eight elements."""
    salt = primitive(rocksalt(NA, CL, 5.64))
    odd = rocksalt(NA, CL, 5.64).model_copy(update={"numbers": (LI, O, NA, CL, K, BR, 12, 20)})
    pd.DataFrame(
        {
            "atomic_numbers": [list(c.numbers) for c in (salt, odd)],
            "frac_coords": [np.ravel(c.frac_coords).tolist() for c in (salt, odd)],
            "cell": [np.ravel(c.lattice_A).tolist() for c in (salt, odd)],
            "material_id": ["salt", "odd"],
        }
    ).to_parquet("truth.parquet")
    code, out, _ = run(capsys, "evaluate", "template", "--truth", "truth.parquet", "--out", "out", "--json")
    assert code == 0
    made = json.loads(out)
    values = made["sources"][0]["values"]
    assert (values["answered"]["value"], values["match_at_1"]["value"], values["match_at_1"]["of"]) == (0.5, 0.5, 2)
    assert values["valid_structure"]["of"] == 1
    assert made["truths_known"] == 0.5


def test_likelihood_of_the_truths_where_a_generator_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("truth.cif").write_text(cif_text(primitive(rocksalt(NA, CL, 5.64))))
    code, out, _ = run(capsys, "evaluate", "template", "flow", "--truth", "truth.cif", "--out", "out", "--json")
    assert code == 0
    template, flow = (source["values"] for source in json.loads(out)["sources"])
    assert "log_likelihood" not in template
    assert flow["log_likelihood"]["of"] == 1
    assert 0 < flow["log_likelihood"]["value"] < 20


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name at least one generator, file or folder"),
        (["flwo"], "Did you mean 'flow'"),
        (["flow@none.safetensors"], "no such checkpoint"),
        (["flow:hmm"], "flow has no families; leave family out, or take composition"),
        (["composition:hhm"], "'hhm' is not a model of formulas. Did you mean 'hmm'"),
        (["empty"], "empty: holds no structure files"),
        (["template", "--out", "file.txt"], "is a file; give a folder"),
        (["template", "--out", "other"], "holds no evaluation of ours"),
        (["template", "--ion", "Xx"], "not an element symbol"),
        (["template", "--truth", "none.parquet"], "no such file or folder"),
        (["template", "--truth", "bad.parquet"], "lacks the column"),
        (["template", "--truth", "file.txt"], "holds no usable structure"),
        (["one", "--truth", "two", "--refuse-known"], "--refuse-known is of new crystals"),
        (["one", "--truth", "two"], "1 structures are no 1 answers to each of 2 truths"),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, list) else "",
)
def test_mistakes(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("file.txt").write_text("text")
    Path("other").mkdir()
    Path("other/thesis.tex").write_text("precious")
    pd.DataFrame({"cell": [[1.0]]}).to_parquet("bad.parquet")
    folder("one", x=rocksalt(NA, CL, 5.64))
    folder("two", y=rocksalt(NA, CL, 5.64), z=rocksalt(K, BR, 6.6))
    code, out, err = run(capsys, "evaluate", *args)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert re.match(r"redoxa: .+\n$", err)
