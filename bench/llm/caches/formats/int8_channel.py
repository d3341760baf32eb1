"""Eight bits; keys with a scale for each channel, set once by calibration, values with one for each token.

Keys of real models have a few channels that are large in every token: a scale of their own keeps the others exact.
"""

from attnlab.bench.llm.caches.coding import Format
from attnlab.bench.llm.caches.scaled import ScaledCodec
from attnlab.bench.llm.codes import INT8

FORMAT = Format(
    "int8_channel",
    "int8, keys with a scale for each channel, values for each token",
    ScaledCodec(INT8, "head"),
    ScaledCodec(INT8, "token"),
)
