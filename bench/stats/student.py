"""Quantiles of Student's t."""

from __future__ import annotations


def quantile(share: float, freedom: float) -> float:
    """The value below which that share of the distribution with so many degrees of freedom lies."""
    from scipy.special import stdtrit  # a fifth of a second, and `scipy.stats` takes most of one

    return float(stdtrit(freedom, share))
