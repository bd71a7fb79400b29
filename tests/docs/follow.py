"""A guide followed as a reader would: files are written, Python is run, commands are typed, and what they say is compared.

What the blocks of a page are:

- ``python``: run in order, in one namespace a page; a ``text`` block behind it is what it prints
- ``console``: lines that begin with ``$`` are typed, the others are what the command says; ``ID`` and ``ID2`` are the
  first identifiers that a command before has named
- any block with a ``title``: a file of that name; ``yaml`` is a campaign, which `redoxa validate` has to find good
- ``<!-- not run: why -->`` before a block: shown only; its `redoxa` commands are parsed all the same

What is printed is compared line by line, numbers and identifiers left open; a line ``...`` stands for any others.

    python -m tests.docs.follow docs/guides/first_cathode.md    # in an empty folder
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]*?) -->\n+)?```(?P<language>\w+)(?: title=\"(?P<title>[^\"\n]+)\")?\n"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
IDENTIFIER = re.compile(r"\b[0-9a-f]{16}\b")
OPEN = re.compile(r"\b[0-9a-f]{8,64}\b|[-+]?\d[\d.,:]*(?:e[-+]?\d+)?%?|─+")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    why_not: str
    line: int

    @property
    def commands(self) -> list[str]:
        """What is typed, with lines that a backslash continues joined."""
        joined = self.text.replace("\\\n", "")
        return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["title"] or "",
            found["text"],
            found["why"] or "",
            text.count("\n", 0, found.start("text")),
        )
        for found in FENCE.finditer(text)
    ]


class Reader:
    """Somebody who follows a page in the folder where they are; `site` is where what they install goes."""

    def __init__(self, page: Path, site: Path) -> None:
        self.page, self.site = page, site
        self.namespace: dict[str, object] = {"__name__": "guide"}
        self.said = ""
        self.named: list[str] = []

    def follow(self) -> None:
        """Every block in turn."""
        for block in blocks(self.page):
            if block.title:
                path = Path(block.title)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
                if block.language == "yaml":
                    self._typed(f"redoxa validate {shlex.quote(block.title)}")
            elif block.why_not:
                continue
            elif block.language == "python":
                self._run(block)
            elif block.language == "console":
                self._type(block)
            elif block.language == "text":
                self._compare(block, block.text)

    def _run(self, block: Block) -> None:
        code = compile("\n" * block.line + block.text, str(self.page), "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, self.namespace)
        self.said = out.getvalue()

    def _type(self, block: Block) -> None:
        joined = block.text.replace("\\\n", "")
        for part in re.split(r"^(?=\$ )", joined, flags=re.MULTILINE):
            if not part.strip():
                continue
            command, _, told = part[2:].partition("\n")
            self.said = self._typed(re.sub(r"\bID(\d?)\b", self._identifier, command))
            if "ID" not in command:
                self.named = list(dict.fromkeys(IDENTIFIER.findall(self.said))) or self.named
            self._compare(block, told)

    def _identifier(self, found: re.Match[str]) -> str:
        return self.named[int(found[1] or 1) - 1]

    def _typed(self, command: str) -> str:
        """What a command says, on both of its ways out."""
        if command.startswith("pip install --editable "):
            install(Path(command.split()[-1]), self.site)
            return ""
        programs = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PATH": programs, "COLUMNS": "110"}
        done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=900)
        if done.returncode:
            raise SystemExit(f"{self.page.name}: `{command}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return f"{done.stdout}\n{done.stderr}".replace(f"{Path.cwd()}/", "")

    def _compare(self, block: Block, told: str) -> None:
        said = {blurred(line) for line in self.said.splitlines()}
        missing = [line for line in told.splitlines() if line.strip() not in ("", "...") and blurred(line) not in said]
        if missing:
            raise SystemExit(
                f"{self.page.name}:{block.line}: not said any more:\n" + "\n".join(missing) + f"\nbut:\n{self.said}"
            )


def blurred(line: str) -> str:
    """A line without its numbers, identifiers and widths."""
    return " ".join(OPEN.sub("#", line).split())


def install(project: Path, site: Path) -> None:
    """Leave a project in a folder of packages as pip does: its modules, its name and its entry points."""
    told = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    info = site / f"{told['name']}-{told['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
    groups = told["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups]
    (info / "entry_points.txt").write_text("".join(lines))
    for module in project.glob("*.py"):
        link = site / module.name
        link.unlink(missing_ok=True)
        link.symlink_to(module.resolve())


def redoxa_words(block: Block) -> list[list[str]]:
    """The words behind `redoxa` of every such command of a block."""
    lines = [re.split(r"\s#\s| \| | > ", line)[0] for line in block.commands]
    return [shlex.split(line)[1:] for line in lines if line.startswith("redoxa ")]


if __name__ == "__main__":
    Reader(Path(sys.argv[1]), Path(sys.argv[2])).follow()
