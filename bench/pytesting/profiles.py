"""`--attnlab-profile`: takes the call of a test apart in this process, and keeps what it finds if the test passes."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.profiles import (
    CaseProfile,
    Profile,
    finish_folder,
    folder_in_making,
    write_profile,
    writing,
)
from attnlab.bench.profilers.using import ALL, chosen, read_call_ns, read_uses, use
from attnlab.bench.text import file_stem

if TYPE_CHECKING:
    from attnlab.bench.pytesting.timed_call import TimedCall
    from attnlab.bench.store.records import RunRecord

PLACE = "raw"


@dataclass
class TestProfile:
    """What was found in the call of one test, with raw files in a folder that is gone when the test is over."""

    __test__ = False  # pytest takes it for tests otherwise

    item: pytest.Item
    case: CaseProfile
    run: RunRecord
    raw: Path

    @classmethod
    def take(cls, item: pytest.Item, call: TimedCall, run: RunRecord) -> Self:
        """Time the call and use every tool on it. Raises MeasurementError where no clock can time it."""
        from attnlab.bench.measuring.settlement import with_times
        from attnlab.bench.measuring.timing import time_calls

        timed = time_calls([call.call], call.clocks, call.effort, bytes_a_call=call.given.bytes or 0)
        measurement = with_times(call.measurement(item.name), timed, run.ceilings)
        profiled = ProfiledCall(
            item.name, call.torch_device, (call.call,), call_ns=measurement.median_ns, dtype=call.dtype
        )
        raw, tools = Path(tempfile.mkdtemp(prefix="attnlab-profile-")), chosen([ALL])
        use(tools, profiled, raw / PLACE)
        found = tuple(read_uses(tools, raw / PLACE))
        return cls(item, CaseProfile(measurement, found, PLACE, read_call_ns(raw / PLACE)), run, raw)

    def conclude(self, passed: bool) -> str:
        """Write the page where the test passed; in words, where it is, or why there is none."""
        from attnlab.bench.reporters.profile_page import PAGE, write_pages

        try:
            if not passed:
                return f"none of {self.item.nodeid}, which did not pass"
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{file_stem(self.item.name)}"
            wanted = Path(self.item.config.option.attnlab_profile) / name
            profile = Profile(replace(self.run, suite="test", run_id=name), (self.case,))
            with folder_in_making(wanted) as making, writing(wanted):
                shutil.move(self.raw / PLACE, making / PLACE)
                write_pages(profile, making)
                write_profile(profile, making)
                return str(finish_folder(making, wanted) / PAGE)
        finally:
            shutil.rmtree(self.raw, ignore_errors=True)
