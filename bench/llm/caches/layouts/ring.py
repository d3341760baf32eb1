"""A ring of the last N tokens of each sequence, [B, Hkv, N, D]: what a sliding window needs, and no more."""

from attnlab.bench.llm.caches.layout import HSD, Layout, LayoutFamily


def _make(size: int | None) -> Layout:
    assert size is not None
    return Layout(f"ring:{size}", HSD, size, wraps=True)


LAYOUT = LayoutFamily("ring", "the last N tokens of a sequence, [B, Hkv, N, D]", _make, "number of tokens kept")
