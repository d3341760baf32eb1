"""Operator `ring_attention`."""
