"""Figures worked out from what is stored."""
