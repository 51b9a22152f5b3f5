"""llama.cpp in this process: loads one model file and serves it over a private Unix socket.

`xllamacpp` runs llama.cpp's server in threads of this process. Requests use its HTTP protocol over a Unix socket in a
private folder, protected by a random key, rather than its callbacks: those cannot abort a request before the first
token, a closed connection can. No TCP port is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import psutil

from services.chat.models.socket_folder import SocketFolder
from services.core.errors import BadInputError, DamagedError, NotFoundError, UnavailableError
from services.core.i18n import _
from services.core.memory_report import MemoryReport, Owner, Region

MAGIC = b"GGUF"
BATCH_TOKENS = 128  # a closed connection is noticed between batches
UNLOAD_SECONDS = 10.0
RESERVED_SECONDS = 10.0  # between reserving and using the model the prompt is built
CachePrecision = Literal["f16", "q8_0"]


def is_installed() -> bool:
    """Return whether the extra `gguf` is installed, without importing it."""
    return importlib.util.find_spec("xllamacpp") is not None


def validate_file(path: str) -> Path:
    """Return the path of a model file after a check of its first bytes.

    Raises:
        MillpondError: the file cannot be read, or is no GGUF file.
    """
    file = Path(path).expanduser()
    hint = _("Enter the full path of a file that ends in .gguf on the machine where Millpond runs.")
    if not path.strip() or "\0" in path:
        raise BadInputError(_("No model file is named."), hint)
    try:
        with file.open("rb") as stream:
            magic = stream.read(len(MAGIC))
    except OSError as error:
        raise NotFoundError(_("The model file {name} cannot be read.").format(name=file.name), hint) from error
    if magic != MAGIC:
        raise DamagedError(_("{name} is not a GGUF file.").format(name=file.name), hint)
    return file


def display_address(file: Path) -> str:
    """Return the model's name, for display and as the key of its circuit breaker."""
    return _("{model} in this process").format(model=file.stem)


class ModelUnloadedError(UnavailableError):
    """The model was unloaded during an answer; no failure of the model."""

    expected = True


