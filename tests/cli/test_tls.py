"""A server with TLS: versions, limits of handshakes, replaced certificates, restarts. A real, supervised process."""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from console.cli.remote_client import RemoteClient
from console.cli.tls import TlsFiles
from services.core.errors import BadInputError, UnavailableError
from tests.api.tab import run_page, tab
from tests.certificates import Pair, make_pair, replace
from tests.servers import Server, eventually, run, spawn
from tests.siege.connections import endpoint, is_closed, silent

HEADER_SECONDS, STALL_SECONDS = 2.0, 4.0
SLACK = 3.0  # the server looks once a second; the rest is a busy machine
DAY = 86_400.0


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[Server]:
    """A supervised server with TLS; in the end its log has no traceback."""
    folder = tmp_path_factory.mktemp("secure")
    certificate, key = pair.write(folder / "tls")
    key.chmod(0o644)
    server = spawn(
        folder / "data",
        arguments=("--supervise",),
        tls_cert=certificate,
        tls_key=key,
        header_seconds=HEADER_SECONDS,
        stall_seconds=STALL_SECONDS,
        allowed_hosts="pond.example",
    )
    try:
        server.wait_ready()
        yield server
    finally:
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def shake_hands(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection with TLS; raises what the handshake raises."""
    raw = socket.create_connection(endpoint(server), 10.0)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except OSError:
        raw.close()
        raise


def events(server: Server) -> list[str]:
    """Return what the time line says about certificates, the oldest first."""
    found = server.client.get("/api/memory/events", params={"kind": "certificate"}).raise_for_status().json()
    return [str(event["detail"]) for event in sorted(found["events"], key=lambda event: event["time"])]


def test_everything_goes_over_https(secure: Server) -> None:
    """The address, the health check, an upload of megabytes, a streamed answer, a page."""
    assert secure.url.startswith("https://127.0.0.1:")
    assert secure.client.get("/healthz").json() == {"status": "alive"}
    check = secure.client.get("/readyz").json()["checks"]["certificate"]
    assert (check["ok"], check["warning"]) == (True, False)
    assert re.fullmatch(r"valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC", check["detail"])
    secure.add("seals.txt", b"Seals are covered for 12 months.")
    noise = random.Random(1).randbytes(6_000_000)
    document = secure.add("noise.bin", noise)
    assert secure.client.get(f"/api/documents/{document}/original").content == noise
    body = {"model": "millpond", "messages": [{"role": "user", "content": "How long are seals covered?"}]}
    with secure.client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
        assert list(answer.iter_lines())[-2:] == ["data: [DONE]", ""]
    with tab(secure) as page:
        run_page(page)
        run_page(page)
    with pytest.raises(httpx.TransportError):
        httpx.get(secure.url.replace("https", "http") + "/healthz", trust_env=False)


def test_browsers_are_told_to_stay_with_tls(secure: Server) -> None:
    """A first request in plain text could be answered by anybody; for localhost it would shut out other programs."""
    named = secure.client.get("/healthz", headers={"Host": "pond.example"})
    assert named.headers["Strict-Transport-Security"] == "max-age=31536000"
    for host in ("localhost:8501", "127.0.0.1", "[::1]:8501"):
        assert "Strict-Transport-Security" not in secure.client.get("/healthz", headers={"Host": host}).headers


def test_old_versions_and_weak_ciphers_are_refused(secure: Server, pair: Pair) -> None:
    """What is broken could be chosen by whoever stands in between."""
    modern = pair.trusted()
    modern.set_alpn_protocols(["h2", "http/1.1"])
    with shake_hands(secure, modern) as connection:
        assert (connection.version(), connection.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    older = pair.trusted()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with shake_hands(secure, older) as connection:
        found = connection.cipher()
        assert found is not None
        assert re.fullmatch(r"ECDHE-.*(GCM|CHACHA20).*", found[0])
    weak = pair.trusted()
    weak.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        weak.minimum_version = weak.maximum_version = ssl.TLSVersion.TLSv1_1
    old_ciphers = pair.trusted()
    old_ciphers.maximum_version = ssl.TLSVersion.TLSv1_2
    old_ciphers.set_ciphers("AES128-SHA:AES256-SHA256:ECDHE-ECDSA-AES128-SHA256")
    for context in (weak, old_ciphers):
        with pytest.raises(ssl.SSLError):
            shake_hands(secure, context)


def test_half_handshakes_are_cut_off(secure: Server) -> None:
    """Who begins TLS and says no more would hold connections for good; neighbours are served meanwhile."""
    held = silent(secure, 100)
    hello = client_hello()
    for number, each in enumerate(held):
        each.sendall(hello[: 5 + number]) if number % 2 else None
    began = time.monotonic()
    assert secure.client.get("/healthz").status_code == 200
    with ExitStack() as opened:
        for each in held:
            opened.enter_context(closing(each))
        for each in held:
            eventually(lambda: is_closed(each), seconds=20, what="its end")  # noqa: B023 - called at once
        assert HEADER_SECONDS - 1 < time.monotonic() - began < HEADER_SECONDS + SLACK
    figures = secure.client.get("/metrics").text
    found = re.search(r'^millpond_connections_closed_total\{reason="handshake"\} (\S+)$', figures, re.MULTILINE)
    assert found is not None
    assert float(found[1]) >= 100


def client_hello() -> bytes:
    """Return the first message of a client."""
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def test_a_slow_handshake_and_what_is_no_tls(secure: Server, pair: Pair) -> None:
    """A slow line must get through; rubbish ends at once and leaves no traceback."""
    hello = client_hello()
    with socket.create_connection(endpoint(secure), 10.0) as slow:
        for place in range(0, len(hello), 100):
            slow.sendall(hello[place : place + 100])
            assert secure.client.get("/healthz").status_code == 200  # takes a moment, and others are served
        assert slow.recv(5)[0] == 0x16  # a handshake message of the server
    for rubbish in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" * 10, b"\0" * 500):
        with socket.create_connection(endpoint(secure), 10.0) as connection:
            connection.sendall(rubbish)
            eventually(lambda: is_closed(connection), seconds=5, what="its end")
    with shake_hands(secure, pair.trusted()) as quiet:  # TLS, and then no request
        began = time.monotonic()
        assert quiet.recv(1) == b""
        assert time.monotonic() - began < HEADER_SECONDS + SLACK


def test_who_does_not_read_is_cut_off(secure: Server, pair: Pair) -> None:
    """What is encrypted waits in a buffer below TLS, where nobody would look for it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(10.0)
    raw.connect(endpoint(secure))
    with pair.trusted().wrap_socket(raw, server_hostname="localhost") as deaf:
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60)
        eventually(lambda: closed_by_output(secure) >= 1, seconds=STALL_SECONDS + 20, what="its end")


