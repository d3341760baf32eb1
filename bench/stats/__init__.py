"""Statistics over samples: pure functions, no torch."""
