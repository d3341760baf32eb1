"""What both arms have, once they were asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnlab.bench.gate.messages import Offer, Offers, SuiteSettings


@dataclass(frozen=True)
class Survey:
    """What is known once both arms were asked: the modules to import in each, and how both are measured.

    contracts: where each arm has its operators from, since each is judged by its own.
    """

    modules: dict[str, tuple[str, ...]]
    settings: SuiteSettings
    contracts: dict[str, dict[str, tuple[str, ...]]]

    @classmethod
    def of(cls, base: Offers, head: Offers) -> Survey:
        """Both are measured with base's settings, lest head's suite hide a regression in noise."""
        arms = {"base": base, "head": head}
        modules = {name: tuple(dict.fromkeys(offer.module for offer in arm.found)) for name, arm in arms.items()}
        contracts = {name: {offer.operator: offer.contract for offer in arm.found} for name, arm in arms.items()}
        return cls(modules, head.settings if base.error is not None else base.settings, contracts)


def besides(other: Offers, own: Offers) -> list[Offer]:
    """What the other arm's suite has and this arm's own has not."""
    known = {offer.key for offer in own.found}
    return [offer for offer in other.found if offer.key not in known]


def chosen(offers: Offers, only: frozenset[str] | None) -> Offers:
    if only is None:
        return offers
    return replace(offers, found=tuple(offer for offer in offers.found if offer.key in only))
