"""Compiles the kernels of one checkout; of one that was compiled before, and did not change, the records are read."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.gate import rerooting
from attnlab.bench.gate.arm_worker import TURNING
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment, own_packages
from attnlab.bench.gate.static.asked import MOST_BYTES, compiler_version
from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
from attnlab.bench.profilers.compiled.pool import Tell, compile_cases, kept_folder
from attnlab.bench.profilers.compiled.resources import CompiledCase
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.whole_file import whole_file

BOOT = TURNING + "from attnlab.bench.profilers.compiled.worker import main; main()"
CODE = (".py", ".c", ".h", ".cc", ".cpp", ".cu", ".cuh", ".toml")
DATA = (".json",)  # what launchers may read
OWN_CONFIGS = "ATTNLAB_CONFIGS"  # of the user, which are none of a revision's


@dataclass(frozen=True)
class Compiled:
    """An arm's records, and how many of them were made now."""

    cases: tuple[CompiledCase, ...]
    made: int


def compiled_arm(
    repo: Path,
    arm: Arm,
    orders: Sequence[CaseOrder],
    plugins: tuple[str, ...],
    environment: ArmEnvironment | None,
    tell: Tell,
) -> Compiled:
    """The records of an arm's kernels, in the order asked for."""
    own = tuple(arm.own_place(repo, plugin) for plugin in plugins)
    there = tuple(plugin for plugin in own if not plugin.endswith(".py") or Path(plugin).is_file())
    key = _digest(arm, orders, there, environment)
    place = kept_folder() / "arms" / f"{key}.json"
    if place.is_file():
        try:
            kept = json.loads(place.read_text(encoding="utf-8"))
            return Compiled(tuple(decode(CompiledCase, case) for case in kept), 0)
        except ValueError:
            tell(f"{place} is damaged; its kernels are compiled again")
    tell(f"compiling {len(orders)} cases of {arm.label}")
    found = compile_cases(
        orders,
        Setup(there, str(kept_folder()), str(arm.root)),
        command=_command(repo, arm, environment),
        environment={**(environment.variables(repo) if environment else {}), OWN_CONFIGS: ""},
        tell=tell,
    )
    if not any(case.failed for case in found):
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place) as part:
            part.write_text(json.dumps(encode(tuple(found))), encoding="utf-8")
    return Compiled(tuple(found), len(found))


def _command(repo: Path, arm: Arm, environment: ArmEnvironment | None) -> list[str]:
    """What starts a process that finds this arm's modules, and the harness's own."""
    earlier = [str(root) for root in environment.checkouts if root != arm.root] if environment else []
    places = own_packages(repo, arm, repo) if environment else {}
    turn = json.dumps([str(repo), str(arm.root), str(repo), earlier, places])
    path = json.dumps([] if environment else [str(entry) for entry in sys.path])
    executable = environment.executable if environment else sys.executable
    return [executable, "-c", BOOT, "", "", path, rerooting.__file__, turn]


def _digest(arm: Arm, orders: Sequence[CaseOrder], plugins: Sequence[str], environment: ArmEnvironment | None) -> str:
    digest = hashlib.sha256(json.dumps([encode(tuple(orders)), [Path(p).name for p in plugins]]).encode())
    digest.update(json.dumps(environment.packages if environment else compiler_version()).encode())
    outside = [Path(plugin) for plugin in plugins if Path(plugin).is_file() and arm.root not in Path(plugin).parents]
    harness = sorted(Path(__file__).parents[2].rglob("*.py"))
    for path in (*_code(arm.root), *outside, *harness):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _code(root: Path) -> Iterator[Path]:
    """Files of code in a checkout that git keeps, or would, and data beside them; what a gate wrote there is none."""
    folders: set[Path] = set()
    for kind, endings in (("--cached", (*CODE, *DATA)), ("--others", (*CODE, *DATA))):
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", kind, "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in sorted(filter(None, listed.stdout.split("\0"))):
            path = root / name
            if not name.endswith(endings) or not path.is_file() or path.stat().st_size > MOST_BYTES:
                continue
            folders |= {path.parent} if name.endswith(CODE) else set()
            if kind == "--cached" or name.endswith(CODE) or path.parent in folders:
                yield path
