"""Broken implementations of attention and of its backward pass, and the proof that none gets through."""
