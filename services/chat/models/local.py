"""The one local model of the process: loaded with the first question, spared while it answers, unloaded when idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.admission import Admission
from services.chat.models import gguf_server
from services.chat.types import BackendChoice, BackendStatus
from services.errors import UnavailableError
from services.held import HeldResource
from services.reporting import EventKind, Reporter
from services.settings import Settings
from services.texts import _

# What a token of context takes at most in the models of a few hundred million parameters that fit this process.
_CONTEXT_TOKEN_BYTES = 24 * 1024


class LocalModel:
    """At most one GGUF file in RAM. Thread-safe; `server` is what is loaded, None while nothing is."""

    def __init__(self, settings: Settings, reporter: Reporter, admission: Admission, now: Callable[[], float]) -> None:
        """Load nothing yet. `now` is the clock by which an idle model is unloaded, in seconds since the epoch."""
        self._settings = settings
        self._reporter = reporter
        self._admission = admission
        self._now = now
        self._lock = threading.RLock()  # held while a model is loaded
        self.server: gguf_server.GGUFServer | None = None
        self._loads = 0
        self._wanted = 0.0  # when it was last asked for
        self._loading = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether an answer uses the model, or is about to."""
        server = self.server
        return server is not None and server.busy

    def reserved(self, path: str) -> gguf_server.GGUFServer:
        """Return the model in the file at `path`, loaded and reserved for an answer.

        Raises:
            MillpondError: there is no such model, or no room for it.
        """
        with self._lock:  # so that nobody unloads it before it is reserved
            server = self._loaded(path)
            server.reserve()
            self._wanted = self._now()
        return server

    def resource(self) -> HeldResource | None:
        """Return what the model takes, None while none is loaded."""
        server = self.server
        return server.resource(self._loads) if server is not None else None

    def status(self, choice: BackendChoice) -> BackendStatus:
        """Return whether the model of `choice` can answer.

        Raises:
            MillpondError: its file is not there, or no GGUF file.
        """
        if not gguf_server.installed():
            return BackendStatus(
                choice.kind,
                _("Local model"),
                "down",
                _("Local models need the extra that is called gguf."),
                _("Install it with: pip install 'millpond[gguf]', then start Millpond again."),
            )
        file = gguf_server.checked_file(choice.path)
        if self._loading:
            return BackendStatus(choice.kind, file.stem, "loading", _("The model is being loaded."))
        server = self.server
        loaded = server is not None and server.file == file
        message = _("The model is loaded.") if loaded else _("The model is loaded with the first question.")
        return BackendStatus(choice.kind, file.stem, "ready", message)

    def unload(self) -> bool:
        """Unload the model unless an answer uses it or is about to; the next question loads it again.

        Returns whether it was unloaded. Its memory is back in the allocator then; a trim gives it to the system.
        """
        with self._lock:
            if self.server is None or self.server.busy:
                return False
            self.drop()
            return True

    def unload_idle(self) -> bool:
        """Unload the model if nobody has asked for it for `model_idle_minutes`; called now and then."""
        minutes = self._settings.model_idle_minutes
        server = self.server
        if not minutes or server is None:
            return False
        if server.busy:
            self._wanted = self._now()
        return self._now() - self._wanted >= 60 * minutes and self.unload()

    def drop(self) -> None:
        """Unload what is loaded, ending the answers that use it."""
        with self._lock:
            server, self.server = self.server, None
            if server is not None:
                server.close()
                text = _("chat model unloaded: {name}").format(name=server.file.stem)
                self._reporter.event(EventKind.MODEL, text, unloaded=1)

    def close(self) -> None:
        """Unload what is loaded; nothing is loaded after this."""
        self._closed = True
        self.drop()

    def _loaded(self, path: str) -> gguf_server.GGUFServer:
        file = gguf_server.checked_file(path)
        if self.server is not None and self.server.file == file:
            return self.server
        if self._closed:
            raise UnavailableError(_("Millpond is being closed."), _("Ask again when it has started."))
        self.drop()
        settings = self._settings
        needed = file.stat().st_size + settings.gguf_context_tokens * _CONTEXT_TOKEN_BYTES
        began = time.monotonic()
        with self._admission.reserve(needed, _("The local model")):
            self._loading = True
            try:
                server = gguf_server.GGUFServer(file, settings.gguf_context_tokens, settings.gguf_cache_precision)
            finally:
                self._loading = False
        self.server = server
        self._loads += 1
        self._reporter.event(
            EventKind.MODEL,
            _("chat model loaded: {name}").format(name=file.stem),
            seconds=time.monotonic() - began,
            bytes=server.resource(self._loads).bytes,
        )
        return server
