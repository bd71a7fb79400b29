"""Nudged elastic bands: exact on a potential whose saddle is known, honest where there is none, real with CHGNet."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal, Verdict
from redoxa.data.structures import to_atoms
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.base import Subject
from redoxa.screening.compute.relax import relax
from redoxa.screening.mobility.barrier import Barrier, BarrierSettings, barrier_key, find_barrier
from redoxa.screening.mobility.hop_cell import Hop, make_hop
from redoxa.screening.mobility.hops import Edge, HopKind, hop_kinds
from redoxa.screening.mobility.migration import Migration
from redoxa.screening.potentials.base import PointResult
from redoxa.screening.properties.migration import MigrationBarrier
from tests.unit.screening.conftest import candidate
from tests.unit.screening.test_gates import AROUND

A = 4.0
STIFF_eV_A2 = 5.0


class Washboard:
    """A Li that slides along x over hills of a known height while springs hold it in y and z, and Ni in its place.

    The ridge bends: the valley between two hills runs through y = `bend_A`, so the saddle does not lie on the straight
    line. `slope_eV` makes the second site lie higher.
    """

    name = model_id = energy_scale = "washboard"
    energy_mae_eV_per_atom = 0.0

    def __init__(self, height_eV: float, bend_A: float = 0.0, slope_eV: float = 0.0, fail_after: int = 10**9) -> None:
        self.height_eV, self.bend_A, self.slope_eV, self.fail_after, self.calls = (
            height_eV, bend_A, slope_eV, fail_after, 0
        )  # fmt: skip

    def compute(self, crystal, forces=True):
        self.calls += 1
        if self.calls > self.fail_after:
            raise PotentialError("not finite")
        atoms = to_atoms(crystal) if isinstance(crystal, Crystal) else crystal
        forces_eV_A = np.zeros((len(atoms), 3))
        k = 2 * np.pi / A
        x, y, z = atoms.positions[atoms.numbers == 3][0]
        hill = self.height_eV * (1 - np.cos(k * x)) / 2
        centre = self.bend_A * (1 - np.cos(k * x)) / 2
        step = self.slope_eV * (1 - np.cos(k * x / 2)) / 2
        energy = hill + step + STIFF_eV_A2 / 2 * ((y - centre) ** 2 + z**2)
        d_centre = self.bend_A * k * np.sin(k * x) / 2
        force = [
            -self.height_eV * k * np.sin(k * x) / 2 + STIFF_eV_A2 * (y - centre) * d_centre
            - self.slope_eV * (k / 2) * np.sin(k * x / 2) / 2,
            -STIFF_eV_A2 * (y - centre), -STIFF_eV_A2 * z,
        ]  # fmt: skip
        forces_eV_A[atoms.numbers == 3] = force
        return PointResult(float(energy), forces_eV_A, np.zeros((3, 3)))


def hop(shift: float = 0.0) -> Hop:
    """Li from x = 0 to x = A in a box twice as long, a Ni far away from both."""
    cell = [[2 * A, 0, 0], [0, 12.0, 0], [0, 0, 12.0]]
    start, end = (
        Crystal(numbers=[3, 28], frac_coords=[[x, shift, 0], [0.25, 0.5, 0.5]], lattice_A=cell) for x in (0.0, 0.5)
    )
    return Hop(start=start, end=end, mover=0, vector_A=(A, 0, 0), limit="vacancy", separation_A=2 * A)


@pytest.mark.parametrize("bend_A", [0.0, 0.8])
def test_the_height_of_a_known_saddle_is_found(bend_A):
    found = find_barrier(hop(), Washboard(0.6, bend_A), BarrierSettings(fmax_eV_A=0.02))
    assert found.converged
    assert found.barrier_eV == pytest.approx(0.6, abs=0.005)
    assert found.reverse_eV == pytest.approx(0.6, abs=0.005)
    middle = found.ion_frac[int(np.argmax(found.energies_eV))]
    assert middle[0] == pytest.approx(0.25, abs=0.02)
    assert 12 * middle[1] == pytest.approx(bend_A, abs=0.1)
    assert found.energies_eV[0] == 0
    assert np.all(np.diff(found.path_A) > 0)


def test_two_different_sites_have_two_barriers():
    found = find_barrier(hop(), Washboard(0.6, slope_eV=0.2), BarrierSettings(fmax_eV_A=0.02))
    assert found.barrier_eV - found.reverse_eV == pytest.approx(0.2, abs=0.01)


def test_a_hopeless_path_is_given_up_and_told_from_a_failed_search():
    found = find_barrier(hop(), Washboard(8.0))
    assert found.blocked
    assert found.barrier_eV is None
    assert found.steps < 40
    short = find_barrier(hop(), Washboard(0.6, 0.8), BarrierSettings(max_steps=1))
    assert not short.blocked
    assert short.barrier_eV is None
    assert short.reason


def test_an_end_point_without_a_minimum_of_its_own_is_no_hop():
    class Slide(Washboard):
        def compute(self, crystal, forces=True):
            atoms = to_atoms(crystal) if isinstance(crystal, Crystal) else crystal
            x = atoms.positions[atoms.numbers == 3][0]
            pull = np.zeros((len(atoms), 3))
            pull[atoms.numbers == 3] = -x
            return PointResult(0.5 * float((x**2).sum()), pull, np.zeros((3, 3)))

    found = find_barrier(hop(), Slide(0.0))
    assert found.barrier_eV is None
    assert "another minimum" in found.reason


def test_a_potential_that_gives_up_ends_with_its_reason():
    found = find_barrier(hop(), Washboard(0.6, fail_after=4))
    assert found.reason == "the potential gave up: not finite"
    assert not found.blocked


def test_the_key_depends_on_everything_that_decides_and_records_survive_json():
    settings = BarrierSettings()
    keys = {
        barrier_key(hop(), "a", settings), barrier_key(hop(0.01), "a", settings), barrier_key(hop(), "b", settings),
        barrier_key(hop(), "a", BarrierSettings(images=7)),
    }  # fmt: skip
    assert len(keys) == 4
    found = find_barrier(hop(), Washboard(0.6))
    assert Barrier.model_validate_json(found.model_dump_json()) == found


@pytest.mark.slow
def test_lithium_in_titanium_disulfide_passes_through_a_tetrahedron(chgnet):
    crystal = relax(prototype("layered LiTiS2").crystal, chgnet).crystal
    (kind, *_) = hop_kinds(crystal, "Li")
    found = find_barrier(make_hop(crystal, "Li", kind.edges[0], separation_A=6.5), chgnet)
    assert found.converged
    assert found.barrier_eV == pytest.approx(0.28, abs=0.2)  # DFT, arXiv:2508.06459; the straight way costs 0.56
    assert found.barrier_eV == pytest.approx(found.reverse_eV, abs=0.02)


def migration(*barriers: float | None) -> Migration:
    images = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    kinds = tuple(HopKind(3.0 + i, (Edge(0, 0, images[i]),), True) for i in range(len(barriers)))
    ended = [Barrier(barrier_eV=b, reverse_eV=b, reason="" if b is not None else "not converged") for b in barriers]
    return Migration(kinds, tuple(ended))


def judged(found: Migration, **settings):
    subject = Subject(candidate(prototype("O3 LiCoO2").crystal), migration=found)
    return MigrationBarrier().evaluate(subject, AROUND)


def test_the_property_is_the_easiest_way_through():
    found = judged(migration(0.7, 0.3))
    assert found.estimate.value == pytest.approx(0.3)
    assert found.notes["migration"] == "one dimension 0.30 eV along [0 1 0], two dimensions 0.70 eV in (0 0 1)"
    assert [path.barrier_eV for path in found.paths] == [0.3, 0.7]


def test_a_failed_search_makes_it_an_upper_bound():
    found = judged(migration(0.7, None))
    assert "upper bound" in found.notes["migration"]
    nothing = judged(migration(None))
    assert nothing.estimate is None
    assert nothing.reasons[0].code == "no_path"
    assert nothing.verdict is Verdict.PASS
