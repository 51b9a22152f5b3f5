"""The API speaks the language that is asked for: errors, verdicts, and what was kept from before."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from uuid import uuid4

import pytest

from console.requested_language import LANGUAGE_COOKIE
from services.core.i18n import _, speaking
from tests.servers import Server

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}


def test_an_error_follows_accept_language(server: Server) -> None:
    """A client gets title, detail and hint in the best language that it accepts, and caches are told."""
    answer = server.client.get("/api/documents/999999999", headers=CHINESE)
    assert answer.status_code == 404
    with speaking("zh_CN"):
        assert answer.json()["title"] == _("Not found") != "Not found"
    assert answer.headers["Content-Language"] == "zh-CN"
    assert "Accept-Language" in answer.headers["Vary"]
    english = server.client.get("/api/documents/999999999", headers={"Accept-Language": "de, en;q=0.1"})
    assert (english.json()["title"], english.headers["Content-Language"]) == ("Not found", "en")


@pytest.mark.parametrize("tag", ["zh-TW", "zh-HK", "zh"])
def test_each_chinese_has_its_own(server: Server, tag: str) -> None:
    """Taiwan and Hong Kong read traditional characters."""
    with speaking("zh_CN" if tag == "zh" else "zh_TW"):
        expected = _("Not found")
    answer = server.client.get("/api/nothing-at-all", headers={"Accept-Language": tag})
    assert answer.json()["title"] == expected


def test_a_choice_in_the_browser_wins(server: Server) -> None:
    """Somebody who chose English on a Chinese system reads English."""
    cookie = {"Cookie": f"{LANGUAGE_COOKIE}=en"}
    assert server.client.get("/api/nothing-at-all", headers=CHINESE | cookie).headers["Content-Language"] == "en"


def test_openai_errors_and_streams_speak_it_too(server: Server) -> None:
    """Clients of OpenAI's protocol show `error.message` to people."""
    answer = server.client.post("/v1/chat/completions", json={"model": "nothing", "messages": []}, headers=CHINESE)
    assert any("\u4e00" <= character <= "\u9fff" for character in answer.json()["error"]["message"])


def test_what_failed_before_is_told_to_each_reader(server: Server) -> None:
    """A job's error was made by a thread without a reader, and stored: each reader gets it in their language."""
    document = server.add(f"broken {uuid4().hex}.pdf", b"%PDF-1.7\nnot a PDF at all")
    found = server.wait_finished(document)
    assert found["status"] == "failed"
    assert "\x1f" not in str(found["error"])
    chinese = server.client.get(f"/api/documents/{document}", headers=CHINESE).json()
    assert chinese["error"] != found["error"]
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese["error"])
    listed = server.client.get("/api/documents", headers=CHINESE).json()["documents"]
    assert chinese["error"] in [each["error"] for each in listed]
    with closing(sqlite3.connect(f"file:{server.data_dir / 'millpond.db'}?mode=ro", uri=True)) as database:
        [stored] = database.execute("SELECT error FROM jobs WHERE document_id = ?", (document,)).fetchone()
    assert stored.startswith(str(found["error"]))


def test_events_and_verdicts_are_told_to_each_reader(server: Server) -> None:
    """The time line and the verdict were made in the background."""
    window = {"start": time.time() - 3600, "end": time.time() + 60}
    english = server.client.get("/api/memory/events", params=window).json()
    chinese = server.client.get("/api/memory/events", params=window, headers=CHINESE).json()
    assert str(english) != str(chinese)
    memory = [server.client.get("/api/memory", headers=headers).json() for headers in ({}, CHINESE)]
    assert memory[0]["verdict"]["headline"] != memory[1]["verdict"]["headline"]


def test_machines_are_spoken_to_in_english(server: Server) -> None:
    """Metrics and the description of the API are the same for everybody."""
    for path in ("/metrics", "/openapi.json", "/readyz"):
        answers = [server.client.get(path, headers=headers) for headers in ({}, CHINESE)]
        assert "Content-Language" not in answers[1].headers
        assert not any("\u4e00" <= character <= "\u9fff" for character in answers[1].text)
