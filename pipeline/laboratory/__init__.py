"""The laboratory as its file describes it, and what is asked of it."""
