"""Operators over several ranks: their processes, what these share, how they are timed, and how they fail."""
