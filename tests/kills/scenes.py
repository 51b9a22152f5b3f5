"""How a server is brought to each point: what is prepared, and what a person does there."""

from __future__ import annotations

import itertools
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.core.schema_version import HEAD, REVISIONS
from tests.kills.audit import SEARCHES, audit
from tests.kills.life import Life, Starter, start_process
from tests.kills.person import KilledError, Person, code_word
from tests.kills.world import Talk, World, some_answer
from tests.servers import eventually

REACH_SECONDS = 60.0
Arm = Callable[[], None]
_numbers = itertools.count()


@dataclass(frozen=True)
class Scene:
    """A point's scene: `play` prepares, arms the point and acts. `siege`: it is left to the long run."""

    point: str
    play: Callable[[Person, Arm], None]
    siege: bool = False


def settle_in(person: Person) -> None:
    """Make what the scenes work with: two collections with documents, a mail, a conversation."""
    a, b = shelves(person)
    for shelf in (a, b):
        person.create_collection(shelf)
    person.upload(a, [(f"{name}.txt", new_word(), 2) for name in ("one", "two", "three")])
    person.upload_mail(a, "offer.eml", new_word(), [new_word(), new_word()])
    person.create_conversation(talk(person))
    person.ask(talk(person), f"What is said of {next(iter(person.words.values()))}?")


def shelves(person: Person) -> tuple[str, str]:
    return f"{person.name} a", f"{person.name} b"


def talk(person: Person) -> str:
    return f"{person.name} talk"


def new_word() -> str:
    return code_word(secrets.token_hex(8))


def new_name(ending: str = "txt") -> str:
    return f"file {next(_numbers)}.{ending}"


def _upload(paragraphs: int = 2, count: int = 1) -> Callable[[Person, Arm], None]:
    def play(person: Person, arm: Arm) -> None:
        arm()
        person.upload(shelves(person)[0], [(new_name(), new_word(), paragraphs) for _number in range(count)])

    return play


def _upload_large(person: Person, arm: Arm) -> None:
    """Upload a file that counts as large here: its chunks get ready in portions."""
    person.life.order(do="portions", large=8, portion=4)
    arm()
    person.upload(shelves(person)[0], [(new_name(), new_word(), 80)])


def _replace(person: Person, arm: Arm) -> None:
    arm()
    person.upload(shelves(person)[0], [("one.txt", new_word(), 3)])


def _mail(person: Person, arm: Arm) -> None:
    arm()
    person.upload_mail(shelves(person)[0], new_name("eml"), new_word(), [new_word(), new_word()])


def _snapshot(before: int) -> Callable[[Person, Arm], None]:
    def play(person: Person, arm: Arm) -> None:
        for _number in range(before):
            person.life.order(do="snapshot")
        arm()
        try:
            person.life.order(do="snapshot")
        except OSError as error:
            raise KilledError from error

    return play


def _delete(person: Person, arm: Arm) -> None:
    shelf = shelves(person)[0]
    name = new_name("eml")
    person.upload_mail(shelf, name, new_word(), [new_word()])
    person.life.wait_idle()
    arm()
    person.delete(shelf, name)


def _delete_collection(person: Person, arm: Arm) -> None:
    shelf = f"{person.name} {new_word()}"
    person.create_collection(shelf)
    person.upload(shelf, [(new_name(), new_word(), 1) for _number in range(3)])
    person.life.wait_idle()
    arm()
    person.delete_collection(shelf)


def _move(person: Person, arm: Arm) -> None:
    a, b = shelves(person)
    name = new_name()
    person.upload(a, [(name, new_word(), 1)])
    person.life.wait_idle()
    arm()
    person.move(a, name, b)


def _import(person: Person, arm: Arm) -> None:
    arm()
    person.import_document(shelves(person)[1], new_name(), new_word())


def _ask(person: Person, arm: Arm) -> None:
    arm()
    person.ask(talk(person), f"What is said of {next(iter(person.words.values()))}?")


def _ask_first(person: Person, arm: Arm) -> None:
    """Ask in a conversation without a title: it is named after the question."""
    made = person.life.client.post("/api/conversations", json={"history_turns": 3}).raise_for_status().json()["id"]
    question = f"{person.name} asks: {new_word()}?"

    def asked(world: World) -> None:
        world.talks[question] = Talk(3, [("user", question)])

    def answered(world: World) -> None:
        world.talks[question].messages.append(some_answer())

    arm()
    with person.ledger.act(asked, answered):
        person.stream(made, question)


