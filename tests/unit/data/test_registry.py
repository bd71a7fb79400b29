"""What registered kinds say of themselves, without importing them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from redoxa.data.registry import load, summary
from redoxa.generators import GENERATORS
from redoxa.robotics import DRIVERS
from redoxa.screening import PROPERTIES


@pytest.mark.parametrize(
    ("what", "registry"), [("generator", GENERATORS), ("property", PROPERTIES), ("driver", DRIVERS)]
)
def test_summaries_are_those_of_the_classes(what: str, registry: dict[str, str]) -> None:
    for name in registry:
        assert summary(registry, what, name) == load(registry, what, name).summary


def test_listing_generators_imports_no_torch() -> None:
    code = (
        "import sys; from redoxa.data.registry import summary; from redoxa.generators import GENERATORS\n"
        "[summary(GENERATORS, 'generator', n) for n in GENERATORS]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
