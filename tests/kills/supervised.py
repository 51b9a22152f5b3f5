"""Kills of a server under a supervisor: of one, the other, or both, also while one process follows another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.kills.audit import audit
from tests.kills.life import Life
from tests.kills.person import KilledError, Person
from tests.kills.scenes import new_name, new_word, settle_in, shelves
from tests.servers import eventually


@dataclass(frozen=True)
class SupervisedScene:
    """What is done to a supervised server; `point` is armed from its start. `survives`: it serves afterwards."""

    name: str
    play: Callable[[Life, Person], None]
    point: str = ""
    survives: bool = False


def _upload(person: Person) -> None:
    person.upload(shelves(person)[0], [(new_name(), new_word(), 3)])


def _other_process(life: Life, old: int) -> None:
    eventually(lambda: life.server_pid() not in {0, old}, seconds=120, what="another process")
    life.wait_ready()


def _server_killed(life: Life, person: Person) -> None:
    old = life.server_pid()
    _upload(person)
    os.kill(old, signal.SIGKILL)
    _other_process(life, old)


def _fork_server_killed(life: Life, person: Person) -> None:
    """The process that reads files dies in the middle of some: they are read by the next one."""
    _upload(person)
    eventually(lambda: life.processes("parsing.forkserver"), what="a fork server")
    for pid in life.processes("parsing.forkserver"):
        os.kill(pid, signal.SIGKILL)
    _upload(person)
    life.wait_idle()


def _both_killed(life: Life, person: Person) -> None:
    _upload(person)
    life.kill()


def _supervisor_killed(life: Life, person: Person) -> None:
    _upload(person)
    life.signal_kill()
    life.wait_killed()


def _restart(life: Life) -> int:
    old = life.server_pid()
    life.client.post("/api/restart").raise_for_status()
    return old


def _killed_at(point: str) -> Callable[[Life, Person], None]:
    """Return a scene in which the old process is killed during a planned restart; the next one follows."""

    def play(life: Life, person: Person) -> None:
        _upload(person)
        life.order(do="arm", point=point)
        _other_process(life, _restart(life))

    return play


def _next_killed(life: Life, person: Person) -> None:
    """The next process dies once it is loaded: the old one ends all the same, and a fresh one follows."""
    old = _restart(life)
    _upload_patiently(life, person, old)


def _upload_patiently(life: Life, person: Person, old: int) -> None:
    _other_process(life, old)
    _upload(person)


def _supervisor_killed_starting(life: Life, person: Person) -> None:
    """The supervisor dies while it starts the next process: what it has started ends, too."""
    _upload(person)
    _restart(life)
    life.wait_killed()


SUPERVISED_SCENES = (
    SupervisedScene("the server alone", _server_killed, survives=True),
    SupervisedScene("the fork server alone", _fork_server_killed, survives=True),
    SupervisedScene("both", _both_killed),
    SupervisedScene("the supervisor alone", _supervisor_killed),
    SupervisedScene("restart: draining", _killed_at("restart: draining"), survives=True),
    SupervisedScene("restart: old process hands over", _killed_at("restart: old process hands over"), survives=True),
    SupervisedScene(
        "restart: next process is loaded", _next_killed, point="restart: next process is loaded", survives=True
    ),
    SupervisedScene(
        "supervisor: starting the next process",
        _supervisor_killed_starting,
        point="supervisor: starting the next process",
    ),
)


@dataclass
class SupervisedChain:
    """Scenes in one folder, one after the other."""

    folder: Path
    person: Person = field(default_factory=lambda: Person("anna"))
    kills: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, scenes: Sequence[SupervisedScene]) -> None:
        """Play all of them."""
        for scene in scenes:
            with self._served(scene.point) as life:
                try:
                    scene.play(life, self.person)
                except KilledError:
                    self.wrong.append(f"“{scene.name}”: the connection broke")
                self.kills += 1
                if scene.survives:
                    self._look(life, scene.name)
                    life.stop()
            with self._served("") as life:
                self._look(life, scene.name)
                life.stop()

    def _look(self, life: Life, what: str) -> None:
        self.wrong += [f"after “{what}”: {each}" for each in audit(life, [self.person])]

    @contextmanager
    def _served(self, point: str) -> Iterator[Life]:
        with closing(Life(self.folder, point=point, supervise=True)) as life:
            life.wait_ready()
            self.person.go_to(life)
            if not self.person.words:
                settle_in(self.person)
                life.wait_idle()
            yield life
