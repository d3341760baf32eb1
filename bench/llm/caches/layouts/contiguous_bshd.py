"""All tokens of a sequence one after another, the heads of a token together: [B, S, Hkv, D], as they are computed."""

from attnlab.bench.llm.caches.layout import SHD, Layout, LayoutFamily

LAYOUT = LayoutFamily(
    "contiguous_bshd",
    "one block a sequence, [B, S, Hkv, D]",
    lambda _: Layout("contiguous_bshd", SHD),
)
