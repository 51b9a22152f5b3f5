"""When a restart is due, who may ask for one, and in which order a process is drained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.core.actor import SERVICE, Actor, Role
from services.core.admission import Admission, Gate
from services.core.errors import ConflictError, ForbiddenError, UnavailableError
from services.core.events import EventKind, NullEventSink
from services.core.settings import Settings
from services.operations.drain import Drain, Successor
from services.operations.restarts import JITTER, RestartPhase, RestartPlan, Restarts
from tests.servers import eventually

ADMIN = Actor("somebody", Role.ADMIN)
VISITOR = Actor("visitor", Role.USER)


class Events(NullEventSink):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    def event(self, kind: EventKind, detail: str = "", **_figures: float) -> None:
        self.recorded.append(f"{kind}: {detail}")

    def action(self, actor: str, kind: EventKind, detail: str = "", /, **_figures: float) -> None:
        self.recorded.append(f"{kind} by {actor}: {detail}")


def restarts(plan: RestartPlan | None = None, *, served: Callable[[], int] = lambda: 0, now: float = 0.0) -> Restarts:
    return Restarts(lambda: now, NullEventSink(), plan=plan, served=served, successor=lambda: "somebody")


def test_plans_differ_by_their_jitter(tmp_path: Path) -> None:
    """Many processes with the same settings must not restart together, and none far from what is configured."""
    settings = Settings(data_dir=tmp_path, restart_after_requests=1000, restart_after_hours=10)
    plans = [RestartPlan.of(settings, 500.0) for _number in range(200)]
    counts = {plan.requests for plan in plans}
    assert len(counts) > 50
    assert min(counts) >= 1000 * (1 - JITTER)
    assert max(counts) <= 1000 * (1 + JITTER)
    assert all(500 + 36_000 * (1 - JITTER) <= plan.at <= 500 + 36_000 * (1 + JITTER) for plan in plans)


def test_nothing_is_planned_by_default(tmp_path: Path) -> None:
    """Without settings no process ends by itself, however long it runs."""
    plan = RestartPlan.of(Settings(data_dir=tmp_path), 500.0)
    assert plan == RestartPlan(0, 0.0)
    watched = restarts(plan, served=lambda: 10**9, now=1e12)
    watched.check()
    assert watched.requested is None


@pytest.mark.parametrize(("served", "now"), [(10, 0.0), (0, 100.0)])
def test_the_plan_is_kept(served: int, now: float) -> None:
    """The planned count and the planned time each lead to a request, once."""
    asked: list[str] = []
    watched = restarts(RestartPlan(10, 100.0), served=lambda: served, now=now)
    watched.add_listener(lambda request: asked.append(request.actor))
    watched.check()
    watched.check()
    assert asked == [SERVICE.name]


def test_before_the_plan_nothing_is_asked() -> None:
    """One request or one second too early would be a restart that nobody planned."""
    watched = restarts(RestartPlan(10, 100.0), served=lambda: 9, now=99.9)
    watched.check()
    assert watched.requested is None


def test_only_administrators_ask() -> None:
    """A visitor's request changes nothing, and the first administrator's counts."""
    watched = restarts()
    with pytest.raises(ForbiddenError):
        watched.request(VISITOR, "I would like to")
    assert watched.requested is None
    first = watched.request(ADMIN, "new settings")
    assert watched.request(SERVICE, "another") is first
    assert watched.state().phase is RestartPhase.PREPARING


def test_where_nobody_starts_it_again_there_is_no_restart() -> None:
    """An end is not taken for a restart: it is refused, and a plan says once that it is in vain."""
    events = Events()
    alone = Restarts(lambda: 1000.0, events, plan=RestartPlan(0, 100.0))
    with pytest.raises(ConflictError):
        alone.request(ADMIN, "please")
    for _time in range(3):
        alone.check()
    assert alone.requested is None
    assert len(events.recorded) == 1


@dataclass
class Shell:
    """A successor that records what is asked of it, and which gates were closed then."""

    admission: Admission
    asked: list[str] = field(default_factory=list)
    open_while_preparing: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def prepare(self, _seconds: float) -> bool:
        self.asked.append("prepare")
        self.open_while_preparing = not self.admission.closed()
        return True

    def stop_accepting(self) -> None:
        self.asked.append("close")

    def end(self) -> None:
        self.asked.append("end")
        self.ended.set()


@dataclass
class Scene:
    """A process that is to be drained; `work` counts what is under way."""

    work: int = 0
    holds: bool = True
    affordable: bool = True
    seconds: float = 30.0
    proxy_seconds: float = 0.2
    stopped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission()
        self.shell = Shell(self.admission)
        self.restarts = restarts()
        shell = self.shell
        successor = Successor("somebody", self.holds, shell.prepare, shell.stop_accepting, shell.end)
        self.drain = Drain(
            self.restarts,
            self.admission,
            lambda: successor,
            lambda: self.work,
            lambda: 0,
            lambda: self.affordable,
            lambda: self.shell.asked.append("stop"),
            seconds=self.seconds,
            proxy_seconds=self.proxy_seconds,
        )
        self.restarts.add_listener(self.drain.start)

    def go(self) -> None:
        self.restarts.request(ADMIN, "for the test")

    @property
    def refused(self) -> bool:
        return Gate.UPLOADS in self.admission.closed()


def test_in_a_quiet_moment_nothing_is_refused_before_the_change() -> None:
    """Without long work the next process is loaded, then connections wait; no gate was closed while they did not."""
    scene = Scene()
    scene.go()
    assert scene.shell.ended.wait(30)
    assert scene.shell.asked == ["prepare", "stop", "close", "end"]
    assert scene.shell.open_while_preparing


def test_long_work_ends_first() -> None:
    """With an answer under way new work is refused with a reason after a while, and the end waits for the answer."""
    scene = Scene(work=1)
    scene.go()
    eventually(lambda: scene.refused, what="closed gates")
    assert scene.restarts.draining
    with pytest.raises(UnavailableError, match="restarting"):
        scene.admission.check_question(10)
    assert not scene.shell.ended.is_set()
    scene.work = 0
    assert scene.shell.ended.wait(30)
    assert scene.shell.asked == ["prepare", "stop", "close", "end"]


def test_work_that_never_ends_is_left_after_its_time() -> None:
    """Something that hangs must not keep a process that was told to restart."""
    scene = Scene(work=1, seconds=0.3)
    scene.go()
    assert scene.shell.ended.wait(30)


def test_no_second_process_where_memory_is_short() -> None:
    """A restart for want of memory must not begin by taking twice as much."""
    scene = Scene(affordable=False)
    scene.go()
    assert scene.shell.ended.wait(30)
    assert scene.shell.asked == ["stop", "close", "end"]


def test_a_front_gets_to_see_that_it_is_not_ready() -> None:
    """Where nobody holds connections, readiness turns before anything is refused: until a front has seen it work still
    comes, which other nodes would take. No second process is loaded."""
    scene = Scene(holds=False, proxy_seconds=1.0)
    scene.go()
    eventually(lambda: scene.restarts.draining, what="draining")
    assert not scene.refused
    eventually(lambda: scene.refused, what="closed gates")
    assert scene.shell.ended.wait(30)
    assert scene.shell.asked == ["stop", "close", "end"]


def test_an_end_for_another_reason_stops_the_waiting() -> None:
    """A signal during a drain ends the process by itself: the drain must not ask for it a second time."""
    scene = Scene(work=1)
    scene.go()
    scene.drain.close()
    eventually(lambda: not any(thread.name == "restart-drain" for thread in threading.enumerate()), what="its end")
    assert "end" not in scene.shell.asked
