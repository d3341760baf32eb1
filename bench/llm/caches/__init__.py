"""Key-value caches: where tokens lie (a layout), how they are stored (a format), and a cache of both.

A layout and a format are one file each, found by walking `layouts` and `formats`; adding one edits nothing else.
"""

from __future__ import annotations

from attnlab.bench.llm.caches.cache import KVCache, Side
from attnlab.bench.llm.caches.coding import Codec, Format, PlaneSpec, format_of, known_formats
from attnlab.bench.llm.caches.layout import Layout, known_layouts, layout_of

__all__ = [
    "Codec",
    "Format",
    "KVCache",
    "Layout",
    "PlaneSpec",
    "Side",
    "format_of",
    "known_formats",
    "known_layouts",
    "layout_of",
]
