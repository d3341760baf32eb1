"""Bandwidth of `reduce_scatter` over the size of a message."""

from __future__ import annotations

from attnlab.bench.reporters.model.studies._bandwidths import make as make

OPERATOR = "reduce_scatter"
