"""RMSNorm over each head of queries and keys before they are multiplied, as attention's axis `qk_norm` has it."""

NORM_EPS = 1e-6
"""Added to the mean square of a head's numbers, as Qwen3 and Gemma 3 have it."""
