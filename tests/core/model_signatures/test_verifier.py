from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.core.errors import DamagedError, StorageError, UnavailableError
from services.core.model_signatures import private_copy
from services.core.model_signatures.private_copy import FOLDER, PrivateCopy
from services.core.model_signatures.verifier import ModelVerifier, RefusedModelError
from tests.core.model_signatures.keys import KeyPair, key_pair, sign_all
from tests.core.model_signatures.test_child import flip, model
from tests.servers import eventually


@dataclass(frozen=True)
class Signed:
    """A folder and a file with the signatures of their owner, and the folder that holds the file with its signature."""

    keys: KeyPair
    folder: Path
    file: Path
    file_signature: Path
    parent_signature: Path


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Signed once for all tests, which work on copies."""
    place = tmp_path_factory.mktemp("signed")
    keys = key_pair(place)
    folder = model(place / "my model")
    file = place / "models" / "tiny.gguf"
    file.parent.mkdir()
    for each in (file, file.with_name("other.gguf")):
        each.write_bytes(b"GGUF" + os.urandom(500))
    made = Signed(keys, folder, file, place / "file.sig", place / "parent.sig")
    sign_all(
        (folder, folder / "model.sig", keys),
        (file, made.file_signature, keys),
        (file.parent, made.parent_signature, keys),
    )
    return made


@pytest.fixture
def keys(signed: Signed) -> KeyPair:
    return signed.keys


@pytest.fixture
def folder(signed: Signed, tmp_path: Path) -> Path:
    return shutil.copytree(signed.folder, tmp_path / "my model")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def left(data: Path) -> list[str]:
    return sorted(str(path.relative_to(data / FOLDER)) for path in (data / FOLDER).rglob("*"))


def test_a_signed_model_is_loaded_from_a_private_copy(folder: Path, keys: KeyPair, data: Path) -> None:
    """Whoever can write to the original changes nothing of what is loaded, and finds it refused next time."""
    (folder / ".gitattributes").write_text("left out by the signature, so not loaded")
    verifier = ModelVerifier(str(keys.public), data)
    copy = verifier.verified(folder)
    assert copy.name == "my model"
    assert copy.is_relative_to(data)
    names = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert names == {"config.json", "1_Pooling/config.json", "model.safetensors"}
    assert {oct(path.stat().st_mode & 0o777) for path in copy.rglob("*")} == {"0o600", "0o700"}
    assert verifier.verified(folder) == copy
    before = (copy / "model.safetensors").read_bytes()
    flip(folder / "model.safetensors")
    assert (copy / "model.safetensors").read_bytes() == before
    verifier.check(folder)
    with pytest.raises(RefusedModelError, match=r"changed since it was signed: model\.safetensors"):
        verifier.verified(folder)
    # It is not copied and hashed again for each question.
    with pytest.raises(RefusedModelError):
        verifier.require_signature(folder)
    verifier.check(folder)
    verifier.close()
    assert left(data) == []


def test_a_model_that_changes_while_it_is_verified_is_not_loaded(
    folder: Path, keys: KeyPair, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the original, whose copy is verified, nor the copy itself."""
    signed = (folder / "config.json").read_bytes()
    verifier = ModelVerifier(str(keys.public), data)
    answer = verifier._answer

    def swap_original(copy: PrivateCopy, bundle: Path, key: Path) -> object:
        (folder / "config.json").write_text('{"swapped": true}')
        return answer(copy, bundle, key)

    monkeypatch.setattr(verifier, "_answer", swap_original)
    assert (verifier.verified(folder) / "config.json").read_bytes() == signed

    def swap_copy(copy: PrivateCopy, bundle: Path, key: Path) -> object:
        said = answer(copy, bundle, key)
        file = copy.path / "config.json"
        state = file.stat()
        file.write_bytes(b"[]")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        return said

    (folder / "config.json").write_bytes(signed)
    monkeypatch.setattr(verifier, "_answer", swap_copy)
    with pytest.raises(DamagedError, match="copy of the model my model was changed"):
        verifier.verified(folder)
    verifier.close()
    assert left(data) == []


