"""Prepared weights of an embedding model: where they lie, whether they are sound, made by a child process where not.

Files of a folder of their own: `layers.onnx` (the graph), `words.f16` (the vocabulary's
table, float16), `small.npz` (positions and the
first normalisation), and `manifest.json` with their sha256. The folder lies beside the bundled model where that can be
written, so that all data folders share it; else, and for every other model, in the data folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services.core.errors import UnavailableError
from services.core.file_checksum import file_sha256
from services.core.i18n import _
from services.core.private_files import make_folder
from services.knowledge.embedding.model_files import ModelFiles

# Raise it when a newer program prepares differently.
RECIPE = 2
MANIFEST = "manifest.json"
LAYERS, WORDS, SMALL = "layers.onnx", "words.f16", "small.npz"
SECONDS = 600.0  # of a child; a small model takes three
_PREFIX = "millpond-"


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A folder of prepared weights; `arithmetic`: int8 or float32; `cosine`: the least to float32 that was measured."""

    folder: Path
    arithmetic: str
    cosine: float

    @property
    def bytes(self) -> int:
        """Bytes of all its files."""
        return sum((self.folder / name).stat().st_size for name in (LAYERS, WORDS, SMALL))


def prepared(files: ModelFiles, arithmetic: str, folders: list[Path]) -> PreparedModel:
    """Return the prepared weights of a model, from the first of `folders` that has them sound, else made anew.

    Raises:
        UnavailableError: they cannot be made.
    """
    name = f"{_PREFIX}{arithmetic}-{RECIPE}-{files.sha256[:16]}"
    for folder in folders:
        if (found := _sound(folder / name, files.sha256)) is not None:
            return found
    problem: OSError | None = None
    for folder in folders:
        try:
            return _made(files, arithmetic, folder / name)
        except OSError as error:  # read-only, or full: the next one
            problem = error
    raise UnavailableError(
        _("The embedding model could not be prepared: {reason}.").format(
            reason=problem.strerror if problem is not None and problem.strerror else problem
        ),
        _("It needs some 100 MB of disk in the data folder, once."),
    ) from problem


def _sound(folder: Path, sha256: str) -> PreparedModel | None:
    """Return what a folder holds where all of it is as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["model"] != sha256 or any(
            file_sha256(folder / name) != manifest["files"][name] for name in (LAYERS, WORDS, SMALL)
        ):
            return None
        return PreparedModel(folder, str(manifest["arithmetic"]), float(manifest["cosine"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made(files: ModelFiles, arithmetic: str, folder: Path) -> PreparedModel:
    """Have a child process prepare the weights, and put them in place as a whole.

    Raises:
        OSError: the folder cannot be written.
        UnavailableError: the child failed.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}new-", dir=folder.parent))
    try:
        _run_child(files, arithmetic, made)
        _open_like(folder.parent, made)
        if folder.exists():
            shutil.rmtree(folder)
        try:
            made.rename(folder)
        except OSError:
            if _sound(folder, files.sha256) is None:  # another process was faster
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    found = _sound(folder, files.sha256)
    if found is None:
        raise UnavailableError(
            _("The prepared weights of the embedding model {name} are not as they were written.").format(
                name=files.name
            ),
            _("Check the disk."),
        )
    return found


def _run_child(files: ModelFiles, arithmetic: str, into: Path) -> None:
    order = {"model": files.as_json(), "arithmetic": arithmetic, "folder": str(into)}
    child = subprocess.run(
        [sys.executable, "-m", "services.knowledge.embedding.engine.prepare"],
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
                name=files.name, reason=(child.stderr.strip().splitlines() or [str(child.returncode)])[-1]
            ),
            _("Set MILLPOND_EMBEDDING_PRECISION to bfloat16, which needs no preparation."),
        )


def _open_like(outer: Path, folder: Path) -> None:
    """Let those read the files who may read the folder that they are put into."""
    mode = outer.stat().st_mode & 0o777
    for file in folder.iterdir():
        file.chmod(mode & 0o666)
    folder.chmod(mode)
