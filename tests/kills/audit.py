"""What is looked at after a start: through the API, through the process, and in the data folder itself."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

import services.chat.store
import services.knowledge.store
import services.operations.event_log  # noqa: F401 - the tables must be known
from services.core.database import metadata
from tests.kills.life import Life
from tests.kills.person import Person
from tests.kills.world import Shelf, Talk, World

SEARCHES = 12  # of each kind in one audit, for the newest contents; all would take most of the time
_KILLED_JOB = "was killed"
# Everything that may lie in a data folder while nothing is being written.
_ALLOWED = re.compile(
    r"millpond\.db(-wal|-shm|-sums|\.before-\w+)?|millpond\.lock|local\.token|audit\.(key|pub|head)"
    r"|files/[a-z2-7]{2}/[a-z2-7]{52}-[0-9a-f]{8}"
    r"|index/\d{10}/(manifest\.json|(codec|ids|groups|codes)\.npy)"
    r"|memory/[a-z-]+\.db(-wal|-shm|-sums)?|memory/allocations/[0-9a-f]{16}\.(npz|json)"
)


def audit(life: Life, people: Sequence[Person], searches: int = SEARCHES) -> list[str]:
    """Wait until nothing is queued, and return what is wrong; what was found is what people go on from."""
    wrong = _wait_idle(life)
    client = life.client
    documents = client.get("/api/documents", params={"limit": 1000}).raise_for_status().json()["documents"]
    for document in documents:
        if document["status"] != "ready":
            wrong.append(f"stuck: {document['name']} is {document['status']}: {document['error']}")
    wrong += [f"differs: {each}" for each in life.order(do="compare")]
    assert life.order(do="snapshot") is True
    life.order(do="flush events")
    wrong += in_folder(life.folder)
    for person in people:
        reason = person.ledger.settle(_world(life, person, documents))
        if reason:
            wrong.append(f"{person.name}: {reason}")
        wrong += _searches(life, person, documents, searches)
        person.go_to(life)
    wrong += _originals(life, documents)
    return wrong


def _wait_idle(life: Life) -> list[str]:
    """Wait for the queue; a job that was given up for too many kills is tried again, as its hint says."""
    for _attempt in range(3):
        try:
            life.wait_idle()
        except AssertionError:
            jobs = life.client.get("/api/jobs", params={"unfinished": True}).json()
            return [f"stuck: {json.dumps(jobs)[:1000]}"]
        given_up = [
            each["id"]
            for each in life.client.get("/api/jobs", params={"limit": 1000}).json()["jobs"]
            if each["status"] == "failed" and _KILLED_JOB in each["error"]
        ]
        if not given_up:
            break
        for job in given_up:
            life.client.post(f"/api/jobs/{job}/retry").raise_for_status()
    return []


def _world(life: Life, person: Person, documents: Iterable[dict[str, Any]]) -> World:
    """Return what there is of a person's things."""
    client = life.client
    found = World(k=person.world.k)
    for collection in client.get("/api/collections").raise_for_status().json()["collections"]:
        if collection["name"].startswith(person.name):
            found.shelves[collection["name"]] = Shelf()
    for document in documents:
        if document["collection"] in found.shelves:
            known = document["sha256"], document["enabled"]
            found.shelves[document["collection"]].documents[document["name"]] = known
    for talk in client.get("/api/conversations", params={"limit": 1000}).json()["conversations"]:
        if talk["title"].startswith(person.name):
            path = f"/api/conversations/{talk['id']}/messages"
            messages = client.get(path, params={"limit": 200}).raise_for_status().json()["messages"]
            found.talks[talk["title"]] = Talk(talk["history_turns"], [(m["role"], m["text"]) for m in messages])
    if person.sets_retrieval:
        found.k = life.order(do="settings")
    return found


def _searches(life: Life, person: Person, documents: Iterable[dict[str, Any]], most: int) -> list[str]:
    """Search for the code words of the newest contents: those that are there are found, the others are not."""
    enabled = {each["sha256"]: each["enabled"] for each in documents}
    there = [word for sha256, word in person.words.items() if enabled.get(sha256)]
    gone = [word for sha256, word in person.words.items() if not enabled.get(sha256)]
    wrong = []
    for words, wanted in ((there[-most:], True), (gone[-most:], False)):
        for word in words:
            found = life.client.post("/api/search", json={"query": f"What is said of {word}?", "k": 10})
            hits = found.raise_for_status().json()["hits"]
            if any(word in hit["text"] for hit in hits) is not wanted:
                wrong.append(f"{'lost: not' if wanted else 'not gone: still'} found: {word}")
    return wrong


def _originals(life: Life, documents: Iterable[dict[str, Any]]) -> list[str]:
    """Compare stored originals with their checksums."""
    wrong = []
    for document in list(documents)[:SEARCHES]:
        answer = life.client.get(f"/api/documents/{document['id']}/original")
        if answer.status_code == 404 and not document["media_type"].startswith("message/"):
            continue  # imported in chunks: there is none
        if hashlib.sha256(answer.content).hexdigest() != document["sha256"]:
            wrong.append(f"lost: the original of {document['name']} is {answer.status_code}")
    return wrong


