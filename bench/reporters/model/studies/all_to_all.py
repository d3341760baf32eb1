"""Bandwidth of `all_to_all` over the size of a message."""

from __future__ import annotations

from attnlab.bench.reporters.model.studies._bandwidths import make as make

OPERATOR = "all_to_all"
