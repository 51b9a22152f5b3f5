from __future__ import annotations

import signal
from pathlib import Path

from tests.servers import serving, spawn


def test_a_stop_keeps_what_was_ready_and_a_kill_what_was_acknowledged(tmp_path: Path) -> None:
    """What was ready before an orderly stop answers after it; after a kill right behind the acknowledgement of files, a
    new start takes them in. Nothing has to be cleaned up."""
    with serving(tmp_path / "data") as server:
        owl = server.add("owl.txt", b"The barn owl hunts by ear in complete darkness.")
        assert server.wait_finished(owl)["status"] == "ready"
    server = spawn(tmp_path / "data")
    server.wait_ready()
    hits = server.client.post("/api/search", json={"query": "How does the barn owl hunt?"}).json()["hits"]
    assert hits[0]["document_id"] == owl
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
        assert {hit["document_id"] for hit in hits} >= set(numbers)
