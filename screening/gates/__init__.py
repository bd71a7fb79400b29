"""What a candidate must pass before it costs anything."""
