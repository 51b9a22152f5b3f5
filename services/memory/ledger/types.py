"""The ledger: RSS divided among its owners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.held import HeldResource, Owner


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every byte of RSS under one owner; the values of `owners` add up to `rss`.

    `held` are the reports that went in, `unknown` says in words what this system cannot tell, `took` is the cost in
    seconds of processor time. `overclaimed` is how many bytes the parts reported beyond what there is where they said.
    `series` are the dear columns of a sample that fall out of the same look, by name.
    """

    time: float
    rss: int
    owners: Mapping[Owner, int]
    held: tuple[HeldResource, ...] = ()
    unknown: tuple[str, ...] = ()
    took: float = 0.0
    overclaimed: int = 0
    series: Mapping[str, float] = field(default_factory=dict)

    @property
    def unnamed(self) -> int:
        """Bytes that no owner could be found for."""
        return self.owners.get(Owner.UNNAMED, 0)
