"""The report as a whole: one file, nothing from outside, nothing unescaped, the same every time."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from redoxa.data.lab.recipe import ConstantCurrent, ConstantVoltage, Cycling, Rest
from redoxa.data.records import Verdict
from redoxa.pipeline.pages import build_report
from redoxa.pipeline.pages.campaign import summary
from redoxa.pipeline.pages.campaign.panels import pareto_panels
from redoxa.pipeline.pages.card.cards import build_card, build_cards, outcome_text, ranked
from redoxa.pipeline.pages.card.protocol import protocol
from redoxa.pipeline.pages.card.table import table_rows
from redoxa.pipeline.pages.kit.downloads import csv_text, data_uri, file_stem, json_text, packed
from redoxa.pipeline.pages.kit.model import Objective, ReportData
from tests.web import sample


class Page(HTMLParser):
    """Elements of a page, its inline scripts and styles, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = (tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[0]:
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline.append((*self._open, data))
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def data() -> ReportData:
    return sample.full()


@pytest.fixture(scope="module")
def html(data: ReportData) -> str:
    return build_report(data)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_same_records_give_the_same_bytes(data: ReportData, html: str) -> None:
    assert build_report(ReportData.model_validate_json(data.model_dump_json())) == html


def test_nothing_comes_from_outside(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "img", "base", "audio", "video")
        for name in ("src", "href", "action", "srcset", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
    styles = "".join(text for tag, _, text in page.inline if tag == "style")
    assert "@import" not in styles
    assert "url(" not in styles


def test_policy_allows_exactly_the_scripts_and_styles_of_the_page(page: Page) -> None:
    policy = next(
        a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = [text for tag, attributes, text in page.inline if tag == "style" or attributes.get("type") is None]
    assert {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in run} == allowed


def test_vendored_script_is_the_one_in_the_manifest(page: Page) -> None:
    folder = files("redoxa.pipeline.pages") / "static"
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest.items():
        blob = (folder / name).read_bytes()
        assert hashlib.sha256(blob).hexdigest() == entry["sha256"]
        assert len(blob) == entry["bytes"]
        # The licence asks that its notice goes wherever the code goes: into every report.
        notice = (folder / entry["license_file"]).read_text()
        assert " ".join(notice.split())[:400] in page.text


def test_hull_is_never_called_stability(page: Page) -> None:
    notice = page.text.index("3Dmol.js incorporates")
    assert not re.search(r"\b(un|meta)?stab(le|ility)\b", page.text[:notice], re.IGNORECASE)
    assert "0.006 ± 0.063 eV/atom above a hull of 17 known phases" in page.text
    assert "0.004 ± 0.063 eV/atom below a hull of 18 known phases" in page.text


def test_candidates_come_best_first(data: ReportData) -> None:
    cards = build_cards(data)
    assert [c.row.rank for c in cards] == [1, 2, 3, 4, 5, None]
    assert [c.on_front for c in cards] == [True, True, True, True, False, False]
    assert [c.number for c in build_cards(data, most=2)] == [1, 2]
    assert all(r.result.verdict is Verdict.PASS for r in ranked(data))


def test_a_measured_capacity_stands_beside_the_usable_one_and_that_at_the_head(data: ReportData) -> None:
    first = build_cards(data)[0]
    known = first.row.result.estimates
    usable = known["capacity_grav"].model_copy(update={"value": 150.0, "sigma": 20.0})
    result = first.row.result.model_copy(update={"estimates": known | {"usable_capacity": usable}})
    card = build_card(1, first.row.model_copy(update={"result": result}), measurement=first.measurement)
    assert [row.name for row in card.main] == ["average_voltage", "usable_capacity", "stability_discharge"]
    seen = {row.name: row.measured.number for row in card.properties if row.measured}
    assert "capacity_grav" not in seen
    assert seen["usable_capacity"] == data.measurements[0].values["capacity_grav"].value


def test_card_joins_prediction_measurement_and_target(data: ReportData) -> None:
    card = build_cards(data)[0]
    voltage = card.main[0]
    assert [row.name for row in card.main] == ["average_voltage", "capacity_grav", "stability_discharge"]
    assert voltage.predicted is not None
    assert voltage.predicted.text == "3.43 ± 0.50 V"
    assert voltage.target == "2.5 to 4.3 V"
    assert voltage.measured is not None
    assert voltage.measured.number == data.measurements[0].values["average_voltage"].value
    assert voltage.simulated
    assert [p.name for p in card.properties][:3] == ["average_voltage", "capacity_grav", "capacity_vol"]
    assert [s.name for s in card.states] == ["discharged", "charged"]
    hull = next(s for s in card.sections if s.hull).hull
    assert hull[0][1].products == "0.50 Fe2O3 + 0.33 Li3PO4 + 0.17 FePO4"


def test_protocol_tells_a_repeated_formation_once() -> None:
    rest, charge = Rest(time_s=21600), ConstantCurrent(rate_C=0.05, until_voltage_V=4.1, time_limit_s=1)
    discharge = ConstantCurrent(rate_C=-2.0, until_voltage_V=2.5, time_limit_s=1)
    hold = ConstantVoltage(voltage_V=4.1, until_rate_C=0.01, time_limit_s=1)
    cycling = Cycling(
        nominal_capacity_mAh_g=1, min_voltage_V=2.5, max_voltage_V=4.1, cycles=20, one_C_mA=1, range_mA=10,
        formation=(rest, *(charge, hold, discharge) * 3), steps=(charge, discharge),
    )  # fmt: skip
    once, formation, cycles = protocol(cycling)
    assert (once.times, once.lines) == (1, ("Rest 6 h 00 min",))
    assert formation.times == 3
    assert formation.lines == (
        "Charge at C/20 to 4.10 V", "Hold 4.10 V until the current is below C/100", "Discharge at 2C to 2.50 V",
    )  # fmt: skip
    assert (cycles.times, len(cycles.lines)) == (20, 2)
    assert [p.times for p in protocol(cycling.model_copy(update={"formation": (charge, rest)}))] == [1, 20]
    assert len(protocol(cycling.model_copy(update={"formation": ()}))) == 1


def test_target_not_formed_is_told_as_a_finding(data: ReportData, page: Page) -> None:
    failed = data.measurements[3]
    assert outcome_text(failed).startswith("In the simulation: The target phase did not form. That is a finding")
    assert "Phase purity 94.0 ± 2.0 %." in outcome_text(failed)
    assert "phase did not form" in page.text


def test_real_measurements_are_not_called_simulated(data: ReportData) -> None:
    real = data.model_copy(
        update={
            "measurements": tuple(m.model_copy(update={"simulated": False}) for m in data.measurements),
            "calibration": tuple(c.model_copy(update={"simulated": False}) for c in data.calibration),
        }
    )
    text = Page(build_report(real)).text
    assert "all in a real laboratory" in text
    assert "Simulated" not in text
    assert 'class="sim"' not in build_report(real)


def test_every_candidate_is_in_the_table_once(data: ReportData) -> None:
    rows = table_rows(data, build_cards(data))
    assert sorted(r.row.candidate.id for r in rows) == sorted(r.candidate.id for r in data.results)
    assert [r.card.number for r in rows if r.card] == [1, 2, 3, 4, 5, 6]
    assert all(r.reason for r in rows if r.row.result.verdict is not Verdict.PASS)


def test_pareto_panels_cover_the_pairs_of_objectives(data: ReportData) -> None:
    rows = table_rows(data, build_cards(data))
    titles = [p.title for p in pareto_panels(data, rows)]
    assert titles == ["Capacity vs voltage", "Above hull vs voltage", "Above hull vs capacity"]
    one = data.model_copy(update={"objectives": (Objective(name="energy_grav", min=400),)})
    assert [p.title for p in pareto_panels(one, rows)] == ["Voltage vs energy"]
    unknown = data.model_copy(
        update={"objectives": (Objective(name="average_voltage"), Objective(name="min_abundance"))}
    )
    assert pareto_panels(unknown, rows) == []


def test_csv_has_a_row_a_candidate_and_no_formulas_for_spreadsheets(data: ReportData) -> None:
    origin = data.results[0].candidate.origin.model_copy(update={"detail": "=HYPERLINK(1)"})
    candidate = data.results[0].candidate.model_copy(update={"origin": origin})
    first = data.results[0].model_copy(update={"candidate": candidate})
    changed = data.model_copy(update={"results": (first, *data.results[1:])})
    rows = list(csv.DictReader(io.StringIO(csv_text(changed))))
    assert len(rows) == len(data.results)
    assert rows[0]["origin"] == "'=HYPERLINK(1)"
    best = next(r for r in rows if r["chosen_rank"] == "1")
    assert best["formula"] == "LiFePO4"
    assert float(best["average_voltage (V)"]) == 3.43
    assert float(best["average_voltage sigma"]) == 0.5
    assert best["on_pareto_front"] == "1"
    assert rows[0]["reason"]


def test_json_holds_the_shown_in_full_and_the_records_of_all(data: ReportData) -> None:
    shown = data.results[-1].candidate.id
    whole = json.loads(json_text(data, {shown}))
    assert [("crystals" in r) for r in whole["results"]].count(True) == 1
    assert whole["results"][-1]["crystals"]["discharged"]["numbers"]
    assert all(r["record"]["candidate_id"] == r["candidate_id"] for r in whole["results"])
    assert whole["provenance"]["seed"] == 7


def test_packing_is_reversible_and_repeatable() -> None:
    assert gzip.decompress(base64.b64decode(packed("Å\n"))).decode() == "Å\n"
    assert packed("x") == packed("x")


def test_names_of_files_are_safe() -> None:
    assert file_stem('../../etc/"pass<wd>') == "etc_pass_wd"
    assert file_stem("…") == "file"
    assert data_uri('a "b"\n', "text/plain") == "data:text/plain;charset=utf-8,a%20%22b%22%0A"


def test_size_with_five_hundred_candidates() -> None:
    assert len(build_report(sample.full(494)).encode()) < 2_000_000


def test_empty_states_say_why(data: ReportData) -> None:
    nothing = sample.empty()
    assert "interrupted before its first stage" in summary.why_no_cards(nothing)
    assert summary.why_no_measurements(nothing) == "No measurements: nothing was sent to the laboratory."
    failed = data.model_copy(
        update={"results": data.results[:122], "requests": (), "measurements": (), "calibration": ()}
    )
    assert summary.headline(failed) == "None of 122 candidates passed every gate."
    assert "Most ended at “geometry”: 36 of 128." in summary.why_no_cards(failed)
    assert summary.why_no_requests(failed) == "The queue is empty: no candidate passed."
    waiting = data.model_copy(update={"requests": data.requests[4:], "measurements": (), "calibration": ()})
    assert "1 request waits for a person's approval" in summary.why_no_measurements(waiting)
    text = Page(build_report(failed)).text
    assert "None of 122 candidates passed every gate." in text
    assert len(build_report(nothing)) < 100_000  # no structure to draw, so no viewer to carry


def test_refused_recipe_is_told(data: ReportData) -> None:
    last = data.results[-1].model_copy(update={"rank": 6, "no_request": "no precursor for Ni"})
    refused = data.model_copy(update={"results": (*data.results[:-1], last), "requests": ()})
    assert summary.why_no_requests(refused) == "The queue is empty: LiNiO2: no precursor for Ni"
    assert "Not in the queue. no precursor for Ni" in Page(build_report(refused)).text
