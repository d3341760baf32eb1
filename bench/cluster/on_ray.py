"""Ray as a fleet: an actor a bundle, in a process of its own, pinned to a node, with its cores or one GPU a rank."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attnlab.bench.cluster import host, orders
from attnlab.bench.cluster.address import RAY, port_of
from attnlab.bench.cluster.fleet import Answer, Node
from attnlab.bench.cluster.shipping import Cargo
from attnlab.bench.errors import ClusterError, ClusterLost
from attnlab.bench.text import one_line, reason_of

ADDRESS = "RAY_ADDRESS"
BREAKPOINT = "PYTHONBREAKPOINT"  # which Ray sets
LOCAL, AUTO = "local", "auto"  # Ray's words for a cluster of its own, and for the one that runs on this machine
ANSWERS_S = 10.0  # for a port to answer at all
CONNECTS_S = 40.0  # for Ray to connect; after a minute it ends this process where it cannot
CLIENT_S = 100.0  # by Ray's client, for which the head starts a process; it gives up by itself before
POLL_S = 20.0  # that an actor waits for its agent to say something
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DEDUP_LOGS": "0"}
STORE_BYTES = 100 << 20  # of a cluster on this machine: what is shipped and said is a few MB


@dataclass
class RayJob:
    """An actor, and the answer that is waited for."""

    node: Node
    actor: Any
    ref: Any
    lost: bool = False


@dataclass
class RayFleet:
    """The nodes of a Ray cluster that is connected; see `connected`."""

    ray: Any
    cargo: Cargo
    variables: Mapping[str, str | None]
    resource: str | None = None
    _shipped: Any = None
    _remote: Any = field(default=None, repr=False)

    def nodes(self) -> list[Node]:
        """Those alive; with the custom resource, where one is asked for."""
        try:
            found = self.ray.nodes()
        except Exception as error:
            raise ClusterLost(f"the Ray cluster is gone: {one_line(str(error))}") from error
        return [
            _node(one) for one in found if one["Alive"] and (not self.resource or self.resource in one["Resources"])
        ]

    def start(self, node: Node, order: str, gpus: int) -> RayJob:
        """An actor on that node alone, which begins its agent."""
        if self._remote is None:
            self.ray.cloudpickle.register_pickle_by_value(host)
            self._remote = self.ray.remote(host.Host)
            self._shipped = self.ray.put(self.cargo.archive)
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = self._remote.options(
            num_cpus=min(1, node.cpus) if gpus else node.cpus,
            num_gpus=gpus,
            resources={self.resource: 0.001} if self.resource else None,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=strategy,
        ).remote()
        begun = actor.begin.remote(self._shipped, self.cargo.digest, self.cargo.paths, dict(self.variables), order)
        return RayJob(node, actor, begun)

    def wait(self, jobs: Sequence[RayJob], wait_s: float) -> list[tuple[RayJob, list[Answer]]]:
        """What agents say; an actor that is gone with its node, or could not begin, is told as one that says so."""
        if not jobs:
            time.sleep(wait_s)
            return []
        by_ref = {job.ref: job for job in jobs}
        ready, _ = self.ray.wait([*by_ref], num_returns=len(by_ref), timeout=wait_s)
        if not ready:
            return []
        return [(by_ref[ref], self._answers(by_ref[ref])) for ref in ready]

    def _answers(self, job: RayJob) -> list[Answer]:
        try:
            found = self.ray.get(job.ref)
        except self.ray.exceptions.RayTaskError as error:
            cause = getattr(error, "cause", error)
            return [(orders.UNFIT, f"it cannot begin: {reason_of(cause)}")]
        except Exception as error:  # noqa: BLE001 - Ray has dozens of names for a lost actor, node or connection
            job.lost = True
            return [(orders.LOST, f"Ray lost it: {_first_line(error)}")]
        job.ref = job.actor.poll.remote(POLL_S)
        return list(map(tuple, found or ()))

    def stop(self, job: RayJob) -> None:
        """End the actor's process, upon which its agent ends; of one that is lost Ray would not hear any more."""
        with contextlib.suppress(Exception):
            if not job.lost:
                self.ray.kill(job.actor, no_restart=True)


