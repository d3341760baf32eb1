"""What the dynamic tensors of inputs hold: a name for it, how it is put in place, and contents that never repeat.

A draw is what `make_inputs` makes of a seed. Drawing anew for each timed call would take many times the call, so that
contents are put together of two draws where the contract allows it: each column (or token) is of one or of the other,
as a seeded coin says. That costs a copy, and no content comes twice.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, DrawMix, Operator, tensors

AnyOperator = Operator[Any, Any]
Draw = dict[str, Tensor]
Own = Callable[[], AbstractContextManager[None]]

SEED_BITS = 48
DECK = 3  # draws at hand, of which contents are put together
SMALL_DECK = 2  # where a draw is large
LARGE_BYTES = 256 * 2**20  # of the tensors of a draw
REFRESH_SHARE = 0.15  # of the time, for new draws in the deck
TRIES = 16  # for a draw, or a way to mix two, that is new
FEW = 64  # indices to mix, below which the ways to mix them are counted

# Bound before any plugin is imported: none of its code may run while contents are put in place, as it could work then.
_C: Any = torch._C
_no_functions, _no_dispatch = _C.DisableTorchFunction, _C._DisableTorchDispatch
_generator, _empty, _where = torch.Generator, torch.empty, torch.where
_view, _to, _copy, _bool, _random_ = Tensor.view, Tensor.to, Tensor.copy_, Tensor.bool, Tensor.random_


@contextmanager
def plainly() -> Iterator[None]:
    """No mode or override of torch has a say in what is computed inside."""
    with _no_functions(), _no_dispatch():
        yield


@dataclass(frozen=True)
class Content:
    """What inputs hold. base: the draw of all that is not renewed. seed: the draw of what is renewed.

    other, deal: each index that may be mixed is of draw `seed` or, where a coin seeded with `deal` says so, of draw
    `other`; None where all is of one draw.
    """

    base: int
    seed: int
    other: int | None = None
    deal: int = 0

    @property
    def key(self) -> int:
        """A number of 63 bits that stands for it in the names of files."""
        text = "-".join(str(value) for value in asdict(self).values())
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def new_secret() -> int:
    """A number that nothing foresees, for the processes of one run."""
    return secrets.randbits(SEED_BITS)


def derived(*parts: object) -> int:
    """A seed that hangs on all of the parts, and that nobody tells from chance who does not know them."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> (64 - SEED_BITS)


def inputs_of(operator: AnyOperator, case: Case, content: Content, device: torch.device) -> Any:
    """Inputs with that content, made from nothing: in any process the same to the bit."""
    inputs = operator.make_inputs(case, NORMAL_DRAW, content.base, device)
    write(operator, case, inputs, content)
    return inputs


def write(operator: AnyOperator, case: Case, inputs: Any, content: Content) -> None:
    """Give inputs that were made with seed `content.base` this content, in place: memory stays, versions move."""
    Place(operator, case, inputs).write(content, Deck(operator, case, inputs).draw)


def renewed(operator: AnyOperator, case: Case, inputs: Any) -> Draw:
    """The tensors that a content is of: what is dynamic, and what is mutable and may be mixed."""
    mixed = operator.mixed(case, inputs)
    mutable = {path: tensor for path, tensor in tensors(inputs, "mutable").items() if path in mixed}
    return {**tensors(inputs, "dynamic"), **mutable}


@dataclass(frozen=True)
class _Mixing:
    """A tensor that is mixed. into: it, with the neighbours that stay together along an axis of their own, `axis + 1`.

    dealt: how many indices each axis has a coin for; shape: of the coins, so that they broadcast to `into`.
    """

    into: Tensor
    axis: int
    each: int
    dealt: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor, mixed: DrawMix) -> _Mixing:
        axis = mixed.axes[-1]
        into = _raw(tensor).unflatten(axis, (-1, mixed.each))
        dealt = tuple(into.shape[a] for a in mixed.axes)
        shape = [1] * into.dim()
        for a, length in zip(mixed.axes, dealt, strict=True):
            shape[a] = length
        return cls(into, axis, mixed.each, dealt, tuple(shape))

    def put(self, first: Tensor, other: Tensor, coins: Tensor) -> None:
        parts = [_raw(x).unflatten(self.axis, (-1, self.each)) for x in (other, first)]
        into, b, a = self.into, *parts
        if self.shape[-1] == 1 and all(map(_in_words, (into, a, b))):
            into, b, a = (_view(x, torch.int64) for x in (into, b, a))
        _where(_view(coins, self.shape), b, a, out=into)


