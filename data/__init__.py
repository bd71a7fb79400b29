"""The nouns of Redoxa: crystals, candidates, results, the store and the reference tables. Imports nothing of ours."""