def _edit(person: Person, arm: Arm) -> None:
    arm()
    person.edit(talk(person), f"Once more, what is said of {next(iter(person.words.values()))}?")


def _edit_first(person: Person, arm: Arm) -> None:
    """Edit the question that a conversation is named after: it gets the new name in the same step."""
    made = person.life.client.post("/api/conversations", json={"history_turns": 3}).raise_for_status().json()["id"]
    old, new = f"{person.name} asks: {new_word()}?", f"{person.name} asks: {new_word()}?"
    with person.ledger.act(lambda world: world.talks.update({old: Talk(3, [("user", old), some_answer()])})):
        person.stream(made, old)

    def edited(world: World) -> None:
        del world.talks[old]
        world.talks[new] = Talk(3, [("user", new)])

    def answered(world: World) -> None:
        world.talks[new].messages.append(some_answer())

    arm()
    with person.ledger.act(edited, answered):
        person.order(do="edit", conversation=made, question=new)


def _again(person: Person, arm: Arm) -> None:
    _ask(person, lambda: None)  # the last answer may be one that a kill has cut off
    arm()
    person.ask_again(talk(person))


def _settings(person: Person, arm: Arm) -> None:
    arm()
    person.set_retrieval(3 + next(_numbers) % 50)


def _order(what: str) -> Callable[[Person, Arm], None]:
    def play(person: Person, arm: Arm) -> None:
        person.set_retrieval(3 + next(_numbers) % 50)  # something to record
        arm()
        try:
            person.life.order(do=what)
        except OSError as error:
            raise KilledError from error

    return play


def _post(*paths: str) -> Callable[[Person, Arm], None]:
    def play(person: Person, arm: Arm) -> None:
        *before, last = paths
        for path in before:
            person.life.client.post(path, json={}).raise_for_status()
        arm()
        with suppress(httpx.TransportError):
            person.life.client.post(last, json={}).raise_for_status()

    return play


SCENES = (
    Scene("upload: half of the body received", _upload(14_000)),
    Scene("upload: file on disk, no row", _upload()),
    Scene("upload: row in the transaction", _upload(), siege=True),
    Scene("upload: committed, answer not sent", _upload()),
    Scene("upload of many: the third of five", _upload(1, 5), siege=True),
    Scene("parse: worker started", _upload(), siege=True),
    Scene("parse: result half received", _upload()),
    Scene("embed: between batches", _upload(30)),
    Scene("store: in the transaction", _upload()),
    Scene("store: committed, index not told", _upload()),
    Scene("store of a large file: portion in the transaction", _upload_large, siege=True),
    Scene("store of a large file: some portions committed", _upload_large),
    Scene("replacement: old chunks dropped", _replace),
    Scene("replacement: committed, old original there", _replace, siege=True),
    Scene("mail: attachments on disk, no rows", _mail, siege=True),
    Scene("mail: attachments in the transaction", _mail),
    Scene("index snapshot: written, not renamed", _snapshot(0)),
    Scene("index snapshot: renamed", _snapshot(0), siege=True),
    Scene("index snapshot: an old one set aside", _snapshot(2)),
    Scene("delete: in the transaction", _delete),
    Scene("delete: committed, original there", _delete),
    Scene("delete of a collection: documents gone, itself not", _delete_collection),
    Scene("delete of a collection: one transaction of several", _delete_collection, siege=True),
    Scene("move: in the transaction", _move),
    Scene("import: in the transaction", _import, siege=True),
    Scene("question: in the transaction", _ask_first),
    Scene("question: just committed", _ask_first),
    Scene("answer: half streamed", _ask),
    Scene("answer: stored, end not sent", _ask),
    Scene("edited question: old turn deleted", _edit, siege=True),
    Scene("edited question: just committed", _edit_first),
    Scene("answer again: old answer deleted", _again, siege=True),
    Scene("settings: written, answer not sent", _settings),
    Scene("memory history: in the transaction", _order("flush history")),
    Scene("census: a copy of the process at work", _post("/api/objects/census"), siege=True),
    Scene("snapshot of allocations: written, not described", _post("/api/tracing/start", "/api/tracing/snapshots")),
    Scene("checkpoint: pages copied, checksums not", _order("empty log")),
    Scene("checkpoint: half of the checksums written", _order("empty log"), siege=True),
    Scene("checkpoint: checksums written, log not emptied", _order("empty log")),
    Scene("events: being written", _order("flush events")),
)


