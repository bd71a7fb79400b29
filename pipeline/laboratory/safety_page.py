"""The safety rules as a page, written from the rules themselves and the laboratory they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from redoxa.data.lab.laboratory import Laboratory
from redoxa.robotics.safety.check import REQUEST_RULES, rule_texts, rules_version

HEAD = """# Safety rules

Nothing reaches a laboratory that a rule refuses. A request is allowed only when every rule was asked and every rule
said yes: what cannot be read, is not in the catalogue or is not on a list is refused. The planner asks the rules of
the first part before it proposes a recipe, the queue asks all of them when a request is proposed, approved and sent.
When a rule, a table, the code behind a rule or the laboratory changes, the version changes, and approvals given under
another version fall back to *proposed*.

The rules judge what a laboratory is asked to do, from a catalogue and from their own arithmetic. They do not replace a
risk assessment: a person who knows the substances approves."""

FOOT = """`redoxa lab rules` prints this page for the laboratory that `laboratory.yaml` describes. Who may override, and
how, is in `redoxa queue override --help`."""


COLUMNS = ("rule", "what it asks", "why", "source", "overridden by")


def rules_page(laboratory: Laboratory | None = None) -> str:
    """Markdown: every rule with its reason, its source and who may override it; for a laboratory also the version."""
    version = () if laboratory is None else (f"Version {rules_version(laboratory)}, for {laboratory.name}.", "")
    return "\n".join([HEAD, "", *version, *_tables(), FOOT, ""])


def _tables() -> Iterator[str]:
    texts = rule_texts()
    for title, rules in (
        ("The powder: what is weighed, ground and fired", [r for r in texts if r not in REQUEST_RULES]),
        ("The request: amounts, cells and cycling", [r for r in texts if r in REQUEST_RULES]),
    ):
        yield from (f"## {title}", "", _row(COLUMNS), _row("---" for _ in COLUMNS))
        for rule in rules:
            text = texts[rule]
            who = "two named persons" if text.override else "nobody"
            yield _row((rule, text.title, text.reason, text.source, who))
        yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
