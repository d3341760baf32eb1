"""Four bits, asymmetric, a scale and a minimum for each 64 columns; activations stay as they are."""

from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.grouped import Int4Codec

FORMAT = WeightFormat("int4_g64_asym", "int4, asymmetric, groups of 64 columns", Int4Codec(64, symmetric=False))
