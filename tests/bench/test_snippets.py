"""Every command and snippet of the pages: run in order, page by page, in a folder with the stored runs.

What is marked as not run is read by the real parsers: sub-commands, options, targets and scripts have to be there.
"""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import textwrap
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType

import pytest

from attnlab.bench.cli import build_parser

ROOT = Path(__file__).parents[2]
REASONS = {  # why a block is not run, and how many are not for it: a number that grows is a promise that nobody keeps
    "a part of a file": 2,
    "another page runs it": 4,
    "changes the folder": 1,
    "needs files of others": 2,
    "needs a cluster": 2,
    "needs a network": 4,
    "needs an NVIDIA GPU": 2,
    "runs until it is ended": 3,
    "takes minutes": 34,
    "needs a server": 1,
}
PYTHON = """
import json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "snippet", "exec"), names)
        fault = None
    except BaseException:
        fault = traceback.format_exc()
    print("\\x1e" + json.dumps(fault), flush=True)
"""


def _load_snippets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attnlab_tests_snippets", ROOT / "tests" / "helpers" / "snippets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


snippets = _load_snippets()
PAGES: dict[str, str] = snippets.pages(ROOT)
BLOCKS = {page: list(snippets.blocks_of(page, text)) for page, text in PAGES.items()}
ALL = [block for blocks in BLOCKS.values() for block in blocks]
LANGUAGES = (*snippets.SHELLS, "python")


def is_run(block: object) -> bool:
    return "not run" not in block.marks and (block.language in LANGUAGES or block.title)  # type: ignore[attr-defined]


class Page:
    """A folder like a checkout in which the blocks of a page are run, with a Python that keeps what they define."""

    def __init__(
        self, folder: Path, environment: dict[str, str], alone: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.folder, self._alone = folder, alone
        scripts = f"{Path(sys.executable).parent}:{environment['PATH']}"
        person = {
            f"GIT_{role}_{what}": "someone@example.org"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        self.environment = (
            environment | person | {"PATH": scripts, "TERM": "dumb", "PYTEST_DEBUG_TEMPROOT": str(folder)}
        )
        self.environment.pop("COLUMNS", None)
        self._python: subprocess.Popen[str] | None = None

    def run(self, block: object) -> None:
        title, language, text, marks = block.title, block.language, block.text, block.marks  # type: ignore[attr-defined]
        if title is not None:
            (self.folder / title).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / title).write_text(text + "\n")
        elif language == "python":
            self.execute(text)
        else:
            commands = block.commands  # type: ignore[attr-defined]
            codes = list(map(int, marks.get("exits", "0 " * len(commands)).split()))
            for command, code in zip(commands, codes, strict=True):
                typed = " && ".join(part + " " + marks.get("run with", "") for part in command.text.split(" && "))
                with self._alone() if "attnlab run" in typed else nullcontext():
                    found, printed = self.type(typed)
                assert found == code, f"{block}: {command.text}\nexit code {found}\n{printed}"
                lacking = snippets.missing(command, printed)
                assert lacking is None, f"{block}: {command.text}\nshown and not printed: {lacking}\n{printed}"

    def type(self, command: str) -> tuple[int, str]:
        """The exit code of a command in a terminal of 80 columns, and what it prints there."""
        outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, snippets.COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=inner,
            stderr=inner,
        )
        os.close(inner)
        parts: list[bytes] = []
        while True:
            try:
                part = os.read(outer, 65536)
            except OSError:  # no writer is left
                break
            if not part:
                break
            parts.append(part)
        os.close(outer)
        return process.wait(), b"".join(parts).decode(errors="replace")

    def execute(self, text: str) -> None:
        """Run a snippet of Python after those before it."""
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", PYTHON],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        process = self._python
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(text) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("\x1e"):
                fault = json.loads(line[1:])
                assert fault is None, fault
                return
        pytest.fail("Python ended")

    def close(self) -> None:
        if self._python is not None:
            self._python.communicate()


@pytest.fixture
def page_folder(
    tmp_path: Path, user_environment: dict[str, str], alone: Callable[[], AbstractContextManager[None]]
) -> Iterator[Page]:
    shutil.copytree(ROOT / "results", tmp_path / "results")
    page = Page(tmp_path, user_environment, alone)
    yield page
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, blocks in BLOCKS.items() if any(map(is_run, blocks))])
def test_what_a_page_shows_is_so(name: str, page_folder: Page) -> None:
    for block in BLOCKS[name]:
        if is_run(block):
            page_folder.run(block)


def test_what_is_not_run_says_why_and_does_not_grow() -> None:
    found = [block.marks["not run"] for block in ALL if "not run" in block.marks]
    assert {reason: found.count(reason) for reason in {*REASONS, *found}} == REASONS


@pytest.fixture(scope="module")
def pytest_options() -> set[str]:
    """Every option of pytest with our plugin."""
    done = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, cwd=ROOT)
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout)) | {"-n"}


