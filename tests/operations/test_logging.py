import json
import re
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


HOSTILE = "Moby\\x1b[2J\\x9b31m\\u202eDick\\u2028\\nINFO forged line\\x00\\ud800"


def is_harmless(text: str) -> bool:
    """Whether a text steers no terminal and turns no reading around."""
    return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)


def test_nothing_from_outside_steers_a_terminal() -> None:
    """As text, controls of names, paths, headers and exceptions are shown, not obeyed, and begin no line."""
    lines = lines_of(
        f"hostile = '{HOSTILE}'\n"
        "log.info('request', path=hostile, files=[hostile], header=hostile.encode('utf-8', 'surrogatepass'))\n"
        "log.warning(hostile, **{hostile: 1})\n"
        "logging.getLogger('foreign.' + hostile).error('said %s', hostile, extra={'name_of_it': hostile})\n"
        "try:\n    raise ValueError(hostile)\nexcept ValueError:\n    log.exception('failed')",
        style="text",
    )
    assert all(is_harmless(line) for line in lines)
    assert len([line for line in lines if not line.startswith("    ")]) == 4
    assert any("\\x1b[2J" in line and "\\u202e" in line for line in lines)


def test_json_keeps_the_value_and_steers_nothing() -> None:
    """As JSON the same values are read back as they were; what JSON would let through raw is escaped."""
    code = f"hostile = '{HOSTILE}'\nlog.info(hostile, path=hostile)\nlogging.getLogger('f').error('%s', hostile)"
    lines = lines_of(code)
    hostile = HOSTILE.encode().decode("unicode_escape")
    assert all(is_harmless(line) for line in lines)
    assert [json.loads(line)["event"] for line in lines] == [hostile, hostile]
    assert json.loads(lines[0])["path"] == hostile


def test_values_that_cannot_be_written_are_a_line_that_says_so() -> None:
    """Broken objects, wrong placeholders, no descriptor for the resident memory, a closed stream: a line, or none, and
    never a traceback of the log's own."""
    lines = lines_of(
        "class Broken(Exception):\n"
        "    def __str__(self): raise RuntimeError('broken')\n"
        "    __repr__ = __str__\n"
        "log.info('shown', value=Broken())\n"
        "logging.getLogger('f').error('%d items, %s', 'x')\n"
        "logging.getLogger('f').error(Broken())\n"
        "try:\n    raise Broken\nexcept Broken:\n    log.exception('failed')\n"
        "import io, resource\n"
        "from services.memory.process import rss_bytes\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "configure(style='json', rss_bytes=rss_bytes)\n"
        "structlog.get_logger('late').info('no descriptor is free')\n"
        "closed = io.StringIO()\n"
        "configure(style='json', stream=closed)\n"
        "closed.close()\n"
        "structlog.get_logger('other').error('nobody hears it')"
    )
    entries = [json.loads(line) for line in lines]
    assert [entry["event"] for entry in entries] == [
        "shown",
        "%d items, %s",
        "<Broken>",
        "failed",
        "no descriptor is free",
    ]
    assert "rss_mb" not in entries[-1]


def test_long_values_are_cut() -> None:
    """A path of 64,000 characters is no line of 64,000 characters; how much is missing is said."""
    (line,) = lines_of("log.info('request', path='/' + 'x' * 64_000)")
    assert len(line) < 5_000
    assert "60,001 characters" in json.loads(line)["path"]


def test_the_same_error_is_written_once_and_counted() -> None:
    """Of 5,000 equal errors one has a traceback, a few name it, the rest is a count; other errors and information are
    written as ever."""
    lines = lines_of(
        "for number in range(5000):\n"
        "    try:\n        raise OSError(24, 'Too many open files')\n"
        "    except OSError:\n        logging.getLogger('asyncio').error('accept: out of resource', exc_info=True)\n"
        "    if number < 50: log.info('request', number=number)\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('another')"
    )
    entries = [json.loads(line) for line in lines]
    accepts = [entry for entry in entries if entry["logger"] == "asyncio"]
    assert sum("exception" in entry for entry in accepts) == 1
    assert len(accepts) == 11
    assert accepts[1]["error"] == "OSError: [Errno 24] Too many open files"
    assert re.fullmatch(r"accept: out of resource \.\.\. and 4,990 times more in the last \d+ s", accepts[-1]["event"])
    assert sum(entry["event"] == "request" for entry in entries) == 50
    assert any("ZeroDivisionError" in entry.get("exception", "") for entry in entries)
