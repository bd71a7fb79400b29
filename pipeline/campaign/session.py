"""A campaign opened for work: spec, store, queue, laboratory and screening, made when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from redoxa.data.errors import InputError, StoreError, suggest
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.progress import OnProgress, nothing, unheard
from redoxa.data.records import Candidate
from redoxa.data.storage.database import store_file, store_name
from redoxa.data.storage.rows import CampaignRow
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.laboratory.laboratory_file import current_laboratory
from redoxa.robotics.base import driver_class
from redoxa.robotics.queue.queue import LabQueue

if TYPE_CHECKING:
    from redoxa.robotics.base import Driver
    from redoxa.screening.funnel import Context

DEFAULT_STORE = "runs/redoxa.db"

OWNER = "campaign-id"
"""File in a campaign's folder that says whose it is."""


def runs_folder(where: str) -> Path:
    """Folder for reports and laboratory files: beside an SQLite store, else ``runs``."""
    file = store_file(where)
    return Path("runs") if file is None else file.parent


class Session:
    """One campaign of one store.

    Attributes:
        where: path or URL of the store.
        spec: the resolved campaign.
        on_progress: where progress is shown.
        note: gets a line of text: what a stage fell short of, say.
    """

    def __init__(self, where: str, spec: CampaignSpec) -> None:
        self.where = where
        self.spec = spec
        self.campaign_id = spec.id
        self.store = Store.open(where)
        self.on_progress: OnProgress = nothing
        self.note: Callable[[str], None] = unheard
        self._driver: tuple[Laboratory, Driver] | None = None

    @property
    def folder(self) -> Path:
        """Where this campaign's report and laboratory files lie: by its name, and its id too where that is taken."""
        plain = runs_folder(self.where) / self.spec.name
        owner = plain / OWNER
        taken = owner.read_text(encoding="utf-8") != self.campaign_id if owner.exists() else plain.is_file()
        return plain.with_name(f"{plain.name}-{self.campaign_id[:8]}") if taken else plain

    def own_folder(self) -> Path:
        """Make the folder, marked as this campaign's."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / OWNER).exists():
            (folder / OWNER).write_text(self.campaign_id, encoding="utf-8")
        return folder

    @property
    def queue(self) -> LabQueue:
        """The laboratory queue of the store."""
        return LabQueue(self.store.engine, self.laboratory)

    @property
    def laboratory(self) -> Laboratory:
        """The laboratory as its file describes it by now."""
        return current_laboratory()

    @property
    def driver(self) -> Driver:
        """The laboratory of this campaign; opened again once its file has changed."""
        laboratory = self.laboratory
        if self._driver is None or self._driver[0] != laboratory:
            self._driver = (laboratory, open_driver(self.spec, self.own_folder(), laboratory))
        return self._driver[1]

    def rejected_results(self) -> tuple[str, ...]:
        """Answers of the laboratory that were refused, each with its reason; looks only where there is a folder."""
        from redoxa.robotics.base import Rejects

        if self.folder.exists() and isinstance(self.driver, Rejects):
            return tuple(self.driver.rejected())
        return ()

    @cached_property
    def context(self) -> Context:
        """Known materials, reference energies, relaxation cache and worker processes of the screening."""
        from redoxa.pipeline.campaign.screening_context import open_context

        earlier = [*self._excluded(), *self.store.candidates(self.campaign_id)]
        return open_context(self.store, runs_folder(self.where), earlier)

    def _excluded(self) -> list[Candidate]:
        """What the campaigns that this one excludes had proposed when it was first registered.

        Raises:
            InputError: the store holds no campaign of that name.
        """
        if not self.spec.exclude_campaigns:
            return []
        rows = self.store.campaigns()
        (own,) = [row for row in rows if row.id == self.campaign_id]
        others = [row for row in rows if row.id != self.campaign_id]
        known = {row.name for row in others}
        if unknown := [name for name in self.spec.exclude_campaigns if name not in known]:
            hint = suggest(unknown[0], known)
            raise InputError(f"exclude_campaigns: {store_name(self.where)} holds no campaign '{unknown[0]}'. {hint}")
        ids = [row.id for row in others if row.name in self.spec.exclude_campaigns]
        return self.store.candidates_before(ids, own.created_at)

    def close(self) -> None:
        """Stop the workers and give the connections back; who asks for the session next gets a new one."""
        for key in [key for key, session in _OPEN.items() if session is self]:
            del _OPEN[key]
        if "context" in self.__dict__:
            self.context.close()
        self.store.close()


def open_driver(spec: CampaignSpec, folder: Path, laboratory: Laboratory | None = None) -> Driver:
    """The laboratory driver that a spec names, with its options checked.

    Args:
        spec: the campaign.
        folder: of the campaign; the driver keeps its state in ``lab`` there.
        laboratory: what it has; by default as `current_laboratory` says.

    Raises:
        InputError: an option the driver does not know, or a value it cannot take.
    """
    from pydantic import ValidationError

    kind = driver_class(spec.lab.driver)
    options = dict(spec.lab.options)
    if "seed" in kind.Config.model_fields:
        options.setdefault("seed", spec.seed)
    try:
        config = kind.Config.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(kind.Config.model_fields)
        where = ".".join(str(x) for x in first["loc"])
        raise InputError(
            f"lab.options.{where}: {first['msg']} for driver '{spec.lab.driver}'. Known: {known}"
        ) from None
    return kind(config, folder / "lab", laboratory=laboratory or current_laboratory())


_OPEN: dict[tuple[str, str], Session] = {}
"""Sessions of this process: tasks carry ids, not objects."""


def _key(where: str, campaign_id: str) -> tuple[str, str]:
    file = store_file(where)
    return (where if file is None else str(file.absolute())), campaign_id


@contextmanager
def opened(where: str, campaign_id: str) -> Iterator[Session]:
    """The session of a campaign; closed again by who opened it, while what is called within shares it.

    Raises:
        StoreError: the store does not hold the campaign.
    """
    shared = _key(where, campaign_id) in _OPEN
    session = session_for(where, campaign_id)
    try:
        yield session
    finally:
        if not shared:
            session.close()


def session_for(where: str, campaign_id: str) -> Session:
    """The open session of a campaign, for a stage; where nobody opened one, as on a worker, it is opened and stays.

    Raises:
        StoreError: the store does not hold the campaign.
    """
    key = _key(where, campaign_id)
    if key not in _OPEN:
        _OPEN[key] = _from_store(where, campaign_id)
    return _OPEN[key]


def _from_store(where: str, campaign_id: str) -> Session:
    store = Store.open(where)
    rows = [row for row in store.campaigns() if row.id == campaign_id]
    store.close()
    if not rows:
        raise StoreError(f"{store_name(where)}: holds no campaign with id {campaign_id}. Known: `redoxa status`.")
    return Session(where, stored_spec(where, rows[0]))


def stored_spec(where: str, row: CampaignRow) -> CampaignSpec:
    """The spec in a store's row of a campaign.

    Raises:
        StoreError: another version of Redoxa wrote it.
    """
    from pydantic import ValidationError

    try:
        return CampaignSpec.model_validate(row.spec)
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreError(
            f"{store_name(where)}: campaign '{row.name}' is of another version of Redoxa ({first['loc']}: "
            f"{first['msg']}). Use that version, or another store."
        ) from None


def register(where: str, spec: CampaignSpec) -> str:
    """Write the resolved spec to the store (stop and schedule as they stand now) and return the campaign's id."""
    store = Store.open(where)
    store.add_campaign(spec.id, spec.name, spec.model_dump(mode="json"))
    store.close()
    return spec.id
