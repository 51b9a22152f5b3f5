"""Logging: JSON lines for machines, text on a terminal; each with the request's id and the process's RSS.

One handler writes everything, also what libraries log, and the same error not without end (`log_repeats.py`); what
comes from outside is escaped (`log_escaping.py`). Texts of documents, questions and secrets do not belong into a log
line; ids and counts do. What comes in all the same, with a file's name or an exception, is masked (`log_masking.py`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import Processor

from services.core.i18n import in_english
from services.core.machine import MEGABYTE
from services.operations.log_escaping import escape_values, shorten
from services.operations.log_handler import LogHandler, SafeFormatter
from services.operations.log_masking import mask_values

# Verbose at info, with nothing that an operator needs.
_QUIET = (
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "watchdog",
    "sentence_transformers",
    "faiss",
    "pdfminer",
    "asyncio",
)


class _PropagatingLogger(logging.Logger):
    """A logger that uses the root's handlers, whatever the library configures.

    Streamlit gives each of its loggers a handler and a format of its own and stops propagation.
    """

    def addHandler(self, handler: logging.Handler) -> None:  # noqa: N802 - the name is the base class's
        if isinstance(handler, logging.StreamHandler) and handler.__class__ is logging.StreamHandler:
            return
        super().addHandler(handler)

    @property
    def propagate(self) -> bool:
        return True

    @propagate.setter
    def propagate(self, value: bool) -> None:
        pass


def configure(
    *,
    level: str = "info",
    style: str = "auto",
    rss_bytes: Callable[[], int] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up logging for the process; call it before libraries make their loggers.

    Args:
        level: least level that is logged.
        style: "json", "text", or "auto" for text where `stream` is a terminal.
        rss_bytes: returns the resident set size, for `rss_mb` on every line.
        stream: where the lines go; standard error by default.
    """
    stream = stream or sys.stderr
    as_text = style == "text" or (style == "auto" and stream.isatty())
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if not as_text else "%H:%M:%S", utc=not as_text),
    ]
    if rss_bytes is not None:
        shared.append(_rss(rss_bytes))
    console = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )  # a prettier traceback would show local variables, and with them texts of documents
    formatter = SafeFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            _drop_colored_copy,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _in_english,
            mask_values,
            shorten,
            *([escape_values, console] if as_text else [structlog.processors.JSONRenderer(ensure_ascii=False)]),
        ],
    )
    formatter.as_text = as_text
    handler = LogHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The console logs each request itself, with its id. A level would not do: Streamlit sets it again.
    logging.getLogger("uvicorn.access").disabled = True
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.setLoggerClass(_PropagatingLogger)  # after structlog's factory, which sets a class of its own


def bind_request_id(request_id: str) -> Any:
    """Return a context manager: log lines within it, also those of threads started with its context, carry the id."""
    return bound_contextvars(request_id=request_id)


def current_request_id() -> str:
    """Return the id of the request that is being served, or ""."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def _in_english(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Write texts in English, whoever the line is about: a log is searched, by others than its readers."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = in_english(value)
    return event


def _rss(rss_bytes: Callable[[], int]) -> Processor:
    def add_rss(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        with suppress(Exception):  # it opens a file: where no descriptor is free, the line goes without
            event["rss_mb"] = round(rss_bytes() / MEGABYTE, 1)
        return event

    return add_rss


def _drop_colored_copy(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn sends each message a second time, with terminal colours
    return event
