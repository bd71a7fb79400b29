"""Where the `redoxa` command begins: it can be interrupted before anything else is imported."""

from __future__ import annotations

from redoxa.pipeline.commands.interrupt import interruptible


def main() -> None:
    """Run the command."""
    with interruptible():
        from redoxa.pipeline.commands import app as cli

        cli.main()
