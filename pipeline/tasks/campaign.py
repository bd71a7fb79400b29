"""`redoxa run` and `redoxa.open`: a campaign as something that runs, and that can be asked what it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from redoxa.data.errors import InputError
from redoxa.data.lab.measurement import Measurement
from redoxa.data.progress import OnProgress, nothing, unheard
from redoxa.data.storage.database import store_file, store_name
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign.lookup import find_spec, shown_as
from redoxa.pipeline.campaign.rounds import ended, report_is_current
from redoxa.pipeline.campaign.session import Session, opened, register, runs_folder
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.summary import CampaignSummary, summary
from redoxa.pipeline.results.screening import Screened
from redoxa.pipeline.run import run_campaign

if TYPE_CHECKING:
    import pandas as pd


class Campaign:
    """A campaign of a store. Nothing is computed until `run`; what was found stays in the store.

    Attributes:
        spec: the resolved campaign file.
        store: path or URL of its store.
    """

    def __init__(self, spec: CampaignSpec, store: str) -> None:
        self.spec = spec
        self.store = store

    @classmethod
    def find(cls, name: str, store: str) -> Campaign:
        """The campaign in a file, or else the newest in the store with this name or id.

        Raises:
            InputError: no such file, and no such campaign.
        """
        return cls(find_spec(store, name), store)

    @property
    def name(self) -> str:
        """What the file calls it."""
        return self.spec.name

    @property
    def id(self) -> str:
        """Hash of all in the file that results hang on."""
        return self.spec.id

    def run(
        self,
        rounds: int | None = None,
        *,
        prefect: bool = False,
        on_progress: OnProgress = nothing,
        note: Callable[[str], None] = unheard,
    ) -> CampaignSummary:
        """Run it to its end or to where it waits, or go on where it stopped; what is done is never done again.

        Args:
            rounds: complete at most so many more rounds; None for all that the campaign is to have.
            prefect: run the stages as Prefect tasks; else as plain functions.
            on_progress: gets (what, done, total).
            note: gets a line of text, where a generator gave fewer samples than planned, say.

        Returns:
            What it has come to, and why the run ended.

        Raises:
            InputError: less than one round is asked for.
            StoreError: another process runs this campaign.
        """
        campaign_id = register(self.store, self.spec)
        with opened(self.store, campaign_id) as session:
            session.spec, session.on_progress, session.note = self.spec, on_progress, note
            through = _by_prefect if prefect and not ended(session) else _directly
            return through(session, rounds)

    @property
    def summary(self) -> CampaignSummary:
        """What it has come to by now."""
        with self._session() as session:
            return summary(session)

    @property
    def candidates(self) -> tuple[Screened, ...]:
        """Every candidate, in the order in which they were proposed, with what was found of it."""
        with self._session() as session:
            results = {r.candidate_id: r for r in session.store.results(self.id, self.spec.screening.settings_hash)}
            return tuple(Screened(x.id, x.working_ion, x, results.get(x.id)) for x in session.store.candidates(self.id))

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What came back from the laboratory; each says whether it is simulated."""
        with self._session() as session:
            return tuple(measurement for _, measurement in session.queue.measured(campaign=self.id))

    def frame(self) -> pd.DataFrame:
        """One row a screened candidate: identity, verdict, predicted and measured values; columns as in an export."""
        import pandas as pd

        from redoxa.pipeline.pages.kit.downloads import records
        from redoxa.pipeline.results.report_file import report_data

        with self._session() as session:
            return pd.DataFrame(records(report_data(session, "")))

    def export(self, path: Path | str) -> Path:
        """Write the results in the format of the ending: .csv .json .parquet .zip (CIF files) .extxyz.

        Raises:
            InputError: another ending.
        """
        from redoxa.pipeline.results.export import export

        with self._session() as session:
            export(session, Path(path))
        return Path(path)

    @property
    def report(self) -> Path:
        """The report, one page that works without a network; written again where something has happened since."""
        from redoxa.pipeline.results.report_file import write_report

        with self._session() as session:
            if not report_is_current(session):
                write_report(self.store, self.id)
            return session.folder / "report.html"

    def _repr_html_(self) -> str:
        """The report in a frame of its own, for a notebook."""
        from redoxa.pipeline.pages.kit.notebook import framed

        return framed(self.report.read_text(encoding="utf-8"), f"Report of {self.name}")

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """The open session.

        Raises:
            InputError: the campaign has not run in this store.
        """
        file = store_file(self.store)
        if file is None or file.exists():
            store = Store.open(self.store, create=False)
            known = {row.id for row in store.campaigns()}
            store.close()
            if self.id in known:
                with opened(self.store, self.id) as session:
                    yield session
                    return
        raise InputError(f"campaign '{self.name}' has not run in {store_name(self.store)}; `run` starts it")

    def __repr__(self) -> str:
        return f"<campaign {self.name} in {store_name(self.store)}>"


def _directly(session: Session, rounds: int | None) -> CampaignSummary:
    return run_campaign(session.where, session.campaign_id, rounds=rounds)


def _by_prefect(session: Session, rounds: int | None) -> CampaignSummary:
    from redoxa.pipeline.unattended.prefect_env import faults_told, quiet_environment, server

    quiet_environment(runs_folder(session.where) / ".prefect")
    with faults_told(), server():
        from redoxa.pipeline.unattended.flows import discovery_campaign, store_shown

        where = session.where
        return cast("CampaignSummary", discovery_campaign(shown_as(where, session.spec), store_shown(where), rounds))
