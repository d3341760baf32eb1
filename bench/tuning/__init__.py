"""Searches for the best configuration of a kernel: candidates, early stopping, and keeping what was found."""