def commands_of(page: str) -> Iterator[tuple[str, bool]]:
    """Each command that a page names, and whether it is whole."""
    yield from ((command.text, True) for block in BLOCKS[page] for command in block.commands)
    yield from ((command, False) for command in snippets.inline_commands(PAGES[page]))


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_are_there(page: str, pytest_options: set[str]) -> None:
    faults = [
        f"{words}: {fault}"
        for text, whole in commands_of(page)
        for words in snippets.calls(text)
        if (fault := fault_of(words, whole, pytest_options))
    ]
    assert faults == []


def fault_of(words: Sequence[str], whole: bool, pytest_options: set[str]) -> str | None:
    """What is wrong with a call of one of our commands; None of other programs'."""
    program, *arguments = words
    program = Path(program).name
    if program == "python" and arguments[:2] == ["-m", "attnlab.bench"]:
        program, arguments = "attnlab", arguments[2:]
    if program == "python" and arguments[:2] == ["-m", "pytest"]:
        program, arguments = "pytest", arguments[2:]
    options = [argument.partition("=")[0] for argument in arguments if re.match(r"--?[a-zA-Z]", argument)]
    if program == "attnlab":
        return parse_fault(arguments) if whole else unknown_option(build_parser(), arguments)
    if program == "pytest":
        return next((option for option in options if option not in pytest_options), None)
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        return next((target for target in arguments if "=" not in target and target not in targets), None)
    if program == "python" and arguments and re.match(r"(benchmarks|scripts)/", arguments[0]):
        script = (ROOT / arguments[0]).read_text() if (ROOT / arguments[0]).is_file() else ""
        return arguments[0] if not script else next((option for option in options if f'"{option}"' not in script), None)
    return None


def parse_fault(arguments: Sequence[str]) -> str | None:
    """What the parser of `attnlab` says."""
    parser = build_parser()
    messages: list[str] = []

    def told(message: str) -> None:
        messages.append(message)
        raise SystemExit(2)

    for one in _every_parser(parser):
        one.error = told  # type: ignore[assignment,method-assign]
    try:
        parser.parse_args(arguments)
    except SystemExit:
        return messages[0] if messages else None
    return None


def unknown_option(parser: ArgumentParser, arguments: Sequence[str]) -> str | None:
    """The first sub-command or option that is none; what is given may be a part of a command."""
    for argument in arguments:
        below = {name: sub for action in parser._actions if isinstance(action, _SubParsersAction)
                 for name, sub in action.choices.items()}  # fmt: off
        if below and not argument.startswith("-"):
            if argument not in below:
                return argument
            parser = below[argument]
        elif re.match(r"--?[a-zA-Z]", argument) and argument.partition("=")[0] not in parser._option_string_actions:
            return argument
    return None


def _every_parser(parser: ArgumentParser) -> Iterator[ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for sub in action.choices.values():
                yield from _every_parser(sub)


@pytest.mark.parametrize("block", [b for b in ALL if b.language in ("python", "toml")], ids=str)
def test_what_is_not_run_is_well_formed(block: object) -> None:
    text: str = block.text  # type: ignore[attr-defined]
    if block.language == "toml":  # type: ignore[attr-defined]
        tomllib.loads(text)
    else:
        ast.parse(f"async def part():\n{textwrap.indent(text, '    ')}\n    pass")


def test_extras_that_are_named_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra
        for text in PAGES.values()
        for found in re.findall(r"attnlab\[([\w,-]+)\]", text)
        for extra in found.split(",")
    }
    assert named <= set(extras)


def test_a_fault_is_seen(page_folder: Page, pytest_options: set[str]) -> None:
    text = '<!-- exits: 0 3 -->\n```console\n$ printf "a 12 ms b\\nc\\n"\na 7 µs …\n$ exit 3\n```\n'
    (good,) = snippets.blocks_of("page.md", text)
    page_folder.run(good)
    for wrong in (text.replace("a 7 µs …", "z"), text.replace("0 3", "0 0"), text.replace("a 7 µs …", "c\nc")):
        (block,) = snippets.blocks_of("page.md", wrong)
        with pytest.raises(AssertionError):
            page_folder.run(block)
    stored = snippets.Command("attnlab results show results/20261122-081015-quick", ["a 7 ms"])
    assert snippets.missing(stored, "a 7 ms\n") is None
    assert snippets.missing(stored, "a 8 ms\n") == "a 7 ms"
    page_folder.execute("x = 1")
    page_folder.execute("assert x == 1")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        page_folder.execute("x / 0")


def test_a_wrong_command_is_seen(pytest_options: set[str]) -> None:
    wrong = {
        "attnlab gone": False,
        "attnlab run quick --gone": True,
        "attnlab compare results/one": True,
        "attnlab results show --gone": False,
        "pytest --attnlab-gone": True,
        "make gone": True,
        "python benchmarks/gone.py": True,
        "python benchmarks/spills.py --gone": True,
        "python -m attnlab.bench gone": True,
    }
    for text, whole in wrong.items():
        (words,) = snippets.calls(f"OMP_NUM_THREADS=1 {text}   # and why")
        assert fault_of(words, whole, pytest_options) is not None, text
    assert [fault_of(w, True, pytest_options) for w in snippets.calls("attnlab list && make docs OUT=x | head")] == [
        None
    ] * 3
