from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import structlog

from services.audit import audit_log as module
from services.audit.audit_log import AuditLog
from services.audit.repeats import REPEAT_SECONDS
from services.audit.store import AuditFilters
from services.core.actor import SERVICE, Actor, Role
from services.core.auditing import Action, AuditOutcome, Origin, Target, TargetKind, Way, audited, coming_from
from services.core.database import Database
from services.core.errors import BadInputError, ForbiddenError, NotFoundError, StorageError
from services.core.preferences import Preferences
from tests.audit.manipulations import verified
from tests.databases import database_url
from tests.events import RecordingEventSink

ANNA = Actor("anna", Role.USER, person_id=7)
DAY = 24 * 3600.0
NAME = "zqauditname"


class Moment:
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Moment:
    return Moment()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(database_url(tmp_path), patience=0.1)
    database.create_tables()
    yield database
    database.close()


@pytest.fixture
def log(database: Database, tmp_path: Path, now: Moment) -> AuditLog:
    return AuditLog(database, tmp_path / "audit.key", now)


@contextmanager
def held(tmp_path: Path) -> Iterator[None]:
    """Another program holds the database, so that nobody else can write."""
    with closing(sqlite3.connect(tmp_path / "millpond.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def actions(log: AuditLog) -> list[str]:
    return [record.action for record in log.store.records()]


def test_a_record_says_who_from_where_what_on_what_and_how_it_ended(log: AuditLog) -> None:
    """A field that is lost on the way is missing when it is asked for, years later."""
    with coming_from(Origin(Way.TOKEN, "10.1.2.3", "request-1", token="nightly import")):
        log.record(ANNA, Action.DOCUMENT_UPLOADED, Target(TargetKind.DOCUMENT, 12, "plan.pdf"), detail="3 pages")
    (record,) = log.store.records()
    assert (record.actor, record.person, record.role) == ("anna", "7", "user")
    assert (record.way, record.token, record.address, record.request_id) == (
        "token",
        "nightly import",
        "10.1.2.3",
        "request-1",
    )
    assert (record.action, record.outcome, record.detail) == ("document_uploaded", "done", "3 pages")
    assert (record.target_kind, record.target_id, record.target_name) == ("document", "12", "plan.pdf")
    assert (record.seq, record.time) == (1, 1_700_000_000_000_000)


def test_a_record_is_committed_with_the_change_or_not_at_all(log: AuditLog, database: Database) -> None:
    """A deletion that was undone would stand there as done, or one that was done would be missing after a kill."""

    def undone() -> None:
        with database.write():
            log.record(ANNA, Action.DOCUMENT_DELETED)
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        undone()
    assert actions(log) == []

    def refused() -> None:
        with database.write():
            log.record(ANNA, Action.PERMISSION_REFUSED, outcome=AuditOutcome.REFUSED)
            raise ForbiddenError("no")

    with pytest.raises(ForbiddenError):
        refused()
    assert actions(log) == ["permission_refused"]
    with database.write():
        log.record(ANNA, Action.DOCUMENT_DELETED)
        log.record(ANNA, Action.COLLECTION_DELETED)
        assert len(actions(log)) == 1
    assert actions(log)[1:] == ["document_deleted", "collection_deleted"]
    log.record(ANNA, Action.SIGN_OUT)
    assert actions(log)[-1] == "sign_out"


def test_records_of_many_threads_are_one_chain(log: AuditLog, database: Database, tmp_path: Path) -> None:
    """Two that take the same number, or the same record before them, would break the chain for good."""
    stored = Preferences(database)

    def work(number: int) -> None:
        for step in range(10):
            if step % 2:
                log.record(ANNA, Action.SIGN_IN, detail=f"{number} {step}")
                continue
            with database.write():
                log.record(ANNA, Action.SETTINGS_CHANGED, detail=f"{number} {step}")
            stored.set(f"{number}", {"step": step})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    log.sign()
    found = verified(tmp_path)
    assert (found.problems, found.records, found.unsigned) == ((), 80, 0)


def test_a_log_that_is_written_meanwhile_is_whole(log: AuditLog, tmp_path: Path, now: Moment) -> None:
    """A verification beside a server at work must not take what comes and goes meanwhile for a forgery."""
    ending = threading.Event()
    log.record(ANNA, Action.SIGN_IN)
    log.sign()

    def write() -> None:
        for number in range(100_000):
            if ending.is_set():
                return
            now.seconds += DAY / 20
            log.record(ANNA, Action.DOCUMENT_UPLOADED, Target(TargetKind.DOCUMENT, number, f"{NAME} {number}"))
            if number % 5 == 0:
                log.sign()
            if number % 7 == 0:
                log.erase_names(TargetKind.DOCUMENT, [number - 3])
            if number % 60 == 0:
                log.remove_old(3)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        results = [verified(tmp_path) for _turn in range(5)]
        while not results[-1].removed and len(results) < 500:
            results.append(verified(tmp_path))
    finally:
        ending.set()
        thread.join()
    assert [found.problems for found in results if not found.whole] == []
    assert results[-1].removed > 0


def test_what_the_disk_refuses_is_written_later_and_said_at_once(log: AuditLog, tmp_path: Path) -> None:
    """An action whose record could not be written would have left no trace at all."""
    with held(tmp_path), structlog.testing.capture_logs() as lines:
        log.record(ANNA, Action.SIGN_IN)
        assert log.state().waiting == 1
    assert [line["log_level"] for line in lines] == ["error", "error"]
    assert any(line.get("action") == "sign_in" and line.get("actor") == "anna" for line in lines)
    log.record(ANNA, Action.SIGN_OUT)
    assert actions(log) == ["sign_in", "sign_out"]
    assert log.state().waiting == 0
    log.sign()
    assert verified(tmp_path).whole


def test_lost_records_are_counted(log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap that nothing tells of would look like a quiet night."""
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    with held(tmp_path):
        for number in range(5):
            log.record(ANNA, Action.SIGN_IN, detail=str(number))
    log.flush()
    found = list(log.store.records())
    assert [record.detail for record in found[:2]] == ["3", "4"]
    assert (found[2].action, found[2].target_id, found[2].outcome) == ("records_lost", "3", "failed")


def test_a_repeated_refusal_is_counted(log: AuditLog, now: Moment) -> None:
    """Somebody who tries a million tokens would fill the disk with records, and hide what else happened."""
    with coming_from(Origin(Way.API, "10.0.0.9")):
        for _turn in range(50):
            log.record(ANNA, Action.SIGN_IN_FAILED, outcome=AuditOutcome.REFUSED, detail="wrong token")
    assert len(actions(log)) == 1
    now.seconds += REPEAT_SECONDS
    log.flush()
    first, summary = log.store.records()
    assert (first.detail, summary.action, summary.address) == ("wrong token", "sign_in_failed", "10.0.0.9")
    assert "49 times" in summary.detail


def test_what_the_service_does_by_itself_is_no_record_unless_it_deletes(log: AuditLog) -> None:
    """Its timers would bury what people do; what it deletes is missed by somebody."""
    log.record(SERVICE, Action.BUDGET_ACTION)
    log.record(None, Action.MEMORY_RELEASED)
    log.record(SERVICE, Action.DOCUMENT_DELETED)
    assert actions(log) == ["document_deleted"]


def test_the_text_is_masked_before_it_is_stored(database: Database, tmp_path: Path, now: Moment) -> None:
    """A telephone number in the name of a file would stay in the log for a year."""
    log = AuditLog(database, tmp_path / "audit.key", now, mask=lambda text: text.replace("13812345678", "*"))
    log.record(ANNA, Action.EXPORT, Target(TargetKind.DOCUMENT, 1, "13812345678.pdf"), detail="for 13812345678")
    (record,) = log.store.records()
    assert (record.target_name, record.detail) == ("*.pdf", "for *")


def test_erased_names_leave_the_files_and_the_chain_holds(log: AuditLog, database: Database, tmp_path: Path) -> None:
    """The name of a deleted document stayed in the audit log, or its erasure looked like a forgery."""
    for number in range(6):
        log.record(ANNA, Action.DOCUMENT_UPLOADED, Target(TargetKind.DOCUMENT, number, f"{NAME}{number}x"))
    log.record(ANNA, Action.COLLECTION_CREATED, Target(TargetKind.COLLECTION, 2, f"{NAME}2x"))
    log.sign()
    assert log.erase_names(TargetKind.DOCUMENT, [1, 2, 3, 99]) == 3
    assert log.erase_names_of_missing(TargetKind.DOCUMENT, lambda _ids: {0, 4}) == 1
    assert log.erase_names(TargetKind.DOCUMENT, [1, 2, 3, 99]) == 0
    assert database.empty_log()
    content = (tmp_path / "millpond.db").read_bytes()
    kept = [number for number in range(6) if f"{NAME}{number}x".encode() in content]
    assert kept == [0, 2, 4]  # 2: the collection
    log.sign()
    assert verified(tmp_path).problems == ()
    assert actions(log)[-2:] == ["names_erased", "names_erased"]


def test_retention_keeps_the_chain(log: AuditLog, tmp_path: Path, now: Moment) -> None:
    """What is removed after a year would look like a forgery, or a forgery like what was removed."""
    for day in range(10):
        now.seconds += DAY
        log.record(ANNA, Action.SIGN_IN, detail=f"day {day}")
        log.sign()
    assert log.remove_old(30) == 0
    assert log.remove_old(5) == 4
    assert log.remove_old(5) == 0
    found = verified(tmp_path)
    assert (found.problems, found.removed, found.first, found.records) == ((), 4, 5, 7)
    last = list(log.store.records())[-1]
    assert (last.action, last.target_id, last.actor) == ("records_removed", "1-4", "millpond")
    log.sign()
    now.seconds += 30 * DAY
    assert log.remove_old(1) == 7
    log.record(ANNA, Action.SIGN_IN)
    log.sign()
    found = verified(tmp_path)
    assert (found.problems, found.removed, found.records) == ((), 11, 2)


def test_nothing_is_removed_beyond_the_last_signature(log: AuditLog, now: Moment) -> None:
    """A removal without a signed head before it could not be told from a forgery."""
    log.record(ANNA, Action.SIGN_IN)
    now.seconds += 10 * DAY
    assert log.remove_old(1) == 0
    assert actions(log) == ["sign_in"]


def test_the_private_key_is_for_nobody_else(log: AuditLog, tmp_path: Path) -> None:
    """Who can read it can forge the log; one that others can read is not used, and the records stay."""
    log.record(ANNA, Action.SIGN_IN)
    log.sign()
    key = tmp_path / "audit.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PUBLIC KEY" in (tmp_path / "audit.pub").read_bytes()
    key.chmod(0o644)
    again = AuditLog(log._database, key, Moment())
    again.record(ANNA, Action.SIGN_OUT)
    with pytest.raises(BadInputError, match="read by others"):
        again.sign()
    again.sign_in_time()
    assert actions(again) == ["sign_in", "sign_out"]
    key.chmod(0o600)
    assert again.sign() is not None
    assert verified(tmp_path).whole


def test_nothing_new_is_not_signed_again(log: AuditLog) -> None:
    """An idle night would write a head a minute."""
    assert log.sign() is None
    log.record(ANNA, Action.SIGN_IN)
    assert log.sign() is not None
    assert log.sign() is None
    assert len(list(log.store.heads())) == 1


def test_without_a_signature_no_cryptography_is_loaded(tmp_path: Path) -> None:
    """Its 9 MB would be part of every process, also of one in which nothing is audited."""
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from services.audit.audit_trail import Audit;"
        "from services.audit.audit_log import AuditLog; from services.core.database import Database;"
        f"d = Database('sqlite:///{tmp_path}/new.db'); d.create_tables();"
        f"AuditLog(d, Path('{tmp_path}/audit.key'), lambda: 1.0).close(); print('cryptography' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (StorageError("the disk is full"), "failed"),
        (ValueError("x"), "failed"),
        (NotFoundError("x"), ""),
    ],
)
def test_what_was_tried_is_recorded_with_its_end(log: AuditLog, error: Exception | None, outcome: str) -> None:
    """What failed half-way is what an auditor asks for; what was not begun is none."""

    class Sink(RecordingEventSink):
        audit = log.record

    def attempt() -> None:
        with audited(Sink(), ANNA, Action.MEMORY_RELEASED, Target(TargetKind.MEMORY, "caches")):
            if error is not None:
                raise error

    if error is None:
        attempt()
    else:
        with pytest.raises(type(error)):
            attempt()
    assert [record.outcome for record in log.store.records()] == ([outcome] if outcome else [])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (AuditFilters(), [5, 4, 3, 2, 1]),
        (AuditFilters(actor="ANN"), [5, 3, 1]),
        (AuditFilters(actions=("document_uploaded", "export")), [4, 3, 1]),
        (AuditFilters(target="document"), [3, 1]),
        (AuditFilters(target="document 12"), [1]),
        (AuditFilters(target="Plan_"), [3]),
        (AuditFilters(outcomes=("refused",)), [5]),
        (AuditFilters(since=1_700_000_001_000_000, until=1_700_000_003_000_000), [3, 2]),
        (AuditFilters(actor="nobody"), []),
    ],
)
def test_filters(log: AuditLog, now: Moment, filters: AuditFilters, expected: list[int]) -> None:
    """A filter that leaves something out which belongs there hides it from the auditor."""
    bob = Actor("bob", Role.ADMIN)
    made: list[Callable[[], None]] = [
        lambda: log.record(ANNA, Action.DOCUMENT_UPLOADED, Target(TargetKind.DOCUMENT, 12, "plan a.pdf")),
        lambda: log.record(bob, Action.SETTINGS_CHANGED, Target(TargetKind.SETTING, "retrieval")),
        lambda: log.record(ANNA, Action.DOCUMENT_UPLOADED, Target(TargetKind.DOCUMENT, 13, "PLAN_B.pdf")),
        lambda: log.record(bob, Action.EXPORT, Target(TargetKind.AUDIT)),
        lambda: log.record(ANNA, Action.PERMISSION_REFUSED, outcome=AuditOutcome.REFUSED, detail="Restart"),
    ]
    for record in made:
        record()
        now.seconds += 1
    assert [record.seq for record in log.store.page(filters, None, 10)] == expected
    assert log.store.count(filters) == len(expected)
    if expected:
        assert [record.seq for record in log.store.page(filters, expected[0], 10)] == expected[1:]
