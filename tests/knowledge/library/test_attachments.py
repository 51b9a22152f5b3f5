"""Attachments through the whole pipeline: documents of their own, once, as long as what brought them is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from email.message import EmailMessage
from pathlib import Path

from services.core.actor import SERVICE
from services.knowledge.embedding import Embedder
from services.knowledge.types import DocumentStatus
from tests.knowledge.formats.mails import attach, mail
from tests.knowledge.kill_target import open_harness
from tests.knowledge.library_harness import LibraryHarness, text_about
from tests.servers import ROOT, eventually

KILLS = int(os.environ.get("MILLPOND_TEST_KILLS", "12")) // 3
SEED = int(os.environ.get("MILLPOND_TEST_KILL_SEED", "0")) or random.SystemRandom().randrange(10**9)


def mail_with(*files: tuple[str, str], subject: str = "Offer") -> EmailMessage:
    message = mail(subject, f"Dear all, the files of the {subject} are attached.")
    for name, text in files:
        attach(message, name, text.encode(), "text/plain")
    return message


def names(harness: LibraryHarness) -> set[str]:
    return {document.name for document in harness.library.documents(SERVICE, limit=10_000)}


PRICES, TERMS = ("prices.txt", "An oven costs 900 euros."), ("terms.txt", "Returns are free for 30 days.")


def test_attachments_become_documents_in_the_same_collection(harness: LibraryHarness) -> None:
    """What a mail brings is not found, or only within the mail."""
    other = harness.library.create_collection(SERVICE, "Other").id
    harness.ready("Offer.eml", mail_with(PRICES, TERMS).as_bytes(), other)
    found = {d.name: d for d in harness.library.documents(SERVICE)}
    assert set(found) == {"Offer.eml", "Offer.eml › prices.txt", "Offer.eml › terms.txt"}
    assert {d.collection_id for d in found.values()} == {other}
    assert all(d.status is DocumentStatus.READY for d in found.values())
    original, _document = harness.library.reader.original(SERVICE, found["Offer.eml › prices.txt"].id)
    assert original.read_bytes() == b"An oven costs 900 euros."
    harness.check()


def test_the_same_mail_again_doubles_nothing(harness: LibraryHarness) -> None:
    """Under its name, another one, or with the same file in a second mail."""
    data = mail_with(PRICES).as_bytes()
    harness.ready("Offer.eml", data)
    assert harness.add("Offer.eml", data).duplicate
    assert harness.add("Copy.eml", data).duplicate
    harness.ready("Second.eml", mail_with(PRICES, subject="Second").as_bytes())
    assert names(harness) == {"Offer.eml", "Offer.eml › prices.txt", "Second.eml"}
    harness.check()


def test_attachments_go_with_the_last_mail_that_brought_them(harness: LibraryHarness) -> None:
    """Deleting a mail leaves its attachments behind, or takes those of another mail, or files added by themselves."""
    first = harness.ready("First.eml", mail_with(PRICES, TERMS, ("own.txt", text_about("rivers"))).as_bytes())
    second = harness.ready("Second.eml", mail_with(PRICES, subject="Second").as_bytes())
    assert harness.add("rivers.txt", text_about("rivers")).duplicate  # added for itself: it stays
    going = {document.name for document in harness.library.with_attachments(SERVICE, [first.id])}
    assert going == {"First.eml", "First.eml › terms.txt"}
    assert harness.library.delete(SERVICE, [first.id]).documents == 2
    assert names(harness) == {"First.eml › prices.txt", "First.eml › own.txt", "Second.eml"}
    harness.check()
    assert harness.library.delete(SERVICE, [second.id]).documents == 2
    assert names(harness) == {"First.eml › own.txt"}
    harness.check()


def test_an_attachment_that_was_there_before_stays(harness: LibraryHarness) -> None:
    """A document that equals an attachment is taken over by the mail, and deleted with it."""
    before = harness.ready("prices.txt", PRICES[1])
    offer = harness.ready("Offer.eml", mail_with(PRICES).as_bytes())
    assert names(harness) == {"prices.txt", "Offer.eml"}
    harness.library.delete(SERVICE, [offer.id])
    assert harness.library.document(SERVICE, before.id).status is DocumentStatus.READY
    harness.check()


def test_a_mail_in_a_mail_brings_its_own(harness: LibraryHarness) -> None:
    """Attachments of a forwarded mail are lost, or left behind when the outer one is deleted."""
    inner = mail_with(PRICES, subject="Inner")
    outer = mail("Fwd", "See the forwarded mail.")
    outer.add_attachment(inner)
    document = harness.ready("Fwd.eml", outer.as_bytes())
    assert names(harness) == {"Fwd.eml", "Fwd.eml › Inner.eml", "Fwd.eml › Inner.eml › prices.txt"}
    assert harness.library.delete(SERVICE, [document.id]).documents == 3
    assert names(harness) == set()
    harness.check()


def test_mails_nested_too_deep_are_noted(harness: LibraryHarness) -> None:
    """A mail that was made for it fills the library with copies of itself."""
    message = mail("Level 9", "The innermost one.")
    for level in range(8, -1, -1):
        outer = mail(f"Level {level}", f"This is level {level}.")
        outer.add_attachment(message)
        message = outer
    harness.ready("deep.eml", message.as_bytes())
    found = harness.library.documents(SERVICE, limit=100)
    assert len(found) == 6
    deepest = max(found, key=lambda document: len(document.name))
    assert [note.text for note in deepest.notes] == [
        "1 attachment was left out, more than one file may bring: Level 6.eml"
    ]


def test_a_new_version_replaces_what_the_old_one_brought(harness: LibraryHarness) -> None:
    """Files of an old version stay searchable, or are there twice."""
    harness.ready("Offer.eml", mail_with(PRICES, TERMS).as_bytes())
    harness.ready("Offer.eml", mail_with(("prices.txt", "An oven costs 950 euros."), subject="New offer").as_bytes())
    found = {d.name: d for d in harness.library.documents(SERVICE)}
    assert set(found) == {"Offer.eml", "Offer.eml › prices.txt"}
    assert found["Offer.eml › prices.txt"].version == 2
    assert harness.matching("950")
    assert not harness.matching("900")
    harness.check()


def test_a_new_chunk_size_does_not_bring_back_what_was_deleted(harness: LibraryHarness) -> None:
    """Re-chunking a mail takes its attachments in once more."""
    offer = harness.ready("Offer.eml", mail_with(PRICES, TERMS).as_bytes())
    prices = next(d for d in harness.library.documents(SERVICE) if d.name.endswith("prices.txt"))
    harness.library.delete(SERVICE, [prices.id])
    harness.library.jobs.rechunk(SERVICE, [offer.id], chunk_tokens=48, overlap=0)
    harness.idle()
    assert names(harness) == {"Offer.eml", "Offer.eml › terms.txt"}
    harness.check()


def test_attachments_move_with_their_mail_and_come_with_its_copy(harness: LibraryHarness) -> None:
    """In another collection the mail is there without what it brought."""
    data = mail_with(PRICES).as_bytes()
    offer = harness.ready("Offer.eml", data)
    other = harness.library.create_collection(SERVICE, "Other").id
    harness.library.move(SERVICE, [offer.id], other)
    assert {d.collection_id for d in harness.library.documents(SERVICE)} == {other}
    harness.ready("Offer.eml", data)
    assert len(harness.library.documents(SERVICE)) == 4
    harness.check()


def test_names_that_others_have_or_nobody_can_have(harness: LibraryHarness) -> None:
    """An attachment replaces a document of its name, leaves the folder, or is lost for its name."""
    taken = harness.ready("Offer.eml › prices.txt", "This was here before.")
    message = mail_with(
        PRICES,
        ("prices.txt", "Another list of the same name."),
        ("../../etc/passwd", "A name with folders."),
        ("a\x07\u202etxt.exe\n.txt", "A name with control characters."),
        ("x" * 300 + ".txt", "A name that is too long."),
    )
    attach(message, None, b"A file without a name.", "text/plain")
    harness.ready("Offer.eml", message.as_bytes())
    found = names(harness)
    assert harness.library.document(SERVICE, taken.id).version == 1
    assert {"Offer.eml › prices (2).txt", "Offer.eml › prices (3).txt", "Offer.eml › passwd"} <= found
    assert "Offer.eml › attachment.txt" in found
    assert sum(name.startswith("Offer.eml › xxx") and name.endswith("x.txt") for name in found) == 1
    assert len(found) == 8
    assert all(len(name) <= 255 and name.isprintable() for name in found)
    harness.check()


def test_a_cancelled_or_refused_mail_leaves_no_files(harness: LibraryHarness) -> None:
    """Files that were received for a mail that failed afterwards stay on the disk for good."""
    message = mail_with(PRICES)
    attach(message, "smime.p7s", b"x", "application/pkcs7-signature")
    outer = EmailMessage()
    outer["From"], outer["To"], outer["Subject"] = "a@example.org", "b@example.org", "Secret"
    outer.make_mixed()
    outer.attach(next(message.iter_attachments()))
    sealed = EmailMessage()
    sealed["Content-Type"] = 'multipart/encrypted; boundary="y"'
    outer.attach(sealed)
    assert harness.ready("Secret.eml", outer.as_bytes()).status is DocumentStatus.FAILED
    assert names(harness) == {"Secret.eml"}
    assert harness.stored_files() == set()


def test_a_thousand_attachments(tmp_path: Path) -> None:
    """A mail with a thousand files fails, blocks the queue, or loses some."""
    with open_harness(tmp_path / "data") as harness:
        text = mail_with(*((f"file {n}.txt", f"Text number {n}.") for n in range(1002))).as_bytes()
        offer = harness.add("Many.eml", text).document.id
        eventually(lambda: harness.library.document(SERVICE, offer).status is DocumentStatus.READY, what="the mail")
        assert harness.library.counts(SERVICE).documents == 1001
        assert [note.text for note in harness.library.document(SERVICE, offer).notes] == [
            "2 attachments were left out, more than one file may bring: file 1000.txt, file 1001.txt"
        ]
        eventually(lambda: harness.library.counts(SERVICE).searchable > 40, what="the first attachments")
        assert harness.library.delete(SERVICE, [offer]).documents == 1001
        harness.idle()
        assert harness.library.counts(SERVICE).documents == 0
        harness.check()


def test_kills_neither_lose_nor_double_attachments(tmp_path: Path) -> None:
    """A process that is killed while mails come in leaves files without a document, or takes some in twice."""
    print(f"MILLPOND_TEST_KILL_SEED={SEED}")
    plan = random.Random(SEED)
    folder = tmp_path / "data"
    with open_harness(folder) as harness:
        pass
    mails = {
        f"mail {n}.eml": mail_with(*((f"f{k}.txt", text_about(f"s{n}x{k}", 4)) for k in range(12)), subject=f"s{n}")
        for n in range(4)
    }
    for name, message in mails.items():
        (tmp_path / name).write_bytes(message.as_bytes())
    for _ in range(KILLS):
        code = "import sys; from tests.knowledge.library.test_attachments import take_in; take_in(*sys.argv[1:])"
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(tmp_path)], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        timer = threading.Timer(plan.uniform(0.8, 2.0), process.kill)
        timer.start()
        assert process.wait() in {0, -signal.SIGKILL}
        timer.cancel()
    take_in(str(folder), str(tmp_path))
    with open_harness(folder) as harness:
        harness.idle()
        expected = set(mails) | {f"{name} › f{k}.txt" for name in mails for k in range(12)}
        assert sorted(document.name for document in harness.library.documents(SERVICE, limit=1000)) == sorted(expected)
        assert all(
            document.status is DocumentStatus.READY for document in harness.library.documents(SERVICE, limit=1000)
        )
        harness.check()


def take_in(folder: str, mails: str) -> None:
    """Take in every mail of a folder and wait until all is through; run in a process that is killed meanwhile."""
    with open_harness(Path(folder)) as harness:
        for path in sorted(Path(mails).glob("*.eml")):
            harness.add(path.name, path.read_bytes())
        harness.idle()


def test_released_data_gets_attachments(tmp_path: Path, embedder: Embedder) -> None:
    """A data folder without the table of attachments takes in a mail."""
    with LibraryHarness(tmp_path / "data", embedder) as harness:
        with harness.database.write() as connection:
            connection.exec_driver_sql("DROP TABLE attachments")
            connection.exec_driver_sql("ALTER TABLE documents DROP COLUMN attached")
        harness.database.create_tables()
        harness.ready("Offer.eml", mail_with(PRICES).as_bytes())
        assert names(harness) == {"Offer.eml", "Offer.eml › prices.txt"}
        harness.check()
