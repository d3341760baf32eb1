"""What the index holds: which run lies in which segment, by which key. It is replaced as a whole, or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import printable
from urllib.parse import quote, unquote

import msgspec

from attnlab.bench.analysis.index.keys import Key
from attnlab.bench.whole_file import whole_file

MANIFEST_FILE = "manifest.json"
SAFE = printable.replace("%", "")


class Unusable(Exception):
    """Why an index, or a part of it, cannot be used."""


@dataclass(frozen=True)
class DamagedLine:
    """A line of a run's measurements that cannot be read, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Entry:
    """One run as it was read. `key` is that of its files then; `NO_FILE` where they had just changed.

    number: what its rows in the segment are marked with; no other run, and no earlier state of this one, ever had it.
    segment: None where its rows are in none, and it has to be read from its folder each time. broken: its folder cannot
    be read.
    """

    key: Key
    number: int
    run_id: str = ""
    started: str = ""
    rows: int = 0
    damages: tuple[DamagedLine, ...] = ()
    segment: str | None = None
    broken: bool = False


@dataclass(frozen=True)
class Segment:
    """Two Parquet files, of measurements and of their runs, that are never written again.

    keys, digests: of both. A file with another key, as in a copied folder, is held against its digest.
    """

    name: str
    rows: int
    keys: tuple[Key, Key]
    digests: tuple[str, str]


@dataclass(frozen=True)
class Manifest:
    """All of an index. version: of what made it; what another version made is made anew."""

    version: str
    runs: dict[str, Entry] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    next_number: int = 1


def read_manifest(place: Path) -> Manifest | None:
    """The manifest of an index; None where there is none. Raises Unusable where it is damaged, OSError as reading."""
    try:
        content = (place / MANIFEST_FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    digest, _, body = content.partition(b"\n")
    if digest.decode("ascii", "replace") != digest_of(body):
        raise Unusable(f"{MANIFEST_FILE} is damaged")
    try:
        found = msgspec.json.decode(body, type=Manifest)
        return replace(found, runs={_plain(name): entry for name, entry in found.runs.items()})
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unusable(f"{MANIFEST_FILE} is of another form: {error}") from error


def write_manifest(place: Path, manifest: Manifest) -> None:
    """Put it in the place of the one that is there; raises OSError."""
    body = msgspec.json.encode(replace(manifest, runs={_spelled(name): e for name, e in manifest.runs.items()}))
    with whole_file(place / MANIFEST_FILE) as part:
        part.write_bytes(digest_of(body).encode() + b"\n" + body)


def _spelled(name: str) -> str:
    """The name of a folder, which may be any bytes, as text: those that are no UTF-8 as `%FF`."""
    return name if name.isascii() and "%" not in name else quote(name, safe=SAFE, errors="surrogateescape")


def _plain(text: str) -> str:
    return unquote(text, errors="surrogateescape") if "%" in text else text


def digest_of(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
