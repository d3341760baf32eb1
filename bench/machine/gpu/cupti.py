"""Traces of launches and device activities, through the optional package cupti-python.

Written from release 13.4.0 of that package (the module `cupti.cupti`), and run on an H100 with release 13.0.1.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attnlab.bench.errors import ClockUnsupported
from attnlab.bench.machine.gpu import Activity, LaunchCall, Trace, Tracer

BUFFER_BYTES = 8 << 20
FORCED = 1  # CUPTI_ACTIVITY_FLAG_FLUSH_FORCED: hand over buffers that are not full too


@contextmanager
def trace() -> Iterator[Tracer]:
    """Trace while entered; raises ClockUnsupported where CUPTI cannot be had."""
    try:
        cupti: Any = importlib.import_module("cupti.cupti")
    except (ImportError, OSError) as error:
        raise ClockUnsupported(f"the package cupti-python cannot be imported: {error}") from error
    kinds = cupti.ActivityKind
    enabled: list[int] = []
    tracer = _Cupti(cupti)
    try:
        try:
            cupti.activity_register_callbacks(tracer.give_buffer, tracer.take_records)
            for kind in (kinds.RUNTIME, kinds.DRIVER, kinds.CONCURRENT_KERNEL, kinds.MEMCPY, kinds.MEMSET):
                cupti.activity_enable(kind)
                enabled.append(kind)
        except Exception as error:  # its own errors, of a class that differs between releases
            raise ClockUnsupported(f"CUPTI cannot trace here: {type(error).__name__}: {error}") from error
        yield tracer
    finally:
        for kind in enabled:
            cupti.activity_disable(kind)


class _Cupti:
    def __init__(self, module: Any) -> None:
        self._m = module
        self._launched: list[LaunchCall] = []
        self._activities: list[Activity] = []

    def give_buffer(self) -> tuple[int, int]:
        """The size of a buffer, and how many records it may hold (0: as many as fit)."""
        return BUFFER_BYTES, 0

    def take_records(self, records: list[Any]) -> None:
        for record in records:
            if record.kind in (self._m.ActivityKind.RUNTIME, self._m.ActivityKind.DRIVER):
                self._launched.append(LaunchCall(record.start, record.correlation_id))
            else:
                self._activities.append(Activity(record.start, record.end, record.correlation_id))

    def now_ns(self) -> int:
        return int(self._m.get_timestamp())

    def collect(self) -> Trace:
        self._m.activity_flush_all(FORCED)
        seen = Trace(tuple(self._launched), tuple(self._activities))
        self._launched, self._activities = [], []
        return seen
