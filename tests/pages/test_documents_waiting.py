from __future__ import annotations

import io

import pytest
from streamlit.testing.v1 import AppTest

from services.app.container import Services
from services.core.actor import SERVICE
from services.core.admission import MemoryHeadroom
from services.core.machine import MEGABYTE
from tests.pages.conftest import open_page
from tests.servers import eventually


def test_documents_that_wait_for_memory_say_so(
    app: AppTest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that stands still without a word looks like a defect, and people would hand their files in again."""
    eventually(lambda: services.admission.reserved == 0, what="the end of what the test before had deleted")
    room = [MemoryHeadroom(0, 5 * MEGABYTE)]
    monkeypatch.setattr(services.admission, "_headroom", lambda: room[0])
    services.library.add(SERVICE, io.BytesIO(b"Some words that wait."), "waiting.txt")
    eventually(lambda: services.ingestion.pause_reason, what="the pause")
    open_page(app, "documents")
    assert any("nothing is lost: The next document needs about 8 MB" in caption.value for caption in app.caption)
    room[0] = MemoryHeadroom(0, 500 * MEGABYTE)
    services.ingestion.wake()
    assert services.ingestion.wait_idle(60)
    app.run()
    assert not any("nothing is lost" in caption.value for caption in app.caption)
