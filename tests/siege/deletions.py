"""Unique words in every place that a text can go to, and where they are found afterwards: files, memory, vectors.

Shared by `siege_deletions.py` and its short form in `tests/app/test_deletions.py`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import re
import sqlite3
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import numpy as np

from tests.servers import Server, eventually

GONE_SECONDS = 10.0
BYSTANDER = "more "  # the names of documents that are not deleted begin so
_LETTERS = "bcdfghjklmnpqrstvwxz"
_BLOCK = 1 << 20


@dataclass
class Planted:
    """Words by place, the ids of what holds them, and the chunks of the documents."""

    words: dict[str, str] = field(default_factory=dict)
    documents: list[int] = field(default_factory=list)
    collections: list[int] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)
    chunks: set[int] = field(default_factory=set)

    def word(self, place: str) -> str:
        """Return a new word for a place; nothing else contains its end."""
        self.words[place] = "zqy" + "".join(random.SystemRandom().choices(_LETTERS, k=12))
        return self.words[place]


def plant(server: Server) -> Planted:
    """Hand in documents with words in all places, ask about them, and wait until everything is ready."""
    planted = Planted()
    word = planted.word
    text = (
        f"# The {word('heading')} procedure\n\n"
        f"The {word('body')} valve opens at 4 bar when the pump of the {word('question')} line is started.\n\n"
        f"| part | code |\n| --- | --- |\n| seal | {word('table')} |\n"
    )
    planted.documents.append(server.add(f"{word('file name')}.md", text.encode()))
    planted.documents.append(server.add("mail.eml", _mail(planted)))
    planted.documents.append(server.add(f"{word('failed name')}.pdf", f"%PDF-1.7 {word('failed body')}".encode()))
    name = f"{word('replaced name')}.txt"
    server.wait_finished(server.add(name, f"The {word('replaced body')} is red.".encode()))
    planted.documents.append(server.add(name, b"It is green now."))
    made = server.client.post("/api/collections", json={"name": word("collection name")}).raise_for_status().json()
    planted.collections.append(int(made["id"]))
    server.add("in it.txt", f"The {word('body in a collection')} is kept.".encode(), collection=str(made["id"]))
    imported = {
        "name": f"{word('imported name')}.txt",
        "chunks": [{"text": f"An {word('imported body')}", "metadata": {"source": word("metadata")}}],
    }
    planted.documents.append(server.client.post("/api/imports", json=imported).raise_for_status().json()["id"])
    eventually(lambda: not _unfinished(server), seconds=180, what="the end of ingestion")
    for document in server.client.get("/api/documents", params={"limit": 1000}).json()["documents"]:
        if document["name"].startswith(BYSTANDER):
            continue
        found = server.client.get(f"/api/documents/{document['id']}/chunks").raise_for_status().json()["chunks"]
        planted.chunks.update(chunk["id"] for chunk in found)
    _talk(server, planted)
    return planted


def _unfinished(server: Server) -> list[Any]:
    jobs: list[Any] = server.client.get("/api/jobs", params={"unfinished": "true"}).raise_for_status().json()["jobs"]
    return jobs


def _mail(planted: Planted) -> bytes:
    mail = EmailMessage()
    mail["Subject"] = f"About the {planted.word('mail subject')}"
    mail["From"] = f"{planted.word('mail sender')} <a@example.com>"
    mail["To"] = "b@example.com"
    mail.set_content(f"The {planted.word('mail body')} is attached.")
    mail.add_attachment(
        f"Of the {planted.word('attachment')}".encode(),
        maintype="text",
        subtype="plain",
        filename=f"{planted.word('attachment name')}.txt",
    )
    return mail.as_bytes()


def _talk(server: Server, planted: Planted) -> None:
    title = {"title": planted.word("title")}
    conversation = server.client.post("/api/conversations", json=title).raise_for_status().json()["id"]
    planted.conversations.append(conversation)
    question = f"When does the {planted.words['body']} valve open? {planted.word('typed')}"
    answer = _ask(server, conversation, question)
    assert planted.words["body"] in json.dumps(answer), "the answer quotes nothing: this attack shows little"
    server.client.post("/api/search", json={"query": planted.words["table"]}).raise_for_status()


def _ask(server: Server, conversation: str, question: str) -> dict[str, Any]:
    address = f"/api/conversations/{conversation}/questions"
    found: dict[str, Any] = server.client.post(address, json={"question": question, "stream": False}).json()
    return found


def delete_everything(server: Server, planted: Planted) -> None:
    """Delete all that was planted, with the answers that quote it."""
    erase = {"erase_quotes": "true"}
    for conversation in planted.conversations:
        assert server.client.delete(f"/api/conversations/{conversation}").status_code == 204
    for document in planted.documents:
        answer = server.client.delete(f"/api/documents/{document}", params=erase)
        assert answer.status_code == 204, answer.text
    for collection in planted.collections:
        answer = server.client.delete(f"/api/collections/{collection}", params=erase)
        assert answer.status_code == 204, answer.text


def left_after(
    server: Server, planted: Planted, folders: Iterable[Path], seconds: float = GONE_SECONDS
) -> tuple[dict[str, list[str]], float]:
    """Return where words are left by place once none is, or after so many seconds; and how long that took."""
    folders = list(folders)
    began = time.monotonic()
    while True:
        found = words_in_files(folders, planted.words)
        vectors = vectors_in_snapshots(server.data_dir, planted.chunks)
        if vectors:
            found["vectors"] = [f"{vectors} in snapshots"]
        took = time.monotonic() - began
        if not found or took > seconds:
            return found, took
        time.sleep(0.2)


def words_in_files(folders: Iterable[Path], words: dict[str, str]) -> dict[str, list[str]]:
    """Return the files that have a word, by place: as it is, in UTF-16 or in base64, also in compressed members."""
    forms = {place: list(_forms(word)) for place, word in words.items()}
    anything = re.compile(b"|".join(re.escape(form) for some in forms.values() for form in some))
    found: dict[str, list[str]] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        for place in words:
            if any(form in str(path).encode() for form in forms[place]):
                found.setdefault(place, []).append(f"name of {path.name}")
        with contextlib.suppress(OSError):
            if not path.is_file():
                continue
            for content in _contents(path):
                if anything.search(content):
                    for place, some in forms.items():
                        if any(form in content for form in some):
                            found.setdefault(place, []).append(path.name)
    return found


def _forms(word: str) -> Iterator[bytes]:
    end = word[3:]  # the lexical index leaves out what a word shares with the one before
    yield end.encode()
    yield end.encode("utf-16-le")
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + word.encode())[4:-4]


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content.startswith(b"PK"):
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def vectors_in_snapshots(data_dir: Path, chunks: set[int]) -> int:
    """Return how many of the chunks' vectors are in any snapshot of the index."""
    found = 0
    for path in (data_dir / "index").rglob("ids.npy"):
        with contextlib.suppress(OSError, ValueError):  # it is being removed
            found += len(chunks.intersection(np.load(path).tolist()))
    return found


def words_in_memory(process: int, words: dict[str, str]) -> list[str]:
    """Return the places whose words are still in the memory of a process."""
    forms = {place: word[3:].encode() for place, word in words.items()}
    anything = re.compile(b"|".join(map(re.escape, forms.values())))
    found: set[bytes] = set()
    with Path(f"/proc/{process}/maps").open() as maps, Path(f"/proc/{process}/mem").open("rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or "w" not in rights:
                continue
            start, end = (int(bound, 16) for bound in span.split("-"))
            for at in range(start, end, _BLOCK):
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(at)
                    found.update(anything.findall(memory.read(min(_BLOCK + 16, end - at))))
    return [place for place, form in forms.items() if form in found]


@contextlib.contextmanager
def reader(data_dir: Path) -> Iterator[None]:
    """Be another program that reads the database in one long transaction."""
    with contextlib.closing(sqlite3.connect(data_dir / "millpond.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM chunks").fetchone()
        yield
        other.execute("COMMIT")
