"""A server that another process started, and that ends with it however that dies: its standard input closes then."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

ENDED = 1
LOOK_S = 0.2


class ParentWatch:
    """Watches standard input, in a thread of its own: while a server is set up, nothing else has time to look.

    When it closes, the process ends at once; after `then` was called, that is called instead, by the thread.
    """

    def __init__(self) -> None:
        self._gone: Callable[[], object] = _end
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def then(self, gone: Callable[[], object]) -> None:
        self._gone = gone

    def close(self) -> None:
        """Watch no more."""
        self._over.set()

    def _watch(self) -> None:
        number = sys.stdin.fileno()
        while not self._over.is_set():
            if select.select([number], [], [], LOOK_S)[0] and not os.read(number, 4096):  # what it writes says nothing
                self._gone()
                return


def _end() -> None:
    os._exit(ENDED)
