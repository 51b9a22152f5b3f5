"""The life cycle of the local model: loaded with the first question that needs it, unloaded when idle.

At most one is loaded, until it has been idle or another one is chosen. Every process imports this module, so that it
imports no LangChain (24 MB).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.chat.models import gguf_server
from services.chat.types import BackendChoice, BackendStatus
from services.core.admission import Admission
from services.core.errors import MillpondError, UnavailableError
from services.core.events import EventKind, EventSink
from services.core.i18n import _, gap
from services.core.memory_report import MemoryReport
from services.core.model_signatures.verifier import ModelVerifier
from services.core.settings import Settings

# What a token of context takes at most in the models of a few hundred million parameters that fit this process.
_CONTEXT_TOKEN_BYTES = 24 * 1024


class LocalModel:
    """Loads and unloads the one local model. Thread-safe; `server` is None while none is loaded."""

    def __init__(self, settings: Settings, reporter: EventSink, admission: Admission, now: Callable[[], float]) -> None:
        """Load nothing yet. `now` returns seconds since the epoch: idle time is measured by it."""
        self._settings = settings
        self._reporter = reporter
        self._admission = admission
        self._now = now
        self._lock = threading.RLock()  # held while a model is loaded
        self._verifier = ModelVerifier.of(settings)
        self.server: gguf_server.GGUFServer | None = None
        self._file: Path | None = None  # that was asked for; what is loaded may be a verified copy of it
        self._loads = 0
        self._used_at = 0.0
        self._loading = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether an answer uses the model or has reserved it."""
        server = self.server
        return server is not None and server.busy

    def acquire(self, path: str) -> gguf_server.GGUFServer:
        """Return the model in the file at `path`, loaded and reserved for an answer.

        Raises:
            MillpondError: there is no such model, or too little memory for it.
        """
        with self._lock:  # nobody may unload it before it is reserved
            server = self._loaded(path)
            server.reserve()
            self._used_at = self._now()
        return server

    def memory_report(self) -> MemoryReport | None:
        """Return the memory that the model takes, None while none is loaded."""
        server = self.server
        return server.memory_report(self._loads) if server is not None else None

    def status(self, choice: BackendChoice) -> BackendStatus:
        """Return whether the model of `choice` can answer.

        Raises:
            MillpondError: its file is not there, no GGUF file, or refused for want of a valid signature.
        """
        if not gguf_server.is_installed():
            return BackendStatus(
                choice.kind,
                _("Local model"),
                "down",
                _("Local models need the extra that is called gguf."),
                _("Install it with: pip install 'millpond[gguf]', then start Millpond again."),
            )
        file = gguf_server.validate_file(choice.path)
        if self._loading:
            return BackendStatus(choice.kind, file.stem, "loading", _("The model is being loaded."))
        server = self.server
        loaded = server is not None and self._file == file
        if not loaded:
            self._verifier.require_signature(file)
        message = _("The model is loaded.") if loaded else _("The model is loaded with the first question.")
        if self._verifier.demanded and not loaded:
            message += gap() + _("Its signature is checked before.")
        return BackendStatus(choice.kind, file.stem, "ready", message)

    def verify(self, path: str) -> None:
        """Check the signature of a model file that is about to be chosen, where signatures are demanded.

        Raises:
            RefusedModelError: it is refused; a loaded model goes on.
            MillpondError: it cannot be verified.
        """
        file = gguf_server.validate_file(path)
        if not self._verifier.demanded:
            return
        verified = self._verifier.verified(file)  # takes seconds, in which a loaded model answers
        with self._lock:
            if self._file == file and self.server is not None and self.server.file != verified:
                self.force_unload()  # another file has come in its place, signed as well

    def tested(self, status: BackendStatus, choice: BackendChoice) -> BackendStatus:
        """Return `status` with what the check of the file's signature has found, where signatures are demanded."""
        if not self._verifier.demanded:
            return status
        try:
            self.verify(choice.path)
        except MillpondError as error:
            return replace(status, state="down", message=error.message, hint=error.hint)
        return replace(status, message=_("The signature of the model is valid."))

    def unload(self) -> bool:
        """Unload the model unless it is busy; the next question loads it again. Return whether it was unloaded.

        Its memory is free in the allocator then; a trim returns it to the system.
        """
        with self._lock:
            if self.server is None or self.server.busy:
                return False
            self.force_unload()
            return True

    def unload_idle(self) -> bool:
        """Unload the model if it was not used for `model_idle_minutes`; called periodically. Return whether it was."""
        minutes = self._settings.model_idle_minutes
        server = self.server
        if not minutes or server is None:
            return False
        if server.busy:
            self._used_at = self._now()
        return self._now() - self._used_at >= 60 * minutes and self.unload()

    def force_unload(self) -> None:
        """Unload the model, ending answers that use it."""
        with self._lock:
            server, self.server, self._file = self.server, None, None
            if server is not None:
                server.close()
                text = _("chat model unloaded: {name}").format(name=server.file.stem)
                self._reporter.event(EventKind.MODEL, text, unloaded=1)

    def close(self) -> None:
        """Unload the model; none is loaded after this."""
        self._closed = True
        self.force_unload()
        self._verifier.close()

    def _loaded(self, path: str) -> gguf_server.GGUFServer:
        file = gguf_server.validate_file(path)
        if self.server is not None and self._file == file:
            return self.server
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Ask again when it has started."))
        self.force_unload()
        settings = self._settings
        needed = file.stat().st_size + settings.gguf_context_tokens * _CONTEXT_TOKEN_BYTES
        began = time.monotonic()
        with self._admission.reserve(needed, _("The local model")):
            self._loading = True
            try:
                verified = self._verifier.verified(file)
                server = gguf_server.GGUFServer(verified, settings.gguf_context_tokens, settings.gguf_cache_precision)
            finally:
                self._loading = False
        self._require_unchanged(file, server)
        self._verifier.keep_only(file)
        self.server, self._file = server, file
        self._loads += 1
        self._reporter.event(
            EventKind.MODEL,
            _("chat model loaded: {name}").format(name=file.stem),
            seconds=time.monotonic() - began,
            bytes=server.memory_report(self._loads).bytes,
        )
        return server

    def _require_unchanged(self, file: Path, server: gguf_server.GGUFServer) -> None:
        """End a server whose file was changed while it was loaded.

        Raises:
            DamagedError: it was.
        """
        try:
            self._verifier.check(file)
        except MillpondError:
            server.close()
            raise
