"""Pages as in `paged`, but head by head inside a page, [Hkv, S, D]: FlashInfer's `HND`."""

from attnlab.bench.llm.caches.layout import HSD, Layout, LayoutFamily, power_of_two


def _make(size: int | None) -> Layout:
    assert size is not None
    name = f"paged_hsd:{size}"
    return Layout(name, HSD, power_of_two(size, "page size", name), paged=True)


LAYOUT = LayoutFamily("paged_hsd", "pages of N tokens in a pool, each [Hkv, N, D]", _make, "page size")
