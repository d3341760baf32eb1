"""Eight-bit floats, four bits of exponent and three of mantissa, with one scale for all keys and one for all values."""

from attnlab.bench.llm.caches.coding import Format
from attnlab.bench.llm.caches.scaled import ScaledCodec
from attnlab.bench.llm.codes import FP8_E4M3

ONE_SCALE = ScaledCodec(FP8_E4M3, "side")

FORMAT = Format("fp8_e4m3", "float8 e4m3, one scale for keys and one for values", ONE_SCALE, ONE_SCALE)
