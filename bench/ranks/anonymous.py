"""Files without a name: they lie in memory, others open them by the process that made them, and none is left behind."""

from __future__ import annotations

import os
from pathlib import Path


class AnonymousFile:
    """A file that other processes of this user can open by `path`, for as long as this one keeps it open."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("attnlab-ranks")

    @property
    def path(self) -> Path:
        return Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")

    def close(self) -> None:
        os.close(self._descriptor)
