"""What the drill is made of: a link that can be cut, a disk that can be filled, what counts as missed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.drill import report, small_disk
from tests.drill.checker import _of_answers
from tests.drill.drill import noticed
from tests.drill.faults import Fault
from tests.drill.history import History, now
from tests.drill.link import lacking, link
from tests.front.outcomes import Attempt
from tests.servers import ROOT


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_what_is_sent_over_a_cut_link_is_lost_and_nobody_is_told(tmp_path: Path) -> None:
    """A link that refuses is no cut: a node would notice at once. And one that stays cut is no link."""
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:  # paths of sockets are short
        place = Path(short) / "socket"
        server.bind(str(place))
        server.listen()
        with (
            link(tmp_path, {5432: place}) as made,
            socket.create_connection((made.address, 5432), timeout=10.0) as sender,
        ):
            receiver, _address = server.accept()
            receiver.settimeout(10.0)
            sender.sendall(b"before")
            assert receiver.recv(100) == b"before"
            made.cut()
            sender.sendall(b"after")
            receiver.settimeout(0.5)
            with pytest.raises(TimeoutError):
                receiver.recv(100)
            made.mend()
            receiver.settimeout(30.0)
            assert receiver.recv(100) == b"after"
            receiver.close()


@pytest.mark.skipif(not small_disk.can_mount(), reason="it takes root to mount a small disk")
def test_a_small_disk_is_filled_and_emptied(tmp_path: Path) -> None:
    """A disk with room left, or one that is seen from outside and stays there."""
    script = (
        "import pathlib, sys\n"
        "from tests.drill.small_disk import small_disk\n"
        "with small_disk(pathlib.Path(sys.argv[1])) as disk:\n"
        "    disk.fill()\n"
        "    try:\n"
        "        (disk.folder / 'more').write_bytes(b'x')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
        "    disk.empty()\n"
        "    (disk.folder / 'more').write_bytes(b'x')\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", script, str(tmp_path / "disk")],
        env={**os.environ, "DRILL_HAS_MOUNTS_OF_ITS_OWN": "yes"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "28\n"), done.stderr
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_refusal_counts_unless_what_was_asked_needs_what_is_away() -> None:
    """A fault after which everything is refused politely would pass for one that nobody notices."""
    history = History()
    since = now() - 10.0
    for kind in ("add", "search"):
        history.record(Attempt("one", kind, since + 1.0, since + 1.1, "503", excused=True))
    some = Fault("S3 gone", lambda _stage: None, refuses=frozenset({"add"}))
    found = noticed(some, history, since, since, since)
    assert found.missed == ("told to come again although nothing of it was away: search",)
    every = Fault("database gone", lambda _stage: None, refuses=None)
    assert noticed(every, history, since, since, since).missed == ()
    cut = Fault("cut off", lambda _stage: None, refuses=None, taken_over=5.0)
    assert noticed(cut, history, since, since, since, None).missed == ("not taken over",)
    missed = noticed(cut, history, since, since, since, 3.0, refused=False).missed
    assert missed == ("the node could have written with its old epoch",)


def test_a_question_has_one_answer() -> None:
    """A second answer, none at all, or one that was acknowledged and is marked as failed would not be found."""
    asked, said = {"role": "user", "text": "Who?"}, {"role": "assistant", "text": "He.", "state": "complete"}
    assert _of_answers([asked, said, asked, said], {"Who?"}) == []
    assert _of_answers([asked, said, said], {"Who?"}) == ["a question has 2 answers"]
    assert _of_answers([asked], set()) == ["a question has 0 answers"]
    marked = {"role": "assistant", "text": "", "state": "failed"}
    assert _of_answers([asked, marked], set()) == []
    assert _of_answers([asked, marked], {"Who?"}) == ["an answer was acknowledged and is failed"]


def test_the_report_says_what_was_missed_and_left_out(tmp_path: Path) -> None:
    """A report that leaves a target or a loss out would be read as a good one."""

    history = History()
    since = now() - 30.0
    for number in range(20):
        history.record(Attempt("one", "search", since + number, since + number + 0.1, "502" if number == 15 else ""))
    fault = Fault("node killed", lambda _stage: None, gap=2.0)
    found = [noticed(fault, history, since, since + 10.0, since + 18.0)]
    left_out = ["disk full: left out, it takes root to mount a small disk"]
    drill = report.Drill(
        found, ["boat was acknowledged and is lost"], left_out, {"Redis": "7"}, history, since, "Loaded."
    )
    text = report.write(tmp_path, drill).read_text()
    assert "1 requests failed that began later" in text
    assert all(
        each in text for each in (*left_out, "- boat was acknowledged and is lost", "Redis 7. Loaded.", fault.target)
    )
    assert (tmp_path / "timeline.png").stat().st_size > 10_000
