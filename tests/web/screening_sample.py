"""Sample records for the page of `redoxa screen`; crystals are published ones, other numbers made up for tests."""

from __future__ import annotations

from redoxa.data.records import Candidate, Crystal, Origin, Reason, ScreeningResult, Verdict
from redoxa.pipeline.pages.kit.model import FileRow, ScreeningData
from tests.web import sample


def assessed(index: int = 0) -> FileRow:
    """A structure that was assessed to its end."""
    row = sample.passing(index, sample.hosts()[index], None)
    return FileRow(name=f"cifs/{row.result.formula}.cif", candidate=row.candidate, result=row.result)


def rejected() -> FileRow:
    """A structure that came to nothing."""
    return _ended("redox", "LiCoO2 holds no K", Verdict.FAIL)


def undetermined() -> FileRow:
    """A structure that could not be computed."""
    return _ended("relax_discharged", "the forces did not fall below 0.05 eV/A in 300 steps", Verdict.UNDETERMINED)


def empty_host() -> FileRow:
    """A host without the ion, filled by the screening."""
    full: Crystal = sample.hosts()[4][1]
    host = sample.emptied(full, "Li", 0.0)
    candidate = Candidate(crystal=host, working_ion="Li", origin=Origin(generator="file", seed=0))
    result = sample.passing(4, sample.hosts()[4], None).result
    result = result.model_copy(update={"candidate_id": candidate.id, "formula": candidate.formula})
    return FileRow(name="cifs/TiS2.cif", candidate=candidate, result=result)


def unusable() -> FileRow:
    """A file that holds no structure."""
    return FileRow(name="cifs/broken.cif", problem="cifs/broken.cif: the file is empty")


def screening(*rows: FileRow, limited: bool = False) -> ScreeningData:
    """A page's worth of structures, one of each kind unless told which."""
    return ScreeningData(
        working_ion="Li",
        rows=rows or (assessed(0), assessed(1), empty_host(), rejected(), undetermined(), unusable()),
        limited=limited,
        settings={"Working ion": "Li", "Limits": "none"},
        settings_hash="5e771265c0ffee00",
        versions={"redoxa": "0.1.0"},
        created_at=sample.START,
    )


def _ended(stage: str, text: str, verdict: Verdict) -> FileRow:
    candidate = Candidate(crystal=sample.hosts()[1][1], working_ion="Li", origin=Origin(generator="file", seed=0))
    result = ScreeningResult(
        candidate_id=candidate.id,
        formula=candidate.formula,
        working_ion="Li",
        verdict=verdict,
        settings_hash="5e771265c0ffee00",
        reasons=(Reason(stage=stage, code="ended", text=text, verdict=verdict),),
        stages=("validity", stage),
    )
    return FileRow(name=f"cifs/{verdict.value}.cif", candidate=candidate, result=result)
