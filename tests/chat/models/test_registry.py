from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.chat.models import ChatModels
from services.chat.models.servers import normalized_url
from services.chat.types import BackendChoice, BackendKind
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import BadInputError, MillpondError, NotFoundError
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.chat.model_server import ModelServer, closed_port


@pytest.fixture
def models_with(database: Database, tmp_path: Path) -> Callable[..., ChatModels]:
    def make(**values: object) -> ChatModels:
        return ChatModels(Preferences(database), Settings(data_dir=tmp_path, **values))  # type: ignore[arg-type]

    return make


def test_no_model_is_a_choice_of_its_own(models: ChatModels) -> None:
    """Nothing configured means that sentences are quoted, and says how to connect a model."""
    assert models.choice() == BackendChoice(BackendKind.NONE)
    assert models.backend() is None
    status = models.status()
    assert (status.state, bool(status.hint)) == ("off", True)
    assert models.local.memory_report() is None


def test_a_choice_survives_a_restart_and_shows_no_key(
    models_with: Callable[..., ChatModels], server: ModelServer
) -> None:
    """The key is kept and used, but never handed out again, not even by repr."""
    first = models_with()
    returned = first.choose(
        SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good") + "/", " tiny ", "sk-secret")
    )
    again = models_with()
    assert again.choice() == returned == BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny")
    backend = again.backend()
    assert backend is not None
    assert backend.label == "tiny"
    assert "sk-secret" not in repr(backend) + repr(again.choice()) + repr(again.status())
    assert again.has_key(again.choice())
    assert not again.has_key(BackendChoice(BackendKind.OPENAI, server.openai("other"), "tiny"))
    assert not again.has_key(BackendChoice(BackendKind.OPENAI))
    assert again.models_of(SERVICE, again.choice()) == ["small", "tiny"]
    assert server.requests[-1][1]["authorization"] == "Bearer sk-secret"


def test_a_stored_key_goes_to_its_own_address_only(models: ChatModels, server: ModelServer) -> None:
    """An empty key keeps the stored one for the same address; another address does not get it."""
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny", "sk-secret"))
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "small"))
    models.models_of(SERVICE, models.choice())
    assert server.requests[-1][1]["authorization"] == "Bearer sk-secret"
    models.probe(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("other"), "tiny"))
    assert "authorization" not in server.requests[-1][1]
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("other"), "tiny"))
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny"))
    models.models_of(SERVICE, models.choice())
    assert "authorization" not in server.requests[-1][1]


def test_the_settings_are_the_first_choice(
    models_with: Callable[..., ChatModels], server: ModelServer, database: Database
) -> None:
    """A configured server is used until a person chooses; its key comes from the settings and is not stored."""
    url = server.openai("good")
    configured = models_with(openai_base_url=url, openai_model="tiny", openai_api_key="sk-env")
    assert configured.choice() == BackendChoice(BackendKind.OPENAI, url, "tiny")
    assert configured.status().state == "ready"
    assert server.requests[-1][1]["authorization"] == "Bearer sk-env"
    configured.choose(SERVICE, BackendChoice(BackendKind.OPENAI, model="small"))
    assert "sk-env" not in str(Preferences(database).get("chat model")) or configured.choice().api_key == ""
    configured.choose(SERVICE, BackendChoice(BackendKind.NONE))
    assert configured.backend() is None
    configured.close()


@pytest.mark.parametrize(
    "choice",
    [
        BackendChoice(BackendKind.OPENAI, "not an address", "tiny"),
        BackendChoice(BackendKind.OPENAI, "", "tiny"),
        BackendChoice(BackendKind.OPENAI, "file:///etc/passwd", "tiny"),
        BackendChoice(BackendKind.OPENAI, "http://user:word@host/v1", "tiny"),
        BackendChoice(BackendKind.OPENAI, "http://host:99999/v1", "tiny"),
        BackendChoice(BackendKind.OPENAI, "http://host/v1\nX: y", "tiny"),
        BackendChoice(BackendKind.OPENAI, "http://host/v1", " "),
        BackendChoice(BackendKind.OLLAMA),
        BackendChoice(BackendKind.GGUF),
        BackendChoice(BackendKind.GGUF, path="/nowhere/model.gguf"),
        BackendChoice(BackendKind.GGUF, path=__file__),
        BackendChoice(BackendKind.GGUF, path="a\0b"),
    ],
)
def test_a_choice_that_cannot_work_is_refused(models: ChatModels, server: ModelServer, choice: BackendChoice) -> None:
    """The reason is told and the old choice stays."""
    models.choose(SERVICE, BackendChoice(BackendKind.OLLAMA, server.ollama("good"), "tiny"))
    with pytest.raises(MillpondError) as caught:
        models.choose(SERVICE, choice)
    assert caught.value.hint
    assert models.choice().model == "tiny"


