"""A profile as it is stored: what was measured of each implementation on each case, and what each tool found in it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.errors import StoreError
from attnlab.bench.profilers.record import ToolRecord
from attnlab.bench.profilers.using import ToolUse
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.folders import new_folder
from attnlab.bench.store.records import Measurement, RunRecord

PROFILE_FILE = "profile.json"
PROFILE_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CaseProfile:
    """One implementation on one case, or a function of a test.

    measurement: as a run has it; of a wrong result without times. tools: what came of each. place: the folder of their
    raw files, in that of the profile. call_ns: what a call takes by the harness's clock. wrong: why its result is
    refused, where it was profiled all the same. side: which revision it is of, where there are two.
    """

    measurement: Measurement
    tools: tuple[ToolUse, ...]
    place: str
    call_ns: float | None = None
    wrong: str | None = None
    side: str = ""

    @property
    def name(self) -> str:
        """Such as `naive`, or `naive, base main (1a2b3c4d5e)`."""
        return ", ".join(filter(None, (self.measurement.implementation, self.side)))

    @property
    def records(self) -> tuple[ToolRecord, ...]:
        """Of the tools that found something."""
        return tuple(use.record for use in self.tools if use.record is not None)

    def record(self, tool: str) -> ToolRecord | None:
        """What a tool found; None where it found nothing or was not used."""
        return next((record for record in self.records if record.tool == tool), None)

    def figure(self, tool: str, name: str) -> float | None:
        """A figure of the whole call by a tool; None where there is none."""
        record = self.record(tool)
        return None if record is None else record.figure(name)


@dataclass(frozen=True)
class Profile:
    """Cases that were profiled together. run: the machine, its ceilings, and the command that repeats it."""

    run: RunRecord
    cases: tuple[CaseProfile, ...]
    profile_schema_version: int = PROFILE_SCHEMA_VERSION


@contextmanager
def folder_in_making(wanted: Path) -> Iterator[Path]:
    """A folder for raw files, which becomes `wanted`, or `wanted-2` …, when all is in it; gone where anything fails.

    Until then it has a hidden name beside that. Raises StoreError where it cannot be made.
    """
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{wanted.name}-", dir=wanted.parent))
    except OSError as error:
        raise _unwritable(wanted, error) from error
    try:
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


@contextmanager
def writing(wanted: Path) -> Iterator[None]:
    """Raises StoreError where what is written within it cannot be, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise _unwritable(wanted, error) from error


def _unwritable(wanted: Path, error: OSError) -> StoreError:
    return StoreError(f"{wanted.parent} cannot be written ({error.strerror or error}); name another folder for it")


def finish_folder(making: Path, wanted: Path) -> Path:
    """Give a folder that is whole its name, or the next one that is free; the name that it got."""
    making.chmod(0o755)
    final = new_folder(wanted)
    return making.rename(final)


def write_profile(profile: Profile, folder: Path) -> Path:
    """profile.json."""
    path = folder / PROFILE_FILE
    path.write_text(json.dumps(encode(profile)), encoding="utf-8")
    return path


def read_profile(folder: Path) -> Profile:
    """What `write_profile` wrote. Raises StoreError where there is none, or it is damaged."""
    path = folder / PROFILE_FILE
    try:
        return decode(Profile, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise StoreError(
            f"{folder} holds no profile ({PROFILE_FILE}); expected what `attnlab profile` wrote"
        ) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged, or of another version of attnlab: {error}") from error
