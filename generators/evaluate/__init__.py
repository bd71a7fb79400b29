"""How good generated crystals are: pure metrics, one idea a file, without potential or pipeline."""
