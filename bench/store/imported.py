"""Where a run comes from that another tool measured."""

from __future__ import annotations

from attnlab.bench.store.record import record


@record
class Imported:
    """The file that a run was made of.

    tool, version: what wrote it; version is None where the file does not say. file: its name, without folders. sha256:
    all 64 digits, of its bytes. left_out: what could not be read of it, a line each.
    """

    tool: str
    version: str | None
    file: str
    sha256: str
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.tool} {self.version or '(version unknown)'}, {self.file}"
