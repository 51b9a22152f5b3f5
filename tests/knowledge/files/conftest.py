from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.core.settings import Settings
from services.knowledge.files.file_store import FileStore
from services.knowledge.files.open_store import open_file_store
from tests.s3_server import objects, s3_server

_OWN = {"probe", "pond"}  # what a store notes for itself


class Place:
    """Where originals are kept in a test, seen from outside."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self._closing = ExitStack()

    @property
    def is_s3(self) -> bool:
        return bool(self.settings)

    def open(self, node: str = "node", **settings: Any) -> FileStore:
        """Open a store; each `node` has a data folder of its own."""
        store = open_file_store(Settings(data_dir=self.folder / node, **{**self.settings, **settings}))
        self._closing.callback(store.close)
        return store

    def names(self) -> set[str]:
        """Return the names of all files that are there, whole or not."""
        local = {path.name for path in self.folder.rglob("*") if path.is_file() and "cache" not in path.parts}
        return (local | self.keys()) - _OWN

    def keys(self) -> set[str]:
        """Return the names of the objects in the bucket."""
        pages = objects(self.settings).list() if self.is_s3 else ()
        return {each["path"].rpartition("/")[2] for page in pages for each in page} - _OWN

    def put(self, stored: str, content: bytes) -> None:
        """Have an original consist of these bytes."""
        if self.is_s3:
            objects(self.settings).put(f"{stored[:2]}/{stored}", content)
        else:
            path = self.folder / "node" / "files" / stored[:2] / stored
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    def close(self) -> None:
        self._closing.close()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The data folder, then a bucket."""
    found = Place(tmp_path, s3_server().settings() if request.param == "s3" else {})
    yield found
    found.close()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path, s3_server().settings())
    yield found
    found.close()


def take(files: FileStore, data: bytes) -> str:
    """Store bytes in pieces; return their name."""
    with files.create() as incoming:
        for start in range(0, len(data), 50_000):
            incoming.write(data[start : start + 50_000])
        return incoming.finish().stored


def content(files: FileStore, stored: str, sha256: str) -> bytes:
    with files.opened(stored, sha256) as path:
        return path.read_bytes()
