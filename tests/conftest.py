from __future__ import annotations

from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from services.core.settings import Settings
from services.knowledge.bundled_models import MINILM
from services.knowledge.embedding import Embedder
from tests.databases import stop_server
from tests.s3_server import stop_s3_server
from tests.servers import Server, serving

BROWSER = "tests/browser/"


class OneBrowser(LoadFileScheduling):
    """Gives tests to workers by file, but those with a browser all to one.

    Two Chromiums with their servers keep each other waiting on two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        return BROWSER if nodeid.startswith(BROWSER) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneBrowser | None:
    """Schedule `--dist loadfile` as `OneBrowser` does."""
    return OneBrowser(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with a browser first: they take half of the time, and are in one worker."""
    items.sort(key=lambda item: not item.nodeid.startswith(BROWSER))


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    """The smaller of the bundled models, loaded once for all tests: whatever the default is, it is fast."""
    embedder = Embedder.load(Settings(embedding_model=MINILM))
    yield embedder
    embedder.close()


@pytest.fixture(scope="session", autouse=True)
def _engine_servers() -> Iterator[None]:
    yield
    stop_server()
    stop_s3_server()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that is ready, shared by the tests that do not mind each other's documents."""
    with serving(tmp_path_factory.mktemp("server") / "data", upload_limit_mb=16) as server:
        yield server