def play(scene: Scene, person: Person) -> None:
    """Play a scene; the server is killed, at once or soon after."""
    with suppress(KilledError):
        scene.play(person, lambda: person.life.order(do="arm", point=scene.point))


@dataclass(frozen=True)
class Start:
    """A start that is killed at a point: what is done to the database before it, and to the folder."""

    point: str
    statements: tuple[str, ...] = ()
    prepare: Callable[[Path], None] = lambda _folder: None
    siege: bool = False


def _no_snapshots(folder: Path) -> None:
    """Leave no index snapshot: the index is made from the database."""
    shutil.rmtree(folder / "index")


def _leftovers(folder: Path) -> None:
    """Leave originals without a row, and half of a snapshot, as kills do."""
    for _number in range(2):
        name = secrets.token_hex(16)
        (folder / "files" / name[:2]).mkdir(exist_ok=True)
        (folder / "files" / name[:2] / name).write_bytes(b"half of a file")
    (folder / "index" / ".passing-new").mkdir()
    (folder / "index" / ".passing-new" / "ids.npy").write_bytes(b"half")


# What undoes the newest migration: the folder is one of the version before.
_UNDONE = {
    "0010_rolling_upgrade": (
        "DROP TABLE schema_compatibility",
        "DROP TABLE second_factor_setups",
        "DROP TABLE sign_in_failures",
        "ALTER TABLE nodes DROP COLUMN schema_revision",
    ),
}

STARTS = (
    Start(
        "start: schema half migrated",
        (
            *_UNDONE[HEAD],
            f"DELETE FROM schema_history WHERE revision = '{HEAD}'",
            f"UPDATE alembic_version SET version_num = '{REVISIONS[-2]}'",
        ),
    ),
    Start(
        "start: checksums being made",
        prepare=lambda folder: (folder / "millpond.db-sums").unlink(missing_ok=True),
        siege=True,
    ),
    Start("start: half of the terms made anew", ("UPDATE counters SET value = 0 WHERE name = 'terms_version'",)),
    Start("start: index loaded", prepare=_no_snapshots),
    Start("start: queue recovered, files not", prepare=_leftovers, siege=True),
    Start("start: removing leftovers", prepare=_leftovers),
)


@dataclass
class Chain:
    """Scenes in one folder, one after the other: the start that shows how one kill was got over plays the next."""

    folder: Path
    start: Starter = start_process
    searches: int = SEARCHES
    person: Person = field(default_factory=lambda: Person("anna"))
    kills: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, scenes: Sequence[Scene], starts: Sequence[Start] = ()) -> None:
        """Play all of them."""
        self.person.sets_retrieval = True
        for scene in scenes:
            with self._served() as life:
                play(scene, self.person)
                self._reached(life, scene.point)
            self.kills += 1
            self._before = scene.point
        for each in starts:
            with self._served() as life:
                if each.statements:
                    life.order(do="sql", statements=each.statements)
                life.kill()
            each.prepare(self.folder)
            with closing(Life(self.folder, point=each.point, start=self.start)) as life:
                self._reached(life, each.point)
            self.kills += 2
            self._before = each.point
        with self._served() as life:
            life.stop()

    _before: str = "nothing"

    def _reached(self, life: Life, point: str) -> None:
        """Wait for the kill at a point; what was not reached is wrong, and the server is killed all the same."""
        try:
            eventually(lambda: not life.running(), seconds=REACH_SECONDS, what=point)
        except AssertionError:
            self.wrong.append(f"not reached: {point}")
            life.signal_kill()
        life.wait_killed()

    @contextmanager
    def _served(self) -> Iterator[Life]:
        """Start the server, look at what is there, and have the person settled in."""
        with closing(Life(self.folder, start=self.start)) as life:
            life.wait_ready()
            self.wrong += [f"after “{self._before}”: {each}" for each in audit(life, [self.person], self.searches)]
            if not self.person.words:
                settle_in(self.person)
                life.wait_idle()
            yield life


def killed_first_start(folder: Path, start: Starter = start_process) -> list[str]:
    """Kill the very first start of a folder while it makes its tables; return what is wrong after the next one."""
    with closing(Life(folder, point="start: tables half made", start=start)) as life:
        life.wait_killed()
    with closing(Life(folder, start=start)) as life:
        life.wait_ready()
        wrong = audit(life, [])
        life.stop()
    return [f"after “start: tables half made”: {each}" for each in wrong]
