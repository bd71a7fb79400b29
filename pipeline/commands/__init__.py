"""The `redoxa` command."""
