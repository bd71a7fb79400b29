"""The page of `redoxa digest`: one self-contained HTML file, the trouble first, then what each campaign brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from markupsafe import Markup

from redoxa.pipeline.pages.card.card_page import card_environment
from redoxa.pipeline.pages.kit.digest_model import CampaignDigest
from redoxa.pipeline.pages.kit.page import asset, policy
from redoxa.pipeline.pages.kit.text import count

STYLES = ("base.css", "cards.css", "print.css")


def build_digest_page(
    store: str, found: Sequence[CampaignDigest], troubles: Sequence[str], links: Mapping[str, str], since: datetime,
    now: datetime,
) -> str:  # fmt: skip
    """The page as one HTML text; the same digest gives the same text.

    Args:
        store: its name, without a password.
        found: the campaigns.
        troubles: what somebody should look at, a line each.
        links: addresses of the campaigns' reports, by campaign id.
        since: from when on.
        now: when it was asked.
    """
    style, script = "\n".join(asset("templates", name) for name in STYLES), asset("templates", "ui.js")
    return card_environment().get_template("digest.html.j2").render(
        store=store,
        found=found,
        troubles=troubles,
        links=links,
        since=since,
        created=now,
        headline=f"Somebody should look: {count(len(troubles), 'trouble')}" if troubles else "All is well",
        policy=policy([style], [script]),
        style=Markup(style),
        script=Markup(script),
    )  # fmt: skip