def _node(one: Mapping[str, Any]) -> Node:
    resources = one["Resources"]
    return Node(one["NodeID"], one["NodeManagerHostname"], int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


def _first_line(error: BaseException) -> str:
    return one_line(next(iter(str(error).splitlines()), "") or type(error).__name__)


@contextlib.contextmanager
def connected(
    target: str, cargo: Cargo, variables: Mapping[str, str | None], wanted: str = "auto"
) -> Iterator[RayFleet]:
    """The fleet of `ray` (the cluster that RAY_ADDRESS names, or one on this machine) or of `ray://host:port`.

    wanted: a custom resource of Ray's, or a model of GPU, where nodes have one of that name. Raises ClusterError where
    Ray is not installed, or does not answer.
    """
    with _variables(QUIET), _silent(), contextlib.ExitStack() as ending:
        try:
            import ray
            import ray.util.scheduling_strategies
        except ImportError as error:
            raise ClusterError("package ray is not installed; install attnlab with its extra 'ray'") from error
        address = (os.environ.get(ADDRESS) or LOCAL) if target == RAY else target
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            folder = tempfile.mkdtemp(prefix="al-")  # short: sockets lie in it
            ending.callback(shutil.rmtree, folder, ignore_errors=True)
            options |= {"include_dashboard": False, "object_store_memory": STORE_BYTES, "_temp_dir": folder}
        elif address != AUTO:
            _check_answers(address)
        ending.callback(ray.shutdown)
        before = signal.getsignal(signal.SIGTERM)
        _connect(ray, options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
        yield RayFleet(ray, cargo, variables, _resource(ray, wanted))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing is printed on standard output, which is for results: Ray writes whole logs of a lost node there."""
    with open(os.devnull, "w") as void, contextlib.redirect_stdout(void):
        yield


@contextlib.contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """The environment with these where it does not say otherwise; in the end without what Ray added to it either."""
    before = {*os.environ}
    os.environ |= {name: value for name, value in wanted.items() if name not in before}
    try:
        yield
    finally:
        for name in {*os.environ} - before:
            if name.startswith("RAY_") or name == BREAKPOINT:
                del os.environ[name]


def _resource(ray: Any, wanted: str) -> str | None:
    """The custom resource that is meant, as nodes offer it."""
    offered = {name for one in ray.nodes() if one["Alive"] for name in one["Resources"]}
    return next((name for name in (wanted, f"accelerator_type:{wanted}") if name in offered - {"CPU", "GPU"}), None)


def _check_answers(address: str) -> None:
    """Raise ClusterError where nothing listens: Ray would try for minutes."""
    name, port = port_of(address)
    try:
        socket.create_connection((name, port), timeout=ANSWERS_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {error.strerror or error}; start one (`ray start --head`), or mend "
            "the address"
        ) from error


def _connect(ray: Any, options: Mapping[str, Any]) -> None:
    """Connect within bounded time, by a thread that is given up where it takes longer.

    A cluster on this machine is started by this thread: its processes end with the thread that started them.
    """
    failed: list[BaseException] = []
    limit_s = CLIENT_S if str(options["address"]).startswith("ray://") else CONNECTS_S

    def connect() -> None:
        try:
            ray.init(**options)
        except BaseException as error:  # noqa: BLE001 - told by who waits
            failed.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    if options["address"] == LOCAL:
        connect()
    else:
        thread.start()
        thread.join(limit_s)
    if thread.is_alive():
        raise ClusterError(
            f"what listens at {options['address']} does not answer as Ray does within {limit_s:g} s; mend the address"
        )
    if failed:
        raise ClusterError(f"Ray does not connect to {options['address']}: {_first_line(failed[0])}") from failed[0]
