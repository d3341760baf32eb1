"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; what is written takes the place of `path` when the context ends.

    Where something fails, what was there stays, and the part is removed. Who reads meanwhile sees the old file or the
    new one. Raises OSError where it cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        yield part
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
