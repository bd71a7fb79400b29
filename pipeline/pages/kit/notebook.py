"""What shows itself in a notebook: a crystal as a picture that stands alone, a page in a frame. Nothing is fetched."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from markupsafe import Markup, escape

from redoxa.data.records import Crystal
from redoxa.pipeline.pages.kit.projection import HEIGHT, WIDTH, gradients, picture
from redoxa.pipeline.pages.kit.svg import tag
from redoxa.pipeline.pages.kit.text import formula_html
from redoxa.pipeline.pages.kit.viewer import scenes

STYLE: Final = (
    ".edge{fill:none;stroke:#999;opacity:.75}"
    ".bond{fill:none;stroke:#999;stroke-width:2.6;stroke-linecap:round;opacity:.8}"
    ".face{stroke:#fff;stroke-opacity:.55;stroke-width:.8;stroke-linejoin:round}"
)


FRAME_HEIGHT_px: Final = 720


def framed(page: str, title: str) -> str:
    """A whole page in a frame of its own, apart from the notebook's styles and scripts."""
    return (
        f'<iframe srcdoc="{escape(page)}" title="{escape(title)}" sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{FRAME_HEIGHT_px}px;border:0"></iframe>'
    )


def crystal_figure(crystal: Crystal, text: str, ion: str = "X") -> Markup:
    """The picture with its formula and a line below.

    Args:
        crystal: what is shown, in its conventional cell.
        text: line below the formula.
        ion: working ion, drawn larger; "X" for none.
    """
    scene = scenes({"crystal": crystal}, ion)["crystal"]
    drawn = tag(
        "svg", tag("style", STYLE), gradients(set(scene.symbols)), picture(scene, crystal.formula),
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    address = f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}"
    image = tag("img", src=address, alt=f"Crystal structure of {crystal.formula}", width="200")
    return tag(
        "figure", image, tag("figcaption", formula_html(crystal.formula), tag("br"), text),
        style="width:14em;margin:.4em;font:13px sans-serif;text-align:center",
    )  # fmt: skip
