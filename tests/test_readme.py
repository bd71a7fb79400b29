"""What the README shows is true: its campaign validates, its commands and links exist."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest

import redoxa
from redoxa.pipeline.campaign.spec_file import read_spec
from redoxa.pipeline.commands.app import app

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_the_campaign_validates_and_is_short(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "readme.yaml"
    file.write_text(block)
    assert read_spec(file).goal.working_ion == "Na"
    assert len(block.strip().splitlines()) <= 12


COMMANDS = [
    c.split("#")[0].strip() for c in re.findall(r"redoxa (?:[a-z]+ )+[^#`\n]*?(?=\s{2,}|#|$|`)", TEXT, re.MULTILINE)
]


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_commands_parse(command: str, tmp_path: Path) -> None:
    tokens = shlex.split(command)[1:]
    function, _, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    assert callable(function)


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 8


def test_python_calls_what_there_is() -> None:
    [block] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    assert [ast.unparse(call.func) for call in calls] == ["redoxa.screen", "redoxa.generate", "redoxa.open"]
    for call in calls:
        given = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        function = getattr(redoxa, ast.unparse(call.func).removeprefix("redoxa."))
        inspect.signature(function).bind(*map(ast.literal_eval, call.args), **given)
    told = dict(zip((redoxa.Screening, redoxa.Samples, redoxa.Campaign), block.splitlines()[2:], strict=True))
    for kind, line in told.items():
        for name in re.findall(r"(?<=\.)[a-z_]+", line.partition("#")[2]):
            assert any(hasattr(one, name) for one in (kind, redoxa.Screened, redoxa.Estimate)), (kind, name)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", TEXT))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_make_has_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", TEXT, re.MULTILINE):
        assert f"\n{target}:" in makefile
