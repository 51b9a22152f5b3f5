"""Compares what was told to clients with what is there: at each node, when everything is quiet again."""

from __future__ import annotations

from collections import Counter

import httpx

from tests.drill.history import History
from tests.servers import Server, eventually


def faults_of(history: History, nodes: dict[str, Server]) -> list[str]:
    """Return what is lost, doubled or wrong; nothing for a pond that kept its word."""
    faults = list(history.wrong)
    for name, node in nodes.items():
        eventually(lambda node=node: not _unfinished(node), seconds=120.0, what=f"the end of the work at {name}")
        faults += [f"{name}: {fault}" for fault in _of_documents(history, node.client)]
        faults += [f"{name}: {fault}" for fault in _of_conversations(history, node.client)]
    counts = {name: _vectors(node) for name, node in nodes.items()}
    if len(set(counts.values())) > 1:
        faults.append(f"the nodes' indexes differ: {counts}")
    return faults


def _of_documents(history: History, client: httpx.Client) -> list[str]:
    there = _documents(client)
    counts = Counter(name for name, _status in there)
    status = dict(there)
    faults = [f"{name} is there {count} times" for name, count in counts.items() if count > 1]
    for word in history.living():
        name = f"{word}.txt"
        if not counts[name]:
            faults.append(f"{word} was acknowledged and is lost")
        elif status[name] != "ready":
            faults.append(f"{word} was acknowledged and is {status[name]}")
    faults += [f"{word} was deleted and is there" for word in history.deleted if counts[f"{word}.txt"]]
    living = history.living()
    for word in living[:: max(1, len(living) // 25)]:
        answer = client.post("/api/search", json={"query": f"Which boat is called {word}?"}).raise_for_status()
        if f"{word}.txt" not in {hit["document"] for hit in answer.json()["hits"]}:
            faults.append(f"{word} is there and is not found")
    return faults


def _of_conversations(history: History, client: httpx.Client) -> list[str]:
    faults = []
    for conversation, questions in history.asked.items():
        answer = client.get(f"/api/conversations/{conversation}/messages").raise_for_status()
        said = Counter(str(each["text"]) for each in answer.json()["messages"] if each["role"] == "user")
        faults += [
            f"a question was answered and is in its conversation {said[question]} times"
            for question in questions
            if said[question] != 1
        ]
    return faults


def _documents(client: httpx.Client) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while True:
        query = {"limit": 1000, "offset": len(found), "order": "created_at"}
        page = client.get("/api/documents", params=query).raise_for_status().json()
        found += [(each["name"], each["status"]) for each in page["documents"]]
        if len(found) >= page["total"] or not page["documents"]:
            return found


def _unfinished(node: Server) -> int:
    return int(node.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"])


def _vectors(node: Server) -> int:
    metrics = node.client.get("/metrics").raise_for_status().text
    return int(float(metrics.split("\nmillpond_index_vectors ")[1].split()[0]))
