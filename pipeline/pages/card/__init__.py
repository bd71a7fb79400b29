"""One candidate on a page."""
