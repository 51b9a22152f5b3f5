import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from console.cli.listener import address_of, listen, refuse_exposure
from services.core.errors import BadInputError, ConflictError
from services.core.settings import Settings
from services.operations.data_lock import DataLock
from tests.servers import ROOT, environment, eventually, run, spawn


def settings(tmp_path: Path, **given: object) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path, **given})


def test_help_imports_nothing_heavy() -> None:
    """`--help` must answer at once: neither the model's libraries nor the web's are imported for it."""
    code = (
        "import sys\n"
        "sys.argv = ['millpond', '--help']\n"
        "import console.__main__\n"
        "try:\n    console.__main__.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'streamlit', 'faiss', 'fastapi', 'sqlalchemy', 'numpy', 'pydantic', 'langchain', 'httpx'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for command in ("serve", "ingest", "ask", "status"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_loopback_is_allowed(tmp_path: Path, host: str) -> None:
    """Every name of this machine's loopback may be listened on."""
    refuse_exposure(settings(tmp_path, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_exposure_needs_sign_in_and_encryption(tmp_path: Path, host: str) -> None:
    """Beyond loopback everybody could act, or read passwords on their way; `--insecure` is for tests."""
    signed_in = {"host": host, "visitors": "user", "admin_token": "x" * 20}
    for lacking in ({"host": host}, {**signed_in, "admin_token": ""}, {"host": host, "tls_cert": "c.pem"}):
        with pytest.raises(BadInputError, match=re.escape(host)) as caught:
            refuse_exposure(settings(tmp_path, **lacking))
        assert "no sign-in" in caught.value.message
        assert "--insecure" in caught.value.hint
    with pytest.raises(BadInputError, match="without encryption") as caught:
        refuse_exposure(settings(tmp_path, **signed_in))
    assert "MILLPOND_TRUSTED_PROXIES" in caught.value.hint
    refuse_exposure(settings(tmp_path, **signed_in, tls_cert="c.pem"))
    refuse_exposure(settings(tmp_path, **signed_in, trusted_proxies="10.0.0.1"))
    refuse_exposure(settings(tmp_path, host=host, insecure=True))


def test_an_account_is_sign_in(tmp_path: Path) -> None:
    """Whoever has made an account first would still be told that there is no sign-in."""
    exposed = settings(tmp_path, host="0.0.0.0", trusted_proxies="10.0.0.1")
    for statement in ("", "CREATE TABLE people (id INTEGER PRIMARY KEY)"):
        with closing(sqlite3.connect(tmp_path / "millpond.db")) as database, database:
            database.execute(statement)
        with pytest.raises(BadInputError, match="no sign-in"):
            refuse_exposure(exposed)
    subprocess.run(
        [sys.executable, "-m", "console", "users", "add", "ada", "--role", "admin", "--password-stdin"],
        input="seven long words are enough here\n",
        env=environment(data_dir=tmp_path / "real"),
        cwd=ROOT,
        text=True,
        check=True,
    )
    refuse_exposure(exposed.model_copy(update={"data_dir": tmp_path / "real"}))


def test_a_socket_that_somebody_else_opened_is_no_way_around(tmp_path: Path) -> None:
    """systemd could listen everywhere while the settings say loopback."""
    refuse_exposure(settings(tmp_path), "127.0.0.1")
    with pytest.raises(BadInputError, match="no sign-in"):
        refuse_exposure(settings(tmp_path), "0.0.0.0")


def test_unknown_host_name(tmp_path: Path) -> None:
    """A name that no address belongs to is refused in words."""
    with pytest.raises(BadInputError, match=r"no-such-host\.invalid"):
        refuse_exposure(settings(tmp_path, host="no-such-host.invalid"))


def test_exposure_is_refused_on_the_command_line(tmp_path: Path) -> None:
    """The refusal reaches a person as two lines and an exit code."""
    done = run("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "no sign-in" in done.stderr
    assert "--insecure" in done.stderr
    assert "Traceback" not in done.stderr


def test_taken_port_is_explained(tmp_path: Path) -> None:
    """A port that another program listens on is named, with a way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConflictError, match=str(port)) as caught:
            listen(settings(tmp_path, port=port))
    assert "--port" in caught.value.hint


def test_free_port_is_found_and_told(tmp_path: Path) -> None:
    """Port 0 takes a free one, and the address names the real one."""
    listener = listen(settings(tmp_path, port=0))
    try:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def test_setting_that_cannot_be_is_explained(tmp_path: Path) -> None:
    """A wrong value in the environment is named with its variable."""
    done = run("serve", "--data-dir", str(tmp_path), upload_limit_mb="many")
    assert done.returncode == 1
    assert "upload_limit_mb" in done.stderr
    assert "MILLPOND_UPLOAD_LIMIT_MB" in done.stderr
    assert "Traceback" not in done.stderr


def test_start_tells_what_it_does_and_answers_at_once(tmp_path: Path) -> None:
    """While models load, /healthz says alive and /readyz what is missing; a signal in the end stops it cleanly.

    A second server is refused: on the same data folder with the address of the one that runs, and on the same port.
    """
    server = spawn(tmp_path / "data")
    try:
        assert server.client.get("/healthz").json() == {"status": "alive"}
        early = server.client.get("/readyz")
        if early.status_code == 503:
            assert early.json()["status"] == "not ready"
        server.wait_ready()
        checks = server.client.get("/readyz").json()["checks"]
        assert set(checks) == {"store", "index", "embedder", "chat model", "disk", "accepting", "database"}
        assert all(check["ok"] for check in checks.values())
        for port in ("0", server.url.rpartition(":")[2]):
            second = run("serve", "--port", port, "--data-dir", str(tmp_path / "data"))
            assert second.returncode == 1
            assert (server.url if port == "0" else "already runs") in second.stderr
    finally:
        code = server.stop(signal.SIGINT)
    assert code == 0
    told = "".join(server.output)
    assert "loading the embedding model" in told
    assert f"Millpond is ready at {server.url}" in told
    assert "Traceback" not in server.log.read_text()


def test_tabs_and_uploads_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    """With a page's WebSocket open and an upload under way, a signal still ends the server, and the data folder is free
    again; the upload gets a plain 503, the log no traceback, and nothing of the file stays."""
    server = spawn(tmp_path / "data")
    server.wait_ready()
    request = (
        "GET /_stcore/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: streamlit\r\n\r\n"
    )
    head = (
        "POST /api/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="half.txt"\r\n\r\n'
    )
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address) as tab, socket.create_connection(address) as connection:
        tab.sendall(request.encode())
        assert b" 101 " in tab.recv(4096)
        connection.sendall(head.encode() + b"half of it " * 150_000)
        eventually(lambda: any((server.data_dir / "files").rglob("*")), what="the first bytes on disk")
        server.process.send_signal(signal.SIGTERM)
        connection.settimeout(30)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert server.process.wait(30) == 0
    server.client.close()
    assert answer.startswith(b"HTTP/1.1 503"), answer
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["type"] == "urn:millpond:problem:unavailable"
    assert "stopped" in document["detail"]
    assert "Traceback" not in server.log.read_text()
    assert not [path for path in (server.data_dir / "files").rglob("*") if path.is_file()]
    assert DataLock(tmp_path / "data").holder() is None


def test_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    """A server that is told to stop while it loads its model stops within seconds, without a traceback."""
    server = spawn(tmp_path / "data")
    assert server.stop(signal.SIGTERM) == 0
    assert "Traceback" not in server.log.read_text()


def test_start_that_cannot_succeed_says_why(tmp_path: Path) -> None:
    """A model folder that does not exist ends the start with a message and an exit code."""
    done = run("serve", "--port", "0", "--data-dir", str(tmp_path / "data"), embedding_model=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "none" in done.stderr.splitlines()[-2] + done.stderr.splitlines()[-1]
    assert "is ready" not in done.stdout


def test_streamlit_settings_take_effect_from_another_folder(tmp_path: Path) -> None:
    """Started from elsewhere, the pages still have our settings, and the upload limit follows Millpond's own."""
    code = (
        "import sys; from pathlib import Path\n"
        "from services.core.settings import Settings\n"
        "from console.asgi import create_app\n"
        "create_app(Settings(data_dir=Path(sys.argv[1]), upload_limit_mb=7))\n"
        "import streamlit as st\n"
        "print(st.get_option('browser.gatherUsageStats'), st.get_option('runner.postScriptGC'),\n"
        "      st.get_option('theme.light.primaryColor'), st.get_option('server.maxUploadSize'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    config = tomllib.loads((ROOT / "console" / ".streamlit" / "config.toml").read_text())
    colour = config["theme"]["light"]["primaryColor"]
    assert done.stdout.split() == ["False", "False", colour, "7"]
