"""Eight bits with a scale for each token and head, symmetric: x ≈ code · scale, scale = largest / 127."""

from attnlab.bench.llm.caches.coding import Format
from attnlab.bench.llm.caches.scaled import ScaledCodec
from attnlab.bench.llm.codes import INT8

BY_TOKEN = ScaledCodec(INT8, "token")

FORMAT = Format("int8_token", "int8, a float32 scale for each token and head", BY_TOKEN, BY_TOKEN)
