"""Latent tokens in pages anywhere in one pool, each [S, D], found through a block table, as FlashMLA has them."""

from attnlab.bench.llm.caches.layout import SHD, Layout, LayoutFamily, power_of_two


def _make(size: int | None) -> Layout:
    assert size is not None
    name = f"latent_paged:{size}"
    return Layout(name, SHD, power_of_two(size, "page size", name), paged=True, latent=True)


LAYOUT = LayoutFamily(
    "latent_paged",
    "pages of N latent tokens in a pool, each [N, D], values being the first numbers of keys",
    _make,
    "page size",
)