class Place:
    """The tensors of some inputs that are renewed, and how."""

    def __init__(self, operator: AnyOperator, case: Case, inputs: Any) -> None:
        mixed = operator.mixed(case, inputs)
        self._tensors = renewed(operator, case, inputs)
        self._mixings = {path: _Mixing.of(x, mixed[path]) for path, x in self._tensors.items() if path in mixed}
        self._shapes = sorted({mixing.dealt for mixing in self._mixings.values()})

    @property
    def indices(self) -> int:
        """How many coins a content takes."""
        return sum(torch.Size(shape).numel() for shape in self._shapes)

    def coins(self, deal: int) -> dict[tuple[int, ...], Tensor]:
        """By shape, on the CPU: true for an index that is of the other draw."""
        made = {}
        with plainly():
            for shape in self._shapes:
                generator = _generator().manual_seed(derived(deal, *shape))
                made[shape] = _bool(_random_(_empty(shape, dtype=torch.uint8), 0, 2, generator=generator))
        return made

    def write(self, content: Content, draw: Callable[[int], Draw]) -> None:
        """Draws are made first; then no mode or override of torch has a say in what is written."""
        first = draw(content.seed)
        other = first if content.other is None else draw(content.other)
        with plainly():
            coins = {} if content.other is None else self.coins(content.deal)
            for path, tensor in self._tensors.items():
                if coins and path in self._mixings:
                    mixing = self._mixings[path]
                    mixing.put(first[path], other[path], _to(coins[mixing.dealt], tensor.device))
                else:
                    _copy(tensor, first[path])


def _raw(x: Tensor) -> Tensor:
    """8-bit floats as bytes, which can be chosen from; any other as it is."""
    return _view(x, torch.uint8) if x.is_floating_point() and x.element_size() == 1 else x


def _in_words(x: Tensor) -> bool:
    """Whether rows can be moved eight bytes at a time, which takes a fraction of the time."""
    a_word = 8 // x.element_size()
    lengths = (x.shape[-1], x.storage_offset(), *x.stride()[:-1])
    return x.stride(-1) == 1 and not x.is_complex() and all(length % a_word == 0 for length in lengths)


class Deck:
    """Draws of a case at hand, in the memory of the device; of one that is not, its tensors are made.

    own: draws are made inside, as they hang on settings of the process that a plugin may change.
    """

    def __init__(self, operator: AnyOperator, case: Case, inputs: Any, own: Own = nullcontext) -> None:
        self._operator, self._case, self._inputs, self._own = operator, case, inputs, own
        self._held: dict[int, Draw] = {}

    @property
    def seeds(self) -> list[int]:
        """Of the draws at hand, the oldest first."""
        return list(self._held)

    def draw(self, seed: int) -> Draw:
        return self._held[seed] if seed in self._held else self._made(seed)

    def hold(self, seed: int) -> bool:
        """Keep a draw, unless what can be mixed of it is what another has."""
        made = self._made(seed)
        paths = [path for path in self._operator.mixed(self._case, self._inputs) if path in made]
        if any(all(_same(made[path], held[path]) for path in paths) for held in self._held.values()):
            return False
        self._held[seed] = made
        return True

    def drop(self, seed: int) -> None:
        del self._held[seed]

    def _made(self, seed: int) -> Draw:
        with self._own():
            if self._operator.redrawn is not None:
                fresh = self._operator.redrawn(self._case, self._inputs, seed)
            else:
                device = next(iter(tensors(self._inputs).values())).device
                fresh = self._operator.make_inputs(self._case, NORMAL_DRAW, seed, device)
        return renewed(self._operator, self._case, fresh)


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(_raw(a), _raw(b))


