"""A worker's end of the pipes: requests come as JSON lines, answers go as JSON lines of [kind, value].

Requests come on standard input, which the implementation finds empty; answers go to a file descriptor of their own;
what the implementation prints goes to a pipe of its own.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from attnlab.bench.contract.descendants import end_with
from attnlab.bench.text import reason_of, traceback_of

_dumps, _loads = json.dumps, json.loads  # bound before any plugin is imported


class Channel:
    """What a worker hears and says."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests, self._answers = requests, answers

    @classmethod
    def connect(cls, answers_descriptor: int, parent: int) -> Channel:
        """The parent's, of that number; the process ends with it from here on."""
        end_with(parent)
        os.set_inheritable(answers_descriptor, False)
        answers = os.fdopen(answers_descriptor, "w", encoding="utf-8")
        requests = take_standard_input()
        faulthandler.enable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is told by its traceback, not by a file
        return cls(requests, answers)

    def read(self) -> Any:
        """The next request."""
        return _loads(self._requests.readline())

    def requests(self) -> Iterator[Any]:
        """Each request, until they end."""
        for line in self._requests:
            yield _loads(line)

    def send(self, kind: str, value: Any) -> None:
        self._answers.write(_dumps([kind, value]) + "\n")
        self._answers.flush()

    def ask(self, kind: str, value: Any) -> Any:
        """What the parent answers."""
        self.send(kind, value)
        return self.read()

    @contextmanager
    def telling_why_it_is_broken(self) -> Iterator[None]:
        """What fails inside is told to the parent, and the process ends."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a plugin may fail in a worker that imported well in the parent
            self.send("broken", [reason_of(error), traceback_of(error)])
            sys.exit(1)


def take_standard_input() -> IO[str]:
    """The requests, moved off descriptor 0, so that no call, nor a process that one starts, reads them."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests
