from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.chat.models.circuit_breaker import BreakerState
from tests.certificates import make_pair
from tests.core.shared_cache.sharing import SharingNode, entries, sharing
from tests.front.fronts import free_ports
from tests.redis_server import PASSWORD, RedisServer, redis_server
from tests.servers import eventually


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """A server that a test may stop."""
    with redis_server() as server:
        yield server
        server.go_on()


def asked_until_left_alone(node: SharingNode) -> float:
    """Ask for what is not there until the server is left alone; return the longest time that a look-up took."""
    longest = 0.0
    number = 0

    def left_alone() -> bool:
        nonlocal longest, number
        number += 1
        began = time.monotonic()
        assert node.caches.answers.get(f"missing-{number}") is None
        longest = max(longest, time.monotonic() - began)
        return node.shared.status().state == "open"

    eventually(left_alone, seconds=20.0, what="the breaker")
    return longest


def test_a_server_that_is_gone_and_comes_back(own: RedisServer) -> None:
    """Questions would fail or wait while it is away, or it would stay away for good once it was."""
    with sharing(own) as one:
        one.keep("key", b"an answer")
        own.stop()
        assert asked_until_left_alone(one) < 1.0
        status = one.shared.status()
        assert (status.reason, status.opened) == ("The shared cache (Redis) cannot be reached.", 1)
        began = time.monotonic()
        for number in range(200):
            assert one.caches.answers.get(f"missing-{number}") is None
            one.caches.answers.put(f"new-{number}", b"an answer")
        assert time.monotonic() - began < 1.0, "it is asked nothing"
        assert one.caches.answers.get("key") == b"an answer"
        assert one.shared.status().requests == status.requests
        own.start()
        one.usable()
        assert one.shared.status().reason == ""
        one.keep("another", b"an answer", cache="searches")
        with sharing(own) as two:
            assert two.caches.searches.get("another") == b"an answer"


def test_a_server_that_hangs(own: RedisServer) -> None:
    """A question would wait for as long as the server hangs; or it would go on being asked."""
    with sharing(own) as one:
        one.keep("key", b"an answer")
        one.caches.answers.clear()
        own.hold_up()
        assert asked_until_left_alone(one) < 1.0
        assert one.shared.status().reason == "The shared cache (Redis) does not answer in time."
        own.go_on()
        one.usable()
        assert one.caches.answers.get("key") == b"an answer"


def test_a_server_that_hangs_when_many_ask(own: RedisServer) -> None:
    """Threads would queue up for its connections, each for as long as all before it."""
    with sharing(own) as one:
        own.hold_up()
        slow: list[float] = []

        def ask(number: int) -> None:
            began = time.monotonic()
            one.caches.answers.get(f"missing-{number}")
            slow.append(time.monotonic() - began)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(slow) == 40
        assert max(slow) < 1.5


def test_it_is_not_there_at_the_start(own: RedisServer) -> None:
    """A node would not start, or never use the server that came later."""
    own.stop()
    node = SharingNode(own.url)
    node.shared.start()
    try:
        eventually(lambda: node.shared.status().state == "open", seconds=20.0)
        own.start()
        node.usable()
        node.keep("key", b"an answer")
    finally:
        node.shared.close()


def test_a_wrong_password_is_said(redis: RedisServer) -> None:
    """It would look like a server that is not there; or the password would stand in what is shown."""
    url = redis.url.replace("a%20password", "another")
    node = SharingNode(url)
    node.shared.start()
    try:
        eventually(lambda: node.shared.status().state == "open", seconds=20.0)
        assert node.shared.status().reason == "The shared cache (Redis) refuses the password."
    finally:
        node.shared.close()


@contextmanager
def lying_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Have a program that is no Redis take connections, and `answer` on each."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _address = listening.accept()
                    threading.Thread(target=answer_one, args=(connection,), daemon=True).start()

        def answer_one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"$99999999999\r\n")
    while True:
        connection.sendall(bytes(1_000_000))


def _drop_by_drop(connection: socket.socket) -> None:
    pause = threading.Event()
    connection.sendall(b"$1000\r\n")
    while True:
        connection.sendall(b"a")
        pause.wait(0.02)


def _nested(connection: socket.socket) -> None:
    connection.sendall(b"*1\r\n" * 100_000)


