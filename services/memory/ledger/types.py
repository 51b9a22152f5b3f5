"""The ledger: RSS divided among its owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.held import HeldResource, Owner


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every byte of RSS under one owner; the values of `owners` add up to `rss`.

    `held` are the reports that went in, `unknown` says in words what this system cannot tell, `took` is the cost in
    seconds.
    """

    time: float
    rss: int
    owners: Mapping[Owner, int]
    held: tuple[HeldResource, ...] = ()
    unknown: tuple[str, ...] = ()
    took: float = 0.0

    @property
    def unnamed(self) -> int:
        """Bytes that no owner could be found for."""
        return self.owners.get(Owner.UNNAMED, 0)
