"""Four bits, symmetric, a scale for each 32 columns; activations stay as they are."""

from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.grouped import Int4Codec

FORMAT = WeightFormat("int4_g32", "int4, symmetric, groups of 32 columns", Int4Codec(32))