def closed_by_output(server: Server) -> float:
    figures = server.client.get("/metrics").text
    found = re.search(r'^millpond_connections_closed_total\{reason="output"\} (\S+)$', figures, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_the_command_line_finds_it(secure: Server) -> None:
    """Commands speak to the running server, and to no other: it must have the certificate that the folder names."""
    done = run("status", "--json", "--data-dir", str(secure.data_dir))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["url"] == secure.url
    other = secure.data_dir.parent / "other.crt"
    other.write_bytes(make_pair().certificate)
    with pytest.raises(UnavailableError, match="does not respond"), RemoteClient(secure.url, str(other)):
        pass
    with pytest.raises(UnavailableError, match="cannot be read"):
        RemoteClient(secure.url, str(secure.data_dir / "missing.crt"))


def test_a_key_that_others_can_read_is_said(secure: Server) -> None:
    """Whoever has the key can be the server."""
    warnings = [line for line in secure.log.read_text().splitlines() if "can be read by every user" in line]
    assert len(warnings) == 1
    assert json.loads(warnings[0])["level"] == "warning"


def test_a_replaced_certificate_is_used_without_a_restart(secure: Server, pair: Pair) -> None:
    """Renewal every few weeks would need a restart; half of a pair would end the service."""
    folder = secure.data_dir.parent / "tls"
    following = make_pair(days=10)

    def served() -> bytes:
        pem = ssl.get_server_certificate(endpoint(secure), timeout=10.0)
        return ssl.PEM_cert_to_DER_cert(pem)

    with shake_hands(secure, pair.trusted()) as open_before:
        ask_health(open_before)
        replace(folder / "tls.crt", following.certificate[:300])
        eventually(lambda: any("not replaced" in text for text in events(secure)), seconds=30, what="the event")
        assert served() == ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
        problem = secure.client.get("/readyz").json()["checks"]["certificate"]
        assert problem["ok"]
        assert problem["warning"]
        replace(folder / "tls.crt", following.certificate)  # the key is still the old one
        replace(folder / "tls.key", following.key)
        eventually(lambda: served() == ssl.PEM_cert_to_DER_cert(following.certificate.decode()), what="the new one")
        ask_health(open_before)
    trust(secure, following)
    eventually(lambda: "ends in 9 days" in str(events(secure)), seconds=10, what="the warning")
    said = events(secure)
    assert [sum(words in text for text in said) for words in ("not replaced", "certificate replaced", "ends in")] == [
        1,
        1,
        2,
    ]
    assert secure.log.read_text().count('"event": "certificate not replaced"') == 1
    pair.write(folder)
    eventually(lambda: served() == ssl.PEM_cert_to_DER_cert(pair.certificate.decode()), what="the first one again")
    trust(secure, pair)


def ask_health(connection: ssl.SSLSocket) -> None:
    """Ask over an open connection, and wait for the whole answer."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b'"alive"}'):
        part = connection.recv(4096)
        assert part, answer
        answer += part


def trust(server: Server, pair: Pair) -> None:
    """Have the client open new connections, and trust this certificate for them."""
    server.trusted = pair.trusted()
    server.client.close()
    server.client = httpx.Client(base_url=server.url, timeout=60.0, trust_env=False, verify=server.trusted)


def test_a_planned_restart_goes_unnoticed(secure: Server) -> None:
    """The socket is handed on: handshakes wait in it instead of being refused."""
    old = json.loads((secure.data_dir / "millpond.lock").read_text())["pid"]
    secure.client.post("/api/restart").raise_for_status()

    def replaced() -> bool:
        assert secure.client.get("/healthz").status_code == 200
        text = (secure.data_dir / "millpond.lock").read_text()
        return bool(text) and json.loads(text)["pid"] not in {0, old}

    eventually(replaced, seconds=180, what="another process")
    secure.wait_ready()


# Without a server


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda one, _other: (one.certificate, None), "No such file"),
        (lambda one, other: (one.certificate, other.key), "another certificate"),
        (lambda one, _other: (one.certificate[:200], one.key), "no PEM files, or not whole"),
        (lambda one, _other: (b"", one.key), "cannot be used"),
        (lambda one, _other: (one.certificate, one.key[:40]), "cannot be used"),
    ],
)
def test_a_pair_that_cannot_be_used_is_refused_in_words(
    tmp_path: Path, spoil: Callable[[Pair, Pair], tuple[bytes, bytes | None]], said: str
) -> None:
    """The start would end in a traceback."""
    certificate, key = spoil(make_pair(), make_pair())
    (tmp_path / "c").write_bytes(certificate)
    if key is not None:
        (tmp_path / "k").write_bytes(key)
    with pytest.raises(BadInputError, match=said) as caught:
        TlsFiles(tmp_path / "c", tmp_path / "k")
    assert "tls_cert and tls_key must be" in caught.value.hint


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    """A service would wait for ever for somebody to type it."""
    from cryptography.hazmat.primitives import serialization

    pair = make_pair()
    key = serialization.load_pem_private_key(pair.key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    (tmp_path / "c").write_bytes(pair.certificate)
    (tmp_path / "k").write_bytes(locked)
    with pytest.raises(BadInputError, match="passphrase"):
        TlsFiles(tmp_path / "c", tmp_path / "k")


def test_the_end_of_a_certificate_is_said_in_time_and_once(tmp_path: Path) -> None:
    """It would end on a Sunday, and browsers would refuse the console."""
    now = time.time()
    clock = [now]
    files = TlsFiles(*make_pair(days=20).write(tmp_path), now=lambda: clock[0])
    assert files.refresh() == []
    said = []
    for day in range(22):
        clock[0] = now + day * DAY + 60
        said.append(len(files.refresh()))
        assert files.refresh() == []
    assert [day for day, count in enumerate(said) if count] == [6, 17, 20]
    assert files.check().warning
    assert "ended on" in files.check().detail
    assert files.check().ok  # it is served all the same: who checks nothing goes on
    make_pair(days=300).write(tmp_path)
    assert len(files.refresh()) == 1
    assert not files.check().warning


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    """Some tools write the key and the chain into one file."""
    pair = make_pair()
    (tmp_path / "both.pem").write_bytes(pair.key + pair.certificate)
    (tmp_path / "both.pem").chmod(0o640)
    files = TlsFiles(tmp_path / "both.pem", tmp_path / "both.pem")
    assert files.info.names
    assert not files.is_key_open()
