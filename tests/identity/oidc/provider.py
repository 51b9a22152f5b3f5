"""A real identity provider for tests, npm oidc-provider, and browsers that sign in with it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.clients import provide_clients
from tests.servers import Server

CLIENT = "millpond"
FONTS = "https://fonts.googleapis.com/"  # what its pages ask another host for
SECRET = "a secret that only both of them know"
SCRIPT = Path(__file__).with_name("provider.mjs")
needs_provider = pytest.mark.skipif(
    not provide_clients.is_installed("oidc"), reason="oidc is installed by tests/clients/provide_clients.py"
)


@dataclass
class Provider:
    """A running provider. What `state` says counts with its next request."""

    process: subprocess.Popen[str]
    file: Path
    lines: queue.Queue[str]
    url: str = ""
    state: dict[str, Any] = field(default_factory=dict)

    def set(self, **state: Any) -> None:
        """Change what it knows, and how it fails."""
        self.state |= state
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.state))
        new.replace(self.file)

    def rotate(self) -> None:
        """Give it a new key; the old one is gone."""
        self.process.send_signal(signal.SIGUSR2)
        assert self.lines.get(timeout=30).startswith("key-")

    def know(self, console: str, base_path: str = "") -> None:
        """Register a console at its address."""
        self.set(
            redirects=[f"{console}{base_path}/sign-in/oidc/callback"],
            logouts=[f"{console}{base_path}/sign-in?signed-out"],
        )
        self.rotate()

    def settings(self, **more: object) -> dict[str, object]:
        """Return the settings of a console that people sign in to with it."""
        return {
            "oidc_issuer": self.url,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            "oidc_create": True,
        } | more

    def requests(self, path: str) -> int:
        """Return how often an address of it was asked for."""
        return int(httpx.get(f"{self.url}/requests", trust_env=False).json().get(path, 0))


@contextmanager
def providing(folder: Path, people: dict[str, dict[str, Any]]) -> Iterator[Provider]:
    """Start a provider that knows these people by their subjects, which are what they type to sign in."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "provider.json"
    file.write_text(json.dumps({"people": people, "redirects": ["http://127.0.0.1:1/"], "logouts": []}))
    process = subprocess.Popen(
        ["node", str(SCRIPT), str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NODE_FOLDER": str(provide_clients.PROVIDER_FOLDER)},
    )
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    try:
        provider = Provider(process, file, lines, lines.get(timeout=60).strip(), json.loads(file.read_text()))
        assert provider.url.startswith("http://"), provider.url
        yield provider
    finally:
        process.terminate()
        process.wait(30)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            if line.startswith(("http://", "key-")):
                lines.put(line)


@dataclass
class Visit:
    """A browser at the console and at the provider."""

    console: httpx.Client
    provider: httpx.Client

    def begin(self, place: str = "/api/collections") -> str:
        """Click on the provider's button; return the address that the browser is sent to."""
        sent = self.console.get("/sign-in/oidc", params={"next": place})
        assert sent.status_code == 303, sent.text
        return sent.headers["location"]

    def approve(self, address: str, login: str) -> str:
        """Sign in at the provider; return the path by which the browser comes back to the console."""
        answer = self.provider.get(address)
        while answer.status_code == 303 and not _is_back(answer.headers["location"]):
            answer = self.provider.get(answer.headers["location"])
            if answer.status_code == 200:
                form = {"prompt": "login", "login": login, "password": "any"}
                answer = self.provider.post(answer.url, data=form)
        assert answer.status_code == 303, answer.text
        back = urlsplit(answer.headers["location"])
        return f"/sign-in/oidc/callback?{back.query}"

    def sign_in(self, login: str, place: str = "/api/collections") -> httpx.Response:
        """Go the whole way; return the console's last answer."""
        return self.console.get(self.approve(self.begin(place), login))


def _is_back(address: str) -> bool:
    return urlsplit(address).path.endswith("/sign-in/oidc/callback")


@contextmanager
def visiting(server: Server, provider: Provider) -> Iterator[Visit]:
    """Open a browser that has been nowhere yet."""
    with (
        httpx.Client(base_url=server.url, timeout=60.0, trust_env=False, verify=server.trusted or True) as console,
        httpx.Client(base_url=provider.url, timeout=60.0, trust_env=False) as other,
    ):
        yield Visit(console, other)
