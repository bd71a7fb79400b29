"""`python -m redoxa`: the command, where it is not on the path."""

from redoxa.pipeline.commands.main import main

main()
