"""Figures and parts of a card: voltage profile, path of the ion, groups of properties, warnings, gaps."""

from __future__ import annotations

import re

import numpy as np
import pytest

from redoxa.data.records import Estimate, MigrationPath, Reason, ScreeningResult, Verdict, VoltageStep
from redoxa.pipeline.pages.card.electrode_plots import LEFT, RIGHT, WIDTH, drawn_paths, path_plot, profile_plot
from redoxa.pipeline.pages.card.sections import host_formula, not_computed, sections, warnings
from redoxa.pipeline.pages.kit.text import short_label, shown
from redoxa.pipeline.pages.kit.viewer import scenes
from redoxa.screening import PROPERTIES
from redoxa.screening.labels import GROUPS
from tests.web import sample

STEPS = (
    VoltageStep(x_charge=0.0, x_discharge=0.25, voltage_V=4.0),
    VoltageStep(x_charge=0.25, x_discharge=1.0, voltage_V=3.0),
)


def estimate(value: float, sigma: float, unit: str = "1") -> Estimate:
    return Estimate(value=value, sigma=sigma, unit=unit, method="how", model="m")


def points(svg: str, kind: str) -> list[tuple[float, float]]:
    found = re.search(rf'<path class="{kind}" d="M([^"]+)"', svg)
    assert found is not None
    return [tuple(float(x) for x in p.split()) for p in found.group(1).split("L")]  # type: ignore[misc]


def test_stairs_lie_where_content_and_voltage_say() -> None:
    svg = profile_plot(STEPS, "Li", "FePO4", 180.0, None)
    stairs = points(svg, "stairs")
    xs, ys = zip(*stairs, strict=True)
    width = WIDTH - RIGHT - LEFT
    assert xs == pytest.approx((LEFT, LEFT + width / 4, LEFT + width / 4, WIDTH - RIGHT), abs=0.02)
    assert ys[0] == ys[1] < ys[2] == ys[3]  # up is more
    assert "4.00 V\n0.00 to 0.25 Li per FePO₄\n0 to 45 mAh/g" in svg  # a quarter of 180
    assert "45 to 180 mAh/g" in svg
    assert 'aria-label="Voltage profile: 4.00 V from 0.00 to 0.25 Li per FePO₄; 3.00 V from' in svg