def test_ollama_is_found_by_itself(models_with: Callable[..., ChatModels], server: ModelServer) -> None:
    """Its models are listed without anything being chosen; where it is not, that is said."""
    models = models_with(ollama_url=server.ollama("good"))
    assert models.models_of(SERVICE, BackendChoice(BackendKind.OLLAMA)) == ["small:1b", "tiny:latest"]
    found = {status.kind: status for status in models.available()}
    assert found[BackendKind.OLLAMA].state == "ready"
    assert "tiny:latest" in found[BackendKind.OLLAMA].message
    assert found[BackendKind.OPENAI].state == "off"
    models.choose(SERVICE, BackendChoice(BackendKind.OLLAMA, model="tiny"))
    assert models.status().state == "ready"
    for nowhere in (f"http://127.0.0.1:{closed_port()}", "nonsense"):
        with pytest.raises(MillpondError):
            models.models_of(SERVICE, BackendChoice(BackendKind.OLLAMA, nowhere))
    models.close()


@pytest.mark.parametrize("manner", ["401", "500", "404page", "html", "json", "void", "redirect", "binary"])
def test_the_status_of_a_broken_server_says_what_to_do(models: ChatModels, server: ModelServer, manner: str) -> None:
    """Looking at a server never raises."""
    for kind, url in ((BackendKind.OPENAI, server.openai(manner)), (BackendKind.OLLAMA, server.ollama(manner))):
        models.choose(SERVICE, BackendChoice(kind, url, "tiny", "sk-secret"))
        status = models.status()
        # A server with OpenAI's protocol may answer although it has no list of models.
        lacks_list = kind is BackendKind.OPENAI and manner in {"404page", "html", "json", "void", "binary"}
        assert status.state == ("unlisted" if lacks_list else "down")
        assert status.message
        assert status.hint
        assert "sk-secret" not in status.message + status.hint


def test_a_model_that_the_server_lacks_is_noticed(models: ChatModels, server: ModelServer) -> None:
    """The status names those that it has. It may be an alias: once it has answered, the status is good."""
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "alias"))
    status = models.status()
    assert status.state == "unlisted"
    assert "small, tiny" in status.hint
    assert models.test(SERVICE, models.choice()).state == "ready"
    assert models.status().state == "ready"
    models.choose(SERVICE, BackendChoice(BackendKind.OLLAMA, server.ollama("good"), "huge"))
    status = models.status()
    assert status.state == "down"
    assert "small:1b, tiny:latest" in status.hint


def test_a_hanging_server_does_not_hold_a_page_up(models: ChatModels, server: ModelServer) -> None:
    """The first look is waited for a moment only; the thread that looks ends by itself."""
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("hang"), "tiny"))
    assert models.status().state == "loading"
    models._statuses.close()
    status = models.status()
    assert status.state == "down"
    assert "in time" in status.message
    assert server.wait(lambda: server.open == 0)


def test_a_status_is_looked_up_once_for_many_pages(models: ChatModels, server: ModelServer) -> None:
    """Pages that redraw do not flood the server; a new choice is looked at again."""
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny"))
    for _ in range(20):
        assert models.status().state == "ready"
    assert len(server.requests) == 1
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("401"), "tiny"))
    assert models.status().state == "down"


def test_the_names_that_the_api_may_ask_for(models: ChatModels, server: ModelServer) -> None:
    """Our own name, the chosen model's, or none."""
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny"))
    for name in (None, "", "millpond", "tiny"):
        models.check_name(name)
    with pytest.raises(NotFoundError):
        models.check_name("gpt-17")


