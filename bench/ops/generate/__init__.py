"""Operator `generate`."""

from attnlab.bench.moved import content_of

__getattr__ = content_of("attnlab.bench.ops.generate.contract", "attnlab.bench.ops.generate.case")
