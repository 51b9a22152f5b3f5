from __future__ import annotations

from pathlib import Path

import pytest

from services.core.known_secrets import mask_secrets, register_secret, secret_end
from services.core.settings import Settings
from services.core.shown_settings import register_settings, shown_address, shown_setting

MARK = "MARKER7Qz9ab"


@pytest.mark.parametrize(
    ("name", "address", "shown"),
    [
        ("webhook_url", f"https://hooks.example/services/T0/{MARK}", "https://hooks.example/…"),
        ("webhook_url", f"https://hooks.example?token={MARK}", "https://hooks.example/…"),
        ("webhook_url", f"https://bot:{MARK}@hooks.example:8443/x", "https://…@hooks.example:8443/…"),
        ("webhook_url", f"https://{MARK}@hooks.example/", "https://…@hooks.example/"),
        ("webhook_url", "https://hooks.example", "https://hooks.example"),
        ("database_url", f"postgresql+psycopg://mill:{MARK}@db:5432/pond", "postgresql+psycopg://mill:…@db:5432/pond"),
        ("database_url", f"postgresql+psycopg://mill:a/{MARK}?#@x@db/pond", "postgresql+psycopg://mill:…@db/pond"),
        ("database_url", f"postgresql+psycopg://db/pond?user=m&password={MARK}", "postgresql+psycopg://db/pond?…"),
        ("cache_url", f"redis://:{MARK}@cache:6379/0", "redis://…@cache:6379/0"),
        ("cache_url", f"rediss://mill:{MARK}@cache?ca=/etc/ca.pem", "rediss://…@cache?…"),
        ("database_url", "sqlite:////srv/pond.db", "sqlite:////srv/pond.db"),
        ("openai_base_url", f"https://me:{MARK}@models.example/v1", "https://…@models.example/v1"),
        ("openai_base_url", f"https://{MARK}@models.example/v1?api-key={MARK}", "https://…@models.example/v1?…"),
        ("openai_base_url", f"https://models.example/v1#{MARK}", "https://models.example/v1?…"),
        ("ollama_url", f"http://me:{MARK}@127.0.0.1:11434", "http://…@127.0.0.1:11434"),
        ("files_url", "s3://pond/a?endpoint=https://s3.example:8333", "s3://pond/a?endpoint=https://s3.example:8333"),
        ("host", "::1", "::1"),
    ],
)
def test_addresses_are_shown_without_what_may_be_a_secret(name: str, address: str, shown: str) -> None:
    """The settings page told the webhook's token and the password of the database to every visitor."""
    assert shown_address(address, name) == shown
    settings = Settings(**{name: address})  # type: ignore[arg-type]
    assert shown_setting(settings, name) == shown
    if MARK in address:
        register_settings(settings)
        assert MARK not in mask_secrets(f"ConnectError: {address} and {MARK} itself")


def test_keys_are_shown_by_their_end() -> None:
    """Four of at least twelve characters; of a short one that there is one."""
    settings = Settings(openai_api_key="sk-abcdefghij1234", webhook_secret="short", admin_token="")  # type: ignore[arg-type]
    assert shown_setting(settings, "openai_api_key") == "…1234"
    assert shown_setting(settings, "webhook_secret") == "…"
    assert shown_setting(settings, "admin_token") == ""
    assert secret_end("x" * 11) == "…"
    assert [name for name in Settings.model_fields if "sk-abcdefghij" in shown_setting(settings, name)] == []


def test_what_is_no_secret_is_shown_as_it_is(tmp_path: Path) -> None:
    """Paths, numbers, choices."""
    settings = Settings(data_dir=tmp_path, port=80, allowed_hosts="a.example, b.example:8080")
    assert shown_setting(settings, "data_dir") == str(tmp_path)
    assert shown_setting(settings, "port") == "80"
    assert shown_setting(settings, "allowed_hosts") == "a.example, b.example:8080"


def test_known_secrets_are_masked_in_any_text() -> None:
    """Also as an address holds them; words that are no secrets stay."""
    secret = "p ss/wörd+0123456789"
    register_secret(secret)
    register_secret("millpond")  # a password that is also a word
    assert mask_secrets(f"key={secret}; x") == "key=…6789; x"
    assert mask_secrets("http://h/?k=p%20ss%2Fw%C3%B6rd%2B0123456789") == "http://h/?k=…6789"
    assert mask_secrets("millpond has started") == "millpond has started"
