"""The client: drives a load against a service and gives the log of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attnlab.bench.errors import ServiceError, Unavailable
from attnlab.bench.serving.asked import Asked, checked, conversations
from attnlab.bench.serving.counting import Count
from attnlab.bench.serving.endpoint import Endpoint
from attnlab.bench.serving.load import Load
from attnlab.bench.serving.log import ServedLog
from attnlab.bench.serving.secret import Key
from attnlab.bench.serving.service import MOST_PROCESSES, Service

if TYPE_CHECKING:
    from attnlab.bench.serving._driving import Done, Driver


def drive(
    endpoint: Endpoint,
    service: Service,
    asked: Sequence[Asked],
    load: Load,
    *,
    stream: bool = True,
    processes: int = 1,
    count: Count | None = None,
    on_event: Callable[[str, int], None] | None = None,
) -> ServedLog:
    """Send all that is asked as the load says, wait for the answers, and give the log. It blocks meanwhile.

    Of an open loop each conversation begins at its first request's `due_s`, which `load.times_s` makes; of a closed
    loop in the order of their numbers. Latencies count from these times, whether or not the client could keep them: how
    late it was is in the log, and `log.late` flags it.

    stream: whether answers are asked for in pieces. processes: how many share the load, where one cannot keep up.
    count: how many tokens a text has, for servers that do not say it; called after the load. on_event: told `begun`,
    `answered` or `failed` with a request's number, in the loop of one process alone: what it takes, others wait.

    A request that fails is in the log with its failure, and ends nothing. Ctrl-C ends the load: the log of what came
    until then is returned, `interrupted`, and it is the caller's to go on or not. A second one is raised. No process,
    thread or connection is left behind.

    Raises ServiceError for what cannot be asked, or a key that is not there; Unavailable without aiohttp.
    """
    try:
        from attnlab.bench.serving._driving import LEAD_NS, Driver, Share, in_order
        from attnlab.bench.serving._processes import dealt, drive_in_processes
        from attnlab.bench.serving._settling import Terms, settled
    except ModuleNotFoundError as error:
        raise Unavailable(f"{error.name} is not installed; pip install 'attnlab[serve]'") from None

    asked = checked(asked)
    chains = conversations(asked)
    if not 1 <= processes <= MOST_PROCESSES:
        raise ServiceError(f"got processes={processes}; expected 1 to {MOST_PROCESSES}")
    if processes > 1 and on_event is not None:
        raise ServiceError("got on_event with several processes; expected one process, whose loop calls it")
    key = Key.of(service.key_env)
    places = min(load.concurrency, len(chains))
    share = Share(endpoint, service, load, chains, stream, places, in_order(len(chains)), on_event=on_event)
    shares = dealt(share, processes) if processes > 1 else [share]
    if len(shares) > 1:
        begun_ns, parts = drive_in_processes(shares)
    else:
        begun_ns = 0

        def begin() -> int:
            nonlocal begun_ns
            begun_ns = time.perf_counter_ns() + LEAD_NS
            return begun_ns

        parts = [_in_one_process(Driver(shares[0], key), begin)]
    return settled(Terms(asked, load, count, key), begun_ns, parts)


def _in_one_process(driver: Driver, begin: Callable[[], int]) -> Done:
    """In a loop of its own; in a thread where this one has a loop that runs, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(driver, begin)
    found: list[Done | BaseException] = []

    def work() -> None:
        try:
            found.append(_run(driver, begin))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            found.append(error)

    thread = threading.Thread(target=work, name="attnlab-client")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        driver.cancel()
        thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _run(driver: Driver, begin: Callable[[], int]) -> Done:
    """asyncio's runner makes Ctrl-C a cancellation, which the driver turns into a log that ends there."""
    from attnlab.bench.serving._loop import new_loop, short_collections

    with short_collections(), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(driver.run(begin))
    return driver.done
