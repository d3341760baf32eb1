"""Benchmarks over stored runs: their lines, the changes in them, and what changed in the environment."""
