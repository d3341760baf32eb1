"""Uses tools on a call, one after another: what one cannot do costs the others nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attnlab.bench.errors import MeasurementError, UnknownName
from attnlab.bench.profilers import PROFILERS, Profiler, in_order
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import ToolRecord
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.text import message_of, one_line, reason_of

ALL = "all"
RECORD, CALL = "record.json", "call.json"


@dataclass(frozen=True)
class ToolUse:
    """What came of one tool: what it found, or why it found nothing and how to mend that."""

    tool: str
    record: ToolRecord | None = None
    refused: str | None = None


def chosen(names: Sequence[str]) -> list[str]:
    """The tools of these names by rank; all where that is one of them. Raises UnknownName."""
    known = [profiler.name for profiler in in_order()]
    for name in names:
        if name not in (*known, ALL):
            raise UnknownName("tool", name, [*known, ALL])
    return [name for name in known if ALL in names or name in names]


def use(
    tools: Sequence[str], call: ProfiledCall, folder: Path, announce: Callable[[str], None] = lambda tool: None
) -> list[ToolUse]:
    """Each tool on the call, with a folder of its own for what is raw; what came of it is kept as it comes."""
    uses = []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CALL).write_text(json.dumps(call.call_ns), encoding="utf-8")
    for name in tools:
        announce(name)
        place = folder / name
        place.mkdir()
        made = _used(PROFILERS.get(name), call, place)
        if made.record is None:
            shutil.rmtree(place)
            place.mkdir()
        (place / RECORD).write_text(json.dumps(encode(made)), encoding="utf-8")
        uses.append(made)
    return uses


def read_uses(tools: Sequence[str], folder: Path) -> list[ToolUse]:
    """What `use` kept; a tool without a record took the process with it. Raises ValueError on a damaged one.

    Folders of tools that found nothing are gone afterwards.
    """
    uses = []
    for name in tools:
        path = folder / name / RECORD
        if path.is_file():
            uses.append(decode(ToolUse, json.loads(path.read_text(encoding="utf-8"))))
            path.unlink()
        elif (folder / name).is_dir():
            uses.append(ToolUse(name, refused="the process ended while it was at work"))
        if uses and uses[-1].tool == name and uses[-1].record is None:
            shutil.rmtree(folder / name)
    return uses


def read_call_ns(folder: Path) -> float | None:
    """What the call took that tools were used on; None where it was not timed, or no tool was used."""
    path = folder / CALL
    if not path.is_file():
        return None
    call_ns = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return None if call_ns is None else float(call_ns)


def _used(profiler: Profiler, call: ProfiledCall, folder: Path) -> ToolUse:
    try:
        if profiler.needs_calls and not call.calls:
            return ToolUse(profiler.name, refused=f"nothing of it is timed here: {call.untimed or 'there is no call'}")
        missing = profiler.missing(call)
        if missing is not None:
            return ToolUse(profiler.name, refused=one_line(missing))
        record = profiler.profile(call, folder)
    except MeasurementError as error:
        return ToolUse(profiler.name, refused=message_of(error))
    except Exception as error:  # noqa: BLE001 - a tool of others, on code of others
        return ToolUse(profiler.name, refused=f"it fails: {reason_of(error)}")
    if record.empty:
        return ToolUse(profiler.name, refused="it found nothing; expected times, figures or findings")
    return ToolUse(profiler.name, replace(record, tool=profiler.name))
