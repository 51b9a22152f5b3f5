"""Compares what was told to clients with what is there: at each node, when everything is quiet again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from tests.drill.clients import past_front
from tests.drill.history import History
from tests.servers import eventually

_SAMPLES = 25  # of the documents are searched for, and fetched
# Conversations are claimed while an answer is written, and nobody asks any more.
_QUIET = ("conversation:", "deletion of ")


def faults_of(history: History, nodes: Mapping[str, str], token: str = "") -> list[str]:
    """Return what is lost, doubled or wrong; nothing for a pond that kept its word. `nodes`: addresses by name."""
    faults = list(dict.fromkeys(history.wrong))
    counts: dict[str, int] = {}
    for name, address in nodes.items():
        with past_front(address, token) as client:
            eventually(lambda: not _unfinished(client), seconds=120.0, what=f"the end of the work at {name}")
            found = [*_of_documents(history, client), *_of_conversations(history, client), *_of_nodes(client)]
            faults += [f"{name}: {fault}" for fault in found]
            counts[name] = _vectors(client)
    if len(set(counts.values())) > 1:
        faults.append(f"the nodes' indexes differ: {counts}")
    with past_front(nodes[min(counts)], token) as client:
        verified = client.get("/api/audit/verify").raise_for_status().json()
        faults += [f"the audit log: {problem}" for problem in verified["problems"]]
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
    for word in living[:: max(1, len(living) // _SAMPLES)]:
        fetched = client.get(f"/api/documents/{history.added[word]}/original")
        if not fetched.is_success or fetched.content != history.contents[word]:
            faults.append(f"the original of {word} is not what was handed in ({fetched.status_code})")
        answer = client.post("/api/search", json={"query": f"Which boat is called {word}?"}).raise_for_status()
        if f"{word}.txt" not in {hit["document"] for hit in answer.json()["hits"]}:
            faults.append(f"{word} is there and is not found")
    return faults


def _of_conversations(history: History, client: httpx.Client) -> list[str]:
    faults = []
    for conversation, questions in history.asked.items():
        answer = client.get(f"/api/conversations/{conversation}/messages").raise_for_status()
        messages = answer.json()["messages"]
        said = Counter(str(each["text"]) for each in messages if each["role"] == "user")
        faults += [
            f"a question was answered and is in its conversation {said[question]} times"
            for question in questions
            if said[question] != 1
        ]
        faults += _of_answers(messages, set(questions))
    return faults


def _of_answers(messages: list[dict[str, Any]], acknowledged: set[str]) -> list[str]:
    """Return what is wrong with the answers of a conversation: each question has one, or a word on why it has none."""
    faults = []
    question, answers = "", 1
    for each in [*messages, {"role": "user", "text": ""}]:
        if each["role"] != "user":
            answers += 1
            if question in acknowledged and each["state"] != "complete":
                faults.append(f"an answer was acknowledged and is {each['state']}")
            continue
        if answers != 1:
            faults.append(f"a question has {answers} answers")
        question, answers = str(each["text"]), 0
    return faults


def _of_nodes(client: httpx.Client) -> list[str]:
    nodes = client.get("/api/nodes").raise_for_status().json()["nodes"]
    faults = [f"the node {each['name']} is {each['state']}" for each in nodes if each["state"] != "ready"]
    for each in nodes:
        names = [str(lease["name"]) for lease in each["leases"]]
        faults += [f"{each['name']} still claims {name}" for name in names if name.startswith(_QUIET)]
    return faults


def _documents(client: httpx.Client) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while True:
        query = {"limit": 1000, "offset": len(found), "order": "created_at"}
        page = client.get("/api/documents", params=query).raise_for_status().json()
        found += [(each["name"], each["status"]) for each in page["documents"]]
        if len(found) >= page["total"] or not page["documents"]:
            return found


def _unfinished(client: httpx.Client) -> int:
    return int(client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"])


def _vectors(client: httpx.Client) -> int:
    metrics = client.get("/metrics").raise_for_status().text
    return int(float(metrics.split("\nmillpond_index_vectors ")[1].split()[0]))
