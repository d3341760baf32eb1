"""Ctrl-C while DuckDB answers: it looks for signals late, or never, as in a query that refers to itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CUT = "Query interrupted"  # what DuckDB says where it saw the signal itself


@contextmanager
def heard(connection: DuckDBPyConnection) -> Iterator[None]:
    """Inside, Ctrl-C ends what the connection does at once, and raises KeyboardInterrupt."""
    import duckdb

    try:
        with _told(connection):
            yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        if CUT in str(error):
            raise KeyboardInterrupt from error
        raise


@contextmanager
def _told(connection: DuckDBPyConnection) -> Iterator[None]:
    """A thread waits for the number of the signal, which Python writes at once, and tells the connection."""
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    waiting = threading.Thread(target=_wait, args=(reading, connection), daemon=True)
    waiting.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        waiting.join()
        os.close(reading)


def _wait(reading: int, connection: DuckDBPyConnection) -> None:
    while number := os.read(reading, 1):
        if number[0] == signal.SIGINT:
            connection.interrupt()
