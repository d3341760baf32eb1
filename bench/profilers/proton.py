"""Times of kernels and of scopes, by Triton's profiler Proton."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.record import KERNEL, SPAN, CallPart, ToolRecord
from attnlab.bench.text import reason_of

RECORDED_S, MOST_CALLS = 0.2, 50
TREE = "proton.hatchet"
TIMES = {"time (ns)": 1.0, "time (us)": 1e3, "time (ms)": 1e6, "time (s)": 1e9}


def _missing(call: ProfiledCall) -> str | None:
    if not call.on_gpu:
        return "Proton watches kernels on a GPU; run it with --device cuda on a machine that has one"
    try:
        import triton.profiler  # noqa: F401
    except ImportError as error:
        return f"Triton's profiler is not installed ({error}); install it: pip install triton"
    return None


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    import triton.profiler as proton

    count = call.count_within(RECORDED_S, MOST_CALLS)
    call.make(1)
    session = None
    try:
        session = proton.start(str(folder / Path(TREE).stem), hook="triton")
        call.make(count)
    except Exception as error:
        raise MeasurementError(f"Proton fails ({reason_of(error)}); end other profilers of this process") from error
    finally:
        if session is not None:
            proton.finalize(session)
    return read_tree(folder / TREE, count)


def read_tree(path: Path, calls: int) -> ToolRecord:
    """What Proton's tree of scopes and kernels holds. Raises MeasurementError where it is none, or holds no kernel."""
    try:
        (root, *_) = json.loads(path.read_text(encoding="utf-8"))
        times: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for kind, name, own_ns, total_ns, count in _nodes(root):
            one = times[kind, name]
            one[0], one[1], one[2] = one[0] + own_ns, one[1] + total_ns, one[2] + count
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementError(f"{path.name} cannot be read as Proton's ({reason_of(error)})") from error
    parts = [
        CallPart(name, kind, own / calls, total / calls, count / calls)
        for (kind, name), (own, total, count) in times.items()
    ]
    if not any(part.kind == KERNEL for part in parts):
        raise MeasurementError("Proton saw no kernel: the call launches none, or another profiler holds CUPTI")
    files = ((TREE, "scopes and kernels as a tree; shown by proton-viewer -m time/ms"),)
    return ToolRecord("proton", calls, tuple(sorted(parts, key=lambda part: -(part.time_ns or 0.0))), files=files)


def _nodes(node: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float, float]]:
    """Kind, name, own and whole time, and count of each node below the root; scopes take what lies in them."""
    for child in node.get("children", ()):
        yield from _nodes(child)
        own, count = _time_ns(child), float(child["metrics"].get("count", 0.0))
        name = str(child["frame"]["name"])
        if child.get("children"):
            total = sum(_whole_ns(inner) for inner in child["children"])
            yield SPAN, name, own, own + total, 1.0
        elif own > 0:
            yield KERNEL, name, own, own, count


def _whole_ns(node: Mapping[str, Any]) -> float:
    return _time_ns(node) + sum(_whole_ns(child) for child in node.get("children", ()))


def _time_ns(node: Mapping[str, Any]) -> float:
    found = (float(value) * TIMES[name] for name, value in node["metrics"].items() if name in TIMES)
    return sum(found)


PROFILER = Profiler("proton", "Triton's profiler: kernels and scopes on a GPU", _missing, _profile, rank=40)
