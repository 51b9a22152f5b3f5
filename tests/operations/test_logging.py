import json
import subprocess
import sys
from typing import Any

from tests.servers import ROOT, environment

# In a process of its own, because logging is set up once per process.
PREAMBLE = """
import logging, sys, warnings
from services.operations.logging import configure, current_request_id, bind_request_id
configure(level="info", style={style!r}, rss_bytes=lambda: 5 * 1024 * 1024)
import structlog
log = structlog.get_logger("component")
"""


def lines_of(code: str, *, style: str = "json") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(style=style) + code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()


def entries_of(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(code)]


def test_json_line_carries_request_id_and_rss() -> None:
    """Within a request each line has its id, and every line the resident memory; outside there is no id."""
    inside, outside = entries_of(
        "with bind_request_id('abc'):\n"
        "    log.info('stage', step=2); assert current_request_id() == 'abc'\n"
        "log.info('later')"
    )
    assert (inside["event"], inside["step"], inside["request_id"], inside["rss_mb"]) == ("stage", 2, "abc", 5.0)
    assert inside["level"] == "info"
    assert inside["logger"] == "component"
    assert inside["timestamp"].endswith("Z")
    assert "request_id" not in outside
    assert outside["rss_mb"] == 5.0


def test_request_id_reaches_threads_started_with_the_context() -> None:
    """A thread that runs in a copy of the request's context logs its id."""
    (entry,) = entries_of(
        "import contextvars, threading\n"
        "with bind_request_id('t1'):\n"
        "    thread = threading.Thread(target=contextvars.copy_context().run, args=(log.info, 'in thread'))\n"
        "    thread.start(); thread.join()"
    )
    assert entry["request_id"] == "t1"


def test_libraries_use_the_same_way_out() -> None:
    """A library that gives its logger a handler of its own and stops propagation logs one JSON line like all others."""
    (entry,) = entries_of(
        "library = logging.getLogger('streamlit.anything')\n"
        "library.propagate = False\n"
        "library.addHandler(logging.StreamHandler())\n"
        "library.warning('from %s', 'afar')"
    )
    assert entry["event"] == "from afar"
    assert entry["logger"] == "streamlit.anything"
    assert entry["rss_mb"] == 5.0


def test_streamlit_and_uvicorn_log_json() -> None:
    """The real Streamlit and uvicorn loggers go the same way, also after Streamlit has read its settings."""
    entries = entries_of(
        "import streamlit.config, streamlit.logger\n"
        "streamlit.config.get_config_options(force_reparse=True)\n"
        "streamlit.logger.init_uvicorn_logs()\n"
        "streamlit.logger.get_logger('streamlit.runtime').error('one')\n"
        "logging.getLogger('uvicorn.error').error('two', extra={'color_message': 'coloured'})\n"
        "logging.getLogger('uvicorn.access').info('our own line per request is enough')"
    )
    assert [entry["event"] for entry in entries] == ["one", "two"]
    assert "color_message" not in entries[1]


def test_exception_is_part_of_the_line() -> None:
    """A traceback stays within its JSON line."""
    (entry,) = entries_of("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')")
    assert entry["level"] == "error"
    assert "ZeroDivisionError" in entry["exception"]


def test_warnings_and_levels() -> None:
    """Python's warnings are logged; what is below the level is not."""
    entries = entries_of("log.debug('quiet'); warnings.warn('mind the gap')")
    assert len(entries) == 1
    assert "mind the gap" in entries[0]["event"]


def test_text_for_people() -> None:
    """As text, a line is readable and carries the same facts."""
    (line,) = lines_of("log.info('stage', step=2)", style="text")
    assert "stage" in line
    assert "step=2" in line
    assert "rss_mb=5.0" in line
    assert not line.startswith("{")


def test_auto_is_json_where_there_is_no_terminal() -> None:
    """Without a terminal, "auto" means JSON."""
    (line,) = lines_of("log.info('stage')", style="auto")
    assert json.loads(line)["event"] == "stage"
