"""Holds the masks."""
