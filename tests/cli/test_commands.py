"""The commands as a person runs them, with and without a server."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers import ROOT, Server, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files to take in; their names are new each time."""
    mark = uuid4().hex[:8]
    files = tmp_path / "files"
    (files / "more").mkdir(parents=True)
    (files / f"kiln {mark}.txt").write_text(f"The kiln {mark} is fired at 1250 degrees for nine hours.")
    (files / "more" / f"glaze {mark}.md").write_text(f"# Glaze\n\nThe glaze {mark} is mixed with ash and feldspar.")
    return files


def test_ingest_and_ask_through_a_server(server: Server, folder: Path) -> None:
    """With a server on the data folder the commands go through it: files become ready, answers cite them."""
    data = ("--data-dir", str(server.data_dir))
    done = run("ingest", str(folder), *data)
    assert done.returncode == 0, done.stderr
    assert "2 ready" in done.stdout
    mark = next(folder.glob("kiln*")).stem.removeprefix("kiln ")
    names = server.client.get("/api/documents", params={"query": mark}).json()["documents"]
    assert sorted(document["name"] for document in names) == [f"kiln {mark}.txt", f"more › glaze {mark}.md"]

    again = run("ingest", str(folder), *data)
    assert again.returncode == 0
    assert "2 were there already" in again.stdout

    asked = run("ask", f"How hot is the kiln {mark} fired?", *data)
    assert asked.returncode == 0, asked.stderr
    assert "1250 degrees" in asked.stdout
    assert "Sources" in asked.stdout
    assert f"kiln {mark}.txt" in asked.stdout

    status = run("status", *data)
    assert status.returncode == 0
    assert server.url in status.stdout
    found = json.loads(run("status", "--json", *data).stdout)
    assert found["counts"]["documents"] >= 2


def test_ingest_into_a_collection(server: Server, folder: Path) -> None:
    """A collection that is named is made if need be, and can be asked by its name."""
    name = f"pottery {uuid4().hex[:6]}"
    data = ("--data-dir", str(server.data_dir))
    assert run("ingest", "--collection", name, str(folder), *data).returncode == 0
    collections = server.client.get("/api/collections").json()["collections"]
    assert [collection["documents"] for collection in collections if collection["name"] == name] == [2]
    assert run("ask", "--collection", name, "What is mixed with ash?", *data).returncode == 0
    unknown = run("ask", "--collection", "no such", "What?", *data)
    assert unknown.returncode == 1
    assert name in unknown.stderr


def test_a_file_that_fails_is_named_and_counts(server: Server, tmp_path: Path) -> None:
    """One file that cannot be taken in makes the exit code 1; the others are taken in all the same."""
    good = tmp_path / "good.txt"
    good.write_text(f"A good file {uuid4().hex} with something in it.")
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    noise = tmp_path / "noise.pdf"
    noise.write_bytes(b"%PDF-1.7\n" + uuid4().bytes * 40)
    done = run("ingest", str(good), str(empty), str(noise), "--data-dir", str(server.data_dir))
    assert done.returncode == 1
    assert "1 ready" in done.stdout
    assert "2 failed" in done.stdout
    assert "empty.txt: " in done.stderr
    assert "noise.pdf: " in done.stderr
    assert "Traceback" not in done.stderr


def test_names_that_collide_or_are_not_utf8(server: Server, tmp_path: Path) -> None:
    """Two files of one name are both kept; one whose name is not in UTF-8 does not keep the others out."""
    mark = uuid4().hex[:8]
    paths = [tmp_path / f"A{mark}" / "README.md", tmp_path / f"B{mark}" / "README.md"]
    paths.append(tmp_path / "more" / os.fsdecode(f"Küchengeräte {mark}.txt".encode("latin-1")))
    paths.append(tmp_path / "more" / f"other {mark}.txt")
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"File number {number} of {mark}.")
    data = ("--data-dir", str(server.data_dir))
    done = run("ingest", str(paths[0]), str(paths[1]), str(tmp_path / "more"), *data)
    assert done.returncode == 0, done.stderr
    assert "4 ready" in done.stdout
    found = server.client.get("/api/documents", params={"query": mark}).json()["documents"]
    assert {document["name"] for document in found} == {
        f"A{mark} › README.md",
        f"B{mark} › README.md",
        f"Küchengeräte {mark}.txt",
        f"other {mark}.txt",
    }


def test_a_mistyped_variable_is_named_in_the_log(tmp_path: Path) -> None:
    """A variable with a slip in its name is ignored in silence."""
    done = run("status", "--data-dir", str(tmp_path / "data"), upload_limit="3")
    assert done.returncode == 0
    assert "MILLPOND_UPLOAD_LIMIT_MB" in done.stderr
    assert "no setting" in done.stderr


def test_commands_without_a_server(folder: Path, tmp_path: Path) -> None:
    """With no server the same commands do the work themselves, and leave the folder free for the next."""
    data = ("--data-dir", str(tmp_path / "data"))
    nothing = run("status", *data)
    assert nothing.returncode == 0
    assert "no data" in nothing.stdout
    assert not (tmp_path / "data").exists()
    done = run("ingest", str(folder), *data)
    assert done.returncode == 0, done.stderr
    assert "2 ready" in done.stdout
    asked = run("ask", "How hot is the kiln fired?", *data)
    assert asked.returncode == 0, asked.stderr
    assert "1250 degrees" in asked.stdout
    status = run("status", *data)
    assert "No console is running" in status.stdout
    assert "Documents: 2" in status.stdout


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    """A path that is not there is a usage error; a folder without files says so."""
    assert run("ingest", str(tmp_path / "missing"), "--data-dir", str(tmp_path / "data")).returncode == 2
    (tmp_path / "empty").mkdir()
    done = run("ingest", str(tmp_path / "empty"), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "no file" in done.stderr


def test_version_is_told() -> None:
    """`--version` tells the project's version, or that it runs from its source folder; never a traceback."""
    done = run("--version")
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert done.stdout.strip() in {project["version"], "not installed: running from its source folder"}


@pytest.mark.parametrize("content", [None, b"port 8501", b"\xff\xfe"])
def test_settings_that_cannot_be_read_are_told_of(tmp_path: Path, content: bytes | None) -> None:
    """A settings file that is missing, or none, is neither passed over nor answered with a traceback."""
    path = tmp_path / "millpond.toml"
    if content is not None:
        path.write_bytes(content)
    done = run("status", "--data-dir", str(tmp_path), config=path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The settings in {path} cannot be read: ")
    assert "MILLPOND_CONFIG must name" in done.stderr


def test_an_old_name_of_a_setting_is_said(tmp_path: Path) -> None:
    """Whoever set it for an earlier version learns the new name, and the command does its work."""
    done = run("status", "--data-dir", str(tmp_path), looks_total=2)
    assert done.returncode == 0
    assert "MILLPOND_LOOKS_TOTAL" in done.stderr
    assert "MILLPOND_DIAGNOSTICS_TOTAL" in done.stderr
