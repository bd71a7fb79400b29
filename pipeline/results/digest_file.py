"""The digest as a page in a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from redoxa.data.storage.database import store_name
from redoxa.data.whole import whole
from redoxa.pipeline.pages.digest_page import build_digest_page
from redoxa.pipeline.pages.kit.digest_model import CampaignDigest
from redoxa.pipeline.results.digest import troubles


def write_page(path: Path, where: str, found: Sequence[CampaignDigest], since: datetime, now: datetime) -> None:
    """Write the page, whole or not at all; reports are linked from where it lies."""
    folder = path.absolute().parent
    links = {x.campaign_id: quote(os.path.relpath(x.report, folder)) for x in found if x.report}
    page = build_digest_page(store_name(where), found, troubles(found), links, since, now)
    with whole(path) as draft:
        draft.write_text(page, encoding="utf-8")