def in_folder(folder: Path) -> list[str]:
    """Return what is wrong in a data folder on which nothing is at work at the moment."""
    return [*_in_database(folder / "millpond.db"), *_on_disk(folder)]


_SOUND = {
    "rows without what they refer to": "SELECT count(*) FROM pragma_foreign_key_check",
    "jobs that did not end": "SELECT count(*) FROM jobs WHERE state IN ('queued', 'working')",
    "jobs of no document": "SELECT count(*) FROM jobs WHERE document_id NOT IN (SELECT id FROM documents)",
    "documents without a revision": "SELECT count(*) FROM documents WHERE newest_revision_id IS NULL"
    " OR newest_revision_id NOT IN (SELECT id FROM revisions)",
    "revisions that are not the newest": "SELECT count(*) FROM revisions WHERE id NOT IN"
    " (SELECT newest_revision_id FROM documents)",
    "chunks that are searched nowhere": "SELECT count(*) FROM chunks WHERE revision_id NOT IN"
    " (SELECT active_revision_id FROM documents WHERE active_revision_id IS NOT NULL)",
    "sections of no revision": "SELECT count(*) FROM sections WHERE revision_id NOT IN (SELECT id FROM revisions)",
    "chunks twice in one place": "SELECT count(*) FROM"
    " (SELECT 1 FROM chunks GROUP BY revision_id, position HAVING count(*) > 1)",
    "documents with another number of chunks": "SELECT count(*) FROM documents JOIN revisions"
    " ON revisions.id = active_revision_id"
    " WHERE chunks <> (SELECT count(*) FROM chunks AS c WHERE c.revision_id = revisions.id)",
    "contents twice in one collection": "SELECT count(*) FROM (SELECT 1 FROM documents JOIN revisions"
    " ON revisions.id = newest_revision_id WHERE sha256 <> '' GROUP BY collection_id, sha256 HAVING count(*) > 1)",
    "unfinished jobs of one revision": "SELECT count(*) FROM"
    " (SELECT 1 FROM jobs WHERE state = 'ready' GROUP BY revision_id HAVING count(*) > 1)",
    "answers that follow no question": "SELECT count(*) FROM (SELECT role, lag(role) OVER"
    " (PARTITION BY conversation_id ORDER BY id) AS before FROM messages)"
    " WHERE role = 'assistant' AND coalesce(before, '') <> 'user'",
    "conversations that were asked, without a title": "SELECT count(*) FROM conversations WHERE title = ''"
    " AND id IN (SELECT conversation_id FROM messages)",
    "messages of no conversation": "SELECT count(*) FROM messages"
    " WHERE conversation_id NOT IN (SELECT id FROM conversations)",
}


def _in_database(path: Path) -> list[str]:
    wrong = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        if (said := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            wrong.append(f"differs: {said}")
        for what, query in _SOUND.items():
            if count := database.execute(query).fetchone()[0]:
                wrong.append(f"left over or doubled: {count} {what}")
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        wanted = {index.name for table in metadata.tables.values() for index in table.indexes} | {*metadata.tables}
        if missing := wanted - names:
            wrong.append(f"lost: no table or index {sorted(map(str, missing))}")
        stored = {name for (name,) in database.execute("SELECT stored FROM revisions WHERE stored <> ''")}
        active = "SELECT id FROM chunks WHERE revision_id IN (SELECT active_revision_id FROM documents)"
        ids = sorted(identity for (identity,) in database.execute(active))
    files = Counter(each.name for each in (path.parent / "files").glob("??/*"))
    files.update(each.name for each in (path.parent / "files" / "incoming").glob("*"))
    if lost := stored - files.keys():
        wrong.append(f"lost: originals {sorted(lost)}")
    if extra := files.keys() - stored:
        wrong.append(f"left over: originals {sorted(extra)}")
    return wrong + _in_snapshots(path.parent / "index", ids)


def _in_snapshots(folder: Path, ids: list[int]) -> list[str]:
    """Compare the newest generation with the ids of all chunks that are searched."""
    generations = sorted(each for each in folder.iterdir() if each.name.isdecimal())
    if not generations:
        return ["lost: no index snapshot"]
    wrong = [] if len(generations) <= 2 else [f"left over: {len(generations)} index snapshots"]
    for generation in generations:
        manifest = json.loads((generation / "manifest.json").read_bytes())
        for name, digest in manifest["files"].items():
            if hashlib.sha256((generation / name).read_bytes()).hexdigest() != digest:
                wrong.append(f"differs: {generation.name}/{name}")
    held = np.load(generations[-1] / "ids.npy").tolist()
    if sorted(held) != ids:
        wrong.append(f"differs: the newest snapshot has {len(held)} vectors, the database {len(ids)}")
    return wrong


def _on_disk(folder: Path) -> list[str]:
    names = [str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()]
    return [f"left over: {name}" for name in names if not _ALLOWED.fullmatch(name)]
