"""`attnlab run --shard I/N`: a part of a plan, in a run of its own that says so."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from attnlab.bench.contract.own_code import own_hash
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import StoreError
from attnlab.bench.machine.identity import describe_machine
from attnlab.bench.measuring.bundles import bundles
from attnlab.bench.measuring.sharding import bundle_seconds, narrowed, plan_id, split
from attnlab.bench.measuring.share import Share
from attnlab.bench.measuring.suite import Suite
from attnlab.bench.store.records import BenchRecord, RunRecord
from attnlab.bench.store.run_folder import RUN_FILE, RunWriter, read_record
from attnlab.bench.store.shards import Shard, shard_of, with_shard
from attnlab.bench.text import count


@dataclass(frozen=True)
class Part:
    """What is measured of a plan, and how the run is marked; shard: None where it is all of it."""

    benches: tuple[BenchRecord, ...]
    shard: Shard | None = None

    def marked(self, draft: RunRecord) -> RunRecord:
        """The record of a run of it, which names the machine where it is a shard."""
        if self.shard is None:
            return draft
        machine = describe_machine(draft.environment, draft.ceilings)
        return with_shard(replace(draft, machines={machine.key: machine}), self.shard)

    def folder_in(self, out: Path) -> str | None:
        """The newest run of this shard in a folder of runs, to go on with; None where there is none yet."""
        known: list[tuple[str, str]] = []
        for file in out.glob(f"*/{RUN_FILE}"):
            with suppress(StoreError):  # of another shard, which is being made now
                run = read_record(file.parent)
                if (mark := shard_of(run)) and self.shard and _same(mark, self.shard):
                    known.append((run.started, str(file.parent)))
        return max(known)[1] if known else None

    def line(self) -> str | None:
        """What is told of it; None of a whole plan."""
        if self.shard is None:
            return None
        cases, every = (
            len({(b.operator, c) for b in some for c in b.cases}) for some in (self.benches, self.shard.benches)
        )
        return f"{self.shard} of plan {self.shard.plan}: {cases} of {count(every, 'case')}"


def _same(one: Shard, other: Shard) -> bool:
    return (one.plan, one.number, one.of) == (other.plan, other.number, other.of)


def part_of(share: Share | None, suite: Suite, benches: tuple[BenchRecord, ...], registry: Registry, kind: str) -> Part:
    """The share of a suite's benches on a kind of device ("cpu" or "cuda"); the same on every machine."""
    if share is None:
        return Part(benches)
    whole = bundles(benches, registry)
    shards = split(whole, bundle_seconds(whole, registry, suite.effort, kind), share.of)
    plan = plan_id(suite.name, benches, [dict(suite.effort), suite.cache, kind], shards)
    own = narrowed(benches, shards[share.number - 1])
    return Part(own, Shard(plan, share.number, share.of, benches, own_hash()))


def finished(run: RunRecord, writer: RunWriter) -> None:
    """Note of a shard that it was measured to its end."""
    shard = shard_of(run)
    if shard is not None:
        writer.rewrite(with_shard(run, replace(shard, finished=True)))