def test_a_file_has_its_signature_beside_it(tmp_path: Path, signed: Signed, data: Path) -> None:
    """`NAME.gguf.sig`, or `model.sig` for the folder with it; that of another file is refused."""
    verifier = ModelVerifier(str(signed.keys.public), data)
    file = shutil.copytree(signed.file.parent, tmp_path / "models") / "tiny.gguf"
    with pytest.raises(RefusedModelError, match=r"not signed: there is no .*/tiny\.gguf\.sig\. It was not loaded"):
        verifier.verified(file)
    shutil.copy(signed.parent_signature, file.parent / "model.sig")
    other = file.with_name("other.gguf")
    assert verifier.verified(other).read_bytes() == other.read_bytes()
    shutil.copy(signed.file_signature, file.with_name("other.gguf.sig"))
    shutil.copy(signed.file_signature, file.with_name("tiny.gguf.sig"))
    assert verifier.verified(file).read_bytes() == file.read_bytes()
    with pytest.raises(RefusedModelError, match="changed since it was signed: the file"):
        verifier.verified(other)
    verifier.close()


def test_links_of_a_download_cache_are_followed(tmp_path: Path, folder: Path, keys: KeyPair, data: Path) -> None:
    """Hugging Face's cache holds links to its blobs; the copy has files."""
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for name in ("config.json", "1_Pooling", "model.safetensors", "model.sig"):
        (linked / name).symlink_to(folder / name)
    verifier = ModelVerifier(str(keys.public), data)
    copy = verifier.verified(linked)
    assert [path for path in copy.rglob("*") if path.is_symlink()] == []
    verifier.close()


@pytest.mark.parametrize("what", ["pipe", "loop", "deep"])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, keys: KeyPair, data: Path, what: str) -> None:
    """At once: a pipe is not waited for, a folder that holds itself is not followed."""
    folder = model(tmp_path / "model")
    (folder / "model.sig").write_text("{}")
    if what == "pipe":
        os.mkfifo(folder / "pipe")
    elif what == "loop":
        (folder / "1_Pooling" / "loop").symlink_to(folder)
    else:
        (folder / "/".join("d" * 30)).mkdir(parents=True)
    with pytest.raises(Exception, match=r"neither a file|holds itself"):
        ModelVerifier(str(keys.public), data).verified(folder)


def test_a_full_disk_and_a_missing_key_are_said(tmp_path: Path, keys: KeyPair, data: Path) -> None:
    """Nothing is left of the copy."""
    folder = model(tmp_path / "model")
    (folder / "model.sig").write_text("{}")
    with pytest.raises(StorageError, match="are free"):
        ModelVerifier(str(keys.public), data, spare_bytes=1 << 60).verified(folder)
    assert left(data) == []
    with pytest.raises(UnavailableError, match=r"gone\.pem cannot be read"):
        ModelVerifier(str(tmp_path / "gone.pem"), data).verified(folder)


def test_without_a_key_nothing_is_copied(tmp_path: Path, data: Path) -> None:
    """The model itself is loaded, as before."""
    folder = model(tmp_path / "model")
    verifier = ModelVerifier("", data)
    assert verifier.verified(folder) == folder
    verifier.require_signature(folder)
    assert not data.exists()


def test_copies_of_a_process_that_was_killed_are_removed(tmp_path: Path, data: Path) -> None:
    """Not those of one that runs: two processes use the data folder during a planned restart."""
    file = tmp_path / "a.gguf"
    file.write_bytes(b"x")
    mine = PrivateCopy(data, file, without=frozenset(), spare_bytes=0)
    killed = data / FOLDER / "killed" / "big"
    killed.mkdir(parents=True)
    (killed / "big.gguf").write_bytes(b"x")
    second = PrivateCopy(data, file, without=frozenset(), spare_bytes=0)
    assert mine.path.read_bytes() == second.path.read_bytes() == b"x"
    assert not killed.exists()
    mine.close()
    second.close()
    assert left(data) == []


def test_where_blocks_cannot_be_shared_bytes_are_copied(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between file systems the quick way fails with EXDEV; the content is the same."""

    def refuse(*_arguments: object) -> int:
        raise OSError(private_copy.errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(private_copy.os, "copy_file_range", refuse)
    file = tmp_path / "a.gguf"
    file.write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    copy = PrivateCopy(data, file, without=frozenset(), spare_bytes=0)
    assert copy.path.read_bytes() == file.read_bytes()
    copy.close()


def test_one_verification_serves_those_who_ask_at_once(folder: Path, keys: KeyPair, data: Path) -> None:
    """Two tabs that choose the same model do not copy it twice."""
    verifier = ModelVerifier(str(keys.public), data)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(verifier.verified(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(found) == 4, seconds=60)
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    verifier.close()
