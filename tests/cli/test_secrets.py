from __future__ import annotations

from pathlib import Path

from services.core.database import Database
from services.core.preferences import Preferences
from services.core.secret_box import KEY_FILE, SecretBox
from services.core.secret_store import SecretStore
from services.core.settings import Settings
from services.core.stored_settings import with_stored
from tests.cli.in_one_process import commands

ADDRESS = "https://hooks.example/services/T0/zqMARKER-0123456789"
SIGNATURE = "zqMARKER-of-signature-0123456789"


def test_secrets_of_settings_are_stored_listed_replaced_and_removed(tmp_path: Path) -> None:
    """Neither the address of a webhook nor its key has to stand in the environment; no output and no file has them."""
    data = tmp_path / "data"
    data.mkdir()
    at = ["--data-dir", str(data)]
    done = commands(
        (["secrets", "set", "webhook_url", *at], f"{ADDRESS}\n"),
        (["secrets", "set", "webhook_secret", *at], SIGNATURE),
        (["secrets", "set", "port", *at], "8501"),
        (["secrets", "set", "webhook_url", *at], "zqMARKER without a scheme"),
        (["secrets", "set", "openai_api_key", *at], "  \n"),
        (["secrets", "list", *at], ""),
        (["secrets", "rotate", *at], ""),
        (["secrets", "remove", "nothing", *at], ""),
    )
    codes = [code for code, _output, _error in done]
    assert codes == [0, 0, 1, 1, 1, 0, 0, 1], done
    assert "port is no secret" in done[2][2]
    assert "must begin with http" in done[3][2]
    assert "nothing was stored" in done[4][2]
    assert done[5][1].splitlines()[-2:] == ["webhook_secret: …6789", "webhook_url: …6789"]
    assert "2 secrets have a new key" in done[6][1]
    assert "zqMARKER" not in str(done)
    assert len((data / KEY_FILE).read_text().split()) == 1
    assert [path.name for path in data.rglob("*") if path.is_file() and b"zqMARKER" in path.read_bytes()] == []
    database = Database(f"sqlite:///{data / 'millpond.db'}")
    try:
        store = SecretStore(Preferences(database), SecretBox(data))
        settings = with_stored(Settings(data_dir=data), store)
        assert (settings.webhook_url, settings.webhook_secret.get_secret_value()) == (ADDRESS, SIGNATURE)
        # What is set goes before what is stored; what cannot be decrypted stays empty, and the start goes on.
        given = Settings(data_dir=data, webhook_url="https://other.example/")
        assert with_stored(given, store).webhook_url == "https://other.example/"
        (data / KEY_FILE).unlink()
        assert with_stored(Settings(data_dir=data), store).webhook_url == ""
    finally:
        database.close()
