"""A console that is killed at a point: `python -m tests.consoles.killed serve ...`.

KILL_AT names the point (`tests.kills.points`); without it nothing happens before an order. Orders come over the Unix
socket KILL_ORDERS, one JSON object a line: to arm a point, and to do what otherwise only a page does. The socket's
name is followed by the process id, as a supervised console has several.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.kills.points import POINTS

if TYPE_CHECKING:
    from services.app.container import Services

POINT_VARIABLE, ORDERS_VARIABLE = "KILL_AT", "KILL_ORDERS"


class Orders(socketserver.StreamRequestHandler):
    """Carries out the orders of one connection; each is answered by a line."""

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer = {"result": carry_out(json.loads(line))}
            except Exception as error:  # noqa: BLE001 - whoever gave the order is told
                answer = {"error": f"{type(error).__name__}: {error}"}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def carry_out(order: dict[str, Any]) -> Any:
    """Do what is ordered, with the services of the running console, and return what came of it."""
    from console.ui import runtime_access

    if order["do"] == "arm":
        POINTS[order["point"]].arm()
        return None
    application = runtime_access.existing_application()
    assert application is not None
    return _with_services(application.services, order)


def _with_services(services: Services, order: dict[str, Any]) -> Any:
    from services.core.actor import SERVICE

    result: Any = None
    match order["do"]:
        case "edit":
            result = _answer(services.answers.edit(SERVICE, order["conversation"], order["question"]))
        case "again":
            result = _answer(services.answers.regenerate(SERVICE, order["conversation"]))
        case "stop":
            result = services.answers.stop(SERVICE, order["conversation"])
        case "turns":
            services.conversations.set_history_turns(SERVICE, order["conversation"], order["k"])
        case "retrieval":
            settings = replace(services.library.retrieval_settings(), k=order["k"])
            services.library.apply_retrieval_settings(SERVICE, settings)
        case "move":
            services.library.move(SERVICE, [order["document"]], order["collection"])
        case "rechunk":
            services.library.jobs.rechunk(SERVICE, [order["document"]], chunk_tokens=order["tokens"], overlap=0)
        case _:
            result = _behind_the_scenes(services, order)
    return result


def _behind_the_scenes(services: Services, order: dict[str, Any]) -> Any:
    from services.knowledge.ingestion import store_stage

    result: Any = None
    match order["do"]:
        case "settings":
            result = services.library.retrieval_settings().k
        case "snapshot":
            services.index.mark_dirty()
            result = services.index.flush()
        case "portions":
            store_stage.LARGE_CHUNKS, store_stage._PORTION_CHUNKS = order["large"], order["portion"]
        case "empty log":
            result = services.database.empty_log()
        case "flush events":
            services.events.flush()
        case "flush history":
            services.memory.history.flush()
        case "sql":
            with services.database.write() as connection:
                for statement in order["statements"]:
                    connection.exec_driver_sql(statement)
        case "compare":
            result = _differences(services)
        case _:
            raise ValueError(order)
    return result


def _answer(stream: Any) -> str:
    text = ""
    for event in stream:
        text = event.message.text if hasattr(event, "message") else text
    return text


def _differences(services: Services) -> list[str]:
    """Return in what the index, the lexical index and the database disagree."""
    import sqlalchemy as sa

    from services.knowledge.store import ChunkStore

    found = []
    ids, groups = ChunkStore(services.database).active_ids()
    held, held_groups = services.index.index.members()
    if held.tolist() != ids.tolist() or held_groups.tolist() != groups.tolist():
        found.append(f"the index holds {len(held)} vectors, the database {len(ids)}")
    with services.database.write() as connection:
        try:
            # Compares the lexical index with the chunks it was made from, both ways.
            connection.execute(sa.text("INSERT INTO chunk_terms(chunk_terms, rank) VALUES('integrity-check', 1)"))
        except sa.exc.DatabaseError as error:
            found.append(f"terms: {error.orig}")
    return found


def listen() -> None:
    """Take orders in a thread, where the environment says so."""
    path = os.environ.get(ORDERS_VARIABLE)
    if path:
        server = socketserver.ThreadingUnixStreamServer(f"{path}.{os.getpid()}", Orders)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="orders", daemon=True).start()


def main() -> None:
    """Run the real console."""
    from console import __main__ as console

    supervisor = "--supervise" in sys.argv
    point = POINTS.get(os.environ.get(POINT_VARIABLE, ""))
    if point is not None and point.supervisor is supervisor:
        point.arm()
    if not supervisor:
        listen()
    console.main()


if __name__ == "__main__":
    # Under its own name: as `__main__` the module would be there twice.
    import_module("tests.consoles.killed").main()
