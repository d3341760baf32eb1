"""Operator `perplexity`."""
