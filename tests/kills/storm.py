"""Random kills: people do random things at once, the server is killed at a random moment, and again while it starts.

Everything that is drawn comes from one seed, but for what depends on how fast the machine is.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from services.knowledge.file_names import SEPARATOR
from tests.kills.audit import SEARCHES, audit
from tests.kills.life import Life, Starter, pause, start_process
from tests.kills.person import KilledError, Person
from tests.kills.scenes import new_name, new_word

LONGEST_LIFE = 3.0  # seconds of work before a kill; short lives are more likely
KILLED_STARTS = 0.3  # share of starts that are killed, too


@dataclass
class Storm:
    """Random lives over one folder."""

    folder: Path
    plan: random.Random
    people: Sequence[Person]
    start: Starter = start_process
    start_seconds: float = 6.0  # a start takes about so long
    searches: int = SEARCHES
    kills: int = 0
    wrong: list[str] = field(default_factory=list)

    def life(self) -> None:
        """One start, what is there, some work, and the kill."""
        while self.plan.random() < KILLED_STARTS:
            with closing(Life(self.folder, start=self.start)) as life:
                pause(self.plan.uniform(0, self.start_seconds))
                life.kill()
                self.kills += 1
        with closing(Life(self.folder, start=self.start)) as life:
            life.wait_ready()
            self.look(life)
            self.work(life)
            self.kills += 1

    def look(self, life: Life) -> None:
        """Take stock."""
        self.wrong += [f"after {self.kills} kills: {each}" for each in audit(life, self.people, self.searches)]

    def work(self, life: Life) -> None:
        """Have everybody work until the kill."""
        timer = threading.Timer(LONGEST_LIFE * self.plan.random() ** 2, life.signal_kill)
        seeds = [self.plan.randrange(10**9) for _person in self.people]
        failures: list[BaseException] = []
        threads = [
            threading.Thread(target=_until_killed, args=(person, random.Random(seed), failures))
            for person, seed in zip(self.people, seeds, strict=True)
        ]
        for thread in (*threads, timer):
            thread.start()
        for thread in (*threads, timer):
            thread.join()
        life.wait_killed()
        self.wrong += [f"after {self.kills} kills: {failure!r}" for failure in failures]

    def last_look(self) -> None:
        """Start once more, and look twice: what was saved last is what the next start has."""
        for _start in range(2):
            with closing(Life(self.folder, start=self.start)) as life:
                life.wait_ready()
                self.look(life)
                life.stop()


def _until_killed(person: Person, plan: random.Random, failures: list[BaseException]) -> None:
    try:
        while True:
            something(person, plan)
    except KilledError:
        return
    except BaseException as error:  # noqa: BLE001 - in a thread: reported by whoever waits for it
        failures.append(error)


def something(person: Person, plan: random.Random) -> None:
    """Do something that can be done now."""
    world = person.world
    acts: list[tuple[float, Callable[[], None]]] = []
    if len(world.shelves) < 3:
        acts.append((2 if world.shelves else 1000, lambda: person.create_collection(f"{person.name} {new_word()}")))
    if len(world.talks) < 3:
        acts.append((2 if world.talks else 50, lambda: person.create_conversation(f"{person.name} {new_word()}")))
    if world.shelves:
        acts += _with_shelf(person, plan, plan.choice(sorted(world.shelves)))
    settled = sorted(world.talks.keys() - person.unsettled)
    if settled:
        acts += _with_talk(person, plan, plan.choice(settled))
    if person.sets_retrieval:
        acts.append((1, lambda: person.set_retrieval(plan.randrange(1, 60))))
    weights = [weight for weight, _act in acts]
    plan.choices([act for _weight, act in acts], weights)[0]()


def _with_shelf(person: Person, plan: random.Random, shelf: str) -> list[tuple[float, Callable[[], None]]]:
    documents = person.world.shelves[shelf].documents
    # What came with a mail goes with it; a document in chunks has no original.
    plain = sorted(name for name in documents if SEPARATOR not in name)
    files = [name for name in plain if name.endswith(".txt")]
    several = [(new_name(), new_word(), plan.choice([1, 2, 6])) for _number in range(plan.choice([2, 5]))]
    acts: list[tuple[float, Callable[[], None]]] = [
        (4, lambda: person.upload(shelf, [(new_name(), new_word(), plan.choice([1, 2, 8, 40]))])),
        (2, lambda: person.upload(shelf, several)),
        (2, lambda: person.upload_mail(shelf, new_name("eml"), new_word(), [new_word(), new_word()])),
        (2, lambda: person.import_document(shelf, new_name("md"), new_word())),
        (0.5, lambda: person.delete_collection(shelf)),
        (0.5, lambda: person.life_order("snapshot")),
    ]
    if files:
        one = plan.choice(files)
        others = sorted(other for other in person.world.shelves if one not in person.world.shelves[other].documents)
        acts += [
            (3, lambda: person.upload(shelf, [(one, new_word(), plan.choice([1, 3]))])),
            (1, lambda: person.upload_again(shelf, one, new_name())),
            (1, lambda: person.enable(shelf, one, not documents[one][1])),
            (1, lambda: person.rechunk(shelf, one, plan.choice([32, 64]))),
        ]
        if others:
            acts.append((1, lambda: person.move(shelf, one, plan.choice(others))))
    if plain:
        acts.append((1 + len(plain) / 4, lambda: person.delete(shelf, plan.choice(plain))))
    return acts


def _with_talk(person: Person, plan: random.Random, title: str) -> list[tuple[float, Callable[[], None]]]:
    word = plan.choice(sorted(person.words.values()) or ["nothing"])
    acts: list[tuple[float, Callable[[], None]]] = [
        (5, lambda: person.ask(title, f"What is said of {word}?")),
        (1, lambda: person.leave(title, f"What else is said of {word}?")),
        (0.5, lambda: person.set_turns(title, plan.randrange(10))),
        (0.5, lambda: person.delete_conversation(title)),
    ]
    if person.world.talks[title].messages:
        acts += [
            (1, lambda: person.edit(title, f"Once more, what is said of {word}?")),
            (1, lambda: person.ask_again(title)),
        ]
    return acts
