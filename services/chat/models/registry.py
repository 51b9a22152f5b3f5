"""Which chat model is chosen, whether it answers, and the way to it.

The state of a model server, looked up beside the page that shows it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from services.chat.models import gguf_server, servers
from services.chat.models.base import Backend
from services.chat.models.circuit_breaker import BreakerState, BreakerStatus, CircuitBreakers, left_alone
from services.chat.models.gguf import LocalModel
from services.chat.types import BackendChoice, BackendKind, BackendStatus
from services.core.access import Actor
from services.core.admission import Admission
from services.core.errors import BadInputError, MillpondError, NotFoundError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.preferences import Preferences
from services.core.settings import Settings

PREFERENCE = "chat model"
MODEL_NAME = "millpond"
FRESH_SECONDS = 5.0
FIRST_LOOK_SECONDS = 1.0


class ChatModels:
    """The chosen back end, kept in the preferences; switching needs no restart. At most one local model is loaded."""

    def __init__(
        self,
        preferences: Preferences,
        settings: Settings,
        *,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Load nothing yet. `now` is the clock by which an idle model is unloaded, in seconds since the epoch."""
        self._preferences = preferences
        self._reporter = reporter or NullEventSink()
        self._settings = settings
        self.local = LocalModel(settings, self._reporter, admission or Admission(), now)
        self.breakers = CircuitBreakers(
            failures=settings.breaker_failures, seconds=settings.breaker_seconds, reporter=self._reporter
        )
        self._watch = StatusWatch(self.probe)

    # The choice

    def choice(self) -> BackendChoice:
        """Return the choice without its key, which is never shown again."""
        return replace(self._choice(), api_key="")

    def choose(self, actor: Actor, choice: BackendChoice) -> BackendChoice:
        """Store a choice and use it from the next question on; an empty key keeps the one stored for the same address.

        Raises:
            ForbiddenError: `actor` may only look.
            MillpondError: the choice cannot work (no address, no model, no such file); the old one stays.
        """
        actor.require_admin(_("Choose the chat model"))
        complete = self._completed(choice)
        if complete.kind is BackendKind.GGUF:
            gguf_server.checked_file(complete.path)
        elif complete.kind is not BackendKind.NONE and not complete.model:
            raise BadInputError(_("No model is named."), _("Enter the name of one of the server's models."))
        self._preferences.set(PREFERENCE, {**asdict(complete), "kind": complete.kind.value})
        self._watch.forget()
        self._reporter.action(actor.name, EventKind.SETTINGS, _("chat model: {name}").format(name=complete.name))
        self.breakers.reset()
        if complete.kind is not BackendKind.GGUF:
            self.local.drop()
        return replace(complete, api_key="")

    def has_key(self, choice: BackendChoice) -> bool:
        """Return whether a key is stored or configured for the address of `choice`."""
        try:
            return bool(self._completed(replace(choice, api_key="")).api_key)
        except MillpondError:
            return False

    def models_of(self, choice: BackendChoice) -> list[str]:
        """Return the models that the server of `choice` offers; an empty key means the stored one.

        Raises:
            MillpondError: the server does not tell, or the address is none.
        """
        complete = self._completed(choice)
        if complete.kind is BackendKind.OPENAI:
            return servers.openai_models(complete.url, complete.api_key)
        if complete.kind is BackendKind.OLLAMA:
            return servers.ollama_models(complete.url)
        return []

    def ollama_models(self, url: str | None = None) -> list[str]:
        """Return the models of an Ollama server, by default the one on its usual port; none where there is none."""
        try:
            return servers.ollama_models(servers.checked(url or self._settings.ollama_url))
        except MillpondError:
            return []

    def gguf_files(self) -> list[str]:
        """Return the model files that can be chosen: the configured one, and those in `models` in the data folder."""
        folder = self._settings.data_dir / "models"
        found = sorted(str(file) for file in folder.glob("*.gguf")) if folder.is_dir() else []
        configured = self._settings.gguf_path
        return [configured, *found] if configured and configured not in found else found

    def check_name(self, name: str | None) -> None:
        """Accept the names that a client of the API may ask for.

        Raises:
            NotFoundError: it asks for another model.
        """
        if name and name not in {MODEL_NAME, self._choice().model}:
            raise NotFoundError(
                _("There is no model named {name}.").format(name=name[:100]),
                _("Ask for {name}.").format(name=MODEL_NAME),
            )

    # Its state

    def status(self) -> BackendStatus:
        """Return the state of the chosen back end as of some seconds ago; waits at most a second for the first look."""
        choice = self._choice()
        if choice.kind in {BackendKind.NONE, BackendKind.GGUF}:
            return self._with_breaker(choice, self.probe(choice))
        return self._with_breaker(choice, self._watch.status(choice))

    def breaker(self) -> BreakerStatus | None:
        """Return how the breaker of the chosen back end stands; None where no model is chosen."""
        choice = self._choice()
        if choice.kind is BackendKind.NONE or not choice.name:
            return None
        return self.breakers.of(self._address(choice)).status()

    def available(self) -> list[BackendStatus]:
        """Return the state of each way to get a chat model, as configured or found."""
        chosen = self._choice()
        ways = [BackendChoice(kind) for kind in BackendKind]
        return [self.probe(chosen if way.kind is chosen.kind else way) for way in ways]

    def probe(self, choice: BackendChoice) -> BackendStatus:
        """Look at a back end now; takes up to two seconds where a server has to be asked."""
        labels = {
            BackendKind.NONE: _("No language model"),
            BackendKind.OPENAI: _("OpenAI-compatible server"),
            BackendKind.OLLAMA: _("Ollama"),
            BackendKind.GGUF: _("Local model"),
        }
        label = choice.model or labels[choice.kind]
        if not self._is_set_up(choice):
            return BackendStatus(
                choice.kind, label, "off", _("Not set up."), _("Enter what it needs under Settings to use it.")
            )
        try:
            complete = self._completed(choice)
            if complete.kind is BackendKind.NONE:
                return BackendStatus(
                    complete.kind, label, "off", _("Answers quote the documents."), _("Connect a model under Settings.")
                )
            if complete.kind is BackendKind.GGUF:
                return self.local.status(complete)
            label = complete.model or label
            return self._server_status(complete, label)
        except MillpondError as error:
            return BackendStatus(choice.kind, label, "down", error.message, error.hint)

    def _with_breaker(self, choice: BackendChoice, status: BackendStatus) -> BackendStatus:
        """Say that the chosen back end is left alone, if it is, whatever its list of models says."""
        if choice.kind is BackendKind.NONE:
            return status
        breaker = self.breakers.of(self._address(choice)).status()
        if breaker.state is BreakerState.CLOSED:
            return replace(status, breaker=breaker.state.value)
        return replace(
            status,
            state="down",
            message=left_alone(breaker),
            hint=_("Until then the documents are quoted."),
            breaker=breaker.state.value,
            retry_seconds=round(breaker.retry_seconds, 1),
        )

    def _address(self, choice: BackendChoice) -> str:
        """Return what the back end of `choice` calls itself, without loading it."""
        if choice.kind is BackendKind.OPENAI:
            return servers.OpenAIServer(choice.url, choice.model, "").address
        if choice.kind is BackendKind.OLLAMA:
            return servers.Ollama(choice.url, choice.model).address
        return gguf_server.address(Path(choice.path))

    # The way to it

    def backend(self) -> Backend | None:
        """Return the way to the chosen model, None where none is chosen; loads a local model that is not loaded yet.

        Raises:
            OpenBreakerError: the local model could not be loaded several times in a row, and is left alone for now.
            MillpondError: it cannot be loaded.
        """
        choice = self._choice()
        seconds = self._settings.answer_seconds
        if choice.kind is BackendKind.OPENAI:
            return servers.OpenAIServer(choice.url, choice.model, choice.api_key, seconds)
        if choice.kind is BackendKind.OLLAMA:
            return servers.Ollama(choice.url, choice.model, seconds)
        if choice.kind is BackendKind.GGUF:
            from services.chat.models.gguf import GGUF

            with self.breakers.of(self._address(choice)).enter():  # each try to load takes seconds and memory
                return GGUF(self.local.reserved(choice.path))
        return None

    def close(self) -> None:
        """Unload what is loaded; nothing is loaded after this."""
        self._watch.close()
        self.local.close()

    def _choice(self) -> BackendChoice:
        """Return the choice with its key: the stored one, else what the settings name."""
        stored = self._preferences.get(PREFERENCE)
        if stored is not None:
            return self._with_key(BackendChoice(**{**stored, "kind": BackendKind(stored["kind"])}), "")
        settings = self._settings
        if settings.openai_base_url and settings.openai_model:
            return self._completed(BackendChoice(BackendKind.OPENAI), stored=False)
        if settings.gguf_path:
            return self._completed(BackendChoice(BackendKind.GGUF), stored=False)
        return BackendChoice()

    def _completed(self, choice: BackendChoice, *, stored: bool = True) -> BackendChoice:
        """Return a choice with its gaps filled in from the settings, without what its kind has no use for.

        Raises:
            BadInputError: its address is none.
        """
        settings, kind = self._settings, choice.kind
        if kind is BackendKind.OPENAI:
            url = servers.checked(choice.url or settings.openai_base_url)
            model = choice.model.strip() or ("" if choice.url else settings.openai_model)
            key = choice.api_key.strip()
            old = self._preferences.get(PREFERENCE) if stored and not key else None
            if old and old.get("kind") == kind.value and old.get("url") == url:
                key = str(old.get("api_key", ""))
            return self._with_key(BackendChoice(kind, url, model, key), key)
        if kind is BackendKind.OLLAMA:
            return BackendChoice(kind, servers.checked(choice.url or settings.ollama_url), choice.model.strip())
        if kind is BackendKind.GGUF:
            return BackendChoice(kind, path=choice.path.strip() or settings.gguf_path)
        return BackendChoice()

    def _with_key(self, choice: BackendChoice, key: str) -> BackendChoice:
        """Return a choice with the configured key if it has none and goes to the configured address, to no other."""
        settings = self._settings
        if choice.kind is not BackendKind.OPENAI or choice.api_key or key or not settings.openai_base_url:
            return choice
        if choice.url != servers.checked(settings.openai_base_url):
            return choice
        return replace(choice, api_key=settings.openai_api_key.get_secret_value())

    def _is_set_up(self, choice: BackendChoice) -> bool:
        if choice.kind is BackendKind.OPENAI:
            return bool(choice.url or self._settings.openai_base_url)
        if choice.kind is BackendKind.GGUF:
            return bool(choice.path or self._settings.gguf_path)
        return True

    def _server_status(self, choice: BackendChoice, label: str) -> BackendStatus:
        models = self.models_of(choice)
        if not choice.model:
            return BackendStatus(
                choice.kind,
                label,
                "ready" if models else "down",
                _("Found at {server}; its models: {models}.").format(
                    server=servers.shown(choice.url), models=", ".join(models[:10]) or _("none")
                ),
                "" if models else _("Fetch a model first, with Ollama for example: ollama pull NAME."),
            )
        if choice.model not in models and f"{choice.model}:latest" not in models:
            return BackendStatus(
                choice.kind,
                label,
                "down",
                _("{server} does not offer the model {model}.").format(
                    server=servers.shown(choice.url), model=choice.model
                ),
                _("It offers: {models}.").format(models=", ".join(models[:10]) or _("none")),
            )
        return BackendStatus(
            choice.kind, label, "ready", _("Connected to {server}.").format(server=servers.shown(choice.url))
        )


