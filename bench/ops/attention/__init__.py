"""Operator `attention`."""

from attnlab.bench.moved import content_of

__getattr__ = content_of("attnlab.bench.ops.attention.contract", "attnlab.bench.ops.attention.case")
