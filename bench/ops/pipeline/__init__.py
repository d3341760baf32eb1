"""Operator `pipeline`."""
