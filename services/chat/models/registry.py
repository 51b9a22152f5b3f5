"""The registry of chat models: the stored choice, the status of each back end, and the back end for an answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.chat.models import gguf_server, servers
from services.chat.models.base import Backend
from services.chat.models.capabilities import CapabilityStore
from services.chat.models.choice import PREFERENCE_KEY, ChoiceStore
from services.chat.models.circuit_breaker import BreakerState, BreakerStatus, CircuitBreakers, open_message
from services.chat.models.errors import UnreachableError, unsupported
from services.chat.models.local import LocalModel
from services.chat.models.status import StatusCache, may_answer, trial
from services.chat.options import AnswerOptions
from services.chat.types import BackendChoice, BackendKind, BackendStatus
from services.core.actor import Actor, Permission
from services.core.admission import Admission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError, MillpondError, NotFoundError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _, joined, listed
from services.core.model_signatures.verifier import refusals_keep_choice
from services.core.outgoing import OutgoingRules
from services.core.preferences import Preferences
from services.core.secret_box import SecretBox, UnreadableSecretError
from services.core.secret_store import SecretStore
from services.core.settings import Settings

MODEL_NAME = "millpond"
TEST_SECONDS = 60.0  # a server may load the model first


_CHAT_MODEL = Target(TargetKind.SETTING, "chat model")


class ChatModels:
    """The chosen back end, stored in the preferences; a change needs no restart. Thread-safe."""

    def __init__(
        self,
        preferences: Preferences,
        settings: Settings,
        *,
        secrets: SecretStore | None = None,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Load nothing yet. `now` returns seconds since the epoch: idle time is measured by it."""
        self._choices = ChoiceStore(preferences, settings, secrets or SecretStore(preferences, SecretBox.of(settings)))
        self._reporter = reporter or NullEventSink()
        self._settings = settings
        self._rules = OutgoingRules.of(settings)
        self.local = LocalModel(settings, self._reporter, admission or Admission(), now)
        self.breakers = CircuitBreakers(
            failures=settings.breaker_failures, seconds=settings.breaker_seconds, reporter=self._reporter
        )
        self.capabilities = CapabilityStore(preferences)
        self._statuses = StatusCache(self._probe)
        preferences.on_changed(PREFERENCE_KEY, self._follow_choice)

    # The choice

    def choice(self) -> BackendChoice:
        """Return the choice without its key, which is never returned to anybody."""
        return self._choices.current()

    def choose(self, actor: Actor, choice: BackendChoice) -> BackendChoice:
        """Store a choice and use it from the next question on; an empty key keeps the stored one of the same address.

        Raises:
            ForbiddenError: `actor` has read access only.
            MillpondError: the choice is incomplete or its file is missing; the old one stays.
        """
        actor.require(Permission.CONFIGURE, _("Choose the chat model"))
        complete = self._choices.complete(choice)
        if complete.kind is BackendKind.GGUF:
            with refusals_keep_choice():
                self.local.verify(complete.path)
        elif complete.kind is not BackendKind.NONE and not complete.model:
            raise BadInputError(_("No model is named."), _("Enter the name of one of the server's models."))
        if complete.url:
            self._rules.require_url(complete.url)
        self._choices.save(complete)
        self.capabilities.keep_only(complete.url)
        self._reporter.action(actor.name, EventKind.SETTINGS, _("chat model: {name}").format(name=complete.name))
        self._reporter.audit(actor, Action.SETTINGS_CHANGED, _CHAT_MODEL, detail=complete.name)
        self._use_choice()
        return replace(complete, api_key="")

    def _follow_choice(self) -> None:
        # Whoever follows other nodes cannot wait for a model that is being loaded.
        threading.Thread(target=self._use_choice, name="chat model choice", daemon=True).start()

    def _use_choice(self) -> None:
        """Begin anew with the choice that was stored, here or at another node."""
        self._statuses.invalidate()
        self.breakers.reset()
        if self._choices.current().kind is not BackendKind.GGUF:
            self.local.force_unload()

    def has_key(self, choice: BackendChoice) -> bool:
        """Return whether a key is stored or configured for the address of `choice`."""
        return self._choices.has_key(choice)

    def shown_key(self, choice: BackendChoice) -> str:
        """Return the end of that key, for display; "" for none."""
        return self._choices.shown_key(choice)

    def encrypt_plain_key(self) -> None:
        """Encrypt a key that an earlier version stored as it was."""
        self._choices.encrypt_plain_key()

    def models_of(self, actor: Actor, choice: BackendChoice) -> list[str]:
        """Return the models that the server of `choice` offers; an empty key means the stored one.

        Raises:
            ForbiddenError: `actor` may not have the server ask others.
            MillpondError: the address is invalid, or the server does not list its models.
        """
        actor.require(Permission.CONFIGURE, _("Test the chat model"))
        return self._models_of(choice)

    def _models_of(self, choice: BackendChoice) -> list[str]:
        complete = self._choices.complete(choice)
        if complete.kind is BackendKind.OPENAI:
            return servers.list_openai_models(complete.url, self._choices.key(complete), self._rules)
        if complete.kind is BackendKind.OLLAMA:
            return servers.list_ollama_models(complete.url, self._rules)
        return []

    def gguf_files(self) -> list[str]:
        """Return the model files to choose from: the configured one, and those in the data folder's `models`."""
        folder = self._settings.data_dir / "models"
        found = sorted(str(file) for file in folder.glob("*.gguf")) if folder.is_dir() else []
        configured = self._settings.gguf_path
        return [configured, *found] if configured and configured not in found else found

    def check_name(self, name: str | None) -> None:
        """Check the model's name in a request to the API.

        Raises:
            NotFoundError: it is neither the service's nor the chosen model's.
        """
        if name and name not in {MODEL_NAME, self._choices.current().model}:
            raise NotFoundError(
                _("There is no model named {name}.").format(name=name[:100]),
                _("Ask for {name}.").format(name=MODEL_NAME),
            )

    def check_options(self, options: AnswerOptions) -> None:
        """Check that the chosen model can do what a request asks for.

        Raises:
            BadInputError: it cannot; the message names the parameter.
        """
        choice = self._choices.current()
        if choice.kind is BackendKind.NONE and options.needs_model:
            raise unsupported(
                options.needs_model[0], _("no language model is connected, and quoted sentences have no other form.")
            )
        if choice.kind is BackendKind.OLLAMA:
            servers.OllamaBackend(choice.url, choice.model).check(options)

    def forget_capabilities(self, actor: Actor) -> None:
        """Forget what was learnt about the chosen server; the next question finds it out again.

        Raises:
            ForbiddenError: `actor` has read access only.
        """
        actor.require(Permission.CONFIGURE, _("Choose the chat model"))
        self.capabilities.forget(self._choices.current().url)
        self._reporter.audit(actor, Action.SETTINGS_CHANGED, _CHAT_MODEL, detail=_("what the server takes, forgotten"))
        self._statuses.invalidate()

    # Status

    def status(self) -> BackendStatus:
        """Return the status of the chosen back end, a few seconds old; waits at most a second for the first probe."""
        choice = self._choices.current()
        if choice.kind in {BackendKind.NONE, BackendKind.GGUF}:
            return self._with_breaker(choice, self._probe(choice))
        return self._with_breaker(choice, self._with_capabilities(choice, self._statuses.status(choice)))

    def breaker(self) -> BreakerStatus | None:
        """Return the circuit breaker's state of the chosen back end, None if no model is chosen."""
        choice = self._choices.current()
        if choice.kind is BackendKind.NONE or not choice.name:
            return None
        return self.breakers.get(self._address(choice)).status()

    def available(self) -> list[BackendStatus]:
        """Return the status of each kind of back end, as chosen, configured or found."""
        chosen = self._choices.current()
        return [self._probe(chosen if kind is chosen.kind else BackendChoice(kind)) for kind in BackendKind]

    def probe(self, actor: Actor, choice: BackendChoice) -> BackendStatus:
        """Return the present status of a back end; a request to its server takes up to two seconds.

        Raises:
            ForbiddenError: `actor` may not have the server ask others: they could see what it alone can reach.
        """
        actor.require(Permission.CONFIGURE, _("Test the chat model"))
        return self._probe(choice)

    def _probe(self, choice: BackendChoice) -> BackendStatus:
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
            complete = self._choices.complete(choice)
            if complete.kind is BackendKind.NONE:
                return BackendStatus(
                    complete.kind, label, "off", _("Answers quote the documents."), _("Connect a model under Settings.")
                )
            if complete.kind is BackendKind.GGUF:
                return self.local.status(complete)
            label = complete.model or label
            return self._server_status(complete, label)
        except UnreachableError as error:
            hint = joined((error.hint, _("Until then the documents are quoted.")))
            return BackendStatus(choice.kind, label, "down", error.message, hint)
        except MillpondError as error:
            return BackendStatus(choice.kind, label, "down", error.message, error.hint)

    def test(self, actor: Actor, choice: BackendChoice) -> BackendStatus:
        """Return the status of a back end after one short question to its server, which finds out what that takes.

        Raises:
            ForbiddenError: as for `probe`.
        """
        status = self.probe(actor, choice)
        if choice.kind is BackendKind.GGUF and status.state == "ready":
            return self.local.tested(status, self._choices.complete(choice))
        if choice.kind is not BackendKind.OPENAI or not choice.model:
            return status
        try:
            complete = self._choices.complete(choice)
            backend = servers.OpenAIBackend(
                complete.url, complete.model, self._choices.key(complete), self.capabilities, TEST_SECONDS, self._rules
            )
            asyncio.run(trial(backend))
        except MillpondError as error:
            return replace(status, state="down", message=error.message, hint=error.hint)
        status = self._with_capabilities(complete, status)
        return replace(
            status,
            state="ready",
            message=_("{model} at {server} has answered a test question.").format(
                model=complete.model, server=servers.host_of(complete.url)
            ),
            hint="",
        )

    def _with_capabilities(self, choice: BackendChoice, status: BackendStatus) -> BackendStatus:
        """Return a status that says what the server was found to take; one that has answered needs no list."""
        known = self.capabilities.get(choice.url, choice.model)
        status = replace(status, takes=known.takes(), refuses=known.refuses())
        if status.state == "unlisted" and known.known:
            message = joined((status.message, _("It has answered all the same.")))
            return replace(status, state="ready", message=message, hint="")
        return status

    def _with_breaker(self, choice: BackendChoice, status: BackendStatus) -> BackendStatus:
        """Return a status that says so if the back end's circuit breaker is not closed."""
        if choice.kind is BackendKind.NONE:
            return status
        breaker = self.breakers.get(self._address(choice)).status()
        if breaker.state is BreakerState.CLOSED:
            return replace(status, breaker=breaker.state.value)
        return replace(
            status,
            state="down",
            message=open_message(breaker),
            hint=_("Until then the documents are quoted."),
            breaker=breaker.state.value,
            retry_seconds=round(breaker.retry_seconds, 1),
        )

    def _address(self, choice: BackendChoice) -> str:
        """Return `Backend.address` of `choice` without loading a model."""
        if choice.kind is BackendKind.OPENAI:
            return servers.OpenAIBackend(choice.url, choice.model, "", self.capabilities).address
        if choice.kind is BackendKind.OLLAMA:
            return servers.OllamaBackend(choice.url, choice.model).address
        return gguf_server.display_address(Path(choice.path))

    # The back end

    def backend(self) -> Backend | None:
        """Return the chosen back end, None if none is chosen; loads a local model that is not loaded yet.

        Raises:
            OpenBreakerError: loading the local model failed repeatedly and is not tried for now.
            MillpondError: it cannot be loaded.
        """
        choice = self._choices.current()
        seconds = self._settings.answer_seconds
        if choice.kind is BackendKind.OPENAI:
            key = self._choices.key(choice)
            return servers.OpenAIBackend(choice.url, choice.model, key, self.capabilities, seconds, self._rules)
        if choice.kind is BackendKind.OLLAMA:
            return servers.OllamaBackend(choice.url, choice.model, seconds, self._rules)
        if choice.kind is BackendKind.GGUF:
            from services.chat.models.gguf import GGUFBackend

            with self.breakers.get(self._address(choice)).acquire():  # each attempt to load takes seconds and memory
                return GGUFBackend(self.local.acquire(choice.path))
        return None

    def close(self) -> None:
        """Unload the local model and wait for a running probe; nothing is loaded after this."""
        self._statuses.close()
        self.local.close()

    def _is_set_up(self, choice: BackendChoice) -> bool:
        if choice.kind is BackendKind.OPENAI:
            return bool(choice.url or self._settings.openai_base_url)
        if choice.kind is BackendKind.GGUF:
            return bool(choice.path or self._settings.gguf_path)
        return True

    def _server_status(self, choice: BackendChoice, label: str) -> BackendStatus:
        try:
            models = self._models_of(choice)
        except (UnreachableError, UnreadableSecretError):
            raise
        except MillpondError as error:
            if choice.kind is not BackendKind.OPENAI or not choice.model or not may_answer(error):
                raise
            return BackendStatus(
                choice.kind,
                label,
                "unlisted",
                _("{server} does not list its models.").format(server=servers.host_of(choice.url)),
                _("Questions are sent to it all the same; test the connection to see whether it answers."),
            )
        if not choice.model:
            return BackendStatus(
                choice.kind,
                label,
                "ready" if models else "down",
                _("Found at {server}; its models: {models}.").format(
                    server=servers.host_of(choice.url), models=listed(models[:10]) or _("none")
                ),
                "" if models else _("Fetch a model first, with Ollama for example: ollama pull NAME."),
            )
        if choice.model not in models and f"{choice.model}:latest" not in models:
            server, names = servers.host_of(choice.url), listed(models[:10]) or _("none")
            if choice.kind is BackendKind.OLLAMA:
                return BackendStatus(
                    choice.kind,
                    label,
                    "down",
                    _("{server} does not offer the model {model}.").format(server=server, model=choice.model),
                    _("It offers: {models}.").format(models=names),
                )
            return BackendStatus(
                choice.kind,
                label,
                "unlisted",
                _("{server} does not list the model {model}.").format(server=server, model=choice.model),
                _("It lists: {models}. Questions are sent to it all the same, as the name may be an alias.").format(
                    models=names
                ),
            )
        return BackendStatus(
            choice.kind, label, "ready", _("Connected to {server}.").format(server=servers.host_of(choice.url))
        )
