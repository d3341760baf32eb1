"""Eight-bit floats with a scale for each token and head."""

from attnlab.bench.llm.caches.coding import Format
from attnlab.bench.llm.caches.scaled import ScaledCodec
from attnlab.bench.llm.codes import FP8_E4M3

BY_TOKEN = ScaledCodec(FP8_E4M3, "token")

FORMAT = Format("fp8_e4m3_token", "float8 e4m3, a scale for each token and head", BY_TOKEN, BY_TOKEN)
