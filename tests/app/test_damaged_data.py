"""Damaged data folders: what is damaged is refused with words, made anew or said; nothing is lost without a word.

`tests/siege/siege_damage.py` does the same a thousand times, and through a real server.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.test_released_data import RELEASED
from tests.servers import Server, eventually, run, serving
from tests.siege.damages import Case, Damage, Found, cut, empty, find, flip, forbid, remove, swap, zero_page

UNTIL = time.time()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found]:
    """A folder of version 0.1.0 that this version has opened and closed, and everything that is served from it."""
    folder = tmp_path_factory.mktemp("sound") / "data"
    with tarfile.open(RELEASED / "data-0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    first = find(folder, UNTIL)
    found = find(folder, UNTIL)
    assert (found.refused, found.said, found.defects) == ("", [], [])
    assert found.served == first.served
    return folder, found


def damaged_copy(sound: tuple[Path, Found], tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound[0], tmp_path / "data"))


@pytest.mark.parametrize(
    ("file", "damage", "outcome"),
    [
        ("millpond.db", flip, "refused"),
        ("millpond.db", zero_page, "refused"),
        ("millpond.db", cut, "refused"),
        ("millpond.db", remove, "refused"),
        ("millpond.db-sums", flip, "said"),
        ("millpond.lock", remove, "same"),
        ("memory/history.db", flip, "said"),
        ("memory/history.db", empty, "said"),
        ("index/0000000001/codes.npy", flip, "said"),
        ("index/0000000001/manifest.json", cut, "said"),
        ("files/07/0762b917e6686081c89a6ec95d647737", flip, "said"),
        ("files/de/de7d74ad09fbe0c9f2196e1511ac2c7e", remove, "said"),
        ("memory/history.db", swap, "said or refused"),
        ("millpond.db", forbid, "same"),
    ],
)
def test_each_kind_of_damage(
    sound: tuple[Path, Found], tmp_path: Path, file: str, damage: Damage, outcome: str
) -> None:
    """Fails over a traceback, over something that is served differently without a word, and if too much is refused."""
    folder = damaged_copy(sound, tmp_path)
    done = Case(7, file, damage).apply(folder)
    found = find(folder, UNTIL)
    assert found.verdict(sound[1]) == "", done
    same = found.served == sound[1].served
    assert ("refused" if found.refused else "said" if found.said else "same" if same else "lost") in outcome, done
    derived = {"dense search", "vectors", "chunks", "documents", "conversations", "settings"}
    if not found.refused:
        assert {name for name in derived if found.served.get(name) != sound[1].served[name]} == set(), done
    if "refused" in outcome and found.refused:
        assert "millpond.db" in found.refused
        assert "copy of the whole data folder" in found.refused


def test_the_history_that_begins_anew_is_kept_under_a_name_that_is_said(
    sound: tuple[Path, Found], tmp_path: Path
) -> None:
    """Whoever wants to look finds the damaged file; the next start has nothing to say any more."""
    folder = damaged_copy(sound, tmp_path)
    Case(3, "memory/history.db", flip).apply(folder)
    found = find(folder, UNTIL)
    [name] = {match[0] for text in found.said for match in re.finditer(r"history\.db\.damaged-[0-9-]+", text)}
    assert (folder / "memory" / name).is_file()
    assert find(folder, time.time()).said == []


def _flip_text(folder: Path) -> None:
    with (folder / "millpond.db").open("r+b") as file:
        content = file.read()
        place = content.index(b"sluice gate")
        file.seek(place)  # one byte alone: a running server may be writing elsewhere
        file.write(bytes([content[place] ^ 1]))


def _cut_database(folder: Path) -> None:
    os.truncate(folder / "millpond.db", 8192)


@pytest.mark.parametrize(("damage", "command"), [(_flip_text, ("serve", "--port", "0")), (_cut_database, ("status",))])
def test_the_command_line_refuses_with_words(
    sound: tuple[Path, Found], tmp_path: Path, damage: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    """A real start over a damaged database: exit code 1, what is damaged and what to do, no traceback."""
    folder = damaged_copy(sound, tmp_path)
    damage(folder)
    before = {path: path.read_bytes() for path in folder.glob("millpond.db*")}
    ended = run(*command, "--data-dir", str(folder))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "millpond.db" in ended.stderr
    assert "Put a copy of the whole data folder back" in ended.stderr
    assert {path: path.read_bytes() for path in folder.glob("millpond.db*")} == before


def _check(server: Server) -> dict[str, object]:
    """Return what `/readyz` says of the database."""
    check: dict[str, object] = server.client.get("/readyz").json()["checks"]["database"]
    return check


def _told(server: Server) -> list[str]:
    """Return the events about damage."""
    events = server.client.get("/api/memory/events").json()["events"]
    return [event["detail"] for event in events if event["kind"] == "damage"]


def test_damage_while_it_runs_is_said(sound: tuple[Path, Found], tmp_path: Path) -> None:
    """A flipped bit under a running server: `/readyz` is red and says why, an event tells it, nothing is a 500."""
    folder = damaged_copy(sound, tmp_path)
    with serving(folder, budget="off") as server:
        _flip_text(folder)
        eventually(lambda: not _check(server)["ok"], seconds=120, what="a red check")
        assert server.client.get("/readyz").status_code == 503
        detail = str(_check(server)["detail"])
        assert "1 page of" in detail
        eventually(lambda: _told(server), what="an event")  # it follows
        assert _told(server) == [detail.removeprefix("database damaged: ")]
        found = server.client.post("/api/search", json={"query": "quantity of bolt", "k": 1})
        assert found.status_code in {200, 503}
