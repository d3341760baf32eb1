"""Operator `serve`."""
