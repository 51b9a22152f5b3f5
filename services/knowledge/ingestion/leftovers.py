"""Deletes originals that nobody refers to where several nodes store them: again and again, in the background.

What an upload has left half done is spared for an hour, so that no node deletes what another one is storing.
"""

from __future__ import annotations

import threading

import structlog

from services.core.claims import ALONE, ClaimKind, Claims
from services.core.database import Database
from services.core.errors import MillpondError
from services.core.i18n import _
from services.core.thread_priority import start_low_priority_thread
from services.knowledge.files.file_store import FileStore
from services.knowledge.store.intake import known_originals
from services.knowledge.store.pond_id import pond_id

log = structlog.get_logger(__name__)

_HOURS_APART = 6.0
_RETRY_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
_CLAIM = ClaimKind.ORIGINALS


class SharedLeftovers:
    """Sweeps a store that is shared; `warning` says that it belongs to another pond, whose originals stay."""

    def __init__(self, files: FileStore, database: Database, claims: Claims = ALONE) -> None:
        self._claims = claims
        self._files = files
        self._database = database
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._foreign = False

    @property
    def warning(self) -> str:
        """Why nothing is swept, "" where all is well."""
        if not self._foreign:
            return ""
        return _("The original files are kept where another database keeps its own: no leftovers are deleted there.")

    def start(self) -> None:
        """Begin."""
        self._thread = start_low_priority_thread("originals-sweep", self._run)

    def close(self) -> None:
        """Stop; what is left over is found the next time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def sweep(self) -> int:
        """Delete what is left over, unless the place is another pond's; return how many files.

        Raises:
            MillpondError: the store or the database cannot be asked.
        """
        pond = pond_id(self._database)
        self._foreign = self._files.owner(pond) != pond
        if self._foreign:
            log.error("originals not swept: the place belongs to another pond")
            return 0
        swept = self._files.sweep(lambda names: known_originals(self._database, names))
        log.info("originals swept", removed=swept)
        return swept

    def _run(self) -> None:
        seconds = 0.0
        while not self._stopping.wait(seconds):
            try:
                swept = self._sweep_in_turn()
            except (MillpondError, OSError) as error:
                log.warning("originals not swept", reason=str(error))
                swept = False
            seconds = _HOURS_APART * 3600 if swept else _RETRY_SECONDS

    def _sweep_in_turn(self) -> bool:
        """Sweep unless another node does; return whether that was done. Each has local copies of its own to sweep."""
        with self._claims.held(_CLAIM) as ours:
            if ours:
                self.sweep()
        return ours
