"""What happens to a pond in the drill, each with how it ends, and how much of it clients may notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.drill import link
from tests.drill.stage import FAULTY, ROLE, Stage, restart
from tests.front.faults import drained
from tests.front.nodes import Start
from tests.patroni.__main__ import kill_leader, switch_over
from tests.s3_server import s3_server
from tests.servers import eventually

CLOCK_SECONDS = 600
Do = Callable[[Stage], object]


def _nothing(_stage: Stage) -> None:
    """Do nothing."""


def _up(stage: Stage) -> None:
    stage.pond.nodes.up()


@dataclass(frozen=True)
class Fault:
    """One fault: `prepare` is before it, `begin` makes it, it lasts `seconds`, `end` mends it, `restore` tidies up.

    `gap` is the longest time that a client may be without an answer, in seconds; None: any. `soon`, `later`: whether
    requests may fail that begin in the first two seconds, or after them. `refuses`: the kinds of requests that may be
    told to come again, None for all. `taken_over`: the faulty node has to be taken over within so many seconds, and
    what it writes with its old epoch has to be refused; 0: it is not. `lacking` returns why it cannot be made here.
    """

    name: str
    begin: Do
    end: Do = _nothing
    seconds: float = 8.0
    gap: float | None = None
    soon: bool = True
    later: bool = False
    refuses: frozenset[str] | None = frozenset()
    taken_over: float = 0.0
    prepare: Do = _nothing
    restore: Do = _nothing
    lacking: Callable[[Stage], str] = lambda _stage: ""

    @property
    def target(self) -> str:
        """What clients may notice, in words."""
        if self.refuses is None:
            said = "told to come again"
        elif self.refuses:
            said = f"only {' and '.join(sorted(self.refuses))} refused, with the reason"
        else:
            said = "none fails after 2 s" if self.soon else "none fails"
        gap = "" if self.gap is None else f"; gap at most {self.gap:g} s"
        return said + gap + (f"; taken over within {self.taken_over:g} s" if self.taken_over else "")


# Of one node


def _lock_out(stage: Stage) -> None:
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
    stage.execute(f"ALTER ROLE {ROLE} NOLOGIN", ended)


def _cut(stage: Stage) -> None:
    assert stage.link is not None
    stage.link.cut()


def _mend(stage: Stage) -> None:
    assert stage.link is not None
    stage.link.mend()


def _tighten(stage: Stage) -> None:
    """Give the node less memory than it takes when it has just started."""
    restart(stage, Start())
    with stage.client(FAULTY) as client:
        rss = int(client.get("/api/status").raise_for_status().json()["rss_bytes"])
        restart(stage, Start({"memory_limit_mb": int(rss * 0.9) >> 20, "budget_sustained_seconds": 0}))
        eventually(lambda: client.get("/api/budget").json()["level"] == "hard", what="the hard watermark")


def _loosen(stage: Stage) -> None:
    restart(stage, Start())


def _faketime() -> str:
    return str(next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), ""))


def _have_clock(stage: Stage) -> None:
    _set_clock(stage, 0)
    file = {"FAKETIME_TIMESTAMP_FILE": str(stage.folder / "clock"), "FAKETIME_CACHE_DURATION": "1"}
    restart(stage, Start(variables={"LD_PRELOAD": _faketime(), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **file}))


def _set_clock(stage: Stage, seconds: int) -> None:
    (stage.folder / "clock").write_text(f"+{seconds}\n")


def _fill(stage: Stage) -> None:
    assert stage.disk is not None
    stage.disk.fill()


def _empty(stage: Stage) -> None:
    assert stage.disk is not None
    stage.disk.empty()


# On purpose


def _supervise(stage: Stage) -> None:
    restart(stage, Start({"restarted_by": "auto"}, ("--supervise",)))


def _without_supervisor(stage: Stage) -> None:
    """Start the node by itself again: drained, one with a supervisor would come back. Nobody counts what this costs."""
    stage.pond.nodes[FAULTY].stop()
    stage.pond.nodes.starts[FAULTY] = Start()
    stage.pond.nodes.up()


def _restart_by_request(stage: Stage) -> None:
    with stage.client(FAULTY) as client:
        before = client.get("/api/status").raise_for_status().json()["started_at"]
        client.post("/api/restart", json={"reason": "the drill"}).raise_for_status()

        def restarted() -> bool:
            try:
                return bool(client.get("/api/status").json().get("started_at", before) != before)
            except httpx.TransportError:
                return False

        eventually(restarted, seconds=120.0, what="the next process")


def _roll(stage: Stage) -> None:
    """Take each node out, end it, and start it again, as an upgrade does."""
    nodes = stage.pond.nodes
    for name in nodes.addresses:
        drained(nodes, name)
        nodes.up()
        eventually(stage.pond.in_front, what="a front that knows all nodes")


# Of what they share


def _stop_postgres(stage: Stage, mode: str) -> None:
    assert stage.pond.postgres is not None
    stage.pond.postgres.stop("immediate" if mode == "immediate" else "fast")


def _start_postgres(stage: Stage) -> None:
    assert stage.pond.postgres is not None
    stage.pond.postgres.start()


def _switch_over(stage: Stage) -> None:
    assert stage.cluster is not None
    switch_over(stage.cluster)


def _kill_leader(stage: Stage) -> None:
    assert stage.cluster is not None
    kill_leader(stage.cluster)


def _start_members(stage: Stage) -> None:
    assert stage.cluster is not None
    for member in stage.cluster.members.values():
        if member.process is None:
            member.start()
    eventually(stage.cluster.has_synchronous_standby, seconds=120.0, what="a synchronous standby")


def _alone(stage: Stage) -> str:
    return (
        "" if stage.cluster is None else "the database is a pair: it is switched over, and its leader killed, instead"
    )


def _pair(stage: Stage) -> str:
    return "" if stage.cluster is not None else "it takes PostgreSQL under Patroni: DRILL_ARGS=--full"


# Until the node is taken over, a conversation in which it was answering is its own.
_ITS_ANSWERS = frozenset({"ask"})

FAULTS = (
    Fault(
        "node killed", lambda stage: stage.pond.nodes.kill(FAULTY), _up, gap=2.0, refuses=_ITS_ANSWERS, taken_over=5.0
    ),
    Fault(
        "node stopped, and woken",
        lambda stage: stage.pond.nodes.hold(FAULTY),
        _up,
        12.0,
        gap=5.0,
        refuses=_ITS_ANSWERS,
        taken_over=5.0,
    ),
    Fault(
        "node not ready",
        _lock_out,
        lambda stage: stage.execute(f"ALTER ROLE {ROLE} LOGIN"),
        gap=2.0,
        refuses=_ITS_ANSWERS,
    ),
    Fault(
        "node cut off from the database",
        _cut,
        _mend,
        12.0,
        gap=5.0,
        later=True,
        refuses=None,
        taken_over=5.0,
        lacking=lambda _stage: link.lacking(),
    ),
    Fault(
        "memory at the hard watermark",
        _nothing,
        prepare=_tighten,
        restore=_loosen,
        refuses=frozenset({"add"}),
        soon=False,
    ),
    Fault(
        "disk full",
        _fill,
        _empty,
        refuses=frozenset({"add"}),
        lacking=lambda stage: "" if stage.disk else "it takes root to mount a small disk",
    ),
    Fault(
        "clock 10 minutes ahead",
        lambda stage: _set_clock(stage, CLOCK_SECONDS),
        lambda stage: _set_clock(stage, 0),
        gap=1.0,
        soon=False,
        prepare=_have_clock,
        restore=_loosen,
        lacking=lambda _stage: "" if _faketime() else "faketime is not installed (apt-get install faketime)",
    ),
    Fault("node drained", lambda stage: drained(stage.pond.nodes, FAULTY), _up, 4.0, gap=1.0, soon=False),
    Fault(
        "planned restart",
        _restart_by_request,
        seconds=2.0,
        gap=1.0,
        soon=False,
        prepare=_supervise,
        restore=_without_supervisor,
    ),
    Fault("rolling upgrade (to the same version)", _roll, seconds=2.0, gap=1.0, soon=False),
    Fault(
        "database restarted",
        lambda stage: _stop_postgres(stage, "fast"),
        _start_postgres,
        1.0,
        gap=5.0,
        refuses=None,
        lacking=_alone,
    ),
    Fault(
        "database crashed",
        lambda stage: _stop_postgres(stage, "immediate"),
        _start_postgres,
        4.0,
        gap=30.0,
        refuses=None,
        lacking=_alone,
    ),
    Fault("database switched over", _switch_over, _start_members, gap=5.0, refuses=None, lacking=_pair),
    Fault("database leader killed", _kill_leader, _start_members, 4.0, gap=30.0, refuses=None, lacking=_pair),
    Fault("S3 gone", lambda _stage: s3_server().stop(), lambda _stage: s3_server().start(), refuses=frozenset({"add"})),
    Fault(
        "Redis gone",
        lambda stage: stage.pond.redis.stop(),
        lambda stage: stage.pond.redis.start(),
        gap=2.0,
        soon=False,
    ),
)
