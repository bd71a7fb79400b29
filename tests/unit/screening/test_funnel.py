"""The funnel with real CHGNet: published electrodes, cache, order, guards, costs."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.records import Crystal, Verdict
from redoxa.data.tables.prototypes import prototype
from redoxa.screening import GATES, PROPERTIES
from redoxa.screening.assess import plan
from redoxa.screening.base import Needs, Subject
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.contract import check_gate
from redoxa.screening.funnel import Context, FunnelStats, MemoryCache, screen
from redoxa.screening.ions.removal import supercell
from redoxa.screening.physics.duplicates import DuplicateIndex
from redoxa.screening.profile import with_profile
from redoxa.screening.properties.volume import principal_stretches
from redoxa.screening.settings import ScreenSettings
from redoxa.screening.workers.pool import InlinePool
from tests.unit.screening.conftest import METALS, candidate, cubic, distorted, from_library, reference_of

# CHGNet 0.3.0's own voltages, theoretical capacities, volume by formula unit in A^3
# (experiment; PBE+U comes out up to 5 % larger)
PUBLISHED = {
    "O3 LiCoO2": (3.5, 273.8, 32.2),
    "layered LiTiS2": (1.9, 225.3, 64.0),
    "olivine LiFePO4": (3.4, 169.9, 72.8),
    "O3 NaCoO2": (2.7, 235.3, 37.6),
    "olivine LiMnPO4": (3.7, 170.9, 75.6),
}
QUICK = ["O3 LiCoO2", "layered LiTiS2", "O3 NaCoO2"]
ELEMENTS = {**METALS, "Co": -7.1, "O2": -4.95, "Ti": -7.9, "S": -4.1, "Fe": -8.5, "P": -5.4, "Mn": -9.2}
FREE = ScreenSettings.permissive(workers=1, calibrate=False)


@pytest.fixture(scope="module")
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.fixture(scope="module")
def context(cache, chgnet):
    pool = InlinePool("chgnet")
    with Context(reference_of(ELEMENTS), cache=cache, pool=pool) as opened:
        yield opened


@pytest.fixture(scope="module")
def results(context):
    stats = FunnelStats()
    found = {r.candidate_id: r for r in screen([from_library(n) for n in QUICK], FREE, context, stats)}
    return {n: found[from_library(n).id] for n in QUICK}, stats


def check_published(result, name):
    voltage, capacity, volume = PUBLISHED[name]
    values = {k: e.value for k, e in result.estimates.items()}
    formula_units = result.crystals["discharged"].composition[result.working_ion]
    assert result.verdict is Verdict.PASS
    assert values["average_voltage"] == pytest.approx(voltage, abs=0.25)
    assert values["capacity_grav"] == pytest.approx(capacity, rel=0.005)
    assert result.crystals["discharged"].volume_A3 / formula_units == pytest.approx(volume, rel=0.06)
    assert values["capacity_vol"] == pytest.approx(
        26801.48 / (result.crystals["discharged"].volume_A3 / formula_units * 0.602214), rel=1e-3
    )
    assert values["energy_grav"] == pytest.approx(values["average_voltage"] * values["capacity_grav"])
    assert values["energy_vol"] == pytest.approx(values["average_voltage"] * values["capacity_vol"])
    both = [result.crystals[s].volume_A3 for s in ("discharged", "charged")]
    assert values["max_delta_volume"] == pytest.approx(max(both) / min(both) - 1, rel=1e-6)
    certain = {"p_near_hull"}  # a chance, whose uncertainty is in it
    assert all((e.sigma > 0 or name in certain) and e.method and e.model for name, e in result.estimates.items())


@pytest.mark.parametrize("name", QUICK)
def test_published_electrodes(results, name):
    check_published(results[0][name], name)


def test_olivine(context):
    (result,) = screen([from_library("olivine LiFePO4")], FREE, context)
    check_published(result, "olivine LiFePO4")
    # LiFePO4 -> FePO4 shrinks by 6.8 % (Padhi 1997); PBE+U gives 5-7 %
    volumes = [result.crystals[s].volume_A3 for s in ("charged", "discharged")]
    assert volumes[0] / volumes[1] - 1 == pytest.approx(-0.065, abs=0.02)


@pytest.mark.slow
def test_manganese_olivine(context):
    (result,) = screen([from_library("olivine LiMnPO4")], FREE, context)
    check_published(result, "olivine LiMnPO4")


def test_voltage_is_the_difference_of_the_relaxed_energies(results, cache, context):
    result = results[0]["O3 LiCoO2"]
    energy = {r.crystal.content_hash: r.energy_eV for r in cache._kept.values() if isinstance(r, Relaxation)}
    charged, discharged = (energy[result.crystals[s].content_hash] for s in ("charged", "discharged"))
    by_hand = charged + METALS["Li"] - discharged
    assert result.estimates["average_voltage"].value == pytest.approx(by_hand, abs=1e-9)


def test_everything_is_estimated_and_staged(results):
    result = results[0]["O3 LiCoO2"]
    asked_for = {"max_voltage_step", "max_instability", "migration_barrier"}  # not computed unasked
    not_there = {"jahn_teller_distortion", "synthesis_energy"}  # no such ion; no precursors in this reference
    assert set(result.estimates) == set(PROPERTIES) - asked_for - not_there
    assert result.stages[0] == "validity"
    assert result.stages[-1] == "electrolyte_solid"
    assert {"hull_coverage_discharge", "decomposes_to_charge", "oxidation_states"} <= set(result.notes)


def test_the_calibrated_voltage_lies_nearer_to_the_measured_one(results, cache, context):
    settings = ScreenSettings.permissive(workers=1)
    stats = FunnelStats()
    (result,) = screen([from_library("O3 LiCoO2")], settings, context, stats)
    raw, calibrated = (result.estimates[n] for n in ("average_voltage_raw", "average_voltage"))
    assert raw == results[0]["O3 LiCoO2"].estimates["average_voltage_raw"]
    assert (stats.relaxations, stats.cached) == (2, 3)  # two single points by the second model
    assert abs(calibrated.value - 4.0) < abs(raw.value - 4.0)
    assert calibrated.sigma < raw.sigma
    assert result.profile[0].voltage_V == pytest.approx(calibrated.value)
    assert "measured electrodes" in calibrated.method


def test_costs_are_counted(results):
    stats = results[1]
    by_stage = {c.stage: c for c in stats.stages}
    assert all(c.entered == c.passed == 3 for c in by_stage.values())
    assert stats.relaxations == 9
    assert by_stage["relax_discharged"].seconds > by_stage["validity"].seconds
    assert next(iter(by_stage)) == "validity"


def test_a_second_run_repeats_no_relaxation_and_says_the_same(results, cache):
    stats = FunnelStats()
    with Context(reference_of(ELEMENTS), cache=cache, pool=Refusing()) as fresh:
        again = {r.candidate_id: r for r in screen([from_library(n) for n in reversed(QUICK)], FREE, fresh, stats)}
    assert stats.relaxations == 0
    assert stats.cached == 9
    assert all(again[r.candidate_id] == r for r in results[0].values())


class Refusing:
    """A pool that must not be used."""

    def submit(self, *_args, **_kwargs):
        raise AssertionError("nothing was to be relaxed")

    def __len__(self):
        return 0

    def close(self):
        pass


def test_two_candidates_with_the_same_cell_share_a_relaxation(chgnet):
    crystal = prototype("O3 LiCoO2").crystal
    twins = [candidate(crystal, "Li"), candidate(crystal, "Na")]  # the second ends at the redox gate
    stats = FunnelStats()
    with Context(reference_of(ELEMENTS), pool=InlinePool("chgnet")) as context:
        found = list(screen([*twins, candidate(crystal, "Li")], FREE, context, stats))
    assert stats.relaxations == 3  # two relaxations, and the layers moved apart
    assert sorted(r.verdict for r in found) == ["fail", "pass", "pass"]


def test_interrupted_half_way_nothing_is_lost(results):
    """Stop after the discharged state: the next run computes the charged one alone, and says the same."""
    cache = MemoryCache()
    target = from_library("O3 LiCoO2")
    with Context(reference_of(ELEMENTS), cache=cache, pool=InlinePool("chgnet")) as context:
        asked = []

        class Killed(Exception):
            pass

        def on_progress(stage, _done, _total):
            asked.append(stage)
            if stage == "relax_charged":
                raise Killed

        # the guard turns what happens inside a candidate into its result; progress is outside of it
        with pytest.raises(Killed):
            list(screen([target], FREE, context, on_progress=on_progress))
    assert asked == ["relax_discharged", "relax_charged"]
    assert len(cache._kept) == 1
    stats = FunnelStats()
    with Context(reference_of(ELEMENTS), cache=cache, pool=InlinePool("chgnet")) as context:
        (result,) = screen([target], FREE, context, stats)
    assert (stats.relaxations, stats.cached) == (2, 1)  # and moves the layers apart
    assert result == results[0]["O3 LiCoO2"]


def test_unconverged_is_undetermined_and_no_number(chgnet):
    start = candidate(distorted(prototype("O3 LiCoO2").crystal, 3))
    with Context(reference_of(ELEMENTS), pool=InlinePool("chgnet")) as context:
        (result,) = screen([start], ScreenSettings.permissive(workers=1, max_steps=2), context)
    assert result.verdict is Verdict.UNDETERMINED
    assert result.reasons[-1].code == "not_converged"
    assert "2 steps" in result.reasons[-1].text
    assert "average_voltage" not in result.estimates
    assert "discharged" not in result.crystals


@pytest.mark.parametrize(("name", "lowest", "value"), [("capacity_grav", 300, 273.8), ("usable_capacity", 200, 164.3)])
def test_limits_stop_before_the_dear_stages(name, lowest, value, chgnet):
    settings = ScreenSettings(workers=1, limits={name: {"min": lowest}})
    stats = FunnelStats()
    with Context(reference_of(ELEMENTS), pool=Refusing()) as context:
        (result,) = screen([from_library("O3 LiCoO2")], settings, context, stats)
    (reason,) = result.reasons
    assert (reason.stage, reason.code, reason.limit) == ("capacity", "limit", lowest)
    assert reason.value == pytest.approx(value, rel=0.005)
    assert result.verdict is Verdict.FAIL
    assert result.stages == ("validity", "redox", "capacity")
    assert [(c.stage, c.entered, c.passed) for c in stats.stages][-1] == ("capacity", 1, 0)


def test_duplicates_end_early_and_order_does_not_matter(cache, results):
    first = from_library("O3 LiCoO2")
    twin = candidate(distorted(first.crystal, 1, 0.01, 0.0))
    settings = ScreenSettings.permissive(workers=1, duplicates="reject")
    for batch in ([first, twin], [twin, first]):
        with Context(
            reference_of(ELEMENTS), cache=cache, earlier=DuplicateIndex([first, twin]), pool=Refusing()
        ) as context:
            found = {r.candidate_id: r for r in screen(batch, settings, context)}
        assert found[first.id].verdict is Verdict.PASS
        assert found[twin.id].reasons[-1].code == "duplicate"
        assert found[twin.id].notes["duplicate_of"] == first.id


def test_a_broken_candidate_does_not_end_the_others(cache, results, monkeypatch):
    from redoxa.screening.gates.validity import Validity

    sound = Validity.evaluate

    def brittle(self, subject, around):
        if subject.candidate.formula == "NaCoO2":
            raise ZeroDivisionError("no charge")
        return sound(self, subject, around)

    monkeypatch.setattr(Validity, "evaluate", brittle)
    with Context(reference_of(ELEMENTS), cache=cache, pool=Refusing()) as context:
        found = {r.formula: r for r in screen([from_library(n) for n in QUICK], FREE, context)}
    assert found["NaCoO2"].verdict is Verdict.ERROR
    assert "ZeroDivisionError: no charge" in found["NaCoO2"].reasons[-1].text
    assert found["LiCoO2"].verdict is found["LiTiS2"].verdict is Verdict.PASS


def test_what_the_potential_does_not_know_is_undetermined(chgnet):
    americate = cubic([3, 95, 8, 8], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0]], 4.2)
    with Context(reference_of(ELEMENTS), pool=InlinePool("chgnet")) as context:
        (result,) = screen([candidate(americate)], FREE, context)
    assert result.verdict is Verdict.UNDETERMINED
    assert (result.reasons[-1].stage, result.reasons[-1].code) == ("relax_discharged", "no_energy")
    assert "up to Pu" in result.reasons[-1].text


def test_profile_between_the_ends(chgnet):
    double = candidate(supercell(prototype("layered LiTiS2").crystal, 2))
    settings = ScreenSettings.permissive(workers=1, profile_states=1)
    with Context(reference_of(ELEMENTS), pool=InlinePool("chgnet")) as context:
        (result,) = screen([double], settings, context)
    assert result.verdict is Verdict.PASS
    steps = [step.voltage_V for step in result.profile]
    assert [step.x_charge for step in result.profile] == pytest.approx([0.0, 0.5])
    assert result.profile[-1].x_discharge == pytest.approx(1.0)
    assert result.estimates["max_voltage_step"].value == pytest.approx(steps[0] - steps[1])
    assert result.estimates["average_voltage"].value == pytest.approx(np.mean(steps))


def test_a_profile_is_added_afterwards_and_costs_its_states_alone(chgnet):
    double = candidate(supercell(prototype("layered LiTiS2").crystal, 2))
    settings = ScreenSettings.permissive(workers=1)
    with Context(reference_of(ELEMENTS), pool=InlinePool("chgnet")) as context:
        (plain,) = screen([double], settings, context)
        stats = FunnelStats()
        found = with_profile(double, plain, settings, context, stats)
        (whole,) = screen([double], settings.model_copy(update={"profile_states": 3}), context)
        assert with_profile(double, found, settings, context) is found  # nothing is left to compute
    assert len(plain.profile) == 1
    assert {c.stage for c in stats.stages if c.seconds > 0.001} >= {"relax_between"}
    assert stats.relaxations == 3  # in a cell of four lithium: one, two and three of them
    assert found.profile == whole.profile
    assert found.estimates["max_voltage_step"] == whole.estimates["max_voltage_step"]
    assert found.model_copy(update={"profile": plain.profile, "estimates": plain.estimates}) == plain


def test_large_cells_and_failed_states_keep_the_average(context, results):
    plain = results[0]["O3 LiCoO2"]
    large = supercell(plain.crystals["discharged"], 50)
    big = plain.model_copy(update={"crystals": {"discharged": large}})
    assert with_profile(from_library("O3 LiCoO2"), big, FREE, context) is big
    # one step of relaxation is not enough for any state
    hasty = FREE.model_copy(update={"max_steps": 1})
    assert with_profile(from_library("O3 LiCoO2"), plain, hasty, context) == plain


@pytest.mark.parametrize("name", [*GATES, *PROPERTIES])
def test_every_gate_and_property_keeps_the_contract(name, results, cache, context):
    result = results[0]["layered LiTiS2"]
    kept = {r.crystal.formula: r for r in cache._kept.values() if isinstance(r, Relaxation)}
    subject = Subject(
        from_library("layered LiTiS2"), supercells=1, n_removed=1, discharged=kept["LiTiS2"], charged=kept["TiS2"],
        full_cell=kept["LiTiS2"].crystal, layer_binding_eV_per_atom=-0.001,
    )  # fmt: skip
    subject.estimates = {k: v for k, v in result.estimates.items() if k != name}
    gate = next(k for needs in Needs for kinds in plan()[needs].values() for k in kinds if k.name == name)
    found = check_gate(gate, subject, context.surroundings(FREE))
    if name in result.estimates:
        assert found.estimate == result.estimates[name]


def test_principal_stretches_by_hand():
    a = cubic([3], [[0, 0, 0]], 4.0)
    b = Crystal(numbers=[3], frac_coords=[[0, 0, 0]], lattice_A=[[4.4, 0, 0], [0, 4.0, 0], [0, 0, 3.6]])
    assert sorted(principal_stretches(a, b)) == pytest.approx([0.9, 1.0, 1.1])
    turned = Crystal(numbers=[3], frac_coords=[[0, 0, 0]], lattice_A=[[0, 4.0, 0], [-4.0, 0, 0], [0, 0, 4.0]])
    assert principal_stretches(a, turned) == pytest.approx([1, 1, 1])


def test_budget_relaxes_the_first_and_leaves_the_rest_without_a_result(context):
    candidates = [from_library(n) for n in QUICK]
    broken = candidate(cubic([3, 8], [[0, 0, 0], [0.1, 0, 0]], 3.0))
    stats = FunnelStats()
    first = list(screen([broken, *candidates], FREE, context, stats, max_relaxed=1))
    assert {r.candidate_id for r in first} == {broken.id, candidates[0].id}
    assert stats.by_stage["relax_discharged"].entered == 1
    rest = list(screen(candidates[1:], FREE, context, max_relaxed=5))
    assert {r.candidate_id for r in rest} == {c.id for c in candidates[1:]}
