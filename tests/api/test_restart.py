from __future__ import annotations

import signal
from pathlib import Path

from tests.servers import serving, spawn


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """After a kill right behind the acknowledgement, a new start takes the file in; nothing has to be cleaned up."""
    server = spawn(tmp_path / "data")
    server.wait_ready()
    numbers = [
        server.add(f"file {index}.txt", f"The lighthouse number {index} blinks every {index} seconds.".encode())
        for index in range(8)
    ]
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    with serving(tmp_path / "data") as again:
        for index, number in enumerate(numbers):
            document = again.wait_finished(number)
            assert (document["status"], document["name"]) == ("ready", f"file {index}.txt")
        hits = again.client.post("/api/search", json={"query": "lighthouse number 5", "k": 20}).json()["hits"]
        assert sorted(hit["document_id"] for hit in hits) == sorted(numbers)


def test_restart_keeps_documents_and_searches(tmp_path: Path) -> None:
    """What was ready before an orderly stop answers after the next start."""
    with serving(tmp_path / "data") as server:
        number = server.add("owl.txt", b"The barn owl hunts by ear in complete darkness.")
        assert server.wait_finished(number)["status"] == "ready"
    with serving(tmp_path / "data") as server:
        hits = server.client.post("/api/search", json={"query": "How does the barn owl hunt?"}).json()["hits"]
        assert hits[0]["document_id"] == number
