"""What single commands do: generate, screen files, train, build tables."""
