"""Pages of equal size anywhere in one pool, found through a block table (after vLLM's PagedAttention, 2023).

Inside a page [S, Hkv, D], the heads of a token together: vLLM's and FlashAttention's order, FlashInfer's `NHD`.
"""

from attnlab.bench.llm.caches.layout import SHD, Layout, LayoutFamily, power_of_two


def _make(size: int | None) -> Layout:
    assert size is not None
    name = f"paged:{size}"
    return Layout(name, SHD, power_of_two(size, "page size", name), paged=True)


LAYOUT = LayoutFamily("paged", "pages of N tokens in a pool, each [N, Hkv, D]", _make, "page size")
