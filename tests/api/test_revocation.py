"""Ended sessions, disabled people and withdrawn rights count within a second: for pages, answers, requests, uploads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.chat.model_server import ModelServer, model_server
from tests.servers import eventually, serving
from tests.team import COOKIE, PASSWORD, Team, join_people
from tests.visitors import visiting

WITHIN_SECONDS = 1.0
SIGNED_OUT = 4401
QUESTION = {"messages": [{"role": "user", "content": "How long are seals covered?"}], "stream": True}


@pytest.fixture(scope="module")
def slow_model() -> Iterator[ModelServer]:
    """A chat server that stops in the middle of each answer."""
    with model_server() as server:
        yield server


@contextmanager
def within(seconds: float = WITHIN_SECONDS) -> Iterator[Callable[[], float]]:
    """Yield what says how much of the time is left."""
    began = time.monotonic()
    yield lambda: max(0.01, seconds - (time.monotonic() - began))
    assert time.monotonic() - began <= seconds


@pytest.fixture(scope="module")
def team(slow_model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A server with accounts and that chat server.

    Whoever had a page open before the first account was made does not stay an administrator in it.
    """
    model = {"openai_base_url": slow_model.openai("midhang"), "openai_model": "tiny", "openai_api_key": "k"}
    folder = tmp_path_factory.mktemp("revocation") / "data"
    with serving(folder, new_collection_access="write", **model) as server:
        document = server.add("seals.txt", b"Seals are covered for 12 months.")
        assert server.wait_finished(document)["status"] == "ready"
        with visiting(server.url) as tab:
            tab.open()
            with within() as left:
                made = server.client.post("/api/people", json={"name": "ada", "password": PASSWORD, "role": "admin"})
                assert made.status_code == 201, made.text
                assert tab.closed(left()) == SIGNED_OUT
        assert server.client.get("/api/collections").status_code == 401
        assert server.client.get("/", headers={"Accept": "text/html"}).status_code == 303
        yield join_people(server, made.json()["id"])


def session_of(team: Team, name: str) -> str:
    """Sign somebody in and return the cookie of their new session."""
    with team.browser() as client:
        answer = client.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(f"{COOKIE}="))
        return cookie.partition(";")[0]


def disable(team: Team, name: str, *, disabled: bool = True) -> None:
    """Disable an account, or let it in again."""
    with team.browser("ada") as admin:
        changed = admin.patch(f"/api/people/{team[name].id}", json={"disabled": disabled})
        assert changed.status_code == 200, changed.text


