"""The plotting library inside the page: Vega, Vega-Lite and Vega-Embed, as vl-convert-python brings them.

Making the bundle takes seconds, so that it is kept in the user's cache, by the version of that package. In the page it
is compressed, 0.4 MB instead of 0.9, and unpacked when the first plot comes into view. The page's security policy lets
it run by its hash alone.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from attnlab.bench.store.folders import cache_folder
from attnlab.bench.whole_file import whole_file

PACKAGE = "vl-convert-python"
OFFERED = "window.vegaEmbed = vegaEmbed;"


@dataclass(frozen=True)
class Bundle:
    """packed: gzip in base64. digest: SHA-256 of the script, as a security policy names it. versions: of what it is."""

    packed: str
    digest: str
    versions: str


@cache
def bundle() -> Bundle | None:
    """None where vl-convert-python is not installed; the page then has pictures alone."""
    try:
        import vl_convert
    except ImportError:
        return None
    kept = cache_folder() / f"vega-{metadata.version(PACKAGE)}.js.gz"
    packed = _read(kept)
    if packed is None:
        packed = gzip.compress(vl_convert.javascript_bundle(OFFERED).encode(), mtime=0)
        _keep(kept, packed)
    digest = hashlib.sha256(gzip.decompress(packed)).digest()
    lite = vl_convert.get_vegalite_versions()[-1]
    versions = (
        f"Vega {vl_convert.get_vega_version()}, Vega-Lite {lite}, Vega-Embed {vl_convert.get_vega_embed_version()}"
    )
    return Bundle(base64.b64encode(packed).decode(), base64.b64encode(digest).decode(), versions)


def packed(text: str) -> str:
    """gzip in base64, as the page's script unpacks it; the same text gives the same."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _read(path: Path) -> bytes | None:
    """What is kept, where it is whole."""
    try:
        packed = path.read_bytes()
        gzip.decompress(packed)
        return packed
    except (OSError, EOFError, zlib.error):
        return None


def _keep(path: Path, packed: bytes) -> None:
    """A cache that cannot be written costs seconds the next time, and nothing else."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_bytes(packed)
