from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import standardwebhooks

from services.core.actor import SERVICE, Actor, Role
from services.core.errors import BadInputError, ConflictError, ForbiddenError, UnavailableError
from services.core.settings import Settings
from services.operations.alerts import Alert, AlertKind
from services.operations.webhook import MAX_PER_DELIVERY, MAX_WAITING, Webhook, validated_address
from tests.operations.listener import Listener
from tests.servers import eventually

SECRET = "quiet water"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@contextmanager
def sending(url: str, secret: str = "", **options: Any) -> Iterator[Webhook]:
    quick: dict[str, Any] = {"gather": 0.0, "back_off": (0.01, 0.01), "timeout": 5.0}
    webhook = Webhook(url, secret, instance="mill:8501", now=time.time, **{**quick, **options})
    webhook.start()
    try:
        yield webhook
    finally:
        webhook.close()


def alert(text: str = "Level high, up from calm") -> Alert:
    return Alert(AlertKind.LEVEL_UP, text, 1000.0, {"rss_bytes": 5e8})


def delivered(webhook: Webhook, count: int = 1) -> Callable[[], bool]:
    return lambda: webhook.state().delivered >= count


def test_an_alert_arrives_with_its_signature(listener: Listener) -> None:
    """A server could not tell our alerts from somebody else's, or could not read them."""
    with sending(listener.url, SECRET) as webhook:
        webhook.send(alert())
        eventually(delivered(webhook), what="the delivery")
        state = webhook.state()
    ((path, headers, body),) = listener.requests
    assert path == "/hooks/token-in-the-path"
    assert headers["Content-Type"] == "application/json"
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Millpond-Signature"] == f"sha256={expected}"
    said = json.loads(body)
    assert said["instance"] == "mill:8501"
    assert said["text"] == "Level high, up from calm"
    assert said["alerts"] == [
        {"kind": "level_up", "text": "Level high, up from calm", "time": 1000.0, "figures": {"rss_bytes": 5e8}}
    ]
    assert state.signed
    assert state.last is not None
    assert state.last.arrived
    assert "token" not in state.address


@pytest.mark.parametrize(
    ("secret", "key"), [(SECRET, SECRET.encode()), ("whsec_" + base64.b64encode(b"0" * 24).decode(), b"0" * 24)]
)
def test_receivers_verify_by_the_standard(listener: Listener, secret: str, key: bytes) -> None:
    """A receiver with a library for Standard Webhooks checks signature and time, and tells repetitions by the id."""
    listener.answers = [503]
    with sending(listener.url, secret) as webhook:
        webhook.send(alert())
        eventually(delivered(webhook), what="the delivery")
    receiver = standardwebhooks.Webhook(key)
    said = [receiver.verify(body, headers) for _path, headers, body in listener.requests]
    assert [one["text"] for one in said] == ["Level high, up from calm"] * 2
    assert {headers["webhook-id"] for _path, headers, _body in listener.requests} == {said[0]["id"]}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(b"another key").verify(listener.requests[0][2], listener.requests[0][1])


def test_a_key_that_is_none_is_refused() -> None:
    """Signatures that no receiver can check would be found out with the first alert."""
    with pytest.raises(BadInputError, match="base64"):
        Webhook("http://127.0.0.1:9/", "whsec_", instance="mill", now=time.time)


def test_without_a_secret_nothing_is_signed(listener: Listener) -> None:
    """A signature with an empty key would look like one."""
    with sending(listener.url) as webhook:
        webhook.send(alert())
        eventually(delivered(webhook), what="the delivery")
    assert "X-Millpond-Signature" not in listener.requests[0][1]
    assert "webhook-signature" not in listener.requests[0][1]


def test_a_delivery_is_tried_again(listener: Listener) -> None:
    """A server that restarts just then would never hear of it, or take each try for another alert."""
    listener.answers = [503, 429]
    with sending(listener.url) as webhook:
        webhook.send(alert())
        eventually(delivered(webhook), what="the delivery")
        last = webhook.state().last
    assert last is not None
    assert last.tries == 3
    assert len({body["id"] for body in listener.bodies()}) == 1


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1), (301, 1)])
def test_what_does_not_arrive_is_said(listener: Listener, status: int, tries: int) -> None:
    """A failure that is hidden, tried for ever, or carried to another host by a redirect."""
    listener.answers = [status] * 5
    with sending(listener.url) as webhook:
        webhook.send(alert())
        eventually(lambda: webhook.state().failed, what="the failure")
        state = webhook.state()
    assert state.last is not None
    assert str(status) in state.last.problem
    assert state.last.tries == tries
    assert {path for path, _headers, _body in listener.requests} == {"/hooks/token-in-the-path"}
    assert state.delivered == 0


