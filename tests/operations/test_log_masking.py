from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.core.database import Database
from services.core.events import EventKind
from services.operations.alerts import Alert, AlertKind
from services.operations.event_log import EventLog
from services.operations.metrics import Family, Metrics, MetricValue
from services.operations.webhook import Webhook
from tests.databases import database_url
from tests.operations.listener import Listener
from tests.operations.test_logging import entries_of, lines_of
from tests.servers import eventually

PHONE, ID_NUMBER, CARD, MAIL = "13812345678", "11010519491231002X", "4111111111111111", "li.wei@example.com"
SAYS = f"""
class T:
    __repr__ = lambda self: 'T {MAIL}'
log.info('upload of 简历{PHONE}.pdf', name='李伟 {ID_NUMBER}', sizes=[1, 'card {CARD}'],
         inner={{'{MAIL}': ('x', None)}}, token='abcdefgh', phone={PHONE}, bytes=15032385536, ms=1.5, item=T())
logging.getLogger('library').warning('sent to %s by %s', '{MAIL}', '+44 20 7946 0958')
try:
    raise ValueError('no route to {PHONE}, password=hunter22')
except ValueError:
    log.exception('defect')
warnings.warn('key sk-abcdefghijklmnop1234')
"""
PERSONAL = (PHONE, ID_NUMBER, CARD, MAIL, "7946 0958", "hunter22", "abcdefgh")


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_line_of_the_log_has_personal_data_or_secrets(style: str) -> None:
    """Fields, positional arguments, keys, objects, exceptions' texts or warnings carry a number into the log."""
    text = "\n".join(lines_of(SAYS, style=style))
    for each in PERSONAL:
        assert each not in text
    for mask in ("[phone …5678]", "[ID]", "[card …1111]", "[email]", "[phone …0958]", "[secret]"):
        assert mask in text
    assert "15032385536" in text  # a figure, not a number of a person


def test_masked_lines_are_whole() -> None:
    """Masking breaks the JSON of a line, or what is not personal in it."""
    first, library, defect, _warning = entries_of(SAYS)
    assert first["event"] == "upload of 简历[phone …5678].pdf"
    assert first["sizes"] == [1, "card [card …1111]"]
    assert first["inner"] == {"[email]": ["x", None]}
    assert (first["bytes"], first["ms"], first["item"]) == (15032385536, 1.5, "T [email]")
    assert (first["token"], first["phone"]) == ("[secret]", "[phone …5678]")
    assert library["event"] == "sent to [email] by [phone …0958]"
    assert "ValueError: no route to [phone …5678], password=[secret]" in defect["exception"]


def test_a_token_is_not_cut_before_it_is_masked() -> None:
    """A long value is shortened in the middle of a token, of which both halves are then shown."""
    (line,) = lines_of("log.info('x', value='a ' * 995 + 'ghp_' + 'Ab1' * 12 + ' b' * 3000)")
    assert "Ab1Ab1" not in line
    assert json.loads(line)["value"].startswith("a a ")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(database_url(tmp_path), patience=0.2)
    database.create_tables()
    yield database
    database.close()


def test_events_are_masked_on_disk_and_as_they_are_read(database: Database, tmp_path: Path) -> None:
    """The time line, which every operator reads, shows what a file's name tells of a person."""
    events = EventLog(time.time, database)
    events.record(EventKind.UPLOAD, f"合同{PHONE}.pdf", {"bytes": 5})
    events.record(EventKind.UPLOAD, "年度报告 2024.pdf", {"bytes": 5}, actor=MAIL)
    assert [event.detail for event in events.between(0, time.time() + 1)] == [
        "合同[phone …5678].pdf",
        "年度报告 2024.pdf",
    ]
    events.flush()
    with closing(sqlite3.connect(tmp_path / "millpond.db")) as file:
        stored = str(file.execute("SELECT detail, actor FROM events").fetchall())
        assert PHONE not in stored
        assert MAIL not in stored
        # As a version wrote it that did not mask yet.
        file.execute("UPDATE events SET detail = ? WHERE id = 1", (f"合同{PHONE}.pdf",))
        file.commit()
    assert events.between(0, time.time() + 1)[0].detail == "合同[phone …5678].pdf"


def test_a_masked_name_is_forgotten_with_its_document(database: Database) -> None:
    """A document is deleted, and its name stays in the events because it is written differently there."""
    events = EventLog(time.time, database)
    events.record(EventKind.UPLOAD, f"合同{PHONE}.pdf", {"bytes": 5})
    events.record(EventKind.UPLOAD, f"合同{MAIL}.pdf", {"bytes": 5})
    events.flush()
    assert events.forget_others(lambda: [f"合同{MAIL}.pdf"]) == 1
    assert [event.detail for event in events.between(0, time.time() + 1)] == [
        "a document that was deleted",
        "合同[email].pdf",
    ]
    events.forget([f"合同{MAIL}.pdf"])
    assert {event.detail for event in events.between(0, time.time() + 1)} == {"a document that was deleted"}


def test_alerts_are_masked() -> None:
    """A chat server, which others read, is sent what a reason or a name tells of a person."""
    listener = Listener()
    webhook = Webhook(listener.url, "", instance="mill:8501", now=time.time, gather=0.0)
    webhook.start()
    try:
        webhook.send(Alert(AlertKind.RESTART, f"Restart asked for by {MAIL}, call {PHONE}", 1000.0))
        eventually(lambda: webhook.state().delivered == 1, what="the delivery")
    finally:
        webhook.close()
        listener.close()
    (body,) = listener.bodies()
    assert body["text"] == body["alerts"][0]["text"] == "Restart asked for by [email], call [phone …5678]"


def test_labels_of_metrics_are_masked() -> None:
    """A scrape, which is kept for months, has a number in a label."""
    metrics = Metrics()
    family = Family("millpond_tried", "Help.", ("name",))
    metrics.add_part("tried", [family], lambda: [MetricValue(family, 1.0, (f"model of {MAIL}",))])
    text = metrics.render()[0].decode()
    assert 'millpond_tried{name="model of [email]"} 1.0' in text
    assert MAIL not in text
