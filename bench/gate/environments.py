"""`--isolated`: an environment for each arm, from its own lock or by `--prepare`, kept by what it is made of."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.errors import GateClosed, UsageError
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.locks import Requirements, lock_texts, requirements_of
from attnlab.bench.gate.rerooting import HARNESS
from attnlab.bench.measuring.temporary_folders import own_folder
from attnlab.bench.store.folders import cache_folder
from attnlab.bench.store.locking import alone_with
from attnlab.bench.whole_file import whole_file

DONE = "attnlab-environment.json"  # written last: without it an environment is broken, and built again
UNUSED_DAYS = 30  # after which an environment goes when another is built
OURS = (HARNESS, "attnlab.impls", "attnlab.kernels")
HARNESS_NEEDS = ("torch", "numpy")
DESCRIBE = (
    "import importlib.metadata as m, importlib.util as u, json, platform, sys; found = {}; "
    "[found.setdefault(d.metadata['Name'].lower().replace('_', '-'), d.version) for d in m.distributions()]; "
    "print(json.dumps({'python': platform.python_version(), 'packages': found, "
    "'lacks': [n for n in sys.argv[1:] if u.find_spec(n) is None]}))"
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ArmEnvironment:
    """An arm's interpreter and packages. checkouts: where its editable installs may point to."""

    folder: Path
    python: str
    packages: dict[str, str]
    checkouts: tuple[Path, ...] = ()

    @property
    def executable(self) -> str:
        return str(self.folder / "bin" / "python")

    def variables(self, repo: Path) -> dict[str, str]:
        """What a process is told so that it and its children find this environment's programs.

        Of PYTHONPATH only what lies in the repository holds: the rest is of the environment that the gate runs in.
        """
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        own = [entry for entry in given if entry and Path(entry).resolve().is_relative_to(repo)]
        return {**_active(self.folder), "PYTHONPATH": os.pathsep.join(own)}

    def differences(self, head: ArmEnvironment) -> list[str]:
        """Of base's environment, what head's has otherwise."""
        before, after = ({"Python": e.python, **e.packages} for e in (self, head))
        return [
            f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
            for name in sorted({*before, *after}, key=str.lower)
            if before.get(name) != after.get(name)
        ]


def own_packages(repo: Path, arm: Arm, harness: Path) -> dict[str, str]:
    """Where our packages lie for an arm whose environment need not have them.

    The harness that measures is the same for both arms; implementations and kernels are an arm's own where the
    repository is ours, else those that come along with the harness.
    """
    found = {}
    for name in OURS:
        spec = importlib.util.find_spec(name)
        place = Path(next(iter(spec.submodule_search_locations or []))) if spec else None
        if place is not None:
            inside = repo in place.parents and "site-packages" not in place.parts
            root = harness if name == HARNESS else arm.root
            found[name] = str(root / place.relative_to(repo) if inside else place)
    return found


@contextmanager
def isolated(arms: Sequence[Arm], prepare: str | None, tell: Tell) -> Iterator[dict[str, ArmEnvironment]]:
    """An environment for each arm, by name. Those that `--prepare` builds are held until the end.

    Raises UsageError where nothing says what an arm needs, and GateClosed where an environment cannot be built.
    """
    with ExitStack() as stack:
        made: dict[Path, ArmEnvironment] = {}
        for arm in arms:
            if arm.root not in made:
                made[arm.root] = stack.enter_context(_environment(arm, prepare, tell))
        yield {arm.name: made[arm.root] for arm in arms}


def undetected_changes(base: Arm, head: Arm) -> list[str]:
    """Lock and requirements files that differ between the arms."""
    before, after = lock_texts(base.root), lock_texts(head.root)
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


@contextmanager
def _environment(arm: Arm, prepare: str | None, tell: Tell) -> Iterator[ArmEnvironment]:
    try:
        locked = _from_lock(arm, requirements_of(arm.root), tell)
    except UsageError:
        if prepare is None:
            raise
        locked = None
    if prepare is None:
        assert locked is not None
        yield _described(arm, locked, ())
        return
    with _prepared(arm, prepare, locked, tell) as folder:
        yield _described(arm, folder, tuple(map(Path, json.loads((folder / DONE).read_text())["checkouts"])))


def _from_lock(arm: Arm, wanted: Requirements, tell: Tell) -> Path:
    """The environment of these requirements, built where there is none yet; one is never changed."""
    folder = _place("lock", wanted.texts, wanted.arguments)
    with _held(folder, tell):
        if (folder / DONE).is_file():
            os.utime(folder / DONE)
            return folder
        tell(f"building an environment for {arm.label} from {', '.join(wanted.texts)}")
        _clear_unused(folder.parent)
        with _building(folder):
            listed = folder / "requirements.txt"
            listed.write_text("\n".join(wanted.listed) + "\n", encoding="utf-8")
            more = ("--requirement", str(listed)) if wanted.listed else ()
            pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
            _run(arm, [str(folder / "bin" / "python"), *pip, *wanted.arguments, *more], arm.root, _active(folder))
            _finish(folder, ())
    return folder


