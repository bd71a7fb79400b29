"""The Pareto plot of a report's page as a picture of its own."""

from __future__ import annotations

import re
from base64 import b64encode

from markupsafe import escape

from redoxa.pipeline.pages.campaign.figures import HEIGHT, WIDTH
from redoxa.pipeline.pages.kit.page import asset

PLOT = re.compile(r'<svg (class="plot pareto".*?)>(.*?)</svg>', re.DOTALL)


def pareto_url(report: str) -> str | None:
    """The first Pareto plot of a report as a ``data:`` URL of an SVG; None where it has none.

    Args:
        report: the HTML of the page.
    """
    found = PLOT.search(report)
    if found is None:
        return None
    style = "".join(asset("templates", name) for name in ("base.css", "figures.css"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{HEIGHT:g}" {found[1]}>'
        f"<style>{escape(style)} svg.plot {{ background: var(--surface); }}</style>{found[2]}</svg>"
    )
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
