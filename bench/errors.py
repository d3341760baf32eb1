"""Every error class of attnlab.

AttnlabError                    one line that says what was got, what was expected and how to mend it
├── UsageError                  the caller's to mend; the command line ends with exit code 2
│   ├── UnknownName             no such operator, implementation, axis, suite or metric
│   ├── ImpossibleCase          axes that contradict each other or the operator
│   │   └── SamplingError       sampling parameters out of range, or logits that give no distribution
│   ├── SuiteError              a suite file that cannot be read or has unknown keys
│   ├── PluginError             a plugin that does not import or registers nothing
│   │   ├── DuplicateName       one name registered twice
│   │   └── DuplicateRank       two things of one kind that ask for one rank
│   ├── CacheError              tokens, pages or tables that do not fit a key-value cache
│   ├── TraceError              a trace of arrivals that cannot be read, or does not rise
│   ├── ServiceError            a service's address, key or load that cannot be
│   ├── ClusterError            a cluster that does not answer, or has no node of the kind that is asked for
│   │   └── ClusterLost         a cluster that was lost before all was measured; exit code 1
│   ├── ModelError              a model's file that cannot be read, or is of a form that is not known
│   └── StoreError              results that cannot be read, written or resumed
├── Unavailable                 an implementation cannot serve this case here; the reason is reported
│   ├── ModelUnavailable        the weights or the tokenizer asked for are not on this machine
│   └── CaptureUnavailable      the real activations asked for are not on this machine
└── MeasurementError            a measurement that cannot be trusted or taken
    ├── GuardViolation          something wrote outside the planes of a key-value cache
    ├── GateClosed              a gate that could not measure, and so does not pass; exit code 3
    └── ClockUnsupported        these calls cannot be timed by this clock; another one is taken, and said so
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from attnlab.bench.text import LONGEST_MESSAGE, printable, shortened


def nearest(name: str, known: Iterable[str], likeness: float = 0.5) -> str | None:
    """The known name that is most like `name`, of those whose likeness (0 to 1, difflib's ratio) is at least that."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)), None)


class AttnlabError(Exception):
    """Base of all errors that attnlab raises on purpose. exit_code is what the command line ends with."""

    exit_code = 2


class UsageError(AttnlabError):
    """Something that the caller can mend."""


class UnknownName(UsageError):
    """A name that nothing answers to; suggests the nearest that exists."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = nearest(name, names)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.kind, self.name, self.known = kind, name, names


class ImpossibleCase(UsageError):
    """Axes that contradict each other or the operator."""


class SamplingError(ImpossibleCase):
    """Sampling parameters out of their range, or logits that no distribution follows from."""


class SuiteError(UsageError):
    """A suite that cannot be read; the message starts with file and line."""


class PluginError(UsageError):
    """A plugin that does not import or brings nothing."""


class DuplicateName(PluginError):
    """One name registered by two modules."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(f"{kind} {name!r} is registered twice: by {first} and by {second}; rename one of them")


class DuplicateRank(PluginError):
    """Two things of one kind that ask for one rank, so that their order would be left to chance."""

    def __init__(self, kind: str, name: str, rank: object, holder: str, module: str) -> None:
        super().__init__(
            f"{module} registers the {kind} {name!r} with rank {ascii(rank)[:40]}, which is that of {holder!r}; "
            "expected a rank that no other has: give it another"
        )


class CacheError(UsageError):
    """Tokens, pages or block tables that do not fit a key-value cache; nothing was written."""


class TraceError(UsageError):
    """A trace of arrivals that cannot be read, or whose times do not rise; names file and line."""


class ServiceError(UsageError):
    """A service's address, key or settings, or a load on it, that cannot be; never has a key in its message."""


class ClusterError(UsageError):
    """A cluster that does not answer, or that has no node which can measure what is asked for."""


class ClusterLost(ClusterError):
    """A cluster that was lost, or whose nodes were, before all was measured; what was measured is kept."""

    exit_code = 1


class ModelError(UsageError):
    """A model's file that cannot be read or is of a form that is not known; names the file and the tensor.

    One printable line of bounded length, whatever a damaged file calls its fields and tensors.
    """

    def __init__(self, message: str) -> None:
        words = printable(message).translate({ord("\n"): " ", ord("\t"): " "})
        super().__init__(shortened(words, LONGEST_MESSAGE // 4))


class ModelWarning(UserWarning):
    """A model's file says something that is not known here."""


class StoreError(UsageError):
    """Results that cannot be read, written or resumed."""


class StoreWarning(UserWarning):
    """A stored run that cannot be read, among others that can."""


class Unavailable(AttnlabError):
    """Raised by `prepare` where an implementation finds that it cannot serve a case here."""


class ModelUnavailable(Unavailable):
    """Weights or a tokenizer that are not on this machine; says what to install."""


class CaptureUnavailable(Unavailable):
    """The real activations asked for are neither in the fixture nor to be computed here."""


class MeasurementError(AttnlabError):
    """A measurement that cannot be taken or trusted."""


class GuardViolation(MeasurementError):
    """A write into the regions that surround the planes of a cache."""


class ClockUnsupported(MeasurementError):
    """Raised by `Clock.start` where it cannot time the calls it was given; the reason is reported."""


class GateClosed(MeasurementError):
    """A gate that could not measure what it must, and so does not pass."""

    exit_code = 3
