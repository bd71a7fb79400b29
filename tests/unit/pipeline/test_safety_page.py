"""The page of the safety rules is what the rules say."""

from __future__ import annotations

from pathlib import Path

from redoxa.data.lab.laboratory import Laboratory
from redoxa.pipeline.laboratory.safety_page import rules_page
from redoxa.robotics.safety.check import RULES, rules_version

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "safety.md"
MAKE = "python -c \"from redoxa.pipeline.laboratory.safety_page import rules_page; print(rules_page(), end='')\" > docs/concepts/safety.md"


def test_the_page_in_the_documentation_is_made_from_the_rules() -> None:
    assert PAGE.read_text(encoding="utf-8") == rules_page(), f"make it again: {MAKE}"


def test_every_rule_stands_on_the_page_once() -> None:
    page = rules_page(Laboratory())
    assert all(page.count(f"| {rule} |") == 1 for rule in RULES)
    assert rules_version() in page
