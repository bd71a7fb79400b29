"""Campaign files: good ones resolve, bad ones are refused with file, line, column and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from redoxa.data.errors import InputError
from redoxa.generators.composition.grammar import Grammar
from redoxa.generators.composition.stored import save_arrays
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.spec_file import read_spec

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


BAD: dict[str, tuple[str, str]] = {
    "empty": ("", r":1:1: the file is empty"),
    "not a mapping": ("- a\n- b\n", r":1:1: a campaign file is a list of `key: value` lines"),
    "broken yaml": ("goal: {working_ion: Li\n", r":2:1: this is not valid YAML"),
    "duplicate key": ("seed: 1\nseed: 2\n", r":2:1: 'seed' stands here a second time"),
    "cyclic": ("goal: &a\n  objectives: *a\n", r":2:15: YAML aliases"),
    "custom tag": (
        "seed: !!python/object/apply:os.system ['true']\n",
        r":1:7: the tag tag:yaml.org,2002:python/object/apply:os.system is not used here",
    ),
    "unknown key": ("golas: {}\n", r":1:1: 'golas' is not a key here\. Did you mean 'goal'\?"),
    "unknown nested key": ("goal:\n  ion: Li\n", r":2:3: goal: 'ion' is not a key here"),
    "unknown generator": (
        "generate:\n  - kind: flwo\n",
        r":2:11: generate\[0\]\.kind: 'flwo' is not a generator\. Did you mean 'flow'",
    ),
    "unknown ion": ("goal: {working_ion: Rb}\n", r":1:21: goal\.working_ion: 'Rb' is not possible here"),
    "unknown property": (
        "goal: {objectives: {voltage: {min: 3}}}\n",
        r"'voltage' is not a property\. Did you mean 'average_voltage'",
    ),
    "wrong type": ("seed: many\n", r":1:7: seed: .*\(found 'many'\)"),
    "negative count": (
        "generate: [{kind: flow, count: -4}]\n",
        r":1:32: generate\[0\]\.count: .*greater than or equal to 1",
    ),
    "inverted range": (
        "goal: {objectives: {capacity_grav: {min: 300, max: 100}}}\n",
        r":1:36: goal\.objectives\.capacity_grav: ",
    ),
    "not an element": (
        "chemistry: {allowed: [Li, Xx]}\n",
        r":1:27: chemistry\.allowed\[1\]: 'Xx' is not an element symbol",
    ),
    "norway": ("chemistry: {allowed: [Li, No, O]}\n", r"chemistry\.allowed\[1\]: False is not an element symbol"),
    "excluded ion": ("chemistry: {excluded: [Li]}\n", r"chemistry\.excluded holds the working ion Li"),
    "outside the project": (
        "generate: [{kind: flow, checkpoint: ../../x.safetensors}]\n",
        r"lies outside the project folder",
    ),
    "unknown driver": ("lab: {driver: robot}\n", r":1:15: lab\.driver: 'robot' is not a driver"),
    "two schedules": ("schedule: {cron: '* * * * *', every_minutes: 3}\n", r"give one of cron, every_minutes and on_"),
    "no schedule": (
        "schedule: {on_measurements: false}\n",
        r"give one of cron, every_minutes and on_measurements: true",
    ),
    "cron in words": (
        "schedule: {cron: every day}\n",
        r":1:18: schedule\.cron: 'every day' is no cron line\. Write minute",
    ),
    "random cron": ("schedule: {cron: 'R 2 * * *'}\n", r":1:18: schedule\.cron: 'R 2 \* \* \*' is no cron line"),
    "no anion": ("chemistry: {allowed: [Fe, Mn]}\n", r":1:22: chemistry\.allowed: none of Li, Mn, Fe can be an anion"),
    "no redox": ("chemistry: {allowed: [Al, O]}\n", r":1:22: chemistry\.allowed: none of Li, O, Al can be oxidised"),
    "another unit": (
        "goal: {objectives: {stability_discharge: {max: 80}}}\n",
        r":1:48: goal\.objectives\.stability_discharge\.max: 80 is no value in eV/atom, -2 to 2\. Did you mean 0\.08\?",
    ),
    "limit in another unit": (
        "screen: {limits: {max_delta_volume: '<=20'}}\n",
        r":1:37: screen\.limits\.max_delta_volume\.max: 20 is no value in parts of 1, 0 to 4\. Did you mean 0\.2\?",
    ),
    "cells not relaxed": (
        "chemistry: {atoms_per_cell: {min: 30, max: 60}}\nscreen: {max_atoms: 10}\n",
        r":1:35: chemistry\.atoms_per_cell\.min: cells of 30 to 60 atoms .* screen\.max_atoms .* more than 10",
    ),
    "one atom": ("chemistry: {atoms_per_cell: {min: 1, max: 1}}\n", r":1:43: .*1 atom cannot hold the working ion"),
    "no checkpoint": (
        "generate: [{kind: flow, checkpoint: my/x.safetensors}]\n",
        r":1:37: generate\[0\]\.checkpoint: there is no file 'my/x\.safetensors'",
    ),
    "no path": ('lab: {options: {truth: "a/\\0b"}}\n', r":1:24: lab\.options\.truth: holds a character that no path"),
    "goal beyond limit": (
        "goal: {objectives: {capacity_grav: '<=50'}}\n",
        r":1:36: goal\.objectives\.capacity_grav: \.\.50 and screen\.limits\.capacity_grav 60\.\. \(the default, cathode\)",
    ),
    "goal at limit": (
        "goal: {objectives: {average_voltage: 2.5..4.5}, electrode: anode}\n",
        r"average_voltage: 2\.5\.\.4\.5 and screen\.limits\.average_voltage 0\.\.2\.5 \(the default, anode\)",
    ),
    "goal not computed": (
        "goal: {objectives: {migration_barrier: {max: 0.5}}}\n",
        r":1:40: goal\.objectives\.migration_barrier: is not computed without screen\.barriers",
    ),
    "unknown option": (
        "lab: {options: {sed: 3}}\n",
        r":1:22: lab\.options\.sed: .* for driver 'simulated'\. Known: seed",
    ),
    "bare number": ("goal: {objectives: {capacity_grav: 100}}\n", r":1:36: .*100 is no range; write 3\.\.4\.2, >=3"),
    "three ends": (
        "goal: {objectives: {capacity_grav: [1, 2, 3]}}\n",
        r":1:36: .*a range has two ends; write 3\.\.4\.2",
    ),
    "range in words": ("screen: {limits: {average_voltage: 3 to 4}}\n", r":1:36: .*'3 to 4' is no range; write"),
    "element in a text": (
        "chemistry: {allowed: 'Fe, Px, O'}\n",
        r":1:22: chemistry\.allowed\[1\]: 'Px' is not an element",
    ),
    "not a number": ("goal: {objectives: {capacity_grav: {min: .nan}}}\n", r"capacity_grav\.min: .*finite"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
def test_bad_files_say_where_and_what_to_do(case: str, tmp_path: Path) -> None:
    text, pattern = BAD[case]
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=pattern) as caught:
        read_spec(file)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("written", "ends"),
    [
        ("3..4.2", (3, 4.2)),
        ("'3 .. 4.2'", (3, 4.2)),
        ("[3.0, 4.2]", (3, 4.2)),
        ("{min: 3, max: 4.2}", (3, 4.2)),
        ("[3, null]", (3, None)),
        ("3..", (3, None)),
        ("..4.2", (None, 4.2)),
        ("'>3'", (3, None)),
        ("'>= -1e-3'", (-0.001, None)),
        ("'<4'", (None, 4)),
        ("'<=4'", (None, 4)),
    ],
)
def test_ranges_may_be_written_in_several_ways(written: str, ends: tuple[float | None, float | None]) -> None:
    file = Path("ranges.yaml")
    file.write_text(
        f"name: x\ngoal: {{objectives: {{average_voltage: {written}}}}}\nscreen: {{limits: {{synthesis_energy: {written}}}}}\n"
    )
    spec = read_spec(file)
    for found in (spec.goal.objectives["average_voltage"], spec.screen.limits["synthesis_energy"]):
        assert found is not None
        assert (found.min, found.max) == ends
    jsonschema.validate(yaml.safe_load(file.read_text()), CampaignSpec.model_json_schema())


@pytest.mark.parametrize("line", ["0 2 * * *", "*/5 8-18 * * mon-fri", "@daily"])
def test_cron_lines_that_prefect_takes(line: str) -> None:
    Path("cron.yaml").write_text(f"schedule: {{cron: '{line}'}}\n")
    assert read_spec(Path("cron.yaml")).schedule is not None


CASES: dict[str, str] = {
    "my file name.yaml": "",
    "y_allowed_str.yaml": "",
    "y_capacity_unit_trap.yaml": r":3:32: .*Did you mean 0\.08\?",
    "y_cron_words.yaml": r":1:18: schedule\.cron: 'every day' is no cron line",
    "y_gt.yaml": "",
    "y_list_range.yaml": "",
    "y_noanion.yaml": r":1:22: chemistry\.allowed: none of Li, Mn, Fe can be an anion",
    "y_str_range.yaml": "",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_the_shared_cases(name: str) -> None:
    file = ROOT.parent / "shared" / "cases" / "campaigns" / name
    if CASES[name]:
        with pytest.raises(InputError, match=CASES[name]):
            read_spec(file)
        return
    spec = read_spec(file)
    assert spec.name == ("my-file-name" if " " in name else file.stem)
    assert set(spec.goal.objectives) == {"average_voltage"} or "objectives" not in spec.goal.model_fields_set


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my file name", "my-file-name"),
        ("Überraschung", "Uberraschung"),
        ("-.x(1) b", "x-1-b"),
        ("a--b-", "a--b-"),
        ("電池", "campaign"),
    ],
)
def test_a_file_without_a_name_gives_its_own(file: str, name: str) -> None:
    path = Path(f"{file}.yaml")
    path.write_text("goal: {}\n")
    assert read_spec(path).name == name


def test_binary_missing_and_huge_files_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_spec(binary)
    with pytest.raises(InputError, match="no such file"):
        read_spec(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_spec(tmp_path)
    huge = tmp_path / "huge.yaml"
    huge.write_text("# " + "x" * 1_100_000)
    with pytest.raises(InputError, match="larger than"):
        read_spec(huge)


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("seed: -1\nstop: {rounds: 0}\nlab: {approvl: auto}\n")
    with pytest.raises(InputError) as caught:
        read_spec(file)
    heads = [line.split(": ")[0] for line in str(caught.value).splitlines() if line.startswith(str(file))]
    assert sorted(heads) == [f"{file}:1:7", f"{file}:2:16", f"{file}:3:7"]


@pytest.mark.parametrize("file", sorted((ROOT / "campaigns").glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_are_good_and_match_the_published_schema(file: Path) -> None:
    spec = read_spec(file)
    assert spec.goal.working_ion in spec.allowed_symbols
    jsonschema.validate(yaml.safe_load(file.read_text()), CampaignSpec.model_json_schema())


def test_the_template_states_the_defaults() -> None:
    template = read_spec(ROOT / "pipeline" / "templates" / "campaign.yaml")
    assert template == CampaignSpec(name="my-campaign")


def test_identity_ignores_schedule_stop_and_machine_but_not_the_science() -> None:
    base = CampaignSpec.model_validate({"name": "a"})
    longer = CampaignSpec.model_validate(
        {"name": "a", "stop": {"rounds": 3}, "schedule": {"every_minutes": 5}, "screen": {"workers": 1, "budget": 9}}
    )
    other = CampaignSpec.model_validate({"name": "a", "seed": 1})
    assert base.id == longer.id != other.id
    assert CampaignSpec.model_validate(json.loads(base.model_dump_json())).id == base.id


def test_families_enter_the_identity_only_where_they_are_named() -> None:
    plain = CampaignSpec.model_validate({"name": "a", "generate": [{"kind": "flow", "count": 8}]})
    assert plain.id == "5abb3ced21badfad"  # as it was before there were families
    steps = [{"kind": "composition", "family": name, "count": 8} for name in ("mixture", "hmm")]
    specs = [CampaignSpec.model_validate({"name": "a", "generate": x}) for x in (steps, steps[:1], steps[1:])]
    assert len({spec.id for spec in specs}) == 3
    assert [step.source for step in specs[0].generate] == ["composition (mixture)", "composition (hmm)"]
    assert CampaignSpec.model_validate(json.loads(specs[0].model_dump_json())).id == specs[0].id


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"kind": "flow", "family": "hmm"}], "flow has no families; leave family out"),
        ([{"kind": "flow", "best_of": 2}], "flow cannot choose the best of several"),
        ([{"kind": "composition", "family": "mixtures"}], r"'mixtures' is not a model of formulas\. .*'mixture'"),
        ([{"kind": "composition", "family": "hmm"}] * 2, "each generator may be named once, or once a family"),
        ([{"kind": "composition"}, {"kind": "composition", "family": "lstm"}], "named once, or once a family"),
        ([{"kind": "composition", "checkpoint": "a"}, {"kind": "composition"}], "named once, or once a family"),
    ],
)
def test_families_that_cannot_be_are_refused(steps: list[dict[str, str]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CampaignSpec.model_validate({"name": "a", "generate": steps})


def test_a_family_that_does_not_ship_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redoxa.generators.composition.families.shipped", tmp_path.joinpath)
    file = tmp_path / "campaign.yaml"
    file.write_text("generate: [{kind: composition, family: hmm}]\n")
    with pytest.raises(
        InputError, match=r":1:\d+: .*no trained hmm .* `redoxa train --generator composition-hmm TABLE`"
    ):
        read_spec(file)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("family: hmm, checkpoint: mixture", r"checkpoint: mixture: holds a model of the family mixture; hmm was"),
        ("checkpoint: text", r"checkpoint: text: cannot be read as a checkpoint"),
        ("family: hmm, checkpoint: nowhere", r"checkpoint: there is no file 'nowhere'"),
        ("family: hmm, checkpoint: ../mixture", r"checkpoint: '\.\./mixture' lies outside"),
        (r'family: hmm, checkpoint: "a\0b"', r"checkpoint: holds a character that no path"),
    ],
)
def test_a_checkpoint_of_another_family_is_told_before_the_run(tmp_path: Path, step: str, message: str) -> None:
    save_arrays(tmp_path / "mixture", "mixture", Grammar.of([3, 8]), {})
    (tmp_path / "text").write_text("no weights")
    file = tmp_path / "campaign.yaml"
    file.write_text(f"generate: [{{kind: composition, {step}}}]\n")
    with pytest.raises(InputError, match=r":1:\d+: generate\[0\]\." + message):
        read_spec(file)
    file.write_text("generate: [{kind: composition, family: mixture, checkpoint: mixture}]\n")
    assert read_spec(file).generate[0].source == "composition (mixture)"


def test_an_anode_is_looked_for_at_low_voltage(tmp_path: Path) -> None:
    path = tmp_path / "anode.yaml"
    path.write_text("goal: {electrode: anode}\n")
    wanted = read_spec(path).goal.objectives
    assert (wanted["average_voltage"].min, wanted["average_voltage"].max) == (0.1, 1.5)
    assert "usable_capacity" in wanted
