"""The regression gate: base against head, measured in live pairs, decided with a known false-alarm rate."""
