"""Benchmarks of pytest tests in a gate: both arms collect and run their own tests, and the gate times their calls."""
