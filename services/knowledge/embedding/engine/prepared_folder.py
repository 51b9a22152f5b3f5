"""Folders of what is made once from a model: where they lie, whether they are sound, made by a child process where not.

A folder holds files and `manifest.json` with their sha256 and that of the model. It lies beside a bundled model where
that can be written, so that all data folders share it; else, and for every other model, in the data folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.core.errors import UnavailableError
from services.core.file_checksum import file_sha256
from services.core.i18n import _
from services.core.private_files import make_folder
from services.knowledge.embedding.model_files import ModelFiles

MANIFEST = "manifest.json"
SECONDS = 600.0  # of a child; a small model takes three
_PREFIX = "millpond-"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is to be made of a model: the folder's name, its files, and the module that makes them as `main` does."""

    files: ModelFiles
    name: str
    made: tuple[str, ...]
    module: str
    order: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedFolder:
    """A sound folder, and what its manifest says."""

    folder: Path
    manifest: Mapping[str, Any]


def prepared_folder(preparation: Preparation, folders: Sequence[Path]) -> PreparedFolder:
    """Return what is prepared, from the first of `folders` that has it sound, else made anew.

    Raises:
        UnavailableError: it cannot be made.
    """
    name = f"{_PREFIX}{preparation.name}-{preparation.files.sha256[:16]}"
    for folder in folders:
        if (found := _sound(preparation, folder / name)) is not None:
            return found
    problem: OSError | None = None
    for folder in folders:
        try:
            return _made(preparation, folder / name)
        except OSError as error:  # read-only, or full: the next one
            problem = error
    raise UnavailableError(
        _("The embedding model could not be prepared: {reason}.").format(
            reason=problem.strerror if problem is not None and problem.strerror else problem
        ),
        _("It needs some 100 MB of disk in the data folder, once."),
    ) from problem


def write_manifest(folder: Path, sha256: str, names: Sequence[str], **facts: object) -> None:
    """Write the manifest of files that were made from the model with this checksum."""
    sums = {name: file_sha256(folder / name) for name in names}
    (folder / MANIFEST).write_text(json.dumps({"model": sha256, **facts, "files": sums}), encoding="utf-8")


def _sound(preparation: Preparation, folder: Path) -> PreparedFolder | None:
    """Return what a folder holds where all of it is as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["model"] != preparation.files.sha256 or any(
            file_sha256(folder / name) != manifest["files"][name] for name in preparation.made
        ):
            return None
        return PreparedFolder(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made(preparation: Preparation, folder: Path) -> PreparedFolder:
    """Have a child process make the files, and put them in place as a whole.

    Raises:
        OSError: the folder cannot be written.
        UnavailableError: the child failed.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}new-", dir=folder.parent))
    try:
        _run_child(preparation, made)
        _open_like(folder.parent, made)
        if folder.exists():
            shutil.rmtree(folder)
        try:
            made.rename(folder)
        except OSError:
            if _sound(preparation, folder) is None:  # another process was faster
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    found = _sound(preparation, folder)
    if found is None:
        raise UnavailableError(
            _("The prepared weights of the embedding model {name} are not as they were written.").format(
                name=preparation.files.name
            ),
            _("Check the disk."),
        )
    return found


def _run_child(preparation: Preparation, into: Path) -> None:
    order = {"model": preparation.files.as_json(), "folder": str(into), **preparation.order}
    child = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", preparation.module],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=Path(__file__).resolve().parents[4],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if child.returncode:
        raise UnavailableError(
            _("The embedding model {name} could not be prepared: {reason}").format(
                name=preparation.files.name,
                reason=(child.stderr.strip().splitlines() or [str(child.returncode)])[-1],
            ),
            _("Set MILLPOND_EMBEDDING_PRECISION to bfloat16, which needs no preparation."),
        )


def _open_like(outer: Path, folder: Path) -> None:
    """Let those read the files who may read the folder that they are put into."""
    mode = outer.stat().st_mode & 0o777
    for file in folder.iterdir():
        file.chmod(mode & 0o666)
    folder.chmod(mode)
