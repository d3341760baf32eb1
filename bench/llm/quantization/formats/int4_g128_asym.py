"""Four bits, asymmetric, a scale and a minimum for each 128 columns; activations stay as they are."""

from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.grouped import Int4Codec

FORMAT = WeightFormat("int4_g128_asym", "int4, asymmetric, groups of 128 columns", Int4Codec(128, symmetric=False))
