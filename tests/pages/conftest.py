from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from console.ui import runtime_access
from console.ui.live_answers import live_answers
from console.ui.session_state import Key
from services.app.container import Services
from services.core.actor import SERVICE
from services.core.settings import Settings
from services.knowledge.types import Document
from tests.servers import eventually

ENTRY_POINT = Path(runtime_access.__file__).parents[1] / "app.py"
PAGES = Path(__file__).resolve().parents[2] / "pages"


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The real services over an empty data folder, started the way the pages start them."""
    runtime_access.configure(Settings(data_dir=tmp_path_factory.mktemp("pages"), undo_seconds=0))
    application = runtime_access.application()
    eventually(lambda: application.ready or application.failure, what="the start")
    assert application.failure is None
    yield application.services
    runtime_access.close()


@pytest.fixture
def services(started: Services) -> Iterator[Services]:
    """The services, emptied afterwards."""
    yield started
    for conversation in started.conversations.conversations(SERVICE, limit=1000):
        live = live_answers.get(conversation.id)
        if live is not None:
            live.stop()
            assert live.done.wait(30)
        started.conversations.delete(SERVICE, conversation.id)
    started.library.delete(SERVICE, [document.id for document in started.library.documents(SERVICE, limit=10_000)])
    default = started.library.default_collection(SERVICE)
    for collection in started.library.collections(SERVICE):
        if collection.id != default.id:
            started.library.delete_collection(SERVICE, collection.id)


@pytest.fixture
def add(services: Services) -> Callable[..., Document]:
    """Take in a file and wait until nothing more happens to it."""

    def add(name: str, content: str | bytes, collection_id: int | None = None) -> Document:
        data = content.encode() if isinstance(content, str) else content
        intake = services.library.add(SERVICE, io.BytesIO(data), name, collection_id)
        assert services.ingestion.wait_idle(60)
        return services.library.document(SERVICE, intake.document.id)

    return add


@pytest.fixture(autouse=True)
def no_address() -> Iterator[None]:
    """AppTest's stand-in for a session has a mock as its address, which no record of the audit log can hold."""
    # With a patch of its own: a test's are undone before the services are emptied.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamlit.runtime.context.ContextProxy.ip_address", property(lambda _self: None))
        yield


@pytest.fixture
def app(services: Services) -> AppTest:
    """The app before its first run, on the chat page."""
    return AppTest.from_file(str(ENTRY_POINT), default_timeout=120)


def open_page(app: AppTest, name: str, **query: str) -> AppTest:
    """Run the app and go to a page; `query` are parameters of its address."""
    app.run()
    app.switch_page(f"../pages/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def finish(app: AppTest) -> AppTest:
    """Run the app until the open conversation's answer is there."""
    while any(button.key == Key.CHAT_STOP for button in app.button):
        live = live_answers.get(str(app.query_params["conversation"]))
        if live is not None:
            assert live.done.wait(30)
        app.run()
    return app
