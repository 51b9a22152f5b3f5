"""The cache that nodes share, as the application builds it, over a real Redis server."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.app.build_shared_cache import MEANING, ChangesOfState, meaning
from services.app.container import Services
from services.app.startup import Application
from services.chat.models.circuit_breaker import BreakerState, BreakerStatus
from services.core.actor import SERVICE
from services.core.events import EventKind
from services.core.settings import Settings
from services.core.shared_level import SharedCacheStatus
from services.knowledge.bundled_models import MINILM
from tests.actors import reader_of
from tests.core.shared_cache.sharing import entries
from tests.events import RecordingEventSink
from tests.redis_server import RedisServer, redis_server
from tests.servers import ROOT, environment, eventually

QUESTION = "How long is the gondola seal covered?"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def settings(redis: RedisServer, tmp_path: Path) -> Settings:
    with redis.client() as client:
        client.flushall()
    return Settings(data_dir=tmp_path / "data", embedding_model=MINILM, cache_url=redis.url)


def status(services: Services) -> SharedCacheStatus:
    assert services.caches.shared is not None
    return services.caches.shared.status()


def hits(services: Services, cache: str = "search_cache") -> int:
    shelf = services.caches.shelf(cache)
    assert shelf is not None
    return shelf.hits


def add(services: Services, name: str, text: str) -> int:
    intake = services.library.add(SERVICE, io.BytesIO(text.encode()), name)
    assert services.ingestion.wait_idle(60)
    return intake.document.id


def kept(redis: RedisServer, cache: str = "search_cache") -> set[bytes]:
    return {name for name in entries(redis) if cache.encode() in name}


def test_a_process_that_shares_nothing_imports_no_client(tmp_path: Path) -> None:
    """Ready RSS would grow by 10 MB for everybody."""
    code = (
        "import sys; from services.app.startup import Application; from services.core.settings import Settings\n"
        f"with Application(Settings(data_dir={str(tmp_path / 'data')!r}, embedding_model={MINILM!r})) as services:\n"
        "    assert services.caches.shared is None\n"
        "    print('LOADED', sorted({'redis', 'services.core.shared_cache'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_the_next_process_finds_what_the_last_one_had(settings: Settings, redis: RedisServer) -> None:
    """A restart would begin with nothing, or answers with other settings would be taken for the same."""
    with Application(settings, watched=False) as services:
        add(services, "gondola.txt", "The gondola seal is covered for 12 months.")
        first = services.searches.search(SERVICE, QUESTION)
        eventually(lambda: kept(redis), seconds=10.0)
    with Application(settings, watched=False) as services:
        second = services.searches.search(SERVICE, QUESTION)
        assert second.hits == first.hits
        assert hits(services) == 1
    with Application(settings.model_copy(update={"question_characters": 100}), watched=False) as services:
        assert services.searches.search(SERVICE, QUESTION).hits == first.hits
        assert hits(services) == 0


def test_who_may_read_less_gets_nothing_of_others(settings: Settings, redis: RedisServer) -> None:
    """What somebody found who may read everything would come, by Redis, to a person who may read one collection."""
    with Application(settings, watched=False) as services:
        add(services, "gondola.txt", "The gondola seal is covered for 12 months.")
        other = services.library.create_collection(SERVICE, "Empty")
        home = services.library.default_collection(SERVICE)
        for actor in (SERVICE, reader_of(home.id, other.id)):
            assert services.searches.search(actor, QUESTION).hits
        eventually(lambda: len(kept(redis)) == 2, seconds=10.0)
        for cache in services.caches.all():
            cache.clear()
        assert not services.searches.search(reader_of(other.id), QUESTION).hits
        assert hits(services) == 0
        assert services.searches.search(reader_of(home.id, other.id, person_id=8), QUESTION).hits
        assert hits(services) == 1


def test_deleted_means_gone_from_redis(settings: Settings, redis: RedisServer) -> None:
    """Text of a deleted document would stay in the server, or a process that was away would not come to remove it."""
    with Application(settings, watched=False) as services:
        number = add(services, "gondola.txt", "The gondola seal is covered for 12 months.")
        services.searches.search(SERVICE, QUESTION)
        eventually(lambda: kept(redis), seconds=10.0)
        services.library.delete(SERVICE, [number])
        assert not services.searches.search(SERVICE, QUESTION).hits
        eventually(lambda: not status(services).owed_seconds, seconds=10.0)
        add(services, "gondola.txt", "The gondola seal is covered for 24 months.")
        services.searches.search(SERVICE, QUESTION)
        eventually(lambda: kept(redis), seconds=10.0)
    alone = settings.model_copy(update={"cache_url": ""})
    with Application(alone, watched=False) as services:
        services.library.delete(SERVICE, [each.id for each in services.library.documents(SERVICE)])
    assert kept(redis)
    with Application(settings, watched=False) as services:
        eventually(lambda: not kept(redis), seconds=10.0, what="the removal of what a start finds")
        assert not services.searches.search(SERVICE, QUESTION).hits


def test_without_the_key_nothing_is_shared(settings: Settings, tmp_path: Path) -> None:
    """Values that anybody could make or read would be used, or a cache would keep a process from starting."""
    key = tmp_path / "audit.key"
    key.write_text("no key")
    key.chmod(0o600)
    with Application(settings.model_copy(update={"audit_key": str(key)}), watched=False) as services:
        assert services.caches.shared is None
        assert services.searches.search(SERVICE, QUESTION).hits == ()


def test_only_what_shapes_answers_keeps_nodes_apart() -> None:
    """Nodes whose ports or limits differ would share nothing; or masked and unmasked answers would be taken for the
    same.
    """
    assert set(MEANING) <= Settings.model_fields.keys()
    plain = meaning(Settings(), "1.0")
    assert meaning(Settings(port=9000, node_name="b", memory_limit_mb=4096), "1.0") == plain
    assert meaning(Settings(mask_answers=True), "1.0") != plain
    assert meaning(Settings(), "1.1") != plain


def test_a_server_that_stays_away_is_one_event() -> None:
    """The time line would fill with tries in vain, or never say that it is back."""
    recorder = RecordingEventSink()
    changes = ChangesOfState(recorder)
    for state in (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.OPEN, BreakerState.HALF_OPEN):
        changes.report(BreakerStatus("Redis", state, 3, reason="It cannot be reached."))
    changes.report(BreakerStatus("Redis", BreakerState.CLOSED))
    assert [kind for _actor, kind, *_rest in recorder.events] == [EventKind.BREAKER, EventKind.BREAKER]
