"""What a store of original files does, wherever it keeps them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from services.knowledge.files.incoming import IncomingFile, Known

# What others may be storing just now is younger, by the clock of where it is stored.
SPARED_SECONDS = 3600.0
# What says at that place to which pond it belongs.
OWNER = "pond"


class FileStore(Protocol):
    """Original files by their names. Thread-safe; a file is durable before its name is known to anybody."""

    @property
    def shared(self) -> bool:
        """Whether other processes may store files at the same place."""

    @property
    def remote(self) -> bool:
        """Whether reading takes a network: it is slow, and may be cut off."""

    def create(self) -> IncomingFile:
        """Create a file to write to.

        Raises:
            StorageError: less disk space is free than the settings ask for.
            FilesUnavailableError: originals cannot be stored at present.
        """

    def shortage(self) -> str:
        """Return a message when less disk space is free than the reserve, else an empty text."""

    def outage(self) -> str:
        """Return why originals cannot be had at present, else an empty text; takes no time."""

    def exists(self, stored: str) -> bool:
        """Return whether there is an original of this name.

        Raises:
            FilesUnavailableError: nobody can say at present.
        """

    def opened(self, stored: str, sha256: str) -> AbstractContextManager[Path]:
        """Yield the path of a local file with an original's bytes: compared with its hash once, and when it changed.

        It stays until the end of the context, and a minute longer for who opens it at once.

        Raises:
            NotFoundError: it was not kept, or is gone.
            DamagedError: its bytes are others.
            StorageError: it cannot be read, or the disk has no room for it.
            FilesUnavailableError: it cannot be had at present.
        """

    def read(self, stored: str, offset: int, most: int) -> bytes:
        """Return at most so many bytes of an original; fewer only at its end.

        Raises:
            OSError: it is gone (FileNotFoundError), or cannot be read.
            FilesUnavailableError: it cannot be had at present.
        """

    def remove(self, names: Collection[str]) -> None:
        """Delete originals, now or soon; missing ones are no error, and what could not be deleted is swept later."""

    def drop_copies(self, names: Collection[str]) -> None:
        """Drop what is on this machine of originals that another node has deleted."""

    def sweep(self, known: Known) -> int:
        """Delete the originals that nobody knows, and what was left half stored; return how many.

        `known` returns those of some names that are known. It is called after the names were read: an upload that ends
        in between is either still incoming or already known. Where others store files, too, what is younger than
        `SPARED_SECONDS` stays.

        Raises:
            FilesUnavailableError: the originals cannot be listed at present.
        """

    def owner(self, pond: str) -> str:
        """Return to which pond the originals belong: `pond`, unless another one came first.

        Raises:
            StorageError: it cannot be written down.
            FilesUnavailableError: it cannot be asked at present.
        """

    def close(self) -> None:
        """End what runs in the background."""
