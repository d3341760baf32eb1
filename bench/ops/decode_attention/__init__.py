"""Operator `decode_attention`."""

from attnlab.bench.moved import content_of

__getattr__ = content_of("attnlab.bench.ops.decode_attention.contract", "attnlab.bench.ops.decode_attention.inputs")
