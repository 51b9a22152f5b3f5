"""A console with what a house has after some weeks of work: people, documents, answers, snapshots."""

from __future__ import annotations

from tests.pictures.shelf import SHELVES
from tests.servers import eventually
from tests.team import Team

LONG_NAME = "Protocol of the inspection of the sluice gate, the weir and the penstock below the old mill " * 2
_GROUP = "Keepers of the mill and of the reservoir above it"


def fill(team: Team) -> dict[str, str]:
    """Put content into a team's console; returns what addresses of views need, by name."""
    with team.browser("ada") as client:
        names = {**SHELVES["en"].documents, f"{LONG_NAME.strip()}.md": b"# Weir\n\nThe weir is inspected in spring.\n"}
        for name, content in names.items():
            client.post("/api/documents", files={"file": (name, content)}).raise_for_status()
        client.post("/api/documents", files={"file": (f"{LONG_NAME.strip()}.pdf", b"%PDF-1.4 nothing of it")})
        listed: list[dict[str, object]] = []

        def finished() -> bool:
            listed[:] = client.get("/api/documents").raise_for_status().json()["documents"]
            return not {str(each["status"]) for each in listed} & {"queued", "parsing", "embedding"}

        eventually(finished, seconds=120, what="ingestion")
        made = client.post("/api/conversations", json={"title": "How often are the seals inspected, and by whom?"})
        conversation = str(made.raise_for_status().json()["id"])
        for question in SHELVES["en"].questions:
            asked = {"question": question, "stream": False}
            client.post(f"/api/conversations/{conversation}/questions", json=asked).raise_for_status()
        group = client.post("/api/groups", json={"name": _GROUP}).raise_for_status().json()["id"]
        client.put(f"/api/groups/{group}/members/{team['uma'].id}").raise_for_status()
        grant = {"kind": "group", "name": _GROUP, "level": "write"}
        client.put("/api/collections/1/grants", json=grant).raise_for_status()
        client.post("/api/collector/collect", json={"generation": 2}).raise_for_status()
        client.post("/api/objects/census").raise_for_status()
        client.post("/api/tracing/start", json={"frames": 5, "minutes": 5}).raise_for_status()
        client.post("/api/tracing/snapshots").raise_for_status()
        client.post("/api/search", json={"query": SHELVES["en"].query}).raise_for_status()
        client.post("/api/tracing/snapshots").raise_for_status()
        client.post("/api/tracing/stop").raise_for_status()
    return {
        "conversation": conversation,
        "document": next(str(each["id"]) for each in listed if each["name"] == "Maintenance plan.md"),
        "broken": next(str(each["id"]) for each in listed if str(each["name"]).endswith("mill.pdf")),
    }
