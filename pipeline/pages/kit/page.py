"""What every page of ours shares: the templates' environment, files that ship with it, and its security policy.

A page forbids itself every request: its content security policy allows no source but its own style sheet and scripts,
each by its sha256, so that text which came from a user could not run even if it escaped the escaping.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from redoxa.data.errors import RedoxaError


def environment() -> Environment:
    """A new environment for the templates; everything is escaped, and a misspelt name is an error."""
    return Environment(
        loader=PackageLoader("redoxa.pipeline", "pages/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def asset(folder: str, name: str) -> str:
    """Text of a file that ships with the report.

    Raises:
        RedoxaError: the file would end the element it is put into.
    """
    text = (files("redoxa.pipeline.pages") / folder / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise RedoxaError(f"pipeline/pages/{folder}/{name} holds a closing tag and cannot be put into a page")
    return text


def policy(styles: list[str], scripts: list[str]) -> str:
    """Content security policy: nothing from anywhere, save these inline texts and images inside the page."""
    return (
        f"default-src 'none'; style-src {_hashes(styles)}; script-src {_hashes(scripts)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts)
    return " ".join(f"'sha256-{d}'" for d in digests)
