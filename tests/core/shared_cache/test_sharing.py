from __future__ import annotations

import pytest

from services.core.cache import cache_key
from tests.core.shared_cache.sharing import entries, sharing
from tests.redis_server import RedisServer
from tests.servers import eventually


def test_another_node_finds_what_one_has_computed(redis: RedisServer) -> None:
    """Each node would compute everything itself; or a value that came from the other one would be fetched each time."""
    with sharing(redis) as one, sharing(redis) as two:
        one.keep("key", b"an answer")
        assert two.caches.answers.get("key") == b"an answer"
        assert two.caches.answers.get("key") == b"an answer"
        shelf = two.shared.shelf("answer_cache")
        assert shelf is not None
        assert (shelf.hits, shelf.misses) == (1, 0)
        assert (two.caches.answers.stats().hits, two.caches.answers.stats().misses) == (1, 1)
        assert two.caches.searches.get("key") is None, "each cache has names of its own"


def test_it_is_computed_once_for_all_nodes(redis: RedisServer) -> None:
    """Whoever comes second would compute it, too, or what they compute would not be shared."""
    with sharing(redis) as one, sharing(redis) as two:
        assert one.caches.embeddings.get_or_compute("key", lambda: b"vector") == b"vector"
        eventually(lambda: one.stored("embeddings"), seconds=10.0)

        def compute() -> bytes:
            pytest.fail("it is there")

        assert two.caches.embeddings.get_or_compute("key", compute) == b"vector"


def test_many_are_asked_for_at_once(redis: RedisServer) -> None:
    """Each of fifty sentences would take a way to the server and back; or values would come for other keys."""
    keys = [f"key-{number}" for number in range(300)]
    with sharing(redis) as one, sharing(redis) as two:
        for key in keys[::2]:
            one.caches.embeddings.put(key, key.encode())
        eventually(lambda: len(entries(redis)) == 150, seconds=10.0)
        two.caches.embeddings.put("key-1", b"own")
        expected = [b"own" if key == "key-1" else key.encode() if key in keys[::2] else None for key in keys]
        assert two.caches.embeddings.get_all(keys) == expected
        assert two.shared.status().requests == 2


@pytest.mark.parametrize(
    "other",
    [{"pond": "another"}, {"secret": b"the secret of another pond, too."}, {"meaning": "1.1"}],
    ids=["pond", "secret", "version and settings"],
)
def test_what_differs_shares_nothing(redis: RedisServer, other: dict[str, str]) -> None:
    """Two ponds over one server would answer from each other's documents, or a node from before an upgrade or with
    other settings in its own way.
    """
    with sharing(redis) as one, sharing(redis, **other) as two:
        one.keep("key", b"an answer")
        assert two.caches.answers.get("key") is None
        assert two.shared.status().broken == 0, "it does not even have the name"


def test_what_may_be_read_keeps_answers_apart(redis: RedisServer) -> None:
    """The answer of somebody who may read more would come to whoever asks the same at another node."""
    with sharing(redis) as one, sharing(redis) as two:
        one.keep(cache_key("question", [[], [1, 2]]), b"with both")
        assert two.caches.answers.get(cache_key("question", [[], [1]])) is None
        assert two.caches.answers.get(cache_key("question", [[], [1, 2]])) == b"with both"


def test_the_server_learns_nothing(redis: RedisServer) -> None:
    """Who looks into the server, or its copy on a disk, would read answers, or try which questions were asked."""
    key = cache_key("How long are seals covered?")
    with sharing(redis) as one:
        one.keep(key, b"Seals are covered for seven years.")
    with redis.client() as client:
        for name in client.scan_iter():
            held = client.dump(name)
            assert isinstance(held, bytes)
            assert b"seven" not in held
            assert key.encode() not in name


@pytest.mark.parametrize("lie", ["other value", "cut", "changed", "empty", "huge", "list", "forever"])
def test_a_lie_is_a_miss(redis: RedisServer, lie: str) -> None:
    """Who can write to the server would put words into answers, have a node load more than fits, or have questions
    fail.
    """
    with sharing(redis) as one:
        one.keep("key", b"true")
        (name,) = entries(redis)
        one.keep("other", b"of another question")
        (other,) = entries(redis) - {name}
        with redis.client() as client:
            true, another = client.get(name), client.get(other)
            assert isinstance(true, bytes)
            assert isinstance(another, bytes)
            if lie == "list":
                client.delete(name)
                client.rpush(name, "a")
            elif lie == "forever":
                client.persist(name)
            else:
                lies = {
                    "other value": another,
                    "cut": true[:20],
                    "changed": true[:-1] + bytes([true[-1] ^ 1]),
                    "empty": b"",
                    "huge": bytes(3_000_000),
                }
                client.set(name, lies[lie], ex=600)
        with sharing(redis) as two:
            assert two.caches.answers.get("key") is None
            assert two.shared.status().broken == (lie in {"other value", "cut", "changed"})
            assert two.shared.status().state == "closed"
            assert two.caches.answers.get("other") == b"of another question"


