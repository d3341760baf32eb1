"""Files of others, read whole."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def plain_bytes(path: Path) -> bytes:
    """All of a plain file; raises OSError where it is a pipe or a device, which may have no end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        return file.read()
