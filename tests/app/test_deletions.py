from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, eventually, serving
from tests.siege import deletions


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files of the server."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Iterator[Server]:
    """A server that was started with a careless umask, on a folder that an older version left open."""
    data = tmp_path_factory.mktemp("deletions") / "data"
    (data / "index").mkdir(parents=True)
    (data / "index" / "old").write_text("left")
    before = os.umask(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("SQLITE_TMPDIR", str(temporary))
        try:
            with serving(data, snapshot_seconds=3) as server:
                yield server
        finally:
            os.umask(before)


def test_nothing_that_was_deleted_is_in_a_file_10_seconds_later(server: Server, temporary: Path) -> None:
    """It stayed in the write-ahead log, the lexical index, the events and the snapshots of the index (129 places)."""
    planted = deletions.plant(server)
    folders = [server.data_dir, temporary]
    there = deletions.words_in_files(folders, planted.words)
    assert len(there) > len(planted.words) - 3, "most words are in no file: this test shows nothing"
    deletions.delete_everything(server, planted)
    left, _took = deletions.left_after(server, planted, folders)
    assert left == {}


def test_what_stays_of_a_deleted_document_is_said_and_can_be_erased(server: Server) -> None:
    """Answers belong to their conversation: they stay unless somebody says otherwise, named as what they are."""
    client = server.client
    document = server.add("valve.txt", b"The emergency valve opens at exactly 17 bar.")
    server.wait_finished(document)
    conversation = client.post("/api/conversations").raise_for_status().json()["id"]
    question = {"question": "At how many bar does the emergency valve open?", "stream": False}
    answer = client.post(f"/api/conversations/{conversation}/questions", json=question).raise_for_status().json()
    assert "17 bar" in answer["text"]
    deleted = client.delete(f"/api/documents/{document}")
    assert deleted.status_code == 200
    assert deleted.json()["quoted"] == {"answers": 1, "conversations": 1}
    left = client.get("/api/deletions").raise_for_status().json()
    assert left["quoted"] == {"answers": 1, "conversations": 1}
    messages = f"/api/conversations/{conversation}/messages"
    kept = client.get(messages).json()["messages"][1]
    assert kept["citations"][0]["deleted"] is True
    assert "17 bar" in kept["text"]
    assert client.delete("/api/deletions/quotes").json() == {"answers": 1, "conversations": 1}
    erased = client.get(messages).json()["messages"]
    assert erased[0]["text"] == question["question"]
    assert "17 bar" not in erased[1]["text"] + str(erased[1]["citations"])
    assert client.get("/api/deletions").json()["quoted"] == {"answers": 0, "conversations": 0}


def test_every_file_of_a_used_data_folder_is_private(server: Server) -> None:
    """Censuses, traces and snapshots of the index were readable by everybody on the machine."""
    client = server.client
    server.wait_finished(server.add("a.txt", b"Some text."))
    client.post("/api/objects/census", json={"baseline": True}).raise_for_status()
    client.post("/api/tracing/start", json={"minutes": 5}).raise_for_status()
    client.post("/api/tracing/snapshots", json={"name": "first"}).raise_for_status()
    client.post("/api/tracing/stop").raise_for_status()
    eventually(lambda: list((server.data_dir / "index").glob("*/ids.npy")), what="a snapshot of the index")
    paths = [server.data_dir, *server.data_dir.rglob("*")]
    assert len(paths) > 15
    open_to_others = {}
    for path in paths:
        mode = path.lstat().st_mode & 0o7777
        if mode != (0o700 if path.is_dir() else 0o600):
            open_to_others[str(path.relative_to(server.data_dir))] = oct(mode)
    assert open_to_others == {}
