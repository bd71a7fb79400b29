"""The safety rules, and how two persons may lift a limit of the laboratory."""
