"""Eight bits; keys with a scale for each channel, set once by calibration, values with one for each token.

Keys of real models have a few channels that are large in every token: a scale of their own keeps the others exact.
"""

from attnlab.bench.llm.caches.coding import Format
from attnlab.bench.llm.caches.scaled import INT8, Scaled

FORMAT = Format(
    "int8_channel",
    "int8, keys with a scale for each channel, values for each token",
    Scaled(INT8, "head"),
    Scaled(INT8, "token"),
)
