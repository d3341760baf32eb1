"""All tokens of a sequence one after another, head by head: [B, Hkv, S, D], what SDPA reads."""

from attnlab.bench.llm.caches.layout import HSD, Layout, LayoutFamily

LAYOUT = LayoutFamily(
    "contiguous_bhsd",
    "one block a sequence, [B, Hkv, S, D]",
    lambda _: Layout("contiguous_bhsd", HSD),
)