def test_model_files_in_the_data_folder_can_be_chosen(models_with: Callable[..., ChatModels], tmp_path: Path) -> None:
    """The configured one comes first."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "b.gguf").touch()
    assert models_with(gguf_path="/a.gguf").gguf_files() == ["/a.gguf", str(tmp_path / "models" / "b.gguf")]


def test_addresses_are_brought_into_one_form() -> None:
    """So that a key belongs to one of them whichever way it was typed."""
    assert normalized_url(" HTTP://Host:80/v1/ ") == "http://host:80/v1"
    assert normalized_url("http://[::1]:8000/v1") == "http://[::1]:8000/v1"
    with pytest.raises(BadInputError):
        normalized_url("http://host/v1?key=1")


KEY = "sk-marker-7Qz9-of-a-secret"


def test_a_key_is_stored_encrypted_and_shown_by_its_end(
    models: ChatModels, server: ModelServer, tmp_path: Path
) -> None:
    """A copy of the database, or somebody who reads it, has no key."""
    url = server.openai("good")
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, url, "tiny", KEY))
    assert models.shown_key(models.choice()) == "…cret"
    assert models.shown_key(BackendChoice(BackendKind.OPENAI, server.openai("other"), "tiny")) == ""
    models.models_of(SERVICE, models.choice())
    assert server.requests[-1][1]["authorization"] == f"Bearer {KEY}"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []
    models.choose(SERVICE, BackendChoice())
    assert models.shown_key(BackendChoice(BackendKind.OPENAI, url, "tiny")) == ""


def test_a_key_of_the_version_before_is_encrypted_at_the_start(
    models_with: Callable[..., ChatModels], server: ModelServer, database: Database
) -> None:
    """It goes on working, and the preferences hold it no more."""
    preferences, url = Preferences(database), server.openai("good")
    old = {"kind": "openai", "url": url, "model": "tiny", "api_key": KEY, "path": ""}
    preferences.set("chat model", old)
    models = models_with()
    assert "api_key" not in repr(models.choice())
    models.encrypt_plain_key()
    assert models.choice() == BackendChoice(BackendKind.OPENAI, url, "tiny")
    assert KEY not in str([preferences.get(key) for key in ("chat model", "secrets")])
    models.models_of(SERVICE, models.choice())
    assert server.requests[-1][1]["authorization"] == f"Bearer {KEY}"
    models.encrypt_plain_key()
    assert models.shown_key(models.choice()) == "…cret"


def test_a_key_that_cannot_be_encrypted_stays_in_use(
    models_with: Callable[..., ChatModels], server: ModelServer, database: Database, tmp_path: Path
) -> None:
    """An upgrade whose key file is not there yet does not lose the key; a new one cannot be stored meanwhile."""
    url = server.openai("good")
    stored = {"kind": "openai", "url": url, "model": "tiny", "api_key": KEY, "path": ""}
    Preferences(database).set("chat model", stored)
    models = models_with(secret_key_file=str(tmp_path / "not-mounted"))
    models.encrypt_plain_key()
    models.models_of(SERVICE, models.choice())
    assert server.requests[-1][1]["authorization"] == f"Bearer {KEY}"
    with pytest.raises(MillpondError, match="nothing was stored"):
        models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("other"), "tiny", KEY))
    assert models.choice().url == url


def test_a_lost_key_file_is_said_and_the_key_can_be_entered_again(
    models: ChatModels, server: ModelServer, tmp_path: Path
) -> None:
    """The status says what happened, what was kept and what to do; nothing is sent to the server without the key."""
    choice = BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny", KEY)
    models.choose(SERVICE, choice)
    (tmp_path / "secret.key").unlink()
    asked = len(server.requests)
    status = models.status()
    assert (status.state, models.shown_key(models.choice())) == ("down", "")
    assert "The key of the chat server cannot be decrypted: there is no key in" in status.message
    assert "kept as it is stored" in status.message
    assert "Enter it again" in status.hint
    assert models.has_key(models.choice())
    with pytest.raises(MillpondError, match="cannot be decrypted"):
        models.backend()
    assert len(server.requests) == asked
    models.choose(SERVICE, choice)
    assert models.status().state == "ready"
