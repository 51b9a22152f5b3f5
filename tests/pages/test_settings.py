from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from services.app.container import Services
from services.chat.types import BackendChoice, BackendKind
from services.core.actor import SERVICE
from services.core.settings import Settings
from tests.chat.model_server import model_server
from tests.chat.scripted_server import refusing
from tests.pages.conftest import open_page
from tests.servers import eventually


def page_text(app: AppTest) -> str:
    """Return everything that the page shows or has in its fields: each element as the browser gets it."""
    return str([element.proto for element in app.main] + [element.proto for element in app.sidebar])


def files_with(folder: Path, content: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


def test_every_setting_is_listed_and_secrets_are_not_shown(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has each setting; of a key it has the last four characters, of an address nothing that may be one."""
    monkeypatch.setitem(vars(services.settings), "openai_api_key", SecretStr("sk-very-secret"))
    monkeypatch.setitem(vars(services.settings), "webhook_url", "https://hooks.example/services/T0/token-of-webhook")
    monkeypatch.setitem(vars(services.settings), "database_url", "postgresql://mill:word-of-database@db/pond")
    open_page(app, "settings")
    table = app.dataframe[0].value
    assert list(table["Setting"]) == list(Settings.model_fields)
    assert "sk-very-secret" not in table.to_string()
    shown = dict(zip(table["Setting"], table["Value"], strict=True))
    assert shown["openai_api_key"] == "…cret"
    assert shown["webhook_url"] == "https://hooks.example/…"
    assert shown["database_url"] == "postgresql://mill:…@db/pond"


def test_an_old_name_of_a_setting_is_shown_with_the_new_one(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever set it for an earlier version learns what it is called now."""
    monkeypatch.setenv("MILLPOND_LOOKS_TOTAL", "2")
    open_page(app, "settings")
    texts = [caption.value for caption in app.caption]
    assert "`MILLPOND_LOOKS_TOTAL` is now called `MILLPOND_DIAGNOSTICS_TOTAL`; the old name is still read." in texts


def test_a_model_is_chosen_without_a_restart(app: AppTest, services: Services) -> None:
    """The choice is in force at once, and the key is asked for but never shown."""
    open_page(app, "settings")
    app.get_by_key("model-kind").set_value(BackendKind.OPENAI)
    app.run()
    app.text_input(key="model-url").set_value("http://127.0.0.1:9/v1").run()
    app.text_input(key="model-name").set_value("tiny").run()
    app.text_input(key="model-key-0").set_value("sk-very-secret").run()
    app.button(key="model-use").click().run()
    try:
        choice = services.models.choice()
        assert (choice.kind, choice.url, choice.model) == (BackendKind.OPENAI, "http://127.0.0.1:9/v1", "tiny")
        open_page(app, "settings")
        assert "sk-very-secret" not in page_text(app)
        assert app.text_input(key="model-key-1").placeholder == "Unchanged: …cret"
        data = services.settings.data_dir
        eventually(lambda: not files_with(data, b"sk-very-secret"), seconds=30, what="erasure")
    finally:
        services.models.choose(SERVICE, BackendChoice())


@pytest.mark.parametrize(
    ("kind", "key", "names"),
    [
        (BackendKind.OPENAI, "model-name", ["small", "tiny"]),
        (BackendKind.OLLAMA, "model-name-ollama", ["small:1b", "tiny:latest"]),
    ],
)
def test_a_model_is_chosen_from_those_the_server_lists_or_typed(
    app: AppTest, kind: BackendKind, key: str, names: list[str]
) -> None:
    """A name typed from memory is often wrong; one that is not listed, an alias, must be possible all the same."""
    with model_server() as server:
        open_page(app, "settings")
        app.get_by_key("model-kind").set_value(kind)
        app.run()
        app.text_input(key="model-url").set_value(getattr(server, kind.value)("good")).run()
        offered = app.selectbox(key=f"{key}-offered")
        assert offered.options == names
        offered.select(names[1]).run()
        assert app.text_input(key=key).value == names[1]
        asked = len(server.requests)
        app.text_input(key=key).set_value("alias").run()
        assert app.text_input(key=key).value == "alias"
        assert app.button(key="model-use").disabled is False
        assert len(server.requests) == asked  # not with each run of the page
    assert not app.exception


def test_a_server_that_lists_nothing_is_no_obstacle(app: AppTest) -> None:
    """The page says that the name is to be typed, and offers no empty list."""
    open_page(app, "settings")
    app.get_by_key("model-kind").set_value(BackendKind.OPENAI)
    app.run()
    app.text_input(key="model-url").set_value("http://127.0.0.1:9/v1").run()
    assert "The server lists no models: enter the name of one." in [each.value for each in app.caption]
    assert not [each for each in app.selectbox if each.key == "model-name-offered"]


def test_a_server_that_is_down_is_reported_with_a_hint(app: AppTest) -> None:
    """Testing the connection tells what is wrong and changes nothing."""
    open_page(app, "settings")
    app.get_by_key("model-kind").set_value(BackendKind.OPENAI)
    app.run()
    app.text_input(key="model-url").set_value("http://127.0.0.1:9/v1").run()
    app.text_input(key="model-name").set_value("tiny").run()
    app.button(key="model-test").click().run()
    assert app.error
    assert not app.exception


def test_what_a_server_takes_is_shown(app: AppTest, services: Services) -> None:
    """The test of the connection finds it out, the page shows it afterwards, a button forgets it."""
    with model_server() as server:
        server.script = refusing("system", "max_completion_tokens")
        open_page(app, "settings")
        app.get_by_key("model-kind").set_value(BackendKind.OPENAI)
        app.run()
        app.text_input(key="model-url").set_value(server.openai("good")).run()
        app.text_input(key="model-name").set_value("alias").run()
        app.button(key="model-test").click().run()
        found = (
            "Supports: streaming, token counts while streaming, max_tokens. Does not support: max_completion_tokens, "
        )
        found += "the system role; questions are sent without them."

        def captions() -> list[str]:
            return [caption.value.replace("\\", "") for caption in app.caption]

        assert any("has answered a test question" in each.value for each in app.success)
        assert found in captions()
        app.button(key="model-use").click().run()
        try:
            open_page(app, "settings")
            assert found in captions()
            app.button(key="model-forget").click().run()
            assert found not in captions()
            assert "alias" in app.warning[0].value
        finally:
            services.models.choose(SERVICE, BackendChoice())


def test_a_mistyped_variable_is_shown_with_what_may_be_meant(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever set it believes that it is in force."""
    monkeypatch.setenv("MILLPOND_UPLOAD_LIMIT", "2")
    open_page(app, "settings")
    assert [warning.value for warning in app.warning] == [
        (
            "`MILLPOND_UPLOAD_LIMIT` in the environment is no setting and was ignored. "
            "Did you mean `MILLPOND_UPLOAD_LIMIT_MB`?"
        )
    ]
