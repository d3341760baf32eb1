"""What a scheduler starts on a node: unpacks what was shipped, runs the agent, and hands on what that says.

This file is sent to nodes by value, and runs where nothing of attnlab is installed: it imports the standard library
alone, and no other file of ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LAST_WORDS_BYTES = 4000
KEPT_S = 7 * 24 * 3600.0  # what was shipped, since it was used last
AGENT = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv[3]); from attnlab.bench.cluster.agent import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


class Host:
    """One agent's process on this node."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""

    def begin(
        self, archive: bytes, digest: str, paths: Sequence[str], variables: Mapping[str, str | None], order: str
    ) -> None:
        """Start the agent upon an order.

        archive: a zip with all code, of that SHA-256. paths: folders in it that modules are found in. variables: of the
        agent's environment; None takes one away. Raises OSError and ValueError.
        """
        folder = unpacked(archive, digest)
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        for name, value in variables.items():
            own.pop(name, None)
            own |= {} if value is None else {name: value.replace("{shipped}", str(folder))}
        self._said, far_end = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        where = json.dumps([str(folder / path) for path in paths])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", AGENT, str(far_end), str(os.getpid()), where],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(far_end,),
            start_new_session=True,
            env=own,
        )
        os.close(far_end)
        assert self._process.stdin is not None
        self._process.stdin.write(order.replace("{shipped}", str(folder)).encode() + b"\n")
        self._process.stdin.flush()

    def poll(self, wait_s: float) -> list[tuple[str, Any]]:
        """What the agent said since the last call, waited for so long; `lost` with a reason where it ended early."""
        assert self._process is not None
        found: list[tuple[str, Any]] = []
        deadline = time.monotonic() + wait_s
        while select.select([self._said], [], [], 0 if found else max(0.0, deadline - time.monotonic()))[0]:
            chunk = os.read(self._said, 1 << 20)
            if not chunk:
                code = self._process.wait()
                kinds = [kind for kind, _ in found]
                return found if {"done", "unfit"} & {*kinds} else [*found, ("lost", self._death(code))]
            *lines, self._pending = (self._pending + chunk).split(b"\n")
            found += [tuple(json.loads(line)) for line in lines]
            if found and found[-1][0] in ("done", "unfit"):
                break
        return found

    def stop(self) -> None:
        """End the agent and its workers."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _death(self, code: int) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - LAST_WORDS_BYTES))
        said = self._log.read().decode(errors="replace").strip()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"its process {how}" + (f"; it said: {said}" if said else "")


def unpacked(archive: bytes, digest: str) -> Path:
    """The folder with what was shipped, unpacked once a node; raises ValueError where it is not what was sent."""
    found = hashlib.sha256(archive).hexdigest()
    if found != digest:
        raise ValueError(f"what was shipped has SHA-256 {found}, and was sent as {digest}")
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (base if base.is_absolute() else Path.home() / ".cache") / "attnlab" / "shipped" / digest[:32]
    if folder.is_dir():
        os.utime(folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as held:
            held.extractall(part)
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for other in folder.parent.iterdir():
        if time.time() - other.stat().st_mtime > KEPT_S:
            shutil.rmtree(other, ignore_errors=True)
    return folder
