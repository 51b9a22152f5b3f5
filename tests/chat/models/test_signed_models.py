"""A real GGUF model that must be signed: chosen, refused, loaded, changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chat.models import ChatModels
from services.chat.types import BackendChoice, BackendKind
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.model_signatures.private_copy import FOLDER
from services.core.model_signatures.verifier import RefusedModelError
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.chat.models.test_gguf import gguf, model_file
from tests.core.model_signatures.keys import KeyPair, key_pair, sign_all

__all__ = ["model_file"]


@dataclass(frozen=True)
class SignedFile:
    """A model file of its own folder, its signature, and who signed it."""

    file: Path
    signature: Path
    keys: KeyPair


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> SignedFile:
    folder = tmp_path_factory.mktemp("signed")
    keys = key_pair(folder)
    file = Path(shutil.copy(model_file, folder / "tiny.gguf"))
    signature = folder / "tiny.gguf.sig"
    sign_all((file, signature, keys))
    return SignedFile(file, signature, keys)


@pytest.fixture
def models(database: Database, tmp_path: Path, signed: SignedFile) -> Iterator[ChatModels]:
    settings = Settings(data_dir=tmp_path, gguf_context_tokens=512, model_key=str(signed.keys.public))
    models = ChatModels(Preferences(database), settings)
    yield models
    models.close()
    assert [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()] == []


def test_a_signed_file_is_loaded_from_its_copy_and_goes_on_when_it_changes(
    models: ChatModels, signed: SignedFile, tmp_path: Path
) -> None:
    """The loaded model reads its file as long as it runs: what is written to the original does not reach it."""
    file = Path(shutil.copy(signed.file, tmp_path / "tiny.gguf"))
    unsigned = models.probe(SERVICE, gguf(file))
    assert (unsigned.state, "not signed: there is no" in unsigned.message) == ("down", True)
    shutil.copy(signed.signature, tmp_path / "tiny.gguf.sig")
    models.choose(SERVICE, gguf(file))
    assert models.test(SERVICE, models.choice()).message == "The signature of the model is valid."
    assert models.status().state == "ready"
    assert models.backend() is not None
    server = models.local.server
    assert server is not None
    assert server.file.is_relative_to(tmp_path / FOLDER)
    assert server.file.name == "tiny.gguf"
    with file.open("r+b") as stream:
        stream.seek(50_000_000)
        stream.write(os.urandom(16))
    assert server.count("Seals and valves") > 0
    assert models.backend() is not None
    assert models.local.server is server
    # Unloaded, it is not loaded again.
    models.local.force_unload()
    with pytest.raises(RefusedModelError, match="changed since it was signed: the file"):
        models.backend()
    status = models.status()
    assert (status.state, status.breaker) == ("down", "closed")
    assert "changed since it was signed" in status.message
    assert "millpond models sign" in status.hint
    assert models.local.server is None


def test_a_file_that_is_refused_changes_nothing(models: ChatModels, signed: SignedFile, tmp_path: Path) -> None:
    """The model that was chosen before goes on; the reason is told to whoever chose."""
    models.choose(SERVICE, BackendChoice(BackendKind.OLLAMA, "http://127.0.0.1:9", "tiny"))
    file = tmp_path / "other.gguf"
    file.write_bytes(b"GGUF" + bytes(1000))
    shutil.copy(signed.signature, tmp_path / "other.gguf.sig")
    for choice, reason in ((gguf(file), "changed since"), (gguf(signed.file.parent / "none.gguf"), "cannot be read")):
        with pytest.raises(Exception, match=reason) as caught:
            models.choose(SERVICE, choice)
        assert models.choice().model == "tiny"
        if reason == "changed since":
            assert str(caught.value.message).endswith(  # type: ignore[attr-defined]
                "It was not loaded, nothing of it was changed. The model chosen before stays in use."
            )
    assert models.test(SERVICE, gguf(file)).state == "down"