def test_a_flood_goes_out_together(listener: Listener) -> None:
    """A flood of alerts would be a flood of requests, or fill the memory; what is dropped must be said."""
    listener.hold.clear()
    with sending(listener.url) as webhook:
        webhook.send(alert("first"))
        eventually(lambda: listener.requests, what="the first request")
        for number in range(MAX_WAITING + 30):
            webhook.send(alert(f"number {number}"))
        assert webhook.state().waiting == MAX_WAITING
        assert webhook.state().dropped == 30
        listener.hold.set()
        eventually(delivered(webhook, MAX_WAITING + 1), what="the delivery of all")
    bodies = listener.bodies()
    assert len(bodies) == 1 + MAX_WAITING // MAX_PER_DELIVERY
    assert bodies[1]["dropped"] == 30
    assert bodies[-1]["alerts"][-1]["text"] == f"number {MAX_WAITING + 29}"


def test_nobody_waits_for_a_server_that_hangs(listener: Listener) -> None:
    """A hanging server would hold up the budget, or the end of the process."""
    listener.hold.clear()
    with sending(listener.url, timeout=0.2) as webhook:
        webhook.send(alert())
        eventually(lambda: webhook.state().failed, what="the failure")
        last = webhook.state().last
        assert last is not None
        assert "no answer" in last.problem
    assert not [thread for thread in threading.enumerate() if thread.name == "webhook"]


def test_the_end_does_not_wait_for_the_next_attempt(listener: Listener) -> None:
    """A pause of 20 seconds between two attempts would outlive the process's last seconds."""
    listener.answers = [503, 503]
    started = time.monotonic()
    with sending(listener.url, back_off=(60.0,)) as webhook:
        webhook.send(alert())
        eventually(lambda: listener.requests, what="the first attempt")
    assert time.monotonic() - started < 20
    eventually(lambda: len(listener.requests) == 2, what="the last attempt")
    assert not [thread for thread in threading.enumerate() if thread.name == "webhook"]


def test_what_waits_goes_out_at_the_end(listener: Listener) -> None:
    """The alert that says that the process restarts is the last one before its end."""
    webhook = Webhook(listener.url, "", instance="mill", now=time.time, gather=30.0)
    webhook.start()
    webhook.send(alert("A restart was asked for"))
    webhook.close()
    assert [body["text"] for body in listener.bodies()] == ["A restart was asked for"]


def test_a_test_says_how_it_ended(listener: Listener) -> None:
    """Whoever sets an address up learns only in an emergency that it is wrong."""
    user = Actor("somebody", Role.USER)
    with sending(listener.url) as webhook:
        assert webhook.send_test(SERVICE).arrived
        assert listener.bodies()[-1]["alerts"][0]["kind"] == "test"
        with pytest.raises(ForbiddenError):
            webhook.send_test(user)
        listener.answers = [500]
        with pytest.raises(UnavailableError, match="500"):
            webhook.send_test(SERVICE)
        assert len(listener.requests) == 2
    with sending("") as nowhere, pytest.raises(ConflictError):
        nowhere.send_test(SERVICE)


def test_a_server_that_is_not_there() -> None:
    """No connection at all must be said like any other failure."""
    with sending("http://127.0.0.1:9/") as webhook:
        webhook.send(alert())
        eventually(lambda: webhook.state().failed, what="the failure")
        last = webhook.state().last
    assert last is not None
    assert "ConnectError" in last.problem


def test_without_an_address_nothing_runs() -> None:
    """An alert that nobody takes must cost nothing."""
    with sending("") as webhook:
        webhook.send(alert())
        assert webhook.state().waiting == 0
        assert webhook.state().address == ""


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "javascript:alert(1)", "alerts.example.org", "http://", "http://a b/", "http://[::1", "http://a:x/"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Found out at the first alert, that is too late."""
    with pytest.raises(BadInputError):
        validated_address(url)


def test_settings_refuse_what_is_no_address() -> None:
    """The service would start and never alert anybody."""
    with pytest.raises(ValueError, match="http://"):
        Settings(webhook_url="file:///etc/passwd")
    assert Settings(webhook_url="https://alerts.example.org/x?key=1").webhook_url
