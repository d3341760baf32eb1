"""Operator `linear`."""

from attnlab.bench.moved import content_of

__getattr__ = content_of(
    "attnlab.bench.ops.linear.contract",
    "attnlab.bench.ops.linear.case",
    "attnlab.bench.ops.linear.inputs",
    "attnlab.bench.ops.linear.reference",
)
