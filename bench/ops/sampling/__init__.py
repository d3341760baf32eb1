"""Operator `sampling`."""

from attnlab.bench.moved import content_of

__getattr__ = content_of("attnlab.bench.ops.sampling.contract", "attnlab.bench.ops.sampling.case")
