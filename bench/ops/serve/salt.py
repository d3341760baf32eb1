"""What makes prompts unique: some words at their beginning, drawn anew for each call, so that no cache knows them."""

from __future__ import annotations

import hashlib
import secrets

_TEXT = """
able acid aged also area army away baby back ball band bank base bath bear beat been beer bell belt best bill
bird blow blue boat body bomb bond bone book boom born boss both bowl bulk burn bush busy call calm came camp
card care case cash cast cell chat chip city club coal coat code cold come cook cool cope copy core cost crew
crop dark data date dawn days dead deal dean dear debt deep deny desk dial diet disc disk does done door dose
down draw drew drop drug dual duke dust duty each earn ease east easy edge else even ever evil exit face fact
fail fair fall farm fast fate fear feed feel feet fell felt file fill film find fine fire firm fish five flat
flow food foot ford form fort four free from fuel full fund gain game gate gave gear gene gift girl give glad
goal goes gold golf gone good gray grew grey grow gulf hair half hall hand hang hard harm hate have head hear
heat held help here hero high hill hire hold hole holy home hope host hour huge hung hunt hurt idea inch into
iron item jack jane jean john join jump jury just keen keep kept kick kind king knee knew know lack lady laid
lake land lane last late lead left less life lift like line link list live load loan lock logo long look lord
lose loss lost love luck made mail main make many mark mass mind mine
"""
WORDS = tuple(_TEXT.split())
"""Of eight bits each."""
LENGTH = 6
"""Words of a salt: 48 bits."""
NO_WORD = -1
NONE = (NO_WORD,) * LENGTH
Salt = tuple[int, ...]


def drawn() -> Salt:
    """By the chance of the operating system: two calls, or two processes, never have the same but once in 2⁴⁸."""
    return tuple(secrets.randbelow(len(WORDS)) for _ in range(LENGTH))


def is_none(salt: Salt) -> bool:
    return salt[0] == NO_WORD


def checked(salt: Salt) -> Salt:
    """Raises ValueError where it is none."""
    if len(salt) != LENGTH or not (all(0 <= word < len(WORDS) for word in salt) or set(salt) == {NO_WORD}):
        raise ValueError(f"got {list(salt)[:LENGTH]} for the words that make a prompt unique")
    return salt


def text_of(salt: Salt) -> str:
    """A sentence of its words."""
    return f"Notes: {' '.join(WORDS[word] for word in salt)}."


def number_of(salt: Salt, number: int) -> int:
    """A seed of 48 bits that hangs on both."""
    text = f"{salt} {number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big")