class StatusWatch:
    """Keeps the last status; a stale one is returned at once while a thread looks again.

    `probe` is called in a short-lived thread, one at a time; it has to bound its own time.
    """

    def __init__(self, probe: Callable[[BackendChoice], BackendStatus]) -> None:
        self._probe = probe
        self._changed = threading.Condition()
        self._choice: BackendChoice | None = None
        self._status: BackendStatus | None = None
        self._looked = 0.0
        self._thread: threading.Thread | None = None

    def status(self, choice: BackendChoice) -> BackendStatus:
        """Return the status of `choice`, at most some seconds old or being renewed."""
        with self._changed:
            if choice != self._choice:
                self._choice, self._status = choice, None
            if self._thread is None and (self._status is None or time.monotonic() - self._looked > FRESH_SECONDS):
                self._thread = threading.Thread(target=self._look, args=(choice,), name="model status", daemon=True)
                self._thread.start()
            if self._status is None:
                self._changed.wait_for(lambda: self._status is not None, FIRST_LOOK_SECONDS)
            return self._status or BackendStatus(
                choice.kind, choice.model, "loading", _("Waiting for the server's reply.")
            )

    def forget(self) -> None:
        """Look again at the next call."""
        with self._changed:
            self._choice = self._status = None

    def close(self) -> None:
        """Wait for a look that is under way."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _look(self, choice: BackendChoice) -> None:
        try:
            status = self._probe(choice)
            with self._changed:
                if choice == self._choice:
                    self._status, self._looked = status, time.monotonic()
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()
