"""The ledger: how a data folder may look, from what was acknowledged and what was under way when the kill came.

A world is one possible content. What was acknowledged is in all of them. An act that was not answered adds the worlds
in which it was done; after the next start the one that is found must be among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from unittest.mock import ANY


@dataclass
class Talk:
    """A conversation: length of its history window, and its messages as (role, text)."""

    turns: int
    messages: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Shelf:
    """A collection: sha256 and whether it is enabled, by the document's name."""

    documents: dict[str, tuple[str, bool]] = field(default_factory=dict)


@dataclass
class World:
    """Everything that one person has made."""

    shelves: dict[str, Shelf] = field(default_factory=dict)
    talks: dict[str, Talk] = field(default_factory=dict)  # by title
    k: int = 6  # of the retrieval settings

    def differs(self, found: World) -> str:
        """Return in what `found` is another world, "" if it is this one."""
        for name, mine, theirs in (
            ("shelves", self.shelves, found.shelves),
            ("talks", self.talks, found.talks),
            ("k", self.k, found.k),
        ):
            if mine != theirs:
                return f"{name}: expected {mine!r}, found {theirs!r}"
        return ""


Change = Callable[[World], None]


class RefusedError(Exception):
    """The server said that it has not done it."""


class Ledger:
    """The possible worlds of one person, who does one thing after the other."""

    def __init__(self, world: World | None = None) -> None:
        self.worlds = [world or World()]
        self.acknowledged = 0

    @property
    def world(self) -> World:
        """The first of the worlds: what nobody works on at present is alike in all."""
        return self.worlds[0]

    @contextmanager
    def act(self, *steps: Change, instead: Sequence[Change] = ()) -> Iterator[None]:
        """Do something that goes through `steps`; broken off, any number of them may have been done.

        `instead`: further worlds, each by one change, in which a broken-off act may have ended.
        """
        before = deepcopy(self.worlds)
        reached = deepcopy(self.worlds)
        partly = [deepcopy(before)]
        for step in steps:
            for world in reached:
                step(world)
            partly.append(deepcopy(reached))
        for change in instead:
            others = deepcopy(before)
            for world in others:
                change(world)
            partly.append(others)
        self.worlds = [world for worlds in partly for world in worlds]
        try:
            yield
        except RefusedError:
            self.worlds = before
            return
        self.worlds = reached
        self.acknowledged += 1

    def may_have(self, change: Change) -> None:
        """Record that something has perhaps happened that nobody waits for."""
        others = deepcopy(self.worlds)
        for world in others:
            change(world)
        self.worlds += others

    def settle(self, found: World) -> str:
        """Take `found` for the world from now on; return why it cannot be, "" if it can."""
        reasons = [world.differs(found) for world in self.worlds]
        self.worlds = [deepcopy(found)]
        return "" if "" in reasons else " | ".join(reasons)


def some_answer() -> tuple[str, str]:
    """Return an answer of which nothing is known."""
    return ("assistant", ANY)
