"""The numbers of the screening, a file for each kind."""
