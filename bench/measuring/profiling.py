"""Profiles an implementation on a case, in the worker that has set it up, checked it and timed it."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

from attnlab.bench.measuring.case_sampling import CaseSampling
from attnlab.bench.measuring.harness import time_case
from attnlab.bench.measuring.prepared_case import PreparedCase
from attnlab.bench.measuring.profile_order import ProfileOrder
from attnlab.bench.measuring.settlement import with_times
from attnlab.bench.profilers.profiled_call import Origin, ProfiledCall
from attnlab.bench.profilers.using import use
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Measurement, Outcome

WRONG = (Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE, Outcome.WRONG_VALUES)
AGAIN = "from attnlab.bench.measuring.profiled_process import main; main({!r}, {!r})"


def measure_and_profile(prepared: PreparedCase, wanted: ProfileOrder, origin: Origin) -> Measurement:
    """What is measured of a prepared case, whose calls the tools take apart where they are right."""
    claim = time_case(prepared)
    if claim.outcome is Outcome.PASSED:
        _profile(prepared, claim, wanted, origin)
    return claim


def profile_unchecked(prepared: PreparedCase, wanted: ProfileOrder, origin: Origin) -> None:
    """Take apart what is known to be wrong: it is timed too, and its outputs are not looked at."""
    claim = prepared.attempt(lambda: _timed_unchecked(prepared))
    if claim.outcome is Outcome.PASSED:
        _profile(prepared, claim, wanted, origin)


def _profile(prepared: PreparedCase, claim: Measurement, wanted: ProfileOrder, origin: Origin) -> None:
    place = wanted.path(origin.operator, origin.implementation, origin.case_id)
    with prepared.foreign():
        call = replace(profiled_call(prepared, claim, origin, wanted.fresh), targets=wanted.targets)
        use(wanted.tools, call, place, lambda tool: prepared.setup.announce(f"profile: {tool}"))


def profiled_call(prepared: PreparedCase, claim: Measurement, origin: Origin, fresh: tuple[str, ...]) -> ProfiledCall:
    """The calls of a prepared case as profilers take them; none where it is not to be timed here.

    Inputs stay what they are: renewing them would stand among what is looked at.
    """
    implementation, device = prepared.implementation, prepared.setup.device
    line = "" if implementation.line is None else f":{implementation.line}"
    return ProfiledCall(
        name=implementation.key,
        device=device,
        calls=tuple(prepared.copies),
        untimed=claim.untimed,
        call_ns=_call_ns(claim),
        origin=origin,
        dtype=claim.case.get("dtype"),
        source=f"{implementation.source}{line}",
        command=(*fresh, AGAIN.format(json.dumps(encode(origin)), device.type)),
        interpreter=fresh,
        compiled=implementation.compiled,
    )


def _call_ns(claim: Measurement) -> float | None:
    values = claim.values("latency", claim.timing.clock) if claim.timing is not None else ()
    return statistics.median(values) if values else None


def _timed_unchecked(prepared: PreparedCase) -> Measurement:
    """A few calls by the clock, whose outputs are not looked at."""
    with prepared.phase("timing"), prepared.foreign():
        sampling = CaseSampling(prepared)
        while not sampling.done:
            sampling.burst()
    return with_times(prepared.measurement, sampling.timed(), prepared.setup.ceilings)