def _web(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _numbers(connection: socket.socket) -> None:
    connection.sendall(b":5\r\n" * 10)


@pytest.mark.parametrize("answer", [_endless, _drop_by_drop, _nested, _web, _numbers])
def test_what_is_no_redis(answer: Callable[[socket.socket], None]) -> None:
    """It would fill the memory, hold a question up by a byte now and then, or fail it."""
    with lying_server(answer) as url:
        node = SharingNode(url)  # its thread does not run: it is the question that asks
        try:
            assert asked_until_left_alone(node) < 1.0
            assert node.shared.status().reason
        finally:
            node.shared.close()


def test_many_changes_are_one(own: RedisServer) -> None:
    """The breaker would go on opening and closing over a server that is away, and fill log and time line."""
    with sharing(own) as one:
        own.stop()
        asked_until_left_alone(one)
        eventually(lambda: one.changes.count(BreakerState.HALF_OPEN) >= 2, seconds=20.0)
        assert BreakerState.CLOSED not in one.changes
        own.start()
        one.usable()
        assert one.changes[-1] is BreakerState.CLOSED


def test_deleted_means_gone_from_the_server(redis: RedisServer) -> None:
    """Answers that cite a deleted document would stay in the server; or what does not depend on documents would go."""
    with sharing(redis) as one, sharing(redis, pond="another") as other:
        one.keep("answer", b"cites it")
        one.keep("result", b"has its text", cache="searches")
        one.keep("vector", b"of a question", cache="embeddings")
        other.keep("answer", b"of other documents")
        one.version = "2"
        one.caches.forget_documents()
        one.settled()
        left = entries(redis)
        assert len([name for name in left if b"0123456789abcdef" in name]) == 1
        assert other.caches.answers.get("answer") == b"of other documents"
        with sharing(redis) as two:
            assert two.caches.answers.get("answer") is None
            assert two.caches.embeddings.get("vector") == b"of a question"


def test_what_is_kept_late_goes_as_well(redis: RedisServer) -> None:
    """An answer from before the deletion that another node is keeping in this moment would stay."""
    with sharing(redis) as one, sharing(redis) as two:
        one.caches.forget_documents()
        one.settled()
        two.keep("answer", b"cites what is deleted")
        eventually(lambda: not entries(redis), seconds=10.0)


def test_an_erasure_is_owed_while_the_server_is_away(own: RedisServer) -> None:
    """What was deleted while it was away would be there when it is back."""
    with sharing(own) as one:
        one.keep("answer", b"cites it")
        own.hold_up()
        asked_until_left_alone(one)
        one.version = "2"
        one.caches.forget_documents()
        assert one.shared.status().owed_seconds > 0
        own.go_on()
        one.settled()
        assert not entries(own)


def test_a_process_that_was_killed_owes_nothing_for_ever(redis: RedisServer) -> None:
    """What it had deleted would stay until it expires; or each start would empty the cache of all nodes."""
    with sharing(redis) as one:
        one.keep("answer", b"an answer")
    with sharing(redis) as next_one:
        assert next_one.caches.answers.get("answer") == b"an answer"
    with sharing(redis, version="2"):
        assert not entries(redis)


def test_the_state_of_documents_may_not_be_known_yet(redis: RedisServer) -> None:
    """A node that starts while documents change would erase what others have, or never look."""
    with sharing(redis) as one:
        one.keep("answer", b"an answer")
    node = SharingNode(redis.url, version="")
    node.shared.start()
    try:
        assert node.caches.answers.get("answer") == b"an answer"
        node.version = "1"
        node.keep("another", b"an answer")
        assert len(entries(redis)) == 2
    finally:
        node.shared.close()


def test_what_waits_to_be_kept_is_bounded(own: RedisServer) -> None:
    """While the server is slow, what is computed would pile up in memory."""
    with sharing(own, answer_cache_mb=64) as one:
        own.hold_up()
        for number in range(100):
            one.caches.answers.put(f"key-{number}", bytes(100_000))
        assert one.shared._waiting_bytes <= 4 * 1_048_576
        assert one.shared.status().dropped >= 50
        one.caches.answers.put("large", bytes(2_000_000))
        assert one.caches.answers.get("large") is not None


def test_a_server_with_tls(tmp_path: Path) -> None:
    """Answers would go over the network readable, or to whoever shows some certificate."""
    certificate, key = make_pair().write(tmp_path)
    other, _key = make_pair().write(tmp_path / "other")
    (port,) = free_ports(1)
    files = {"cert-file": certificate, "key-file": key, "ca-cert-file": certificate, "auth-clients": "no", "port": port}
    options = [part for name, value in files.items() for part in (f"--tls-{name}", str(value))]
    url = f"rediss://:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}"
    with redis_server(*options) as server:
        with sharing(server, f"{url}?ca={certificate}") as one:
            one.keep("key", b"an answer")
            one.caches.answers.clear()
            assert one.caches.answers.get("key") == b"an answer"
        for refused in (url, f"{url}?ca={other}"):
            node = SharingNode(refused)
            try:
                asked_until_left_alone(node)
            finally:
                node.shared.close()
