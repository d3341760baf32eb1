"""The fenced blocks of the pages: their commands, what is shown of these, and what comments before them say.

A comment on the lines before a block holds for the block:

    <!-- not run: REASON -->     it is read by the real parsers, and not run
    <!-- run with: OPTIONS -->   which a test adds to its commands, so that they take seconds
    <!-- exits: 0 1 -->          the exit codes of its commands, where one is not 0

A block with a title, as in ```python title="mykernel.py", is a file that the commands after it find.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = 80  # of the terminal
SHELLS = ("console", "sh", "bash")
COMMENT = re.compile(r"^\s*<!-- *(not run|run with|exits): *(.*?) *-->\s*$")
FENCE = re.compile(r"^( *)```(.*)$")
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
UNIT = re.compile(r"# (?:ns|µs|ms|s|min|h|B|KiB|MiB|GiB)(?![^\W\d_])")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
STORED = re.compile(r"\bresults/\d{8}-\d{6}-")


@dataclass
class Command:
    """What is typed, and the lines that are shown of what it prints."""

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether figures are shown as they are stored, so that they have to be the same."""
        return STORED.search(self.text) is not None


@dataclass
class Block:
    """One fenced block of a page. marks: comments before it, by kind."""

    page: str
    line: int
    language: str
    title: str | None
    text: str
    marks: dict[str, str]

    @property
    def commands(self) -> list[Command]:
        """Of a console what stands after `$ `; of a script every line."""
        found: list[Command] = []
        for line in self.text.split("\n"):
            if self.language == "console":
                if line.startswith("$ "):
                    found.append(Command(line[2:]))
                elif found:
                    found[-1].shown.append(line)
            elif self.language in SHELLS and line.strip():
                found.append(Command(line))
        return found

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    marks: dict[str, str] = {}
    lines = iter(enumerate(markdown.split("\n"), 1))
    for number, line in lines:
        if comment := COMMENT.match(line):
            marks[comment[1]] = comment[2]
        elif fence := FENCE.match(line):
            language, _, rest = fence[2].strip().partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            inner: list[str] = []
            for _, text in lines:
                if text.strip() == "```":
                    break
                inner.append(text.removeprefix(fence[1]))
            yield Block(page, number, language, title and title[1], "\n".join(inner), marks)
            marks = {}
        elif line.strip():
            marks = {}


def inline_commands(markdown: str) -> Iterator[str]:
    """Commands in the text between back-ticks."""
    text = re.sub(r"^ *```.*?^ *```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        if re.match(r"(attnlab|pytest|make|python(?: -m)?) \S", " ".join(code.split())):
            yield " ".join(code.split())


def calls(text: str) -> Iterator[list[str]]:
    """The words of each program that a command line calls, without what is only for the shell."""
    parser = shlex.shlex(text, posix=True, punctuation_chars="&|;<>")
    parser.whitespace_split = True
    parser.commenters = "#"
    words: list[str] = []
    for word in [*parser, ";"]:
        if set(word) <= set("&|;") and word:
            if words:
                yield words
            words = []
        elif words or not re.match(r"[A-Z_]+=", word):
            words.append(word)


def missing(command: Command, printed: str) -> str | None:
    """The first line that is shown and was not printed; None where all are there.

    … stands for anything, and a line may be folded. What is stored is shown in its order, with its figures. Of what is
    measured anew the figures, the flags and the order of lines may be others.
    """
    text = ANSI.sub("", printed).replace("\r", "\n")
    left = [_compared(line, command.exact) for line in text.split("\n")]
    unfolded = _compared(text, command.exact)
    for shown in command.shown:
        plain = _compared(shown, command.exact).replace(" …", "…")
        wanted = ".*".join(map(re.escape, plain.split("…")))
        if not wanted.strip(".* "):
            continue
        found = next((at for at, line in enumerate(left) if re.fullmatch(wanted, line)), None)
        if found is not None:
            del left[0 if command.exact else found : found + 1]
        elif len(shown) <= COLUMNS or plain not in unfolded:
            return shown
    return None


def _compared(line: str, exact: bool) -> str:
    """The line with what differs from one machine, or one run, to another replaced: figures, intervals and flags."""
    plain = re.sub(r"([-=─])\1{3,}", r"\1\1\1", " ".join(line.split()))
    if exact:
        return plain
    plain = UNIT.sub("# unit", NUMBER.sub("#", plain)).replace("± # %", "?")
    plain = re.sub(r"# unit(?: # unit)+", "# unit", plain)  # 2 min 45 s
    plain = re.sub(r"(?<=%)(?: [!a-z…])+$", "", plain)
    return re.sub(r"^fastest: .*", "fastest: ?", plain)


def pages(root: Path) -> dict[str, str]:
    """The text of each page by its path."""
    found = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in found}
