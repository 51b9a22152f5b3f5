from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.servers import Server, eventually, serving

API = "/api/experiment"
LOW = {"thresholds": [300, 5, 5]}
TOKEN = "let me in"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def quiet(server: Server) -> Iterator[Server]:
    """The shared server, with no experiment running before and after."""
    server.client.delete(API).raise_for_status()
    yield server
    server.client.delete(API).raise_for_status()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has recorded nothing yet, where visitors may only look.

    In the end it is stopped while an experiment runs: its child ends with it.
    """
    with serving(tmp_path_factory.mktemp("experiments") / "data", visitors="user", admin_token=TOKEN) as server:
        yield server
        assert server.client.post(API, json={"settings": [LOW]}, headers=ADMIN).status_code == 202
        eventually(lambda: children(server), what="a child")
        child = children(server)[0]
    eventually(lambda: not child.is_running(), what="the child's end with the service")
    assert not list((server.data_dir / "memory" / "experiments").glob("work-*"))


def children(server: Server) -> list[psutil.Process]:
    found = []
    for each in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "services.app.gc_experiment_child" in " ".join(each.cmdline()):
                found.append(each)
    return found


def has_child(server: Server, niceness: int) -> bool:
    for child in children(server):
        with suppress(psutil.NoSuchProcess):
            if child.nice() >= niceness:
                return True
    return False


def test_a_small_experiment_on_the_real_service(quiet: Server) -> None:
    """Children with the real services answer, take in and delete; the result says what each measured."""
    client = quiet.client
    begun = client.post(API, json={"settings": [LOW], "rounds": 3, "operations": 30})
    assert begun.status_code == 202, begun.text
    assert begun.json()["runs"] == 6
    niceness = min(19, psutil.Process(quiet.process.pid).nice() + 10)
    eventually(lambda: has_child(quiet, niceness), what="a child of low priority")
    eventually(lambda: client.get(API).json()["phase"] != "running", seconds=240, what="the end")
    state = client.get(API).json()
    assert (state["phase"], state["progress"]) == ("finished", 1.0), state
    result = client.get(f"{API}/results/{state['result']}").raise_for_status().json()
    assert [setting["thresholds"] for setting in result["settings"]] == [None, [300, 5, 5]]
    assert sum(result["counts"].values()) == 30
    for number in range(3):
        usual, low = sorted((run for run in result["runs"] if run["round"] == number), key=lambda run: run["setting"])
        assert low["collections"][0] > usual["collections"][0] > 0
    assert all(run["peak"] >= run["floor"] > 100e6 for run in result["runs"])
    assert result["advice"] != "too_few"
    ratio = result["ratios"][0]["pause"]
    assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]
    assert client.get(f"{API}/results").json()["results"][0]["id"] == result["id"]
    told = client.get("/api/memory/events", params={"kind": "experiment"}).json()["events"]
    assert "finished" in told[-1]["detail"]
    folder = quiet.data_dir / "memory" / "experiments"
    assert [path.suffix for path in folder.iterdir()] == [".json"] * len(list(folder.iterdir()))


def test_cancelled_in_the_midst(quiet: Server) -> None:
    """A second one is a conflict; DELETE answers when neither child nor folder is left."""
    client = quiet.client
    client.post(API, json={"settings": [LOW], "rounds": 5}).raise_for_status()
    assert client.post(API, json={"settings": [LOW]}).status_code == 409
    eventually(lambda: children(quiet), what="a child")
    ended = client.delete(API).raise_for_status().json()
    assert ended["phase"] == "cancelled"
    assert children(quiet) == []
    assert not list((quiet.data_dir / "memory" / "experiments").glob("work-*"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"settings": []}, 422),
        ({"settings": [{"thresholds": [1, 2]}]}, 422),
        ({"settings": [{"thresholds": [0, 10, 10]}]}, 422),
        ({"settings": [{"thresholds": [2**40, 10, 10]}]}, 422),
        ({"settings": [{}]}, 400),
        ({"settings": [LOW], "rounds": 10_000}, 422),
        ({"settings": [LOW], "rounds": 2}, 400),
        ({"settings": [LOW], "command": "rm"}, 422),
    ],
)
def test_what_does_not_fit_is_explained(quiet: Server, body: object, status: int) -> None:
    """Nothing to compare, numbers out of range and unknown members are problems, and nothing starts."""
    answer = quiet.client.post(API, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert quiet.client.get(API).json()["phase"] != "running"
    assert quiet.client.get(f"{API}/results/0123456789abcdef").status_code == 404


def test_visitors_may_only_look(own: Server) -> None:
    """Where visitors are users, start and cancel are refused without the token, and reading is not."""
    refused = own.client.post(API, json={"settings": [LOW]})
    assert refused.status_code == 403
    assert "administrator" in refused.json()["detail"]
    assert own.client.delete(API).status_code == 403
    assert own.client.get(API).json()["phase"] != "running"
