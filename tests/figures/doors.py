"""Everything that tells figures of a running process, read at one moment: pages, API, metrics, log line, command."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from streamlit.testing.v1 import AppTest

from console.api.application import create_api, provide
from console.cli.remote_client import RemoteClient
from console.cli.status import status_lines
from services.app.container import Services
from services.app.startup import Application
from services.operations import logging
from tests.pages.conftest import ENTRY_POINT

API = (
    "/api/memory",
    "/api/collector",
    "/api/collector/pauses",
    "/api/collector/effects",
    "/api/budget",
    "/api/status",
    "/api/requests",
    "/api/caches",
    "/api/tracing",
)
PAGES = ("overview", "memory", "collector", "budget")
_JOINER = "\u2060"


@dataclass(frozen=True)
class PageText:
    """What a page shows: figures by label, all its text, the links of its status strip."""

    metrics: dict[str, str]
    text: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """What all doors told at one moment."""

    api: dict[str, Any]
    metrics: dict[tuple[str, ...], float]
    pages: dict[str, PageText]
    command: str
    log_line: dict[str, Any]
    served: int  # requests up to the moment of the snapshot; runs of pages that are read here come on top

    def at(self, path: str) -> Any:
        """Return the API's value at a path such as "/api/memory.latest.rss"; None where something on it is missing."""
        route, *names = _split(path)
        value: Any = self.api[route]
        for name in names:
            value = value.get(name) if isinstance(value, dict) else value[int(name)]
            if value is None:
                return None
        return value

    def metric(self, name: str, *labels: str) -> float | None:
        """Return a metric's value by the values of its labels; None where it has none."""
        return self.metrics.get((name, *labels))


def _split(path: str) -> list[str]:
    route = max((one for one in API if path.startswith(one)), key=len)
    return [route, *filter(None, path.removeprefix(route).split("/"))]


@contextmanager
def listening(application: Application) -> Iterator[httpx.Client]:
    """Serve the API of this process's application on a free port, by the real server."""
    api = create_api()
    provide(api, application)
    server = uvicorn.Server(uvicorn.Config(api, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    pause = threading.Event()
    while not server.started:
        assert thread.is_alive()
        pause.wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(10)


def read_all(application: Application, services: Services, client: httpx.Client) -> Told:
    """Read every door; whoever calls this holds the snapshot."""
    served = services.request_log.total
    app = AppTest.from_file(str(ENTRY_POINT), default_timeout=60)
    app.run()
    pages = {name: _page(app, name) for name in PAGES}
    api = {path: client.get(path).raise_for_status().json() for path in API}
    families = text_string_to_metric_families(client.get("/metrics").text)
    metrics = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    with RemoteClient(str(client.base_url).rstrip("/")) as remote:
        command = "\n".join(status_lines(services.settings, remote.status()))
    return Told(api, metrics, pages, command, _log_line(application), served)


def _page(app: AppTest, name: str) -> PageText:
    app.switch_page(f"../pages/{name}.py").run()
    assert not app.exception, name
    elements = [*app.markdown, *app.caption, *app.info, *app.warning]
    elements += app.get("progress")
    text = "\n".join(_plain(_words(element)) for element in elements)
    links = tuple(_plain(link.value) for link in app.page_link)
    figures: dict[str, str] = {}
    for metric in app.metric:
        figures.setdefault(metric.label, _plain(metric.value))  # the first of its name: newer than those below it
    return PageText(figures, text, links)


def _words(element: Any) -> str:
    proto = element.proto
    return str(getattr(proto, "text", "") or getattr(proto, "body", ""))


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).replace(_JOINER, "")


def _log_line(application: Application) -> dict[str, Any]:
    """Return a log line as `serve` has it written, the log set up as there."""
    before = structlog.get_config()
    root = logging.logging.getLogger()
    handlers, level, logger_class = list(root.handlers), root.level, logging.logging.getLoggerClass()
    stream = io.StringIO()
    logging.configure(style="json", rss_bytes=lambda: application.rss_reading().rss, stream=stream)
    try:
        logging.logging.getLogger("figures").warning("line")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.logging.setLoggerClass(logger_class)
        structlog.configure(**before)
    return dict(json.loads(stream.getvalue().splitlines()[-1]))
