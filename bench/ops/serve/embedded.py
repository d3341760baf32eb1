"""Our own server, started where a case names none: a child of the process that asks it, which it does not outlive.

It is in the process group of that process, so that it stands still and ends with it. It finds modules where that does:
in a gate's arm, those of the arm.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.models.sources import is_path
from attnlab.bench.serving.service import Service
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    from attnlab.bench.ops.serve.case import ServeCase

ANNOUNCED = "attnlab_serve"
START_LIMIT_S = 100.0  # importing torch and reading a model takes 5 to 20 s
ENDING_S = 5.0
GIVES_WAY = 10
"""How nice our server is on the machine that it shares with the client: it computes on all cores, and a client that
waits for one sends late and stamps late."""
MOST_CONTEXT = 2048  # of our server where nobody asks for more
MOST_TOLD = 400
PACKAGES = ("attnlab.bench", "attnlab.impls", "attnlab.kernels")

# Like other processes of the harness it gets the module search path, and where our packages lie.
BOOT = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "sys.meta_path.insert(0, runpy.run_path(sys.argv[2])['Placed'](json.loads(sys.argv[3]))); "
    "sys.argv[:] = ['attnlab', *sys.argv[4:]]; from attnlab.bench.cli import main; sys.exit(main())"
)

_running: dict[tuple[str, ...], EmbeddedServer] = {}


@dataclass(frozen=True, eq=False)
class EmbeddedServer:
    """A server that was started here. output: what it prints."""

    process: subprocess.Popen[bytes]
    service: Service
    output: IO[bytes]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End it."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.output):
            if stream is not None:
                stream.close()


def embedded(case: ServeCase) -> Service:
    """Our server for a case: one that runs already where it is of the same engine, model, dtype and batch.

    Others end, so that one model is held at a time. Raises Unavailable where it does not start, in its own words.
    """
    wanted = arguments(case)
    found = _running.get(wanted)
    if found is not None and found.alive:
        return found.service
    close_all()
    _running[wanted] = started = start(wanted)
    return started.service


def arguments(case: ServeCase) -> tuple[str, ...]:
    """What `attnlab serve` is called with."""
    model = str(Path(case.model).expanduser().resolve()) if is_path(case.model) else case.model
    return (
        *("--impl", case.engine, "--model", model, "--dtype", case.dtype, "--batch", str(case.batch)),
        *(("--context", str(case.most_tokens)) if case.most_tokens > MOST_CONTEXT else ()),
        *("--host", "127.0.0.1", "--port", "0", "--announce", "--with-parent"),
    )


def start(wanted: tuple[str, ...]) -> EmbeddedServer:
    """Start `attnlab serve` with these arguments, and wait until it says where it listens. Raises Unavailable."""
    places = json.dumps(_places())
    finder = str(Path(__file__).parents[2] / "gate" / "rerooting.py")
    output: IO[bytes] = TemporaryFile()  # noqa: SIM115 - it lives as long as the server
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", BOOT, json.dumps(sys.path), finder, places, "serve", *wanted],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
    )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, GIVES_WAY)
    try:
        told = _announcement(process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if told is None:
        process.kill()
        code = process.wait()
        raise Unavailable(f"our server does not start (exit code {code}): {_last_words(output)}")
    return EmbeddedServer(process, Service(str(told["url"]), model=told.get("model")), output)


def close_all() -> None:
    """End every server that was started here."""
    while _running:
        _running.popitem()[1].close()


atexit.register(close_all)


def _places() -> dict[str, str]:
    """Where this process has our packages from."""
    import importlib

    found = {}
    for name in PACKAGES:
        module = importlib.import_module(name)
        found[name] = next(iter(module.__path__))
    return found


def _announcement(process: subprocess.Popen[bytes]) -> Mapping[str, Any] | None:
    """What it says on its standard output when it listens; None where it ends, or says nothing in time."""
    assert process.stdout is not None
    until = time.monotonic() + START_LIMIT_S
    while (left := until - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            return None
        line = process.stdout.readline()
        if not line:
            return None
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and isinstance(told.get(ANNOUNCED), dict):
                return dict(told[ANNOUNCED])
    return None


def _last_words(output: IO[bytes]) -> str:
    output.seek(0, 2)
    output.seek(max(0, output.tell() - 4 * MOST_TOLD))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return one_line(lines[-1], MOST_TOLD) if lines else "it says nothing"