@contextmanager
def _prepared(arm: Arm, command: str, locked: Path | None, tell: Tell) -> Iterator[Path]:
    """An environment over that of the lock, in which `command` is run in the arm's checkout.

    It is kept by the command, the lock, the arm and its revision; that of a working tree with changes for this gate.
    """
    with ExitStack() as stack:
        if arm.dirty:
            folder = stack.enter_context(own_folder("environment")) / "env"
        else:
            folder = _place("prepared", lock_texts(arm.root), (command, arm.name, arm.revision, str(locked)))
            stack.enter_context(_held(folder, tell))
        before: tuple[str, ...] = ()
        if (folder / DONE).is_file():
            before = tuple(json.loads((folder / DONE).read_text())["checkouts"])
            (folder / DONE).unlink()
            with _broken_where_it_fails(folder):
                _prepare(arm, command, folder, tell)
        else:
            _clear_unused(folder.parent)
            with _building(folder):
                if locked is not None:
                    _layer(folder, locked)
                _prepare(arm, command, folder, tell)
        _finish(folder, (*before, str(arm.root)))
        yield folder


def _prepare(arm: Arm, command: str, folder: Path, tell: Tell) -> None:
    tell(f"preparing {arm.label} and its environment: {command}")
    variables = {**_active(folder), "ATTNLAB_ARM": arm.name, "ATTNLAB_ENV": str(folder)}
    _run(arm, ["/bin/sh", "-c", command], arm.root, variables)


def _run(arm: Arm, command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise GateClosed(
            f"the environment of {arm.label} could not be built: {' '.join(command[-4:])!r} ended with exit code "
            f"{done.returncode}; the gate fails closed. It said: {said}"
        )


def _active(folder: Path) -> dict[str, str]:
    return {
        "VIRTUAL_ENV": str(folder),
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": "",
        "PYTHONNOUSERSITE": "1",
    }


def _described(arm: Arm, folder: Path, checkouts: tuple[Path, ...]) -> ArmEnvironment:
    command = [str(folder / "bin" / "python"), "-P", "-c", DESCRIBE, *HARNESS_NEEDS]
    done = subprocess.run(command, env={**os.environ, **_active(folder)}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GateClosed(f"the environment of {arm.label} in {folder} does not run: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    if found["lacks"]:
        raise GateClosed(
            f"the environment of {arm.label} lacks {', '.join(found['lacks'])}, which measuring needs; add it to its "
            "requirements, or install it with --prepare"
        )
    return ArmEnvironment(folder, found["python"], dict(sorted(found["packages"].items())), checkouts)


def _place(kind: str, texts: Mapping[str, str], more: Sequence[str]) -> Path:
    python = [sys.implementation.cache_tag, platform.python_version(), platform.platform(), sys.base_prefix]
    digest = hashlib.sha256(json.dumps([kind, dict(sorted(texts.items())), list(more), python]).encode()).hexdigest()
    return cache_folder() / "environments" / f"{kind}-{digest[:24]}"


def _held(folder: Path, tell: Tell) -> AbstractContextManager[None]:
    """Nobody else builds or prepares this environment meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for another gate that uses the environment {folder.name}"
    return alone_with(folder.with_suffix(".lock"), lambda: tell(waiting))


@contextmanager
def _building(folder: Path) -> Iterator[None]:
    """A new, empty environment; nothing of it is left where building fails.

    It is built where it will stay, since its programs name their place; `DONE` says that it is whole.
    """
    shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    with _broken_where_it_fails(folder):
        if done.returncode:
            raise GateClosed(f"{sys.executable} -m venv could not make {folder}: {(done.stdout + done.stderr).strip()}")
        yield


@contextmanager
def _broken_where_it_fails(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _finish(folder: Path, checkouts: tuple[str, ...]) -> None:
    with whole_file(folder / DONE) as part:
        part.write_text(json.dumps({"checkouts": list(dict.fromkeys(checkouts))}), encoding="utf-8")


def _layer(folder: Path, below: Path) -> None:
    """Let an environment have the packages of another, after its own."""
    (own,) = folder.glob("lib/python*/site-packages")
    places = sorted(below.glob("lib*/python*/site-packages"))
    (own / "attnlab-lock.pth").write_text("".join(f"{place.resolve()}\n" for place in places), encoding="utf-8")


def _clear_unused(parent: Path) -> None:
    """Remove environments that no gate has used for a month; those in use are held, or were used today."""
    for done in parent.glob(f"*/{DONE}"):
        with suppress(OSError):
            if time.time() - done.stat().st_mtime > UNUSED_DAYS * 86_400:
                shutil.rmtree(done.parent, ignore_errors=True)
