"""What worker processes compute. The kind of its settings says what a job is, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from redoxa.data.records import Crystal, Record, content_hash
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.screening.compute.dispersion import DispersionSettings, dispersion_key, relax_dispersed
from redoxa.screening.compute.point import PointSettings, SinglePoint, single_point
from redoxa.screening.compute.relax import Relaxation, RelaxSettings, relax, relaxation_key
from redoxa.screening.compute.symmetric_relax import relax_symmetric, symmetric_relaxation_key
from redoxa.screening.compute.symmetric_walk import SymmetricRelaxSettings
from redoxa.screening.mobility.barrier import Barrier, BarrierSettings, barrier_key, find_barrier
from redoxa.screening.mobility.hop_cell import Hop
from redoxa.screening.potentials.base import potential_class

if TYPE_CHECKING:
    from redoxa.screening.potentials.base import Potential

Subject = Crystal | SymmetricCrystal | Hop
Settings = RelaxSettings | SymmetricRelaxSettings | PointSettings | BarrierSettings | DispersionSettings
Outcome = Relaxation | SinglePoint | Barrier
AnyOutcome = TypeVar("AnyOutcome", bound=Record)


class Job(Record):
    """A subject and what to do with it: relax it, ask another potential, find the barrier of a hop."""

    id: str
    subject: Subject
    settings: Settings

    def run(self, potential: Potential) -> Outcome:
        """Do it.

        Raises:
            data.errors.PotentialError: the potential cannot compute even the first geometry.
            TypeError: settings of another kind of subject.
        """
        match self.subject, self.settings:
            case Crystal() as crystal, RelaxSettings() as settings:
                return relax(crystal, potential, settings)
            case Crystal() as crystal, DispersionSettings() as settings:
                return relax_dispersed(crystal, potential, settings)
            case Crystal() as crystal, PointSettings() as settings:
                return single_point(crystal, settings, potential)
            case SymmetricCrystal() as form, SymmetricRelaxSettings() as settings:
                return relax_symmetric(form, potential, settings)
            case Hop() as hop, BarrierSettings() as settings:
                return find_barrier(hop, potential, settings)
        raise _mismatch(self.subject, self.settings)


def outcome_kind(settings: Settings) -> type[Outcome]:
    """The record that a job with these settings ends in."""
    match settings:
        case PointSettings():
            return SinglePoint
        case BarrierSettings():
            return Barrier
    return Relaxation


def job_key(subject: Subject, settings: Settings, model_id: str) -> str:
    """Content hash of all that decides the outcome; `model_id` is that of the pool's potential.

    Raises:
        TypeError: settings of another kind of subject.
    """
    match subject, settings:
        case Crystal(), RelaxSettings():
            return relaxation_key(subject, model_id, settings)
        case Crystal(), DispersionSettings():
            return dispersion_key(subject, model_id, settings)
        case Crystal(), PointSettings():
            return content_hash(["point", subject.content_hash, potential_class(settings.potential).model_id])
        case SymmetricCrystal(), SymmetricRelaxSettings():
            return symmetric_relaxation_key(subject, model_id, settings)
        case Hop(), BarrierSettings():
            return barrier_key(subject, model_id, settings)
    raise _mismatch(subject, settings)


def _mismatch(subject: Subject, settings: Settings) -> TypeError:
    return TypeError(f"{type(settings).__name__} do not go with a {type(subject).__name__}")