def test_band_is_one_sigma_about_the_average() -> None:
    svg = profile_plot(STEPS, "Li", "FePO4", None, shown("average_voltage", estimate(3.25, 0.5, "V")))
    found = re.search(r'class="band" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    assert found is not None
    top, height = (float(x) for x in found.groups())
    stairs = points(svg, "stairs")
    pixels_per_volt = stairs[2][1] - stairs[0][1]
    assert height == pytest.approx(pixels_per_volt, abs=0.02)  # two sigma are one volt
    assert top == pytest.approx(stairs[0][1] + 0.25 * pixels_per_volt, abs=0.02)  # 3.75 V
    assert "mAh/g" not in svg


def hop(barrier: float, length: float = 3.0) -> MigrationPath:
    energies = tuple(barrier * float(np.sin(np.pi * k / 6)) for k in range(7))
    return MigrationPath(
        label=f"{length:.2f} A", distance_A=length, barrier_eV=barrier, reverse_eV=barrier,
        energies_eV=energies, path_A=tuple(length * k / 6 for k in range(7)),
    )  # fmt: skip


def test_path_passes_through_its_images_and_never_above_the_saddle() -> None:
    svg = path_plot([hop(0.4)])
    curve = np.array(points(svg, "curve"))
    images = np.array([(float(x), float(y)) for x, y in re.findall(r'"image" cx="([\d.]+)" cy="([\d.]+)"', svg)])
    assert len(images) == 7
    on_curve = np.interp(images[:, 0], curve[:, 0], curve[:, 1])
    assert on_curve == pytest.approx(images[:, 1], abs=0.3)
    assert curve[:, 1].min() >= images[3, 1] - 0.01
    assert ">0.40 eV<" in svg
    assert "0.40 eV\nafter 1.5 Å" in svg


def test_only_the_hops_of_the_way_are_drawn() -> None:
    cheap, dear, none = hop(0.2), hop(0.6), MigrationPath(label="5 A", distance_A=5.0, reason="blocked")
    assert drawn_paths((cheap, dear, none), 0.2) == [cheap]
    assert drawn_paths((cheap, dear, none), 0.6) == [cheap, dear]
    assert drawn_paths((cheap, dear, none), None) == [cheap]
    assert drawn_paths((none,), None) == []


def result(**changes: object) -> ScreeningResult:
    plain = sample.passing(0, sample.hosts()[0], None).result
    return plain.model_copy(update=changes)


def test_sections_hold_each_property_once_in_order() -> None:
    values = {name: estimate(0.5, 0.1) for name in (*PROPERTIES, "brightness_lm")}
    found = sections(result(estimates=values, notes={"smell": "none"}), (), None)
    assert [s.title for s in found] == [g for g in GROUPS if any(r.title == g for r in found)]
    names = [row.name for s in found for row in s.rows]
    assert sorted(names) == sorted(values)
    last = found[-1]
    assert last.title == GROUPS[-1]
    assert [row.label for row in last.rows] == ["Brightness lm"]
    assert last.sentences == ("Smell: none.",)


def test_hull_distances_are_told_in_words_and_not_twice() -> None:
    part = next(s for s in sections(result(), (), None) if s.hull)
    assert [state for state, _ in part.hull] == ["Discharged", "Charged"]
    assert {row.name for row in part.rows} >= {"stability_discharge", "stability_charge"}
    assert part.table == ()


def test_figures_come_with_a_sentence() -> None:
    found = {s.title: s.figures for s in sections(result(), (), None)}
    (profile,) = found["Electrochemistry"]
    (path,) = found["Mobility"]
    assert "the average, 3.43 ± 0.50 V" in profile.caption
    assert path.caption.endswith(
        "full host: 3.00 Å with 0.30 eV. Other hops: 4.70 Å: the path did not converge."
    )  # fmt: skip
    assert host_formula(result()) == "FePO4"
    single = sections(result(profile=STEPS[:1], paths=()), (), None)
    assert not any(s.figures for s in single)  # one step says no more than the average
    flat = {**result().estimates, "max_voltage_step": estimate(0.0, 0.2, "V")}
    assert sections(result(profile=STEPS[:1], estimates=flat), (), None)[0].figures  # computed, and one plateau


def test_notes_become_sentences_with_signs_and_subscripts() -> None:
    notes = {"synthesis_reaction": "Li2S + 2 <b> -> Li2O", "volume_on_charge": "-5.7 %"}
    told = [str(line) for s in sections(result(notes=notes), (), None) for line in s.sentences]
    assert told == [
        "On charge the volume changes by −5.7 %.",
        "Best reaction from common precursors: Li<sub>2</sub>S + 2 &lt;b&gt; → Li<sub>2</sub>O.",
    ]


def reason(stage: str, code: str, text: str) -> Reason:
    return Reason(stage=stage, code=code, text=text, verdict=Verdict.PASS)


def test_warnings_are_told_once_and_gaps_are_no_warnings() -> None:
    reasons = (
        reason("novelty", "known_material", "known: LiFePO4"),
        reason("hazard", "moisture_h2s", "gives off H2S"),
        reason("topotactic", "cation_moved", "Fe moved 1.2 A"),
        reason("topotactic", "cation_moved", "Fe moved 1.2 A"),
        reason("synthesis", "no_route", "no set of precursors balances"),
    )
    found = result(reasons=reasons, notes={"voltage_outside_calibration": "no known electrode is oxidised at W"})
    assert [(w.title, w.text) for w in warnings(found)] == [
        ("Moisture", "gives off H2S"),
        ("Cation moved", "Fe moved 1.2 Å"),
        ("Outside the calibration", "no known electrode is oxidised at W"),
    ]
    gaps = not_computed(found)
    assert "Energy of the best synthesis: no set of precursors balances." in gaps
    assert (
        "Largest voltage step: no states of partial charge were computed; `screen: {profile_states: 3}` or `redoxa screen --profile 3` do."
        in gaps
    )
    assert not any(line.startswith("Average voltage:") for line in gaps)


def test_what_an_early_end_left_out_is_named_with_its_stage() -> None:
    failed = reason("hull", "limit", "too far").model_copy(update={"verdict": Verdict.FAIL})
    (line,) = not_computed(result(verdict=Verdict.FAIL, reasons=(failed,), estimates={}))
    assert line.startswith("The screening ended at “hull” and did not come to: ")
    assert short_label("average_voltage") in line


def test_path_is_drawn_inside_the_cell_from_ion_to_ion() -> None:
    _, discharged, _ = sample.hosts()[0]
    ions = [i for i, z in enumerate(discharged.numbers) if z == 3]
    frac, lattice = np.array(discharged.frac_coords), np.array(discharged.lattice_A)
    start, end = frac[ions[0]] + 3.0, frac[ions[0]] + 3.0 + (frac[ions[1]] - frac[ions[0]])
    way = [tuple(start + k / 4 * (end - start)) for k in range(5)]
    drawn = scenes({"discharged": discharged, "charged": sample.emptied(discharged, "Li", 0.0)}, "Li", way)
    scene = drawn["discharged"]
    length = float(np.linalg.norm((end - start) @ lattice))
    assert np.linalg.norm(scene.path[-1] - scene.path[0]) == pytest.approx(length, abs=1e-6)
    lithium = np.array([xyz for s, xyz in zip(scene.symbols, scene.xyz, strict=True) if s == "Li"])
    for point in (scene.path[0], scene.path[-1]):
        assert np.linalg.norm(lithium - point, axis=1).min() < 1e-3
    assert len(drawn["charged"].path) == 0


def test_states_of_different_size_are_drawn_in_one_cell() -> None:
    from redoxa.screening.ions.removal import supercell

    _, discharged, _ = sample.hosts()[1]
    charged = sample.emptied(supercell(discharged, 2), "Li", 0.0)
    drawn = scenes({"discharged": discharged, "charged": charged}, "Li")
    assert np.allclose(drawn["discharged"].corners, drawn["charged"].corners)
    ions = sum(s == "Li" for s in drawn["discharged"].symbols)
    assert len(drawn["charged"].vacancies) == ions