class Contents:
    """Contents for the calls of one case in one process, none of them twice.

    Where draws are mixed they are those of a deck, in which old ones give way to new ones as time allows. Two contents
    of n coins are alike by chance once in 2ⁿ; below 64 coins they are compared, so that it never happens. The first
    draws of the deck hang on `secret`; all else comes from the chance of the operating system.
    """

    def __init__(
        self,
        operator: AnyOperator,
        case: Case,
        inputs: Any,
        secret: int,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        own: Own = nullcontext,
    ) -> None:
        self._random = random.SystemRandom()
        self._derived_from = secret, operator.name, case.id
        self._place = Place(operator, case, inputs)
        self._deck = Deck(operator, case, inputs, own)
        a_draw = sum(x.numel() * x.element_size() for x in renewed(operator, case, inputs).values())
        self._size = (SMALL_DECK if a_draw > LARGE_BYTES else DECK) if self._place.indices > 1 else 0
        self._used: set[tuple[int, int, int]] = set()
        self._pairs = self._in_turn()
        self._fill()
        self._first = self._deck.seeds
        self._now_ns, self._begun_ns, self._drawing_ns = now_ns, now_ns(), 0

    def shared(self, base: int, use: str, number: int) -> Content:
        """A content that is the same in all processes with this secret, and like any other: of the first draws."""
        if len(self._first) < SMALL_DECK:
            return Content(base, derived(*self._derived_from, use, number))
        pair = self._first[number % len(self._first)], self._first[(number + 1) % len(self._first)]
        deals = (derived(*self._derived_from, use, number, turn) for turn in range(TRIES))
        contents = [Content(base, min(pair), max(pair), deal) for deal in deals]
        return next((content for content in contents if self._is_new(content)), contents[0])

    def next(self, base: int) -> Content:
        """A content that no call had before, for inputs made with seed `base`."""
        self._refresh()
        for _ in range(TRIES if len(self._deck.seeds) >= SMALL_DECK else 0):
            content = Content(base, *next(self._pairs), self._seed())
            if self._is_new(content):
                return content
        return Content(base, self._seed())

    def write(self, place: Place, content: Content) -> None:
        place.write(content, self._deck.draw)

    def _seed(self) -> int:
        return self._random.getrandbits(SEED_BITS)

    def _in_turn(self) -> Iterator[tuple[int, int]]:
        """Pairs of draws at hand."""
        while True:
            order = self._deck.seeds
            self._random.shuffle(order)
            yield min(order[:2]), max(order[:2])

    def _is_new(self, content: Content) -> bool:
        if self._place.indices >= FEW:
            return True
        with plainly():
            coins = [coin for part in self._place.coins(content.deal).values() for coin in part.flatten().tolist()]
        dealt = sum(1 << place for place, coin in enumerate(coins) if coin)
        known = (content.seed, content.other or 0, dealt)
        if len(set(coins)) == 1 or known in self._used:
            return False
        self._used.add(known)
        return True

    def _fill(self) -> None:
        """Fill the deck, with draws that all processes of a run have at first."""
        for number in range(self._size * TRIES):
            if len(self._deck.seeds) == self._size:
                break
            self._deck.hold(derived(*self._derived_from, "deck", number))

    def _refresh(self) -> None:
        """Let the oldest draw give way to a new one, within a share of the time."""
        begun = self._now_ns()
        if len(self._deck.seeds) < SMALL_DECK or self._drawing_ns >= REFRESH_SHARE * (begun - self._begun_ns):
            return
        if self._deck.hold(self._seed()):
            self._deck.drop(self._deck.seeds[0])
            self._pairs = self._in_turn()
        self._drawing_ns += self._now_ns() - begun
