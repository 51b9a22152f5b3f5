"""The built-in workload, for a service of which too little was recorded."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from services.memory.experiment.types import Kind, Operation

# Of 100 operations, as a small team's day looks: each click is a run of a page; some questions, a file now and then.
SHARES: dict[Kind, int] = {Kind.PAGE: 78, Kind.QUESTION: 14, Kind.ANSWER: 3, Kind.UPLOAD: 3, Kind.DELETE: 2}
# With fewer than so many recorded operations the recording says little about the service.
LEAST_RECORDED = 60
MOST_UPLOAD_BYTES = 32 * 1024
_QUESTION_CHARACTERS = (20, 120)
_UPLOAD_BYTES = (500, 4000)


def built_in(count: int, seed: int) -> tuple[Operation, ...]:
    """Return `count` operations in an order that depends on `seed` alone."""
    chance = random.Random(seed)  # noqa: S311 - must be the same each time
    kinds = [kind for kind, share in SHARES.items() for _number in range(share)]
    return tuple((kind, size_of(kind, chance)) for kind in chance.choices(kinds, k=count))


def repeated(recorded: Sequence[Operation], count: int) -> tuple[Operation, ...]:
    """Return `count` operations: what was recorded, in its order, again and again if need be."""
    return tuple(recorded[number % len(recorded)] for number in range(count)) if recorded else ()


def size_of(kind: Kind, chance: random.Random) -> int:
    """Return a usual size: characters of a question, bytes of a file."""
    if kind in {Kind.QUESTION, Kind.ANSWER}:
        return chance.randint(*_QUESTION_CHARACTERS)
    return chance.randint(*_UPLOAD_BYTES) if kind is Kind.UPLOAD else 0


def counted(operations: Sequence[Operation]) -> dict[str, int]:
    """Return how many of each kind there are."""
    found = Counter(kind.value for kind, _size in operations)
    return {kind.value: found[kind.value] for kind in Kind if found[kind.value]}
