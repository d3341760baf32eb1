"""Bandwidth of `all_gather` over the size of a message."""

from __future__ import annotations

from attnlab.bench.reporters.model.studies._bandwidths import make as make

OPERATOR = "all_gather"
