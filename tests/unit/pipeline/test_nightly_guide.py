"""Every command of the guide exists, with the options that it is given there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from redoxa.pipeline.commands.app import app

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "group.md"
STANDS_FOR = {"ID": "463de110"}
FOUND = re.findall(r"(?:^    |/bin/|`)(redoxa [a-z][^#`\n>&]*)", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", sorted(set(FOUND)))
def test_a_command_of_the_guide_is_understood(line: str) -> None:
    words = [STANDS_FOR.get(word, word) for word in shlex.split(line)[1:]]
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command)
    assert bound.arguments or len(words) <= 2


def test_the_guide_names_the_commands_of_a_morning() -> None:
    told = {" ".join(line.split()[1:3]) for line in FOUND}
    assert {"serve night.yaml", "queue list", "lab work", "lab stop", "lab check"} <= told
    assert len(FOUND) >= 12
