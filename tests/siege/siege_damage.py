"""Damaged files of the data folder: flipped bits, zeros, cuts, removed and swapped files, over every file of it.

Two folders are damaged in turn: one of a server that was stopped, one of a server that was killed. Most damages are
judged by what a process without the embedding model finds; a sample goes through a real server and its searches.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.servers import Server, serving, spawn
from tests.siege.damages import SECONDS, Case, Found, find, random_cases
from tests.siege.report import Report

DAMAGES = 1000
SERVED = 60
SEED = 11
QUESTIONS = ("How often is the sluice gate inspected?", "水车的保修期是多久？", "quantity of bolt")
_TEXTS = {
    "mill.md": "# The mill\n\nThe sluice gate is inspected every fourteen weeks by the miller.\n\n"
    + "\n\n".join(f"## Part {n}\n\nThe mill has gate {n}, which {n} bolts hold." for n in range(40)),
    "水车.txt": "水车的保修期是二十四个月。水车由木头制成，每年检查两次。",
    "parts.csv": "name,quantity\nseal,12\nbolt,400\n",
}


def prepare(folder: Path) -> None:
    """Fill a data folder with something of every kind, by a real server that is stopped in the end."""
    with serving(folder, budget="off") as server:
        client = server.client
        for name, text in _TEXTS.items():
            server.wait_finished(server.add(name, text.encode()))
        conversation = client.post("/api/conversations", json={"title": "Mills"}).raise_for_status().json()["id"]
        body = {"question": QUESTIONS[0]}
        client.post(f"/api/conversations/{conversation}/questions", json=body).raise_for_status()
        client.put("/api/collector", json={"thresholds": [900, 11, 12], "trial_seconds": 600}).raise_for_status()
        client.post("/api/collector/keep").raise_for_status()
        client.post("/api/objects/census", json={"label": "before"}).raise_for_status()
        client.post("/api/tracing/start", json={"frames": 2, "minutes": 5}).raise_for_status()
        client.post("/api/tracing/snapshots", json={"name": "before"}).raise_for_status()
        client.post("/api/tracing/stop").raise_for_status()


def go_on_and_kill(folder: Path) -> None:
    """Have a server store more in a folder, and kill it while that is still in the write-ahead log."""
    server = spawn(folder, budget="off")
    server.wait_ready()
    server.wait_finished(server.add("late.txt", b"The late gate is painted green. " * 40))
    server.process.kill()
    server.stop()


def run(report: Report, *, damages: int = DAMAGES, served: int = SERVED) -> None:
    # In memory where that is possible: a thousand copies, and what is synced, would be most of the time.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        stopped, killed = Path(name) / "stopped", Path(name) / "killed"
        prepare(stopped)
        shutil.copytree(stopped, killed)
        go_on_and_kill(killed)
        _without_model(report, Path(name), (stopped, killed), damages)
        _with_server(report, Path(name), (stopped, killed), served)


def judge(work: Path, base: Path, case: Case, sound: Found, until: float) -> tuple[str, Found, str]:
    """Damage a copy of `base`, and return what was done, what was found, and what is wrong with that."""
    copy = _copy(work, base)
    done = case.apply(copy)
    found = find(copy, until)
    return done, found, found.verdict(sound)


def undamaged(work: Path, base: Path, until: float) -> Found:
    """Return what is found in a copy of a folder that is not damaged."""
    return find(_copy(work, base), until)


def _copy(work: Path, base: Path) -> Path:
    copy = work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(base, copy))


def _without_model(report: Report, work: Path, bases: tuple[Path, ...], count: int) -> None:
    wrong: list[str] = []
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    files: set[str] = set()
    for base in bases:
        until = time.time()
        sound = undamaged(work, base, until)
        again = undamaged(work, base, until)
        assert sound.served == again.served, "what is read of an undamaged folder must not change by reading"
        assert not [*sound.refused, *sound.defects, *sound.said], sound
        for case in random_cases(base, count // len(bases), SEED):
            done, found, verdict = judge(work, base, case, sound, until)
            slowest = max(slowest, found.seconds)
            files.add(case.file.split("/")[0] if "/" in case.file else case.file)
            same = found.served == sound.served
            outcomes["refused" if found.refused else "same" if same else "said"] += 1
            if verdict:
                wrong.append(f"{base.name} {done}: {verdict}")
                print("   ", wrong[-1][:2000], flush=True)
    detail = ", ".join(f"{number} {what}" for what, number in sorted(outcomes.items()))
    tracebacks = sum("traceback" in line for line in wrong)
    silent = sum("silent" in line for line in wrong)
    report("damages, without the model: tracebacks", tracebacks, 0, "", f"{sum(outcomes.values())} damages: {detail}")
    report("damages, without the model: silent losses", silent, 0, "", f"over {len(files)} files and folders")
    report("damages, without the model: slowest answer", round(slowest, 2), SECONDS, "s")


def _with_server(report: Report, work: Path, bases: tuple[Path, ...], count: int) -> None:
    tracebacks: list[str] = []
    silent: list[str] = []
    slowest = 0.0
    outcomes: Counter[str] = Counter()
    for base in bases:
        sound = _serve(work, base, None)
        for case in random_cases(base, count // len(bases), SEED + 1):
            found = _serve(work, base, case)
            slowest = max(slowest, found["seconds"])
            outcomes[found["outcome"]] += 1
            if "Traceback" in found["log"] or found["code"] not in {0, 1}:
                tracebacks.append(f"{found['done']}: {found['log'][-1500:]}")
            elif found["outcome"] == "ready" and found["answers"] != sound["answers"] and not found["said"]:
                silent.append(f"{found['done']}: {found['answers']}")
    for line in (*tracebacks, *silent):
        print("   ", line[:2000], flush=True)
    detail = ", ".join(f"{number} {what}" for what, number in sorted(outcomes.items()))
    report("damages, real server: tracebacks", len(tracebacks), 0, "", f"{sum(outcomes.values())} starts: {detail}")
    report("damages, real server: silent losses", len(silent), 0, "")
    report("damages, real server: slowest start or refusal", round(slowest, 1), SECONDS, "s")


def _serve(work: Path, base: Path, case: Case | None) -> dict[str, Any]:
    """Start a real server over a damaged copy; return how that ended, what it answered and what it said."""
    copy = _copy(work, base)
    log = copy.with_name("copy.log")
    log.unlink(missing_ok=True)
    found: dict[str, Any] = {"done": case.apply(copy) if case else "", "answers": [], "said": [], "outcome": "refused"}
    began = time.monotonic()
    try:
        server = spawn(copy, budget="off")
        server.wait_ready()
    except AssertionError as error:
        found |= {"seconds": time.monotonic() - began, "code": 1, "log": str(error)}
        return found
    found["seconds"] = time.monotonic() - began
    found["outcome"] = "ready"
    found["answers"], refused = _answers(server)
    found["said"] = [*refused, *_said(server)]
    found["code"] = server.stop()
    found["log"] = log.read_text()
    found["said"] += [line for line in found["log"].splitlines() if "damaged" in line]
    return found


def _answers(server: Server) -> tuple[list[Any], list[str]]:
    """Return what there is, and the words with which originals were refused for being damaged."""
    client = server.client
    refused = []
    found: list[Any] = []
    for question in QUESTIONS:
        answer = client.post("/api/search", json={"query": question, "k": 3})
        hits = answer.json().get("hits", [])
        found.append([answer.status_code, [(hit["document"], hit["text"], round(hit["score"], 3)) for hit in hits]])
    for document in client.get("/api/documents").json()["documents"]:
        chunks = client.get(f"/api/documents/{document['id']}/chunks")
        original = client.get(f"/api/documents/{document['id']}/original")
        found.append([document["name"], document["status"], chunks.text, original.status_code, original.content.hex()])
        if original.is_error and "damaged" in original.json()["detail"]:
            refused.append(original.json()["detail"])
    found.append([each["title"] for each in client.get("/api/conversations").json()["conversations"]])
    found.append(client.get("/api/collector").json()["kept"])
    return found, refused


def _said(server: Server) -> list[str]:
    try:
        events = server.client.get("/api/memory/events").json()["events"]
    except httpx.HTTPError as error:
        return [str(error)]
    return [each["detail"] for each in events if each["kind"] == "damage"]
