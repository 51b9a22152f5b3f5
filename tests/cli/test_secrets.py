from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from services.core.database import Database
from services.core.preferences import Preferences
from services.core.secret_box import KEY_FILE, SecretBox
from services.core.secret_store import SecretStore
from services.core.settings import Settings
from services.core.stored_settings import with_stored
from tests.servers import ROOT, environment

ADDRESS = "https://hooks.example/services/T0/zqMARKER-0123456789"
SIGNATURE = "zqMARKER-of-signature-0123456789"
SCRIPT = """
import json, sys
from click.testing import CliRunner
from console.__main__ import cli
for line in sys.stdin:
    arguments, text = json.loads(line)
    done = CliRunner().invoke(cli, arguments, input=text)
    print(json.dumps([done.exit_code, done.output, str(done.exception or "")]), flush=True)
"""


def commands(data: Path, *given: tuple[list[str], str]) -> list[tuple[int, str, str]]:
    """Run commands one after the other, in one process, as importing takes most of the time."""
    lines = "".join(json.dumps([[*arguments, "--data-dir", str(data)], text]) + "\n" for arguments, text in given)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=lines,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]  # type: ignore[misc]


def test_secrets_of_settings_are_stored_listed_replaced_and_removed(tmp_path: Path) -> None:
    """Neither the address of a webhook nor its key has to stand in the environment; no output and no file has them."""
    data = tmp_path / "data"
    data.mkdir()
    done = commands(
        data,
        (["secrets", "set", "webhook_url"], f"{ADDRESS}\n"),
        (["secrets", "set", "webhook_secret"], SIGNATURE),
        (["secrets", "set", "port"], "8501"),
        (["secrets", "set", "webhook_url"], "zqMARKER without a scheme"),
        (["secrets", "set", "openai_api_key"], "  \n"),
        (["secrets", "list"], ""),
        (["secrets", "rotate"], ""),
        (["secrets", "remove", "nothing"], ""),
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