def test_an_entry_grows_no_older_at_another_node(redis: RedisServer) -> None:
    """An answer that is an hour old would be used for a second hour wherever it comes to."""
    now = [0.0]
    with sharing(redis, cache_seconds=60.0) as one, sharing(redis, cache_seconds=60.0) as two:
        one.keep("key", b"an answer")
        (name,) = entries(redis)
        with redis.client() as client:
            left = client.pttl(name)
            assert isinstance(left, int)
            assert 0 < left <= 60_000
            client.pexpire(name, 20_000)
        two.caches.answers._now = lambda: now[0]
        assert two.caches.answers.get("key") == b"an answer"
        with redis.client() as client:
            client.delete(name)
        now[0] = 19.0
        assert two.caches.answers.get("key") == b"an answer"
        now[0] = 20.5
        assert two.caches.answers.get("key") is None


def test_the_server_keeps_no_more_than_the_budget(redis: RedisServer) -> None:
    """Redis would fill up, or drop what is used all the time in place of what nobody asks for."""
    budget = 1_048_576
    with sharing(redis, embedding_cache_mb=1) as one, sharing(redis, embedding_cache_mb=1) as two:
        with redis.client() as client:
            before = int(client.info("memory")["used_memory"])
        one.keep("wanted", bytes(1536), cache="embeddings")
        for number in range(40):
            for part in range(50):
                one.caches.embeddings.put(f"key-{number}-{part}", bytes(1536))
            eventually(lambda: not one.shared._shelves["embedding_cache"].waiting, seconds=10.0)
            two.caches.embeddings.clear()
            assert two.caches.embeddings.get("wanted") is not None, number
        assert budget * 0.9 < one.stored("embeddings") <= budget
        with redis.client() as client:
            grown = int(client.info("memory")["used_memory"]) - before
        assert budget * 0.7 < grown < budget * 1.15, "what an entry costs is counted"
        assert one.shared.status().dropped == 0


def test_what_has_expired_does_not_count(redis: RedisServer) -> None:
    """The budget would be full of names of what is gone."""
    with sharing(redis, embedding_cache_mb=1) as one:
        for number in range(20):
            one.caches.embeddings.put(f"key-{number}", bytes(1000))
        eventually(lambda: len(entries(redis)) == 20, seconds=10.0)
        eventually(lambda: one.stored("embeddings"), seconds=10.0)
        with redis.client() as client:
            client.delete(*entries(redis))
        one.keep("another", bytes(1000), cache="embeddings")
        assert one.stored("embeddings") < 2000


def test_a_cache_without_budget_is_not_shared(redis: RedisServer) -> None:
    """What was switched off would be kept all the same."""
    with sharing(redis, embedding_cache_mb=0) as one:
        one.caches.embeddings.put("key", b"vector")
        one.keep("key", b"an answer")
        assert len(entries(redis)) == 1
        assert one.shared.shelf("embedding_cache") is None


def test_a_server_that_evicts_by_itself(redis: RedisServer) -> None:
    """With its own rule it may drop the order: the bytes would never be trimmed again, or erasing would miss what is
    in no order.
    """
    with sharing(redis) as one:
        one.keep("key", b"an answer")
        with redis.client() as client:
            client.delete(*client.keys("millpond:*order*"), *client.keys("millpond:*sizes*"))
        assert len(entries(redis)) == 1
        one.shared.erase()
        eventually(lambda: not entries(redis), seconds=10.0)
        one.keep("key", b"a new answer")


def test_a_server_without_room(redis: RedisServer) -> None:
    """A server at its limit would be taken for one that is away, or questions would fail."""
    with sharing(redis) as one:
        one.keep("key", b"an answer")
        one.caches.answers.clear()
        with redis.client() as client:
            client.config_set("maxmemory", 1)
            try:
                errors = one.shared.status().errors
                one.caches.answers.put("another", b"an answer")
                eventually(lambda: one.shared.status().errors > errors, seconds=10.0)
                assert one.shared.status().state == "closed"
                assert one.caches.answers.get("key") == b"an answer"
            finally:
                client.config_set("maxmemory", 0)