class GGUFServer:
    """A loaded model. Requests use `socket` and `key`; `close` ends them and frees the memory."""

    def __init__(self, file: Path, context_tokens: int, cache_precision: CachePrecision = "q8_0") -> None:
        """Load `file`; `cache_precision` is that of the keys and values of its context.

        Raises:
            UnavailableError: the extra is not installed, or llama.cpp cannot load the file.
        """
        try:
            xllamacpp = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise UnavailableError(
                _("Local models need the extra that is called gguf."),
                _("Install it with: pip install 'millpond[gguf]', then start Millpond again."),
            ) from error
        self.file = file
        self.key = secrets.token_urlsafe(24)
        self._folder = SocketFolder()
        self.socket = self._folder.path / "llama.sock"
        self._active: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}
        self._idle = threading.Condition()
        self._closing = False
        self._reserved = float("-inf")
        process = psutil.Process()
        before = _anonymous(process)
        try:
            self._server: Any = xllamacpp.Server(self._parameters(xllamacpp, context_tokens, cache_precision))
            properties = self.request("/props")
            self.context_tokens = int(properties["default_generation_settings"]["n_ctx"])
            # Whether the model's chat template can show it tools; llama.cpp leaves them out in silence otherwise.
            self.takes_tools = bool(properties.get("chat_template_caps", {}).get("supports_tools"))
        except RuntimeError as error:
            self._folder.remove()
            raise UnavailableError(
                _("The model {name} could not be loaded.").format(name=file.name),
                _("The file may be incomplete, or too large for this machine; choose another one."),
            ) from error
        except BaseException:
            self._folder.remove()
            raise
        # Allocated memory, and the file with the weights, which llama.cpp maps.
        self.file_bytes = file.stat().st_size
        self.bytes = max(_anonymous(process) - before, 0) + self.file_bytes

    def _parameters(self, xllamacpp: Any, context_tokens: int, cache_precision: CachePrecision) -> Any:
        values = xllamacpp.CommonParams()
        values.model.path = str(self.file)
        values.hostnames = [str(self.socket)]
        values.api_keys = [self.key]
        values.n_ctx = context_tokens
        # Keys and values of the context are most of what a small model allocates.
        types = {"f16": xllamacpp.ggml_type.GGML_TYPE_F16, "q8_0": xllamacpp.ggml_type.GGML_TYPE_Q8_0}
        values.cache_type_k = values.cache_type_v = types[cache_precision]
        values.n_parallel = 1
        values.n_batch = values.n_ubatch = BATCH_TOKENS
        # llama.cpp's threads spin while they wait for each other: one without a core of its own makes it ten times
        # slower. One core stays free for searches and embedding.
        values.cpuparams.n_threads = values.cpuparams_batch.n_threads = max(1, len(os.sched_getaffinity(0)) - 1)
        values.n_threads_http = 4
        values.cache_ram_mib = 0  # the default caches up to 8 GB of prompts
        values.n_ctx_checkpoints = 0
        values.ui = False
        values.sse_ping_interval = 1
        values.verbosity = -1
        return values

    @property
    def busy(self) -> bool:
        """Whether an answer uses the model, or is about to."""
        with self._idle:
            return bool(self._active) or time.monotonic() - self._reserved < RESERVED_SECONDS

    def reserve(self) -> None:
        """Mark the model as busy for an answer that builds its prompt first."""
        with self._idle:
            self._reserved = time.monotonic()

    def client_options(self, stream: bool) -> dict[str, Any]:
        """Return the options of an HTTP client for this server; `stream`: an asynchronous one."""
        import httpx

        transport = httpx.AsyncHTTPTransport if stream else httpx.HTTPTransport
        return {
            "transport": transport(uds=str(self.socket)),
            "base_url": "http://local-model",
            # The server closes idle connections; a new one costs next to nothing here.
            "headers": {"Authorization": f"Bearer {self.key}", "Connection": "close"},
            "timeout": None,
        }

    def request(self, path: str, value: dict[str, Any] | None = None) -> Any:
        """Send a short request and return its JSON reply."""
        import httpx

        with httpx.Client(**self.client_options(stream=False)) as client:
            reply = client.get(path) if value is None else client.post(path, json=value)
            return reply.raise_for_status().json()

    def count(self, text: str) -> int:
        """Return the tokens of `text`."""
        return len(self.request("/tokenize", {"content": text})["tokens"])

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """Register the current task as a user of the model, which `close` cancels.

        Raises:
            ModelUnloadedError: the model was unloaded meanwhile.
        """
        unloaded = ModelUnloadedError(
            _("The local model was unloaded while it was answering."), _("Ask again with the model chosen now.")
        )
        task = asyncio.current_task()
        with self._idle:
            if self._closing or task is None:
                raise unloaded
            self._active[task] = asyncio.get_running_loop()
        try:
            yield
        except asyncio.CancelledError:
            if self._closing:
                raise unloaded from None
            raise
        finally:
            with self._idle:
                del self._active[task]
                self._reserved = float("-inf")
                self._idle.notify_all()

    def memory_report(self, loads: int) -> MemoryReport:
        """Return the memory of the model: what was allocated while it was loaded, and its mapped file."""
        return MemoryReport(
            name=_("Local chat model"),
            detail=self.file.name,
            bytes=self.bytes,
            loads=loads,
            attributes={"context tokens": str(self.context_tokens), "file bytes": str(self.file_bytes)},
            owner=Owner.MODELS,
            region=Region.NATIVE,
            files=((str(self.file.resolve()), self.file_bytes),),
        )

    def close(self) -> None:
        """Cancel the answers in progress and unload the model; safe to call twice."""
        with self._idle:
            if self._closing:
                return
            self._closing = True
            for task, loop in self._active.items():
                loop.call_soon_threadsafe(task.cancel)
            self._idle.wait_for(lambda: not self._active, UNLOAD_SECONDS)
        self._server = None  # the destructor ends its threads and frees the memory
        self._folder.remove()


def _anonymous(process: psutil.Process) -> int:
    """Return the resident bytes without those of mapped files."""
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))
