"""Text from outside, made printable and short where it comes in: of plugins, processes, exceptions and stored files."""

from __future__ import annotations

import hashlib
import shlex
import traceback
from collections.abc import Callable
from typing import Any

LONGEST_REASON = 600  # characters of one line
LONGEST_MESSAGE = 4_000  # characters of a message of ours, which may list names
LONGEST_BLOCK = 8_000  # characters of several lines: a traceback, what a process printed
LONGEST_STORED = 100_000  # characters of any text in a file of results; ids of cases and commands may be long
BRIEF = 200  # characters of a reason in a terminal
LONGEST_STEM = 120  # characters of a file's name that is made of others, before its suffix
END_SHARE = 0.6  # of what is kept of a long text: its end says more than its beginning
CUT = " … {} characters left out … "


def printable(text: str) -> str:
    """The text without what a terminal would obey: control characters and marks of direction are spaces.

    Half of a surrogate pair, which no encoding can write, is spelled out: `\\udce9`.
    """
    if text.isascii() and text.isprintable():
        return text
    spelled = text.encode("utf-8", "backslashreplace").decode()
    obeyed = {ord(c): " " for c in set(spelled) if not (c.isprintable() or c in "\n\t")}
    return spelled.translate(obeyed) if obeyed else spelled


def shortened(text: str, limit: int, clean: Callable[[str], str] = str) -> str:
    """At most `limit` characters, cleaned: of more the beginning and the end, and how many lay between."""
    if len(text) <= 4 * limit:
        text = clean(text)
        first = last = text
    else:
        first, last = clean(text[: 2 * limit]), clean(text[-2 * limit :])
    if len(text) <= limit:
        return text
    room = max(0, limit - len(CUT) - len(str(len(text))))
    end = min(int(END_SHARE * room), len(last))
    return f"{first[: room - end]}{CUT.format(len(text) - room)}{last[len(last) - end :]}"


def brief(text: str, limit: int = BRIEF) -> str:
    """The whole sentences at its beginning that fit, with a sign that there is more; the text where all of it fits.

    For a terminal; what is stored stays whole. A library's message goes on with advice where ours would end.
    """
    if len(text) <= limit:
        return text
    end = text.rfind(". ", 0, limit)
    return f"{text[: end + 1]} …" if end > 0 else shortened(text, limit)


def one_line(text: str, limit: int = LONGEST_REASON) -> str:
    """On one line, printable, at most `limit` characters."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return " ".join(text.split())
    return shortened(text, limit, lambda part: " ".join(printable(part).split()))


def block(text: str, limit: int = LONGEST_BLOCK) -> str:
    """On its own lines, printable, at most `limit` characters."""
    return shortened(text, limit, printable)


def reason_of(error: BaseException) -> str:
    """`ValueError: what it says` on one line, whatever a foreign exception does when it is asked."""
    return one_line(f"{_name_of(type(error))}: {_asked(lambda: str(error))}")


def message_of(error: BaseException, limit: int = LONGEST_MESSAGE) -> str:
    """What an exception says, on one line."""
    return one_line(_asked(lambda: str(error)), limit)


def traceback_of(error: BaseException) -> str:
    """Its traceback, shortened; frames at its end are kept."""
    return block(_asked(lambda: "".join(traceback.format_exception(error))))


def _asked(question: Callable[[], str]) -> str:
    try:
        return str.__str__(question())  # of a subclass, whose methods are foreign too, a plain text
    except Exception as fault:  # noqa: BLE001 - foreign code, which may raise anything
        return f"(its text cannot be had: {_name_of(type(fault))})"


_name_of = vars(type)["__name__"].__get__  # past what a metaclass says


def cleaned(data: Any) -> Any:
    """JSON values whose texts, keys included, are printable and of bounded length."""
    if isinstance(data, str):
        return shortened(data, LONGEST_STORED, printable)
    if isinstance(data, list):
        return data if all(type(item) is float for item in data) else [cleaned(item) for item in data]
    if isinstance(data, dict):
        return {cleaned(key): cleaned(value) for key, value in data.items()}
    return data


def file_stem(text: str) -> str:
    """A name as that of a file: letters, digits, - and _; two that differ in what is replaced or cut stay apart."""
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "-_" else "_" for c in text)
    if plain == text and len(plain) <= LONGEST_STEM:
        return plain
    return f"{plain[:LONGEST_STEM]}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def count(number: int, noun: str) -> str:
    """`1 case`, `3 cases`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def command_without(command: str, *options: str) -> list[str]:
    """The words of a command line, without these options and their values."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    kept: list[str] = []
    for word, last in zip(words, ["", *words], strict=False):
        its_value = last in options and not word.startswith("-")
        if not its_value and word.partition("=")[0] not in options:
            kept.append(word)
    return kept
