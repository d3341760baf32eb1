"""Keeps the ceilings of this machine: measured once, again with age or when something shows them to be low."""

from __future__ import annotations

import hashlib
import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from attnlab.bench.contract.roofline import PUBLISHED
from attnlab.bench.machine.environment import host_id
from attnlab.bench.machine.host import host_state_over
from attnlab.bench.machine.peaks import measure, sharers
from attnlab.bench.machine.throttling import BUSY_OTHERS, cores_used_by_others
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.folders import cache_folder
from attnlab.bench.store.machine import Ceilings, Device, better
from attnlab.bench.whole_file import whole_file

CACHE_VERSION = 3
LASTS_S = 30 * 24 * 3600.0  # after this long they are measured again: kernels, drivers and neighbours change
LOOK_S = 0.3  # at who else is working, before a measurement that can wait


def load_or_measure(device: Device) -> Ceilings:
    """The ceilings of this device, from the user's cache where this machine measured them before.

    Where there are none they are measured now. Where they are old, or were measured while other work ran, they are
    measured again as soon as nothing else runs; see `measured_beside` for what is kept.
    """
    stored = _stored(cache_path(device, _threads()))
    if stored is None or (_due(stored) and _quiet(device)):
        return measure_again(device)
    return replace(stored, published=PUBLISHED.get(device.name))


def load(device: Device) -> Ceilings:
    """The ceilings of this device where they were measured before, else none: no rates, a bandwidth that is NaN."""
    stored = _stored(cache_path(device, _threads()))
    none = Ceilings(device.name, _threads(), math.nan, {}, None, 0.0)
    return replace(stored or none, published=PUBLISHED.get(device.name))


def measure_again(device: Device) -> Ceilings:
    """Measure now, and keep the better of that and of what was known."""
    return measured_beside(device).kept


@dataclass(frozen=True)
class Again:
    """Ceilings measured now, and those that are kept of them and of what was known before."""

    now: Ceilings
    kept: Ceilings


def measured_beside(device: Device, undisturbed: bool = False) -> Again:
    """Measure now; the user's cache then has the better of that and of what it had.

    What is out of date gives way to lower rates too, where those were measured while nothing else ran.
    undisturbed: keep nothing of rates that were measured while other work ran, not even where there are no others.
    """
    path = cache_path(device, _threads())
    now = measure(device)
    stored = _stored(path)
    if undisturbed and now.disturbed is not None:
        return Again(now, now if stored is None else replace(stored, published=now.published))
    outdated = stored is not None and _old(stored, now.measured_at_s) and now.disturbed is None
    kept = now if stored is None or outdated else better(stored, now)
    with suppress(OSError):  # a read-only home costs a measurement in each run, nothing else
        keep(kept, path)
    return Again(now, replace(kept, published=PUBLISHED.get(device.name)))


def _due(stored: Ceilings) -> bool:
    return stored.disturbed is not None or _old(stored, time.time())


def _old(ceilings: Ceilings, now_s: float) -> bool:
    return abs(now_s - ceilings.measured_at_s) > LASTS_S


def _quiet(device: Device) -> bool:
    """Whether nothing else computes on the device now."""
    if device.kind != "cpu":
        return sharers(device.kind) is None
    others = cores_used_by_others([host_state_over(LOOK_S)])
    return others is None or others <= BUSY_OTHERS


def keep(ceilings: Ceilings, path: Path) -> None:
    """Store ceilings where `load_or_measure` finds them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_text(json.dumps(encode(ceilings) | {"cache_version": CACHE_VERSION}))


def cache_path(device: Device, threads: int) -> Path:
    """Where the ceilings of a device are kept, as this torch measures them on this machine with that many threads."""
    import torch

    host = hashlib.sha256(host_id(device, threads).encode()).hexdigest()[:8]
    return cache_folder() / f"ceilings-{_slug(device.name)}-{threads}t-torch{torch.__version__}-{host}.json"


def _stored(path: Path) -> Ceilings | None:
    """Ceilings that were kept; None where absent, cut, of another version or no rates at all."""
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict) or stored.pop("cache_version", None) != CACHE_VERSION:
            return None
        found = decode(Ceilings, stored)
    except (OSError, ValueError):
        return None
    optional = [rate for rate in (found.read_bandwidth, found.cache_bandwidth) if rate is not None]
    return found if all(rate > 0 for rate in (found.bandwidth, *optional, *found.rates.values())) else None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
