from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from services.knowledge.embedding.model_files import find_model
from tests.knowledge.model_change.ponds import SMALL, about
from tests.knowledge.model_change.small_model import make_small_model
from tests.servers import Server, eventually, run, serving

pytestmark = pytest.mark.browser

NAME = find_model("", "").name


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tmp_path_factory.mktemp("models") / SMALL)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Iterator[Server]:
    """A server with another model than the one of its documents; the change was paused before it started."""
    folder = tmp_path_factory.mktemp("browser") / "data"
    with serving(folder) as server:
        server.wait_finished(server.add("bees.txt", about("bees", 20).encode()))
        assert server.client.get("/api/embedding-model").json()["stage"] == "none"
        assert "nothing to change" in server.client.post("/api/embedding-model/change").json()["detail"]
    done = run("embedding-model", "pause", "--data-dir", str(folder), embedding_model=str(small))
    assert done.returncode == 0, done.stderr
    assert f"The documents are embedded with {NAME}." in done.stdout
    assert f"Change to {SMALL}: paused" in done.stdout
    with serving(folder, embedding_model=small) as server:
        yield server


def found(server: Server) -> dict[str, object]:
    answer = server.client.post("/api/search", json={"query": "bees learn"}, headers={"Cache-Control": "no-cache"})
    hit: dict[str, object] = answer.raise_for_status().json()["hits"][0]
    return hit


def test_a_paused_change_is_seen_resumed_and_done(page: Page, console: Server) -> None:
    """People do not learn that another model waits, or the page cannot steer the change, or tells something else."""
    before = found(console)
    assert before["dense_score"] is not None
    page.goto("/documents")
    notice = page.locator(".st-key-embedding-model-notice")
    expect(notice).to_contain_text(f"0% embedded with {SMALL}")
    notice.get_by_role("link", name="Embedding model").click()
    view = page.locator(".st-key-embedding-model")
    expect(view).to_contain_text(f"The documents are embedded with {NAME}.")
    expect(view).to_contain_text("what is done is kept")
    expect(view).to_contain_text(re.compile(r"Meanwhile it takes [\d.]+ [KM]B of memory"))
    view.get_by_role("button", name="Resume").click()
    expect(view).to_contain_text(f"The documents are embedded with {SMALL}.")
    expect(view.get_by_role("button")).to_have_count(0)
    status = console.client.get("/api/embedding-model").json()
    assert (status["serving"]["name"], status["coming"]) == (SMALL, None)
    after = found(console)
    assert after["dense_score"] not in {None, before["dense_score"]}
    eventually(lambda: 'model_change_stage{stage="none"} 1' in console.client.get("/metrics").text, what="its metric")
    events = console.client.get("/api/memory/events", params={"kind": "model"}).json()["events"]
    assert any(f"embedded with {SMALL} now" in event["detail"] for event in events), events
    records = console.client.get("/api/audit", params={"action": "model_change"}).json()["records"]
    assert [record["detail"].split(",")[0] for record in records] == ["running", "paused"]
    told = run("embedding-model", "--data-dir", str(console.data_dir))
    assert told.stdout == f"The documents are embedded with {SMALL}.\n", told.stderr
