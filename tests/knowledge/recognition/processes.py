"""The process that recognises text, found among those of a parser pool."""

from __future__ import annotations

import psutil

from services.knowledge.parsing.pool import ParserPool


def recognizer(pool: ParserPool) -> psutil.Process:
    """Return the process that recognises text, a child of the fork server."""
    (found,) = [child for child in psutil.Process(pool.pids()[0]).children() if _recognizes(child)]
    return found


def _recognizes(child: psutil.Process) -> bool:
    """Tell whether a child recognises text; one that ended since it was listed does not."""
    try:
        return child.status() != psutil.STATUS_ZOMBIE and any(
            part.endswith("parsing.recognizer") for part in child.cmdline()
        )
    except psutil.NoSuchProcess:
        return False
