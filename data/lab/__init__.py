"""The laboratory in nouns: what it has, what is to be done there, and what came of it. Light on purpose."""