class Streaming:
    """An answer that somebody reads as it is written; it hangs in the middle."""

    def __init__(self, client: httpx.Client) -> None:
        self.begun = threading.Event()
        self.ended_at = 0.0
        self._client = client
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self.begun.wait(30)

    def wait(self, seconds: float) -> None:
        """Wait for its end; fails if it has not come by then."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the answer went on"

    def _read(self) -> None:
        try:
            with self._client.stream("POST", "/v1/chat/completions", json=QUESTION) as answer:
                for line in answer.iter_lines():
                    if "content" in line:
                        self.begun.set()
        except httpx.TransportError:
            pass
        self.ended_at = time.monotonic()


def test_signing_out_closes_the_tabs_of_that_session_alone(team: Team) -> None:
    """A page would stay open to whoever sits there next; or a sign-out would end the work on another machine."""
    here, there = session_of(team, "uma"), session_of(team, "uma")
    with visiting(team.server.url, here) as one, visiting(team.server.url, there) as other:
        one.open()
        other.open()
        with team.browser(Cookie=here) as client, within() as left:
            assert client.post("/sign-out").status_code == 303
            assert one.closed(left()) == SIGNED_OUT
        other.open("documents")
        with pytest.raises(InvalidStatus), visiting(team.server.url, here):
            pass


def test_a_disabled_person_is_out_within_a_second(team: Team) -> None:
    """Somebody who was dismissed would read on: in an open page, an answer, with a token."""
    cookie = session_of(team, "uma")
    try:
        with visiting(team.server.url, cookie) as tab, team.program("uma", "ask") as program:
            tab.open()
            answer = Streaming(program)
            with within() as left:
                disable(team, "uma")
                assert tab.closed(left()) == SIGNED_OUT
                answer.wait(left())
            assert program.get("/v1/models").status_code == 401
            with team.browser(Cookie=cookie) as browser:
                assert browser.get("/api/collections").status_code == 401
        with team.browser("ada") as admin:
            running = admin.get("/api/requests").json()["running"]
            assert not [request for request in running if request["user"] == "uma"]
    finally:
        disable(team, "uma", disabled=False)


def test_an_answer_of_a_page_ends_with_the_session(team: Team, slow_model: ModelServer) -> None:
    """The chat server would go on writing for somebody who is not there any more."""
    cookie = session_of(team, "uma")
    with visiting(team.server.url, cookie) as tab:
        tab.ask("How long are seals covered?", wait=False)
        assert slow_model.wait(lambda: slow_model.open > 0)
        with team.browser(Cookie=cookie) as client, within() as left:
            assert client.post("/sign-out").status_code == 303
            assert tab.closed(left()) == SIGNED_OUT
            eventually(lambda: slow_model.open == 0, seconds=left(), what="the end of the answer")


def test_a_revoked_token_ends_what_it_does(team: Team) -> None:
    """A token that was revoked because it leaked would go on reading until its answer ends."""
    with team.browser(Cookie=session_of(team, "uma")) as uma:
        made = uma.post("/api/account/tokens", json={"name": "leaked", "scopes": ["ask"]})
        assert made.status_code in {200, 201}, made.text
        token, number = made.json()["token"], made.json()["info"]["id"]
        with team.client(Authorization=f"Bearer {token}") as program:
            answer = Streaming(program)
            with within() as left:
                assert uma.delete(f"/api/account/tokens/{number}").is_success
                answer.wait(left())
            assert program.get("/v1/models").status_code == 401


def test_an_upload_ends_with_its_session(team: Team) -> None:
    """A file that somebody sends while being thrown out would still be stored."""
    begun = threading.Event()

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="late.txt"\r\n\r\nbegun'
        begun.set()
        ended.wait(10)
        yield b" and ended\r\n--x--\r\n"

    ended = threading.Event()
    cookie = session_of(team, "uma")
    statuses: list[int] = []

    def upload() -> None:
        with team.browser(Cookie=cookie) as client:
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            try:
                statuses.append(client.post("/api/documents", content=body(), headers=headers).status_code)
            except httpx.TransportError:
                statuses.append(0)

    thread = threading.Thread(target=upload)
    thread.start()
    assert begun.wait(10)
    with team.browser("ada") as admin:
        eventually(lambda: [1 for each in admin.get("/api/requests").json()["running"] if each["kind"] == "upload"])
        with team.browser(Cookie=cookie) as client, within():
            assert client.post("/sign-out").status_code == 303
            eventually(
                lambda: not [1 for each in admin.get("/api/requests").json()["running"] if each["kind"] == "upload"],
                seconds=WITHIN_SECONDS,
            )
        ended.set()
        thread.join(20)
        assert statuses[0] != 202
        assert not admin.get("/api/documents", params={"query": "late"}).json()["documents"]


def test_another_role_counts_in_open_pages(team: Team) -> None:
    """Somebody who may no longer see memory would still see it in a page that is open."""
    cookie = session_of(team, "ole")
    with team.browser("ada") as admin, visiting(team.server.url, cookie) as tab:
        tab.open("memory")
        assert "memory" in tab.menu
        try:
            with within() as left:
                assert admin.patch(f"/api/people/{team['ole'].id}", json={"role": "user"}).status_code == 200
                tab.wait_run(left())
            assert "memory" not in tab.menu
            assert any("Your role may not see this page." in text for text in tab.texts)
            with team.browser(Cookie=cookie) as client:
                assert client.get("/api/memory").status_code == 403
        finally:
            assert admin.patch(f"/api/people/{team['ole'].id}", json={"role": "operator"}).status_code == 200


def test_pictures_and_uploads_belong_to_a_tab(team: Team) -> None:
    """Somebody who learns an address from another tab could take what is there, or put something."""
    mine, other = session_of(team, "uma"), session_of(team, "aud")
    with visiting(team.server.url, mine) as tab:
        tab.open()
        address = f"/_stcore/upload_file/{tab.session_id}/1"
        with team.browser(Cookie=other) as client:
            assert client.put(address, files={"file": ("a.txt", b"a")}).status_code == 404
        with team.browser(Cookie=mine) as client:
            assert client.put(address, files={"file": ("a.txt", b"a")}).status_code == 403  # Streamlit's own token
