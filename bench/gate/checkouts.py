"""Two revisions of a repository side by side: the arms of a gate."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.errors import UsageError
from attnlab.bench.measuring.temporary_folders import clear_abandoned, clear_if_abandoned, own_folder

WORKTREE = "worktree"
OWN_FOLDER = re.compile(r"attnlab-(base|head)-[a-z0-9_]{8}")
RESULT_SIGNS = ("run.json", "gate.json", "pairs.jsonl")  # one of them lies in each folder of results
RESULT_FILES = (".json", ".jsonl", ".md", ".xml")


@dataclass(frozen=True)
class Arm:
    """One revision, checked out. dirty: it is the working tree, with changes that are not committed."""

    name: str
    root: Path
    revision: str
    asked: str
    dirty: bool = False

    @property
    def label(self) -> str:
        """Such as `base main (1a2b3c4d5e)`."""
        changed = " with uncommitted changes" if self.dirty else ""
        return f"{self.name} {self.asked} ({self.revision[:10]}{changed})"

    def own_place(self, repo: Path, file: str) -> str:
        """A file of the repository, given by its absolute path, in this arm's checkout; anything else as it is."""
        path = Path(file)
        return str(self.root / path.relative_to(repo)) if path.is_absolute() and repo in path.parents else file


def placed(file: Path) -> Path:
    """An absolute path; a file that is a link is not followed, since each arm has its own."""
    return file.parent.resolve() / file.name


def repository(folder: Path) -> Path:
    """The root of the git repository that holds `folder`. Raises UsageError where there is none."""
    found = _git(folder, "rev-parse", "--show-toplevel")
    if found.returncode:
        raise UsageError(
            f"{folder} is in no git repository ({_why(found)}); run the gate in the repository to be gated"
        )
    return Path(found.stdout.strip()).resolve()


@contextmanager
def checked_out(repo: Path, base: str, head: str) -> Iterator[tuple[Arm, Arm]]:
    """Both arms; what is not the working tree lies in a git worktree of its own, removed at the end.

    What killed gates left behind is cleared first.

    Raises UsageError on a revision that does not exist; nothing is checked out then.
    """
    wanted = {"base": base, "head": head}
    revisions = {name: revision_of(repo, asked) for name, asked in wanted.items()}
    clear_leavings(repo)
    with ExitStack() as stack:
        arms = []
        for name, asked in wanted.items():
            if asked == WORKTREE:
                arms.append(Arm(name, repo, revisions[name], asked, _dirty(repo)))
            else:
                root = stack.enter_context(_worktree(repo, revisions[name], name))
                arms.append(Arm(name, root, revisions[name], asked))
        yield arms[0], arms[1]


def revision_of(repo: Path, asked: str) -> str:
    """The commit of a revision; raises UsageError where there is none."""
    name = "HEAD" if asked == WORKTREE else asked
    found = _git(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode:
        raise UsageError(
            f"{repo} has no revision {asked!r}; give a branch, a tag or a commit"
            + (" (a shallow clone holds few: fetch with --unshallow or fetch-depth 0)" if _shallow(repo) else "")
        )
    return found.stdout.strip()


@contextmanager
def _worktree(repo: Path, revision: str, name: str) -> Iterator[Path]:
    with own_folder(name) as folder:
        root = folder / repo.name
        made = _git(repo, "worktree", "add", "--detach", "--quiet", str(root), revision)
        try:
            if made.returncode:
                raise UsageError(f"git could not check out {revision[:10]}: {_why(made)}")
            yield root
        finally:
            _git(repo, "worktree", "remove", "--force", str(root))


def clear_leavings(repo: Path) -> list[Path]:
    """Remove the worktrees and temporary folders of gates that were killed, and no others; the worktrees removed.

    A worktree is a killed gate's where it has the name of one, and its folder's lock is free or the folder is gone.
    """
    listed = _git(repo, "worktree", "list", "--porcelain").stdout.splitlines()
    roots = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
    removed = []
    for root in roots:
        folder = root.parent
        gone = not folder.exists() and folder.parent.exists()  # and not just on a disk that is not mounted
        if OWN_FOLDER.fullmatch(folder.name) and (gone or clear_if_abandoned(folder)):
            _git(repo, "worktree", "remove", "--force", "--force", str(root))
            removed.append(root)
    clear_abandoned()
    return removed


def _dirty(repo: Path) -> bool:
    """Whether anything differs from the commit but what attnlab and Python wrote themselves, and what git ignores."""
    listed = _git(repo, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").stdout
    entries = [(entry[:2], entry[3:]) for entry in listed.split("\0") if entry]
    return any(state != "??" or not _own_output(repo, Path(path)) for state, path in entries)


def _own_output(repo: Path, path: Path) -> bool:
    """Whether an untracked file is byte code, or of the results of a run or a gate."""
    if "__pycache__" in path.parts:
        return True
    return path.suffix in RESULT_FILES and any(
        (repo / folder / name).is_file() for folder in path.parents for name in RESULT_SIGNS
    )


def _shallow(repo: Path) -> bool:
    return _git(repo, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError("the gate needs git, which was not found; install it") from None


def _why(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stderr.split()) or f"git ended with exit code {done.returncode}"
