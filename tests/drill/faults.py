"""What happens to a pond in the drill, each with how it ends, and how much of it clients may notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.front.faults import drained
from tests.pond.whole import Pond
from tests.s3_server import s3_server

FAULTY = "b"


@dataclass(frozen=True)
class Fault:
    """One fault: `begin` makes it; it lasts `seconds`, and `end` mends it.

    `gap` is the longest time that a client may be without an answer, in seconds. `soon`, `later`: whether requests may
    fail that begin in the first two seconds, or after them.
    """

    name: str
    begin: Callable[[Pond], object]
    end: Callable[[Pond], object]
    seconds: float
    gap: float
    soon: bool = True
    later: bool = False


def _up(pond: Pond) -> None:
    pond.nodes.up()


FAULTS = (
    Fault("node killed", lambda pond: pond.nodes.kill(FAULTY), _up, seconds=8.0, gap=2.0),
    Fault("node stopped, and woken", lambda pond: pond.nodes.hold(FAULTY), _up, seconds=12.0, gap=5.0),
    Fault("node drained", lambda pond: drained(pond.nodes, FAULTY), _up, seconds=4.0, gap=1.0, soon=False),
    Fault(
        "database restarted",
        lambda pond: pond.postgres.stop("fast"),
        lambda pond: pond.postgres.start(),
        seconds=1.0,
        gap=5.0,
    ),
    Fault(
        "database crashed",
        lambda pond: pond.postgres.stop("immediate"),
        lambda pond: pond.postgres.start(),
        seconds=4.0,
        gap=30.0,
    ),
    Fault(
        "S3 gone",
        lambda _pond: s3_server().stop(),
        lambda _pond: s3_server().start(),
        seconds=8.0,
        gap=30.0,
    ),
)
